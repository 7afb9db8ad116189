"""Addresses as Ceph writes them."""

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from twisted_rapi.model.ceph_address import at_one_of, machine_of

_ips = st.ip_addresses()


class AddressTests(SynchronousTestCase):
    """Whose they are."""

    @given(
        _ips, st.sampled_from(["", "v1:", "v2:", "any:"]), st.integers(0, 65535), st.integers(0, 2**32 - 1)
    )
    def test_read(self, ip: object, kind: str, port: int, nonce: int) -> None:
        """The machine's address is found in every form, and is the same however it is written."""
        text = f"[{ip}]" if ":" in str(ip) else str(ip)
        self.assertEqual(machine_of(f"{kind}{text}:{port}/{nonce}"), str(ip))

    @given(st.text())
    def test_none(self, text: str) -> None:
        """What is no such address is on no machine, even if a machine has none that can be read."""
        if not machine_of(text):
            self.assertFalse(at_one_of(text, ["", text, "10.0.0.1"]))

    def test_one_of(self) -> None:
        """Machines are told apart by their whole address."""
        self.assertTrue(at_one_of("127.0.0.1:0/1711327970", ["10.0.0.1", "127.0.0.1"]))
        self.assertTrue(at_one_of("[fd00::1]:0/17", ["fd00:0::1"]))
        self.assertFalse(at_one_of("10.0.0.11:0/17", ["10.0.0.1"]))
        self.assertFalse(at_one_of(":/0", [""]))
        self.assertFalse(at_one_of("node1:0/17", ["node1"]))
