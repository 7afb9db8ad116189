"""What every `twisted_rapi.storage.units.IStorageUnits` does."""

from collections.abc import Coroutine
from typing import Any

from twisted.internet.defer import Deferred
from zope.interface.verify import verifyObject

from twisted_rapi.errors import StepFailed
from twisted_rapi.storage.units import IStorageUnits


class StorageUnitsContract:
    """
    To be mixed into a synchronous test case.

    :ivar units: what is tested; `kinds` are those it has.
    """

    units: Any
    kinds: tuple[str, ...]

    def well(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        """What it gives."""
        case: Any = self
        return case.successResultOf(Deferred.fromCoroutine(coroutine))

    def fails(self, coroutine: Coroutine[Any, Any, Any]) -> None:
        """It fails, about storage."""
        case: Any = self
        failure = case.failureResultOf(Deferred.fromCoroutine(coroutine), StepFailed)
        case.assertEqual(failure.value.kind, "storage")

    def test_listed(self) -> None:
        """Each unit has a name of its own, and sizes that can be."""
        case: Any = self
        verifyObject(IStorageUnits, self.units)
        for kind in self.kinds:
            units = self.well(self.units.listed(kind))
            case.assertGreaterEqual(len(units), 1)
            case.assertEqual(len({unit["name"] for unit in units}), len(units))
            for unit in units:
                case.assertEqual(sorted(unit), ["allocatable", "free", "name", "size", "used"])
                case.assertTrue(0 <= unit["free"] <= unit["size"] and unit["used"] >= 0, unit)
                case.assertIs(unit["allocatable"], True)

    def test_missing(self) -> None:
        """What is not there can neither be changed nor repaired."""
        for kind in self.kinds:
            self.fails(self.units.change(kind, "nosuch", True))
            self.fails(self.units.repair(kind, "nosuch"))
