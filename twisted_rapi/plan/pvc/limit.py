"""
The patterns of PVC's ``limit`` (behaviour.md of PVC §5), which no pattern can make slow.

Python's own compiler says what is wrong with a pattern, in the words that clients know; what matches is RE2,
in a time that grows with the text only.
"""

import re
import warnings
from collections.abc import Callable
from typing import Literal

from twisted_rapi.errors import BadRequest
from twisted_rapi.model.query import FilterError, pattern

Match = Literal["fuzzy", "prefix"]


class Unanswerable(BadRequest):
    """What is asked for cannot be looked for; the oldest dialect answers the bare text."""


def fuzzy(limit: str) -> str:
    """The pattern that finds a text anywhere, unless it says where itself."""
    begin = "" if limit.startswith("^") else ".*"
    return begin + limit + ("" if limit.endswith("$") else ".*")


def matcher(limit: str, match: Match) -> Callable[[str], bool]:
    """
    Whether a text is looked for; an empty limit looks for all.

    :raises Unanswerable: the pattern cannot be used.
    """
    if not limit:
        return lambda _: True
    text = fuzzy(limit) if match == "fuzzy" else limit
    try:
        if len(text) <= 1000:  # longer ones are refused below
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                re.compile(text)
        compiled = pattern(text)
    except (re.error, RecursionError, OverflowError, MemoryError, FilterError) as e:
        raise Unanswerable(f"Regex Error: {e}") from e
    return lambda found: compiled.match(found) is not None
