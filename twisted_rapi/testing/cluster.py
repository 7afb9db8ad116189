"""The real use cases over a store and nodes in memory, on a clock that the test holds."""

from collections.abc import Awaitable, Callable, Iterable
from random import Random
from typing import Any

import attrs
from msgspec.structs import replace
from twisted.application.service import Service
from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock

from twisted_rapi.cluster.duties import Duties, Office
from twisted_rapi.cluster.service import Cluster
from twisted_rapi.jobs.executor import Executor
from twisted_rapi.jobs.queue import Failpoint
from twisted_rapi.jobs.table import JobTable
from twisted_rapi.model.mastership import CandidateRecord, ElectionRecord
from twisted_rapi.model.record_base import Record
from twisted_rapi.model.records import ClusterRecord, GroupRecord, NodeRecord, name_key
from twisted_rapi.plan.fate import DeathRules
from twisted_rapi.plan.watchdog import WatchdogRules
from twisted_rapi.state.interface import IStateStore
from twisted_rapi.state.snapshot import Snapshot, load
from twisted_rapi.state.writer import commit_of
from twisted_rapi.testing.memory_store import MemoryStore
from twisted_rapi.testing.nodes import FakeNodes

NOW = 1_795_000_000.0
GROUP = "00000000-0000-4000-8000-0000000000aa"
NODES = tuple(f"00000000-0000-4000-8000-00000000000{n}" for n in (1, 2, 3))


UNWATCHED = WatchdogRules(enabled=False)
"""What leaves guests down that a test has killed."""


def founding() -> tuple[list[Record], dict[str, str]]:
    """The records of a cluster of three nodes, and the names they have."""
    group = GroupRecord(uuid=GROUP, name="default")
    nodes = [
        NodeRecord(
            uuid=uuid,
            name=f"node{n}.example.com",
            group=GROUP,
            primary_ip=f"192.0.2.{n}",
            secondary_ip=f"192.0.2.{n}",
            agent_host=f"192.0.2.{n}",
            agent_port=1811,
            master_candidate=n == 1,
        )
        for n, uuid in enumerate(NODES, 1)
    ]
    ranges = {"memory-size", "disk-size", "disk-count", "cpu-count", "nic-count", "spindle-use"}
    minmax = {"min": dict.fromkeys(ranges, 0), "max": dict.fromkeys(ranges, 1 << 20)}
    cluster = ClusterRecord(
        uuid="00000000-0000-4000-8000-0000000000cc",
        name="cluster.example.com",
        master_node=NODES[0],
        default_hypervisor="fake",
        enabled_hypervisors=("fake",),
        ipolicy={"minmax": [minmax], "disk-templates": ["file", "sharedfile", "diskless"]},
        file_storage_dir="/files",
        shared_file_storage_dir="/shared",
    )
    names = {name_key("node", node.name): node.uuid for node in nodes}
    names[name_key("group", group.name)] = group.uuid
    return [cluster, group, *nodes, ElectionRecord(term=1, node=NODES[0])], names


@attrs.define(eq=False)
class FakeCluster:
    """
    One master's term; made by `make_cluster`, ended by `stop`.

    :ivar cluster: the real `ICluster`.
    """

    store: IStateStore
    nodes: FakeNodes
    clock: Clock
    snapshot: Snapshot
    duties: Duties
    deposed: list[bool] = attrs.field(factory=list)
    cluster: Cluster = attrs.field(init=False)
    table: JobTable = attrs.field(init=False)
    executor: Executor = attrs.field(init=False)

    def stop(self) -> None:
        """End the term and let go of the store, as a crash would: nothing is written."""
        self.duties.stopService()
        self.snapshot.stopService()

    def add_candidate(self, uuid: str) -> None:
        """Make a node a master candidate whose daemon is there to take over."""
        node = replace(self.snapshot.nodes[uuid], master_candidate=True)
        there = CandidateRecord(uuid=uuid, since=self.now(), version="1")
        _now(self.store.commit(commit_of([node, there])))

    def now(self) -> float:
        """Seconds since the epoch, on the held clock."""
        return NOW + self.clock.seconds()


def _now(awaitable: Awaitable[Any]) -> Any:
    """The result of what needs no waiting."""
    results: list[Any] = []
    d: Deferred[Any] = Deferred.fromCoroutine(awaitable)  # type: ignore[arg-type]
    d.addBoth(results.append)
    if not results:
        raise AssertionError("it had to be answered at once")
    if hasattr(results[0], "raiseException"):
        results[0].raiseException()
    return results[0]


def _founded() -> IStateStore:
    """A store with the founding records."""
    store = MemoryStore()
    records, names = founding()
    _now(store.commit(commit_of(records, names=names)))
    return store


def _followed(store: IStateStore, clock: Clock) -> Snapshot:
    snapshot: Snapshot = _now(load(store, clock))
    snapshot.startService()
    return snapshot


async def _noted(made: list[Any], parts: Iterable[Any]) -> Service:
    made.extend(parts)
    return Service()


def make_cluster(
    store: IStateStore | None = None,
    nodes: FakeNodes | None = None,
    clock: Clock | None = None,
    failpoint: Failpoint = lambda _: None,
    seed: int = 0,
    quiet: Callable[[], Awaitable[None]] = lambda: succeed(None),
    watchdog: WatchdogRules = UNWATCHED,
    death: DeathRules = DeathRules(),  # noqa: B008 -- it is frozen
) -> FakeCluster:
    """
    A cluster of three simulated nodes at work.

    :param quiet: fires when no request is being answered; `watchdog`: how that acts; `death`: what is done
        about nodes that fall silent.
    :param store: one that a cluster was founded in before is taken over; a new one gets the founding records.
    """
    clock, nodes = clock or Clock(), nodes or FakeNodes(NODES)
    store = store or _founded()
    snapshot = _followed(store, clock)
    fake: FakeCluster
    made: list[Any] = []
    office = Office(
        store=store,
        snapshot=snapshot,
        nodes=nodes,
        clock=clock,
        now=lambda: NOW + clock.seconds(),
        chance=Random(seed),
        opened=lambda *parts: _noted(made, parts),
        deposed=lambda: fake.deposed.append(True),
        failpoint=failpoint,
        quiet=quiet,
        watchdog=watchdog,
        death=death,
    )
    fake = FakeCluster(store, nodes, clock, snapshot, Duties(office, 1))
    fake.duties.startService()
    fake.cluster, fake.table, fake.executor = made
    return fake
