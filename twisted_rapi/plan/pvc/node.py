"""Nodes in PVC's terms (behaviour.md of PVC §4)."""

from typing import Any

from twisted_rapi.model import params
from twisted_rapi.model.records import NodeRecord
from twisted_rapi.model.seen import NodeReport
from twisted_rapi.plan.pvc.dialect import Dialect
from twisted_rapi.plan.pvc.scene import Scene

_UNKNOWN = NodeReport()
_HEAVY = 50  # what a load over the number of CPUs takes from a node's health


def by_name(scene: Scene, name: str) -> NodeRecord | None:
    """The node of exactly this name."""
    uuid = scene.view.names["node"].get(name)
    return None if uuid is None else scene.view.nodes[uuid]


def nodes(scene: Scene) -> list[NodeRecord]:
    """All of them, by name."""
    return sorted(scene.view.nodes.values(), key=lambda node: node.name)


def daemon_state(scene: Scene, node: NodeRecord, dialect: Dialect) -> str:
    """``run``, ``stop`` of a node that is marked offline, ``dead``, or in the newest dialect ``fenced``."""
    fate = scene.fates.get(node.uuid)
    if fate is not None and fate.fate == "fenced":
        return "fenced" if dialect is Dialect.V1_0 else "dead"
    if node.offline:
        return "stop"
    if fate is not None and fate.fate in ("suspect", "fencing"):
        return "dead"
    return "run" if node.uuid in scene.view.reports else "dead"


def coordinator_state(scene: Scene, node: NodeRecord, dialect: Dialect) -> str:
    """``primary`` of the master, ``secondary`` of who may follow, else ``client``."""
    master, switch = node.uuid == scene.view.cluster.master_node, scene.switch
    if switch is not None and dialect is Dialect.V1_0:
        if master:
            return "relinquish"
        if node.uuid == switch.target:
            return "takeover"
    if master:
        return "primary"
    return "secondary" if node.master_candidate else "client"


def domain_state(scene: Scene, node: NodeRecord) -> str:
    """
    ``ready``, ``flush`` while machines leave it, ``flushed`` when they have, ``unflush`` as they come back.

    One that is drained for RAPI is flushed as soon as nothing runs there.
    """
    wish = scene.view.domain_states.get(node.uuid)
    if wish is not None:
        return wish.state
    if node.offline:
        return "flushed"
    if not node.drained:
        return "ready"
    return "flush" if _running(scene, node) else "flushed"


def _running(scene: Scene, node: NodeRecord) -> list[tuple[str, str]]:
    """Names and uuids of the machines that run there, by name."""
    report = scene.view.reports.get(node.uuid, _UNKNOWN)
    ours = scene.view.instances
    found = [(d.name, d.uuid) for d in report.domains.values() if d.running and d.uuid in ours]
    return sorted(found)


def _memory(scene: Scene, node: NodeRecord, report: NodeReport, dialect: Dialect) -> dict[str, int]:
    view = scene.view
    given = {
        "total": report.memory_total,
        "allocated": sum(d.memory for d in report.domains.values() if d.running),
    }
    if dialect is Dialect.V1_0:
        records = view.instances_on(node.uuid)
        given["provisioned"] = sum(params.beparams(view.cluster, i)["maxmem"] for i in records)
    used = max(0, report.memory_total - report.memory_free)
    return {**given, "used": used, "free": report.memory_free}


def _health(report: NodeReport, state: str) -> dict[str, Any]:
    if state != "run":
        return {"health": "N/A", "health_plugins": [], "health_details": []}
    heavy = _HEAVY if report.load > report.cpu_total else 0
    load = {
        "name": "load",
        "last_run": int(report.clock),
        "health_delta": heavy,
        "message": f"Current load is {report.load:.2f} out of {report.cpu_total} CPU cores",
        "data": {},
    }
    return {"health": 100 - heavy, "health_plugins": ["load"], "health_details": [load]}


def info(scene: Scene, node: NodeRecord, dialect: Dialect) -> dict[str, Any]:
    """
    All about a node.

    Figures of one that does not report are zero, as those of a node that is down are.
    """
    report = scene.view.reports.get(node.uuid, _UNKNOWN)
    state, running = daemon_state(scene, node, dialect), _running(scene, node)
    allocated = sum(d.vcpus for d in report.domains.values() if d.running)
    newest, oldest = dialect is Dialect.V1_0, dialect is Dialect.SEED
    number = str if oldest else int
    return {
        "name": node.name,
        "daemon_state": state,
        "coordinator_state": coordinator_state(scene, node, dialect),
        "domain_state": domain_state(scene, node),
        **({"pvc_version": report.software_version} if newest else {}),
        "cpu_count": number(report.cpu_total),
        "kernel": report.kernel,
        "os": report.system,
        "arch": report.arch,
        **(_health(report, state) if newest else {}),
        "load": f"{report.load:.2f}" if oldest else round(report.load, 2),
        "domains_count": number(len(running)),
        "running_domains": [name if newest else uuid for name, uuid in running],
        "vcpu": {"total": number(report.cpu_total), "allocated": number(allocated)},
        "memory": _memory(scene, node, report, dialect),
        **({"interfaces": {}} if newest else {}),
    }
