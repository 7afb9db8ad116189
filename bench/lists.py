"""How long the lists of a large cluster take to make, in this process: 200 nodes, 10 000 instances."""

import time
from collections.abc import Callable
from random import Random

from msgspec.structs import replace
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from bench.client import timed
from bench.records import instance
from twisted_rapi.cluster.answers import Answers
from twisted_rapi.model.records import NodeRecord
from twisted_rapi.model.seen import NodeReport
from twisted_rapi.state.snapshot import Snapshot, load
from twisted_rapi.state.writer import commit_of
from twisted_rapi.testing.cluster import GROUP, founding
from twisted_rapi.testing.memory_store import MemoryStore
from twisted_rapi.testing.nodes import FakeNode, FakeNodes

NODES, INSTANCES = 200, 10_000


class Reports(FakeNodes):
    """Nodes whose reports stay the same objects until they change, as those of real nodes do."""

    def __init__(self, uuids: list[str]) -> None:
        super().__init__(uuids)
        self.told: dict[str, NodeReport] = dict.fromkeys(uuids, FakeNode().report())

    @property
    def reports(self) -> dict[str, NodeReport]:
        """What was told last."""
        return self.told

    def tell(self, uuid: str, memory: int) -> None:
        """One node says something new."""
        self.told[uuid] = replace(self.told[uuid], memory_free=memory)
        self.changed(uuid)


async def _large() -> tuple[Snapshot, list[str]]:
    """A snapshot of that many, and the nodes' uuids."""
    records, names = founding()
    nodes = [node(n) for n in range(NODES)]
    instances = [instance(n, nodes[n % NODES].uuid) for n in range(INSTANCES)]
    store = MemoryStore()
    await store.commit(commit_of([*records, *nodes, *instances], names=names))
    return await load(store, Clock()), [n.uuid for n in nodes]


def node(n: int) -> NodeRecord:
    """The n-th node."""
    return NodeRecord(
        uuid=f"node-{n}",
        name=f"large{n}.example.com",
        group=GROUP,
        primary_ip="192.0.2.1",
        secondary_ip="192.0.2.1",
        agent_host="192.0.2.1",
        agent_port=1811,
    )


def lists(say: Callable[[str], None]) -> None:
    """Each list, made at first, and again after one node has reported."""
    made: list[tuple[Snapshot, list[str]]] = []
    Deferred.fromCoroutine(_large()).addCallback(made.append)
    snapshot, uuids = made[0]
    nodes = Reports(uuids)
    answers = Answers(snapshot, nodes, time.time, Random(0))

    def make(kind: str) -> None:
        Deferred.fromCoroutine(answers.bulk(kind))

    for what in ("node", "instance"):
        first = timed(make, what)
        again = []
        for n in range(5):
            nodes.tell(uuids[n], n)
            again.append(timed(make, what))
        say(
            f"list of all {what}s, {NODES} nodes and {INSTANCES} instances: first {first * 1000:.0f} ms, "
            f"after one node's report {min(again) * 1000:.1f} ms"
        )
