"""OSDs of a node as ``ceph-volume`` makes them, on logical volumes, run by systemd."""

from typing import Any

from zope.interface import implementer

from twisted_rapi.errors import StepFailed
from twisted_rapi.model.ceph import is_device
from twisted_rapi.storage.ceph_interface import IOsdDevices
from twisted_rapi.storage.ceph_tools import checked, decoded
from twisted_rapi.storage.program import Run

LONG = 900.0  # seconds; disks may be slow to write


@implementer(IOsdDevices)
class CephVolume:
    """`IOsdDevices` by ``ceph-volume lvm`` and ``systemctl``, as the system has Ceph configured."""

    def __init__(self, run: Run) -> None:
        self._tool = run

    async def _all(self, *device: str) -> dict[int, list[dict[str, Any]]]:
        """What belongs to each OSD of this node."""
        words = ("ceph-volume", "lvm", "list", "--format", "json", *device)
        found = decoded(words, await self._run(*words))
        return {int(osd): parts for osd, parts in found.items()}

    async def make(self, device: str) -> int:
        """See `IOsdDevices.make`; the device is wiped unless it is one."""
        if not is_device(device):
            raise StepFailed(f"{device!r} is no device", "storage")
        found = await self._all(device)
        if not found:
            await self._run("ceph-volume", "lvm", "zap", "--destroy", device)
            await self._run("ceph-volume", "lvm", "create", "--bluestore", "--data", device)
            found = await self._all(device)
        if len(found) != 1:
            raise StepFailed(f"{device} belongs to {len(found)} OSDs", "storage")
        [osd] = found
        return osd

    async def stop(self, osd: int) -> None:
        """See `IOsdDevices.stop`."""
        if osd not in await self._all():
            raise StepFailed(f"OSD {osd} is none of this node's", "storage")
        await self._run("systemctl", "disable", "--now", f"ceph-osd@{osd}")

    async def free(self, osd: int) -> None:
        """See `IOsdDevices.free`."""
        if osd in await self._all():
            await self._run("ceph-volume", "lvm", "zap", "--destroy", "--osd-id", str(osd))

    async def _run(self, *words: str) -> bytes:
        return checked(words, await self._tool(words, LONG))
