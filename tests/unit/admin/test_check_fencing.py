"""Tests of `twisted_rapi.admin.check_fencing`."""

from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from twisted_rapi.admin.check_fencing import check_fencing

GOOD = """
ipmitool = "/bin/sh"
[nodes."node2"]
driver = "ipmi"
address = "192.0.2.102"
user = "rapi"
password_file = "password"
[default]
driver = "command"
command = ["/bin/sh", "{name}"]
"""


class CheckTests(SynchronousTestCase):
    """Each thing that would keep this machine from fencing is a problem."""

    def setUp(self) -> None:
        self.folder = Path(self.mktemp())
        self.folder.mkdir()
        self.write("password", "secret\n")

    def write(self, name: str, text: str, mode: int = 0o600) -> None:
        (self.folder / name).write_text(text)
        (self.folder / name).chmod(mode)

    def check(self, text: str, mode: int = 0o600) -> list[tuple[str, bool, str]]:
        self.write("fencing.toml", text, mode)
        return list(check_fencing(self.folder / "fencing.toml"))

    def test_none(self) -> None:
        """It need not exist."""
        self.assertEqual(list(check_fencing(self.folder / "fencing.toml")), [])

    def test_good(self) -> None:
        """What can be switched off is told."""
        [(what, good, text)] = self.check(GOOD)
        self.assertEqual((what, good), ("fencing", True))
        self.assertIn("node2, all other nodes", text)

    def test_problems(self) -> None:
        """The node, and what is wrong."""
        for text, what, words in (
            (
                GOOD.replace('"/bin/sh"\n', '"/nowhere/ipmitool"\n'),
                "fencing of node2",
                "Debian package ipmitool",
            ),
            (GOOD.replace('"/bin/sh", "{', '"/nowhere/off", "{'), "fencing of all other nodes", "no program"),
            (GOOD.replace('"password"', '"nosuch"'), "fencing of node2", "nosuch: No such file"),
            (GOOD + "x = 1\n", "fencing", "unknown field"),
        ):
            [found] = self.check(text)
            self.assertEqual(found[:2], (what, False))
            self.assertIn(words, found[2])
        self.assertIn("chmod 600", self.check(GOOD, 0o644)[0][2])
