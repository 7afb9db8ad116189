"""
Which hooks belong to which opcode, where they run and what they are told (locks_hooks.tsv, behaviour.md §9).

Nodes and values are functions of the opcode and a view: the one before anything was changed, in which an
object that is being made is already there, and the one after.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal

import attrs

from twisted_rapi.model.opcodes import Opcode, backup, cluster, domain, group, instance, moving, network, node
from twisted_rapi.model.records import InstanceRecord, Params
from twisted_rapi.plan import hook_values as values
from twisted_rapi.plan.locking import new_name
from twisted_rapi.plan.view import View

Kind = Literal["INSTANCE", "NODE", "CLUSTER", "GROUP", "NETWORK"]
Nodes = Callable[[Any, View], Iterable[str]]
Values = Callable[[Any, View], dict[str, Any]]

VERSION = 2
DATA_DIR = "/var/lib/twisted_rapi"


@attrs.frozen(kw_only=True)
class Hooks:
    """
    The hooks of one opcode.

    :ivar target: the name of what it is about; empty for the cluster.
    :ivar pre: uuids of the nodes of the first phase, as of the view before, beside the master's.
    :ivar post: of the last phase, as of the view before and the view after, likewise.
    :ivar values: what scripts are told, by name without ``GANETI_``.
    """

    path: str
    kind: Kind
    target: Callable[[Any], str]
    pre: Nodes
    post: Nodes
    values: Values


def _nowhere(op: Any, view: View) -> Iterable[str]:
    return ()


# Instances.


def _instance(op: Any, view: View) -> InstanceRecord | None:
    """The instance an opcode is about; a renamed one is found all the same."""
    uuid = getattr(op, "instance_uuid", None)
    if uuid not in view.instances:
        uuid = view.find("instance", op.instance_name) or view.names["instance"].get(
            new_name(op.instance_name)
        )
    return None if uuid is None else view.instances.get(uuid)


def _homes(op: Any, view: View) -> Iterable[str]:
    """All nodes of the instance."""
    found = _instance(op, view)
    return () if found is None else (found.primary_node, *found.secondary_nodes)


def _others(op: Any, view: View) -> Iterable[str]:
    """The nodes an instance may go to, as far as is known before."""
    found = _instance(op, view)
    wanted = _target(op, view)
    return (*(() if found is None else found.secondary_nodes), *([wanted] if wanted else ()))


def _target(op: Any, view: View) -> str | None:
    name = getattr(op, "target_node", None) or getattr(op, "remote_node", None)
    return view.find("node", name) if isinstance(name, str) else None


def _homes_and_target(op: Any, view: View) -> Iterable[str]:
    return (*_homes(op, view), *_others(op, view))


def _about(**parameters: str) -> Values:
    """An instance, and parameters of the opcode: variable -> parameter."""

    def found(op: Any, view: View) -> dict[str, Any]:
        record = _instance(op, view)
        told = {} if record is None else values.of_instance(view, record)
        return told | dict(values.of_opcode(op, parameters))

    return found


def _moved(**parameters: str) -> Values:
    """As `_about`, with the nodes an instance comes from and goes to."""
    about = _about(**parameters)

    def found(op: Any, view: View) -> dict[str, Any]:
        record = _instance(op, view)
        if record is None:
            return about(op, view)
        wanted = _target(op, view) or next(iter(record.secondary_nodes), "")
        mirrored = bool(record.secondary_nodes)
        return about(op, view) | {
            "OLD_PRIMARY": values.node_name(view, record.primary_node),
            "NEW_PRIMARY": values.node_name(view, wanted),
            "OLD_SECONDARY": values.node_name(view, record.secondary_nodes[0]) if mirrored else "",
            "NEW_SECONDARY": values.node_name(view, record.primary_node) if mirrored else "",
        }

    return found


def _created(op: instance.InstanceCreate, view: View) -> dict[str, Any]:
    told = _about(ADD_MODE="mode")(op, view)
    if op.mode == "import":
        told |= {"SRC_NODE": op.src_node, "SRC_PATH": op.src_path}
    return told


def _replaced(op: moving.InstanceReplaceDisks, view: View) -> dict[str, Any]:
    record = _instance(op, view)
    old = record.secondary_nodes[:1] if record is not None else ()
    return _about(MODE="mode")(op, view) | {
        "NEW_SECONDARY": op.remote_node,
        "OLD_SECONDARY": values.node_name(view, old[0]) if old else "",
    }


def _exported(op: backup.BackupExport, view: View) -> dict[str, Any]:
    names = {
        "EXPORT_MODE": "mode",
        "EXPORT_NODE": "target_node",
        "EXPORT_DO_SHUTDOWN": "shutdown",
        "SHUTDOWN_TIMEOUT": "shutdown_timeout",
        "REMOVE_INSTANCE": "remove_instance",
    }
    told = _about(**names)(op, view)
    return told if isinstance(op.target_node, str) else told | {"EXPORT_NODE": ""}


def _export_nodes(op: backup.BackupExport, view: View) -> Iterable[str]:
    record = _instance(op, view)
    target = _target(op, view)
    return (*(() if record is None else (record.primary_node,)), *([target] if target else ()))


def _of_instance(
    path: str, told: Values, pre: Nodes = _homes, post: Nodes | None = None, target: str = "instance_name"
) -> Hooks:
    return Hooks(
        path=path,
        kind="INSTANCE",
        target=lambda op: str(getattr(op, target)),
        pre=pre,
        post=post or pre,
        values=told,
    )


# Nodes, groups, networks, the cluster.


def _node(op: Any, view: View) -> Iterable[str]:
    found = view.find("node", op.node_name)
    return () if found is None else (found,)


def _plain(path: str, kind: Kind, name: str, nodes: Nodes = _nowhere, **parameters: str) -> Hooks:
    """Hooks that are told parameters of the opcode: variable -> parameter."""
    return Hooks(
        path=path,
        kind=kind,
        target=lambda op: str(getattr(op, name)) if name else "",
        pre=nodes,
        post=nodes,
        values=lambda op, _: dict(values.of_opcode(op, parameters)),
    )


def _members(op: group.GroupRename, view: View) -> Iterable[str]:
    names = view.names["group"]
    uuid = names.get(op.group_name) or names.get(op.new_name)
    return (n.uuid for n in view.nodes.values() if n.group == uuid)


def _network(path: str, **parameters: str) -> Hooks:
    def told(op: Any, view: View) -> dict[str, Any]:
        uuid = view.find("network", op.network_name)
        known = values.of_network(view.networks[uuid]) if uuid else {"NETWORK_NAME": op.network_name}
        return known | dict(values.of_opcode(op, parameters))

    return Hooks(
        path=path,
        kind="NETWORK",
        target=lambda op: str(op.network_name),
        pre=_nowhere,
        post=_nowhere,
        values=told,
    )


_FLAGS = {
    "MASTER_CANDIDATE": "master_candidate",
    "OFFLINE": "offline",
    "DRAINED": "drained",
    "MASTER_CAPABLE": "master_capable",
    "VM_CAPABLE": "vm_capable",
}
_CONNECTION = {
    "GROUP_NAME": "group_name",
    "GROUP_NETWORK_MODE": "network_mode",
    "GROUP_NETWORK_LINK": "network_link",
    "GROUP_NETWORK_VLAN": "network_vlan",
}
_STOPPED = {"SHUTDOWN_TIMEOUT": "shutdown_timeout"}
_MIGRATED = _moved(MIGRATE_LIVE="live", MIGRATE_CLEANUP="cleanup")
_FAILED_OVER = _moved(IGNORE_CONSISTENCY="ignore_consistency", **_STOPPED)

HOOKS: Mapping[type[Opcode], Hooks] = {
    instance.InstanceCreate: _of_instance("instance-add", _created),
    instance.InstanceRemove: _of_instance("instance-remove", _about(**_STOPPED), _nowhere, _homes),
    instance.InstanceStartup: _of_instance("instance-start", _about(FORCE="force")),
    instance.InstanceShutdown: _of_instance("instance-stop", _about(TIMEOUT="timeout")),
    instance.InstanceReboot: _of_instance(
        "instance-reboot",
        _about(IGNORE_SECONDARIES="ignore_secondaries", REBOOT_TYPE="reboot_type", **_STOPPED),
    ),
    instance.InstanceReinstall: _of_instance("instance-reinstall", _about()),
    instance.InstanceRename: _of_instance("instance-rename", _about(INSTANCE_NEW_NAME="new_name")),
    instance.InstanceSetParams: _of_instance("instance-modify", _about()),
    moving.InstanceFailover: _of_instance("instance-failover", _FAILED_OVER, _others, _homes_and_target),
    moving.InstanceMigrate: _of_instance("instance-migrate", _MIGRATED, _homes_and_target),
    moving.InstanceMove: _of_instance(
        "instance-move",
        _about(TARGET_NODE="target_node", IGNORE_CONSISTENCY="ignore_consistency", **_STOPPED),
        _homes_and_target,
    ),
    moving.InstanceReplaceDisks: _of_instance("mirrors-replace", _replaced, _homes_and_target),
    moving.InstanceRecreateDisks: _of_instance("instance-recreate-disks", _about()),
    moving.InstanceGrowDisk: _of_instance(
        "disk-grow", _about(DISK="disk", AMOUNT="amount", ABSOLUTE="absolute")
    ),
    moving.InstanceChangeGroup: _of_instance("instance-change-group", _about(), _nowhere),
    # What PVC's API moves is migrated as far as scripts are concerned.
    domain.MachineMigrate: _of_instance("instance-migrate", _moved(), _homes_and_target),
    domain.MachineLeave: _of_instance("instance-migrate", _moved()),
    domain.MachineReturn: _of_instance("instance-migrate", _moved()),
    backup.BackupExport: _of_instance("instance-export", _exported, _export_nodes),
    node.NodeSetParams: _plain("node-modify", "NODE", "node_name", _node, **_FLAGS),
    node.NodeMigrate: _plain(
        "node-migrate",
        "NODE",
        "node_name",
        NODE_NAME="node_name",
        ALLOW_RUNTIME_CHANGES="allow_runtime_changes",
    ),
    node.NodeRemove: _plain("node-remove", "NODE", "node_name", NODE_NAME="node_name"),
    group.GroupAdd: _plain("group-add", "GROUP", "group_name", GROUP_NAME="group_name"),
    group.GroupRemove: _plain("group-remove", "GROUP", "group_name", GROUP_NAME="group_name"),
    group.GroupSetParams: _plain(
        "group-modify", "GROUP", "group_name", GROUP_NAME="group_name", NEW_ALLOC_POLICY="alloc_policy"
    ),
    group.GroupRename: _plain(
        "group-rename", "GROUP", "group_name", _members, OLD_NAME="group_name", NEW_NAME="new_name"
    ),
    group.GroupEvacuate: _plain("group-evacuate", "GROUP", "group_name", GROUP_NAME="group_name"),
    network.NetworkAdd: _network("network-add"),
    network.NetworkRemove: _network("network-remove"),
    network.NetworkSetParams: _network("network-modify"),
    network.NetworkRename: _network("network-rename", OLD_NAME="network_name", NEW_NAME="new_name"),
    network.NetworkConnect: _network("network-connect", **_CONNECTION),
    network.NetworkDisconnect: _network("network-disconnect", GROUP_NAME="group_name"),
    cluster.ClusterRename: attrs.evolve(
        _plain("cluster-rename", "CLUSTER", "", NEW_NAME="name"), post=lambda _, view: view.nodes
    ),
    cluster.ClusterSetParams: _plain("cluster-modify", "CLUSTER", "", NEW_VG_NAME="vg_name"),
}
"""All opcodes with hooks."""


# Running them.


def having(view: View, nodes: Iterable[str], path: str, phase: str) -> tuple[str, ...]:
    """Those of the nodes that answer and have scripts for this; the others need not be asked."""
    reports = view.reports
    wanted = f"{path}-{phase}"
    return tuple(n for n in dict.fromkeys(nodes) if n in reports and wanted in reports[n].hooks)


def nodes_before(hooks: Hooks, op: Opcode, view: View) -> tuple[str, ...]:
    """The nodes of the first phase, the master's first."""
    return tuple(dict.fromkeys((view.cluster.master_node, *hooks.pre(op, view))))


def nodes_after(hooks: Hooks, op: Opcode, before: View, after: View) -> tuple[str, ...]:
    """The nodes of the last phase, the master's first."""
    found = (*hooks.post(op, before), *hooks.post(op, after))
    return tuple(dict.fromkeys((after.cluster.master_node, *found)))


def told(hooks: Hooks, op: Opcode, view: View) -> dict[str, str]:
    """What hooks are told as of one view, by name without ``GANETI_``."""
    return {name: values.text(value) for name, value in hooks.values(op, view).items()}


def environment(
    hooks: Hooks, op: Opcode, view: View, phase: str, before: Params, after: Params | None = None
) -> dict[str, str]:
    """
    The whole environment of a script but the search path.

    :param before: as `told` by the view before; `after`: by the view after, for the last phase.
    """
    found = {
        **common(view, hooks.path, phase, hooks.kind, hooks.target(op) or view.cluster.name),
        "GANETI_OP_CODE": op.OP_ID,
        **{f"GANETI_{name}": value for name, value in before.items()},
        **{f"GANETI_POST_{name}": value for name, value in (after or {}).items()},
    }
    return {name: value.replace("\x00", "") for name, value in found.items()}


def common(view: View, path: str, phase: str, kind: str, target: str) -> dict[str, str]:
    """What every script is told."""
    return {
        "GANETI_HOOKS_VERSION": str(VERSION),
        "GANETI_HOOKS_PHASE": phase,
        "GANETI_HOOKS_PATH": path,
        "GANETI_OBJECT_TYPE": kind,
        "GANETI_DATA_DIR": DATA_DIR,
        "GANETI_CLUSTER": view.cluster.name,
        "GANETI_MASTER": values.node_name(view, view.cluster.master_node),
        "GANETI_OP_TARGET": target,
    }
