"""Rules that the whole package keeps."""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

import twisted_rapi

PACKAGE = Path(twisted_rapi.__file__).parent
MODULE, FUNCTION = 400, 40  # lines, at most


@cache
def nodes_of(text: str) -> tuple[ast.AST, ...]:
    """All of a module's syntax that is about imports and functions."""
    kinds = (ast.Import, ast.ImportFrom, ast.FunctionDef, ast.AsyncFunctionDef)
    return tuple(node for node in ast.walk(ast.parse(text)) if isinstance(node, kinds))


@cache
def sources() -> dict[str, str]:
    """The text of each module by its path below the package."""
    return {
        str(path.relative_to(PACKAGE)): path.read_text(encoding="utf-8")
        for path in sorted(PACKAGE.rglob("*.py"))
    }


def imported(text: str) -> set[str]:
    """What a module imports anywhere in it, in full."""
    found = set()
    for node in nodes_of(text):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def too_long(text: str) -> Iterator[tuple[str, int]]:
    """What is longer than it may be, and its lines: functions by name, the module as an empty one."""
    lines = len(text.splitlines())
    if lines > MODULE:
        yield "", lines
    for node in nodes_of(text):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = (node.end_lineno or 0) - node.lineno + 1
            if lines > FUNCTION:
                yield node.name, lines


class SizeTests(SynchronousTestCase):
    """What a reader has to take in at once."""

    def test_seen(self) -> None:
        """A line more than is allowed is too much, also within a class."""
        head, line = "class C:\n    async def f(self):\n", "        pass\n"
        self.assertEqual([*too_long(head + line * 40)], [("f", 41)])
        self.assertEqual([*too_long(head + line * 39)], [])
        self.assertEqual([*too_long("\n" * 401)], [("", 401)])
        self.assertEqual([*too_long("\n" * 400)], [])

    def test_lengths(self) -> None:
        """No module and no function is longer: what is gets parts with a meaning of their own."""
        found = [(name, *what) for name, text in sources().items() for what in too_long(text)]
        self.assertEqual(found, [])


class ReactorTests(SynchronousTestCase):
    """Who knows the process's reactor."""

    def test_seen(self) -> None:
        """All ways of importing it are found."""
        for text in (
            "import twisted.internet.reactor",
            "def f():\n    from twisted.internet import reactor as r",
            "from twisted.internet import defer, reactor",
        ):
            self.assertIn("twisted.internet.reactor", imported(text))

    def test_imported(self) -> None:
        """It is imported where the two services are made; commands are handed it by `react`."""
        for name, places in (
            ("twisted.internet.reactor", ["agent/tap.py", "tap.py"]),
            ("twisted.internet.task.react", ["admin/command.py"]),
        ):
            knowing = [path for path, text in sources().items() if name in imported(text)]
            self.assertEqual(knowing, places, name)
