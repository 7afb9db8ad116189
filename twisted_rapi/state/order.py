"""Objects kept in the natural order of their names, so that no read has to sort them."""

from bisect import bisect_left
from typing import Any

from twisted_rapi.plan.fields.base import natural


class NaturalOrder:
    """
    Uuids in the natural order of names.

    :ivar uuids: the order; it must not be changed by others.
    """

    def __init__(self) -> None:
        self.uuids: list[str] = []
        self._keys: list[tuple[Any, str]] = []

    def add(self, name: str, uuid: str) -> None:
        """There is an object of this name."""
        key = (natural(name), uuid)
        at = bisect_left(self._keys, key)
        self._keys.insert(at, key)
        self.uuids.insert(at, uuid)

    def remove(self, name: str, uuid: str) -> None:
        """There no longer is; nothing happens if there was none."""
        key = (natural(name), uuid)
        at = bisect_left(self._keys, key)
        if at < len(self._keys) and self._keys[at] == key:
            del self._keys[at], self.uuids[at]
