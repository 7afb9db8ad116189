"""A node dies, with real processes: another's agent switches it off, its guest starts anew, it returns."""

import contextlib
import json
from typing import Any

from tests.acceptance.test_crashes import CrashCase, creation
from twisted_rapi.testing.processes import await_true

WEB = "web1.example.com"
DEATH = """
[death]
fence = true
silence = 5
fence_after = 10
recover = "auto"
"""
FENCING = """
[default]
driver = "command"
command = ["{program}", "{{name}}"]
"""
# A machine loses its power: what it runs is gone, and it can no longer be heard of.
PROGRAM = """#!/bin/sh
echo "$1" >>{folder}/switched-off
rm -f {folder}/${{1%%.*}}/state/fake/*.json
"""


class NodeDeathTests(CrashCase):
    """Three nodes; the agent of the second is killed while its guest runs on."""

    NODES = 3

    def configure(self) -> None:
        """Have nodes be fenced, by the agent of another than the master's node."""
        folder = self.cluster.directory
        program = folder / "power-off"
        program.write_text(PROGRAM.format(folder=folder))
        program.chmod(0o755)
        with (self.cluster.config / "rapi.toml").open("a") as f:
            f.write(DEATH)
        file = folder / "node3/fencing.toml"
        file.write_text(FENCING.format(program=program))
        file.chmod(0o600)

    def job(self, request: tuple[str, str, Any]) -> None:
        """Have it done."""
        number = self.api.ask(*request)
        [found] = [job for job in self.all_ended() if job["id"] == number]
        self.assertEqual(found["status"], "success", found)

    def where(self) -> list[str]:
        """The nodes that run the guest, those that are silent included."""
        found = []
        for file in self.cluster.directory.glob("node*/state/fake/*.json"):
            with contextlib.suppress(FileNotFoundError):  # its machine has just lost its power
                if json.loads(file.read_text())["state"] == "running":
                    found.append(file.relative_to(self.cluster.directory).parts[0])
        return found

    def fate(self) -> Any:
        """What is shown of the second node."""
        return self.api.ask("GET", "/2/nodes/node2.example.com/fate")

    def test_dies(self) -> None:
        """The guest is started once its node is off, and never runs twice; the node is online again."""
        self.configure()
        self.cluster.start()
        self.cluster.await_nodes()
        given = {**creation(WEB), "disk_template": "sharedfile", "pnode": "node2.example.com"}
        self.job(("POST", "/2/instances", {**given, "tags": ["rapi:restart-elsewhere"]}))
        self.cluster.agents[1].kill()
        self.assertEqual(self.where(), ["node2"])

        def runs_elsewhere() -> bool:
            running = self.where()
            self.assertLessEqual(len(running), 1)
            return bool(running) and running != ["node2"]

        await_true("the guest runs on another node", runs_elsewhere, 120)
        self.all_ended()
        fate = self.fate()
        self.assertEqual((fate["fate"], fate["offline"]), ("fenced", True))
        self.assertIn("power-off ended with exit status 0 (by node3.example.com)", fate["proof"])
        self.assertIn("does not say how node2.example.com is fenced", fate["attempts"][0]["error"])
        switched = (self.cluster.directory / "switched-off").read_text()
        self.assertEqual(switched, "node2.example.com\n")
        self.cluster.agents[1].start()
        await_true("the node is well again", lambda: self.fate()["fate"] is None, 120)
        self.assertFalse(self.fate()["offline"])
        self.assertEqual(len(self.where()), 1)
        self.assertEqual(self.api.ask("GET", f"/2/instances/{WEB}")["status"], "running")
