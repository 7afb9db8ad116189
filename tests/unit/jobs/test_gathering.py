"""Opcodes that look at many things, bit by bit."""

from typing import Any

from twisted.internet.task import Clock

from tests.unit.jobs.test_jobs import JobCase, create, tag
from twisted_rapi.jobs.slices import SLICE
from twisted_rapi.model.opcodes import Opcode, from_wire
from twisted_rapi.model.records import FINAL, ArchivedJobRecord, JobRecord, OpRecord, job_key, job_status
from twisted_rapi.plan import gathering
from twisted_rapi.state.interface import Commit, Page
from twisted_rapi.state.writer import commit_of
from twisted_rapi.testing.cluster import make_cluster
from twisted_rapi.testing.memory_store import MemoryStore


class Ticking(Clock):
    """A clock whose time passes by being looked at, as if everything took long."""

    tick = 0.0

    def seconds(self) -> float:
        """Later each time."""
        self.rightNow += self.tick
        return self.rightNow


def op(op_id: str, **parameters: Any) -> Opcode:
    """The opcode of this name."""
    return from_wire({"OP_ID": f"OP_{op_id}", **parameters})


def query(what: str, *fields: str, qfilter: Any = None) -> Opcode:
    """A query."""
    return op("QUERY", what=what, fields=list(fields), qfilter=qfilter)


def archived(number: int, **more: Any) -> ArchivedJobRecord:
    """A job in the archive."""
    done = OpRecord(input={"OP_ID": "OP_CLUSTER_VERIFY"}, summary="CLUSTER_VERIFY", status="success", **more)
    return ArchivedJobRecord(id=number, ops=(done,), received_ts=(5, 0))


class GatheringCase(JobCase):
    """A cluster on a clock that may tick."""

    def setUp(self) -> None:
        self.clock = Ticking()
        self.fake = make_cluster(clock=self.clock)
        self.addCleanup(self.end)

    def end(self) -> None:
        self.clock.tick = 0.0
        super().end()

    def put(self, *records: Any) -> None:
        """Commit records."""
        self.now(self.fake.store.commit(commit_of(records)))

    def result(self, opcode: Opcode) -> Any:
        """What it ends with."""
        return self.run_job(opcode).ops[0].result


class SliceTests(GatheringCase):
    """Others work in between."""

    def sliced(self, opcode: Opcode) -> JobRecord:
        """The end of an opcode that takes long; others were served while it was under way."""
        self.clock.tick = 2 * SLICE
        number = self.submit(opcode)
        self.assertEqual(self.status(number), "running")
        other = self.submit(tag(f"meanwhile{number}"))
        self.assertEqual(self.status(other), "success")
        for _ in range(200):
            if self.status(number) in FINAL:
                break
            self.clock.advance(0)
        self.clock.tick = 0.0
        return self.job(number)

    def test_opcodes(self) -> None:
        """All that go through objects let others work, and come to what they would have come to at once."""
        self.run_job(create())
        for opcode in (
            query("node", "name", "role"),
            query("instance", "name", "status"),
            query("job", "id", "status", qfilter=["<", "id", 3]),
            query("os", "name"),
            op("TAGS_SEARCH", pattern="^nothing"),
            op("INSTANCE_QUERY_DATA", static=True),
            op("INSTANCE_QUERY_DATA"),
            op("OS_DIAGNOSE", output_fields=["name", "valid"], names=[]),
        ):
            expected = self.result(opcode)
            found = self.sliced(opcode).ops[0]
            self.assertEqual((found.status, found.result), ("success", expected), opcode.OP_ID)

    def test_changes(self) -> None:
        """What changes meanwhile is seen, and what has gone is left out."""
        self.run_job(create("a.example.com"), create("b.example.com"), create("c.example.com"))
        self.clock.tick = 2 * SLICE
        number = self.submit(query("instance", "name", "tags"))
        self.now(
            self.fake.cluster.submit([op("TAGS_SET", kind="instance", name="c.example.com", tags=["new"])])
        )
        [gone] = [i for i in self.fake.snapshot.instances.values() if i.name == "b.example.com"]
        self.now(self.fake.store.commit(commit_of(deletes=[gone])))
        for _ in range(50):
            self.clock.advance(0)
        self.clock.tick = 0.0
        found = self.job(number).ops[0].result["data"]
        self.assertEqual([name for (_, name), _ in found], ["a.example.com", "c.example.com"])
        self.assertEqual(found[-1][1], [0, ["new"]])

    def test_term_ends(self) -> None:
        """A look that is under way when the term ends is begun anew by the next master."""
        self.clock.tick = 2 * SLICE
        number = self.submit(query("node", "name"))
        self.fake.stop()
        self.clock.tick = 0.0
        self.fake = make_cluster(self.fake.store, clock=Clock())
        self.assertEqual(self.status(number), "success")


class ArchiveTests(GatheringCase):
    """Archived jobs as the result of a job."""

    def test_archived(self) -> None:
        """They are found by their ids, or where the query is about the archive."""
        self.put(*(archived(n) for n in (101, 103)))
        first = self.run_job(tag()).id
        for fields, given, expected in (
            (["id"], None, [first]),
            (["id"], ["=", "id", 103], [103]),
            (["id"], ["|", ["=", "id", 103], ["=", "id", 99], ["=", "id", first]], [103, first]),
            (["id"], ["?", "archived"], [101, 103]),
            (["id", "archived"], ["<", "received_ts", 100], [101, 103]),
        ):
            found = self.result(query("job", *fields, qfilter=given))["data"]
            ids = [row[0][1] for row in found if row[0][1] in (first, 101, 103)]
            self.assertEqual(ids, expected, given)

    def test_many(self) -> None:
        """They are read page by page, and not more are in memory than can be kept."""
        for n in range(250):
            self.put(archived(1000 + n, result="x" * 100))
        asked: list[int] = []
        store = self.fake.store
        listing = store.list

        async def watched(prefix: str, after: str = "", limit: int = 1000) -> Page:
            asked.append(limit)
            return await listing(prefix, after, limit)

        assert isinstance(store, MemoryStore)
        object.__setattr__(store, "list", watched)
        found = self.result(query("job", "id", qfilter=["?", "archived"]))["data"]
        self.assertEqual([row[0][1] for row in found], [1000 + n for n in range(250)])
        self.assertEqual(asked, [100] * 3)

    def test_unreadable(self) -> None:
        """An archive that cannot be read fails the opcode, not the term."""
        self.put(archived(101))
        self.now(self.fake.store.commit(Commit(puts={job_key(102, "archive"): b"nonsense"})))
        for opcode in (query("job", "id", qfilter=["?", "archived"]), tag(depends=[[102, []]])):
            number = self.submit(opcode)
            self.assertEqual((self.status(number), self.fake.deposed), ("error", []))
            self.assertIn("cannot be read", self.job(number).ops[0].result[1][0])
        self.run_job(tag())


class FoundTests(GatheringCase):
    """What cannot be kept."""

    def test_too_much(self) -> None:
        """A look that finds too much ends in an error before it has found all."""
        for n in range(80):
            self.put(archived(1000 + n, result="x" * 100_000))
        number = self.submit(query("job", "opresult", qfilter=["?", "archived"]))
        self.assertEqual(self.status(number), "error")
        self.assertIn(str(gathering.MOST_FOUND), self.job(number).ops[0].result[1][0])
        self.assertEqual((self.fake.deposed, job_status(self.run_job(tag()))), ([], "success"))
