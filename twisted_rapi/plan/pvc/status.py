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
    """Whether a node cannot have machines or Ceph is not well, or something is wrong that nobody knows of."""
    unable = any(
        node.daemon_state(scene, each, dialect) in ("dead", "fenced")
        or node.domain_state(scene, each) != "ready"
        for each in node.nodes(scene)
    )
    osds = any(not (osd["up"] and osd["in"]) for osd in scene.storage.osds)
    return unable or osds or bool(scene.storage.troubles()) or any(map(counts, scene.faults))


def health(scene: Scene) -> int:
    """What is left of 100 by Ceph and by the faults that last and that nobody has acknowledged."""
    return max(0, 100 - sum(int(one["health_delta"]) for one in _troubles(scene)))


def _troubles(scene: Scene) -> list[dict[str, Any]]:
    faults = (
        {"id": one.id, "health_delta": one.delta, "text": one.text} for one in filter(counts, scene.faults)
    )
    return [*faults, *scene.storage.troubles()]


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
        **scene.storage.counted(),
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
    return {"memory": memory, "cpu": cpu, "disk": scene.storage.disk()}


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
        "osd": scene.storage.detail(),
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
            "messages": _troubles(scene),
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
