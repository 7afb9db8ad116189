"""Tests of `twisted_rapi.cluster.fencing`, within the whole of what is done about silent nodes."""

from typing import Any

from twisted.internet.defer import Deferred

from tests.unit.cluster.test_fates import TWO, WEB, FatesCase
from twisted_rapi.errors import StepFailed
from twisted_rapi.model.fate import FencingsRecord
from twisted_rapi.model.steps import FenceNode
from twisted_rapi.plan.fate import DeathRules
from twisted_rapi.state.writer import commit_of
from twisted_rapi.testing.cluster import NODES, make_cluster

ONE, THREE = NODES[0], NODES[2]
RULES = DeathRules(fence=True)


class FencingTests(FatesCase):
    """A node falls silent while it may be fenced."""

    RULES = RULES

    def setUp(self) -> None:
        super().setUp()
        self.two = self.fake.nodes.nodes[TWO]
        self.two.unfenced = ""

    def pass_by(self, seconds: float) -> None:
        self.fake.clock.pump([5.0] * round(seconds / 5))

    def asked(self, node: str) -> int:
        """How often a node was asked to fence, and could."""
        return sum(isinstance(step, FenceNode) for step in self.fake.nodes.nodes[node].done)

    def record(self) -> Any:
        return self.fake.snapshot.fates[TWO]

    def test_fenced(self) -> None:
        """It is switched off by the master's node, and only then are its instances started elsewhere."""
        self.set_down(True)
        self.pass_by(50)
        self.assertEqual((self.fate(), self.asked(ONE), self.where(WEB)), ("suspect", 0, []))
        self.assertIn(WEB, self.two.domains)
        self.pass_by(15)
        self.assertEqual((self.fate(), self.asked(ONE)), ("fenced", 1))
        self.assertEqual(self.record().proof, "node2.example.com has no power (by node1.example.com)")
        self.pass_by(15)
        self.assertTrue(self.fake.snapshot.nodes[TWO].offline)
        self.assertEqual((len(self.where(WEB)), self.two.domains), (1, {}))

    def test_another(self) -> None:
        """Where one fails another is asked; each attempt is kept, with its reason."""
        self.fake.nodes.nodes[ONE].faults[FenceNode] = [StepFailed("no way to its board", "fencing")]
        self.set_down(True)
        self.pass_by(90)
        self.assertEqual(self.fate(), "fenced")
        told = [(each.by, each.error) for each in self.record().attempts]
        self.assertEqual(told, [(ONE, "no way to its board"), (THREE, "")])

    def test_no_proof(self) -> None:
        """Without proof nothing is started elsewhere, however long that takes; it is tried again."""
        self.two.unfenced = "its board does not answer"
        self.set_down(True)
        self.pass_by(1000)
        self.assertEqual((self.fate(), self.where(WEB)), ("fencing", []))
        self.assertFalse(self.fake.snapshot.nodes[TWO].offline)
        tries = self.record().tries
        self.assertTrue(8 <= tries <= 16, tries)
        self.assertEqual({each.error for each in self.record().attempts}, {"its board does not answer"})
        self.two.unfenced = ""
        self.pass_by(700)
        self.assertEqual((self.fate(), len(self.where(WEB))), ("fenced", 1))

    def test_cut_off(self) -> None:
        """A master that hears less than most nodes fences none, and says why."""
        three = self.fake.nodes.nodes[THREE]
        three.down = True
        self.set_down(True)
        self.pass_by(600)
        self.assertEqual((self.fate(), self.asked(ONE)), ("suspect", 0))
        self.assertIn("1 of 3 nodes answer", self.fake.cluster.fates.waits(TWO))
        three.down = False
        self.pass_by(15)
        self.assertEqual(self.fate(), "fenced")

    def test_cut_off_later(self) -> None:
        """Nor does it go on while it hears less."""
        self.two.unfenced = "its board does not answer"
        self.set_down(True)
        self.pass_by(70)
        self.assertEqual(self.fate(), "fencing")
        self.two.unfenced = ""
        self.fake.nodes.nodes[THREE].down = True
        self.pass_by(300)
        self.assertEqual((self.fate(), self.asked(ONE)), ("fencing", 1))
        self.assertIn("1 of 3 nodes answer", self.fake.cluster.fates.waits(TWO))

    def test_limit(self) -> None:
        """Where another was fenced lately this one has to wait."""
        begun = FencingsRecord(begun=(self.fake.now() - 3000,))
        self.now(self.fake.store.commit(commit_of([begun])))
        self.set_down(True)
        self.pass_by(500)
        self.assertEqual(self.fate(), "suspect")
        self.assertIn("1 began to be fenced", self.fake.cluster.fates.waits(TWO))
        self.pass_by(200)
        self.assertEqual(self.fate(), "fenced")

    def test_master_ends(self) -> None:
        """The next master goes on where one ends while the node is being switched off."""
        self.set_down(True)
        self.pass_by(50)
        self.fake.nodes.hold()
        self.pass_by(30)
        self.assertEqual((self.fate(), self.record().tries), ("fencing", 1))
        before = self.fake
        before.stop()
        before.nodes.release()
        self.two.domains.clear()
        self.fake = self.marked(make_cluster(before.store, before.nodes, before.clock, death=RULES))
        self.pass_by(25)  # it has to hear by itself that the node is silent
        self.assertEqual((self.fate(), self.record().tries), ("fencing", 1))
        self.pass_by(60)
        self.assertEqual((self.fate(), len(self.where(WEB))), ("fenced", 1))
        self.assertEqual(self.record().tries, 2)

    def test_returns(self) -> None:
        """One that reports again while it is tried in vain is well."""
        self.two.unfenced = "its board does not answer"
        self.set_down(True)
        self.pass_by(100)
        self.set_down(False)
        self.pass_by(10)
        self.assertEqual((self.fate(), self.where(WEB)), (None, [2]))

    def test_answers_again(self) -> None:
        """Proof that comes when it reports again is none."""
        self.set_down(True)
        self.pass_by(50)
        self.fake.nodes.hold()
        self.pass_by(25)
        self.fake.nodes.observe(lambda _: setattr(self.two, "down", False))
        self.fake.nodes.release()
        self.pass_by(30)
        self.assertIsNone(self.fate())
        self.assertEqual((self.fake.snapshot.nodes[TWO].offline, self.where(WEB)), (False, []))

    def test_confirmed_meanwhile(self) -> None:
        """A word that comes while it is tried holds; what that comes to does not matter any more."""
        self.set_down(True)
        self.pass_by(50)
        self.fake.nodes.hold()
        self.pass_by(25)
        self.two.domains.clear()
        self.successResultOf(Deferred.fromCoroutine(self.fake.cluster.fates.confirm(TWO, "op")))
        self.fake.nodes.release()
        self.pass_by(30)
        self.assertEqual((self.fate(), self.record().proof), ("fenced", "confirmed by op"))
        self.assertEqual(len(self.where(WEB)), 1)

    def test_switched_off(self) -> None:
        """A master that is to fence none leaves it suspected."""
        self.two.unfenced = "its board does not answer"
        self.set_down(True)
        self.pass_by(75)
        before = self.fake
        before.stop()
        self.fake = self.marked(make_cluster(before.store, before.nodes, before.clock))
        self.pass_by(10)
        self.assertEqual(self.fate(), "suspect")
        self.assertIn("not configured", self.fake.cluster.fates.waits(TWO))
