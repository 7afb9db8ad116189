"""Which plan and which locks belong to an opcode."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from twisted_rapi.model.opcodes import Opcode, cluster, instance
from twisted_rapi.plan.create import plan_create
from twisted_rapi.plan.info import (
    plan_activate_disks,
    plan_deactivate_disks,
    plan_os_diagnose,
    plan_query_data,
)
from twisted_rapi.plan.install import plan_reinstall, plan_rename
from twisted_rapi.plan.locks import Lock
from twisted_rapi.plan.modify import plan_modify
from twisted_rapi.plan.power import plan_reboot, plan_remove, plan_shutdown, plan_startup
from twisted_rapi.plan.stage import Progress, Stage
from twisted_rapi.plan.tags import plan_tags_del, plan_tags_set
from twisted_rapi.plan.view import View

PlanFunction = Callable[[Any, Progress, View], Stage]

PLANS: Mapping[type[Opcode], PlanFunction] = {
    instance.InstanceCreate: plan_create,
    instance.InstanceRemove: plan_remove,
    instance.InstanceStartup: plan_startup,
    instance.InstanceShutdown: plan_shutdown,
    instance.InstanceReboot: plan_reboot,
    instance.InstanceReinstall: plan_reinstall,
    instance.InstanceRename: plan_rename,
    instance.InstanceSetParams: plan_modify,
    instance.InstanceQueryData: plan_query_data,
    instance.InstanceActivateDisks: plan_activate_disks,
    instance.InstanceDeactivateDisks: plan_deactivate_disks,
    cluster.TagsSet: plan_tags_set,
    cluster.TagsDel: plan_tags_del,
    cluster.OsDiagnose: plan_os_diagnose,
}


def _named(view: View, name: str) -> str:
    """The full name of an instance; one that does not exist (yet) is called as given."""
    uuid = view.find("instance", name)
    return _new_name(name) if uuid is None else view.instances[uuid].name


def _new_name(name: str) -> str:
    """The name a new instance will have: never short for another's."""
    return name.lower().removesuffix(".")


def _nodes_of(view: View, name: str) -> list[str]:
    uuid = view.find("instance", name)
    if uuid is None:
        return []
    record = view.instances[uuid]
    return [record.primary_node, *record.secondary_nodes]


def _of_instance(view: View, name: str, nodes: bool = False, resources: bool = False) -> Iterator[Lock]:
    yield Lock("instance", _named(view, name))
    for node in _nodes_of(view, name):
        if nodes:
            yield Lock("node", node)
        if resources:
            yield Lock("node-res", node)


def _create(op: instance.InstanceCreate, view: View) -> Iterator[Lock]:
    yield Lock("instance", _new_name(op.instance_name))
    yield from (Lock("nodegroup", group, shared=True) for group in view.groups)
    given = None if op.pnode is None else view.find("node", op.pnode)
    for node in view.nodes if op.pnode is None else [n for n in [given] if n is not None]:
        yield Lock("node", node)
        yield Lock("node-res", node)


def _tags(op: cluster.TagsSet | cluster.TagsDel, view: View) -> Iterator[Lock]:
    name = op.name or ""
    match op.kind:
        case "cluster":
            # The field has no lock here; ours is held for one commit, and spares all but one planning again.
            yield Lock("cluster", "tags")
        case "instance":
            yield Lock("instance", _named(view, name))
        case "node":
            yield Lock("node", view.find("node", name) or name)
        case "nodegroup":
            yield Lock("nodegroup", view.find("group", name) or name)


def _query_data(op: instance.InstanceQueryData, view: View) -> Iterator[Lock]:
    if not op.static and op.use_locking:
        yield from (Lock("instance", _named(view, name), shared=True) for name in op.instances)


_LOCKS: Mapping[type[Opcode], Callable[[Any, View], Iterable[Lock]]] = {
    instance.InstanceCreate: _create,
    instance.InstanceRemove: lambda op, view: _of_instance(view, op.instance_name, True, True),
    instance.InstanceStartup: lambda op, view: _of_instance(view, op.instance_name, resources=True),
    instance.InstanceShutdown: lambda op, view: _of_instance(view, op.instance_name),
    instance.InstanceReboot: lambda op, view: _of_instance(view, op.instance_name),
    instance.InstanceReinstall: lambda op, view: _of_instance(view, op.instance_name),
    instance.InstanceRename: lambda op, view: [
        *_of_instance(view, op.instance_name),
        Lock("instance", _new_name(op.new_name)),
    ],
    instance.InstanceSetParams: lambda op, view: _of_instance(view, op.instance_name, nodes=True),
    instance.InstanceQueryData: _query_data,
    instance.InstanceActivateDisks: lambda op, view: _of_instance(view, op.instance_name, nodes=True),
    instance.InstanceDeactivateDisks: lambda op, view: _of_instance(view, op.instance_name, nodes=True),
    cluster.TagsSet: _tags,
    cluster.TagsDel: _tags,
}


def _none(op: Opcode, view: View) -> Iterable[Lock]:
    return ()


def locks_for(op: Opcode, view: View) -> frozenset[Lock]:
    """
    The locks an opcode needs (locks_hooks.tsv), as of this view.

    All take the cluster's lock shared.  Where one asks for a lock both ways, the exclusive one counts.
    """
    wanted = {*_LOCKS.get(type(op), _none)(op, view), Lock("cluster", "BGL", shared=True)}
    return frozenset(lock for lock in wanted if not lock.shared or Lock(lock.level, lock.name) not in wanted)
