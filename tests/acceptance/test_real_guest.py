"""A real guest: master and agent as processes, libvirt with QEMU; it boots what its OS definition wrote."""

import os
import re
import signal
import socket
import time
from xml.etree import ElementTree as ET

from tests.acceptance.guests import NAME, GuestCase
from twisted_rapi.testing.processes import await_true

_DEVICES = (
    "<watchdog model='i6300esb' action='poweroff'/>"
    "<rng model='virtio'><backend model='random'>/dev/urandom</backend></rng>"
)


class RealGuestTests(GuestCase):
    """Create, boot, look at, stop, kill and remove a guest that runs."""

    def setUp(self) -> None:
        super().setUp()
        [self.libvirt] = self.libvirts

    def configure(self) -> None:
        with (self.cluster.config / "rapi.toml").open("a") as f:
            f.write("\n[pvc]\nenabled = true\nauthentication = false\n")

    def status(self) -> str:
        found: str = self.api.ask("GET", f"/2/instances/{NAME}")["status"]
        return found

    def create(self, **osparams: str) -> None:
        body = {
            "__version__": 1,
            "mode": "create",
            "instance_name": NAME,
            "disk_template": "file",
            "disks": [{"size": 64}],
            "nics": [],
            "os_type": "minimal+default",
            "osparams": osparams,
            "beparams": {"memory": 192},
            "hvparams": {"nic_type": "e1000"},
        }
        self.assertEqual(self.done("POST", "/2/instances", body), ["node1.example.com"])

    def remove(self) -> None:
        self.done("DELETE", f"/2/instances/{NAME}", {"shutdown_timeout": 0})
        self.assertEqual(self.libvirt.domains(), [])
        self.assertEqual(self.libvirt.qemu_pids(), [])
        self.assertEqual(list(self.cluster.directory.glob("file-storage/*/*")), [])

    def redefine(self) -> None:
        """Through PVC's API, give it what only a definition says, and two processors placed by hand."""
        text = self.api.ask("GET", f"/api/v1/vm/{NAME}")[0]["xml"]
        for old, new in (
            ("<vcpu>1</vcpu>", "<vcpu>2</vcpu><cpu><topology sockets='2' cores='1' threads='1'/></cpu>"),
            ("</devices>", f"{_DEVICES}</devices>"),
        ):
            self.assertIn(old, text)
            text = text.replace(old, new)
        self.assertEqual(self.api.ask("PUT", f"/api/v1/vm/{NAME}", {"xml": text}), {"message": ""})
        self.assertEqual(self.api.ask("GET", f"/2/instances/{NAME}")["beparams"]["vcpus"], 2)

    def check_devices(self) -> None:
        """It runs with them, and both APIs show it."""
        running = ET.fromstring(self.libvirt.virsh("dumpxml", NAME))
        self.assertIsNotNone(running.find("devices/watchdog[@model='i6300esb']"))
        self.assertIsNotNone(running.find("devices/rng/backend[@model='random']"))
        topology = running.find("cpu/topology")
        self.assertEqual("" if topology is None else topology.get("sockets"), "2")
        [shown] = self.api.ask("GET", f"/api/v1/vm?limit={NAME}")
        self.assertEqual((shown["state"], shown["vcpu"], shown["vcpu_topology"]), ("start", "2", "2/1/1"))
        self.assertIn("i6300esb", shown["xml"])

    def test_life(self) -> None:
        """
        It boots, prints its marker, shows its console, heeds ACPI; boots with what only its definition says;
        killed, it shows as an error.
        """
        self.create(marker="found-me")
        await_true("the guest prints its marker", lambda: "MARKER=found-me" in self.printed(), 90)
        self.assertEqual(self.status(), "running")
        console = self.api.ask("GET", f"/2/instances/{NAME}/console")
        self.assertEqual(console["kind"], "vnc")
        with socket.create_connection(("127.0.0.1", console["port"]), timeout=5) as s:
            self.assertEqual(s.recv(4), b"RFB ")
        await_true("the guest counts", lambda: "COUNT=2" in self.printed(), 30)

        begun = time.monotonic()
        self.done("PUT", f"/2/instances/{NAME}/shutdown", {"timeout": 60})
        self.assertLess(time.monotonic() - begun, 40, "it was not stopped by ACPI but by the timeout")
        self.assertIn("POWEROFF", self.printed())
        self.assertEqual(self.status(), "ADMIN_down")

        self.redefine()
        self.done("PUT", f"/2/instances/{NAME}/startup")
        await_true("the guest boots again", lambda: len(re.findall("MARKER=", self.printed())) > 1, 90)
        self.check_devices()
        [pid] = self.libvirt.qemu_pids()
        os.kill(pid, signal.SIGKILL)
        await_true("the death is seen", lambda: self.status() == "ERROR_down", 30)
        self.remove()

    def test_deaf(self) -> None:
        """A guest that does not hear the button is stopped when the time is up, and not before."""
        self.create(marker="deaf", deaf="yes")
        await_true("the guest counts", lambda: "COUNT=1" in self.printed(), 90)
        begun = time.monotonic()
        self.done("PUT", f"/2/instances/{NAME}/shutdown", {"timeout": 4})
        self.assertGreater(time.monotonic() - begun, 3.9)
        self.assertEqual((self.status(), self.libvirt.qemu_pids()), ("ADMIN_down", []))
        self.assertNotIn("POWEROFF", self.printed())
        self.remove()
