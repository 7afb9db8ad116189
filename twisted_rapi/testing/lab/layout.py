"""What a lab consists of and what its parts are called; no part of it is touched here."""

from ipaddress import IPv4Address, IPv6Address
from pathlib import Path

import attrs

NAME = "rapilab"
"""What the names of all labs begin with."""

BASE = Path("/tmp")
"""Where their folders are: paths of sockets below have to be short."""

ETCD, PEER, API, METRICS, AGENT = 2379, 2380, 5080, 5081, 1811
_NET4, _NET6 = IPv4Address("10.213.0.0"), IPv6Address("fd00:213::")


@attrs.frozen
class Place:
    """
    Something with a namespace of its own on the switch.

    :ivar port: the switch's end of its link; in the namespace the link is ``eth0``.
    :ivar folder: what its processes write.
    """

    name: str
    namespace: str
    port: str
    address: str
    address6: str
    folder: Path

    @property
    def short(self) -> str:
        """Its name without the domain."""
        return self.name.partition(".")[0]


@attrs.frozen
class Layout:
    """
    :ivar name: of the lab; begins with `NAME`.
    :ivar base: where its folder is.
    :ivar floating: whether the cluster has a floating address.
    :ivar clocks: whether the time of day of its daemons can be set.
    :ivar guests: whether real guests run, by libvirt; otherwise they are simulated.
    :ivar fencing: whether masters have nodes fenced, soon after they fell silent; how is for agents to know.
    :ivar lease: seconds after which a master that is not heard of is replaced.
    """

    name: str = NAME
    base: Path = BASE
    size: int = 3
    floating: bool = True
    clocks: bool = False
    guests: bool = False
    fencing: bool = False
    boot_time: float = 0.3
    lease: int = 3

    @property
    def directory(self) -> Path:
        """All files of the lab are below."""
        return self.base / self.name

    @property
    def switch(self) -> str:
        """The namespace of the bridge."""
        return f"{self.name}-switch"

    def _place(self, short: str, name: str, number: int) -> Place:
        return Place(
            name=name,
            namespace=f"{self.name}-{short}",
            port=short,
            address=str(_NET4 + number),
            address6=str(_NET6 + number),
            folder=self.directory / short,
        )

    @property
    def nodes(self) -> tuple[Place, ...]:
        """The nodes, in order."""
        return tuple(self._place(f"node{n}", f"node{n}.example.com", n) for n in range(1, self.size + 1))

    @property
    def client(self) -> Place:
        """Where clients are."""
        return self._place("client", "client.example.com", 200)

    @property
    def places(self) -> tuple[Place, ...]:
        """All that is on the switch."""
        return (*self.nodes, self.client)

    @property
    def floating_address(self) -> str:
        """The address that the master has, where the cluster has one."""
        return str(_NET4 + 100)

    @property
    def addresses(self) -> tuple[str, ...]:
        """Where clients ask for the API."""
        return (self.floating_address,) if self.floating else tuple(node.address for node in self.nodes)

    def node(self, name: str) -> Place:
        """
        The node called so, with or without its domain.

        :raises KeyError: there is none.
        """
        for node in self.nodes:
            if name in (node.name, node.short):
                return node
        raise KeyError(name)
