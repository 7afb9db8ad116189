"""Steps about a node itself, its storage and what it finds in its networks."""

from twisted_rapi.model.step_base import Step


class Delay(Step, frozen=True, kw_only=True, tag="delay", omit_defaults=True):
    """Do nothing for so many seconds."""

    seconds: float


class Ping(Step, frozen=True, kw_only=True, tag="node.ping", omit_defaults=True):
    """
    Answer; the only step that a node that is marked offline is sent.

    :ivar address: an IP address the node must have; it fails, with kind ``network``, if it has not.
    """

    address: str = ""


class Powercycle(Step, frozen=True, kw_only=True, tag="node.powercycle", omit_defaults=True):
    """Restart the machine in `delay` seconds, whatever runs on it.  Outcome ``text`` says so."""

    delay: int = 5


class FenceNode(Step, frozen=True, kw_only=True, tag="node.fence", omit_defaults=True):
    """
    Have the machine of another node be off, and be certain of it; it fails, with kind ``fencing``, otherwise.

    Outcome ``text``: how that is known.

    :ivar name: the other node's; `uuid`: its, too.
    :ivar program: its node parameter ``oob_program``, for where nothing else is configured for it.
    :ivar seconds: how long that may take.
    """

    name: str
    uuid: str
    program: str = ""
    seconds: float = 60.0


class ListUnits(Step, frozen=True, kw_only=True, tag="storage.list", omit_defaults=True):
    """
    Say which storage units of a kind (constants.json ``storage_types``) the node has.

    Outcome ``units``: ``{name, size, used, free, allocatable}`` of each, in MiB.
    """

    kind: str


class ListVolumes(Step, frozen=True, kw_only=True, tag="storage.volumes", omit_defaults=True):
    """
    Say which volumes the units of a kind of storage have; fails where the node has no such storage.

    Outcome ``units``: ``{unit, name, size, device}`` of each, in MiB.
    """

    kind: str


class ChangeUnit(Step, frozen=True, kw_only=True, tag="storage.change", omit_defaults=True):
    """Set attributes of a storage unit; those it has already are well."""

    kind: str
    name: str
    allocatable: bool


class RepairUnit(Step, frozen=True, kw_only=True, tag="storage.repair", omit_defaults=True):
    """Take out of a storage unit what is missing of it; one that is whole is left alone."""

    kind: str
    name: str


class ResolveName(Step, frozen=True, kw_only=True, tag="name.resolve", omit_defaults=True):
    """
    Say what a host name stands for.

    Outcome ``text``: its full name; ``addresses``: where it is.  A name that does not resolve has none, and
    ``reason`` has the system's words for it.

    :ivar family: of the addresses: 4, 6.
    """

    name: str
    family: int = 4


class ProbeAddress(Step, frozen=True, kw_only=True, tag="address.probe", omit_defaults=True):
    """Say whether somebody answers at an address, if only to refuse; then outcome ``text`` is ``yes``."""

    address: str
    port: int


class ReadLog(Step, frozen=True, kw_only=True, tag="log.read", omit_defaults=True):
    """
    Say what is at the end of a log: what guest `instance` has written on its serial port, or, without one,
    what the agent has logged.

    It fails, with kind ``log``, where there is no such log.  Outcome ``text``: the last lines, at most 1 MiB.

    :ivar lines: how many; what follows the last line's end counts as one.
    """

    lines: int = 10
