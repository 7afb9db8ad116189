"""Steps about a node's virtual networks."""

from twisted_rapi.model.step_base import Step
from twisted_rapi.model.virtual_network import Acl, DhcpLeaseRecord, VirtualNetworkRecord


class MakeNetworks(Step, frozen=True, kw_only=True, tag="networks.make", omit_defaults=True):
    """
    Have just these virtual networks, all others removed; what is as it is to be is not touched.

    Fails, with kind ``network``, naming what could not be done; the rest is done.

    :ivar local: this node's address, `peers`: those of the nodes that VXLANs lead to.
    :ivar serving: for how many seconds this node has the gateways, DHCP and so on; it gives them up when it
        is not told so again by then.  0: it has not got them.
    :ivar dns: the address of the authoritative name server, and its port after a ``#`` where that is another
        than 53; empty: there is none.
    :ivar leases: those that are known; a DHCP server that is started begins with them.
    """

    local: str
    networks: tuple[VirtualNetworkRecord, ...] = ()
    peers: tuple[str, ...] = ()
    serving: float = 0.0
    dns: str = ""
    leases: tuple[DhcpLeaseRecord, ...] = ()


class ForgetLeases(Step, frozen=True, kw_only=True, tag="networks.forget", omit_defaults=True):
    """
    Have the DHCP server of a network not know leases any more that it gave; others may get the addresses.

    Fails, with kind ``network``, where the network is not served.

    :ivar network: its uuid; `addresses`: those of the leases.
    """

    network: str
    addresses: tuple[str, ...]


class CheckAcls(Step, frozen=True, kw_only=True, tag="networks.check", omit_defaults=True):
    """Judge all rules of a network by ``nft``.  Outcome ``reason``: what is wrong; empty: nothing."""

    acls: tuple[Acl, ...]
