"""Tests of `twisted_rapi.agent.os_session` with processes."""

import os
import signal
import subprocess
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.functional.test_hook_runner import alive
from twisted_rapi.agent import os_session

MARK = "SESSION=of-this-test"


class EndTests(SynchronousTestCase):
    """What is ended with a session whose script has left something running."""

    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).resolve()
        self.folder.mkdir()
        self.note = self.folder / "note"

    def leave(self, script: str) -> int:
        """
        Run a script to its end; answers the process it leaves, which has no environment at first.

        The script waits until that is so: before, it is the script's own copy.
        """
        pid, begun = self.folder / "pid", self.folder / "begun"
        os.mkfifo(begun)
        left = ("/usr/bin/env", "-i", "/bin/sh", "-c", f'echo $$ >"$0"; {script}', str(begun))
        script = 'pid=$1; begun=$2; shift 2; "$@" & read -r found <"$begun"; echo "$found" >"$pid"'
        command = ["/bin/sh", "-c", script, "sh", str(pid), str(begun), *left]
        session = os_session.command(self.folder / "log", self.note, command, MARK)
        name, _, value = MARK.partition("=")
        subprocess.run(session, env={name: value}, check=True, timeout=60)
        found = int(pid.read_text())
        self.addCleanup(self.kill, found)
        return found

    def kill(self, pid: int) -> None:
        """End what is there still."""
        if alive(str(pid)):
            os.kill(pid, signal.SIGKILL)

    def test_begins_later(self) -> None:
        """A process that shows its environment only after it was first looked at is ended."""
        self.patch(os_session, "PATIENCE", 60.0)
        # What a shell adds to the environment would make `env` a stranger before it is `sleep`.
        pid = self.leave(f"unset PWD OLDPWD SHLVL; sleep 0.5; exec /usr/bin/env {MARK} sleep 600")
        self.assertTrue(os_session.end(self.note))
        self.assertFalse(alive(str(pid)))
        self.assertFalse(self.note.exists())

    def test_stranger(self) -> None:
        """One that never shows the mark is left alone."""
        self.patch(os_session, "PATIENCE", 0.2)
        pid = self.leave("exec sleep 600")
        self.assertTrue(os_session.end(self.note))
        self.assertTrue(alive(str(pid)))
        self.assertFalse(self.note.exists())
