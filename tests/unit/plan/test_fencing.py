"""Tests of `twisted_rapi.plan.fencing`."""

import attrs
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from twisted_rapi.model.fate import FenceAttempt, NodeFateRecord
from twisted_rapi.model.records import NodeRecord
from twisted_rapi.plan.fate import DeathRules
from twisted_rapi.plan.fencing import Standing, begun_now, fencers, held, next_fencer, unsure

RULES = DeathRules(fence=True)


def node(number: int, offline: bool = False) -> NodeRecord:
    """One of them."""
    address = f"192.0.2.{number}"
    return NodeRecord(
        uuid=f"n{number}",
        name=f"node{number}",
        group="g",
        primary_ip=address,
        secondary_ip=address,
        agent_host=address,
        agent_port=1811,
        offline=offline,
    )


def standing(*answering: int, count: int = 5, offline: tuple[int, ...] = ()) -> Standing:
    """Node 1 is the master's."""
    nodes = {f"n{n}": node(n, n in offline) for n in range(1, count + 1)}
    return Standing(master="n1", nodes=nodes, answering={f"n{n}" for n in answering}, now=10_000.0)


class HeldTests(SynchronousTestCase):
    """What keeps a silent node from being switched off."""

    def held(self, now: Standing, rules: DeathRules = RULES, silent: float = 60.0, victim: int = 5) -> str:
        return held(node(victim), silent, now, rules)

    def test_none(self) -> None:
        """Most nodes answer, and it was silent for long."""
        self.assertEqual(self.held(standing(1, 2, 3)), "")
        self.assertEqual(self.held(standing(1, 2, count=4, offline=(3,)), victim=4), "")

    def test_each(self) -> None:
        """Each reason is told."""
        well = standing(1, 2, 3, 4)
        for now, rules, silent, words in (
            (well, DeathRules(), 1e9, "not configured"),
            (standing(2, 3, 4), RULES, 1e9, "the master's own node"),
            (standing(1, 2), RULES, 1e9, "2 of 5 nodes answer"),
            (standing(1, count=2), RULES, 1e9, "1 of 2 nodes answer"),
            (attrs.evolve(well, present={"n5"}), RULES, 1e9, "only its agent is silent"),
            (attrs.evolve(well, drained=True), RULES, 1e9, "the job queue is drained"),
            (attrs.evolve(well, paused=True), RULES, 1e9, "the watchdog is paused"),
            (well, RULES, 29.0, "not yet silent for 30 s"),
            (well, RULES, 59.0, "not yet silent for 60 s"),
            (attrs.evolve(well, begun=[9_000.0]), RULES, 1e9, "1 began to be fenced within 3600 s"),
            (attrs.evolve(well, begun=[11_000.0]), RULES, 1e9, "1 began to be fenced"),
        ):
            self.assertIn(words, self.held(now, rules, silent))
        self.assertIn("the master's node", self.held(well, victim=1))
        self.assertEqual(self.held(attrs.evolve(well, begun=[6_399.0])), "")
        two = attrs.evolve(RULES, fence_most=2)
        self.assertEqual(self.held(attrs.evolve(well, begun=[9_000.0]), two), "")

    @given(st.sets(st.integers(1, 7)), st.sets(st.integers(1, 7)), st.integers(1, 7), st.floats(0, 1e6))
    def test_minority(self, up: set[int], offline: set[int], victim: int, silent: float) -> None:
        """A master that hears half of the nodes or fewer has none switched off, nor ever itself."""
        now = standing(*up, count=7, offline=tuple(offline))
        if unsure(node(victim), silent, now, RULES) == "":
            watched = set(range(1, 8)) - offline
            self.assertGreater(len(up & watched), len(watched) / 2)
            self.assertTrue(1 in up and victim != 1 and silent >= RULES.silence)

    @given(st.lists(st.floats(0, 30_000), max_size=30))
    def test_limit(self, times: list[float]) -> None:
        """Of nodes that all fall silent, no more than so many are begun with within any interval."""
        begun: tuple[float, ...] = ()
        rules = attrs.evolve(RULES, fence_most=2)
        took: list[float] = []
        for at in sorted(times):
            now = attrs.evolve(standing(1, 2, 3), begun=begun, now=at)
            if not self.held(now, rules):
                begun = begun_now(now, rules)
                took.append(at)
        for at in took:
            self.assertLessEqual(len([t for t in took if at <= t < at + rules.fence_interval]), 2)


class TurnTests(SynchronousTestCase):
    """Who is asked, and when."""

    def test_order(self) -> None:
        """The master's node first, then the others that answer, and never the silent one."""
        self.assertEqual(fencers(node(2), standing(4, 3, 1, 2, offline=(4,))), ["n1", "n3"])

    def test_pauses(self) -> None:
        """One after the other, then a pause that grows up to ten minutes; a clock set back ends it."""
        order, now = ["n1", "n3"], 1000.0
        record = NodeFateRecord(uuid="n2", fate="fencing", since=now)
        asked: list[str] = []
        pauses: list[float] = []
        while len(asked) < 24:
            by = next_fencer(record, order, now)
            if by is None:
                pauses[-1] += 5
                now += 5
                continue
            asked.append(by)
            pauses.append(0)
            attempt = FenceAttempt(at=now, by=by)
            record = NodeFateRecord(
                uuid="n2", fate="fencing", since=0.0, tries=record.tries + 1, attempts=(attempt,)
            )
        self.assertEqual(asked, order * 12)
        self.assertEqual(pauses[::2], [0] * 12)
        self.assertEqual(pauses[1:-1:2], [15, 30, 60, 120, 240, 480, *[600] * 5])
        self.assertEqual(next_fencer(record, order, now - 9000), "n1")
        self.assertIsNone(next_fencer(record, [], now))
