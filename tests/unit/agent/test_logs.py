"""Tests of `twisted_rapi.agent.logs` and of the step that reads logs."""

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st
from twisted.logger import Logger
from twisted.trial.unittest import SynchronousTestCase

from tests.unit.agent.test_machine import MachineCase
from twisted_rapi.agent.logs import KEPT, LONGEST, MOST, History, NodeLogs, last, tail
from twisted_rapi.errors import StepFailed
from twisted_rapi.model.steps import ReadLog


class TextTests(SynchronousTestCase):
    """Ends of texts and files."""

    @given(st.text(alphabet="a\n", max_size=30), st.integers(1, 10))
    def test_last(self, text: str, lines: int) -> None:
        """It is the end of the text, with as many lines as there are, and no more than asked for."""
        found = last(text, lines)
        self.assertTrue(text.endswith(found))
        self.assertEqual(found.count("\n") + 1, min(lines, text.count("\n") + 1))

    def test_tail(self) -> None:
        """Any bytes become text; a very long file is read from the beginning of a line."""
        file = Path(self.mktemp())
        file.write_bytes(b"one\r\n\xff\n")
        self.assertEqual(tail(file), "one\n\ufffd\n")
        file.write_bytes(b"first line\n" + b"x" * MOST + b"\nlast\n")
        self.assertEqual(tail(file), "last\n")


class StepTests(MachineCase):
    """`ReadLog`."""

    def logs(self, log_file: str = "", serial_dir: str | None = None) -> NodeLogs:
        """Those of a node."""
        history = History()
        history.startService()
        self.addCleanup(history.stopService)
        return NodeLogs(str(self.folder) if serial_dir is None else serial_dir, log_file, history)

    def test_console(self) -> None:
        """The end of what a guest has written; nothing of one that was never here."""
        self.folder.mkdir()
        (self.folder / "web1.log").write_text("a\nb\nc\n")
        node = self.begun(logs=self.logs())
        self.assertEqual(self.does(node, ReadLog(instance="web1", lines=3)).text, "b\nc\n")
        self.assertEqual(self.does(node, ReadLog(instance="web2", lines=3)).text, "")

    def test_none(self) -> None:
        """Where there is none it is told; no name leads out of the folder."""
        error = self.fails(self.begun(logs=self.logs(serial_dir="")), ReadLog(instance="web1"))
        self.assertIn("serial_dir", error.text)
        node = self.begun(logs=self.logs())
        for name in ("../web1", "a/b", "\0", "x" * 300):
            self.assertEqual(self.fails(node, ReadLog(instance=name)).kind, "log")
        (self.folder / "web1.log").mkdir()
        self.assertIn("cannot be read", self.fails(node, ReadLog(instance="web1")).text)
        self.assertEqual(self.fails(self.begun(), ReadLog(instance="")).kind, "log")

    def test_own(self) -> None:
        """The agent's own, as it is remembered, or from its file."""
        logs = self.logs()
        Logger().info("hello {name}", name="world")
        Logger().debug("not this")
        text = logs(ReadLog(instance="", lines=1))
        self.assertTrue(text.endswith("hello world"), text)
        for n in range(KEPT + 10):
            Logger().info("{n} " + "x" * LONGEST, n=n)
        text = logs(ReadLog(instance="", lines=10_000))
        self.assertEqual(len(text.split("\n")), KEPT)
        self.folder.mkdir()
        (self.folder / "agent.log").write_text("1\n2\n")
        self.assertEqual(self.logs(str(self.folder / "agent.log"))(ReadLog(instance="", lines=2)), "2\n")
        with self.assertRaises(StepFailed):
            self.logs(str(self.folder / "nosuch"))(ReadLog(instance=""))
