"""What nodes have left for further instances: reports and records put together."""

from collections.abc import Iterable, Iterator, Mapping

import attrs

from twisted_rapi.model import params
from twisted_rapi.model.records import InstanceRecord, NodeRecord
from twisted_rapi.model.seen import NodeReport
from twisted_rapi.plan.view import View

EXCLUSION = "htools:iextags:"
"""What a tag of the cluster begins with that names a prefix: no node is to have two instances as primary one
that share a tag with it."""


@attrs.frozen(kw_only=True)
class Room:
    """
    What one node that answers has left.

    :ivar memory: MiB, less what instances that are wanted up may still claim.
    :ivar disk: MiB of its file system; `groups`: of its volume groups.
    :ivar vcpus: those of its primary instances; `spindles`: what they use.
    :ivar reserved: per other node (a uuid) the memory it takes to run the instances it is secondary node of
        should that one fail, MiB.
    :ivar tags: exclusion tags of its primary instances.
    """

    report: NodeReport
    memory: int
    disk: int
    groups: Mapping[str, int]
    vcpus: int = 0
    spindles: int = 0
    reserved: Mapping[str, int] = attrs.field(factory=dict)
    tags: frozenset[str] = frozenset()


class Rooms:
    """
    The rooms of a view's nodes, each worked out when it is first asked for.

    It can be told of placements, which are then taken into account.
    """

    def __init__(self, view: View) -> None:
        self.view = view
        self._found: dict[str, Room | None] = {}
        self._backend = params.cluster_beparams(view.cluster)
        self._prefixes = tuple(
            f"{tag.removeprefix(EXCLUSION)}:" for tag in view.cluster.tags if tag.startswith(EXCLUSION)
        )

    def of(self, node: str) -> Room | None:
        """The room of the node with this uuid; ``None`` for one that does not answer."""
        if node not in self._found:
            self._found[node] = self._look(node)
        return self._found[node]

    def _value(self, instance: InstanceRecord, name: str) -> int:
        found = instance.beparams
        value: int = found[name] if name in found else self._backend[name]
        return value

    def exclusion_tags(self, tags: Iterable[str]) -> frozenset[str]:
        """Those of an instance's tags that keep others with the same from its node."""
        return frozenset(tag for tag in tags if self._prefixes and tag.startswith(self._prefixes))

    def _look(self, node: str) -> Room | None:
        report = self.view.reports.get(node)
        if report is None or self.view.nodes[node].offline:
            return None
        here = list(self.view.instances_on(node))
        reserved: dict[str, int] = {}
        for instance in self.view.secondaries_on(node):
            if instance.admin_state == "up" or instance.pending is not None:
                peer = instance.primary_node
                reserved[peer] = reserved.get(peer, 0) + self._value(instance, "maxmem")
        return Room(
            report=report,
            memory=report.memory_free - self.claims(report, here),
            disk=report.disk_free,
            groups={name: free for name, (_, free) in report.volume_groups.items()},
            vcpus=sum(self._value(i, "vcpus") for i in here),
            spindles=sum(self._value(i, "spindle_use") for i in here),
            reserved=reserved,
            tags=frozenset().union(*(self.exclusion_tags(i.tags) for i in here)),
        )

    def claims(self, report: NodeReport, instances: Iterable[InstanceRecord]) -> int:
        """MiB that primary instances which are wanted up may take beyond what they have."""
        found = 0
        for instance in instances:
            if instance.admin_state == "up":
                seen = report.domains.get(instance.name)
                has = seen.memory if seen is not None and seen.running else 0
                found += max(0, self._value(instance, "maxmem") - has)
        return found

    def change(self, node: str, **values: object) -> None:
        """From now on the node's room has these values."""
        room = self.of(node)
        if room is not None:
            self._found[node] = attrs.evolve(room, **values)  # type: ignore[arg-type]


def nodes_in_order(view: View) -> Iterator[NodeRecord]:
    """All nodes by name."""
    yield from sorted(view.nodes.values(), key=lambda node: node.name)
