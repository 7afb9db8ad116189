"""Tests of `twisted_rapi.plan.pvc.dialect`."""

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from twisted_rapi.plan.pvc.dialect import ALL, LATER, NEWEST, SEED, Dialect, choose, of_agent

SETS = st.frozensets(st.sampled_from(Dialect), min_size=1)


class ChooseTests(SynchronousTestCase):
    """Which dialect a request is in."""

    def test_path(self) -> None:
        """What only one has is that one's, whatever else is said."""
        self.assertEqual(choose(SEED, [LATER], "pvc/1.0.3", Dialect.V0_6), Dialect.SEED)

    def test_signs(self) -> None:
        """Signs leave fewer; what contradicts itself counts for nothing."""
        self.assertEqual(choose(ALL, [LATER, NEWEST], "", Dialect.SEED), Dialect.V1_0)
        self.assertEqual(choose(ALL, [SEED, NEWEST], "", Dialect.V0_6), Dialect.V0_6)

    def test_wishes(self) -> None:
        """The client's word counts before the configuration, and that before age."""
        self.assertEqual(choose(ALL, [], "pvc-client-cli/0.9.1", Dialect.SEED), Dialect.V1_0)
        self.assertEqual(choose(LATER, [], "curl/8", Dialect.V1_0), Dialect.V1_0)
        self.assertEqual(choose(LATER, [], "curl/8", Dialect.SEED), Dialect.V0_6)
        self.assertEqual(choose(LATER, [], "pvc/0.5", Dialect.V1_0), Dialect.V1_0)

    def test_agents(self) -> None:
        """Clients of PVC say their version."""
        wanted = {
            "pvc/0.5": Dialect.SEED,
            "pvc-api/v0.8": Dialect.V0_6,
            "x (PVC/0.9.30)": Dialect.V1_0,
            "pvc": None,
            "python-requests/2.6": None,
            "pvc/" + "9" * 600: None,
        }
        self.assertEqual({agent: of_agent(agent) for agent in wanted}, wanted)

    @given(SETS, st.lists(SETS), st.text(), st.sampled_from(Dialect))
    def test_possible(
        self, path: frozenset[Dialect], signs: list[frozenset[Dialect]], agent: str, own: Dialect
    ) -> None:
        """It is always one that has the path, and fits all signs where one does."""
        found = choose(path, signs, agent, own)
        self.assertIn(found, path.intersection(*signs) or path)
