"""
Runs ``rapi-admin`` by forking a process that has loaded it already: most of what it costs is to be loaded.

What is forked is a process like any other, with a reactor of its own (Note [Fork] in
`twisted_rapi.testing.nursery`).
"""

import gc
import json
import os
import socket
import subprocess
import sys
from collections.abc import Sequence
from importlib import import_module
from io import BufferedRWPair
from pathlib import Path

LOADED = ("twisted_rapi.admin.command", "twisted.internet.epollreactor")


class ForkedAdmin:
    """A loaded process that waits for what to do."""

    def __init__(self) -> None:
        self._asking, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                (sys.executable, "-m", "twisted_rapi.testing.forked_admin", str(theirs.fileno())),
                stdin=subprocess.DEVNULL,
                pass_fds=(theirs.fileno(),),
            )
        self._answers = self._asking.makefile("rb")

    def run(self, arguments: Sequence[str], out: Path) -> tuple[int, list[str]]:
        """Run it with these arguments; answers its exit status and the lines it wrote, by way of a file."""
        asked = {"arguments": list(arguments), "out": str(out)}
        self._asking.sendall(json.dumps(asked).encode() + b"\n")
        status = int(self._answers.readline())
        return status, out.read_text().splitlines()

    def end(self) -> None:
        """It is no longer needed."""
        self._answers.close()
        self._asking.close()
        self._process.wait()


def main(descriptor: int) -> None:
    """Fork for each line that comes, and answer how that ended."""
    loaded = {name: import_module(name) for name in LOADED}
    assert "twisted.internet.reactor" not in sys.modules, "a reactor cannot be shared"
    gc.freeze()
    with socket.socket(fileno=descriptor) as asking, asking.makefile("rwb") as lines:
        asked = _child_asked(lines)
    if asked is not None:
        _become(**json.loads(asked))
        loaded["twisted_rapi.admin.command"].main()


def _child_asked(lines: BufferedRWPair) -> bytes | None:
    """In each child, what it is to do; in the parent, at the end, nothing."""
    for line in lines:
        pid = os.fork()
        if not pid:
            return line
        lines.write(b"%d\n" % os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
        lines.flush()
    return None


def _become(arguments: Sequence[str], out: str) -> None:
    file = os.open(out, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    os.dup2(file, 1)
    os.dup2(file, 2)
    os.close(file)
    sys.argv = ["rapi-admin", *arguments]


if __name__ == "__main__":
    main(int(sys.argv[1]))
