"""Tests of `twisted_rapi.admin.files` and of the addresses ``rapi-admin join`` takes."""

from pathlib import Path

from argon2 import PasswordHasher
from twisted.trial.unittest import SynchronousTestCase

from twisted_rapi.admin.files import Undo, refuse_existing, remove_user, set_user, users, write_private
from twisted_rapi.admin.joining import master_address, quoted
from twisted_rapi.errors import ConfigurationError


class FilesTests(SynchronousTestCase):
    """Files are there whole or not at all."""

    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).resolve()
        self.folder.mkdir()

    def names(self) -> list[str]:
        return sorted(p.name for p in self.folder.iterdir())

    def test_write_fails(self) -> None:
        """A write that fails leaves neither the file nor a part of it."""
        (self.folder / "taken").mkdir()
        self.assertRaises(OSError, write_private, self.folder / "taken", b"x")
        self.assertEqual(self.names(), ["taken"])

    def test_existing(self) -> None:
        """A link that leads nowhere is there, too."""
        (self.folder / "link").symlink_to("nowhere")
        self.assertRaises(ConfigurationError, refuse_existing, [self.folder / "link"])
        refuse_existing([self.folder / "none"])

    def test_undo(self) -> None:
        """What was made is removed when the block fails; what was there stays."""
        (self.folder / "old").mkdir()
        with self.assertRaises(ZeroDivisionError), Undo() as undo:
            undo.private(undo.folder(self.folder / "old") / "key", b"x")
            undo.public(undo.folder(self.folder / "a/b") / "c", b"x")
            undo.other(self.folder / "never")
            raise ZeroDivisionError
        self.assertEqual(self.names(), ["old"])
        self.assertEqual(list((self.folder / "old").iterdir()), [])

    def test_keep(self) -> None:
        """What is to be kept is, with the modes that were asked for."""
        with Undo() as undo:
            undo.folder(self.folder / "a/b", 0o711)
            undo.keep()
        self.assertEqual((self.folder / "a/b").stat().st_mode & 0o777, 0o711)

    def test_users(self) -> None:
        """The password is hashed, the mode is 0600, and comments and other users stay as they are."""
        file = self.folder / "users"
        file.write_text("# who\n\nben {cleartext}x read\nanna old\n")
        set_user(file, "anna", "pass word", "write")
        lines = file.read_text().splitlines()
        self.assertEqual(lines[:3], ["# who", "", "ben {cleartext}x read"])
        name, secret, options = lines[3].split()
        self.assertEqual((name, options, len(lines)), ("anna", "write", 4))
        self.assertTrue(PasswordHasher().verify(secret.removeprefix("{argon2}"), "pass word"))
        self.assertEqual(file.stat().st_mode & 0o777, 0o600)
        remove_user(file, "anna")
        self.assertEqual(users(file), {"ben": "read"})

    def test_bad_users(self) -> None:
        """What cannot be a user's name, or no password, is refused and nothing is written."""
        file = self.folder / "users"
        for name, password in (("", "x"), ("a b", "x"), ("a:b", "x"), ("#a", "x"), ("a\n", "x"), ("a", "")):
            self.assertRaises(ConfigurationError, set_user, file, name, password, "")
        self.assertRaises(ConfigurationError, remove_user, file, "a")
        self.assertFalse(file.exists())


class MasterAddressTests(SynchronousTestCase):
    """What ``--master`` may say."""

    def test_forms(self) -> None:
        """Names and addresses, with a port or without."""
        cases = {
            "m.example.com": ("m.example.com", 5080),
            "m.example.com:81": ("m.example.com", 81),
            "192.0.2.1": ("192.0.2.1", 5080),
            "[2001:db8::1]": ("2001:db8::1", 5080),
            "[2001:db8::1]:81": ("2001:db8::1", 81),
            "2001:db8::1": ("2001:db8::1", 5080),
        }
        for text, expected in cases.items():
            self.assertEqual(master_address(text), expected)
        for text in ("m:", "m:x", "m:²", "m:70000"):
            self.assertRaises(ConfigurationError, master_address, text)

    def test_quoted(self) -> None:
        """A path is one string of TOML."""
        self.assertEqual(quoted(Path('/a"b')), '"/a\\"b"')
