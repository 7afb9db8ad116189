"""Tests of the addresses of networks."""

from ipaddress import IPv4Network

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from twisted.trial.unittest import SynchronousTestCase

from twisted_rapi.model.address_pool import AddressPool, AddressRefused, check_network, release, reserve
from twisted_rapi.model.records import NetworkRecord

NET = NetworkRecord(uuid="n", name="net", network="10.0.0.0/29", gateway="10.0.0.1")

subnets = st.builds(
    lambda base, prefix: str(IPv4Network((base << 8, prefix), strict=False)),
    st.integers(0, 2**23),
    st.integers(24, 30),
)


class AddressPoolTests(SynchronousTestCase):
    """Which addresses are kept, used and free."""

    def test_figures(self) -> None:
        """First, last and gateway are kept; what instances have is not free either."""
        pool = AddressPool(NET, frozenset({"10.0.0.2", "fd77::2"}))
        self.assertEqual(pool.kept, ("10.0.0.0", "10.0.0.1", "10.0.0.7"))
        self.assertEqual((pool.size, pool.reserved_count, pool.free_count), (8, 4, 4))
        self.assertEqual(pool.map, "XXX....X")
        self.assertEqual(pool.first_free(), "10.0.0.3")
        self.assertEqual(pool.first_free({"10.0.0.3", "10.0.0.4"}), "10.0.0.5")

    def test_full(self) -> None:
        """A pool without a free address gives none."""
        pool = AddressPool(NET, frozenset(f"10.0.0.{n}" for n in range(2, 7)))
        self.assertEqual((pool.free_count, pool.first_free(), pool.map), (0, None, "X" * 8))

    def test_fit(self) -> None:
        """Gateways are inside, and the size is one that can be shown."""
        for values, text in (
            ({"gateway": "10.1.0.1"}, "10.0.0.0/29 does not contain 10.1.0.1"),
            ({"network": "10.0.0.0/31", "gateway": None}, "2 address(es) is too small"),
            ({"network": "10.0.0.0/8", "gateway": None}, "is too large"),
            ({"gateway6": "fd77::1"}, "no IPv6 network"),
            ({"gateway6": "fd78::1", "network6": "fd77::/64"}, "fd77::/64 does not contain fd78::1"),
        ):
            record: NetworkRecord = replace(NET, **values)
            self.assertIn(text, str(self.assertRaises(AddressRefused, check_network, record)))
        check_network(replace(NET, network6="fd77::/64", gateway6="fd77::1"))

    def test_refused(self) -> None:
        """What is kept is not reserved again; what an operator did not reserve is not given back."""
        for edit, address, text in (
            (reserve, "10.0.0.1", "IP 10.0.0.1 is already externally reserved"),
            (reserve, "10.9.0.1", "10.0.0.0/29 does not contain 10.9.0.1"),
            (release, "10.0.0.0", "IP 10.0.0.0 is always kept"),
            (release, "10.0.0.4", "IP 10.0.0.4 is not externally reserved"),
        ):
            self.assertEqual(str(self.assertRaises(AddressRefused, edit, NET, address)), text)

    @given(subnets, st.lists(st.integers(0, 300)), st.sets(st.integers(0, 255)))
    def test_consistent(self, subnet: str, wanted: list[int], used: set[int]) -> None:
        """
        Whatever is reserved and used, the figures and the map say the same, and what is free was given to
        nobody.
        """
        network = IPv4Network(subnet)
        record = NetworkRecord(uuid="n", name="net", network=subnet)
        for offset in wanted:
            try:
                record = reserve(record, str(network.network_address + offset))
            except AddressRefused:
                continue
        had = frozenset(str(network.network_address + n) for n in used if n < network.num_addresses)
        pool = AddressPool(record, had)
        self.assertEqual(pool.free_count + pool.reserved_count, network.num_addresses)
        self.assertEqual((pool.map.count("X"), len(pool.map)), (pool.reserved_count, pool.size))
        self.assertLessEqual(set(record.reserved), set(pool.kept))
        free = pool.first_free()
        self.assertEqual(free is None, pool.free_count == 0)
        if free is not None:
            self.assertFalse(free in had or pool.keeps(free))
            self.assertEqual(AddressPool(record, had | {free}).free_count, pool.free_count - 1)
        for address in record.reserved:
            record = release(record, address)
        self.assertEqual(record.reserved, ())
