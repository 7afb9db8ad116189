"""The state of the whole cluster in PVC's terms."""

from collections import Counter
from collections.abc import Iterable
from typing import Any

from twisted_rapi.plan.pvc import machine, node
from twisted_rapi.plan.pvc.dialect import Dialect
from twisted_rapi.plan.pvc.scene import Scene

_DEAD = 50  # what a node that is silent takes from the cluster's health
_FLUSHED = 10  # what one that is flushed does


def _counted(states: Iterable[str]) -> dict[str, int]:
    found = Counter(states)
    return {"total": found.total(), **dict(sorted(found.items()))}


def primary_node(scene: Scene) -> str:
    """The name of the master."""
    found = scene.view.nodes.get(scene.view.cluster.master_node)
    return "" if found is None else found.name


def in_maintenance(scene: Scene) -> bool:
    """Whether nothing is started on its own."""
    return scene.view.cluster.watcher_pause > scene.view.now


def _troubles(scene: Scene, dialect: Dialect) -> list[tuple[str, int, str]]:
    """By id, what each thing that is wrong takes from the health, and what it is."""
    found = []
    for each in node.nodes(scene):
        state = node.daemon_state(scene, each, dialect)
        if state in ("dead", "fenced"):
            found.append((f"NODE_{state.upper()}_{each.name}", _DEAD, f"Node {each.name} is {state}"))
        elif node.domain_state(scene, each) != "ready":
            found.append((f"NODE_FLUSHED_{each.name}", _FLUSHED, f"Node {each.name} runs no machines"))
    return found


def _figures(scene: Scene, dialect: Dialect) -> dict[str, Any]:
    states = (
        f"{node.daemon_state(scene, n, dialect)},{node.domain_state(scene, n)}" for n in node.nodes(scene)
    )
    return {
        "primary_node": primary_node(scene),
        "upstream_ip": scene.view.cluster.master_ip,
        "nodes": _counted(states),
        "vms": _counted(machine.state(scene, i, dialect) for i in scene.machines()),
        "networks": len(scene.view.networks),
        "osds": {"total": 0},
        "pools": 0,
        "volumes": 0,
        "snapshots": 0,
    }


def _share(part: float, whole: float) -> float:
    return round(100 * part / whole, 2) if whole else 0.0


def _resources(scene: Scene) -> dict[str, Any]:
    infos = [node.info(scene, each, Dialect.V1_0) for each in node.nodes(scene)]
    kinds = ("total", "free", "used", "allocated", "provisioned")
    memory: dict[str, Any] = {kind: sum(one["memory"][kind] for one in infos) for kind in kinds}
    memory["utilization"] = _share(memory["used"], memory["total"])
    cpus = sum(one["vcpu"]["total"] for one in infos)
    load = round(sum(one["load"] for one in infos), 2)
    cpu = {
        "total": cpus,
        "load": load,
        "allocated": sum(one["vcpu"]["allocated"] for one in infos),
        "utilization": _share(load, cpus),
    }
    disk = {"total": 0, "used": 0, "free": 0, "utilization": 0.0}
    return {"memory": memory, "cpu": cpu, "disk": disk}


def _detail(scene: Scene) -> dict[str, Any]:
    dialect = Dialect.V1_0
    return {
        "node": [
            {
                "name": n.name,
                "daemon_state": node.daemon_state(scene, n, dialect),
                "domain_state": node.domain_state(scene, n),
            }
            for n in node.nodes(scene)
        ],
        "vm": [
            {"uuid": i.uuid, "name": i.name, "state": machine.state(scene, i, dialect)}
            for i in scene.machines()
        ],
        "osd": [],
        "faults": [],
    }


def status(scene: Scene, dialect: Dialect, version: str) -> dict[str, Any]:
    """
    What the cluster is like.

    :param version: of this program.
    """
    troubles = _troubles(scene, dialect)
    if dialect is not Dialect.V1_0:
        health = "Maintenance" if in_maintenance(scene) else "Degraded" if troubles else "Optimal"
        return {"health": health, **_figures(scene, dialect)}
    messages = [{"id": key, "health_delta": delta, "text": text} for key, delta, text in troubles]
    healths = {n.name: node.info(scene, n, dialect)["health"] for n in node.nodes(scene)}
    figures = _figures(scene, dialect)
    return {
        "cluster_name": scene.view.cluster.name,
        "cluster_health": {
            "health": max(0, 100 - sum(delta for _, delta, _ in troubles)),
            "messages": messages,
        },
        "node_health": {
            name: {"health": "" if health == "N/A" else health, "messages": []}
            for name, health in healths.items()
        },
        "maintenance": "true" if in_maintenance(scene) else "false",
        "primary_node": figures.pop("primary_node"),
        "pvc_version": version,
        **figures,
        "resources": _resources(scene),
        "detail": _detail(scene),
    }
