"""From an instance's record to what a node needs to know of it."""

from typing import Any

from twisted_rapi.model import params
from twisted_rapi.model.records import DiskRecord, InstanceRecord, NicRecord, Params
from twisted_rapi.model.steps import DiskSpec, DomainSpec, NicSpec
from twisted_rapi.plan.attachment import described
from twisted_rapi.plan.devices import SWITCHED
from twisted_rapi.plan.view import View


def disk_spec(index: int, disk: DiskRecord, node: str = "", filled: Params | None = None) -> DiskSpec:
    """
    A disk as a node needs to know it.

    :param node: the node's uuid; a mirrored disk is another one on each.
    :param filled: the disk's parameters, filled in.
    """
    values = disk.params if filled is None else filled
    stripes = ({"stripes": values.get(f"{part}-stripes", 1)} for part in ("data", "meta"))
    return DiskSpec(
        uuid=disk.uuid,
        index=index,
        template=disk.dev_type,
        size=disk.size,
        logical_id=tuple(disk.logical_id),
        mode=disk.mode,
        name=disk.name,
        params=values,
        node=node,
        serial=disk.serial_no,
        children=tuple(
            disk_spec(index, child, node, own) for child, own in zip(disk.children, stripes, strict=False)
        ),
    )


def disk_specs(view: View, instance: InstanceRecord) -> tuple[DiskSpec, ...]:
    """All disks of the instance, as its primary node needs to know them."""
    node = instance.primary_node
    group = view.groups[view.nodes[node].group]
    return tuple(
        disk_spec(n, disk, node, params.disk_parameters(view.cluster, group, disk))
        for n, disk in enumerate(instance.disks)
    )


def nic_spec(view: View, nic: NicRecord) -> NicSpec:
    """A NIC with its parameters filled in."""
    filled = params.nicparams(view.cluster, nic)
    return NicSpec(
        uuid=nic.uuid,
        mac=nic.mac,
        mode=filled["mode"],
        link=filled["link"],
        vlan=filled["vlan"] if filled["mode"] == SWITCHED else "",
        ip=nic.ip,
        name=nic.name,
        network=None if nic.network is None else described(view.networks[nic.network]),
    )


def domain_spec(
    view: View,
    instance: InstanceRecord,
    hvparams: dict[str, Any] | None = None,
    beparams: dict[str, Any] | None = None,
    osparams: dict[str, Any] | None = None,
) -> DomainSpec:
    """
    The machine with all parameters filled in.

    :param hvparams: values for this one start, as are `beparams`.
    :param osparams: further OS parameters, private and secret ones: only where a script of the OS runs.
    """
    backend = {**params.beparams(view.cluster, instance), **(beparams or {})}
    nodes = view.nodes
    return DomainSpec(
        name=instance.name,
        instance_uuid=instance.uuid,
        hypervisor=instance.hypervisor,
        memory=backend["maxmem"],
        minmem=backend["minmem"],
        vcpus=backend["vcpus"],
        disks=disk_specs(view, instance),
        nics=tuple(nic_spec(view, nic) for nic in instance.nics),
        hvparams={**params.hvparams(view.cluster, instance), **(hvparams or {})},
        beparams=backend,
        console_port=instance.network_port,
        os=instance.os,
        osparams={
            **params.osparams(view.cluster, instance),
            **(osparams or {}),
        },
        primary_node=nodes[instance.primary_node].name,
        secondary_nodes=tuple(nodes[n].name for n in instance.secondary_nodes),
        tags=instance.tags,
        ctime=instance.ctime,
        mtime=instance.mtime,
        base=view.machine(instance.uuid).xml,
    )
