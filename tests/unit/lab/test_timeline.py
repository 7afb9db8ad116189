"""What happened when in a failover."""

from twisted.trial.unittest import SynchronousTestCase

from twisted_rapi.testing.lab.history import AnyEvent, Asked, Committed, Held
from twisted_rapi.testing.lab.timeline import in_order, timeline, typical


def answered(at: float, until: float, well: bool = True) -> Asked:
    """A read."""
    return Asked(
        at=at,
        until=until,
        address="f",
        method="GET",
        path="/2/info",
        outcome="answered" if well else "silent",
    )


def committed(at: float, *kinds: str, term: int | None = None) -> Committed:
    """A transaction."""
    return Committed(at=at, revision=int(at * 1000), writer="", kinds=kinds, term=term)


class TimelineTests(SynchronousTestCase):
    """`timeline`."""

    killed: tuple[AnyEvent, ...] = (
        Held(at=1.0, nodes=("a",)),
        answered(9.9, 10.01),
        Held(at=10.1, nodes=()),
        committed(10.2, "seat"),
        answered(10.2, 10.25, well=False),
        committed(10.3, "election", "seat", term=2),
        Held(at=10.5, nodes=("b",)),
        answered(10.5, 10.6),
        answered(10.6, 10.7),
    )

    def rounded(self, *events: AnyEvent, begun: float) -> dict[str, float]:
        """To what a clock can tell apart."""
        return {name: round(seconds, 3) for name, seconds in timeline(in_order(events), begun).items()}

    def test_killed(self) -> None:
        """Each moment counts from the fault; answers do once there is another master."""
        expected = {
            "the address is gone": 0.1,
            "nobody is master": 0.2,
            "the next term has begun": 0.3,
            "the address is there again": 0.5,
            "a client is answered": 0.6,
        }
        self.assertEqual(self.rounded(*self.killed, begun=10.0), expected)

    def test_order(self) -> None:
        """It does not matter in which order they were noted."""
        events = self.killed[::-1]
        self.assertEqual(timeline(in_order(events), 10.0), timeline(in_order(self.killed), 10.0))

    def test_switched(self) -> None:
        """A planned switch counts from the wish; one that was left by an earlier switch is none."""
        found = self.rounded(*self.killed, committed(10.05, "switch"), begun=10.0)
        self.assertEqual(found["the next term has begun"], 0.25)
        found = self.rounded(*self.killed, committed(10.9, "switch"), begun=10.0)
        self.assertEqual(found["the next term has begun"], 0.3)

    def test_unfinished(self) -> None:
        """What has not happened is not told."""
        self.assertEqual(self.rounded(Held(at=10.1, nodes=()), begun=10.0), {"the address is gone": 0.1})

    def test_typical(self) -> None:
        """The median of those that have it, in the order of time."""
        self.assertEqual(
            list(typical([{"b": 2.0, "a": 1.0}, {"b": 4.0}, {"b": 3.0, "a": 1.5}]).items()),
            [("a", 1.25), ("b", 3.0)],
        )
