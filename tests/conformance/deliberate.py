"""
Where this cluster answers otherwise on purpose.

Every reason has to stand, word for word, as an item of docs/compatibility.rst.
"""

from collections.abc import Callable

import attrs

from tests.conformance.captures import Capture
from tests.conformance.world import Answer

Holds = Callable[[Capture, Answer], bool]


@attrs.frozen
class Difference:
    """
    A deliberate difference.

    :ivar reason: the item of docs/compatibility.rst.
    :ivar applies: whether it is about this request, and the answer is the one that is meant.
    """

    reason: str
    applies: Holds


def _named(*names: str) -> Callable[[Capture], bool]:
    return lambda capture: any(capture.name.startswith(name) for name in names)


def _when(about: Callable[[Capture], bool], status: int) -> Holds:
    """A request for which this status is meant."""
    return lambda capture, answer: about(capture) and answer.status == status


DIFFERENCES: tuple[Difference, ...] = (
    Difference(
        "An unknown job is 404, as the documents say; the original answers 200 with nothing but nulls.",
        lambda c, a: a.status == 404 and c.path.startswith("/2/jobs/") and '"ops": null' in c.answer,
    ),
    Difference(
        "``lock=1`` on a read is 400 instead of 500: reads never lock.",
        lambda c, a: a.status == 400 and c.status == 500 and c.query == "lock=1",
    ),
    Difference(
        "The refusal of HEAD has no body, as HTTP demands.",
        lambda c, a: c.method == "HEAD" and a.status == 501 and not a.body,
    ),
    Difference(
        "A cluster is founded, and a node joins, without a job; the first job is the first one submitted.",
        lambda c, a: c.name == "odd path /2/jobs/01" and a.status == 404,
    ),
)
