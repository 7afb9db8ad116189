"""Machines in PVC's terms (behaviour.md of PVC §4 to §7)."""

import uuid
from typing import Any

from twisted_rapi.model import params
from twisted_rapi.model.records import InstanceRecord, NodeRecord
from twisted_rapi.plan.pvc.definition import Definition
from twisted_rapi.plan.pvc.dialect import Dialect
from twisted_rapi.plan.pvc.scene import Scene
from twisted_rapi.plan.pvc.selectors import USUAL

STATES = {
    Dialect.SEED: ("start", "restart", "shutdown", "stop", "failed", "migrate", "unmigrate"),
    Dialect.V0_6: (
        *("start", "restart", "shutdown", "stop", "disable", "fail", "migrate", "unmigrate"),
        "provision",
    ),
    Dialect.V1_0: (
        *("start", "restart", "shutdown", "stop", "disable", "fail", "migrate", "unmigrate"),
        *("provision", "mirror"),
    ),
}
"""The states that lists can be asked for."""

_NO_TRAFFIC = tuple(
    f"{way}_{what}" for way in ("rd", "wr") for what in ("bytes", "packets", "errors", "drops")
)
_NO_REQUESTS = ("rd_req", "rd_bytes", "wr_req", "wr_bytes")


def uuid_of(text: str) -> str | None:
    """The uuid that a text is, in any of its forms; ``None`` for another text."""
    try:
        return str(uuid.UUID(text))
    except ValueError:
        return None


def find(scene: Scene, text: str) -> InstanceRecord | None:
    """The machine of this uuid or of exactly this name."""
    view = scene.view
    found = view.instances.get(uuid_of(text) or "") or view.instances.get(
        view.names["instance"].get(text, "")
    )
    return None if found is None or found.pending is not None else found


def state(scene: Scene, instance: InstanceRecord, dialect: Dialect) -> str:
    """What is wanted of it, or what a job is doing to it."""
    moving = scene.moving.get(instance.name)
    if moving is not None and (moving != "migrate" or instance.admin_state == "up"):
        return moving
    if instance.admin_state == "offline" and dialect is not Dialect.SEED:
        return "disable"
    return "start" if instance.admin_state == "up" else "stop"


def last_node(scene: Scene, instance: InstanceRecord) -> NodeRecord | None:
    """The node it ran on before it was migrated, if it was."""
    first = scene.view.machine(instance.uuid).last_node
    return None if first == instance.primary_node else scene.view.nodes.get(first)


def place(scene: Scene, instance: InstanceRecord) -> dict[str, str]:
    """Where it runs, and where it ran before it was migrated."""
    first = last_node(scene, instance)
    here = scene.view.nodes[instance.primary_node].name
    return {"node": here, "last_node": "" if first is None else first.name}


def _migrated(scene: Scene, instance: InstanceRecord) -> str:
    first = last_node(scene, instance)
    return "no" if first is None else f"from {first.name}"


def tags(scene: Scene, instance: InstanceRecord) -> list[dict[str, Any]]:
    """Its tags, in order."""
    kept = scene.view.machine(instance.uuid).protected_tags
    return [{"name": tag, "type": "user", "protected": tag in kept} for tag in sorted(instance.tags)]


def _networks(definition: Definition, dialect: Dialect) -> list[dict[str, Any]]:
    if dialect is not Dialect.V1_0:
        return [dict(network) for network in definition.networks]
    found = []
    for network in definition.networks:
        source = network["source"]  # such as vmbr100 or brcluster
        vni = next((source.removeprefix(word) for word in ("vmbr", "br") if source.startswith(word)), None)
        found.append({"type": network["type"], "vni": vni, **network, **dict.fromkeys(_NO_TRAFFIC, 0)})
    return found


def _disks(definition: Definition, dialect: Dialect) -> list[dict[str, Any]]:
    more = dict.fromkeys(_NO_REQUESTS, 0) if dialect is Dialect.V1_0 else {}
    return [{**disk, **more} for disk in definition.disks]


def _controllers(definition: Definition, dialect: Dialect) -> list[dict[str, str | None]]:
    none = None if dialect is Dialect.V1_0 else "none"
    return [{**each, "model": each["model"] or none} for each in definition.controllers]


def settings(scene: Scene, instance: InstanceRecord, dialect: Dialect) -> dict[str, Any]:
    """What later dialects know of where it may run."""
    if dialect is Dialect.SEED:
        return {}
    kept = scene.view.machine(instance.uuid)
    found = {
        "node_limit": list(kept.node_limit) or None,
        "node_selector": kept.node_selector or USUAL,
        "node_autostart": kept.node_autostart,
    }
    if dialect is Dialect.V0_6:
        return found
    return {
        **found,
        "migration_method": kept.migration_method or None,
        "migration_max_downtime": kept.migration_max_downtime,
    }


def meta(scene: Scene, instance: InstanceRecord, dialect: Dialect) -> dict[str, Any]:
    """What is kept of it beside its definition; the newest form has words for true and false."""
    found = settings(scene, instance, dialect)
    if dialect is Dialect.V1_0:
        found["node_autostart"] = str(found["node_autostart"])
    return found


def _of_later(scene: Scene, instance: InstanceRecord, dialect: Dialect) -> dict[str, Any]:
    found = settings(scene, instance, dialect)
    return found if dialect is not Dialect.V1_0 else {**found, "tags": tags(scene, instance), "snapshots": []}


def sources(scene: Scene, instance: InstanceRecord) -> tuple[object, ...]:
    """All that `info` and the definition are made from, besides the dialect: what is equal gives the same."""
    view, node = scene.view, scene.view.nodes[instance.primary_node]
    kept = view.machines.get(instance.uuid)
    return (
        instance,
        kept,
        view.cluster,
        node,
        view.groups[node.group],
        None if kept is None else view.nodes.get(kept.last_node),
        view.domain(instance),
        scene.moving.get(instance.name),
        *[view.networks.get(nic.network) for nic in instance.nics if nic.network is not None],
    )


def info(scene: Scene, instance: InstanceRecord, definition: Definition, dialect: Dialect) -> dict[str, Any]:
    """All about a machine."""
    newest, oldest = dialect is Dialect.V1_0, dialect is Dialect.SEED
    backend = params.beparams(scene.view.cluster, instance)
    domain = scene.view.domain(instance)
    port = None if domain is None or not domain.vnc_port else domain.vnc_port
    return {
        "name": instance.name,
        "uuid": instance.uuid,
        "state": state(scene, instance, dialect),
        **place(scene, instance),
        "migrated": _migrated(scene, instance),
        "failed_reason": "",
        **_of_later(scene, instance, dialect),
        "description": definition.description,
        **({} if oldest else {"profile": scene.view.machine(instance.uuid).profile}),
        "memory": backend["maxmem"],
        **({"memory_stats": {}} if newest else {}),
        "vcpu": str(backend["vcpus"]) if oldest else backend["vcpus"],
        "vcpu_topology": definition.topology,
        **({"vcpu_stats": {}} if newest else {}),
        "networks": _networks(definition, dialect),
        "type": definition.type,
        "arch": definition.arch,
        "machine": definition.machine,
        "console": definition.console,
        **({"vnc": {"listen": None, "port": port}} if newest else {}),
        "emulator": definition.emulator,
        "features": list(definition.features),
        "disks": _disks(definition, dialect),
        "controllers": _controllers(definition, dialect),
        "xml": definition.xml,
    }
