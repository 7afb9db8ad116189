"""The contract of `ICeph` on the simulated one; the real one is in `tests.functional.test_ceph`."""

import json
from collections.abc import Sequence
from typing import Any

from twisted.internet.defer import succeed
from twisted.trial.unittest import SynchronousTestCase

from tests.contract.test_volumes import at_once
from twisted_rapi.model import ceph
from twisted_rapi.model.steps import DiskSpec
from twisted_rapi.storage.ceph_interface import ICeph
from twisted_rapi.storage.ceph_volume import CephVolume
from twisted_rapi.storage.program import Ended
from twisted_rapi.storage.simulated import Volumes
from twisted_rapi.storage.simulated_ceph import CephNotes, SimulatedCeph
from twisted_rapi.testing.contracts.ceph import CephContract
from twisted_rapi.testing.volumes import MemoryShelf


class SimulatedTests(CephContract, SynchronousTestCase):
    """Notes."""

    def make(self) -> ICeph:
        self.images = MemoryShelf()
        return SimulatedCeph(CephNotes(MemoryShelf(), self.images), at_once)

    def device(self) -> str:
        return "/dev/sdb"

    def lock(self, pool: str, volume: str) -> None:
        name = f"{pool}/{volume}"
        lock = {"id": "auto 1", "locker": "client.4316", "address": "127.0.0.1:0/1711327970"}
        self.images.write(name, {**self.images.values[name], "locks": [lock]})

    def test_same_things(self) -> None:
        """Volumes are the images of the template ``rbd``, and keep their snapshots as one grows."""
        volumes = Volumes("rbd", self.images, 1000)
        disk = DiskSpec(uuid="u", index=0, template="rbd", size=4, logical_id=("rbd", "one"))
        volumes.create(disk)
        self.done(self.ceph.change(ceph.AddSnapshot(pool="rbd", volume="one", snapshot="s")))
        volumes.grow(DiskSpec(uuid="u", index=0, template="rbd", size=6, logical_id=("rbd", "one")))
        self.assertEqual(self.look("volumes", "rbd", "one")[0]["size"], 6 << 20)
        self.assertEqual(self.names("snapshots", "rbd", "one"), {"s"})
        volumes.create(disk, fresh=True)
        self.assertEqual(self.names("snapshots", "rbd", "one"), set())


class CephVolumeTests(SynchronousTestCase):
    """OSDs by ``ceph-volume``: in the form of its documentation; no machine here has logical volumes."""

    def setUp(self) -> None:
        self.osds: dict[str, str] = {"4": "/dev/sda"}
        self.commands: list[tuple[str, ...]] = []
        self.driver = CephVolume(self.run_tool)

    async def run_tool(self, command: Sequence[str], seconds: float) -> Ended:
        """What the tool answers."""
        words = tuple(command)
        self.commands.append(words)
        match words:
            case ("ceph-volume", "lvm", "list", "--format", "json", *device):
                found = {
                    osd: [_part(osd, at)] for osd, at in self.osds.items() if not device or at == device[0]
                }
                return await succeed(Ended(0, json.dumps(found).encode()))
            case ("ceph-volume", "lvm", "create", "--bluestore", "--data", device):
                self.osds["5"] = device
            case ("ceph-volume", "lvm", "zap", "--destroy", "--osd-id", osd):
                del self.osds[osd]
        return await succeed(Ended(0))

    def test_made_once(self) -> None:
        """A device is wiped and becomes an OSD, once."""
        done: Any = CephContract.done
        self.assertEqual(done(self, self.driver.make("/dev/sdb")), 5)
        self.assertEqual(done(self, self.driver.make("/dev/sdb")), 5)
        done_words = [words[2] for words in self.commands]
        self.assertEqual(done_words, ["list", "zap", "create", "list", "list"])

    def test_ended_once(self) -> None:
        """Its process ends for good and its device is wiped, once; one of another node is refused."""
        done: Any = CephContract.done
        fails: Any = CephContract.fails
        done(self, self.driver.stop(4))
        self.assertEqual(self.commands[-1], ("systemctl", "disable", "--now", "ceph-osd@4"))
        for _ in range(2):
            done(self, self.driver.free(4))
        self.assertEqual(self.osds, {})
        self.assertIn("none of this node's", fails(self, self.driver.stop(4)))

    def test_devices(self) -> None:
        """What is no device is refused before anything is run."""
        fails: Any = CephContract.fails
        for bad in ("", "sdb", "/etc/passwd", "/dev/../etc/x", "--all", "/dev//sdb", "/dev/./x"):
            fails(self, self.driver.make(bad))
        self.assertEqual(self.commands, [])


def _part(osd: str, device: str) -> dict[str, Any]:
    tags = {"ceph.osd_id": osd, "ceph.osd_fsid": "0d7a…", "ceph.type": "block"}
    return {"devices": [device], "lv_name": f"osd-block-{osd}", "tags": tags, "type": "block"}
