"""A lab's daemons, machines, network and disks fail under load; nothing is lost or doubled."""

import random
import time
from collections.abc import Iterator

from tests.acceptance.lab import LabCase, PatientReader
from tests.acceptance.lost_nodes import LostNode
from twisted_rapi.testing.lab.faults import follower_of
from twisted_rapi.testing.lab.fencing import Fencing
from twisted_rapi.testing.lab.history import failures, outage
from twisted_rapi.testing.lab.layout import Layout
from twisted_rapi.web.proxy import HOLD

KILLS, SEED = 8, 20261121
FROZEN = 10.0  # seconds
SWITCHES, TRIES = 2, 4


class FaultTests(LabCase):
    """
    One fault after the other, in one lab: setting one up takes longer than most of them.

    Each is mended, and jobs have to end, before the next; all of it is judged together.
    """

    def layout(self, name: str) -> Layout:
        """One where masters have nodes fenced."""
        return Layout(name=name, fencing=True)

    def test_faults(self) -> None:
        """All that has to hold holds through all of them."""
        for fault in (
            self.switched,
            self.killed,
            self.stopped,
            self.frozen,
            self.lost,
            self.fenced,
            self.others_killed,
            self.cut_off,
            self.cut_off_from_etcd,
            self.etcd_cut_off,
            self.no_majority,
            self.slow_and_lossy,
            self.full_disk,
            self.killed_at_random,
        ):
            begun = time.monotonic()
            fault()
            silent = outage(self.campaign.recent(begun), begun, time.monotonic())
            self.campaign.mend()
            self.campaign.await_jobs(2)
            took = time.monotonic() - begun
            self.tell(f"{fault.__name__}: {took:.1f} s, {silent:.1f} s without any answer at most")
        self.judge()

    def one_by_one(self, *faults: str) -> Iterator[str]:
        """These, each after the one before was mended."""
        for number, fault in enumerate(faults):
            if number:
                self.campaign.mend()
            yield fault

    def switched(self) -> None:
        """A planned switch is followed at once, and fails no request that could be repeated."""
        for _ in range(TRIES):
            terms, reader = self.terms(), self._switch(SWITCHES)
            # A machine that stands still for seconds has its master replaced besides, by no plan.
            if self.terms() == terms + SWITCHES:
                break
        self.assertGreater(len(reader.seen), 10)
        failed = failures(reader.seen, 0.0, time.monotonic())
        self.assertEqual([each for each in failed if each.until - each.at < HOLD], [])

    def _switch(self, times: int) -> PatientReader:
        """Have the mastership handed over so often; answers what a client saw."""
        with PatientReader(self.lab) as reader:
            for _ in range(times):
                before, _ = self.campaign.cause("switch-master")
                self.assertNotEqual(self.lab.master(), before)
                self.campaign.await_jobs(3)
        return reader

    def killed(self) -> None:
        """kill -9 of the master: another one is there by itself, and jobs go on."""
        self.campaign.cause("kill-master")
        self.campaign.await_jobs(4)

    def stopped(self) -> None:
        """A master that is asked to end gives its place to another."""
        self.campaign.cause("stop-master")
        self.campaign.await_jobs(4)

    def frozen(self) -> None:
        """A master that was stopped for longer than its term does nothing of it when it goes on."""
        before, begun = self.campaign.cause("freeze-master")
        self.await_another_than(before)
        self.wait(begun + FROZEN - time.monotonic())
        self.campaign.cause("thaw-master")
        self.campaign.await_jobs(4)

    def lost(self) -> None:
        """The master's machine is gone: link, etcd and agent, too."""
        before, _ = self.campaign.cause("lose-master")
        self.assertNotEqual(self.lab.master(), before)

    def fenced(self) -> None:
        """A node that is lost is switched off by another one's agent before its machine starts elsewhere."""
        node = follower_of(self.lab)
        lost = LostNode(self.campaign, self.lab, Fencing(self.lab.layout), node)
        lost.lose()
        self.assertEqual(lost.fencing.fenced(), [node.name])
        self.assertEqual(len(lost.where()), 1)
        lost.return_()
        self.assertEqual([fate for fate in lost.seen if fate], ["suspect", "fencing", "fenced", "recovering"])

    def others_killed(self) -> None:
        """Etcd's leader is killed, or hangs, then an agent is killed: the jobs go on."""
        for fault in self.one_by_one("kill-etcd", "freeze-etcd", "kill-agent"):
            self.campaign.cause(fault)
            self.campaign.await_jobs(2)

    def cut_off(self) -> None:
        """Cut off both ways, or in one direction only, a master is replaced, and lives on as another one."""
        for fault in self.one_by_one("cut-master", "mute-master", "deaf-master"):
            before, _ = self.campaign.cause(fault)
            self.await_another_than(before)

    def cut_off_from_etcd(self) -> None:
        """A master whom clients reach and etcd does not gives its place up: nobody is shown what is old."""
        before = self.put_apart()
        self.campaign.cause("cut-master-etcd", before.short)
        self.await_another_than(before)

    def etcd_cut_off(self) -> None:
        """Etcd's leader is cut off from its members, also one way: they elect another one, and jobs go on."""
        for fault in self.one_by_one("cut-etcd", "mute-etcd"):
            self.campaign.cause(fault)
            self.campaign.await_jobs(3)

    def no_majority(self) -> None:
        """Without a majority nothing is promised, and what is read is marked with its age."""
        self.campaign.cause("split-etcd")
        self.await_no_promises()
        for node in self.lab.layout.nodes:
            self.await_aged(node)

    def slow_and_lossy(self) -> None:
        """A master whose packets take long or are lost at times does its work."""
        for fault in self.one_by_one("delay-master", "lossy-master"):
            self.campaign.cause(fault)
            self.campaign.await_jobs(4)

    def full_disk(self) -> None:
        """A member of etcd whose disk is full ends; the others go on, and it does when there is room."""
        self.campaign.cause("full-disk")
        self.campaign.await_jobs(4)

    def killed_at_random(self) -> None:
        """Daemons of all kinds are killed at random moments and come back."""
        self.campaign.kill_at_random(KILLS, random.Random(SEED))
