"""What the tests that cause faults in a lab have in common."""

import os
import time

from twisted.trial.unittest import SynchronousTestCase

from tests.requirements import missing, missing_for_lab
from twisted_rapi.testing.lab.asking import Silence
from twisted_rapi.testing.lab.campaign import Campaign
from twisted_rapi.testing.lab.history import Served
from twisted_rapi.testing.lab.lab import Lab
from twisted_rapi.testing.lab.layout import NAME, Layout, Place
from twisted_rapi.testing.lab.removal import abandoned, remove
from twisted_rapi.testing.processes import await_true


class LabCase(SynchronousTestCase):
    """A lab under load, of this test's own."""

    skip = missing("etcd") or missing_for_lab()

    def setUp(self) -> None:
        for name in (*abandoned(), f"{NAME}{os.getpid()}"):
            remove(name)
        self.lab = Lab(self.layout(f"{NAME}{os.getpid()}"))
        self.addCleanup(self.lab.remove)
        self.lab.set_up()
        self.lab.start()
        self.campaign = Campaign(self.lab)
        self.addCleanup(self.campaign.abort)
        self.campaign.begin()

    def layout(self, name: str) -> Layout:
        """What the lab consists of."""
        return Layout(name=name)

    def judge(self) -> None:
        """What has to hold has held."""
        self.assertEqual(self.campaign.judge(), [])

    def wait(self, seconds: float) -> None:
        """Let that much time pass; more does no harm."""
        time.sleep(seconds)

    def terms(self) -> int:
        """How many terms have been served."""
        return sum(1 for event in self.campaign.logged() if isinstance(event, Served))

    def await_another_than(self, before: Place) -> None:
        """Wait until another node's daemon is master."""
        await_true("another one is master", lambda: self.lab.master() != before, 60)

    def await_no_promises(self) -> None:
        """Wait until nobody accepts a job."""
        await_true("no job is accepted", self._refused, 60)

    def _refused(self) -> bool:
        try:
            self.lab.ask("PUT", "/2/tags?tag=asked-in-vain")
        except Silence:
            return True
        return False

    def put_apart(self) -> Place:
        """The master; before, it is made another one than etcd's leader, if it is the same."""
        if self.lab.master() == self.lab.etcd_leader():
            self.campaign.cause("kill-master")
            self.await_another_than(self.lab.etcd_leader())
            self.campaign.mend()
        return self.lab.master()
