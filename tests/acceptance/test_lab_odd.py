"""A lab's master is frozen, its clock jumps, a disk is full, all under load; nothing is lost or doubled."""

from tests.acceptance.lab import LabCase
from tests.requirements import missing
from twisted_rapi.testing.lab.layout import Layout

FROZEN = 10.0  # seconds


class OddTests(LabCase):
    """What goes on, but not as it should."""

    skip = LabCase.skip or missing("file:usr/lib/*/faketime/libfaketime.so.1")

    def layout(self, name: str) -> Layout:
        """Clocks can be set; what does not replace a master here is not what a busy machine does, either."""
        patient = "test_clock" in self.id()
        return Layout(name=name, clocks=True, lease=30 if patient else 3)

    def test_frozen(self) -> None:
        """A master that was stopped for longer than its term does nothing of it when it goes on."""
        before, _ = self.campaign.cause("freeze-master")
        self.await_another_than(before)
        self.wait(FROZEN)
        self.campaign.cause("thaw-master")
        self.campaign.await_jobs(4)
        self.campaign.mend()
        self.judge()

    def test_clock(self) -> None:
        """The time of day of the master jumps by an hour, either way: it is master all the while."""
        for fault in ("clock-forward", "clock-back"):
            before = self.lab.master()
            term = self.terms()
            self.campaign.cause(fault)
            self.campaign.await_jobs(6)
            self.assertEqual((self.lab.master(), self.terms()), (before, term))
            self.campaign.mend()
        self.judge()

    def test_full_disk(self) -> None:
        """A member of etcd whose disk is full ends; the others go on, and it does when there is room."""
        self.campaign.cause("full-disk")
        self.campaign.await_jobs(4)
        self.campaign.mend()
        self.campaign.await_jobs(2)
        self.judge()
