"""Jobs whose clients, masters and nodes go away at awkward moments."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from tests.unit.jobs.test_jobs import JobCase, about, create, tag
from twisted_rapi.errors import ServiceUnavailable, StaleTerm, StepFailed
from twisted_rapi.jobs.archive import Archive
from twisted_rapi.jobs.table import JobTable
from twisted_rapi.model import steps
from twisted_rapi.model.mastership import ElectionRecord
from twisted_rapi.model.opcodes import Opcode
from twisted_rapi.model.records import FINAL, JobRecord, job_status
from twisted_rapi.plan.stage import Finish
from twisted_rapi.state.interface import Commit
from twisted_rapi.state.writer import commit_of
from twisted_rapi.testing.cluster import NODES, founding, make_cluster
from twisted_rapi.testing.memory_store import MemoryStore
from twisted_rapi.testing.nodes import FakeNodes


class SlowStore(MemoryStore):
    """A store whose commits can be held up; as with any store, cancelling one does not take it back."""

    def __init__(self) -> None:
        super().__init__()
        self.held: list[tuple[Commit, Deferred[int]]] | None = None

    def hold(self) -> None:
        """Hold commits up until `release`."""
        self.held = []

    def release(self) -> None:
        """Make those that are held up, in order, and all later ones at once."""
        held, self.held = self.held or [], None
        for change, answer in held:
            Deferred.fromCoroutine(super().commit(change)).addBoth(self._tell, answer)

    def _tell(self, result: Any, answer: Deferred[int]) -> None:
        if not answer.called:
            answer.callback(result)

    async def commit(self, change: Commit) -> int:
        """Make the change, now or later."""
        if self.held is None:
            return await super().commit(change)
        answer: Deferred[int] = Deferred()
        self.held.append((change, answer))
        return await answer


class SlowCase(JobCase):
    """Has a cluster over a store that can be held up."""

    STORE = SlowStore

    def setUp(self) -> None:
        self.store = self.STORE()
        records, names = founding()
        self.now(self.store.commit(commit_of(records, names=names)))
        self.fake = make_cluster(self.store)
        self.addCleanup(self.end)

    def ask(self, awaitable: Any) -> Deferred[Any]:
        """Begin something whose end the test awaits later."""
        return Deferred.fromCoroutine(awaitable)

    def next_master(self, nodes: FakeNodes | None = None) -> None:
        """End the term, and begin another over the same store."""
        self.fake.stop()
        self.fake = make_cluster(self.store, nodes or self.fake.nodes)

    def silent(self) -> FakeNodes:
        """The same nodes, none of which answers yet."""
        for node in self.fake.nodes.nodes.values():
            node.down = True
        return self.fake.nodes

    def heard(self) -> None:
        """All nodes answer."""
        for uuid, node in self.fake.nodes.nodes.items():
            node.down = False
            self.fake.nodes.changed(uuid)

    def half_made(self, op: Opcode) -> int:
        """A job that has been stored as begun and whose master is gone; the next waits for the nodes."""
        self.fake.nodes.hold()
        number = self.submit(op)
        # The first step only looks; the one after the first commit makes something.
        held, self.fake.nodes.held = self.fake.nodes.held or [], []
        for d in held:
            d.callback(None)
        self.assertTrue(self.job(number).ops[0].stage)
        self.fake.stop()
        self.fake.nodes.held = None
        self.next_master(self.silent())
        return number


class SubmissionTests(SlowCase):
    """Clients that do not wait for the answer."""

    def test_client_gone(self) -> None:
        """A job whose client went away while it was being stored runs like any other."""
        self.store.hold()
        asked = self.ask(self.fake.cluster.submit([tag()]))
        asked.cancel()
        self.failureResultOf(asked, CancelledError)
        self.store.release()
        self.assertEqual(self.status(1), "success")

    def test_term_gone(self) -> None:
        """A job that is stored as the term ends is acknowledged, and begun by the next master only."""
        self.store.hold()
        asked = self.ask(self.fake.cluster.submit([create()]))
        self.fake.duties.stopService()
        self.store.release()
        self.assertEqual(self.successResultOf(asked), 1)
        self.assertEqual(self.fake.nodes.nodes[NODES[0]].done, [])
        self.next_master()
        self.assertEqual(self.status(1), "success")


class CancelTests(SlowCase):
    """Cancelling at awkward moments."""

    def waiting(self) -> int:
        """A job that waits for a lock."""
        self.fake.nodes.hold()
        self.submit(create())
        return self.submit(about("SHUTDOWN"))

    def test_from_queue(self) -> None:
        """A job that was not begun has no start and no result when it is cancelled."""
        self.next_master(self.silent())
        number = self.submit(tag())
        self.assertEqual(self.now(self.fake.cluster.cancel(number)), (True, f"Dequeued job {number}"))
        job = self.job(number)
        self.assertEqual((job_status(job), job.start_ts, job.ops[0].result), ("canceled", None, None))
        self.assertIsNotNone(job.end_ts)

    def test_waiting(self) -> None:
        """A job that waited says so in its result."""
        number = self.waiting()
        self.assertEqual(self.now(self.fake.cluster.cancel(number)), (True, "Job successfully cancelled"))
        self.assertEqual(self.job(number).ops[0].result, "Job canceled by request")
        again = self.now(self.fake.cluster.cancel(number))
        self.assertEqual(again, (False, f"Job {number} not found in queue"))

    def test_durable_first(self) -> None:
        """Nobody is told before it is stored; who asks meanwhile is told the same then."""
        number = self.waiting()
        self.store.hold()
        asked = [self.ask(self.fake.cluster.cancel(number)) for _ in range(2)]
        self.assertEqual([d.called for d in asked], [False, False])
        self.assertEqual(self.status(number), "waiting")
        self.store.release()
        told = (True, "Job successfully cancelled")
        self.assertEqual([self.successResultOf(d) for d in asked], [told, told])

    def test_client_gone(self) -> None:
        """A client that goes away after asking changes nothing."""
        number = self.waiting()
        self.store.hold()
        asked = self.ask(self.fake.cluster.cancel(number))
        asked.cancel()
        self.failureResultOf(asked, CancelledError)
        self.store.release()
        self.assertEqual(self.status(number), "canceled")

    def test_deposed(self) -> None:
        """When the term ends before it is stored, who asked is told to ask again."""
        number = self.waiting()
        self.now(self.store.commit(commit_of([ElectionRecord(term=2, node="x")])))
        asked = self.ask(self.fake.cluster.cancel(number))
        self.failureResultOf(asked, ServiceUnavailable)
        self.assertTrue(self.fake.deposed)

    def test_running(self) -> None:
        """A job that runs goes on."""
        self.fake.nodes.hold()
        number = self.submit(create())
        told = (False, "Job no longer waiting, can't cancel (informed it anyway)")
        self.assertEqual(self.now(self.fake.cluster.cancel(number)), told)
        self.fake.nodes.release()
        self.assertEqual(self.status(number), "success")

    def test_half_made(self) -> None:
        """A job begun under an earlier master cannot be cancelled any more: it is finished."""
        number = self.half_made(create())
        done, text = self.now(self.fake.cluster.cancel(number))
        self.assertEqual((done, text), (False, "Job no longer waiting, can't cancel (informed it anyway)"))
        self.assertEqual(self.status(number), "running")
        self.heard()
        self.assertEqual(self.status(number), "success")
        self.assertEqual([i.pending for i in self.fake.snapshot.instances.values()], [None])


class DependencyTests(SlowCase):
    """Dependencies that are archived meanwhile."""

    def test_archived(self) -> None:
        """A job in the archive counts by how it ended."""
        good, bad = self.submit(tag()), self.submit(about("SHUTDOWN", "nobody"))
        self.fake.clock.advance(6 * 3600 + 1)
        self.assertEqual(list(self.fake.cluster.jobs()), [])
        self.assertEqual(self.status(self.submit(tag(depends=[[good, ["success"]]]))), "success")
        self.assertEqual(self.status(self.submit(tag(depends=[[bad, ["success"]]]))), "error")

    def test_met_before_the_crash(self) -> None:
        """One that was met when the job began is not asked about again."""
        first = self.submit(tag())
        number = self.half_made(create(depends=[[first, ["success"]]]))
        self.now(self.store.commit(Commit(deletes=frozenset([f"job/{first:020d}"]))))
        self.fake.table.drop(first)
        self.heard()
        self.assertEqual(self.status(number), "success")


class BugTests(SlowCase):
    """What should never happen still ends."""

    def test_stray_cancellation(self) -> None:
        """A call that somebody cancelled ends its job with an incident, and frees its locks."""
        node = self.fake.nodes.nodes[NODES[0]]
        node.faults[steps.StartDomain] = [CancelledError()]
        number = self.submit(create())
        self.assertIn("incident", str(self.job(number).ops[0].result))
        self.assertEqual(len(self.flushLoggedErrors(CancelledError)), 1)
        self.assertEqual(self.status(self.submit(about("REMOVE"))), "success")

    def test_bug_in_step(self) -> None:
        """A bug on the way to a node counts as a failed step: what was half made is removed."""
        node = self.fake.nodes.nodes[NODES[0]]
        node.faults[steps.RunOs] = [ZeroDivisionError("odd")]
        number = self.submit(create())
        self.assertEqual(
            self.job(number).ops[0].result,
            ["OpExecError", ["Node node1.example.com: internal error, see the master's log"]],
        )
        self.assertEqual((node.volumes, self.fake.snapshot.instances), ({}, {}))
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_log_once(self) -> None:
        """Lines of a stage that met a conflict are logged once."""
        cluster = self.fake.snapshot.cluster
        asked = []

        def plan(op: Opcode, progress: Any, view: Any) -> Finish:
            asked.append(op)
            taken = {"name/instance/x": "u"} if len(asked) == 1 else {"name/instance/y": "u"}
            return Finish(names=taken, log=("line",))

        self.now(self.store.commit(Commit(puts={"name/instance/x": b"{}"})))
        object.__setattr__(self.fake.executor._means, "plans", {type(tag()): plan})
        job = self.job(self.submit(tag()))
        self.assertEqual((len(asked), [line[3] for line in job.ops[0].log]), (2, ["line"]))
        self.assertEqual(self.fake.snapshot.cluster, cluster)

    def test_crowd(self) -> None:
        """However many jobs change one record, none fails for that."""
        object.__setattr__(self.fake.executor._means, "locks_for", lambda *_: frozenset())
        self.store.hold()
        asked = [self.ask(self.fake.cluster.submit([tag(f"t{n}")])) for n in range(60)]
        for _ in range(200):
            held, self.store.held = self.store.held or [], []
            for change, answer in held:
                Deferred.fromCoroutine(MemoryStore.commit(self.store, change)).addBoth(answer.callback)
        self.assertEqual({self.status(self.successResultOf(d)) for d in asked}, {"success"})
        self.assertEqual(len(self.fake.snapshot.cluster.tags), 60)

    def test_old_term_on_node(self) -> None:
        """A node that knows a newer master ends the term; the job is left to that master."""
        node = self.fake.nodes.nodes[NODES[0]]
        node.faults[steps.RunOs] = [StaleTerm(1, 2)]
        number = self.submit(create())
        self.assertEqual((self.fake.deposed, self.status(number)), ([True], "running"))
        self.next_master()
        self.assertEqual(self.status(number), "success")


class LimitTests(SlowCase):
    """The limit on running jobs."""

    def limit(self, most: int) -> None:
        """Let the cluster allow so many."""
        cluster = replace(self.fake.snapshot.cluster, max_running_jobs=most)
        self.now(self.store.commit(commit_of([cluster])))

    def creations(self, count: int) -> list[int]:
        """Jobs that need no common lock."""
        return [
            self.submit(create(f"w{n}.example.com", pnode=f"node{n}.example.com"))
            for n in range(1, count + 1)
        ]

    def test_raised(self) -> None:
        """When it is raised, those that wait for it begin at once."""
        self.limit(1)
        self.fake.nodes.hold()
        numbers = self.creations(3)
        self.assertEqual([self.status(n) for n in numbers], ["running", "queued", "queued"])
        self.limit(3)
        self.assertEqual([self.status(n) for n in numbers], ["running"] * 3)

    def test_lowered(self) -> None:
        """When it is lowered, no job begins before fewer run."""
        self.limit(2)
        self.fake.nodes.hold()
        numbers = self.creations(3)
        self.limit(1)
        first = self.fake.executor._lives[numbers[0]]
        self.fake.executor.leave_slot()
        self.assertEqual((self.status(numbers[2]), first.job.id), ("queued", numbers[0]))
        self.fake.executor._slots += 1
        self.fake.nodes.release()
        self.assertEqual([self.status(n) for n in numbers], ["success"] * 3)


class TimerTests(SynchronousTestCase):
    """The archive's timer."""

    def test_one(self) -> None:
        """A job that ends while others are being archived leaves no second timer behind."""
        clock, store = Clock(), SlowStore()
        table = JobTable(clock)
        archive = Archive(store, table, clock, clock.seconds, 1, 100.0)
        archive.startService()
        self.addCleanup(archive.stopService)
        old = JobRecord(id=1, ops=(), received_ts=(0, 0), end_ts=(0, 0))
        table.put(old)
        store.hold()
        clock.advance(101)
        table.put(replace(old, id=2, end_ts=(101, 0)))
        store.release()
        self.assertEqual(([j.id for j in table], len(clock.getDelayedCalls())), ([2], 1))
        archive.stopService()
        self.assertEqual(clock.getDelayedCalls(), [])


class LeftoverTests(SlowCase):
    """What is left over and cannot be settled at once."""

    def test_back_off(self) -> None:
        """Each attempt waits twice as long as the one before."""
        node = self.fake.nodes.nodes[NODES[0]]
        node.faults[steps.RunOs] = [StepFailed("no", "os")]
        node.faults[steps.DeleteVolume] = [StepFailed("busy", "storage")] * 4
        self.submit(create())
        self.assertEqual(
            len(node.faults[steps.DeleteVolume]), 2, "the plan tried once and the reconciler too"
        )
        for seconds, left in ((29, 2), (1, 1), (59, 1), (1, 0), (119, 0)):
            self.fake.clock.advance(seconds)
            self.assertEqual(len(node.faults[steps.DeleteVolume]), left)
        self.assertEqual(len(self.fake.snapshot.leftovers), 1)
        self.fake.clock.advance(1)
        self.assertEqual((self.fake.snapshot.leftovers, node.volumes), ({}, {}))

    def test_once(self) -> None:
        """What the node reports while a leftover is settled does not make it be settled again."""
        self.run_job(create())
        self.run_job(about("SHUTDOWN"))
        node = self.fake.nodes.nodes[NODES[0]]
        node.down = True
        self.run_job(about("REMOVE", ignore_failures=True))
        node.down = False
        node.done.clear()
        self.fake.nodes.changed(NODES[0])
        self.assertEqual([type(step) for step in node.done], [steps.StopDomain, steps.DeleteVolume])
        self.assertEqual(self.fake.snapshot.leftovers, {})


Act = tuple[str, int, int, int]

ACTS = st.lists(
    st.tuples(
        st.sampled_from(
            ("create", "shutdown", "remove", "tag", "depend", "cancel", "hold", "release", "crash")
        ),
        st.integers(1, 3),
        st.sampled_from((-10, 0, 10)),
        st.integers(1, 30),
    ),
    max_size=30,
)


class InterleavingTests(SynchronousTestCase):
    """Any order of submissions, cancellations, held nodes and new masters."""

    def op(self, what: str, which: int, priority: int, number: int) -> Opcode:
        """The opcode an act submits."""
        name = f"w{which}.example.com"
        if what == "create":
            return create(name, pnode=f"node{which}.example.com", priority=priority)
        if what in ("shutdown", "remove"):
            return about(what.upper(), name, priority=priority)
        depends = [[number, ["success", "error"]]] if what == "depend" else None
        return tag(f"t{number}", priority=priority, depends=depends)

    @settings(max_examples=100, deadline=None)
    @given(ACTS)
    def test_all_end(self, acts: list[Act]) -> None:
        """Every job ends; those told to be cancelled are; no lock stays held; nothing is orphaned."""
        fake = make_cluster()
        submitted: list[int] = []
        canceled: set[int] = set()
        for what, which, priority, number in acts:
            if what == "hold":
                fake.nodes.held = fake.nodes.held or []
            elif what == "release":
                fake.nodes.release()
            elif what == "crash":
                fake.stop()
                fake.nodes.held = None
                fake = make_cluster(fake.store, fake.nodes)
            elif what == "cancel":
                done, _ = self.successResultOf(Deferred.fromCoroutine(fake.cluster.cancel(number)))
                canceled |= {number} if done else set()
            else:
                op = self.op(what, which, priority, number)
                submitted.append(self.successResultOf(Deferred.fromCoroutine(fake.cluster.submit([op]))))
        fake.nodes.release()
        jobs = {job.id: job for job in fake.cluster.jobs()}
        self.assertEqual((sorted(jobs), submitted), (submitted, list(range(1, len(submitted) + 1))))
        self.assertEqual({job_status(job) for job in jobs.values()} - FINAL, set())
        self.assertEqual({n for n in canceled if job_status(jobs[n]) != "canceled"}, set())
        self.assertEqual((fake.executor.locks.holders(), fake.executor.locks.waiting()), ({}, []))
        self.assertEqual((fake.executor._slots, fake.executor._running), (0, {}))
        disks = {d.logical_id[1] for i in fake.snapshot.instances.values() for d in i.disks}
        self.assertEqual({p for n in fake.nodes.nodes.values() for p in n.volumes}, disks)
        self.assertEqual([i.name for i in fake.snapshot.instances.values() if i.pending is not None], [])
        fake.stop()
