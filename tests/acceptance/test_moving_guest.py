"""A real guest that moves: two agents with a libvirt each, asked for everything through the API."""

import json
import os
import re
import signal
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.acceptance.test_crashes import Api
from tests.acceptance.test_real_guest import NEEDS
from tests.requirements import missing
from twisted_rapi.testing.libvirtd import LibvirtDaemon
from twisted_rapi.testing.local import LocalCluster
from twisted_rapi.testing.processes import await_true

NAME, COPY = "guest1.example.com", "guest2.example.com"


class MovingGuestTests(SynchronousTestCase):
    """Migrated, failed over, given and taken disks, exported and imported, while it counts."""

    skip = missing(*NEEDS)

    def setUp(self) -> None:
        folder = Path(self.mktemp()).resolve()
        folder.mkdir(parents=True)
        self.serial = folder / "serial"
        self.serial.mkdir()
        self.libvirts = [LibvirtDaemon(folder / f"libvirt{n}", hostname=f"host{n}") for n in (1, 2)]
        for libvirt in self.libvirts:
            self.addCleanup(libvirt.stop)
            libvirt.start()
        self.cluster = LocalCluster(folder / "cluster", nodes=2, hypervisor="kvm", more="")
        self.addCleanup(self.cluster.remove)
        self.cluster.set_up()
        for n, libvirt in enumerate(self.libvirts, 1):
            lines = f'libvirt_uri = "{libvirt.uri}"\nmigration_uri = "{libvirt.uri}"\n'
            with (self.cluster.directory / f"node{n}" / "agent.toml").open("a") as f:
                f.write(f'{lines}serial_dir = "{self.serial}"\n')
        for agent in self.cluster.agents:
            agent.environment = {"RAPI_ACCELERATION": os.environ.get("RAPI_ACCELERATION", "tcg")}
        (self.cluster.config / "users").write_text("demo secret write\n")
        self.cluster.start()
        self.cluster.await_nodes()
        self.api = Api(self.cluster.port)

    def done(self, method: str, path: str, body: Any = None) -> Any:
        """The result of a job that has to succeed."""
        job = self.api.ask(method, path, body)
        found: dict[str, Any] = {}

        def ended() -> bool:
            found.update(self.api.ask("GET", f"/2/jobs/{job}"))
            return found["status"] in ("success", "error", "canceled")

        await_true(f"job {job} has ended", ended, 90)
        self.assertEqual(found["status"], "success", json.dumps(found["opresult"]))
        return found["opresult"][-1]

    def printed(self, name: str = NAME) -> str:
        """What a guest has written on its serial port."""
        return "".join(f.read_text(errors="replace") for f in self.serial.glob(f"*{name}*"))

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
