"""A lab's master whose time of day jumps."""

from tests.acceptance.lab import LabCase
from tests.requirements import missing
from twisted_rapi.testing.lab.layout import Layout


class ClockTests(LabCase):
    """What goes on, but not as it should."""

    skip = LabCase.skip or missing("file:usr/lib/*/faketime/libfaketime.so.1")

    def layout(self, name: str) -> Layout:
        """Clocks can be set; nothing else replaces a master, also what a busy machine does."""
        return Layout(name=name, clocks=True, lease=30)

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
