"""Real guests on a real Ceph: two agents with a libvirt each, whose guests reach their disks by librbd."""

import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import mkdtemp
from uuid import uuid4

from tests.acceptance.guests import NAME, NEEDS, GuestCase
from tests.acceptance.pvc_ceph import CephEndpoints
from tests.acceptance.pvc_client import LATER, Pvc
from tests.requirements import missing
from twisted_rapi.model.rbd import RbdImage, uri
from twisted_rapi.testing.ceph import CephCluster
from twisted_rapi.testing.osd_tools import install
from twisted_rapi.testing.processes import await_true

CEPH = ("ceph-mon", "ceph-mgr", "ceph-osd", "ceph", "rbd", "qemu-img", "qemu-io")
POOL, USER = "vms", "guests"
MACHINE, VOLUME = "web1", "web1_root"
NODE1, NODE2 = "node1.example.com", "node2.example.com"
CAPS = {"mon": "profile rbd", "mgr": f"profile rbd pool={POOL}", "osd": f"profile rbd pool={POOL}"}


XML = """<domain type="kvm">
  <name>{name}</name>
  <uuid>{uuid}</uuid>
  <memory unit="MiB">128</memory>
  <vcpu>1</vcpu>
  <os><type arch="x86_64" machine="pc">hvm</type><boot dev="hd"/></os>
  <features><acpi/></features>
  <devices>
    <disk type="network" device="disk">
      <driver name="qemu" discard="unmap"/>
      <auth username="{user}"><secret type="ceph" uuid="{secret}"/></auth>
      <source protocol="rbd" name="{pool}/{volume}"><host name="{host}" port="{port}"/></source>
      <target dev="vda" bus="virtio"/>
    </disk>
    <serial type="file"><source path="{log}" append="on"/><target port="0"/></serial>
  </devices>
</domain>"""


class CephGuestTests(GuestCase):
    """Made, booted, kept as they were, moved while they run, and removed with their disks."""

    skip = missing(*NEEDS, *CEPH)
    NODES = 2

    def setUp(self) -> None:
        folder = Path(mkdtemp(prefix="rapi-ceph-", dir="/tmp"))  # sockets need a short path
        self.ceph, self.secret = CephCluster(folder / "c"), str(uuid4())
        self.addCleanup(shutil.rmtree, folder, ignore_errors=True)
        self.addCleanup(self.ceph.remove)
        self.timed("Ceph", self.make_ceph)
        self.timed("nodes", super().setUp)

    def make_ceph(self) -> None:
        """One with a pool for guests' disks, and a user who may use it and nothing else."""
        self.ceph.start()
        self.ceph.add_pool(POOL)
        self.ceph.add_user(USER, CAPS)

    def settings(self, n: int) -> str:
        self.libvirts[n - 1].keep_secret(self.secret, USER, self.ceph.key(USER))
        tools = install(self.ceph, f"node{n}")
        lines = ("[ceph]", f'conf = "{self.ceph.conf}"', f'tools_path = ["{tools}"]')
        return "\n".join((*lines, f'secrets = {{ {USER} = "{self.secret}" }}', ""))

    def configure(self) -> None:
        with (self.cluster.config / "rapi.toml").open("a") as f:
            f.write("[pvc]\nenabled = true\nauthentication = false\n")
        self.pvc = Pvc(self.cluster.port)

    def timed(self, what: str, work: Callable[[], object]) -> None:
        """Do it, and tell how long it took."""
        begun = time.monotonic()
        work()
        print(f"{what}: {time.monotonic() - begun:.1f} s", file=sys.stderr)

    # The guest.

    def write(self, n: int, pattern: int) -> str:
        """
        Have the QEMU of a libvirt write to the guest's disk, as the guest would.

        Answers which client of Ceph has the lock then.
        """
        virsh, asked = self.libvirts[n].virsh, ("qemu-monitor-command", MACHINE, "--hmp")
        [disk] = re.findall(r"Attached to:\s+(\S+)", virsh(*asked, "info block"))
        virsh(*asked, f'qemu-io -d {disk} "write -P {pattern} 62M 4k"')
        path = uri(RbdImage(pool=POOL, name=VOLUME, conf=str(self.ceph.conf)))
        words = ("qemu-io", "-r", "-f", "raw", "-c", f"read -P {pattern} 62M 4k", path)
        ran = subprocess.run(words, capture_output=True, text=True, timeout=120, check=False)
        self.assertNotIn("failed", ran.stdout + ran.stderr)
        [lock] = self.locks()
        return lock["locker"]

    def count(self) -> int:
        """How far it has counted; it never begins anew."""
        text = self.printed(MACHINE)
        self.assertLessEqual(text.count("MARKER="), 1, "it has booted again")
        return max((int(n) for n in re.findall(r"COUNT=(\d+)\r?\n", text)), default=-1)

    def counts_on(self) -> None:
        """It counts further than it has."""
        before = self.count()
        await_true(f"it counts beyond {before}", lambda: self.count() > before, 240)

    def where(self) -> list[list[str]]:
        """The domains of each libvirt."""
        return [sorted(libvirt.domains()) for libvirt in self.libvirts]

    def images(self) -> list[str]:
        """What ``rbd ls`` shows."""
        found: list[str] = self.ceph.ask("rbd", "ls", POOL)
        return found

    def fill(self) -> None:
        """Have a volume that a guest boots from: a copy of a disk that an OS definition has written."""
        disks = {"rbd": {"pool": POOL, "access": "userspace", "user-id": USER}}
        allowed = {"enabled_disk_templates": ["rbd"], "ipolicy": {"disk-templates": ["rbd"]}}
        self.done("PUT", "/2/modify", {**allowed, "diskparams": disks})
        body = {
            "__version__": 1,
            "mode": "create",
            "instance_name": NAME,
            "disk_template": "rbd",
            "disks": [{"size": 64}],
            "nics": [],
            "os_type": "minimal+default",
            "osparams": {"marker": "found-me", "pause": "3"},
            "start": False,
            "pnode": NODE1,
        }
        self.done("POST", "/2/instances", body)
        [image] = self.images()
        self.pvc.well("POST", f"/storage/ceph/volume/{POOL}/{image}/clone", new_volume=VOLUME)
        self.done("DELETE", f"/2/instances/{NAME}")
        self.assertEqual(self.images(), [VOLUME])

    def boot(self) -> None:
        """Have a guest that boots from it, and wait until its system is up."""
        host, _, port = self.ceph.monitor.partition(":")
        disk = {
            "user": USER,
            "secret": self.secret,
            "pool": POOL,
            "volume": VOLUME,
            "log": self.serial / f"{MACHINE}.log",
        }
        xml = XML.format(name=MACHINE, uuid=uuid4(), **disk, host=host, port=port)
        self.pvc.well("POST", "/vm", xml=xml, node=NODE1)
        self.pvc.well("POST", f"/vm/{MACHINE}/state", state="start", wait="yes")
        await_true("the guest prints its marker", lambda: "MARKER=found-me" in self.printed(MACHINE), 240)

    def snapshot(self) -> None:
        """Keep how its disk is while it runs; nobody else can have it."""
        self.pvc.well("POST", "/storage/ceph/snapshot", pool=POOL, volume=VOLUME, snapshot="now")
        [found] = self.ceph.ask("rbd", "snap", "ls", f"{POOL}/{VOLUME}")
        self.assertEqual(found["name"], "now")
        status, body = self.pvc.ask("DELETE", f"/storage/ceph/volume/{POOL}/{VOLUME}")
        self.assertEqual(status, 400, body)

    def migrate(self) -> None:
        """Have it go on on the other node, until it is told to come back."""
        self.pvc.well("POST", f"/vm/{MACHINE}/node", action="migrate", node=NODE2, wait="yes")
        self.assertEqual(self.where(), [[], [MACHINE]])
        self.assertNotEqual(self.write(1, 2), self.holder)
        self.counts_on()

    def come_back(self) -> None:
        """Have it go on where it was first."""
        self.pvc.well("POST", f"/vm/{MACHINE}/node", action="unmigrate", wait="yes")
        self.assertEqual(self.where(), [[MACHINE], []])
        self.counts_on()

    def flush(self) -> None:
        """Have it leave its node with all that is there, and come back when that is ready."""
        for state, there in (("flush", [[], [MACHINE]]), ("ready", [[MACHINE], []])):
            self.pvc.well("POST", f"/node/{NODE1}/domain-state", state=state, wait="yes")
            self.assertEqual(self.where(), there)
        self.counts_on()

    def unlock(self) -> None:
        """Have the lock of somebody on its disk broken, once it does not run; not before."""
        at, held = f"/vm/{MACHINE}", self.write(0, 3)
        self.assertEqual(self.pvc.ask("POST", f"{at}/locks", LATER)[0], 400)
        self.assertEqual([one["locker"] for one in self.locks()], [held])
        self.pvc.well("POST", f"{at}/state", state="stop", wait="yes")
        for one in self.locks():  # QEMU may have had no time to give it back
            self.ceph.tool("rbd", "lock", "rm", f"{POOL}/{VOLUME}", one["id"], one["locker"])
        self.ceph.tool("rbd", "lock", "add", f"{POOL}/{VOLUME}", "by somebody")
        self.assertEqual([one["id"] for one in self.locks()], ["by somebody"])
        self.pvc.well("POST", f"{at}/locks")
        self.assertEqual(self.locks(), [])

    def locks(self) -> list[dict[str, str]]:
        """Who has locks on the guest's disk."""
        found: list[dict[str, str]] = self.ceph.ask("rbd", "lock", "ls", f"{POOL}/{VOLUME}")
        return found

    def remove(self) -> None:
        """Have nothing of it left."""
        self.pvc.well("DELETE", f"/vm/{MACHINE}", delete_disks="yes")
        self.assertEqual((self.where(), self.images()), ([[], []], []))
        self.assertEqual(self.api.ask("GET", "/2/instances"), [])

    def test_life(self) -> None:
        """It boots by librbd, moves while it counts, and goes with its disk; meanwhile Ceph changes."""
        ceph = CephEndpoints(self.pvc, self.ceph, POOL)
        self.timed("a volume is filled", self.fill)
        self.timed("a guest boots from it", self.boot)
        self.counts_on()
        self.holder = self.write(0, 1)
        self.timed("snapshot", self.snapshot)
        self.timed("live migration", self.migrate)
        self.timed("back", self.come_back)
        self.timed("off its node and back", self.flush)
        for step in (ceph.whole, ceph.options, ceph.pools, ceph.volumes, ceph.snapshots):
            self.timed(step.__name__, step)
        self.timed("an OSD added, replaced, drained and removed", lambda: ceph.osd(NODE2))
        self.counts_on()
        self.timed("locks", self.unlock)
        self.timed("removed with its disk", self.remove)
