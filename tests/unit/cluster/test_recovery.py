"""Tests of `twisted_rapi.cluster.recovery`: a node that was held to be dead, and was not, comes back."""

from typing import Any

from msgspec.structs import replace
from twisted.internet.defer import Deferred

from tests.unit.cluster.test_fates import LOCAL, TWO, WEB, FatesCase
from twisted_rapi.errors import StepFailed
from twisted_rapi.model.opcodes import from_wire
from twisted_rapi.model.records import job_status
from twisted_rapi.model.steps import Ping, StartDomain, StopDomain
from twisted_rapi.plan.fate import DeathRules
from twisted_rapi.plan.watchdog import WatchdogRules
from twisted_rapi.testing.cluster import make_cluster

NAME = "node2.example.com"


class RecoveryCase(FatesCase):
    """It goes on running what was started elsewhere, by a word that was not true."""

    def setUp(self) -> None:
        super().setUp()
        self.two = self.fake.nodes.nodes[TWO]
        before, watchdog = self.fake, WatchdogRules(wait=5.0)
        before.stop()
        again = make_cluster(before.store, before.nodes, before.clock, death=self.RULES, watchdog=watchdog)
        self.fake = self.marked(again)
        self.set_down(True)
        self.successResultOf(Deferred.fromCoroutine(self.fake.cluster.fates.confirm(TWO, "op")))
        self.pass_by(30)
        self.assertEqual(len(self.where(WEB)), 1)
        self.assertIn(WEB, self.two.domains)
        self.two.done.clear()
        self.two.domains.pop(LOCAL)  # so that there is something to start on it

    def online(self, **more: Any) -> Any:
        """What becomes of a job that sets it online."""
        wire = {"OP_ID": "OP_NODE_SET_PARAMS", "node_name": NAME, "offline": False, **more}
        job = self.fake.table.get(self.now(self.fake.cluster.submit([from_wire(wire)])))
        assert job is not None
        return job_status(job), job.ops[0].result

    def did(self, *kinds: type) -> list[tuple[str, str]]:
        """What it did since it answers, of these kinds: the step, and of which instance."""
        return [(type(step).__name__, step.instance) for step in self.two.done if isinstance(step, kinds)]


class ByHandTests(RecoveryCase):
    """The operator sets it online."""

    def test_old_copies_first(self) -> None:
        """
        It cannot be online before it has stopped what is elsewhere now; then it starts what is its own, and
        never what is elsewhere.
        """
        self.set_down(False)
        status, result = self.online()
        self.assertEqual(status, "error")
        self.assertIn("has not been seen to answer since", str(result))
        self.pass_by(10)
        self.assertEqual(self.fate(), "recovering")
        self.assertNotIn(WEB, self.two.domains)
        self.assertTrue(self.fake.snapshot.nodes[TWO].offline)
        self.assertEqual(self.online()[0], "success")
        self.fake.nodes.changed(TWO)
        self.pass_by(30)
        begun = self.did(StopDomain, StartDomain)
        self.assertEqual((begun[0], begun[-1]), (("StopDomain", WEB), ("StartDomain", LOCAL)))
        self.assertNotIn(("StartDomain", WEB), begun)
        self.assertEqual((self.fate(), self.where(LOCAL), len(self.where(WEB))), (None, [2], 1))

    def test_cannot_stop(self) -> None:
        """While it cannot stop them it stays offline, unless that is left aside by force."""
        self.two.faults[StopDomain] = [StepFailed("libvirt does not answer", "hypervisor")] * 1000
        self.set_down(False)
        self.pass_by(30)
        self.assertEqual(self.did(StartDomain), [])
        status, result = self.online()
        self.assertEqual(status, "error")
        self.assertIn(f"it may still run what is elsewhere now: {WEB}", str(result))
        self.assertEqual(self.online(force=True)[0], "success")
        self.fake.nodes.changed(TWO)
        self.pass_by(30)
        self.assertEqual(self.did(StartDomain), [])
        self.two.faults.clear()
        self.pass_by(120)
        self.assertNotIn(WEB, self.two.domains)
        self.assertEqual((self.fate(), self.where(LOCAL)), (None, [2]))

    def test_another_boot(self) -> None:
        """Also a copy that was begun since it was last heard of is stopped."""
        self.two.domains[WEB] = replace(self.two.domains[WEB], boot="another")
        self.set_down(False)
        self.pass_by(10)
        self.assertNotIn(WEB, self.two.domains)

    def test_taken_out_again(self) -> None:
        """One that is taken out of use once it was back is left so."""
        self.two.faults[StopDomain] = [StepFailed("libvirt does not answer", "hypervisor")] * 1000
        self.set_down(False)
        self.pass_by(10)
        self.online(force=True)
        self.pass_by(10)
        self.assertEqual(self.fate(), "recovering")
        self.assertEqual(self.online(offline=True, auto_promote=True)[0], "success")
        self.pass_by(10)
        self.assertEqual((self.fate(), self.fake.snapshot.nodes[TWO].offline), (None, True))

    def test_silent_again(self) -> None:
        """One that falls silent once it is back is suspected anew."""
        self.set_down(False)
        self.pass_by(10)
        self.two.faults[StopDomain] = [StepFailed("libvirt does not answer", "hypervisor")] * 1000
        self.assertEqual(self.online()[0], "success")
        self.set_down(True)
        self.pass_by(40)
        self.assertEqual(self.fate(), "suspect")


class AutoTests(RecoveryCase):
    """``recover = "auto"``, of a master candidate."""

    RULES = DeathRules(recover="auto")

    def setUp(self) -> None:
        super().setUp()
        self.assertFalse(self.fake.snapshot.nodes[TWO].master_candidate)

    def marked(self, fake: Any) -> Any:
        fake.add_candidate(TWO)
        return super().marked(fake)

    def test_back(self) -> None:
        """Once it has stopped what is elsewhere it is set online, and has its role again."""
        self.two.faults[Ping] = [StepFailed("it is busy", "internal")]
        self.set_down(False)
        self.pass_by(15)
        self.fake.nodes.changed(TWO)
        self.pass_by(90)
        node = self.fake.snapshot.nodes[TWO]
        self.assertEqual((node.offline, node.master_candidate, self.fate()), (False, True, None))
        self.assertEqual(self.did(StopDomain)[0], ("StopDomain", WEB))
        self.assertEqual((self.where(LOCAL), len(self.where(WEB))), ([2], 1))
