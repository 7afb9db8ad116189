"""Tests of `twisted_rapi.cluster.watchdog`."""

from typing import Any

from msgspec.structs import replace
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from tests.unit.jobs.test_jobs import about, create
from twisted_rapi.errors import StepFailed
from twisted_rapi.model import steps
from twisted_rapi.model.opcodes import Opcode
from twisted_rapi.model.records import JobRecord, job_status
from twisted_rapi.model.seen import DomainSeen
from twisted_rapi.plan.watchdog import WatchdogRules
from twisted_rapi.state.writer import commit_of
from twisted_rapi.testing.cluster import NODES, make_cluster

NAME = "web1.example.com"
RULES = WatchdogRules(wait=60.0, starts=3)


class WatchdogCase(SynchronousTestCase):
    """Has a cluster with an instance that runs."""

    def setUp(self) -> None:
        self.fake = make_cluster(watchdog=RULES)
        self.addCleanup(self.end)
        self.run_job(create())

    def end(self) -> None:
        """End the term there is by then."""
        self.fake.stop()

    def now(self, awaitable: Any) -> Any:
        return self.successResultOf(Deferred.fromCoroutine(awaitable))

    def run_job(self, *ops: Opcode) -> JobRecord:
        number = self.now(self.fake.cluster.submit(ops))
        job = self.fake.table.get(number)
        assert job is not None
        return job

    def kill(self, node: int = 0) -> None:
        """The guest ends by itself."""
        self.fake.nodes.nodes[NODES[node]].domains.pop(NAME, None)
        self.fake.nodes.changed(NODES[node])

    def running(self, node: int = 0) -> bool:
        return NAME in self.fake.nodes.nodes[NODES[node]].domains

    def change(self, *records: Any) -> None:
        self.now(self.fake.store.commit(commit_of(records)))

    def starts(self) -> list[JobRecord]:
        """The jobs of the watchdog."""
        return [job for job in self.fake.table if job.ops[0].input["reason"][0][0] == "rapi:watchdog"]

    def pass_by(self, seconds: float) -> None:
        self.fake.clock.pump([10.0] * round(seconds / 10))


class StartTests(WatchdogCase):
    """What is down is started."""

    def test_started(self) -> None:
        """One that died is started by a job once it has been down long enough, not before."""
        self.kill()
        self.pass_by(50)
        self.assertEqual((self.running(), self.starts()), (False, []))
        [down] = self.fake.cluster.watchdog.down()
        self.assertEqual((down.name, down.node, down.left), (NAME, "node1.example.com", ""))
        self.pass_by(10)
        self.assertTrue(self.running())
        [job] = self.starts()
        self.assertEqual((job_status(job), job.ops[0].summary), ("success", f"INSTANCE_STARTUP({NAME})"))
        self.assertEqual(self.fake.cluster.watchdog.down(), [])

    def test_back_by_itself(self) -> None:
        """One that is back in time is let be; its time begins anew when it dies again."""
        node = self.fake.nodes.nodes[NODES[0]]
        domain = node.domains[NAME]
        self.kill()
        self.pass_by(50)
        node.domains[NAME] = domain
        self.fake.nodes.changed(NODES[0])
        self.kill()
        self.pass_by(50)
        self.assertEqual(self.starts(), [])

    def test_wanted_down(self) -> None:
        """One that was stopped by a job stays stopped."""
        self.run_job(about("SHUTDOWN"))
        self.pass_by(300)
        self.assertEqual((self.running(), self.starts()), (False, []))

    def test_limit(self) -> None:
        """It is started so many times within an hour, then left with a reason, and started again later."""
        for _ in range(5):
            self.kill()
            self.pass_by(120)
        self.assertEqual((len(self.starts()), self.running()), (3, False))
        [down] = self.fake.cluster.watchdog.down()
        self.assertEqual(down.left, "it was started 3 times within an hour")
        self.pass_by(3600)
        self.assertEqual((len(self.starts()), self.running()), (4, True))

    def test_failing(self) -> None:
        """An attempt that fails counts."""
        faults = self.fake.nodes.nodes[NODES[0]].faults
        faults[steps.StartDomain] = [StepFailed("no", "hypervisor") for _ in range(9)]
        self.kill()
        self.pass_by(600)
        self.assertEqual([job_status(job) for job in self.starts()], ["error"] * 3)

    def test_counted_across_terms(self) -> None:
        """The next master goes on counting; it waits anew before it starts anything."""
        for _ in range(2):
            self.kill()
            self.pass_by(60)
        self.kill()
        self.pass_by(50)
        before = self.fake
        before.stop()
        self.fake = make_cluster(before.store, before.nodes, before.clock, watchdog=RULES)
        self.pass_by(50)
        self.assertFalse(self.running())
        self.pass_by(10)
        self.assertTrue(self.running())
        self.kill()
        self.pass_by(300)
        self.assertEqual((len(self.starts()), self.running()), (3, False))

    def test_removed(self) -> None:
        """Nothing is kept of an instance that is removed."""
        self.kill()
        self.pass_by(60)
        self.assertEqual(len(self.fake.snapshot.watched), 1)
        self.run_job(about("REMOVE"))
        self.assertEqual(self.fake.snapshot.watched, {})


class LetBeTests(WatchdogCase):
    """What is not touched."""

    def quiet(self) -> None:
        """Nothing is started."""
        self.pass_by(300)
        self.assertEqual(self.starts(), [])

    def test_off(self) -> None:
        """Nothing is when it is switched off."""
        before = self.fake
        before.stop()
        self.fake = make_cluster(before.store, before.nodes, before.clock)
        self.kill()
        self.quiet()
        self.assertEqual([d.left for d in self.fake.cluster.watchdog.down()], ["it is switched off"])

    def test_paused(self) -> None:
        """Nothing is while it is paused, and all is afterwards."""
        self.now(self.fake.cluster.watchdog.pause(1000.0))
        self.kill()
        self.quiet()
        self.assertEqual([d.left for d in self.fake.cluster.watchdog.down()], ["it is paused"])
        self.pass_by(800)
        self.assertTrue(self.running())

    def test_drained_queue(self) -> None:
        """A drained queue gets no job of it, and no start is counted."""
        self.change(replace(self.fake.snapshot.cluster, drained_queue=True))
        self.kill()
        self.quiet()
        self.assertEqual(self.fake.snapshot.watched, {})

    def test_node(self) -> None:
        """Nothing is started on a node that is silent, offline or drained, or has lost its hypervisor."""
        node, fake = self.fake.snapshot.nodes[NODES[0]], self.fake.nodes.nodes[NODES[0]]
        self.kill()
        self.change(replace(node, offline=True))
        self.quiet()
        self.change(replace(node, drained=True))
        self.quiet()
        self.assertEqual([d.left for d in self.fake.cluster.watchdog.down()], ["its node is drained"])
        self.change(node)
        fake.hypervisors = {}
        self.fake.nodes.changed(NODES[0])
        self.quiet()
        fake.hypervisors, fake.down = {"fake": "1"}, True
        self.fake.nodes.changed(NODES[0])
        self.quiet()
        self.assertEqual(self.fake.cluster.watchdog.down(), [])

    def test_under_way(self) -> None:
        """One that a job is about, even one that has not begun, is left to it."""
        self.fake.nodes.hold()
        self.kill()
        self.now(self.fake.cluster.submit([about("REBOOT", "web1", reboot_type="hard")]))
        self.quiet()
        self.fake.nodes.release()

    def test_elsewhere(self) -> None:
        """One that runs on another node is told of, and neither started nor stopped."""
        domain = self.fake.nodes.nodes[NODES[0]].domains[NAME]
        self.fake.nodes.nodes[NODES[1]].domains[NAME] = domain
        self.fake.nodes.changed(NODES[1])
        self.kill()
        self.quiet()
        self.assertTrue(self.running(1))
        [stranger] = self.fake.cluster.watchdog.strangers()
        self.assertEqual((stranger.node, stranger.why), (NODES[1], "its instance is to run on another node"))

    def test_moving(self) -> None:
        """One that a job is moving is no stranger, and none is told of over and over."""
        domain = self.fake.nodes.nodes[NODES[0]].domains[NAME]
        self.fake.nodes.hold()
        self.now(self.fake.cluster.submit([about("REBOOT", reboot_type="hard")]))
        self.fake.nodes.nodes[NODES[1]].domains[NAME] = domain
        self.fake.nodes.changed(NODES[1])
        self.pass_by(600)
        self.assertEqual(self.fake.cluster.watchdog.strangers(), [])
        self.fake.nodes.release()

    def test_unknown(self) -> None:
        """A guest of no instance is told of and let be."""
        seen = DomainSeen(name="x", uuid="y", hypervisor="fake", state="running")
        self.fake.nodes.nodes[NODES[2]].domains["x"] = seen
        self.fake.nodes.changed(NODES[2])
        self.quiet()
        [stranger] = self.fake.cluster.watchdog.strangers()
        self.assertEqual((stranger.name, stranger.why), ("x", "it belongs to no instance"))
        self.assertIn("x", self.fake.nodes.nodes[NODES[2]].domains)
