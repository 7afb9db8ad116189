"""Tests of `twisted_rapi.plan.fate`."""

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from twisted_rapi.model.fate import Fate
from twisted_rapi.model.records import InstanceRecord
from twisted_rapi.plan.fate import TAG, DeathRules, Signs, next_fate, stays

RULES = DeathRules()
FATES: tuple[Fate | None, ...] = (None, "suspect", "fencing", "fenced", "recovering")
SIGNS = st.builds(
    Signs, silent=st.floats(0, 100), offline=st.booleans(), answers=st.booleans(), left=st.booleans()
)


class NextTests(SynchronousTestCase):
    """Fates follow each other."""

    @given(st.sampled_from(FATES), st.lists(SIGNS, max_size=20))
    def test_proof(self, fate: Fate | None, signs: list[Signs]) -> None:
        """Nothing that is seen makes a node fenced, or has it fenced."""
        for each in signs:
            after = next_fate(fate, each, RULES)
            for later in ("fencing", "fenced"):
                self.assertTrue(after != later or fate == later)
            fate = after

    @given(SIGNS)
    def test_back(self, signs: Signs) -> None:
        """A dead one is well only by way of recovering: online, answering, with nothing left."""
        self.assertIn(next_fate("fenced", signs, RULES), ("fenced", "recovering"))
        well = next_fate("recovering", signs, RULES) is None
        self.assertEqual(well, signs.answers and not signs.offline and not signs.left)

    @given(SIGNS)
    def test_suspect(self, signs: Signs) -> None:
        """One is suspected that is to answer and does not, for long enough."""
        late = signs.silent >= RULES.silence and not (signs.offline or signs.answers)
        self.assertEqual(next_fate(None, signs, RULES), "suspect" if late else None)
        self.assertEqual(next_fate("suspect", signs, RULES) is None, signs.offline or signs.answers)


class StayTests(SynchronousTestCase):
    """Which instances stay."""

    def test_stays(self) -> None:
        """Those that are not to run, that the policy leaves, and whose disks are on their node only."""
        for template in ("sharedfile", "drbd", "rbd", "diskless", "file", "plain"):
            for restart in ("none", "tagged", "all"):
                for tags in ((), (TAG,)):
                    instance = InstanceRecord(
                        uuid="i",
                        name="web",
                        hypervisor="fake",
                        primary_node="n",
                        disk_template=template,
                        admin_state="up",
                        tags=tags,
                    )
                    rules = DeathRules(restart=restart)
                    wanted = restart == "all" or (restart == "tagged" and bool(tags))
                    moves = wanted and template not in ("file", "plain")
                    self.assertEqual(stays(instance, rules) == "", moves, (template, restart, tags))
