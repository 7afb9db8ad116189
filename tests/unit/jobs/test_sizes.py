"""Jobs whose records would become too large for the store."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from tests.unit.jobs.test_interruptions import SlowCase, SlowStore
from tests.unit.jobs.test_jobs import create, tag
from twisted_rapi.errors import BodyTooLarge, CommitTooLarge, HooksAbort, OpExecError
from twisted_rapi.jobs import ends, sizes
from twisted_rapi.jobs.archive import Archive
from twisted_rapi.jobs.table import JobTable
from twisted_rapi.model.records import FINAL, JobRecord, OpRecord, job_key, job_status
from twisted_rapi.plan.stage import Change, Entry, Finish

LARGEST = 64 * 1024
NOW = (5, 0)


class SmallStore(SlowStore):
    """A store that takes little at once."""

    def __init__(self) -> None:
        super().__init__()
        self.largest = self.refused = LARGEST


class SizeCase(SlowCase):
    """Opcodes that end as a test says, over a store that takes little at once."""

    STORE = SmallStore
    store: SmallStore

    def planned(self, *stages: Any) -> None:
        """Opcodes that tag the cluster ``plan N`` go on with the stage of this number."""
        plans = dict(self.fake.executor._means.plans)
        plan = plans[type(tag())]

        def choose(op: Any, progress: Any, view: Any) -> Any:
            if not op.tags[0].startswith("plan"):
                return plan(op, progress, view)
            stage = stages[int(op.tags[0].split()[1])]
            return stage(progress) if callable(stage) else stage

        plans[type(tag())] = choose
        object.__setattr__(self.fake.executor._means, "plans", plans)

    def ended(self, *stages: Any, **more: Any) -> JobRecord:
        """The end of a job whose opcodes come to these stages; its term has not ended for it."""
        self.planned(*stages)
        number = self.submit(*(tag(f"plan {n}", **more) for n in range(len(stages))))
        self.assertEqual(self.fake.deposed, [])
        found = self.job(number)
        self.assertIn(job_status(found), FINAL)
        return found

    def stored(self, number: int) -> int:
        """The bytes of a job's record."""
        return len(self.now(self.store.get([job_key(number)]))[job_key(number)].value)


class ResultTests(SizeCase):
    """Results and log lines."""

    def test_looked(self) -> None:
        """An opcode that only looked ends in an error that says why; the next job runs."""
        job = self.ended(Finish(result="x" * 2 * LARGEST, log=("looked",)))
        [op] = job.ops
        self.assertEqual((op.status, op.result[0]), ("error", "OpExecError"))
        self.assertIn("too large to be kept", op.result[1][0])
        self.assertEqual([entry[3] for entry in op.log], ["looked"])
        self.run_job(tag("after"))

    def test_changed(self) -> None:
        """One that changed something has succeeded, with a note in place of its result."""
        changed = self.fake.snapshot.groups
        [group] = changed.values()
        job = self.ended(Finish(result="x" * 2 * LARGEST, puts=(group,)))
        self.assertEqual(job.ops[0].status, "success")
        self.assertIn("too large to be kept", job.ops[0].result)

    def test_several(self) -> None:
        """What the first opcodes of a job come to leaves room for the ends of the others."""
        large = Finish(result="x" * (LARGEST // 3))
        job = self.ended(large, *[Finish(result="done")] * 12)
        self.assertEqual([op.status for op in job.ops], ["error"] * 13)
        few = self.ended(large, *[Finish(result="done")] * 4)
        self.assertEqual([op.result for op in few.ops[1:]], ["done"] * 4)
        self.assertEqual(len(few.ops[0].result), LARGEST // 3)

    def test_error(self) -> None:
        """A long error keeps its class, its code and the beginning of its text."""
        job = self.ended(Finish(error=OpExecError("y" * 3 * LARGEST, "io_error")))
        name, (text, code) = job.ops[0].result
        self.assertEqual((name, code, text[:3]), ("OpExecError", "io_error", "yyy"))
        refused = HooksAbort((f"node{n}", "script", "z" * LARGEST) for n in range(5))
        self.assertEqual(self.ended(Finish(error=refused)).ops[0].result[0], "HooksAbort")

    def test_log(self) -> None:
        """Lines that accumulate are cut, and the last one says so; clients follow them by their serials."""
        lines = tuple(f"line {n} {'x' * 100}" for n in range(200))

        def go_on(progress: Any) -> Any:
            done = int(progress.stage or 0)
            return Change(stage=str(done + 1), log=lines) if done < 10 else Finish(result="well", log=lines)

        job = self.ended(go_on, Finish(log=("after",)))
        self.assertEqual((job.ops[0].status, job.ops[0].result), ("success", "well"))
        texts = [entry[3] for op in job.ops for entry in op.log]
        serials = [entry[0] for op in job.ops for entry in op.log]
        self.assertIn(sizes.FULL, texts)
        self.assertEqual((serials, len(set(serials))), (sorted(serials), len(serials)))

    def test_restarted(self) -> None:
        """A new master finds the end as it was told."""
        number = self.ended(Finish(result="x" * 2 * LARGEST)).id
        before = self.job(number)
        self.next_master()
        self.assertEqual((self.job(number), self.fake.deposed), (before, []))


class ChangeTests(SizeCase):
    """Changes that the store does not take at once."""

    def test_records(self) -> None:
        """An opcode that changes too much at once fails, nothing of it is written."""
        [group] = self.fake.snapshot.groups.values()
        large = replace(group, tags=("t" * 2 * LARGEST,))
        for stage in (
            Finish(puts=(large,)),
            Change(stage="x", puts=(large,)),
            Change(stage="x", kept={"k": "v" * LARGEST}),
        ):
            job = self.ended(stage)
            self.assertEqual(job.ops[0].status, "error")
            self.assertIn("cannot be stored", job.ops[0].result[1][0])
        self.assertEqual(self.fake.snapshot.groups[group.uuid], group)

    def test_keys(self) -> None:
        """So does one that changes too many things; the jobs it would have submitted are not there."""
        self.store.most_keys = 20
        job = self.ended(Finish(jobs=((tag("a"),),) * 30))
        self.assertEqual((job.ops[0].status, len(list(self.fake.cluster.jobs()))), ("error", 1))
        self.run_job(tag("after"))

    def test_jobs(self) -> None:
        """Of the jobs it submits those are accepted that go into one commit; the others say why not."""
        job = self.ended(Finish(jobs=tuple((tag(f"t{n}", comment="c" * 1000),) for n in range(60))))
        well = [accepted for accepted, _ in job.ops[0].result["jobs"]]
        self.assertEqual((job.ops[0].status, well), ("success", sorted(well, reverse=True)))
        self.assertIn(True, well)
        self.assertIn("too large", job.ops[0].result["jobs"][-1][1])
        self.assertEqual({job_status(other) for other in self.fake.cluster.jobs()}, {"success"})


class SmallerStoreTests(SizeCase):
    """A store that is set up to take less than it should."""

    def test_ends(self) -> None:
        """A job ends in what fits, however little that is."""
        self.store.largest = 100 * LARGEST
        for refused in (2000, 8000, 20_000):
            self.next_master()
            self.store.refused = LARGEST
            lines = tuple("l" * 300 for _ in range(20))
            self.planned(Finish(result="r" * 30_000, log=lines), Finish(error=OpExecError("e" * 30_000)))
            self.fake.nodes.hold()
            number = self.submit(tag("plan 0", comment="c" * 1000), tag("plan 1"), create(f"web{refused}"))
            self.fake.nodes.release()
            self.assertIn(self.status(number), FINAL)
            self.store.refused = refused
            number = self.submit(tag("plan 0", comment="c" * 500), tag("plan 1"))
            self.assertEqual((self.status(number), self.fake.deposed), ("error", []))
            self.assertLessEqual(self.stored(number), refused)

    def test_bare(self) -> None:
        """Where even the parameters have no room they are left out of what is kept of the end."""
        self.store.largest = 100 * LARGEST
        self.next_master()
        self.planned(Finish(result="r" * 300))
        self.store.refused = 5000
        number = self.submit(tag("plan 0", comment="c" * 4400))
        self.assertIn(self.status(number), FINAL)
        self.assertEqual(self.fake.deposed, [])


class AcceptanceTests(SizeCase):
    """Jobs that are too large are not accepted."""

    def test_submitted(self) -> None:
        """One is refused, and costs no id."""
        self.run_job(tag("a"))
        for ops in ([tag("b", comment="c" * LARGEST)], [tag("b", comment="c" * 2000)] * 20):
            self.failureResultOf(self.ask(self.fake.cluster.submit(ops)), BodyTooLarge)
        self.assertEqual(self.submit(tag("c")), 2)

    def test_refused(self) -> None:
        """One that the store does not take is not accepted."""
        self.store.refused = 1000
        ops = [tag("b", comment="c" * 2000)]
        self.failureResultOf(self.ask(self.fake.cluster.submit(ops)), CommitTooLarge)

    def test_accepted(self) -> None:
        """The largest that is accepted can be ended in every way."""
        size = LARGEST // 4 - 600
        job = self.ended(Finish(error=OpExecError("e" * LARGEST)), comment="c" * size)
        self.assertEqual(job.ops[0].status, "error")
        self.assertEqual(job.ops[0].input["comment"], "c" * size)


class ArchiveTests(SynchronousTestCase):
    """Archiving many large jobs."""

    def test_parts(self) -> None:
        """They go in as many commits as it takes; one that does not fit keeps no other from going."""
        clock, store = Clock(), SmallStore()
        table = JobTable(clock)
        for n in range(1, 41):
            op = OpRecord(input={}, summary="", status="success", result="x" * (LARGEST // 10))
            table.put(JobRecord(id=n, ops=(op,), received_ts=(0, 0), end_ts=(0, 0)))
        huge = OpRecord(input={}, summary="", status="success", result="x" * LARGEST)
        table.put(JobRecord(id=20, ops=(huge,), received_ts=(0, 0), end_ts=(0, 0)))
        store.refused = LARGEST // 2
        clock.advance(101)
        archive = Archive(store, table, clock, clock.seconds, 1, 100.0)
        archive.startService()
        self.addCleanup(archive.stopService)
        self.assertEqual([job.id for job in table], [20])


texts = st.text(st.characters(codec="ascii"), max_size=3000)
operations = st.builds(
    OpRecord,
    input=st.just({"OP_ID": "OP_TAGS_SET"}),
    summary=st.just("TAGS_SET"),
    status=st.sampled_from(["success", "queued"]),
    result=texts,
    log=st.just(()),
)


class FittedTests(SynchronousTestCase):
    """`sizes.fitted`."""

    @given(st.lists(operations, min_size=1, max_size=5), st.data())
    def test_fits(self, ops: list[OpRecord], data: Any) -> None:
        """What is answered fits; a record that fits stays as it is."""
        job = JobRecord(id=1, ops=tuple(ops), received_ts=NOW)
        index = data.draw(st.integers(0, len(ops) - 1))
        most = data.draw(st.integers(100, 20_000))
        try:
            found = sizes.fitted(job, index, most)
        except CommitTooLarge:
            self.assertGreater(sizes.size_of(job), sizes.room_for(job, index, most))
            return
        self.assertLessEqual(sizes.size_of(found), most)
        if sizes.size_of(job) <= sizes.room_for(job, index, most):
            self.assertEqual(found, job)

    @given(st.lists(st.text(max_size=40_000).map(lambda t: t * 3), max_size=30))
    def test_lines(self, lines: list[str]) -> None:
        """The lines of a job never have more bytes than is allowed, each in its place."""
        job = JobRecord(id=1, ops=(OpRecord(input={}, summary=""),) * 2, received_ts=NOW)
        for n, line in enumerate(lines):
            index = 0 if n < len(lines) // 2 else 1
            job = ends.with_op(job, index, log=ends.log_with(job, index, [line] * 5, NOW))
        entries = [entry for op in job.ops for entry in op.log]
        self.assertLessEqual(sum(len(e[3].encode()) for e in entries), sizes.MOST_LOG + 200)
        self.assertEqual([e[0] for e in entries], list(range(1, len(entries) + 1)))

    def test_entries(self) -> None:
        """What is no text is kept as it is, or left out: half of it would say something else."""
        large = Entry("remote-import", {"disks": ["x" * (sizes.MOST_LOG // 3)]})
        job = JobRecord(id=1, ops=(OpRecord(input={}, summary=""),), received_ts=NOW)
        log = ends.log_with(job, 0, ["line"], NOW, [large] * 4)
        kept = [(n, NOW, "remote-import", large.value) for n in (2, 3)]
        self.assertEqual(log, ((1, NOW, "message", "line"), *kept, (4, NOW, "message", sizes.FULL)))
        small = sizes.fitted(ends.with_op(job, 0, log=log), 0, 2 * sizes.RESERVE)
        self.assertEqual((small.ops[0].log[0], small.ops[0].log[-1]), (log[0], log[-1]))
        self.assertEqual([e[2] for e in small.ops[0].log], ["message"] * 3)

    def test_wire(self) -> None:
        """What is left of an opcode without its parameters names it."""
        done = OpRecord(input={"OP_ID": "OP_QUERY", "x": "y" * 5000}, summary="Q" * 900, status="success")
        bare = sizes.fitted(JobRecord(id=1, ops=(done,), received_ts=NOW), 0, 600)
        self.assertEqual(bare.ops[0].input, {"OP_ID": "OP_QUERY"})
        self.assertLess(len(bare.ops[0].summary), 300)
