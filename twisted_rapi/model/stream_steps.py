"""Steps about the bytes of disks: streams from node to node, and exports."""

from msgspec import Struct

from twisted_rapi.model.step_base import DiskSpec, DomainSpec, Step


class VolumeEnd(Struct, frozen=True, kw_only=True, tag_field="end", tag="volume", omit_defaults=True):
    """The bytes of a volume; as a target it is new and empty."""

    disk: DiskSpec


class ScriptEnd(Struct, frozen=True, kw_only=True, tag_field="end", tag="script", omit_defaults=True):
    """What the OS definition's ``export`` script writes of a disk, or its ``import`` script reads."""

    domain: DomainSpec
    index: int


class DumpEnd(Struct, frozen=True, kw_only=True, tag_field="end", tag="dump", omit_defaults=True):
    """
    A file of an export.

    :ivar export: as a target the name of one that is being made (`BeginExport`), else a folder with one.
    """

    export: str
    file: str


StreamEnd = VolumeEnd | ScriptEnd | DumpEnd


class OpenStream(Step, frozen=True, kw_only=True, tag="stream.open", omit_defaults=True):
    """
    Listen for bytes and store them.  Outcome ``port``; the same token again is the same port.

    :ivar token: who says it may send.
    """

    token: str
    into: StreamEnd
    compress: str = "none"


class AwaitStream(Step, frozen=True, kw_only=True, tag="stream.await", omit_defaults=True):
    """Wait until all that comes under this token is stored.  Nothing else waits for it."""

    token: str


class SendStream(Step, frozen=True, kw_only=True, tag="stream.send", omit_defaults=True):
    """
    Send bytes to a node that listens, and wait until they are stored.  Nothing else waits for it.

    :ivar host: where it is reached; `name`: what its certificate is for.
    """

    token: str
    source: StreamEnd
    host: str
    name: str
    port: int
    compress: str = "none"


class EndStreams(Step, frozen=True, kw_only=True, tag="stream.end", omit_defaults=True):
    """No longer listen for anything of this instance; nothing is written afterwards."""


class BeginExport(Step, frozen=True, kw_only=True, tag="export.begin", omit_defaults=True):
    """Make an empty folder for a new export; an older one stays until it is whole."""

    export: str


class FinishExport(Step, frozen=True, kw_only=True, tag="export.finish", omit_defaults=True):
    """The new export is whole, with this configuration (behaviour.md §6); an older one is gone."""

    export: str
    config: str


class RemoveExport(Step, frozen=True, kw_only=True, tag="export.remove", omit_defaults=True):
    """
    Remove an export; none is well.

    :ivar half: only what was half made.
    """

    export: str
    half: bool = False


class CreateCertificate(Step, frozen=True, kw_only=True, tag="certificate.create", omit_defaults=True):
    """
    Make a key for an export to another cluster, good for `validity` seconds.

    Outcome ``path``: what it is called here; ``text``: its certificate as PEM.
    """

    common_name: str
    validity: float


class ReadExport(Step, frozen=True, kw_only=True, tag="export.read", omit_defaults=True):
    """Outcome ``text``: the configuration of the export in a folder, or of this name."""

    path: str
