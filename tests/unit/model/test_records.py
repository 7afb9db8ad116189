"""Tests of `twisted_rapi.model.records`, seen values and steps."""

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from twisted_rapi.model import steps
from twisted_rapi.model.records import (
    RECORDS,
    CounterRecord,
    JobRecord,
    JobStatus,
    OpRecord,
    job_key,
    job_status,
    key_of,
    name_key,
)
from twisted_rapi.model.seen import DomainSeen, DomainState
from twisted_rapi.testing.cluster import founding

STATUSES: tuple[JobStatus, ...] = (
    "queued",
    "waiting",
    "canceling",
    "running",
    "canceled",
    "success",
    "error",
)


def job(*statuses: JobStatus) -> JobRecord:
    """A job whose opcodes have these statuses."""
    ops = tuple(OpRecord(input={}, summary="", status=status) for status in statuses)
    return JobRecord(id=7, ops=ops, received_ts=(0, 0))


class KeyTests(SynchronousTestCase):
    """Under which key a record is kept."""

    def test_founding(self) -> None:
        """Records of one kind have keys that begin with it, no two the same."""
        records, _ = founding()
        keys = [key_of(record) for record in records]
        self.assertEqual(len(set(keys)), len(keys))
        for record, key in zip(records, keys, strict=True):
            self.assertEqual(key.partition("/")[0], record.KIND)

    def test_kinds(self) -> None:
        """No kind is the beginning of another's keys."""
        kinds = [record.KIND for record in RECORDS]
        self.assertEqual(len(set(kinds)), len(kinds))
        for kind in kinds:
            self.assertNotIn("/", kind)

    def test_none(self) -> None:
        """A counter is named by who writes it."""
        self.assertRaises(ValueError, key_of, CounterRecord(value=1))
        self.assertEqual(name_key("mac", "aa"), "name/mac/aa")

    @given(st.integers(1, 2**63), st.integers(1, 2**63))
    def test_jobs_in_order(self, one: int, other: int) -> None:
        """The keys of jobs are in the order of their ids."""
        self.assertEqual(one < other, job_key(one) < job_key(other))


class StatusTests(SynchronousTestCase):
    """The status of a job of several opcodes (constants.json ``job_status``)."""

    def test_some(self) -> None:
        """Success takes all, an error is enough, else what goes on counts."""
        for statuses, whole in (
            (("success", "success"), "success"),
            (("success", "error", "error"), "error"),
            (("success", "running", "queued"), "running"),
            (("success", "waiting", "queued"), "waiting"),
            (("success", "queued"), "queued"),
            (("success", "canceled"), "canceled"),
            (("canceling", "queued"), "canceling"),
        ):
            self.assertEqual(job_status(job(*statuses)), whole, repr(statuses))

    @given(st.lists(st.sampled_from(STATUSES), min_size=1, max_size=4))
    def test_any(self, statuses: list[JobStatus]) -> None:
        """A job has one of its opcodes' statuses, or waits in the queue between two of them."""
        whole = job_status(job(*statuses))
        self.assertIn(whole, {*statuses, "queued"})
        self.assertEqual(whole == "success", set(statuses) == {"success"})


class SeenTests(SynchronousTestCase):
    """What nodes report."""

    def test_running(self) -> None:
        """A guest that is paused or blocked is there; one that was shut down or crashed is not."""
        states: dict[DomainState, bool] = {
            "running": True,
            "paused": True,
            "blocked": True,
            "shutdown": False,
            "crashed": False,
        }
        for state, there in states.items():
            seen = DomainSeen(name="n", uuid="u", hypervisor="kvm", state=state)
            self.assertEqual(seen.running, there)


class StepTests(SynchronousTestCase):
    """What nodes are asked for."""

    def test_deadlines(self) -> None:
        """A step has the time of its kind; a stop that of the guest besides."""
        stop = steps.StopDomain(instance="i", hypervisor="kvm", instance_uuid="u", timeout=600)
        self.assertEqual(steps.deadline(stop), 660.0)
        verify = steps.VerifyOs(instance="i", os="noop")
        self.assertEqual(steps.deadline(verify), 120.0)
