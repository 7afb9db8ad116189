"""From one master to the next, when the one before has given its term up for it."""

from collections.abc import Iterable

from twisted_rapi.model.mastership import ElectionRecord, SwitchRecord
from twisted_rapi.model.record_base import Record


class Predecessor:
    """
    Knows who gave the term before the newest one up on purpose.

    :ivar node: uuid of its node; "" when the term ended otherwise.
    """

    def __init__(self) -> None:
        self.node = ""

    def told(self, observed: Iterable[tuple[str, Record | None, Record | None]]) -> None:
        """
        The store has changed: by key, what was there before and after.

        Who takes the next term removes the wish for it in the same commit.
        """
        wishes = [before for _, before, _ in observed if isinstance(before, SwitchRecord)]
        for _, before, after in observed:
            if isinstance(after, ElectionRecord):
                given_up = isinstance(before, ElectionRecord) and any(
                    wish.term == before.term and not wish.refused for wish in wishes
                )
                self.node = before.node if given_up and isinstance(before, ElectionRecord) else ""
