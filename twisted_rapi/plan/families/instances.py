"""Plans and locks of the opcodes about single instances."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from twisted_rapi.model.opcodes import Opcode, instance
from twisted_rapi.plan.active import plan_activate_disks, plan_deactivate_disks
from twisted_rapi.plan.create import plan_create
from twisted_rapi.plan.forthcoming import reserving
from twisted_rapi.plan.info import plan_query_data
from twisted_rapi.plan.install import plan_reinstall, plan_rename
from twisted_rapi.plan.locking import LockFunction, PlanFunction, named, new_name, of_instance
from twisted_rapi.plan.locks import Lock
from twisted_rapi.plan.modify import plan_modify
from twisted_rapi.plan.opportunity import of_node, to_lock
from twisted_rapi.plan.power import plan_reboot, plan_remove, plan_shutdown, plan_startup
from twisted_rapi.plan.resolving import by_resolver
from twisted_rapi.plan.view import View

PLANS: Mapping[type[Opcode], PlanFunction] = {
    instance.InstanceCreate: by_resolver("instance_name", reserving(plan_create)),
    instance.InstanceRemove: plan_remove,
    instance.InstanceStartup: plan_startup,
    instance.InstanceShutdown: plan_shutdown,
    instance.InstanceReboot: plan_reboot,
    instance.InstanceReinstall: plan_reinstall,
    instance.InstanceRename: by_resolver("new_name", plan_rename),
    instance.InstanceSetParams: plan_modify,
    instance.InstanceQueryData: plan_query_data,
    instance.InstanceActivateDisks: plan_activate_disks,
    instance.InstanceDeactivateDisks: plan_deactivate_disks,
}


def _create(op: instance.InstanceCreate, view: View) -> Iterator[Lock]:
    # One that is forthcoming is there already, and may be called by what is short for its name.
    called = named if op.commit else lambda _, name: new_name(name)
    yield Lock("instance", called(view, op.instance_name))
    yield from (Lock("nodegroup", group, shared=True) for group in view.groups)
    yield from _networks(view, op.nics)
    given = [view.find("node", name) for name in (op.pnode, op.snode) if name is not None]
    for node in to_lock(op, view) if op.pnode is None else [n for n in given if n is not None]:
        yield from of_node(node)


def _networks(view: View, nics: Iterable[Any], shared: bool = True) -> Iterator[Lock]:
    """Those that NICs are put into: their addresses are not to change meanwhile."""
    for nic in nics:
        name = nic.get("network") if isinstance(nic, dict) else None
        uuid = view.find("network", name) if isinstance(name, str) else None
        if uuid is not None:
            yield Lock("network", uuid, shared)


def _modify(op: instance.InstanceSetParams, view: View) -> Iterator[Lock]:
    yield from of_instance(view, op.instance_name, nodes=True, resources=op.disk_template is not None)
    if op.disk_template is not None and (op.remote_node or op.iallocator):
        given = None if op.remote_node is None else view.find("node", op.remote_node)
        for node in view.nodes if op.remote_node is None else [given or ""]:
            yield Lock("node", node)
            yield Lock("node-res", node)
    if op.pnode is not None:
        yield Lock("node", view.find("node", op.pnode) or op.pnode)
    # While disks are made addresses are reserved that no record has yet: others would choose them in vain.
    yield from _networks(view, (edit[-1] for edit in op.nics if edit), shared=not op.disks)
    uuid = view.find("instance", op.instance_name)
    if uuid is not None and op.nics:
        had = (nic.network for nic in view.instances[uuid].nics)
        yield from (Lock("network", n, shared=not op.disks) for n in had if n is not None)


def _query_data(op: instance.InstanceQueryData, view: View) -> Iterator[Lock]:
    if not op.static and op.use_locking:
        yield from (Lock("instance", named(view, name), shared=True) for name in op.instances)


LOCKS: Mapping[type[Opcode], LockFunction] = {
    instance.InstanceCreate: _create,
    instance.InstanceRemove: lambda op, view: of_instance(view, op.instance_name, True, True),
    instance.InstanceStartup: lambda op, view: of_instance(view, op.instance_name, resources=True),
    instance.InstanceShutdown: lambda op, view: of_instance(view, op.instance_name),
    instance.InstanceReboot: lambda op, view: of_instance(view, op.instance_name),
    instance.InstanceReinstall: lambda op, view: of_instance(view, op.instance_name),
    instance.InstanceRename: lambda op, view: [
        *of_instance(view, op.instance_name),
        Lock("instance", new_name(op.new_name)),
    ],
    instance.InstanceSetParams: _modify,
    instance.InstanceQueryData: _query_data,
    instance.InstanceActivateDisks: lambda op, view: of_instance(view, op.instance_name, nodes=True),
    instance.InstanceDeactivateDisks: lambda op, view: of_instance(view, op.instance_name, nodes=True),
}
