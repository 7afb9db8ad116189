"""Rules about jobs."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from twisted_rapi.errors import BadRequest
from twisted_rapi.model.job_filter import (
    checked_action,
    checked_predicates,
    checked_reason,
    compiled,
    ordered,
    verdict,
)
from twisted_rapi.model.records import FilterRecord, JobRecord, OpRecord


def job(number: int = 7, *inputs: dict[str, Any]) -> JobRecord:
    """A job of opcodes with these parameters."""
    ops = tuple(OpRecord(input=i, summary="X") for i in inputs or ({"OP_ID": "OP_TAGS_SET"},))
    return JobRecord(id=number, ops=ops, received_ts=(0, 0))


def rule(*predicates: Any, action: Any = "PAUSE", uuid: str = "u", **more: Any) -> FilterRecord:
    """A rule with these predicates."""
    return FilterRecord(
        uuid=uuid, watermark=more.pop("watermark", 5), predicates=predicates, action=action, **more
    )


def applies(predicate: Any, of: JobRecord) -> bool:
    """Whether a rule with one predicate applies."""
    return compiled(rule(predicate)).applies(of)


class PredicateTests(SynchronousTestCase):
    """What predicates are true of."""

    def test_job_id(self) -> None:
        """A job's id is compared as a number; the watermark is the rule's."""
        self.assertTrue(applies(["jobid", ["=", "id", 7]], job()))
        self.assertTrue(applies(["jobid", [">", "id", "watermark"]], job(6)))
        self.assertFalse(applies(["jobid", [">", "id", "watermark"]], job(5)))
        nested = ["jobid", ["&", ["<=", "id", "watermark"], ["!", ["=", "id", 3]]]]
        self.assertEqual([applies(nested, job(n)) for n in (3, 5, 6)], [False, True, False])

    def test_opcode(self) -> None:
        """One opcode of which it is true is enough; what is not there equals nothing."""
        both = job(7, {"OP_ID": "OP_TAGS_SET"}, {"OP_ID": "OP_NODE_ADD", "node_name": "n1"})
        self.assertTrue(applies(["opcode", ["=", "OP_ID", "OP_NODE_ADD"]], both))
        self.assertTrue(applies(["opcode", ["=~", "node_name", "^n"]], both))
        self.assertFalse(applies(["opcode", ["=", "group", "g"]], both))
        self.assertTrue(applies(["opcode", ["!", ["?", "node_name"]]], both))
        # Both terms have to be true of one opcode.
        mixed = ["opcode", ["&", ["=", "OP_ID", "OP_TAGS_SET"], ["?", "node_name"]]]
        self.assertFalse(applies(mixed, both))

    def test_type_mismatch(self) -> None:
        """A comparison with a value of another type is false, and so is its own negation's part."""
        self.assertFalse(applies(["opcode", ["<", "OP_ID", 3]], job()))
        self.assertTrue(applies(["opcode", ["!", ["<", "OP_ID", 3]]], job()))
        self.assertFalse(applies(["jobid", ["=~", "id", "7"]], job()))

    def test_reason(self) -> None:
        """One entry of a trail is enough."""
        said = job(7, {"OP_ID": "OP_X", "reason": [["gnt:user", "upgrade", 5], ["gnt:opcode:x", "", 6]]})
        self.assertTrue(applies(["reason", ["=", "reason", "upgrade"]], said))
        self.assertTrue(applies(["reason", ["&", ["=", "source", "gnt:user"], ["<", "timestamp", 6]]], said))
        self.assertFalse(applies(["reason", ["=", "source", "gnt:watcher"]], said))
        self.assertFalse(applies(["reason", ["=", "source", "gnt:user"]], job()))

    def test_all_predicates(self) -> None:
        """All predicates have to be true; without any a rule applies to every job."""
        here, there = ["jobid", ["=", "id", 7]], ["opcode", ["=", "OP_ID", "OP_NODE_ADD"]]
        self.assertTrue(compiled(rule(here)).applies(job()))
        self.assertFalse(compiled(rule(here, there)).applies(job()))
        self.assertTrue(compiled(rule()).applies(job()))

    @given(st.integers(0, 20), st.integers(0, 20))
    def test_watermark_splits(self, number: int, watermark: int) -> None:
        """Each job is either up to the watermark or after it."""
        later = rule(["jobid", [">", "id", "watermark"]], watermark=watermark)
        earlier = rule(["jobid", ["<=", "id", "watermark"]], watermark=watermark)
        found = [compiled(r).applies(job(number)) for r in (later, earlier)]
        self.assertEqual(found, [number > watermark, number <= watermark])


class VerdictTests(SynchronousTestCase):
    """Which rule counts."""

    def test_first(self) -> None:
        """The first rule that applies and does not continue counts; without one a job is accepted."""
        none = rule(["jobid", ["=", "id", 1]], action="REJECT", uuid="a")
        on = rule(action="CONTINUE", uuid="b")
        limit = rule(action=["RATE_LIMIT", 3], uuid="c")
        last = rule(action="REJECT", uuid="d")
        found = verdict([compiled(r) for r in (none, on, limit, last)], job())
        self.assertEqual((found.action, found.rule, found.limit), ("RATE_LIMIT", "c", 3))
        self.assertEqual(verdict([compiled(none), compiled(on)], job()).action, "ACCEPT")

    def test_order(self) -> None:
        """By priority, then watermark, then uuid."""
        rules = [
            rule(uuid="a", priority=2),
            rule(uuid="c", priority=1, watermark=9),
            rule(uuid="d", priority=1, watermark=8),
            rule(uuid="b", priority=1, watermark=8),
        ]
        self.assertEqual([r.uuid for r in ordered(rules)], ["b", "d", "c", "a"])


class CheckingTests(SynchronousTestCase):
    """What clients may give."""

    def test_predicates(self) -> None:
        """Equality has one name, at every level."""
        found = checked_predicates([["opcode", ["|", ["=", "OP_ID", "A"], ["!", ["=", "x", 1]]]]])
        self.assertEqual(found, (["opcode", ["|", ["==", "OP_ID", "A"], ["!", ["==", "x", 1]]]],))

    def test_bad(self) -> None:
        """What cannot be meant is refused."""
        for predicate in (
            *("x", ["foo", 1], ["jobid"], ["jobid", 1], ["jobid", None], ["jobid", ["=", "id"]]),
            *(["opcode", ["=~", "OP_ID", "("]], ["reason", []], ["reason", ["same", "x", 1]]),
        ):
            with self.assertRaises(BadRequest, msg=str(predicate)):
                checked_predicates([predicate])
        limits = [["RATE_LIMIT", n] for n in (0, -1, True, "3", None)]
        for action in ("FOO", "", None, 1, ["PAUSE"], ["RATE_LIMIT"], *limits):
            with self.assertRaises(BadRequest, msg=str(action)):
                checked_action(action)
        for entry in ("x", ["a"], ["a", "b", "c"], ["a", 1, 1], ["a", "b", True], ["a", "b", 1.5]):
            with self.assertRaises(BadRequest, msg=str(entry)):
                checked_reason([entry])
        with self.assertRaises(BadRequest):
            checked_predicates([["jobid", ["=", "id", 1]]] * 101)

    def test_good(self) -> None:
        """Every action, and trails as they are."""
        for action in ("ACCEPT", "CONTINUE", "PAUSE", "REJECT", ["RATE_LIMIT", 1]):
            self.assertEqual(checked_action(action), action)
        self.assertEqual(checked_reason([["me", "why", -5]]), (["me", "why", -5],))
