"""Long work in slices, so that everybody else is served in between."""

from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater

SLICE = 0.01  # seconds


class Slices:
    """Long work: it calls `pause` often, which gives the reactor back when this slice has had its time."""

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._begun = clock.seconds()

    async def pause(self) -> bool:
        """
        Let others work if this slice has taken long enough; answers whether they did.

        What was read before may have changed then.
        """
        if self._clock.seconds() - self._begun < SLICE:
            return False
        await deferLater(self._clock, 0)
        self._begun = self._clock.seconds()
        return True
