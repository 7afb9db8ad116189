"""Tests of `twisted_rapi.admin.clocks`."""

import math

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from twisted_rapi.admin.clocks import difference


class DifferenceTests(SynchronousTestCase):
    """What can be said of a clock that tells whole seconds."""

    def test_cases(self) -> None:
        """Within the second and the time the answer took there is no difference."""
        for before, after, said, ahead in (
            (100.2, 100.3, 100, 0.0),
            (100.9, 101.2, 100, 0.0),
            (100.2, 100.3, 101, 0.7),
            (100.2, 103.3, 103, 0.0),
            (100.5, 100.6, 99, -0.5),
            (100.5, 100.6, 40, -59.5),
            (100.5, 100.5, 160, 59.5),
        ):
            self.assertAlmostEqual(difference(before, after, said), ahead)

    @given(
        st.floats(1e9, 2e9),
        st.floats(0, 3),
        st.floats(0, 1),
        st.floats(-1e6, 1e6),
    )
    def test_bounds(self, before: float, took: float, at: float, ahead: float) -> None:
        """It is no more than the real difference, of the same sign, off by a second and the time it took."""
        said = math.floor(before + took * at + ahead)
        found = difference(before, before + took, said)
        self.assertLessEqual(abs(found), abs(ahead) + 1e-3)
        self.assertGreaterEqual(found * ahead, 0)
        self.assertLessEqual(abs(found - ahead), took + 1.001)
