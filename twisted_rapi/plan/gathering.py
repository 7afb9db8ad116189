"""Going through many things bit by bit, so that others can work in between."""

from collections.abc import Generator
from types import NoneType
from typing import Any

import msgspec

from twisted_rapi.errors import OpExecError
from twisted_rapi.plan.stage import ArchivedAfter, ArchivedJob, Asked, Finish, Gather, Perform
from twisted_rapi.plan.view import View

MOST_FOUND = 4 * 1024 * 1024  # bytes, as JSON

Looking = Generator[Asked, Any, Finish | Perform]
"""See `twisted_rapi.plan.stage.Gather`."""


class Found:
    """
    What an opcode has found, as long as it can be kept.

    :ivar items: what was found, in order.
    """

    def __init__(self) -> None:
        self.items: list[Any] = []
        self._size = 0

    def add(self, item: Any) -> None:
        """
        Another one.

        :raises OpExecError: it would be too much.
        """
        self._size += len(msgspec.json.encode(item))
        if self._size > MOST_FOUND:
            text = f"The result is too large to be kept: more than {MOST_FOUND} bytes"
            raise OpExecError(f"{text}; please ask for less at once")
        self.items.append(item)


def at_once(stage: Gather, view: View) -> Finish | Perform:
    """What comes out where nothing changes meanwhile and nothing is archived."""
    answers = {NoneType: view, ArchivedJob: None, ArchivedAfter: ((), None)}
    try:
        asked = next(stage.work)
        while True:
            asked = stage.work.send(answers[type(asked)])
    except StopIteration as e:
        found: Finish | Perform = e.value
        return found
