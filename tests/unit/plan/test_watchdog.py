"""Tests of `twisted_rapi.plan.watchdog`."""

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from twisted_rapi.model.fate import WatchdogRecord
from twisted_rapi.model.records import InstanceRecord, JobRecord, OpRecord
from twisted_rapi.plan.locks import Lock, LockTable
from twisted_rapi.plan.watchdog import HOUR, recent, under_way, words

WEB = InstanceRecord(
    uuid="i1", name="web.example.com", hypervisor="fake", primary_node="n1", disk_template="diskless"
)


def job(status: str, **values: object) -> JobRecord:
    """A job of one opcode."""
    op = OpRecord(input={"OP_ID": "OP_X", **values}, summary="X", status=status)  # type: ignore[arg-type]
    return JobRecord(id=1, ops=(op,), received_ts=(0, 0))


class UnderWayTests(SynchronousTestCase):
    """Which jobs are about an instance."""

    def test_named(self) -> None:
        """One that names it, in full, in short, by uuid or in a list, and has not ended."""
        for named in ("web.example.com", "web", "web.example", "i1"):
            for values in ({"instance_name": named}, {"instances": [named]}, {"map": {named: 1}}):
                for status in ("queued", "waiting", "running", "canceling"):
                    said = words([job(status, **values)])
                    self.assertTrue(under_way(WEB, said, LockTable()), (values, status))
                for status in ("success", "error", "canceled"):
                    self.assertFalse(under_way(WEB, words([job(status, **values)]), LockTable()))

    def test_others(self) -> None:
        """One about others is not."""
        for named in ("web2.example.com", "we", "example.com", "i"):
            self.assertFalse(under_way(WEB, words([job("running", instance_name=named)]), LockTable()))

    def test_locked(self) -> None:
        """One that has or wants its lock for itself is."""
        for shared in (False, True):
            locks = LockTable()
            locks.request(1, 0, 1, frozenset({Lock("instance", WEB.name, shared)}))
            self.assertEqual(under_way(WEB, frozenset(), locks), not shared)


class RecentTests(SynchronousTestCase):
    """Starts within an hour."""

    @given(st.lists(st.floats(0, 10 * HOUR), max_size=10), st.floats(0, 10 * HOUR))
    def test_recent(self, starts: list[float], now: float) -> None:
        """All of them that are less than an hour away, in their order, and no others."""
        found = recent(WatchdogRecord(uuid="i1", starts=tuple(starts)), now)
        self.assertEqual(list(found), [at for at in starts if abs(at - now) < HOUR])

    def test_none(self) -> None:
        """Of what was never started there is none."""
        self.assertEqual(recent(None, 5.0), ())
