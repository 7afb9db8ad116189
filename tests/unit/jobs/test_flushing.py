"""A node is flushed and made ready by real jobs, whose masters die."""

from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.trial.unittest import SynchronousTestCase

from tests.unit.jobs.test_jobs import create
from twisted_rapi.model.opcodes import Opcode, from_wire
from twisted_rapi.model.records import FINAL, job_status
from twisted_rapi.model.steps import MigrateDomain
from twisted_rapi.testing.cluster import NODES, FakeCluster, make_cluster
from twisted_rapi.testing.nodes import FakeNodes

NAMES = ("web1.example.com", "web2.example.com")


class Dying:
    """
    Masters over one store, one of which dies at the place of this number.

    :ivar places: how many there have been.
    """

    def __init__(self, at: int = 0) -> None:
        self.at, self.places = at, 0
        first = make_cluster()
        self.store: Any = first.store
        self.nodes: FakeNodes = first.nodes
        self.ask(first.cluster.submit([_made(NAMES[0], "sharedfile")]))
        self.ask(first.cluster.submit([_made(NAMES[1], "file")]))
        first.stop()
        self.fake: FakeCluster = self._master()

    def _master(self) -> FakeCluster:
        return make_cluster(self.store, self.nodes, failpoint=self._reached)

    def _reached(self, _: str) -> None:
        self.places += 1
        if self.places == self.at:
            self.fake.stop()
            raise CancelledError  # what is under way is not done any more

    def end(self) -> None:
        """Let go of all."""
        self.fake.stop()

    def ask(self, awaitable: Any) -> Any:
        """The result of what needs no waiting; ``None`` when the master has died."""
        results: list[Any] = []
        Deferred.fromCoroutine(awaitable).addCallbacks(results.append, lambda f: f.trap(CancelledError))
        return results[0] if results else None

    def change(self, state: str) -> None:
        """Have all of it done, by another master where this one dies."""
        op = from_wire({"OP_ID": "OP_NODE_SET_DOMAIN_STATE", "node_name": "node1", "state": state})
        while self.ask(self.fake.cluster.submit([op])) is None:
            self.fake = self._master()
        if not self.fake.snapshot.running:
            self.fake = self._master()
        unended = [j for j in self.fake.cluster.jobs() if job_status(j) not in FINAL]
        assert not unended, unended

    def shown(self) -> tuple[str, list[tuple[str, str]]]:
        """What is wanted of the first node; where machines are, and their states."""
        snapshot = self.fake.snapshot
        wish = snapshot.domain_states.get(NODES[0])
        found = [snapshot.instances[snapshot.names["instance"][name]] for name in NAMES]
        return "ready" if wish is None else wish.state, [(i.primary_node[-1], i.admin_state) for i in found]


def _made(name: str, template: str) -> Opcode:
    return create(name, disk_template=template)


class FlushTests(SynchronousTestCase):
    """Wherever the master dies, the next one goes on."""

    def through(self, at: int) -> Dying:
        """Flush a node and make it ready again, with a master that dies there."""
        dying = Dying(at)
        self.addCleanup(dying.end)
        dying.change("flush")
        self.assertEqual(dying.shown(), ("flushed", [("2", "up"), ("1", "down")]), at)
        dying.change("ready")
        self.assertEqual(dying.shown(), ("ready", [("1", "up"), ("1", "up")]), at)
        self.assertEqual(dying.fake.snapshot.machines, {})
        return dying

    def test_everywhere(self) -> None:
        """Before and after each commit, and after steps; no machine is moved more often than that."""
        calm = self.through(0)
        self.assertGreater(calm.places, 40)
        for at in range(1, calm.places + 1):
            dying = self.through(at)
            moves = [s for n in NODES for s in dying.nodes.nodes[n].done if isinstance(s, MigrateDomain)]
            self.assertEqual(len(moves), 2, at)
