"""The state of the whole cluster in PVC's terms."""

from collections import Counter
from collections.abc import Iterable
from typing import Any

from twisted_rapi.plan.pvc import machine, node
from twisted_rapi.plan.pvc.dialect import Dialect
from twisted_rapi.plan.pvc.fault import KEYS, counts, ordered, told
from twisted_rapi.plan.pvc.scene import Scene


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


def _degraded(scene: Scene, dialect: Dialect) -> bool:
    """Whether a node cannot have machines, or something is wrong that nobody knows of."""
    unable = any(
        node.daemon_state(scene, each, dialect) in ("dead", "fenced")
        or node.domain_state(scene, each) != "ready"
        for each in node.nodes(scene)
    )
    return unable or any(map(counts, scene.faults))


def health(scene: Scene) -> int:
    """What is left of 100 by the faults that last and that nobody has acknowledged."""
    return max(0, 100 - sum(fault.delta for fault in scene.faults if counts(fault)))


def _messages(info: dict[str, Any]) -> list[str]:
    """What takes something from a node's health."""
    return [one["message"] for one in info["health_details"] if one["health_delta"]]


def _figures(scene: Scene, dialect: Dialect) -> dict[str, Any]:
    states = (
        f"{node.daemon_state(scene, n, dialect)},{node.domain_state(scene, n)}" for n in node.nodes(scene)
    )
    return {
        "primary_node": primary_node(scene),
        "upstream_ip": scene.view.cluster.master_ip,
        "nodes": _counted(states),
        "vms": _counted(machine.state(scene, i, dialect) for i in scene.machines()),
        "networks": len(scene.networks),
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
        "faults": ordered((told(fault, scene.view.now) for fault in scene.faults), KEYS[0]),
    }


def status(scene: Scene, dialect: Dialect, version: str) -> dict[str, Any]:
    """
    What the cluster is like.

    :param version: of this program.
    """
    if dialect is not Dialect.V1_0:
        word = (
            "Maintenance" if in_maintenance(scene) else "Degraded" if _degraded(scene, dialect) else "Optimal"
        )
        return {"health": word, **_figures(scene, dialect)}
    infos = {n.name: node.info(scene, n, dialect) for n in node.nodes(scene)}
    figures = _figures(scene, dialect)
    return {
        "cluster_name": scene.view.cluster.name,
        "cluster_health": {
            "health": health(scene),
            "messages": [
                {"id": one.id, "health_delta": one.delta, "text": one.text}
                for one in filter(counts, scene.faults)
            ],
        },
        "node_health": {
            name: {"health": "" if one["health"] == "N/A" else one["health"], "messages": _messages(one)}
            for name, one in infos.items()
        },
        "maintenance": "true" if in_maintenance(scene) else "false",
        "primary_node": figures.pop("primary_node"),
        "pvc_version": version,
        **figures,
        "resources": _resources(scene),
        "detail": _detail(scene),
    }
