"""What a plan looks at: the records and the reports, as of one moment."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from random import Random
from uuid import UUID

import attrs

from twisted_rapi.errors import OpPrereqError, prereq
from twisted_rapi.model.domain_state import DomainStateRecord
from twisted_rapi.model.fate import NodeFateRecord
from twisted_rapi.model.machine import MachineRecord
from twisted_rapi.model.records import (
    ClusterRecord,
    DetachedDiskRecord,
    FilterRecord,
    GroupRecord,
    InstanceRecord,
    JobRecord,
    LeftoverRecord,
    NetworkRecord,
    NodeRecord,
)
from twisted_rapi.model.seen import CertificateSeen, DomainSeen, NodeReport
from twisted_rapi.plan.locks import LockTable


@attrs.frozen(kw_only=True)
class View:
    """
    The cluster as of one moment; all mappings are keyed by uuid.

    :ivar names: per kind (``group``, ``node``, ``instance``, ``network``) the uuids by name; instances that
        are being made are among them.
    :ivar primaries: per node the uuids of the instances that have it as primary node, those being made
        included; `secondaries`: as a secondary one.
    :ivar machines: what is kept of instances for PVC's API; many have nothing there.
    :ivar domain_states: of the nodes that machines leave, have left, or come back to for PVC's API.
    :ivar detached: the disks that no instance has.
    :ivar reports: what nodes that answer report; a node that does not answer is not among them.
    :ivar strays: uuids of instances that run on a node that is not their primary; ``None``: not looked for.
    :ivar now: seconds since the epoch.
    :ivar chance: where new uuids and MAC addresses come from.
    :ivar jobs: those that are not archived, by id.
    :ivar owner: the job that looks, whose locks are among `locks`; 0: none.
    :ivar certificates: those the master's daemon uses.
    :ivar fates: of the nodes that fell silent; `leftovers`: what is to be done on nodes once they answer.
    :ivar distributed: when files were distributed last, in seconds since the epoch; 0: never.
    :ivar order: per kind, the uuids in the natural order of the names, where that is known.
    """

    cluster: ClusterRecord
    groups: Mapping[str, GroupRecord]
    nodes: Mapping[str, NodeRecord]
    instances: Mapping[str, InstanceRecord]
    machines: Mapping[str, MachineRecord] = attrs.field(factory=dict)
    domain_states: Mapping[str, DomainStateRecord] = attrs.field(factory=dict)
    networks: Mapping[str, NetworkRecord] = attrs.field(factory=dict)
    filters: Mapping[str, FilterRecord] = attrs.field(factory=dict)
    detached: Mapping[str, DetachedDiskRecord] = attrs.field(factory=dict)
    names: Mapping[str, Mapping[str, str]]
    primaries: Mapping[str, Collection[str]]
    secondaries: Mapping[str, Collection[str]]
    reports: Mapping[str, NodeReport]
    now: float
    chance: Random
    strays: frozenset[str] | None = None
    jobs: Mapping[int, JobRecord] = attrs.field(factory=dict)
    locks: LockTable = attrs.field(factory=LockTable)
    owner: int = 0
    certificates: Sequence[CertificateSeen] = ()
    distributed: float = 0.0
    order: Mapping[str, Sequence[str]] = attrs.field(factory=dict)
    fates: Mapping[str, NodeFateRecord] = attrs.field(factory=dict)
    leftovers: Mapping[str, LeftoverRecord] = attrs.field(factory=dict)

    def new_uuid(self) -> str:
        """A uuid nobody has."""
        return str(UUID(int=self.chance.getrandbits(128), version=4))

    def find(self, kind: str, name: str) -> str | None:
        """
        The uuid of what `name` names among `kind`: its name, its uuid, or, of a node or an instance, the
        name's part before a dot if only one begins so.
        """
        named = self.names[kind]
        if name in named:
            return named[name]
        if name in self._table(kind):
            return name
        if kind in ("group", "network"):
            return None  # their names are no host names: nothing of them is short for another
        begun = [uuid for full, uuid in named.items() if full.startswith(name + ".")]
        return begun[0] if name and len(begun) == 1 else None

    def _table(self, kind: str) -> Mapping[str, object]:
        return {
            "group": self.groups,
            "node": self.nodes,
            "instance": self.instances,
            "network": self.networks,
        }[kind]

    def machine(self, uuid: str) -> MachineRecord:
        """What is kept of this instance for PVC's API, all defaults where nothing is."""
        return self.machines.get(uuid) or MachineRecord(uuid=uuid)

    def instance(self, name: str) -> InstanceRecord:
        """
        The instance of this name; one that is still being made does not exist yet.

        :raises OpPrereqError: ``unknown_entity``.
        """
        uuid = self.find("instance", name)
        if uuid is None or self.instances[uuid].pending is not None:
            raise _unknown("Instance", name)
        return self.instances[uuid]

    def node(self, name: str) -> NodeRecord:
        """
        The node of this name.

        :raises OpPrereqError: ``unknown_entity``.
        """
        uuid = self.find("node", name)
        if uuid is None:
            raise _unknown("Node", name)
        return self.nodes[uuid]

    def group(self, name: str) -> GroupRecord:
        """
        The group of this name.

        :raises OpPrereqError: ``unknown_entity``.
        """
        uuid = self.find("group", name)
        if uuid is None:
            raise prereq(f"Node group '{name}' not found", "unknown_entity")
        return self.groups[uuid]

    def network(self, name: str) -> NetworkRecord:
        """
        The network of this name.

        :raises OpPrereqError: ``unknown_entity``.
        """
        uuid = self.find("network", name)
        if uuid is None:
            raise prereq(f"Network '{name}' not found", "unknown_entity")
        return self.networks[uuid]

    def domain(self, instance: InstanceRecord) -> DomainSeen | None:
        """The instance's domain on its primary node, if that node answers and has it."""
        report = self.reports.get(instance.primary_node)
        return None if report is None else report.domains.get(instance.name)

    def instances_on(self, node: str) -> Iterator[InstanceRecord]:
        """The instances whose primary node it is, those being made included, in no order."""
        return (self.instances[uuid] for uuid in self.primaries.get(node, ()))

    def secondaries_on(self, node: str) -> Iterator[InstanceRecord]:
        """The instances that have it as a secondary node, those being made included, in no order."""
        return (self.instances[uuid] for uuid in self.secondaries.get(node, ()))


def _unknown(kind: str, name: str) -> OpPrereqError:
    return prereq(f"{kind} '{name}' not known", "unknown_entity")
