"""The virtual networks of a node: what can be done with them."""

from collections.abc import Callable

from zope.interface import Interface

from twisted_rapi.model.network_steps import MakeNetworks
from twisted_rapi.model.virtual_network import Acl, DhcpLeaseRecord


class IVirtualNetworks(Interface):
    """
    Bridges, VXLANs and VLANs of one node, and what the master's node serves them with.

    All of it stays when the agent ends, and is found again by the next one; only the gateways are given up
    when nobody says any more that this node is to have them.
    """

    async def make(step: MakeNetworks) -> None:
        """
        Have just what the step says; see there.  Doing it again changes nothing.

        What others removed or changed of ours is put right, what has nothing to do with us is not touched.
        With no networks nothing of us is left.

        :raises StepFailed: kind ``network``: naming each thing that could not be done; the rest is done.
        """

    async def resume(step: MakeNetworks) -> None:
        """
        As `make`, for an agent that begins anew: what this node serves already it serves on, for what is left
        of the time that it was told to, whatever the step says of that.
        """

    async def check(acls: tuple[Acl, ...]) -> str:
        """
        What is wrong with the rules, in nft's words; empty: nothing.  Nothing is changed.

        :raises StepFailed: kind ``network``: they cannot be judged here.
        """

    async def leases() -> tuple[DhcpLeaseRecord, ...] | None:
        """
        Those of the networks served here, by their addresses; ``None``: none are served.

        :raises StepFailed: kind ``network``: they cannot be read.
        """

    async def bridges() -> tuple[str, ...]:
        """
        The names of the bridges that guests can be connected to, ours and others, in order.

        :raises StepFailed: kind ``network``: the system does not tell.
        """

    async def forget(network: str, addresses: tuple[str, ...]) -> None:
        """
        Have the DHCP server of a network (by its uuid) not know the leases of these addresses any more.

        :raises StepFailed: kind ``network``: it is not served here, or cannot be run again.
        """

    def observe(changed: Callable[[], None]) -> Callable[[], None]:
        """Call `changed` when these may be others than before; answers how to end that."""

    async def end() -> None:
        """No longer look after them; what is there stays, for the time that it was made for."""
