"""A cluster in memory that is as the recorded ones were, as far as PVC's endpoints here know it."""

from pathlib import Path
from typing import Any, Literal

from twisted.internet.defer import Deferred

from tests.conformance.pvc.ceph import HOSTS, make_ceph, recorded
from tests.conformance.pvc.machines import MACHINES, TEMPLATES
from tests.conformance.pvc.machines import records as records_of_machines
from tests.conformance.pvc.networks import records_of_networks
from tests.unit.web.pvc.http import PvcBrowser
from twisted_rapi.model.domain_state import DomainStateRecord
from twisted_rapi.model.fault import Fault, FaultsRecord
from twisted_rapi.model.mastership import CandidateRecord, ElectionRecord
from twisted_rapi.model.record_base import Record
from twisted_rapi.model.records import (
    ClusterRecord,
    GroupRecord,
    NodeRecord,
    name_key,
)
from twisted_rapi.model.seen import DomainSeen, NodeReport
from twisted_rapi.model.steps import LookAtCeph, Outcome, Step
from twisted_rapi.state.writer import commit_of
from twisted_rapi.testing.cluster import make_cluster
from twisted_rapi.testing.memory_store import MemoryStore
from twisted_rapi.testing.nodes import FakeNodes

TOKENS = ("0955b2a5-1ce2-4a54-9a4e-8d1e61e1a001", "ea2f4c1e-77d1-4a62-b8f5-3a1b0e9a0002")
NODES = tuple(f"00000000-0000-4000-8000-00000000000{n}" for n in range(1, 5))
GROUP = "00000000-0000-4000-8000-0000000000aa"

# Name, CPUs, load, memory that is there and free, of running machines their memory and CPUs together.
FIGURES = (
    ("pvchv1", 16, 1.32, 64285, 43805, 6144, 6),
    ("pvchv2", 16, 0.45, 64285, 33565, 4096, 4),
    ("pvchv3", 8, 0.05, 32117, 28021, 0, 0),
    ("pvchv4", 8, 0.01, 32117, 30069, 0, 0),
)
# As recorded: 2024-01-01, -02, -11, -12.
FAULTS = FaultsRecord(
    faults=(
        Fault(
            id="a1b2c3d4",
            text="VM db1 in STOP state",
            delta=10,
            first=1704067200.0,
            last=1704931200.0,
            over=True,
        ),
        Fault(
            id="e5f6a7b8",
            text="Node pvchv4 was fenced",
            delta=25,
            first=1704153600.0,
            last=1705017600.0,
            over=True,
        ),
    )
)


def uuid_of(digit: int) -> str:
    """The uuid of a machine, as recorded."""
    d = str(digit)
    return f"{d * 8}-{d * 4}-4{d * 3}-8{d * 3}-{d * 12}"


KEPT: tuple[Record, ...] = (DomainStateRecord(uuid=NODES[2], state="flushed", job=0),)


def _records(free: bool) -> tuple[list[Record], dict[str, str]]:
    group = GroupRecord(uuid=GROUP, name="default")
    nodes = [
        NodeRecord(
            uuid=uuid,
            name=figures[0],
            group=GROUP,
            primary_ip=f"192.0.2.{n}",
            secondary_ip=f"192.0.2.{n}",
            agent_host=f"192.0.2.{n}",
            agent_port=1811,
            master_candidate=n < 4,
            offline=n == 4,
        )
        for n, (uuid, figures) in enumerate(zip(NODES, FIGURES, strict=True), 1)
    ]
    cluster = ClusterRecord(
        uuid="c",
        name="testcluster",
        master_node=NODES[0],
        master_ip="10.0.0.250/24",
        default_hypervisor="kvm",
        enabled_hypervisors=("kvm",),
        enabled_disk_templates=TEMPLATES,
    )
    machines, owned = records_of_machines(cluster, group, nodes, free)
    # Daemons of the first two nodes are there to be master.
    there: list[Record] = [CandidateRecord(uuid=uuid, since=0.0, version="1") for uuid in NODES[:2]]
    named: list[Any] = [group, *nodes]
    names = {name_key(record.KIND, record.name): record.uuid for record in named}
    networks, taken = records_of_networks()
    names |= taken | owned
    return [
        cluster,
        *named,
        *machines,
        *networks,
        *there,
        ElectionRecord(term=1, node=NODES[0]),
        FAULTS,
        *KEPT,
    ], names


class RecordedNodes(FakeNodes):
    """
    Nodes that report the recorded figures.

    :ivar silent: numbers of those that report nothing at present.
    :ivar newest: whether Ceph is as of the newest version.
    """

    silent: tuple[int, ...] = (3,)
    newest: bool = False

    @property
    def reports(self) -> dict[str, NodeReport]:
        """See `INodes.reports`."""
        return {uuid: _report(n) for n, uuid in enumerate(NODES) if n not in self.silent}

    async def perform(self, node: str, step: Step, patience: float = 0.0, offline: bool = False) -> Outcome:
        """As others do, also those that report no such thing; logs and Ceph are the recorded ones."""
        found = self.nodes[node]
        found.logs = {"": "line 1\nline 2\nline 3", "web1": "".join(f"boot line {n}\n" for n in range(1, 31))}
        outcome = await super().perform(node, step, patience, offline)
        return recorded(step, outcome, self.newest) if isinstance(step, LookAtCeph) else outcome


def _report(n: int) -> NodeReport:
    _, cpus, load, total, free, memory, vcpus = FIGURES[n]
    domains = {
        name: DomainSeen(
            name=name, uuid=uuid_of(digit), hypervisor="kvm", state="running", memory=memory, vcpus=vcpus
        )
        for digit, (name, node, state, _) in enumerate(MACHINES, 1)
        if node == n and state == "up"
    }
    return NodeReport(
        memory_total=total,
        memory_free=free,
        cpu_total=cpus,
        load=load,
        kernel="4.19.0-8-amd64",
        system="GNU/Linux",
        arch="x86_64",
        domains=domains,
        software_version="1.0.3",
        clock=1700000000.0,
        ceph=True,
        hypervisors={"kvm": "5.2"},
        templates=TEMPLATES,
        bridges=("br0", "brcluster", "vmbr100", "vmbr200"),
    )


def make_world(
    folder: Path, dialect: Literal["seed", "0.6", "1.0"], authentication: bool, free: bool = False
) -> PvcBrowser:
    """
    The cluster, and what asks its API.

    :param free: whether volumes are in definitions only, and nobody's disks.
    """
    store = MemoryStore()
    records, names = _records(free)
    done: list[object] = []
    Deferred.fromCoroutine(store.commit(commit_of(records, names=names))).addBoth(done.append)
    nodes = RecordedNodes(NODES)
    nodes.newest = dialect == "1.0"
    for fake, host in zip(nodes.nodes.values(), HOSTS, strict=False):
        fake.host = host
    make_ceph(nodes.shared)
    cluster = make_cluster(store, nodes)
    return PvcBrowser(folder, cluster, dialect, authentication, TOKENS)
