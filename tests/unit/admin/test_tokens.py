"""Tests of `twisted_rapi.admin.tokens`, as ``rapi-admin`` runs it."""

import io
import sys
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from twisted_rapi.admin.command import run
from twisted_rapi.web.pvc.tokens import find, parse_tokens

OWN = "0955b2a5-1ce2-4a54-9a4e-8d1e61e1a001"


class TokenTests(SynchronousTestCase):
    """Who may use PVC's API."""

    def setUp(self) -> None:
        """A configuration."""
        self.folder = Path(self.mktemp())
        self.folder.mkdir()
        (self.folder / "rapi.toml").write_text('node = "node1"\n')
        self.told: list[str] = []

    def admin(self, *words: str, text: str = "") -> tuple[object, str]:
        """Status and output of a command."""
        out = io.StringIO()
        self.patch(sys, "stdout", out)
        self.patch(sys, "stdin", io.StringIO(text))
        first, second, *rest = words
        config = str(self.folder / "rapi.toml")
        return run([first, second, "-c", config, *rest], self.told.append), out.getvalue().strip()

    def test_life(self) -> None:
        """A token is shown once, listed by its id, and removed by it."""
        status, token = self.admin("token", "add", "of the web")
        self.assertEqual(status, 0)
        file = self.folder / "pvc-tokens"
        known = find(parse_tokens(file.read_text()), token)
        self.assertTrue(known)
        self.assertEqual(self.admin("token", "list"), (0, f"{known} of the web"))
        self.assertEqual(self.admin("token", "remove", known)[0], 0)
        self.assertEqual(self.admin("token", "list"), (0, ""))

    def test_own(self) -> None:
        """One that is there already can be taken, but not one that is guessed."""
        status, known = self.admin("token", "add", "--token-stdin", text=f"{OWN}\n")
        self.assertEqual(status, 0)
        self.assertEqual(find(parse_tokens((self.folder / "pvc-tokens").read_text()), OWN), known)
        for text in ("", "short\n"):
            self.assertEqual(self.admin("token", "add", "--token-stdin", text=text)[0], 1)
        self.assertEqual(self.admin("token", "remove", "nosuch")[0], 1)
        self.assertIn("there is no token nosuch", self.told[-1])
