"""What parameters name on this machine."""

from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.requirements import missing
from twisted_rapi.errors import StepFailed
from twisted_rapi.hypervisor.host import addresses, look_up


class HostTests(SynchronousTestCase):
    """`look_up`."""

    skip = missing("file:/proc/net/if_inet6")

    def test_interfaces(self) -> None:
        """The loopback interface has its addresses; what is no interface has none."""
        self.assertIn("127.0.0.1", addresses("lo"))
        for name in ("none-such", "", "a\0b", "x" * 40):
            self.assertEqual(addresses(name), ())
        self.assertEqual(look_up({"spice_bind": "lo"}).addresses["lo"], addresses("lo"))

    def test_passwords(self) -> None:
        """A password is the first line of its file."""
        file = Path(self.mktemp())
        file.write_text("s3cret \nmore\n")
        values = {"vnc_bind_address": "127.0.0.1", "vnc_password_file": str(file)}
        self.assertEqual(look_up(values).passwords, {"vnc_password_file": "s3cret"})

    def test_unreadable(self) -> None:
        """A file that cannot be read, or is no text, is named in the error."""
        file = Path(self.mktemp())
        values = {"spice_bind": "127.0.0.1", "spice_password_file": str(file)}
        self.assertIn(str(file), str(self.assertRaises(StepFailed, look_up, values)))
        file.write_bytes(b"\xff\xfe")
        self.assertIn("spice_password_file", str(self.assertRaises(StepFailed, look_up, values)))
