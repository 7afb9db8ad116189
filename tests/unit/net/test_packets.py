"""Tests of `twisted_rapi.net.packets`."""

from ipaddress import IPv4Address, IPv6Address

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from twisted_rapi.net.packets import (
    BROADCAST,
    Address,
    Claim,
    announcements,
    checksum,
    claim_of,
    group_mac,
    group_of,
    mac_text,
    probes,
    retirement,
)

MACS = st.binary(min_size=6, max_size=6)
V4 = st.integers(1, 2**32 - 2).map(IPv4Address)
V6 = st.integers(2, 2**128 - 1).map(IPv6Address)
ADDRESSES: st.SearchStrategy[Address] = st.one_of(V4, V6)
MAC = bytes.fromhex("020000000001")


class LayoutTests(SynchronousTestCase):
    """Frames as the documents draw them."""

    def test_arp_probe(self) -> None:
        """A request from nobody, to everybody (RFC 5227 §2.1.1)."""
        [frame] = probes(MAC, IPv4Address("192.0.2.1"))
        drawn = "ffffffffffff 020000000001 0806 0001 0800 06 04 0001"
        drawn += "020000000001 00000000 000000000000 c0000201"
        self.assertEqual(frame, bytes.fromhex(drawn))

    def test_arp_announcement(self) -> None:
        """A request from the address for itself (RFC 5227 §2.3), and a reply that says the same."""
        request, reply = announcements(MAC, IPv4Address("192.0.2.1"))
        head = "ffffffffffff 020000000001 0806 0001 0800 06 04"
        drawn = f"{head} 0001 020000000001 c0000201 000000000000 c0000201"
        self.assertEqual(request, bytes.fromhex(drawn))
        drawn = f"{head} 0002 020000000001 c0000201 ffffffffffff c0000201"
        self.assertEqual(reply, bytes.fromhex(drawn))

    def test_retirement(self) -> None:
        """A router advertisement from the link-local address, for no time, without options (RFC 4861 4.2)."""
        router = IPv6Address("fe80::1")
        frame = retirement(MAC, router)
        drawn = "333300000001 020000000001 86dd 60000000 0010 3a ff fe80" + "0" * 27 + "1"
        drawn += "ff020000000000000000000000000001 8600"
        self.assertTrue(frame.startswith(bytes.fromhex(drawn)), frame.hex())
        self.assertEqual(frame[58:], bytes(12))
        self.assertEqual(checksum(router, IPv6Address("ff02::1"), frame[54:]), 0)

    def test_solicitation(self) -> None:
        """From the unspecified address to the solicited-node group, without an option (RFC 4861 §4.3)."""
        [frame] = probes(MAC, IPv6Address("2001:db8::abcd:1234"))
        drawn = "3333ffcd1234 020000000001 86dd 60000000 0018 3a ff" + "0" * 32
        drawn += "ff0200000000000000000001ffcd1234 8700"
        self.assertTrue(frame.startswith(bytes.fromhex(drawn)), frame.hex())
        self.assertEqual(frame[58:], bytes(4) + IPv6Address("2001:db8::abcd:1234").packed)

    def test_advertisement(self) -> None:
        """From the address to all nodes, overriding, with the link-layer address (RFC 4861 §4.4)."""
        address = IPv6Address("2001:db8::1")
        [frame] = announcements(MAC, address)
        self.assertEqual(frame[:6], bytes.fromhex("333300000001"))
        self.assertEqual(frame[22:54], address.packed + IPv6Address("ff02::1").packed)
        self.assertEqual(frame[54:56], b"\x88\0")
        self.assertEqual(frame[58:], b"\x20\0\0\0" + address.packed + b"\x02\x01" + MAC)

    def test_groups(self) -> None:
        """The examples of RFC 4291 §2.7.1 and RFC 2464 §7."""
        group = group_of(IPv6Address("4037::1:800:200e:8c6c"))
        self.assertEqual(group, IPv6Address("ff02::1:ff0e:8c6c"))
        self.assertEqual(group_mac(group), bytes.fromhex("3333ff0e8c6c"))

    def test_text(self) -> None:
        """Six pairs with colons."""
        self.assertEqual(mac_text(MAC), "02:00:00:00:00:01")


class ClaimTests(SynchronousTestCase):
    """`claim_of`."""

    @given(MACS, ADDRESSES)
    def test_own(self, mac: bytes, address: Address) -> None:
        """Probes want the address, announcements have it; each is a whole Ethernet frame from the host."""
        for frames, owns in ((probes(mac, address), False), (announcements(mac, address), True)):
            for frame in frames:
                self.assertEqual(claim_of(frame, address), Claim(mac, owns))
                self.assertEqual(frame[6:12], mac)
                self.assertTrue(frame[0] & 1 or frame[:6] == BROADCAST)

    @given(MACS, ADDRESSES, ADDRESSES)
    def test_others(self, mac: bytes, address: Address, other: Address) -> None:
        """Nothing is said of other addresses."""
        for frame in (*probes(mac, address), *announcements(mac, address)):
            self.assertEqual(claim_of(frame, other) is not None, address == other)

    @given(MACS, ADDRESSES, st.data())
    def test_damaged(self, mac: bytes, address: Address, data: st.DataObject) -> None:
        """A frame that was cut says nothing; of IPv6, a changed byte of the message neither."""
        for frame in (*probes(mac, address), *announcements(mac, address)):
            self.assertIsNone(claim_of(frame[: data.draw(st.integers(0, len(frame) - 1))], address))
            if address.version == 6:
                at = data.draw(st.integers(54, len(frame) - 1))
                changed = bytearray(frame)
                changed[at] ^= data.draw(st.integers(1, 255))
                self.assertIsNone(claim_of(bytes(changed), address))

    @given(st.binary(max_size=120), ADDRESSES)
    def test_noise(self, frame: bytes, address: Address) -> None:
        """Whatever is on the wire, nothing breaks."""
        for kind in (b"", b"\x08\x06", b"\x86\xdd"):
            claim_of(frame[:12] + kind + frame[12:], address)

    @given(V6, V6, st.binary(min_size=4, max_size=64))
    def test_checksum(self, source: IPv6Address, target: IPv6Address, body: bytes) -> None:
        """A message with its checksum in it sums up to nothing."""
        body = body[:2] + b"\0\0" + body[4:]
        summed = body[:2] + checksum(source, target, body).to_bytes(2, "big") + body[4:]
        self.assertEqual(checksum(source, target, summed), 0)

    def test_request_for_it(self) -> None:
        """Who merely asks for the owner, in order to talk to it, claims nothing."""
        [frame] = probes(MAC, IPv4Address("192.0.2.1"))
        asked = frame[:28] + IPv4Address("192.0.2.7").packed + frame[32:]
        self.assertIsNone(claim_of(asked, IPv4Address("192.0.2.1")))
