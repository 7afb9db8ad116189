"""Asking etcd until it answers or time runs out."""

from collections.abc import Mapping
from typing import Any

import attrs
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater

from twisted_rapi.errors import StoreUnreachable, Unanswered
from twisted_rapi.state.etcd_gateway import IGateway
from twisted_rapi.state.etcd_wire import Document

TRIES = 3.0
"""So many members that hang may be tried before time runs out; etcd has three, mostly."""

PAUSE = 0.05  # seconds between tries


@attrs.frozen
class Deadline:
    """The moment until which something is tried, by the reactor's clock."""

    clock: IReactorTime
    patience: float
    end: float

    @classmethod
    def after(cls, clock: IReactorTime, patience: float) -> "Deadline":
        """In so many seconds."""
        return cls(clock, patience, clock.seconds() + patience)

    @property
    def left(self) -> float:
        """Seconds to go."""
        return self.end - self.clock.seconds()

    def try_for(self) -> float:
        """Seconds that one try may take."""
        return max(0.001, min(self.patience / TRIES, self.left))


@attrs.frozen
class Asker:
    """
    Asks what may be asked twice.

    :param patience: seconds until it gives up, unless another number is given.
    """

    gateway: IGateway
    clock: IReactorTime
    patience: float = 5.0

    async def insist(self, method: str, body: Document, patience: float | None = None) -> Mapping[str, Any]:
        """
        The answer, whichever member gives it.

        :raises StoreUnreachable: none did in time.
        :raises Refused: etcd says no.
        """
        deadline = Deadline.after(self.clock, self.patience if patience is None else patience)
        while True:
            try:
                return await self.gateway.call(method, body, deadline.try_for())
            except (StoreUnreachable, Unanswered) as e:
                if deadline.left <= PAUSE:
                    raise StoreUnreachable(f"etcd did not answer within {deadline.patience:g} s: {e}") from e
            await deferLater(self.clock, PAUSE)
