"""The steps about disks, carried out by the driver of their template."""

from collections.abc import Callable, Coroutine, Mapping
from typing import Any

from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater

from twisted_rapi.errors import StepFailed
from twisted_rapi.model import steps
from twisted_rapi.model.steps import DiskSpec, Outcome, Step
from twisted_rapi.storage.interface import IMirrorDriver, IVolumeDriver

Handler = Callable[[Any], Coroutine[Any, Any, Outcome]]


class DiskSteps:
    """
    Carries steps about disks out.

    :param drivers: by template.
    :ivar handlers: by type of step.
    """

    def __init__(self, drivers: Mapping[str, IVolumeDriver], clock: IReactorTime) -> None:
        self._drivers = drivers
        self._clock = clock
        self.handlers: Mapping[type[Step], Handler] = {
            steps.CreateVolume: self._create,
            steps.DeleteVolume: self._delete,
            steps.GrowVolume: self._grow,
            steps.ActivateVolume: self._activate,
            steps.DeactivateVolume: self._deactivate,
            steps.MoveVolume: self._move,
            steps.RenewVolume: self._renew,
            steps.AdoptVolume: self._adopt,
            steps.ReleaseVolume: self._release,
            steps.AwaitSync: self.await_sync,
            steps.InspectDisks: self._inspect,
        }

    def _driver(self, disk: DiskSpec) -> IVolumeDriver:
        driver = self._drivers.get(disk.template)
        if driver is None:
            raise StepFailed(f"this node keeps no {disk.template} disks", "storage")
        return driver

    def _mirror(self, disk: DiskSpec) -> IMirrorDriver:
        driver = self._driver(disk)
        if not IMirrorDriver.providedBy(driver):
            raise StepFailed(f"{disk.template} disks have no other side", "storage")
        return IMirrorDriver(driver)

    async def paths(self, disks: tuple[DiskSpec, ...]) -> list[str]:
        """
        Make disks usable for a guest here; where they are, in their order.

        :raises StepFailed: one cannot be.
        """
        return [await self._driver(disk).activate(disk) for disk in disks]

    async def _create(self, step: steps.CreateVolume) -> Outcome:
        return Outcome(path=await self._driver(step.disk).create(step.disk, step.fresh))

    async def _delete(self, step: steps.DeleteVolume) -> Outcome:
        await self._driver(step.disk).delete(step.disk)
        return Outcome()

    async def _grow(self, step: steps.GrowVolume) -> Outcome:
        await self._driver(step.disk).grow(step.disk)
        return Outcome()

    async def _activate(self, step: steps.ActivateVolume) -> Outcome:
        driver = self._driver(step.disk)
        if IMirrorDriver.providedBy(driver):
            mirror = IMirrorDriver(driver)
            path = await mirror.attach(step.disk, step.primary, step.ignore_size, step.force)
            return Outcome(path=path)
        return Outcome(path=await driver.activate(step.disk, step.ignore_size))

    async def _deactivate(self, step: steps.DeactivateVolume) -> Outcome:
        await self._driver(step.disk).deactivate(step.disk)
        return Outcome()

    async def _move(self, step: steps.MoveVolume) -> Outcome:
        await self._driver(step.disk).move(step.disk, step.to)
        return Outcome()

    async def _renew(self, step: steps.RenewVolume) -> Outcome:
        await self._mirror(step.disk).renew(step.disk, step.token)
        return Outcome()

    async def _adopt(self, step: steps.AdoptVolume) -> Outcome:
        await self._mirror(step.disk).adopt(step.disk)
        return Outcome()

    async def _release(self, step: steps.ReleaseVolume) -> Outcome:
        await self._mirror(step.disk).release(step.disk)
        return Outcome()

    async def await_sync(self, step: steps.AwaitSync) -> Outcome:
        """See `AwaitSync`; how long it takes is known beforehand, unless a side goes away meanwhile."""
        longest = 0.0
        for disk in step.disks:
            driver = self._driver(disk)
            if IMirrorDriver.providedBy(driver):
                longest = max(longest, await IMirrorDriver(driver).remaining(disk))
        if longest > 0:
            await deferLater(self._clock, min(longest, step.at_most))
        return await self._look(step.disks)

    async def _inspect(self, step: steps.InspectDisks) -> Outcome:
        return await self._look(step.disks)

    async def _look(self, disks: tuple[DiskSpec, ...]) -> Outcome:
        return Outcome(disks=tuple([await self._driver(disk).inspect(disk) for disk in disks]))
