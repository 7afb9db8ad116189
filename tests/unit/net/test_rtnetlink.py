"""Tests of `twisted_rapi.net.rtnetlink`."""

import struct
from ipaddress import IPv4Address, IPv6Address
from math import inf

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from twisted_rapi.net import rtnetlink
from twisted_rapi.net.rtnetlink import Assigned, Link, Message

PLACES = st.one_of(
    st.builds(Assigned, st.integers(1, 2**31 - 1), st.ip_addresses(v=4), st.integers(0, 32)),
    st.builds(Assigned, st.integers(1, 2**31 - 1), st.ip_addresses(v=6), st.integers(0, 128)),
)


def attribute(kind: int, value: bytes) -> bytes:
    """As the kernel writes one."""
    return struct.pack("=HH", 4 + len(value), kind) + value + bytes(-len(value) % 4)


def link(flags: int, *attributes: bytes) -> Message:
    """An interface as the kernel tells it."""
    return Message(rtnetlink.NEW_LINK, 1, struct.pack("=BxHiII", 0, 1, 7, flags, 0) + b"".join(attributes))


class AddressTests(SynchronousTestCase):
    """Messages about addresses."""

    @given(st.integers(0, 2**32 - 1), PLACES, st.integers(1, 2**32 - 1))
    def test_put(self, sequence: int, at: Assigned, seconds: int) -> None:
        """What is asked for is what the kernel would tell of it."""
        [message] = rtnetlink.messages(rtnetlink.put(sequence, at, seconds))
        self.assertEqual((message.kind, message.sequence), (rtnetlink.NEW_ADDRESS, sequence))
        self.assertEqual(rtnetlink.assigned_of(message), at)
        self.assertIn(struct.pack("=I", seconds), message.body)

    @given(st.integers(0, 2**32 - 1), PLACES)
    def test_remove(self, sequence: int, at: Assigned) -> None:
        """It is named as it was put."""
        [message] = rtnetlink.messages(rtnetlink.remove(sequence, at))
        self.assertEqual((message.kind, message.sequence), (rtnetlink.DELETE_ADDRESS, sequence))
        self.assertEqual(rtnetlink.assigned_of(message), at)

    def test_known(self) -> None:
        """The request for 192.0.2.9/24 on interface 3, byte by byte as rtnetlink(7) has it."""
        asked = rtnetlink.remove(5, Assigned(3, IPv4Address("192.0.2.9"), 24))
        header = struct.pack("=IHHII", 40, 21, 5, 5, 0)
        body = struct.pack("=BBBBI", 2, 24, 0, 0, 3)
        self.assertEqual(
            asked, header + body + attribute(2, bytes([192, 0, 2, 9])) + attribute(1, bytes([192, 0, 2, 9]))
        )

    def test_peer(self) -> None:
        """Of an address with a peer, this host's end is meant."""
        body = struct.pack("=BBBBI", 2, 32, 0, 0, 3)
        body += attribute(1, bytes([10, 0, 0, 2])) + attribute(2, bytes([10, 0, 0, 1]))
        found = rtnetlink.assigned_of(Message(rtnetlink.NEW_ADDRESS, 1, body))
        self.assertEqual(found, Assigned(3, IPv4Address("10.0.0.1"), 32))

    def test_left(self) -> None:
        """For how long it is there, which may be for ever."""
        for valid, left in ((0xFFFFFFFF, inf), (60, 60.0)):
            body = struct.pack("=BBBBI", 2, 32, 0, 0, 3) + attribute(2, bytes([10, 0, 0, 1]))
            body += attribute(6, struct.pack("=IIII", 0, valid, 0, 0))
            found = rtnetlink.assigned_of(Message(rtnetlink.NEW_ADDRESS, 1, body))
            assert found is not None
            self.assertEqual(found.left, left)

    def test_only_address(self) -> None:
        """IPv6 tells its address as such."""
        body = struct.pack("=BBBBI", 10, 64, 0, 0, 3) + attribute(1, IPv6Address("2001:db8::1").packed)
        found = rtnetlink.assigned_of(Message(rtnetlink.NEW_ADDRESS, 1, body))
        self.assertEqual(found, Assigned(3, IPv6Address("2001:db8::1"), 64))

    def test_other_family(self) -> None:
        """Other families are none of ours."""
        body = struct.pack("=BBBBI", 28, 0, 0, 0, 3) + attribute(1, b"1234")
        self.assertIsNone(rtnetlink.assigned_of(Message(rtnetlink.NEW_ADDRESS, 1, body)))


class LinkTests(SynchronousTestCase):
    """Messages about interfaces."""

    def test_link(self) -> None:
        """Name, hardware address, whether it is up and whether others are found on it."""
        mac = bytes.fromhex("020000000001")
        base = (attribute(3, b"eth0\0"), attribute(1, mac))
        rows = (
            (link(0x1, *base, attribute(16, b"\6")), Link(7, "eth0", mac, True, True)),
            (link(0x1, *base), Link(7, "eth0", mac, True, True)),
            (link(0x1, *base, attribute(16, b"\2")), Link(7, "eth0", mac, False, True)),
            (link(0x0, *base, attribute(16, b"\6")), Link(7, "eth0", mac, False, True)),
            (link(0x81, *base), Link(7, "eth0", mac, True, False)),
            (link(0x9, *base), Link(7, "eth0", mac, True, False)),
            (link(0x1, attribute(3, b"tun0\0")), Link(7, "tun0", b"", True, False)),
        )
        for message, expected in rows:
            self.assertEqual(rtnetlink.link_of(message), expected)


class MessageTests(SynchronousTestCase):
    """`messages` and `error_of`."""

    @given(st.lists(PLACES, max_size=5))
    def test_several(self, places: list[Assigned]) -> None:
        """Several come in one read."""
        data = b"".join(rtnetlink.put(n, at, 2) for n, at in enumerate(places))
        found = list(rtnetlink.messages(data))
        self.assertEqual([m.sequence for m in found], list(range(len(places))))
        self.assertEqual([rtnetlink.assigned_of(m) for m in found], places)

    @given(st.binary(max_size=200))
    def test_noise(self, data: bytes) -> None:
        """Whatever is read, nothing breaks."""
        for message in rtnetlink.messages(data):
            rtnetlink.assigned_of(message)
            rtnetlink.link_of(message)

    def test_error(self) -> None:
        """Zero acknowledges; else it is the error's number."""
        for number in (0, 1, 99):
            body = struct.pack("=i", -number) + bytes(16)
            self.assertEqual(rtnetlink.error_of(Message(rtnetlink.ERROR, 1, body)), number)
