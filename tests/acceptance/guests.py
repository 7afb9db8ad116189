"""Tests with real guests: agents as processes, each with a libvirt and QEMU of its own."""

import json
import os
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.acceptance.test_crashes import Api
from tests.requirements import missing
from twisted_rapi.testing.libvirtd import LibvirtDaemon
from twisted_rapi.testing.local import LocalCluster
from twisted_rapi.testing.processes import await_true

NEEDS = (
    *("libvirtd", "virsh", "qemu-system-x86_64", "unshare", "busybox", "syslinux", "mcopy", "cpio"),
    *("module:libvirt", "file:/boot/vmlinuz-*-cloud-amd64"),
)
NAME = "guest1.example.com"


class GuestCase(SynchronousTestCase):
    """
    A cluster of nodes that run guests.

    :cvar NODES: how many.
    :ivar serial: has what guests write on their serial ports.
    """

    skip = missing(*NEEDS)
    NODES = 1

    def setUp(self) -> None:
        folder = Path(self.mktemp()).resolve()
        folder.mkdir(parents=True)
        self.serial = folder / "serial"
        self.serial.mkdir()
        numbers = range(1, self.NODES + 1)
        self.libvirts = [LibvirtDaemon(folder / f"libvirt{n}", hostname=f"host{n}") for n in numbers]
        for libvirt in self.libvirts:
            self.addCleanup(libvirt.stop)
            libvirt.start()
        self.cluster = LocalCluster(folder / "cluster", nodes=self.NODES, hypervisor="kvm", more="")
        self.addCleanup(self.cluster.remove)
        self.cluster.set_up()
        for n, libvirt in zip(numbers, self.libvirts, strict=True):
            lines = f'libvirt_uri = "{libvirt.uri}"\nmigration_uri = "{libvirt.uri}"\n'
            with (self.cluster.directory / f"node{n}" / "agent.toml").open("a") as f:
                f.write(f'{lines}serial_dir = "{self.serial}"\n{self.settings(n)}')
        # A 6.1 kernel may hang under nested KVM; which one is used the agent says in its report.
        for agent in self.cluster.agents:
            agent.environment = {"RAPI_ACCELERATION": os.environ.get("RAPI_ACCELERATION", "tcg")}
        (self.cluster.config / "users").write_text("demo secret write\n")
        self.configure()
        self.cluster.start()
        self.cluster.await_nodes()
        self.api = Api(self.cluster.port)

    def configure(self) -> None:
        """Change what the daemons are configured with, before they are started."""

    def settings(self, n: int) -> str:
        """Further lines of a node's ``agent.toml``; asked for before its agent is started."""
        return ""

    def done(self, method: str, path: str, body: Any = None) -> Any:
        """The result of a job that has to succeed."""
        return self.ended(self.api.ask(method, path, body))

    def ended(self, job: int) -> Any:
        """The result of a job that is to succeed, once it has ended."""
        found: dict[str, Any] = {}

        def over() -> bool:
            found.update(self.api.ask("GET", f"/2/jobs/{job}"))
            return found["status"] in ("success", "error", "canceled")

        await_true(f"job {job} has ended", over, 180)
        self.assertEqual(found["status"], "success", json.dumps(found["opresult"]))
        return found["opresult"][-1]

    def printed(self, name: str = NAME) -> str:
        """What a guest has written on its serial port."""
        return "".join(f.read_text(errors="replace") for f in self.serial.glob(f"*{name}*"))
