"""What a deliberate difference is."""

import re

import attrs

ALL_SERVED = (
    "Paths and values of all forms are served side by side; the original's versions know only their own."
)
BY_NAME = (
    "An element is found by its exact name or UUID, as the first documentation says; the original takes "
    "what is given for a pattern."
)
INSIDE = "Where the original fails inside (500), what its documents promise is answered."
LIST_OF_ONE = "A list is a list also of one; 0.6 of the original answers the object alone."
"""Reasons that several families have."""


@attrs.frozen
class Difference:
    """
    A deliberate difference.

    :ivar reason: the item of docs/compatibility.rst.
    :ivar files: of recordings, as a pattern; `names`: of requests.
    :ivar status: what is answered instead.
    """

    reason: str
    files: str
    names: str
    status: int

    def applies(self, file: str, name: str) -> bool:
        """Whether it is about this request."""
        return bool(re.fullmatch(self.files, file) and re.fullmatch(self.names, name))
