"""Daemons and a machine of a lab are lost under load; no job is, and none is there twice."""

import random

from tests.acceptance.lab import LabCase

KILLS, SEED = 12, 20261121


class KilledTests(LabCase):
    """What ends at once."""

    def test_master_killed(self) -> None:
        """kill -9 of the master, again and again: another one is there by itself, and jobs go on."""
        for _ in range(3):
            self.campaign.cause("kill-master")
            self.campaign.await_jobs(4)
            self.campaign.mend()
        self.judge()

    def test_master_switched(self) -> None:
        """A planned switch is followed at once, again and again."""
        for _ in range(3):
            before, _ = self.campaign.cause("switch-master")
            self.assertNotEqual(self.lab.master(), before)
            self.campaign.await_jobs(3)
        self.judge()

    def test_master_stopped(self) -> None:
        """A master that is asked to end gives its place to another."""
        for _ in range(2):
            self.campaign.cause("stop-master")
            self.campaign.await_jobs(4)
            self.campaign.mend()
        self.judge()

    def test_master_lost(self) -> None:
        """The master's machine is gone: link, etcd and agent, too."""
        before, _ = self.campaign.cause("lose-master")
        self.assertNotEqual(self.lab.master(), before)
        self.campaign.mend()
        self.campaign.await_jobs(4)
        self.judge()

    def test_others_killed(self) -> None:
        """Etcd's leader is killed, or hangs, then an agent is killed: the jobs go on."""
        for fault in ("kill-etcd", "freeze-etcd", "kill-agent"):
            self.campaign.cause(fault)
            self.campaign.await_jobs(2)
            self.campaign.mend()
        self.judge()

    def test_random(self) -> None:
        """Daemons of all kinds are killed at random moments and come back."""
        self.campaign.kill_at_random(KILLS, random.Random(SEED))
        self.campaign.await_jobs(2)
        self.judge()
