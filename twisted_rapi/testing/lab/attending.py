"""Processes that attend to a lab until they are told to end."""

import signal
from collections.abc import Callable
from pathlib import Path
from threading import Event
from typing import IO, Protocol

from twisted_rapi.testing.lab.lab import Lab, opened
from twisted_rapi.testing.lab.layout import Layout


class Attendant(Protocol):
    """
    What works until it is over.

    :ivar over: set when it is to end, after what is under way.
    """

    over: Event

    def run(self) -> None:
        """Work until it is over."""


def attend(make: Callable[[Lab, IO[bytes]], Attendant], directory: str, history: str) -> None:
    """
    Run one over the lab in a folder, until SIGTERM.

    :param make: is given the lab, and the file that what it sees goes to, which is appended to.
    """
    folder = Path(directory)
    lab = opened(Layout(name=folder.name, base=folder.parent))
    with Path(history).open("ab") as out:
        attendant = make(lab, out)
        signal.signal(signal.SIGTERM, lambda *_: attendant.over.set())
        attendant.run()
