"""A cluster whose daemons die where a test plants it, and are started again as a supervisor would."""

import json
import time
import tomllib
from pathlib import Path
from typing import Any

from tests.acceptance.test_crashes import CrashCase
from twisted_rapi.testing.processes import Daemon, await_true, port_open

Request = tuple[str, str, Any]

_VOLUMES_OF = {"file": 1, "sharedfile": 1, "plain": 1, "ext": 1, "drbd": 6, "diskless": 0}
"""How many files and notes there are of a disk; a mirrored one has two volumes and a note on each node."""

TEMPLATES = ("file", "sharedfile", "plain", "drbd", "ext", "diskless")


class PlantedCase(CrashCase):
    """Three nodes, every disk template, an OS with all scripts, and a folder for allocators and hooks."""

    NODES = 3

    def setUp(self) -> None:
        super().setUp()
        self.scripts = self.cluster.directory / "scripts"
        self.plan = self.cluster.directory / "failpoints"
        self._write_definition()
        self._set_folders()
        for daemon in (self.cluster.master, *self.cluster.agents):
            daemon.environment = {"RAPI_FAILPOINT": f"@{self.plan}"}
        self.cluster.start()
        await_true("all nodes answer", self._nodes_answer)
        policy = {"disk-templates": list(TEMPLATES)}
        given = {"enabled_disk_templates": list(TEMPLATES), "vg_name": "xenvg", "ipolicy": policy}
        self.done(("PUT", "/2/modify", given))

    def script(self, path: str, *lines: str) -> Path:
        """A shell script below the folder of scripts."""
        file = self.scripts / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("\n".join(["#!/bin/sh", *lines, ""]))
        file.chmod(0o755)
        return file

    def _write_definition(self) -> None:
        for name in ("create", "rename", "verify"):
            self.script(f"os/whole/{name}")
        self.script("os/whole/export", "echo what is on it")
        self.script("os/whole/import", "cat > /dev/null")
        (self.scripts / "os/whole/ganeti_api_version").write_text("20\n")
        (self.scripts / "os/whole/parameters.list").write_text("")

    def _set_folders(self) -> None:
        self._ports: list[int] = []
        folders = "\n".join(
            (
                f'os_search_path = ["{self.scripts}/os"]',
                f'iallocator_search_path = ["{self.scripts}/allocators"]',
                f'hooks_dir = "{self.scripts}/hooks"',
            )
        )
        for n in range(1, self.NODES + 1):
            settings = self.cluster.directory / f"node{n}/agent.toml"
            listen: str = tomllib.loads(settings.read_text())["listen"]
            self._ports.append(int(listen.rpartition(":")[2]))
            text = settings.read_text().replace("os_search_path = []", folders)
            # What is simulated is the last of the file.
            settings.write_text(f'{text}\nhosts = {{ "web1.example.com" = "192.0.2.7" }}\n')

    # Dying.

    def plant(self, *places: str) -> None:
        """The next processes that come to these places, one after the other, die there."""
        self.plan.with_name(f"{self.plan.name}.died").unlink(missing_ok=True)
        part = self.plan.with_name("failpoints.part")
        part.write_text("\n".join(places))
        part.rename(self.plan)

    def died(self) -> list[str]:
        """Where processes have died since something was planted."""
        file = self.plan.with_name(f"{self.plan.name}.died")
        return file.read_text().splitlines() if file.exists() else []

    def daemons(self) -> list[Daemon]:
        """All processes."""
        return [self.cluster.master, *self.cluster.agents]

    def revive(self) -> None:
        """Start what has died."""
        for daemon in self.daemons():
            if not daemon.running:
                daemon.start(wait=False)

    def ended(self, job: int, seconds: float = 90.0) -> dict[str, Any]:
        """The job once it, and all others, have ended; whatever dies meanwhile is started again."""
        limit = time.monotonic() + seconds
        while time.monotonic() < limit:
            self.revive()
            jobs = self.api.tried("GET", "/2/jobs?bulk=1")
            if jobs is not None and all(j["status"] in ("success", "error", "canceled") for j in jobs):
                found: dict[str, Any] | None = self.api.tried("GET", f"/2/jobs/{job}")
                if found is not None:
                    return found
            time.sleep(0.05)
        raise AssertionError(f"job {job} does not end: {self.api.tried('GET', f'/2/jobs/{job}')}")

    def done(self, request: Request) -> dict[str, Any]:
        """Run a job that has to succeed."""
        found = self.ended(self.api.ask(*request))
        self.assertEqual(found["status"], "success", (request, found))
        return found

    # What must hold.

    def _nodes_answer(self) -> bool:
        self.revive()
        if not all(map(port_open, self._ports)):
            return False
        nodes = self.api.tried("GET", "/2/nodes?bulk=1")
        return nodes is not None and all(n["offline"] or n["mtotal"] for n in nodes)

    def things(self) -> list[str]:
        """Volumes, domains, exports, and what is noted while scripts and streams are under way."""
        folder = self.cluster.directory
        places = (
            *("file-storage/*/*", "shared-file-storage/*/*", "shared-volumes/*/*"),
            *("node*/state/volumes/*", "node*/state/fake/*.json", "node*/export/*"),
            *("node*/state/iallocator/*", "node*/state/scripts/*", "node*/state/hooks/*/*"),
        )
        found = [str(path.relative_to(folder)) for place in places for path in folder.glob(place)]
        return sorted(path for path in found if not path.endswith(("/.lock", "/ceph/cluster.json")))

    def _volumes(self) -> list[str]:
        return [t for t in self.things() if "volumes/" in t or "file-storage/" in t]

    def check_sound(self) -> None:
        """
        Every instance has its volumes and, where it should run, one domain; nobody else has any.

        What a node could not do while it was away it does once it is back.
        """
        await_true("all nodes answer", self._nodes_answer)
        instances = self.api.ask("GET", "/2/instances?bulk=1")
        wanted = sum(_VOLUMES_OF[i["disk_template"]] * len(i["disk.sizes"]) for i in instances)
        await_true(f"there are {wanted} volumes", lambda: len(self._volumes()) == wanted, 10)
        domains = [json.loads(p.read_text()) for p in self.cluster.directory.glob("node*/state/fake/*.json")]
        running = sorted(d["name"] for d in domains if d["state"] == "running")
        self.assertEqual(running, sorted(i["name"] for i in instances if i["admin_state"] == "up"))
        self.assertEqual([t for t in self.things() if t.endswith(".new")], [], "half of an export")
        for instance in instances:
            self.assertIn(instance["status"], ("running", "ADMIN_down"), instance["name"])
