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
    :ivar key: for another cluster: the name of the key this end shows (`CreateCertificate`).
    :ivar peer: for another cluster: the certificate the other end is to have, as PEM.
    :ivar patience: seconds the other end has to appear; 0: the usual.
    """

    token: str
    into: StreamEnd
    compress: str = "none"
    key: str = ""
    peer: str = ""
    patience: float = 0.0


class AwaitStream(Step, frozen=True, kw_only=True, tag="stream.await", omit_defaults=True):
    """Wait until all that comes under this token is stored.  Nothing else waits for it."""

    token: str


class ConfirmStream(Step, frozen=True, kw_only=True, tag="stream.confirm", omit_defaults=True):
    """Have the other cluster know that what came under this token is stored, and stays here."""

    token: str


class SendStream(Step, frozen=True, kw_only=True, tag="stream.send", omit_defaults=True):
    """
    Send bytes to a node that listens, and wait until they are stored.  Nothing else waits for it.

    The same token again, until `EndStreams`, is the same transfer: they are not sent anew.

    :ivar host: where it is reached; `name`: what its certificate is for.
    :ivar key: for another cluster, with `peer`, as those of `OpenStream`.
    """

    token: str
    source: StreamEnd
    host: str
    name: str
    port: int
    compress: str = "none"
    key: str = ""
    peer: str = ""


class EndStreams(Step, frozen=True, kw_only=True, tag="stream.end", omit_defaults=True):
    """No longer listen or send for this instance; nothing is read or written afterwards."""


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

    :ivar name: what it is to be called: there already is well.  Empty: a new one each time.
    """

    common_name: str
    validity: float
    name: str = ""


class RemoveCertificate(Step, frozen=True, kw_only=True, tag="certificate.remove", omit_defaults=True):
    """Remove a key by its name; none is well."""

    name: str


class ReadExport(Step, frozen=True, kw_only=True, tag="export.read", omit_defaults=True):
    """Outcome ``text``: the configuration of the export in a folder, or of this name."""

    path: str
