"""Looking whether all is as it should be: the records, the nodes, what runs on them (lines as observed)."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from twisted_rapi.errors import JobError
from twisted_rapi.model import params
from twisted_rapi.model.opcodes.verify import ClusterVerify, ClusterVerifyConfig, ClusterVerifyGroup
from twisted_rapi.model.records import DetachedDiskRecord, GroupRecord, InstanceRecord, NodeRecord
from twisted_rapi.model.seen import DomainSeen
from twisted_rapi.model.steps import InspectDisks, Outcome
from twisted_rapi.plan import certificates, detached
from twisted_rapi.plan.findings import Finding, Findings, Report
from twisted_rapi.plan.machine import disk_specs
from twisted_rapi.plan.owned import listing, owners, strays
from twisted_rapi.plan.stage import Do, Finish, InParallel, Perform, Progress, Stage
from twisted_rapi.plan.view import View

SKEW = 150.0  # seconds a node's clock may differ, constants.json


def plan_verify(op: ClusterVerify, progress: Progress, view: View) -> Stage:
    """A job for the configuration, then one for each group; of a single group only its own."""
    common: dict[str, Any] = {
        "debug_simulate_errors": op.debug_simulate_errors,
        "error_codes": op.error_codes,
        "ignore_errors": op.ignore_errors,
        "verbose": op.verbose,
    }
    more: dict[str, Any] = {**common, "skip_checks": op.skip_checks, "verify_clutter": op.verify_clutter}
    if op.group_name is not None:
        name = view.group(op.group_name).name
        return Finish(jobs=((ClusterVerifyGroup(group_name=name, **more),),))
    names = sorted(group.name for group in view.groups.values())
    groups = tuple(
        (ClusterVerifyGroup(group_name=name, depends=[(-n, [])], **more),) for n, name in enumerate(names, 1)
    )
    return Finish(jobs=((ClusterVerifyConfig(**common),), *groups))


# The configuration.


def plan_verify_config(op: ClusterVerifyConfig, progress: Progress, view: View) -> Stage:
    """Whether the records fit together."""
    report = Report(op)
    report.head("Verifying cluster config", [*_cluster(view), *_doubles(view)])
    report.head("Verifying cluster certificate files", certificates.of_master(view))
    report.head("Verifying hypervisor parameters", _hypervisor_parameters(view))
    report.head("Verifying all nodes belong to an existing group", _places(view))
    if view.detached:
        report.head("Verifying detached disks")
    for record in detached.seen(view):
        report.note(_told_of(record))
    return report.finish()


def _told_of(record: DetachedDiskRecord) -> str:
    disk = record.disk
    name = "" if disk.name is None else f" ({disk.name})"
    return (
        f"disk {disk.uuid}{name}, {disk.dev_type}, {disk.size} MiB, belongs to no instance "
        f"since it was detached from {record.instance}"
    )


def _cluster(view: View) -> Findings:
    cluster = view.cluster
    master = view.nodes.get(cluster.master_node)
    if master is None:
        yield Finding("ECLUSTERCFG", "cluster", "", "the master node is not among the nodes")
    elif not master.master_candidate or master.offline:
        yield Finding("ECLUSTERCFG", "cluster", "", f"the master {master.name} is no candidate or is offline")
    if cluster.default_hypervisor not in cluster.enabled_hypervisors:
        text = f"the default hypervisor {cluster.default_hypervisor} is not enabled"
        yield Finding("ECLUSTERCFG", "cluster", "", text)
    for instance in _instances(view):
        for value, enabled in (
            (instance.hypervisor, cluster.enabled_hypervisors),
            (instance.disk_template, cluster.enabled_disk_templates),
        ):
            if value not in enabled:
                yield Finding("ECLUSTERCFG", "instance", instance.name, f"'{value}' is not enabled")


def _doubles(view: View) -> Findings:
    """What only one may have is had by several."""
    macs = Counter(nic.mac for i in view.instances.values() for nic in i.nics)
    ports = Counter(i.network_port for i in view.instances.values() if i.network_port is not None)
    addresses = Counter(
        (nic.network, nic.ip)
        for i in view.instances.values()
        for nic in i.nics
        if nic.network is not None and nic.ip is not None
    )
    for what, found in (("MAC address", macs), ("port", ports), ("network and address", addresses)):
        for value, times in found.items():
            if times > 1:
                yield Finding("ECLUSTERCFG", "cluster", "", f"{times} instances have the {what} {value}")


def _hypervisor_parameters(view: View) -> Findings:
    cluster = view.cluster
    for hypervisor, values in cluster.hvparams.items():
        text = _refusal(lambda h=hypervisor, v=values: params.check_hv(h, v, whole=True))  # type: ignore[misc]
        if text:
            yield Finding("ECLUSTERCFG", "cluster", "", f"hypervisor {hypervisor}: {text}")
    for instance in _instances(view):
        text = _refusal(lambda i=instance: params.check_hv(i.hypervisor, i.hvparams))  # type: ignore[misc]
        if text:
            yield Finding("EINSTANCEPOLICY", "instance", instance.name, text)


def _refusal(check: Callable[[], object]) -> str:
    try:
        check()
    except JobError as e:
        return e.text
    return ""


def _places(view: View) -> Findings:
    for node in view.nodes.values():
        if node.group not in view.groups:
            text = "it is in a group that does not exist"
            yield Finding("ECLUSTERDANGLINGNODES", "node", node.name, text)
    for instance in _instances(view):
        if any(uuid not in view.nodes for uuid in (instance.primary_node, *instance.secondary_nodes)):
            text = "it is on a node that does not exist"
            yield Finding("ECLUSTERDANGLINGINST", "instance", instance.name, text)


def _instances(view: View) -> list[InstanceRecord]:
    """Those that are made, by name."""
    return sorted((i for i in view.instances.values() if i.pending is None), key=lambda i: i.name)


# A group.


def plan_verify_group(op: ClusterVerifyGroup, progress: Progress, view: View) -> Stage:
    """Whether the nodes of a group and their instances are as the records say."""
    group = view.group(op.group_name)
    nodes = sorted((n for n in view.nodes.values() if n.group == group.uuid), key=lambda n: n.name)
    own = {node.uuid for node in nodes}
    instances = [i for i in _instances(view) if i.primary_node in own]
    looked = [i for i in instances if i.disks and i.primary_node in view.reports]
    loose = [r for r in detached.seen(view) if r.nodes[0] in own and r.nodes[0] in view.reports]
    listed = _with_volumes(view, nodes)
    if progress.stage == "" and (looked or loose or listed):
        return _look(view, looked, loose, listed)
    uuids = progress.kept.get("looked", ())
    disks = dict(zip(uuids, progress.outcomes, strict=False))
    volumes = dict(zip(progress.kept.get("listed", ()), progress.outcomes[len(uuids) :], strict=True))
    report = _begun(op, group, nodes)
    report.head("Verifying node status", [*_node_status(view, nodes), *certificates.of_nodes(view, nodes)])
    states = {uuid: outcome.disks for uuid, outcome in disks.items() if outcome is not None}
    report.head("Verifying instance status", _instance_status(view, instances, states))
    lost = list(_lost(view, loose, states))
    if lost:
        report.head("Verifying detached disks", lost)
    report.head("Verifying orphan volumes", _orphan_volumes(view, volumes))
    report.head("Verifying orphan instances", _orphans(view, nodes))
    if "nplusone_mem" not in op.skip_checks:
        report.head("Verifying N+1 Memory redundancy", _memory(view, nodes))
    report.head("Other Notes")
    for text in _notes(nodes, instances):
        report.note(text)
    return report.finish()


def _lost(view: View, loose: list[DetachedDiskRecord], states: dict[str, tuple[object, ...]]) -> Findings:
    """Detached disks whose volumes are not where they should be."""
    for record in loose:
        if states.get(record.uuid) == (None,) and record.pending is None:
            text = f"it is missing on {view.nodes[record.nodes[0]].name}"
            yield Finding("EINSTANCEMISSINGDISK", "disk", record.uuid, text)


def _with_volumes(view: View, nodes: list[NodeRecord]) -> list[NodeRecord]:
    """The nodes that have the cluster's volume group, where that is used."""
    name = view.cluster.volume_group_name
    if not name or not {"plain", "drbd"} & set(view.cluster.enabled_disk_templates):
        return []
    return [n for n in nodes if not n.offline and name in _groups(view, n)]


def _groups(view: View, node: NodeRecord) -> Iterable[str]:
    report = view.reports.get(node.uuid)
    return () if report is None else report.volume_groups


def _orphan_volumes(view: View, volumes: dict[str, Outcome | None]) -> Findings:
    """Volumes that belong to nobody, and nodes that do not tell."""
    own = owners(view)
    for uuid, outcome in volumes.items():
        node = view.nodes.get(uuid)
        if node is not None and outcome is None:
            yield Finding("ENODELVM", "node", node.name, "its volumes could not be listed")
        elif node is not None and outcome is not None:
            for name in strays(view, node, outcome, own):
                yield Finding("ENODEORPHANLV", "node", node.name, f"volume {name} is unknown")


def _look(
    view: View, instances: list[InstanceRecord], loose: list[DetachedDiskRecord], nodes: list[NodeRecord]
) -> Perform:
    looks = tuple(
        Do(i.primary_node, InspectDisks(instance=i.name, disks=disk_specs(view, i))) for i in instances
    )
    others = tuple(
        Do(r.nodes[0], InspectDisks(instance=r.instance, disks=(detached.spec(view, r, r.nodes[0]),)))
        for r in loose
    )
    kept = {
        "looked": [*(i.uuid for i in instances), *(r.uuid for r in loose)],
        "listed": [n.uuid for n in nodes],
    }
    work = InParallel((*looks, *others, *listing(nodes).works))
    return Perform(work=work, stage="seen", failed="seen", check=True, patience=0.0, kept=kept)


def _begun(op: ClusterVerifyGroup, group: GroupRecord, nodes: list[NodeRecord]) -> Report:
    report = Report(op)
    report.head(f"Verifying group '{group.name}'")
    report.head(f"Gathering data ({len(nodes)} nodes)")
    return report


def _node_status(view: View, nodes: list[NodeRecord]) -> Findings:
    for node in nodes:
        if node.offline:
            continue
        report = view.reports.get(node.uuid)
        if report is None:
            yield Finding("ENODERPC", "node", node.name, "it does not answer")
            continue
        missing = [h for h in view.cluster.enabled_hypervisors if h not in report.hypervisors]
        if missing and node.vm_capable:
            text = f"hypervisors without an answer: {', '.join(missing)}"
            yield Finding("ENODEHV", "node", node.name, text)
        if report.clock and abs(report.clock - view.now) > SKEW:
            yield Finding("ENODETIME", "node", node.name, f"its clock differs by more than {SKEW:.0f} s")
        broken = sorted(o.name for o in report.oses if o.invalid)
        if broken:
            yield Finding("ENODEOS", "node", node.name, f"invalid OS definitions: {', '.join(broken)}")


def _instance_status(
    view: View, instances: list[InstanceRecord], states: dict[str, tuple[object, ...]]
) -> Findings:
    for instance in instances:
        yield from _running(view, instance)
        for n, state in enumerate(states.get(instance.uuid, ())):
            if state is None:
                yield Finding("EINSTANCEMISSINGDISK", "instance", instance.name, f"disk/{n} is missing")
            elif isinstance(state, dict) and state.get("degraded"):
                yield Finding("EINSTANCEFAULTYDISK", "instance", instance.name, f"disk/{n} is degraded")


def _running(view: View, instance: InstanceRecord) -> Findings:
    node = view.nodes[instance.primary_node]
    domain = view.domain(instance)
    runs = domain is not None and domain.running
    if instance.admin_state == "up" and node.offline:
        yield Finding("EINSTANCEBADNODE", "instance", instance.name, f"it is on the offline node {node.name}")
    elif instance.admin_state == "up" and node.uuid in view.reports and not runs:
        yield Finding("EINSTANCEDOWN", "instance", instance.name, f"it does not run on {node.name}")
    elif instance.admin_state != "up" and runs:
        text = f"it runs on {node.name}, and should be {instance.admin_state}"
        yield Finding("EINSTANCEBADNODE", "instance", instance.name, text)


def _orphans(view: View, nodes: list[NodeRecord]) -> Findings:
    """Domains that run where they should not."""
    names = view.names["instance"]
    for node in nodes:
        report = view.reports.get(node.uuid)
        domains: Iterable[DomainSeen] = () if report is None else report.domains.values()
        for domain in sorted(domains, key=lambda d: d.name):
            known = view.instances.get(names.get(domain.name, ""))
            if known is None:
                text = f"'{domain.name}' runs there and is no instance"
                yield Finding("ENODEORPHANINSTANCE", "node", node.name, text)
            elif domain.running and known.primary_node != node.uuid and known.pending is None:
                yield Finding("EINSTANCEWRONGNODE", "instance", known.name, f"it runs on {node.name}")


def _memory(view: View, nodes: list[NodeRecord]) -> Findings:
    """Whether each node can take over what it is the secondary of, should any one node fail."""
    for node in nodes:
        report = view.reports.get(node.uuid)
        if report is None or node.offline:
            continue
        needed: Counter[str] = Counter()
        for instance in view.secondaries_on(node.uuid):
            backend = params.beparams(view.cluster, instance)
            if backend["auto_balance"] and instance.admin_state == "up":
                needed[instance.primary_node] += backend["minmem"]
        for primary, memory in needed.items():
            if memory > report.memory_free:
                text = (
                    f"not enough memory to take over from {view.nodes[primary].name}, should it fail "
                    f"({memory} MiB needed, {report.memory_free} MiB available)"
                )
                yield Finding("ENODEN1", "node", node.name, text)


def _notes(nodes: list[NodeRecord], instances: list[InstanceRecord]) -> Iterator[str]:
    alone = sum(1 for i in instances if i.disk_template in ("diskless", "file", "plain"))
    offline = sum(1 for n in nodes if n.offline)
    drained = sum(1 for n in nodes if n.drained)
    for number, what in (
        (alone, "non-redundant instance(s)"),
        (offline, "offline node(s)"),
        (drained, "drained node(s)"),
    ):
        if number:
            yield f"{number} {what} found."
