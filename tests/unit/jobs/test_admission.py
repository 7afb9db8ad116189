"""Jobs under rules."""

from typing import Any

from twisted.internet.defer import Deferred

from tests.unit.jobs.test_jobs import JobCase, about, create, tag
from twisted_rapi.errors import NotFound
from twisted_rapi.testing.cluster import make_cluster

SETS_TAGS = ["opcode", ["=", "OP_ID", "OP_TAGS_SET"]]
CREATES = ["opcode", ["=", "OP_ID", "OP_INSTANCE_CREATE"]]
NEW = ["jobid", [">", "id", "watermark"]]


class RuleTests(JobCase):
    """What becomes of jobs, at once."""

    def rule(self, *predicates: Any, action: Any, priority: int = 0, uuid: str | None = None) -> str:
        """The uuid of a rule that is in force."""
        found: str = self.now(self.fake.cluster.put_filter(uuid, priority, list(predicates), action, []))
        return found

    def drop(self, uuid: str) -> None:
        """The rule is gone."""
        self.now(self.fake.cluster.delete_filter(uuid))

    def test_reject(self) -> None:
        """A rejected job is accepted, and cancelled at once without having begun."""
        self.rule(SETS_TAGS, action="REJECT")
        number = self.submit(tag())
        found = self.job(number)
        self.assertEqual((self.status(number), found.ops[0].result, found.start_ts), ("canceled", None, None))
        self.assertIsNotNone(found.end_ts)
        self.assertEqual(self.fake.snapshot.cluster.tags, ())

    def test_pause(self) -> None:
        """A paused job stays queued until the rule goes; others go on."""
        uuid = self.rule(SETS_TAGS, action="PAUSE")
        number = self.submit(tag())
        self.fake.clock.advance(3600)
        self.assertEqual((self.status(number), self.job(number).start_ts), ("queued", None))
        self.assertEqual(self.status(self.submit(create())), "success")
        self.drop(uuid)
        self.assertEqual(self.status(number), "success")

    def test_paused_can_be_cancelled(self) -> None:
        """A paused job is in the queue as others are."""
        self.rule(action="PAUSE")
        number = self.submit(tag())
        self.assertEqual(self.now(self.fake.cluster.cancel(number)), (True, f"Dequeued job {number}"))
        self.assertEqual(self.status(number), "canceled")

    def test_replaced(self) -> None:
        """Another action of the rule counts at once for those that wait."""
        uuid = self.rule(SETS_TAGS, action="PAUSE")
        number = self.submit(tag())
        self.rule(SETS_TAGS, action="REJECT", uuid=uuid)
        self.assertEqual(self.status(number), "canceled")

    def test_order(self) -> None:
        """The rule of the lower priority is asked first, whichever was made first."""
        self.rule(action="REJECT", priority=5)
        self.rule(SETS_TAGS, action="ACCEPT", priority=3)
        self.rule(action="CONTINUE", priority=1)
        self.assertEqual(self.status(self.submit(tag())), "success")
        self.assertEqual(self.status(self.submit(create())), "canceled")

    def test_watermark(self) -> None:
        """A rule about jobs after its watermark leaves those before it alone; replacing moves it on."""
        held = self.rule(action="PAUSE", priority=9)
        before = self.submit(tag("before"))
        self.rule(NEW, action="REJECT", uuid=(uuid := "11111111-2222-4333-8444-555555555555"))
        self.assertEqual(self.status(before), "queued")
        self.assertEqual(self.status(self.submit(tag())), "canceled")
        self.drop(held)
        self.assertEqual(self.status(before), "success")
        self.rule(NEW, action="REJECT", uuid=uuid)
        self.assertEqual(self.fake.snapshot.filters[uuid].watermark, 2)

    def test_rate(self) -> None:
        """So many run at once; the next begins when one ends, the more urgent first."""
        self.rule(CREATES, action=["RATE_LIMIT", 2])
        self.fake.nodes.hold()
        first = self.submit(create("a1.example.com", pnode="node1.example.com"))
        second = self.submit(create("a2.example.com", pnode="node2.example.com"))
        late = self.submit(create("a3.example.com", pnode="node3.example.com", priority=10))
        urgent = self.submit(create("a4.example.com", pnode="node3.example.com", priority=-10))
        found = [self.status(n) for n in (first, second, late, urgent)]
        self.assertEqual(found, ["running", "running", "queued", "queued"])
        self.assertEqual(self.status(self.submit(tag())), "success")
        while self.status(first) == self.status(second) == "running":
            held = self.fake.nodes.held or []
            held.pop(0).callback(None)
        self.assertEqual([self.status(n) for n in (late, urgent)], ["queued", "running"])
        self.fake.nodes.release()
        self.assertEqual({self.status(n) for n in (first, second, late, urgent)}, {"success"})

    def test_rate_counts_those_that_run(self) -> None:
        """A rule that comes later counts the jobs under way, also after a change of master."""
        self.fake.nodes.hold()
        first = self.submit(create())
        self.rule(CREATES, action=["RATE_LIMIT", 1])
        second = self.submit(create("b.example.com", pnode="node2.example.com"))
        self.assertEqual((self.status(first), self.status(second)), ("running", "queued"))
        self.fake.stop()
        self.fake.nodes.release()
        self.fake.nodes.hold()
        self.fake = make_cluster(self.fake.store, self.fake.nodes)
        self.assertEqual((self.status(first), self.status(second)), ("running", "queued"))
        self.fake.nodes.release()
        self.assertEqual((self.status(first), self.status(second)), ("success", "success"))

    def test_survives(self) -> None:
        """Rules and the jobs they keep survive a change of master."""
        uuid = self.rule(SETS_TAGS, action="PAUSE")
        number = self.submit(tag())
        self.fake.stop()
        self.fake = make_cluster(self.fake.store)
        self.assertEqual(self.status(number), "queued")
        self.drop(uuid)
        self.assertEqual(self.status(number), "success")

    def test_begun_goes_on(self) -> None:
        """A job that has begun is not touched by a rule that comes later."""
        self.run_job(create())
        self.fake.nodes.hold()
        number = self.submit(about("SHUTDOWN"), tag())
        self.rule(action="REJECT")
        self.fake.stop()
        self.fake.nodes.release()
        self.fake = make_cluster(self.fake.store, self.fake.nodes)
        self.assertEqual(self.status(number), "success")

    def test_unknown(self) -> None:
        """A rule that is not there cannot be removed."""
        found = self.failureResultOf(self.deferred(self.fake.cluster.delete_filter("x")))
        found.trap(NotFound)

    def deferred(self, coroutine: Any) -> Any:
        """What a coroutine comes to."""
        return Deferred.fromCoroutine(coroutine)
