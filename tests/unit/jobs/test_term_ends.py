"""What a term's end means for those who wait, and for what is under way."""

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from tests.unit.jobs.test_interruptions import SlowCase
from tests.unit.jobs.test_jobs import about, create, tag
from twisted_rapi.errors import ServiceUnavailable, StaleTerm, StepFailed
from twisted_rapi.jobs.table import JobTable
from twisted_rapi.jobs.work import Worker
from twisted_rapi.model.mastership import ElectionRecord
from twisted_rapi.model.records import JobRecord
from twisted_rapi.model.steps import DeleteVolume, DiskSpec
from twisted_rapi.plan.stage import Do, InParallel, InSequence
from twisted_rapi.state.writer import commit_of
from twisted_rapi.testing.cluster import NODES
from twisted_rapi.testing.nodes import FakeNodes


class WaitingTests(SlowCase):
    """Who waits when the term ends."""

    def test_wait_for_change(self) -> None:
        """Who waits for a job to change is told to ask again, at once; no timer is left."""
        self.fake.nodes.hold()
        number = self.submit(create())
        waiting = self.ask(self.fake.cluster.wait(number, lambda _: True, 600.0))
        self.assertNoResult(waiting)
        self.fake.duties.stopService()
        self.failureResultOf(waiting, ServiceUnavailable)
        self.failureResultOf(self.ask(self.fake.cluster.wait(number, lambda _: True, 9)), ServiceUnavailable)
        self.assertEqual(self.fake.clock.getDelayedCalls(), [])

    def test_cancel_too_late(self) -> None:
        """A job that was let go cannot be cancelled by the master that let it go, which says so."""
        self.fake.nodes.hold()
        self.submit(create())
        number = self.submit(about("SHUTDOWN"))
        self.fake.duties.stopService()
        self.failureResultOf(self.ask(self.fake.cluster.cancel(number)), ServiceUnavailable)
        self.fake.nodes.held = None
        self.next_master()
        self.assertEqual(self.status(number), "success")

    def test_newer_master(self) -> None:
        """A master that sees another's term in the store resigns, even if it has nothing to write."""
        self.assertEqual(self.fake.deposed, [])
        self.now(self.store.commit(commit_of([ElectionRecord(term=1, node=NODES[0])])))
        self.assertEqual(self.fake.deposed, [])
        self.now(self.store.commit(commit_of([ElectionRecord(term=2, node=NODES[1])])))
        self.assertEqual(self.fake.deposed, [True])

    def test_forgets(self) -> None:
        """A term that is over looks at nothing any more: nobody observes, no timer runs."""
        self.submit(tag())
        self.fake.duties.stopService()
        self.assertEqual((self.fake.snapshot._observers, self.fake.nodes._observers), ([], []))
        self.assertEqual(self.fake.clock.getDelayedCalls(), [])


class ObserverTests(SynchronousTestCase):
    """Those who look on."""

    def test_failing(self) -> None:
        """One that fails is logged, and neither the job nor the others notice."""
        table, seen = JobTable(Clock()), []

        def broken(job: JobRecord) -> None:
            raise ZeroDivisionError("odd")

        table.observe(broken)
        table.observe(lambda job: seen.append(job.id))
        table.put(JobRecord(id=1, ops=(), received_ts=(0, 0)))
        self.assertEqual(seen, [1])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)


def delete(name: str, node: str = NODES[0]) -> Do:
    """A step."""
    disk = DiskSpec(uuid=name, index=0, template="file", size=1, logical_id=("loop", name))
    return Do(node, DeleteVolume(instance=name, disk=disk))


class WorkTests(SynchronousTestCase):
    """Steps side by side."""

    def setUp(self) -> None:
        self.nodes = FakeNodes(NODES)
        self.worker = Worker(self.nodes, 0.0, lambda uuid: uuid)

    def begin(self, *works: Any) -> Deferred[Any]:
        """Carry works out in parallel."""
        return Deferred.fromCoroutine(self.worker.carry_out(InParallel(works)))

    def test_waits_for_all(self) -> None:
        """When one ends in an error that ends the job, the others are waited for: locks are still needed."""
        self.nodes.nodes[NODES[0]].faults[DeleteVolume] = [StaleTerm(1, 2)]
        self.nodes.hold()
        done = self.begin(delete("a"), delete("b", NODES[1]))
        first, second = self.nodes.held or []
        first.callback(None)
        self.assertNoResult(done)
        second.callback(None)
        self.failureResultOf(done, StaleTerm)
        self.assertEqual(len(self.nodes.nodes[NODES[1]].done), 1)

    def test_cancelled(self) -> None:
        """Cancelling it lets go of all of them."""
        self.nodes.hold()
        done = self.begin(delete("a"), InSequence((delete("b", NODES[1]), delete("c"))))
        done.cancel()
        self.failureResultOf(done)
        self.nodes.release()
        self.assertEqual([node.done for node in self.nodes.nodes.values()], [[], [], []])

    def test_outcomes(self) -> None:
        """One outcome a step in the order of the steps, also of those that were not reached."""
        self.nodes.nodes[NODES[1]].faults[DeleteVolume] = [StepFailed("no", "storage")]
        nested = InSequence((delete("b", NODES[1]), InParallel((delete("c"), delete("d")))))
        outcomes = self.successResultOf(self.begin(delete("a"), nested))
        self.assertEqual([o is None for o in outcomes], [False, True, True, True])
        self.assertEqual(str(self.worker.error), f"Node {NODES[1]}: no")
