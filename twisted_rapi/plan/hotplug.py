"""Devices that a running guest gets and loses as its record changes."""

import attrs

from twisted_rapi.errors import prereq
from twisted_rapi.model.opcodes.instance import InstanceSetParams
from twisted_rapi.model.records import InstanceRecord, NicRecord
from twisted_rapi.model.steps import AttachDisk, AttachNic, DetachDisk, DetachNic
from twisted_rapi.plan import volumes
from twisted_rapi.plan.machine import domain_spec, nic_spec
from twisted_rapi.plan.stage import Do
from twisted_rapi.plan.view import View


@attrs.frozen(kw_only=True)
class Devices:
    """Disks, by their indexes, and NICs."""

    disks: tuple[volumes.Indexed, ...] = ()
    nics: tuple[NicRecord, ...] = ()

    def __bool__(self) -> bool:
        """Whether there are any."""
        return bool(self.disks or self.nics)


NONE = Devices()


def wanted(op: InstanceSetParams, view: View, instance: InstanceRecord) -> bool:
    """
    Whether changes of devices take effect at once.

    :raises OpPrereqError: ``wrong_state``: they have to, but the guest does not run.
    """
    domain = view.domain(instance)
    runs = domain is not None and domain.running
    if op.hotplug and not runs:
        raise prereq(f"Instance {instance.name} is not running, cannot hotplug", "wrong_state")
    return runs and (op.hotplug or op.hotplug_if_possible)


def differences(before: InstanceRecord, after: InstanceRecord) -> tuple[Devices, Devices]:
    """What the guest loses and what it gets; a NIC that is another way now is both."""
    had, has = ({disk.uuid for disk in i.disks} for i in (before, after))
    lost = Devices(
        disks=tuple((n, disk) for n, disk in enumerate(before.disks) if disk.uuid not in has),
        nics=tuple(nic for nic in before.nics if nic not in after.nics),
    )
    gained = Devices(
        disks=tuple((n, disk) for n, disk in enumerate(after.disks) if disk.uuid not in had),
        nics=tuple(nic for nic in after.nics if nic not in before.nics),
    )
    return lost, gained


def attach(view: View, instance: InstanceRecord, devices: Devices) -> tuple[Do, ...]:
    """Give them to the guest."""
    return _each(view, instance, devices, AttachDisk, AttachNic)


def detach(view: View, instance: InstanceRecord, devices: Devices) -> tuple[Do, ...]:
    """Take them from the guest."""
    return _each(view, instance, devices, DetachDisk, DetachNic)


def _each(
    view: View,
    instance: InstanceRecord,
    devices: Devices,
    for_disk: type[AttachDisk | DetachDisk],
    for_nic: type[AttachNic | DetachNic],
) -> tuple[Do, ...]:
    spec, node, name = domain_spec(view, instance), instance.primary_node, instance.name
    disks = (volumes.spec(view, instance, n, disk) for n, disk in devices.disks)
    nics = (nic_spec(view, nic) for nic in devices.nics)
    return (
        *(Do(node, for_disk(instance=name, domain=spec, disk=disk)) for disk in disks),
        *(Do(node, for_nic(instance=name, domain=spec, nic=nic)) for nic in nics),
    )


def told(devices: Devices, error: str = "") -> tuple[str, ...]:
    """What is told once they have, or have not, been attached."""
    if not devices:
        return ()
    if error:
        return (f" - WARNING: Could not hotplug all devices, the next start has them: {error}",)
    return (" - INFO: Hotplug done.",)
