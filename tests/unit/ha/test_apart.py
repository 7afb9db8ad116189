"""Tests of `twisted_rapi.ha.apart`."""

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from twisted_rapi.errors import StoreUnreachable
from twisted_rapi.ha.apart import AGAIN, SOON, Apart


class ApartTests(SynchronousTestCase):
    """The store's leader is looked after while there is a term."""

    def test_looks(self) -> None:
        """At once and from time to time, sooner where it failed; not once it is stopped."""
        clock, asked = Clock(), list[float]()

        async def move() -> bool:
            asked.append(clock.seconds())
            if len(asked) == 2:
                raise StoreUnreachable("away")
            return len(asked) == 1

        apart = Apart(move, clock)
        apart.startService()
        clock.pump([AGAIN, SOON, AGAIN])
        self.assertEqual(asked, [0.0, AGAIN, AGAIN + SOON, 2 * AGAIN + SOON])
        apart.stopService()
        clock.pump([AGAIN] * 3)
        self.assertEqual((len(asked), clock.getDelayedCalls()), (4, []))

    def test_stopped_while_asking(self) -> None:
        """Stopping does not wait for an answer."""
        never: Deferred[bool] = Deferred()
        apart = Apart(lambda: never, Clock())
        apart.startService()
        apart.stopService()
        self.assertTrue(never.called)
