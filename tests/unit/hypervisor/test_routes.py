"""What is run for routed NICs."""

from twisted.trial.unittest import SynchronousTestCase

from twisted_rapi.hypervisor.routes import commands, set_up
from twisted_rapi.hypervisor.xml_nics import tap_name
from twisted_rapi.model.steps import NicSpec

UUID = "5a1e6a0e-94a2-4b2c-8d6f-0d6f6f6b1c11"


class RouteTests(SynchronousTestCase):
    """`commands`."""

    def test_commands(self) -> None:
        """The address is routed to the interface in the table of the link, of its IP version."""
        for ip, version, prefix in (("10.1.2.3", "-4", "/32"), ("2001:db8::5", "-6", "/128")):
            nic = NicSpec(uuid=UUID, mac="aa:00:00:11:22:33", mode="routed", link="100", ip=ip)
            interface = tap_name(nic)
            self.assertEqual(
                commands(nic)[1:],
                (
                    ("ip", "link", "set", interface, "up"),
                    ("ip", version, "route", "replace", ip + prefix, "dev", interface, "table", "100"),
                    ("ip", version, "rule", "add", "iif", interface, "table", "100"),
                ),
            )

    def test_main(self) -> None:
        """Without a link it is the main table."""
        nic = NicSpec(uuid=UUID, mac="aa:00:00:11:22:33", mode="routed", ip="10.1.2.3")
        self.assertEqual(commands(nic)[2][-1], "main")

    def test_others(self) -> None:
        """Nothing is run for other NICs, and for one without an address."""
        set_up([NicSpec(uuid=UUID, mac="m", ip="10.1.2.3"), NicSpec(uuid=UUID, mac="m", mode="routed")])
