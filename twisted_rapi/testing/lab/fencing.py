"""Having agents of a lab take the power from nodes, by a program that they are told to run."""

from pathlib import Path

from twisted_rapi.admin.files import write_private
from twisted_rapi.testing.lab.layout import Layout

_PROGRAM = """\
#!/bin/sh
# The machine loses its power: all its processes end, and what ran on it is gone.
short=${{1%%.*}}
for i in $(seq 300); do [ -e {leave} ] && break; sleep 0.1; done
while pids=$(ip netns pids {lab}-$short) && [ -n "$pids" ]; do kill -9 $pids; sleep 0.05; done
rm -f {folder}/$short/state/fake/*.json
echo "$1 has no power"
echo "$1" >>{told}
"""

_WAY = """\
[default]
driver = "command"
command = ["{program}", "{{name}}"]
"""


class Fencing:
    """
    What fences nodes of a lab, once it is there.

    The program takes half a minute, or until it has `leave`: who wants to see a node being fenced can.
    """

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._program = layout.directory / "power-off"
        self._leave = layout.directory / "power-off.leave"
        self._told = layout.directory / "power-off.told"

    def _files(self) -> list[Path]:
        return [node.folder / "etc" / "fencing.toml" for node in self._layout.nodes]

    def put_in_place(self) -> None:
        """From now on agents can fence every node."""
        paths = {"leave": self._leave, "told": self._told, "folder": self._layout.directory}
        self._program.write_text(_PROGRAM.format(lab=self._layout.name, **paths))
        self._program.chmod(0o700)
        for file in self._files():
            write_private(file, _WAY.format(program=self._program).encode())

    def leave(self) -> None:
        """Whom it is asked for now, or later, loses its power at once."""
        self._leave.touch()

    def take_away(self) -> None:
        """From now on they cannot."""
        for file in self._files():
            file.unlink(missing_ok=True)
        self._leave.unlink(missing_ok=True)

    def fenced(self) -> list[str]:
        """The names of the nodes that were, in their order."""
        return self._told.read_text().split() if self._told.exists() else []
