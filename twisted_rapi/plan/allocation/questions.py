"""What an allocator can be asked, and what it answers, as values."""

from typing import Literal

import attrs

from twisted_rapi.model.opcodes import Opcode
from twisted_rapi.model.records import InstanceRecord, NodeRecord

EvacMode = Literal["primary-only", "secondary-only", "all"]


@attrs.frozen(kw_only=True)
class Allocate:
    """
    Nodes for an instance that is to be made.  Answer: `Nodes`.

    :ivar instance: its nodes still open.
    :ivar starts: whether it is to run.
    :ivar group: the uuid of the only group it may go to.
    :ivar among: the uuids of the nodes that may be chosen, if not all.
    :ivar os: the OS definition its primary node needs, without variant.
    """

    instance: InstanceRecord
    starts: bool = True
    group: str | None = None
    among: tuple[str, ...] | None = None
    os: str = ""
    ignore_ipolicy: bool = False


@attrs.frozen(kw_only=True)
class AllocateSeveral:
    """Nodes for instances that are to be made, as many of them as find some.  Answer: `Several`."""

    instances: tuple[Allocate, ...]


@attrs.frozen(kw_only=True)
class Relocate:
    """
    A new node in place of one: of a mirrored instance the secondary one, else the primary one.

    Answer: `Nodes` with one node, of the same group.
    """

    instance: InstanceRecord

    @property
    def leaves(self) -> str:
        """The uuid of the node it is not to have any more."""
        return (self.instance.secondary_nodes or (self.instance.primary_node,))[0]


@attrs.frozen(kw_only=True)
class AllocateSecondary:
    """A secondary node for an instance that has none.  Answer: `Nodes` with one node."""

    instance: InstanceRecord


@attrs.frozen(kw_only=True)
class Evacuate:
    """How instances leave a kind of their nodes, within their groups.  Answer: `Moves`."""

    instances: tuple[InstanceRecord, ...]
    mode: EvacMode


@attrs.frozen(kw_only=True)
class ChangeGroup:
    """How instances leave their groups; `targets` are uuids, none: any other.  Answer: `Moves`."""

    instances: tuple[InstanceRecord, ...]
    targets: tuple[str, ...] = ()


Question = Allocate | AllocateSeveral | Relocate | AllocateSecondary | Evacuate | ChangeGroup


@attrs.frozen(kw_only=True)
class Nodes:
    """
    Nodes of an instance, primary first.

    :ivar told: lines for the job's log: why other nodes were not taken, where that is known.
    """

    nodes: tuple[NodeRecord, ...]
    told: tuple[str, ...] = ()


@attrs.frozen(kw_only=True)
class Several:
    """
    Nodes of several instances.

    :ivar placed: by name, in the order asked.
    :ivar failed: names of those that found none.
    :ivar told: why, where that is known.
    """

    placed: dict[str, tuple[NodeRecord, ...]]
    failed: tuple[str, ...] = ()
    told: tuple[str, ...] = ()


@attrs.frozen(kw_only=True)
class Moves:
    """
    How instances get elsewhere.

    :ivar moved: per instance its name, the group's name and the names of its nodes afterwards.
    :ivar failed: per instance its name and why.
    :ivar jobs: each the opcodes of one job.
    """

    moved: tuple[tuple[str, str, tuple[str, ...]], ...] = ()
    failed: tuple[tuple[str, str], ...] = ()
    jobs: tuple[tuple[Opcode, ...], ...] = ()


Answer = Nodes | Several | Moves
