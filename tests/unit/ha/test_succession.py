"""Who gave the mastership up for the one that has it."""

from twisted.trial.unittest import SynchronousTestCase

from twisted_rapi.ha.succession import Predecessor
from twisted_rapi.model.mastership import ElectionRecord, SwitchRecord
from twisted_rapi.model.record_base import Record

Seen = list[tuple[str, Record | None, Record | None]]


def election(term: int, node: str) -> ElectionRecord:
    """A term's record."""
    return ElectionRecord(term=term, node=node)


def wish(term: int, refused: str = "") -> SwitchRecord:
    """The wish that a term end."""
    return SwitchRecord(term=term, target="b", asked=0.0, who="x", refused=refused)


class PredecessorTests(SynchronousTestCase):
    """`Predecessor`."""

    def seen(self, *removed: SwitchRecord) -> str:
        """Who is known when the third term begins, and these wishes are removed with that."""
        predecessor = Predecessor()
        predecessor.node = "older"
        told: Seen = [("election", election(2, "a"), election(3, "b"))]
        told += [("switch", each, None) for each in removed]
        predecessor.told(told)
        return predecessor.node

    def test_given_up(self) -> None:
        """The one who was master, when the wish was about that term and was followed."""
        self.assertEqual(self.seen(wish(2)), "a")

    def test_otherwise(self) -> None:
        """Nobody, when there was no such wish."""
        for removed in ((), (wish(1),), (wish(2, "no"),)):
            self.assertEqual(self.seen(*removed), "")

    def test_first(self) -> None:
        """Nobody before the first term."""
        predecessor = Predecessor()
        predecessor.told([("election", None, election(1, "a"))])
        self.assertEqual(predecessor.node, "")

    def test_something_else(self) -> None:
        """What is not about a new term changes nothing."""
        predecessor = Predecessor()
        predecessor.node = "a"
        predecessor.told([("switch", None, wish(3))])
        self.assertEqual(predecessor.node, "a")
