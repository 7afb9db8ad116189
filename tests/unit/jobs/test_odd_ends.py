"""Stores that fail, records that change while a job waits, jobs that submit jobs."""

from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from tests.unit.jobs.test_interruptions import SlowCase, SlowStore
from tests.unit.jobs.test_jobs import about, create, tag
from twisted_rapi.errors import StepFailed, StoreError
from twisted_rapi.jobs.archive import Archive, archived
from twisted_rapi.jobs.table import JobTable
from twisted_rapi.model import steps
from twisted_rapi.model.opcodes import Opcode
from twisted_rapi.model.records import JobRecord, job_status
from twisted_rapi.plan.locks import Lock
from twisted_rapi.plan.stage import Finish
from twisted_rapi.state.interface import Commit, Page
from twisted_rapi.testing.cluster import NODES, make_cluster
from twisted_rapi.testing.memory_store import MemoryStore


class FailingStore(SlowStore):
    """A store that does not take what `refuses` says of a commit, and lists only while `listable`."""

    refuses: Any = staticmethod(lambda _: False)
    listable = True

    async def commit(self, change: Commit) -> int:
        """Make the change, or fail."""
        if self.refuses(change):
            raise StoreError("the disk is full")
        return await super().commit(change)

    async def list(self, prefix: str, after: str = "", limit: int = 1000) -> Page:
        """Part of a listing, or a failure."""
        if not self.listable and prefix == "job/":
            raise StoreError("the disk is gone")
        return await super().list(prefix, after, limit)


class FailingStoreTests(SlowCase):
    """A store that fails ends the term: what is in it goes on under the next one."""

    STORE = FailingStore
    store: FailingStore

    def test_running(self) -> None:
        """A job whose progress cannot be stored is neither ended nor lost; the next master finishes it."""
        self.fake.nodes.hold()
        number = self.submit(create())
        self.store.refuses = lambda change: f"job/{number:020d}" in change.puts
        self.fake.nodes.release()
        self.assertTrue(self.fake.deposed)
        self.assertNotIn(self.status(number), ("success", "error"))
        self.store.refuses = lambda _: False
        self.next_master()
        self.assertEqual(self.status(number), "success")
        disks = {d.logical_id[1] for i in self.fake.snapshot.instances.values() for d in i.disks}
        self.assertEqual(set(self.fake.nodes.nodes[NODES[0]].volumes), disks)

    def test_not_accepted(self) -> None:
        """A job that cannot be stored is not acknowledged and not run; nor is one nobody waits for."""
        self.store.refuses = lambda _: True
        self.failureResultOf(self.ask(self.fake.cluster.submit([tag()])), StoreError)
        self.store.refuses = lambda _: False
        self.store.hold()
        asked = self.ask(self.fake.cluster.submit([tag()]))
        asked.cancel()
        self.failureResultOf(asked, CancelledError)
        [(_, answer)] = self.store.held or []
        answer.errback(StoreError("the disk is full"))
        self.store.held = None
        self.assertEqual((list(self.fake.cluster.jobs()), self.fake.snapshot.cluster.tags), ([], ()))

    def test_no_beginning(self) -> None:
        """A term whose jobs cannot be read is given up; nothing of it is left running."""
        self.submit(tag())
        self.fake.stop()
        self.store.listable = False
        with self.assertRaises(ValueError):  # there is no cluster to give
            make_cluster(self.store, self.fake.nodes, self.fake.clock)
        self.assertEqual(len(self.flushLoggedErrors(StoreError)), 1)
        self.store.listable = True
        self.fake = make_cluster(self.store, self.fake.nodes)
        self.assertEqual([job_status(job) for job in self.fake.cluster.jobs()], ["success"])


class ArchiveStoreTests(SynchronousTestCase):
    """The archive over a store that fails."""

    def test_again(self) -> None:
        """What could not be archived stays, and is tried again a second later."""
        clock, store = Clock(), FailingStore()
        table = JobTable(clock)
        table.put(JobRecord(id=1, ops=(), received_ts=(0, 0), end_ts=(0, 0)))
        store.refuses = lambda _: True
        clock.advance(101)
        archive = Archive(store, table, clock, clock.seconds, 1, 100.0)
        archive.startService()
        self.addCleanup(archive.stopService)
        self.assertEqual([job.id for job in table], [1])
        store.refuses = lambda _: False
        clock.advance(1)
        self.assertEqual(list(table), [])

    def test_no_id(self) -> None:
        """What cannot be an id is not looked for."""
        for number in (-1, 10**20):
            self.assertIsNone(self.successResultOf(Deferred.fromCoroutine(archived(MemoryStore(), number))))


class ChangingLocksTests(SlowCase):
    """What a job is about changes while it waits."""

    def test_asked_anew(self) -> None:
        """A job that needs other locks once it has those it asked for waits for the others instead."""
        wanted = [frozenset({Lock("instance", "a")}), frozenset({Lock("instance", "b")})]
        asked: list[Opcode] = []

        def locks_for(op: Opcode, view: Any) -> frozenset[Lock]:
            asked.append(op)
            return wanted[0] if len(asked) == 1 else wanted[1]

        executor = self.fake.executor
        executor.locks.request(900, 0, 900, wanted[1])
        object.__setattr__(executor._means, "locks_for", locks_for)
        number = self.submit(tag())
        self.assertEqual(
            (self.status(number), list(executor.locks.holders())), ("waiting", [("instance", "b")])
        )
        executor.release(900)
        self.assertEqual((self.status(number), executor.locks.holders()), ("success", {}))


class SubmittingTests(SlowCase):
    """A job that submits jobs with its end."""

    def submitting(self, *jobs: tuple[Opcode, ...], op: Opcode | None = None, **more: Any) -> JobRecord:
        """Run one that ends by submitting these."""
        plans = dict(self.fake.executor._means.plans)
        plan = plans[type(tag())]

        def planned(op: Any, progress: Any, view: Any) -> Any:
            return Finish(jobs=jobs, **more) if op.tags == ["submit"] else plan(op, progress, view)

        plans[type(tag())] = planned
        object.__setattr__(self.fake.executor._means, "plans", plans)
        return self.job(self.submit(op or tag("submit")))

    def test_submitted(self) -> None:
        """They are in the result, run, and may depend on each other; the next id is after theirs."""
        job = self.submitting((tag("x"),), (tag("y", depends=[[-1, ["success"]]]),))
        self.assertEqual(job.ops[0].result, {"jobs": [[True, 2], [True, 3]]})
        self.assertEqual([self.status(2), self.status(3)], ["success", "success"])
        self.assertEqual(self.job(3).ops[0].input["depends"], [(2, ["success"])])
        self.next_master()
        self.assertEqual(self.submit(tag()), 4)

    def test_inherited(self) -> None:
        """They have the reasons of who submitted them, its priority, and a comment that says so."""
        reason = ["gnt:user", "upgrade", 5]
        parent = tag("submit", reason=[reason], priority=10)
        job = self.submitting((tag("x"), tag("y", comment="own", priority=-10)), op=parent)
        of_parent = job.ops[0].input["reason"]
        self.assertEqual(of_parent[0], reason)
        x, y = (op.input for op in self.job(2).ops)
        self.assertEqual(
            [list(entry[:2]) for entry in x["reason"]][:2],
            [reason[:2], ["gnt:opcode:tags_set", "job=1;index=0"]],
        )
        self.assertEqual(list(x["reason"][2][:2]), ["gnt:opcode:tags_set", "job=2;index=0"])
        self.assertEqual((x["comment"], x["priority"]), ("Submitted by OP_TAGS_SET", 10))
        self.assertEqual((y["comment"], y["priority"]), ("own", -10))

    def test_refused(self) -> None:
        """One that cannot be accepted is answered as the reason; so is one that depends on it."""
        first = (tag("x", depends=[[-9, []]]),)
        job = self.submitting(first, (tag("y", depends=[[-1, []]]),), (tag("z"),))
        result = job.ops[0].result
        self.assertEqual([well for well, _ in result["jobs"]], [False, False, True])
        self.assertIn("Relative job id -9", result["jobs"][0][1])
        self.assertIn("Relative job id -1", result["jobs"][1][1])
        self.assertEqual(self.fake.snapshot.cluster.tags, ("z",))

    def test_full(self) -> None:
        """When the queue is full the rest is refused."""
        self.fake.cluster._queue._limit = 2
        job = self.submitting((tag("x"),), (tag("y"),))
        self.assertEqual([well for well, _ in job.ops[0].result["jobs"]], [True, False])

    def test_next_master(self) -> None:
        """They go on under the next master like any others."""
        self.fake.nodes.hold()
        self.submitting((create(),), (about("SHUTDOWN", depends=[[-1, ["success"]]]),))
        self.assertEqual((self.status(1), self.status(2), self.status(3)), ("success", "running", "queued"))
        self.fake.stop()
        self.fake.nodes.held = None
        self.next_master()
        self.assertEqual({job_status(job) for job in self.fake.cluster.jobs()}, {"success"})
        self.assertEqual(self.fake.nodes.nodes[NODES[0]].domains, {})


class ReconcilerTests(SlowCase):
    """Leftovers that cannot be settled."""

    STORE = FailingStore
    store: FailingStore

    def left(self) -> Any:
        """A leftover of a node that is down."""
        self.run_job(create())
        node = self.fake.nodes.nodes[NODES[0]]
        node.down = True
        self.run_job(about("REMOVE", ignore_failures=True))
        self.assertEqual(len(self.fake.snapshot.leftovers), 1)
        return node

    def test_lost_again(self) -> None:
        """A node that goes away in the middle is waited for without a timer."""
        node = self.left()
        node.down = False
        self.fake.nodes.hold()
        self.fake.nodes.changed(NODES[0])
        node.down = True
        before = len(self.fake.clock.getDelayedCalls())
        self.fake.nodes.release()
        self.assertEqual(len(self.fake.clock.getDelayedCalls()), before)
        node.down = False
        self.fake.nodes.changed(NODES[0])
        self.assertEqual((self.fake.snapshot.leftovers, node.volumes), ({}, {}))

    def test_not_stored(self) -> None:
        """Work that is done but could not be noted as done is done again later."""
        node = self.left()
        self.store.refuses = lambda _: True
        node.down = False
        self.fake.nodes.changed(NODES[0])
        self.assertEqual((len(self.fake.snapshot.leftovers), node.volumes), (1, {}))
        self.store.refuses = lambda _: False
        self.fake.clock.advance(30)
        self.assertEqual(self.fake.snapshot.leftovers, {})

    def test_term_ends(self) -> None:
        """A reconciler that waits to try again leaves no timer behind."""
        node = self.left()
        node.faults[steps.DeleteVolume] = [StepFailed("busy", "storage")]
        node.down = False
        self.fake.nodes.changed(NODES[0])
        self.assertNotEqual(self.fake.clock.getDelayedCalls(), [])
        self.fake.duties.stopService()
        self.assertEqual(self.fake.clock.getDelayedCalls(), [])
