"""The cluster as metrics, in Prometheus's text form and with the names that 1.0 has."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import attrs

from twisted_rapi.model import params
from twisted_rapi.model.records import InstanceRecord
from twisted_rapi.plan.pvc import machine, node
from twisted_rapi.plan.pvc.dialect import Dialect
from twisted_rapi.plan.pvc.scene import Scene

_NEWEST = Dialect.V1_0
_DAEMON = ("run", "stop", "dead", "fenced", "init", "shutdown")
_DOMAIN = ("ready", "flushed", "flush", "unflush", "fence-flush")
_MACHINE = (
    *("start", "restart", "shutdown", "stop", "disable", "fail", "migrate", "unmigrate", "provision"),
    *("mirror", "restore", "import"),
)

Labels = Mapping[str, object]


@attrs.frozen
class Family:
    """
    Figures of one kind.

    :ivar samples: labels and value of each.
    """

    name: str
    text: str
    samples: Sequence[tuple[Labels, object]]

    def lines(self) -> Iterable[str]:
        """As they are sent."""
        yield f"# HELP {self.name} PVC {self.text}"
        yield f"# TYPE {self.name} gauge"
        for labels, value in self.samples:
            told = ", ".join(f'{name}="{_escaped(str(label))}"' for name, label in labels.items())
            yield f"{self.name}{{{told}}} {value}" if told else f"{self.name} {value}"


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


def text_of(families: Iterable[Family]) -> str:
    """All of them as one document."""
    return "".join(f"{line}\n" for family in families for line in family.lines())


def _states(known: Sequence[str], found: Iterable[str]) -> list[tuple[Labels, object]]:
    counted = Counter(found)
    return [({"state": state}, counted[state]) for state in dict.fromkeys((*known, *sorted(counted)))]


def _one(value: object) -> list[tuple[Labels, object]]:
    return [({}, value)]


def health(scene: Scene, status: Mapping[str, Any]) -> list[Family]:
    """
    How the cluster is, and how many there are of everything.

    :param status: as `twisted_rapi.plan.pvc.status.status` has it in the newest form.
    """
    about = {
        "primary_node": status["primary_node"],
        "version": status["pvc_version"],
        "upstream_ip": status["upstream_ip"],
    }
    faults = Counter("ack" if fault.acknowledged else "new" for fault in scene.faults)
    healths = [
        ({"node": n}, one["health"]) for n, one in status["node_health"].items() if one["health"] != ""
    ]
    return [
        Family("pvc_info", "cluster information", [(about, 1)]),
        Family(
            "pvc_cluster_maintenance", "cluster maintenance state", _one(int(status["maintenance"] == "true"))
        ),
        Family("pvc_cluster_health", "cluster health status", _one(status["cluster_health"]["health"])),
        Family(
            "pvc_cluster_faults", "cluster new faults", [({"status": s}, faults[s]) for s in ("new", "ack")]
        ),
        Family("pvc_node_health", "cluster node health status", healths),
        *_counts(scene, status),
    ]


def _counts(scene: Scene, status: Mapping[str, Any]) -> list[Family]:
    """How many there are, by their states and of everything."""
    nodes, osds = node.nodes(scene), status["detail"]["osd"]
    running = [machine.state(scene, one, _NEWEST) for one in scene.machines()]
    return [
        Family(
            "pvc_node_daemon_states",
            "Node daemon state counts",
            _states(_DAEMON, (node.daemon_state(scene, one, _NEWEST) for one in nodes)),
        ),
        Family(
            "pvc_node_domain_states",
            "Node domain state counts",
            _states(_DOMAIN, (node.domain_state(scene, one) for one in nodes)),
        ),
        Family("pvc_vm_states", "VM state counts", _states(_MACHINE, running)),
        Family(
            "pvc_ceph_osd_up_states", "OSD up state counts", _states(("up", "down"), (o["up"] for o in osds))
        ),
        Family(
            "pvc_ceph_osd_in_states", "OSD in state counts", _states(("in", "out"), (o["in"] for o in osds))
        ),
        Family("pvc_nodes", "Node count", _one(len(nodes))),
        Family("pvc_vms", "VM count", _one(len(running))),
        Family("pvc_osds", "OSD count", _one(len(osds))),
        Family("pvc_networks", "Network count", _one(status["networks"])),
        Family("pvc_pools", "Storage Pool count", _one(status["pools"])),
        Family("pvc_volumes", "Storage Volume count", _one(status["volumes"])),
        Family("pvc_snapshots", "Storage Snapshot count", _one(status["snapshots"])),
    ]


Info = Mapping[str, Any]


def _share(part: float, whole: float) -> float:
    return round(100 * part / whole, 2) if whole else 0.0


def _memory(kind: str) -> Callable[[Info], object]:
    return lambda info: info["memory"][kind]


def _of_memory(kind: str) -> Callable[[Info], object]:
    return lambda info: _share(info["memory"][kind], info["memory"]["total"])


_OF_NODES: tuple[tuple[str, str, Callable[[Info], object]], ...] = (
    ("host_cpus", "node host CPU count", lambda info: info["cpu_count"]),
    ("allocated_vcpus", "node allocated vCPU count", lambda info: info["vcpu"]["allocated"]),
    ("load_average", "node 1 minute load average", lambda info: info["load"]),
    ("cpu_utilization", "node CPU utilization", lambda info: _share(info["load"], info["cpu_count"])),
    ("domains_count", "node running domain count", lambda info: info["domains_count"]),
    ("total_memory", "node total memory in MB", _memory("total")),
    ("allocated_memory", "node allocated memory in MB", _memory("allocated")),
    ("allocated_memory_utilization", "node allocated memory utilization", _of_memory("allocated")),
    ("provisioned_memory", "node provisioned memory in MB", _memory("provisioned")),
    ("provisioned_memory_utilization", "node provisioned memory utilization", _of_memory("provisioned")),
    ("used_memory", "node used memory in MB", _memory("used")),
    ("used_memory_utilization", "node used memory utilization", _of_memory("used")),
    ("free_memory", "node free memory in MB", _memory("free")),
)
_WORDS = (
    ("architecture", "node system architecture", "arch"),
    ("kernel", "node active kernel version", "kernel"),
)


def _of_cluster(infos: Sequence[Info]) -> list[Family]:
    """What is used of all nodes but the largest, which might be lost."""
    memory = sorted(info["memory"]["total"] for info in infos)[:-1]
    cpus = sorted(info["cpu_count"] for info in infos)[:-1]
    load = sum(info["load"] for info in infos)
    found = [
        Family(
            "pvc_cluster_cpu_utilization",
            "cluster CPU utilization percentage (n-1)",
            _one(_share(load, sum(cpus))),
        )
    ]
    for kind, word in (("used", "real"), ("allocated", "allocated"), ("provisioned", "provisioned")):
        used = sum(info["memory"][kind] for info in infos)
        text = f"cluster {word} memory utilization percentage (n-1)"
        name = f"pvc_cluster_memory_{word}_utilization"
        found.append(Family(name, text, _one(_share(used, sum(memory)))))
    return found


def _of_machine(scene: Scene, instance: InstanceRecord) -> dict[str, tuple[Labels, object]]:
    """By the names of figures, labels besides the machine's name and a value."""
    kept, place = scene.view.machine(instance.uuid), machine.place(scene, instance)
    backend, state = params.beparams(scene.view.cluster, instance), machine.state(scene, instance, _NEWEST)
    limit = [*kept.node_limit] or None
    return {
        "uuid": ({"uuid": instance.uuid}, 1),
        "profile": ({"profile": kept.profile}, 1),
        "state": ({"state": state}, _NUMBERS.get(state, 99)),
        "node_limit": ({"node_limit": limit}, 1),
        "node_selector": ({"node_selector": kept.node_selector or "mem"}, 1),
        "autostart": ({"autostart": kept.node_autostart}, int(kept.node_autostart)),
        "migration_method": ({"migration_method": kept.migration_method or "Default"}, 1),
        "active_node": ({"node": place["node"]}, 1),
        "migrated": ({"last_node": place["last_node"] or "No"}, int(bool(place["last_node"]))),
        "vcpus": ({}, backend["vcpus"]),
        "memory": ({}, backend["maxmem"]),
    }


_NUMBERS = {"start": 0, "disable": 4, "stop": 7, "fail": 8}
"""What stands for a state, as far as that was recorded; 99 for others."""
_OF_MACHINES = {
    "uuid": "VM UUID",
    "profile": "VM profile",
    "state": "VM state",
    "node_limit": "VM node_limit",
    "node_selector": "VM node_selector",
    "autostart": "VM node_autostart",
    "migration_method": "VM migration_method",
    "active_node": "VM active node",
    "migrated": "VM migrated state",
    "vcpus": "VM provisioned vCPUs",
    "memory": "VM provisioned memory MB",
}


def resources(scene: Scene) -> list[Family]:
    """What nodes have and machines use."""
    infos = [node.info(scene, one, _NEWEST) for one in node.nodes(scene)]
    found = _of_cluster(infos)
    for name, text, get in _OF_NODES:
        samples: list[tuple[Labels, object]] = [({"node": info["name"]}, get(info)) for info in infos]
        found.append(Family(f"pvc_node_{name}", text, samples))
    for name, text, key in _WORDS:
        samples = [({"node": info["name"], name: info[key]}, 1) for info in infos]
        found.append(Family(f"pvc_node_{name}", text, samples))
    of_machines = [(one.name, _of_machine(scene, one)) for one in scene.machines()]
    for name, text in _OF_MACHINES.items():
        samples = [({"vm": vm, **figures[name][0]}, figures[name][1]) for vm, figures in of_machines]
        found.append(Family(f"pvc_vm_{name}", text, samples))
    tags: list[tuple[Labels, object]] = [
        ({"vm": one.name, "tag": tag}, 1) for one in scene.machines() for tag in sorted(one.tags)
    ]
    return [*found, Family("pvc_vm_tags", "VM tags", tags)]
