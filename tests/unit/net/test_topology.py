"""Tests of `twisted_rapi.net.topology`."""

from pathlib import Path
from typing import Any

import attrs
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from twisted_rapi.model.network_rules import check_network, completed
from twisted_rapi.model.network_steps import MakeNetworks
from twisted_rapi.model.virtual_network import Acl, StaticLease, VirtualNetworkRecord
from twisted_rapi.net.simulated import carried_out
from twisted_rapi.net.topology import (
    OURS,
    Flood,
    Hold,
    Interface,
    NotOurs,
    SetInterface,
    StartServer,
    TellServer,
    Topology,
    changes,
    wanted,
)

FOLDER = Path("/run/x")
LOCAL = "192.0.2.1"


def managed(n: int, **more: Any) -> VirtualNetworkRecord:
    """A managed network with a net of its own."""
    given_one: dict[str, Any] = {"ip4_network": f"10.0.{n}.0/24", "ip4_gateway": f"10.0.{n}.1", **more}
    return completed(
        VirtualNetworkRecord(uuid=f"v{n}", name=f"net{n}", kind="managed", vni=100 + n, **given_one)
    )


def bridged(n: int) -> VirtualNetworkRecord:
    """A VLAN."""
    return VirtualNetworkRecord(uuid=f"b{n}", name=f"lan{n}", kind="bridged", vni=n + 1)


def step(*networks: VirtualNetworkRecord, **more: Any) -> MakeNetworks:
    """A step for the node of `LOCAL`."""
    return MakeNetworks(instance="", local=LOCAL, networks=networks, **more)


def wish(asked: MakeNetworks, mtu: int = 1500) -> Topology:
    """What it asks for."""
    return wanted(asked, "eth0", mtu, lambda vni: FOLDER / str(vni))


def followed(seen: Topology, want: Topology) -> Topology:
    """The topology after all changes."""
    for change in changes(want, seen):
        seen = carried_out(change, seen)
    return seen


STEPS = st.builds(
    lambda nets, lans, peers, serving, dns: step(*nets, *lans, peers=tuple(peers), serving=serving, dns=dns),
    st.lists(
        st.builds(
            managed,
            st.integers(0, 3),
            mtu=st.sampled_from([0, 1300]),
            ip6_network=st.sampled_from(["", "fd00:7::/64"]),
            static_leases=st.sampled_from([(), (StaticLease(mac="52:54:00:00:00:01", address="10.0.0.9"),)]),
            acls=st.sampled_from([(), (Acl(name="a", direction="in", rule="drop"),)]),
        ),
        unique_by=lambda net: net.vni,
        max_size=3,
    ),
    st.lists(st.builds(bridged, st.integers(0, 3)), unique_by=lambda net: net.vni, max_size=2),
    st.lists(st.sampled_from(["192.0.2.1", "192.0.2.2", "192.0.2.3", "fd00::1"]), max_size=4),
    st.sampled_from([0.0, 60.0]),
    st.sampled_from(["", "192.0.2.100"]),
)


class ChangesTests(SynchronousTestCase):
    """From what is seen to what is wanted."""

    @settings(max_examples=60)
    @given(STEPS, STEPS, st.sampled_from([1500, 9000]))
    def test_nothing_left(self, first: MakeNetworks, second: MakeNetworks, mtu: int) -> None:
        """Carried out, nothing is left to be planned, all is as wanted, and others' interfaces stay."""
        strange = {"eth0": Interface(kind="", alias=""), "vmbr9": Interface(kind="bridge", alias="mine")}
        seen = followed(Topology(interfaces=strange), wish(first))
        want = wish(second, mtu)
        seen = followed(seen, want)
        self.assertEqual(changes(want, seen), ())
        interfaces = {name: found for name, found in seen.interfaces.items() if name not in strange}
        self.assertEqual(attrs.evolve(seen, interfaces=interfaces), _plain(want))
        self.assertEqual({name: seen.interfaces.get(name) for name in strange}, strange)
        self.assertEqual(followed(seen, wish(step())), Topology(interfaces=strange))

    def test_broken(self) -> None:
        """What others removed or changed of ours is made again, and only that."""
        want = wish(step(managed(1), serving=60.0, peers=("192.0.2.2",)))
        whole = followed(Topology(), want)
        broken: dict[str, Any]
        for broken in (
            {"interfaces": {n: i for n, i in whole.interfaces.items() if n != "vmbr101"}, "addresses": {}},
            {"interfaces": {n: i for n, i in whole.interfaces.items() if n != "vxlan101"}, "floods": {}},
            {"interfaces": {n: attrs.evolve(i, mtu=900, up=False) for n, i in whole.interfaces.items()}},
            {"tables": {101: "other"}},
            {"servers": {}},
            {"floods": {"vxlan101": frozenset({"192.0.2.9"})}},
        ):
            self.assertEqual(followed(attrs.evolve(whole, **broken), want), whole, broken)

    def test_strange(self) -> None:
        """An interface of somebody else that has a name of ours is not taken."""
        want = wish(step(managed(1)))
        seen = Topology(interfaces={"vmbr101": Interface(kind="bridge", alias="")})
        with self.assertRaisesRegex(NotOurs, "vmbr101"):
            changes(want, seen)

    def test_moved(self) -> None:
        """The gateway and its server come and go with the mastership; nothing else is touched."""
        off, on = wish(step(managed(1))), wish(step(managed(1), serving=30.0))
        seen = followed(Topology(), off)
        self.assertEqual(seen.servers, {})
        come = changes(on, seen)
        self.assertEqual([type(change) for change in come], [Hold, StartServer])
        self.assertEqual(come[0], Hold("vmbr101", "10.0.1.1/24", True))
        self.assertEqual(len(changes(off, followed(seen, on))), 2)

    def test_peers(self) -> None:
        """Frames go to all other nodes of the same kind of address, never to this one itself."""
        want = wish(step(managed(1), peers=(LOCAL, "192.0.2.2", "fd00::2")))
        self.assertEqual(want.floods, {"vxlan101": frozenset({"192.0.2.2"})})
        fewer = wish(step(managed(1), peers=(LOCAL,)))
        self.assertEqual(changes(fewer, followed(Topology(), want)), (Flood("vxlan101", "192.0.2.2", False),))

    def test_reservation(self) -> None:
        """A static lease is told to the server that runs."""
        more = managed(1, static_leases=(StaticLease(mac="52:54:00:00:00:01", address="10.0.1.9"),))
        before = wish(step(managed(1, dhcp4=True, dhcp4_start="10.0.1.10", dhcp4_end="10.0.1.20"), serving=9))
        after = wish(
            step(
                managed(
                    1,
                    dhcp4=True,
                    dhcp4_start="10.0.1.10",
                    dhcp4_end="10.0.1.20",
                    static_leases=more.static_leases,
                ),
                serving=9,
            )
        )
        [change] = changes(after, followed(Topology(), before))
        assert isinstance(change, TellServer)
        self.assertEqual(change.told.hosts, "52:54:00:00:00:01,10.0.1.9\n")

    def test_sizes(self) -> None:
        """A VXLAN leaves room for what it adds, a VLAN needs none; a smaller MTU may be asked for."""
        want = wish(step(managed(1), managed(2, mtu=1300), managed(3, mtu=9000), bridged(4)))
        sizes = {name: found.mtu for name, found in want.interfaces.items() if name.startswith("v")}
        self.assertEqual(
            {sizes[name] for name in ("vmbr101", "vxlan101", "vmbr103")} | {sizes["vmbr102"]}, {1450, 1300}
        )
        self.assertEqual((sizes["vlan5"], sizes["vmbr5"]), (1500, 1500))
        over6 = MakeNetworks(instance="", local="fd00::1", networks=(managed(1),))
        self.assertEqual(wish(over6).interfaces["vxlan101"].mtu, 1430)
        grown = changes(wish(step(managed(1)), 9000), followed(Topology(), wish(step(managed(1)))))
        self.assertEqual({type(change) for change in grown}, {SetInterface})

    def test_checked(self) -> None:
        """The networks of these tests are such as are accepted."""
        check_network(managed(1), [managed(2), bridged(3)])
        self.assertEqual(Interface(kind="bridge").alias, OURS)


def _plain(want: Topology) -> Topology:
    return attrs.evolve(
        want,
        interfaces=dict(want.interfaces),
        floods=dict(want.floods),
        addresses={name: found for name, found in want.addresses.items() if found},
        tables=dict(want.tables),
        servers=dict(want.servers),
    )
