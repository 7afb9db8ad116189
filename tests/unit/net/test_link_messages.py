"""Tests of `twisted_rapi.net.link_messages`."""

import struct
from ipaddress import IPv4Address, ip_address

from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from twisted_rapi.net import link_messages
from twisted_rapi.net.rtnetlink import NEW_LINK, Message, attribute, messages

NAMES = st.from_regex(r"\A[a-z][a-z0-9]{0,14}\Z")
INDEXES = st.integers(1, 2**31 - 1)


class LinkTests(SynchronousTestCase):
    """Messages about interfaces."""

    @given(NAMES, st.integers(1, 16777215), st.ip_addresses())
    def test_vxlan(self, name: str, number: int, local: IPv4Address) -> None:
        """What is asked for is what the kernel would tell of it."""
        [told] = messages(link_messages.make_vxlan(1, name, number, local))
        found = link_messages.shown_of(told)
        self.assertEqual(
            found,
            link_messages.Shown(index=0, name=name, kind="vxlan", number=number, local=str(local)),
        )
        self.assertIn(attribute(15, struct.pack("!H", 4789)), told.body)

    @given(NAMES, st.binary(min_size=6, max_size=6))
    def test_bridge(self, name: str, mac: bytes) -> None:
        """A bridge has the MAC address it was made with."""
        [told] = messages(link_messages.make_bridge(1, name, mac))
        self.assertEqual(
            link_messages.shown_of(told), link_messages.Shown(index=0, name=name, kind="bridge", mac=mac)
        )

    @given(NAMES, st.integers(1, 4094), INDEXES)
    def test_vlan(self, name: str, number: int, below: int) -> None:
        """A VLAN is on another interface.  The module may not be here: this is all there is to test."""
        [told] = messages(link_messages.make_vlan(1, name, number, below))
        self.assertEqual(
            link_messages.shown_of(told),
            link_messages.Shown(index=0, name=name, kind="vlan", number=number, below=below),
        )

    def test_vlan_bytes(self) -> None:
        """A request for VLAN 7 on interface 3, byte by byte as ``ip link add link`` sends it."""
        told = link_messages.make_vlan(5, "vlan7", 7, 3)
        info = attribute(1, b"vlan") + attribute(2, attribute(1, struct.pack("=H", 7)))
        body = struct.pack("=BxHiII", 0, 0, 0, 0, 0) + attribute(3, b"vlan7\0")
        body += attribute(5, struct.pack("=I", 3)) + attribute(18, info)
        self.assertEqual(told, struct.pack("=IHHII", 16 + len(body), NEW_LINK, 0x605, 5, 0) + body)

    @given(INDEXES, INDEXES, st.integers(68, 65535), st.text(max_size=20))
    def test_settings(self, index: int, bridge: int, mtu: int, alias: str) -> None:
        """What is set is what the kernel would tell afterwards."""
        [told] = messages(link_messages.set_link(1, index, bridge, mtu))
        found = link_messages.shown_of(Message(NEW_LINK, 1, told.body))
        assert found is not None
        self.assertEqual((found.index, found.bridge, found.mtu, found.up), (index, bridge, mtu, True))
        [told] = messages(link_messages.set_alias(1, index, alias.replace("\0", "")))
        found = link_messages.shown_of(Message(NEW_LINK, 1, told.body))
        self.assertEqual(found and evolve(found, alias=""), link_messages.Shown(index=index, name=""))

    @given(INDEXES, st.ip_addresses())
    def test_flood(self, index: int, peer: IPv4Address) -> None:
        """Whom a VXLAN is told to flood to is read again; entries about one MAC address are not."""
        [told] = messages(link_messages.flood(1, index, peer, True))
        self.assertEqual(link_messages.flood_of(told), (index, str(ip_address(peer))))
        one = Message(told.kind, 1, told.body.replace(bytes(6), b"\x52\x54\0\0\0\1", 1))
        self.assertIsNone(link_messages.flood_of(one) if one.body[12:] != told.body[12:] else None)
        [gone] = messages(link_messages.flood(1, index, peer, False))
        self.assertEqual(gone.kind, link_messages.DELETE_NEIGHBOUR)

    @given(st.integers(0, 40), st.binary(max_size=80))
    def test_anything(self, kind: int, body: bytes) -> None:
        """Nothing the kernel could say ends the program."""
        link_messages.shown_of(Message(kind, 1, body))
        link_messages.shown_of(Message(NEW_LINK, 1, body))
        link_messages.flood_of(Message(link_messages.NEW_NEIGHBOUR, 1, body))
