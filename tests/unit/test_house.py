"""Rules that the whole package keeps."""

import ast
from collections.abc import Iterator
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

import twisted_rapi

PACKAGE = Path(twisted_rapi.__file__).parent


def sources() -> Iterator[tuple[str, str]]:
    """Each module of the package: its path below the package, and its text."""
    for path in sorted(PACKAGE.rglob("*.py")):
        yield str(path.relative_to(PACKAGE)), path.read_text(encoding="utf-8")


def imported(text: str) -> Iterator[str]:
    """What a module imports anywhere in it, in full."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


class ReactorTests(SynchronousTestCase):
    """Who knows the process's reactor."""

    def test_seen(self) -> None:
        """All ways of importing it are found."""
        for text in (
            "import twisted.internet.reactor",
            "def f():\n    from twisted.internet import reactor as r",
            "from twisted.internet import defer, reactor",
        ):
            self.assertIn("twisted.internet.reactor", [*imported(text)])

    def test_imported(self) -> None:
        """It is imported where the two services are made; commands are handed it by `react`."""
        knowing = [name for name, text in sources() if "twisted.internet.reactor" in imported(text)]
        self.assertEqual(knowing, ["agent/tap.py", "tap.py"])
        reacting = [name for name, text in sources() if "twisted.internet.task.react" in imported(text)]
        self.assertEqual(reacting, ["admin/command.py"])
