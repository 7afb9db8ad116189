"""
Runs ``rapi-admin`` by forking a process that has loaded it already.

What is forked is a process like any other, with a reactor of its own (`twisted_rapi.testing.forking`).
"""

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from twisted_rapi.testing.forking import Loaded, load, serve, write_to

LOADED = ("twisted_rapi.admin.command", "twisted.internet.epollreactor")


class ForkedAdmin:
    """A loaded process that waits for what to do."""

    def __init__(self) -> None:
        self._loaded = Loaded("twisted_rapi.testing.forked_admin")

    def run(self, arguments: Sequence[str], out: Path) -> tuple[int, list[str]]:
        """Run it with these arguments; answers its exit status and the lines it wrote, by way of a file."""
        status = self._loaded.ask(arguments=list(arguments), out=str(out))
        return status, out.read_text().splitlines()

    def end(self) -> None:
        """It is no longer needed."""
        self._loaded.end()


def main(descriptor: int) -> None:
    """Fork for each line that comes, and answer how that ended."""
    loaded = load(LOADED)
    asked = serve(descriptor, lambda pid: os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
    if asked is not None:
        write_to(asked["out"], os.O_TRUNC, 0o600)
        sys.argv = ["rapi-admin", *asked["arguments"]]
        loaded["twisted_rapi.admin.command"].main()


if __name__ == "__main__":
    main(int(sys.argv[1]))
