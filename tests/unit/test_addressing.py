"""The floating address as the configuration has it."""

from ipaddress import ip_address, ip_interface

from twisted.trial.unittest import SynchronousTestCase

from twisted_rapi.addressing import listener_among
from twisted_rapi.net.rtnetlink import Assigned


class ListenerTests(SynchronousTestCase):
    """`listener_among`."""

    def test_rows(self) -> None:
        """One of the same network first, never the floating one or one that nobody else reaches."""
        rows = (
            (("127.0.0.1", "192.0.2.100", "10.0.0.1", "192.0.2.7"), "192.0.2.100/24", "192.0.2.7"),
            (("10.0.0.9", "10.0.0.1", "192.0.2.100"), "192.0.2.100/24", "10.0.0.1"),
            (("::1", "fe80::1", "2001:db8::100", "2001:db8::7"), "2001:db8::100/64", "2001:db8::7"),
            (("192.0.2.7", "fe80::1"), "2001:db8::100/64", None),
        )
        for here, wanted, expected in rows:
            assigned = [Assigned(1, ip_address(each), 24) for each in here]
            found = listener_among(assigned, ip_interface(wanted))
            self.assertEqual(found, expected and ip_address(expected), (here, wanted))
