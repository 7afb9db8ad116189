"""A real guest that moves: two agents with a libvirt each, asked for everything through the API."""

import os
import re
import signal

from tests.acceptance.guests import NAME, GuestCase
from twisted_rapi.testing.processes import await_true

COPY = "guest2.example.com"


class MovingGuestTests(GuestCase):
    """Migrated, failed over, given and taken disks, exported and imported, while it counts."""

    NODES = 2

    def count(self, name: str = NAME) -> int:
        """How far it has counted."""
        return max((int(n) for n in re.findall(r"COUNT=(\d+)\r?\n", self.printed(name))), default=-1)

    def counts_on(self, name: str = NAME, seconds: float = 90.0) -> None:
        """It counts further than it has."""
        before = self.count(name)
        await_true(f"{name} counts beyond {before}", lambda: self.count(name) > before, seconds)

    def where(self) -> list[list[str]]:
        """The domains of each libvirt."""
        return [sorted(libvirt.domains()) for libvirt in self.libvirts]

    def disks(self, n: int) -> int:
        """How many disks the guest has there."""
        return len(self.libvirts[n].virsh("domblklist", NAME).splitlines())

    def create(self) -> None:
        body = {
            "__version__": 1,
            "mode": "create",
            "instance_name": NAME,
            "disk_template": "sharedfile",
            "disks": [{"size": 64}],
            "nics": [],
            "os_type": "minimal+default",
            "osparams": {"marker": "found-me"},
            "beparams": {"memory": 192},
            "hvparams": {"vnc_bind_address": ""},
            "pnode": "node1.example.com",
        }
        self.done("POST", "/2/instances", body)
        await_true("the guest prints its marker", lambda: "MARKER=found-me" in self.printed(), 90)

    def convert(self) -> None:
        """The copy's disk becomes a file of its node, and it boots from that."""
        path = f"/2/instances/{COPY}"
        self.done("PUT", f"{path}/shutdown", {"timeout": 0})
        self.done("PUT", f"{path}/modify", {"disk_template": "file"})
        files = {
            f: list((self.cluster.directory / f).glob("*/*")) for f in ("file-storage", "shared-file-storage")
        }
        self.assertEqual(
            {f: len(found) for f, found in files.items()}, {"file-storage": 1, "shared-file-storage": 0}
        )
        for printed in self.serial.glob(f"*{COPY}*"):
            printed.unlink()
        self.done("PUT", f"{path}/startup")
        await_true("it boots from the file", lambda: "MARKER=found-me" in self.printed(COPY), 90)

    def test_moves(self) -> None:
        """It goes on counting on the other node, has its disks, starts elsewhere, and its copy boots."""
        path = f"/2/instances/{NAME}"
        self.create()
        self.counts_on()

        before = self.count()
        self.assertIsNone(
            self.done("PUT", f"{path}/migrate", {"mode": "live", "target_node": "node2.example.com"})
        )
        self.assertEqual(self.where(), [[], [NAME]])
        self.counts_on()
        self.assertGreater(self.count(), before, "it began to count anew")
        self.assertEqual(self.api.ask("GET", path)["pnode"], "node2.example.com")

        self.done("PUT", f"{path}/modify", {"hotplug": True, "disks": [["add", -1, {"size": 16}]]})
        self.assertEqual(self.disks(1), 2)
        self.done("POST", f"{path}/disk/1/grow", {"amount": 16})
        self.assertIn(str(32 * 1024 * 1024), self.libvirts[1].virsh("domblkinfo", NAME, "vdb"))
        self.done("PUT", f"{path}/modify", {"hotplug": True, "disks": [["remove", 1, {}]]})
        self.assertEqual(self.disks(1), 1)
        self.counts_on()

        [pid] = self.libvirts[1].qemu_pids()
        os.kill(pid, signal.SIGKILL)
        await_true("the death is seen", lambda: self.api.ask("GET", path)["status"] == "ERROR_down", 20)
        self.done("PUT", f"{path}/failover", {"target_node": "node1.example.com", "shutdown_timeout": 0})
        self.assertEqual(self.where(), [[NAME], []])
        await_true("it boots again", lambda: "MARKER=found-me" in self.printed(), 90)

        body = {"destination": "node2.example.com", "shutdown": True, "shutdown_timeout": 0}
        body["remove_instance"] = True
        self.assertEqual(self.done("PUT", f"{path}/export", body), [True, [True]])
        self.assertEqual(self.where(), [[], []])
        creation = {
            "__version__": 1,
            "mode": "import",
            "instance_name": COPY,
            "src_path": NAME,
            "disks": [],
            "nics": [],
            "pnode": "node1.example.com",
        }
        self.done("POST", "/2/instances", creation)
        await_true("the copy prints its marker", lambda: "MARKER=found-me" in self.printed(COPY), 90)
        self.assertEqual(self.where(), [[COPY], []])
        self.convert()
        self.done("DELETE", f"{path}/export")
        self.done("DELETE", f"/2/instances/{COPY}", {"shutdown_timeout": 0})
        self.assertEqual(self.where(), [[], []])
        folder = self.cluster.directory
        left = [*folder.glob("*file-storage/*/*"), *folder.glob("*/export/*")]
        self.assertEqual(left, [])
