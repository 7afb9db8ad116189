"""Tests of `twisted_rapi.cluster.fates`."""

from typing import Any

from msgspec.structs import replace
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from tests.unit.jobs.test_jobs import create
from twisted_rapi.errors import BadRequest
from twisted_rapi.model.opcodes import from_wire
from twisted_rapi.model.records import job_status
from twisted_rapi.plan.fate import TAG, DeathRules
from twisted_rapi.state.writer import commit_of
from twisted_rapi.testing.cluster import NODES, FakeCluster, make_cluster

TWO = NODES[1]
WEB, LOCAL, PLAIN = "web.example.com", "local.example.com", "plain.example.com"


class FatesCase(SynchronousTestCase):
    """A node with an instance on shared storage, one on its own disks, and one without the tag."""

    RULES = DeathRules()

    def setUp(self) -> None:
        self.fake = self.marked(make_cluster(death=self.RULES))
        self.addCleanup(self.end)
        for name, template in ((WEB, "sharedfile"), (LOCAL, "file"), (PLAIN, "sharedfile")):
            tags = [] if name == PLAIN else [TAG]
            self.submit(create(name, disk_template=template, pnode="node2.example.com", tags=tags))

    def marked(self, fake: FakeCluster) -> FakeCluster:
        """Its nodes are not heard of, as real ones, while they are marked offline."""
        fake.nodes.is_offline = lambda uuid: fake.snapshot.nodes[uuid].offline
        return fake

    def end(self) -> None:
        """End the term there is by then."""
        self.fake.stop()

    def now(self, awaitable: Any) -> Any:
        return self.successResultOf(Deferred.fromCoroutine(awaitable))

    def submit(self, op: Any) -> None:
        number = self.now(self.fake.cluster.submit([op]))
        job = self.fake.table.get(number)
        assert job is not None
        self.assertEqual(job_status(job), "success", job.ops[0].result)

    def set_down(self, down: bool) -> None:
        self.fake.nodes.nodes[TWO].down = down
        self.fake.nodes.changed(TWO)

    def pass_by(self, seconds: float) -> None:
        self.fake.clock.pump([1.0] * round(seconds))

    def fate(self) -> str | None:
        record = self.fake.snapshot.fates.get(TWO)
        return None if record is None else record.fate

    def where(self, name: str) -> list[int]:
        """On which nodes a guest runs."""
        nodes = self.fake.nodes.nodes.values()
        return [n for n, node in enumerate(nodes, 1) if not node.down and name in node.domains]


class FatesTests(FatesCase):
    """The node dies."""

    def confirm(self) -> Deferred[Any]:
        return Deferred.fromCoroutine(self.fake.cluster.fates.confirm(TWO, "op"))

    def test_suspected(self) -> None:
        """After long silence it is suspect; nothing is done for that, and it is well when it answers."""
        self.set_down(True)
        self.pass_by(29)
        self.assertIsNone(self.fate())
        self.pass_by(600)
        self.assertEqual((self.fate(), self.where(WEB)), ("suspect", []))
        self.assertFalse(self.fake.snapshot.nodes[TWO].offline)
        self.set_down(False)
        self.pass_by(10)
        self.assertIsNone(self.fate())

    def test_dead(self) -> None:
        """Confirmed, it is marked offline, and what may and can is started elsewhere, once."""
        self.set_down(True)
        self.pass_by(60)
        self.successResultOf(self.confirm())
        self.assertEqual(self.fate(), "fenced")
        self.pass_by(60)
        self.assertTrue(self.fake.snapshot.nodes[TWO].offline)
        self.assertEqual(len(self.where(WEB)), 1)
        self.assertEqual((self.where(LOCAL), self.where(PLAIN)), ([], []))
        failovers = [j for j in self.fake.table if j.ops[0].input["OP_ID"] == "OP_INSTANCE_FAILOVER"]
        self.assertEqual([job_status(j) for j in failovers], ["success"])
        self.assertEqual(failovers[0].ops[0].input["reason"][0][:2], ["rapi:fates", "confirmed by op"])

    def test_returns(self) -> None:
        """What it still runs of them is stopped once it is online again; the others' guests are let be."""
        self.test_dead()
        self.assertIn(WEB, self.fake.nodes.nodes[TWO].domains)
        self.set_down(False)
        self.pass_by(10)
        self.assertEqual(self.fate(), "recovering")
        self.submit(
            from_wire({"OP_ID": "OP_NODE_SET_PARAMS", "node_name": "node2.example.com", "offline": False})
        )
        self.fake.nodes.changed(TWO)
        self.pass_by(60)
        self.assertIsNone(self.fate())
        self.assertEqual(len(self.where(WEB)), 1)
        self.assertNotIn(2, self.where(WEB))
        self.assertEqual((self.where(LOCAL), self.where(PLAIN)), ([2], [2]))

    def test_next_master(self) -> None:
        """What is confirmed in one term is done in the next."""
        self.set_down(True)
        self.successResultOf(self.confirm())
        before = self.fake
        before.stop()
        self.fake = self.marked(make_cluster(before.store, before.nodes, before.clock))
        self.pass_by(60)
        self.assertTrue(self.fake.snapshot.nodes[TWO].offline)
        self.assertEqual(len(self.where(WEB)), 1)

    def test_refused(self) -> None:
        """One that answers, the master's, and one that is offline are not confirmed to be dead."""
        self.failureResultOf(self.confirm(), BadRequest)
        one = Deferred.fromCoroutine(self.fake.cluster.fates.confirm(NODES[0], "op"))
        self.failureResultOf(one, BadRequest)
        self.set_down(True)
        node = replace(self.fake.snapshot.nodes[TWO], offline=True)
        self.now(self.fake.store.commit(commit_of([node])))
        self.failureResultOf(self.confirm(), BadRequest)
        self.assertEqual(self.fake.snapshot.fates, {})
