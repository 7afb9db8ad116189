"""
A loaded process that forks for each line it is sent: most of what a program costs is to be loaded.

Note [Fork].  The process that is forked has one thread, no reactor and no open file but its socket; OpenSSL
and `random` take new seeds in a child.
"""

import gc
import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from types import ModuleType
from typing import Any


class Loaded:
    """
    The process, as who asks it has it.

    :param module: what it runs; calls `serve`.
    """

    def __init__(self, module: str, start_new_session: bool = False) -> None:
        self._asking, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                (sys.executable, "-m", module, str(theirs.fileno())),
                stdin=subprocess.DEVNULL,
                pass_fds=(theirs.fileno(),),
                start_new_session=start_new_session,
            )
        self._answers = self._asking.makefile("rb")

    def ask(self, **what: Any) -> int:
        """The number it answers to one line."""
        self._asking.sendall(json.dumps(what).encode() + b"\n")
        return int(self._answers.readline())

    def end(self) -> None:
        """It is no longer needed; what it has started goes on."""
        self._answers.close()
        self._asking.close()
        self._process.wait()


def load(names: Sequence[str]) -> Mapping[str, ModuleType]:
    """Modules by name, of which none installs a reactor: it cannot be shared."""
    found = {name: import_module(name) for name in names}
    assert "twisted.internet.reactor" not in sys.modules, "a reactor cannot be shared"
    return found


def serve(descriptor: int, answer: Callable[[int], int]) -> dict[str, Any] | None:
    """
    In each child what it was asked; in the parent, at the end, nothing.

    :param answer: what is answered of the child with this process id.
    """
    gc.freeze()
    with socket.socket(fileno=descriptor) as asking, asking.makefile("rwb") as lines:
        for line in lines:
            pid = os.fork()
            if not pid:
                asked: dict[str, Any] = json.loads(line)
                return asked
            lines.write(b"%d\n" % answer(pid))
            lines.flush()
    return None


def write_to(path: str, flags: int, mode: int) -> None:
    """What this process prints goes into a file."""
    out = os.open(path, os.O_WRONLY | os.O_CREAT | flags, mode)
    os.dup2(out, 1)
    os.dup2(out, 2)
    os.close(out)
