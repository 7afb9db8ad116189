"""What clients of the floating address notice of a switch from one candidate to another: little."""

from typing import Any

from twisted_rapi.ha.succession import Predecessor
from twisted_rapi.listening import TermDoor
from twisted_rapi.model.mastership import SwitchRecord
from twisted_rapi.net.passage import Passage
from twisted_rapi.state.snapshot import Snapshot
from twisted_rapi.web.site import ApiResource


class Handover:
    """
    `listening.Successor`, by what the store says.

    :param here: uuid of this candidate's node.
    """

    def __init__(self, passage: Passage, snapshot: Snapshot, here: str) -> None:
        self._passage, self._snapshot, self._here = passage, snapshot, here
        self._before = Predecessor()
        snapshot.observe(self._before.told)

    def known(self) -> bool:
        """See `Successor.known`."""
        wish, election = self._snapshot.switch, self._snapshot.election
        return self._passage.is_open and election is not None and _meant(wish, election.term)

    async def welcome(self) -> None:
        """See `Successor.welcome`."""
        before = self._snapshot.nodes.get(self._before.node)
        if before is not None and before.uuid != self._here:
            await self._passage.lead_back(before.primary_ip)

    def attach(self, resource: ApiResource, door: TermDoor) -> None:
        """Have clients of the floating address leave who is not its master, or will soon not be."""

        def parting(request: Any) -> bool:
            if resource.api is not None and not self.known():
                return False
            channel = request.channel
            return channel is not None and door.is_here(_plain(channel.transport))

        resource.parting, door.successor = parting, self


def _meant(wish: SwitchRecord | None, term: int) -> bool:
    return wish is not None and wish.term == term and not wish.refused


def _plain(transport: Any) -> Any:
    """The TCP connection below TLS."""
    return getattr(transport, "transport", transport)
