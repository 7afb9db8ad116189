"""The input of allocator scripts (iallocator.json)."""

from collections.abc import Iterable, Mapping
from typing import Any

from twisted_rapi.model import params
from twisted_rapi.model.records import InstanceRecord, NicRecord, NodeRecord, Params
from twisted_rapi.plan.allocation import questions as ask
from twisted_rapi.plan.disks import MIRRORED, usage
from twisted_rapi.plan.rooms import Rooms
from twisted_rapi.plan.view import View

VERSION = 2


def request(view: View, question: ask.Question) -> Params:
    """The whole input: the cluster, and what is asked of it."""
    rooms = Rooms(view)
    cluster = view.cluster
    others = [hv for hv in cluster.enabled_hypervisors if hv != cluster.default_hypervisor]
    return {
        "version": VERSION,
        "cluster_name": cluster.name,
        "cluster_tags": list(cluster.tags),
        "enabled_hypervisors": [cluster.default_hypervisor, *others],
        "ipolicy": params.cluster_ipolicy(cluster),
        "nodegroups": {uuid: _group(view, uuid) for uuid in view.groups},
        "nodes": {node.name: _node(rooms, node) for node in view.nodes.values()},
        "instances": {i.name: _instance(view, i) for i in view.instances.values()},
        "request": asked(view, question),
    }


def _group(view: View, uuid: str) -> Params:
    group = view.groups[uuid]
    return {
        "name": group.name,
        "alloc_policy": group.alloc_policy,
        "networks": list(group.networks),
        "ipolicy": params.ipolicy(view.cluster, group),
        "tags": list(group.tags),
    }


def _node(rooms: Rooms, node: NodeRecord) -> Params:
    """A node; to an allocator one that does not answer is as good as offline, a flushed one as drained."""
    view = rooms.view
    room = rooms.of(node.uuid)
    static: Params = {
        "tags": list(node.tags),
        "primary_ip": node.primary_ip,
        "secondary_ip": node.secondary_ip,
        "offline": node.offline or room is None,
        "drained": node.drained or node.uuid in view.domain_states,
        "master_candidate": node.master_candidate,
        "group": node.group,
        "master_capable": node.master_capable,
        "vm_capable": node.vm_capable,
        "ndparams": params.ndparams(view.cluster, view.groups[node.group], node),
    }
    if room is None or not node.vm_capable:
        return static
    report = room.report
    here = list(view.instances_on(node.uuid))
    memory = {i.uuid: params.beparams(view.cluster, i)["maxmem"] for i in here}
    return {
        **static,
        "total_memory": report.memory_total,
        "reserved_memory": report.memory_node,
        "free_memory": room.memory,
        "total_disk": report.disk_total or report.disk_free,
        "free_disk": report.disk_free,
        "total_spindles": 0,
        "free_spindles": 0,
        "total_cpus": report.cpu_total,
        "reserved_cpus": report.cpu_node or report.cpu_total,
        "i_pri_memory": sum(memory.values()),
        "i_pri_up_memory": sum(memory[i.uuid] for i in here if i.admin_state == "up"),
    }


def _nic(view: View, nic: NicRecord) -> Params:
    filled = params.nicparams(view.cluster, nic)
    found: Params = {"mac": nic.mac, "ip": nic.ip, "mode": filled["mode"], "link": filled["link"]}
    if filled["mode"] == "bridged":
        found["bridge"] = filled["link"]
    if nic.network is not None:
        found["network"] = nic.network
    return found


def _sizes(view: View, instance: InstanceRecord) -> Params:
    """What both a new instance and one that is there are described with."""
    backend = params.beparams(view.cluster, instance)
    return {
        "disk_template": instance.disk_template,
        "tags": list(instance.tags),
        "os": instance.os,
        "vcpus": backend["vcpus"],
        "memory": backend["maxmem"],
        "spindle_use": backend["spindle_use"],
        "disks": [
            {"size": d.size, "mode": d.mode, "dev_type": d.dev_type, "spindles": d.spindles}
            for d in instance.disks
        ],
        "disk_space_total": usage(instance.disk_template, instance.disks),
        "nics": [_nic(view, nic) for nic in instance.nics],
        "hypervisor": instance.hypervisor,
    }


def _instance(view: View, instance: InstanceRecord) -> Params:
    nodes = (instance.primary_node, *instance.secondary_nodes)
    return {
        **_sizes(view, instance),
        "admin_state": instance.admin_state,
        "nodes": [view.nodes[node].name for node in nodes],
        "disks_active": instance.disks_active,
    }


# What is asked.


def _allocation(view: View, wanted: ask.Allocate) -> Params:
    instance, among = wanted.instance, wanted.among
    restricted = {} if among is None else {"restrict-to-nodes": [view.nodes[n].name for n in among]}
    return {
        "name": instance.name,
        **_sizes(view, instance),
        "group_name": None if wanted.group is None else view.groups[wanted.group].name,
        "required_nodes": 2 if instance.disk_template in MIRRORED else 1,
        **restricted,
    }


def _names(instances: Iterable[InstanceRecord]) -> list[str]:
    return [instance.name for instance in instances]


def asked(view: View, question: ask.Question) -> Params:
    """The part of the input that says what is asked."""
    match question:
        case ask.Allocate():
            return {"type": "allocate", **_allocation(view, question)}
        case ask.AllocateSeveral():
            each = [_allocation(view, wanted) for wanted in question.instances]
            return {"type": "multi-allocate", "instances": each}
        case ask.Relocate():
            instance = question.instance
            return {
                "type": "relocate",
                "name": instance.name,
                "disk_space_total": usage(instance.disk_template, instance.disks),
                "required_nodes": 1,
                "relocate_from": [view.nodes[question.leaves].name],
            }
        case ask.AllocateSecondary():
            return {"type": "allocate-secondary", "name": question.instance.name}
        case ask.Evacuate():
            return {
                "type": "node-evacuate",
                "instances": _names(question.instances),
                "evac_mode": question.mode,
            }
        case ask.ChangeGroup():
            return {
                "type": "change-group",
                "instances": _names(question.instances),
                "target_groups": list(question.targets),
            }


def options(given: Mapping[str, Any]) -> tuple[str, ...]:
    """
    A script's parameters as arguments.

    :param given: by name; one without a value (``None``) is only named.
    """
    return tuple(f"--{name}" if value is None else f"--{name}={value}" for name, value in given.items())
