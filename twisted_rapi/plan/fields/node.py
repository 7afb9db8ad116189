"""Fields of nodes and node groups (fields.json; order as observed)."""

from collections.abc import Callable, Iterable
from typing import Any

from twisted_rapi.model import params
from twisted_rapi.model.records import GroupRecord, InstanceRecord, NodeRecord
from twisted_rapi.plan.fields.base import Field, natural
from twisted_rapi.plan.view import View

ROLES = {"M": "master", "C": "master-candidate", "D": "drained", "O": "offline", "R": "regular"}


def role(view: View, node: NodeRecord) -> str:
    """The letter of the node's role (constants.json ``node_roles``)."""
    if node.uuid == view.cluster.master_node:
        return "M"
    if node.master_candidate:
        return "C"
    if node.drained:
        return "D"
    return "O" if node.offline else "R"


def _live(name: str) -> Callable[[View, NodeRecord], Any]:
    def get(view: View, node: NodeRecord) -> Any:
        report = None if node.offline else view.reports.get(node.uuid)
        return None if report is None else getattr(report, name)

    return get


def _cnos(view: View, node: NodeRecord) -> Any:
    report = None if node.offline else view.reports.get(node.uuid)
    return None if report is None else report.cpu_node or report.cpu_total


def _made(instances: Iterable[InstanceRecord]) -> list[str]:
    """Their names, without those that are still being made."""
    return [i.name for i in instances if i.pending is None]


def primary_count(view: View, node: NodeRecord) -> int:
    """How many instances have it as primary node."""
    return len(_made(view.instances_on(node.uuid)))


def secondary_count(view: View, node: NodeRecord) -> int:
    """How many instances have it as a secondary node."""
    return len(_made(view.secondaries_on(node.uuid)))


def _primaries(view: View, node: NodeRecord) -> list[str]:
    return sorted(_made(view.instances_on(node.uuid)), key=natural)


def _secondaries(view: View, node: NodeRecord) -> list[str]:
    return sorted(_made(view.secondaries_on(node.uuid)), key=natural)


def _ndparams(view: View, node: NodeRecord) -> Any:
    return params.ndparams(view.cluster, view.groups[node.group], node)


NODE_FIELDS = (
    Field("name", "Node", "text", "Name", lambda v, n: n.name),
    Field("offline", "Offline", "bool", "Whether it is marked offline", lambda v, n: n.offline),
    Field("master_candidate", "MasterC", "bool", "Whether it may become master", lambda v, n: n.master_candidate),
    Field("drained", "Drained", "bool", "Whether it gets no new instances", lambda v, n: n.drained),
    Field("dtotal", "DTotal", "unit", "Disk space", _live("disk_total")),
    Field("dfree", "DFree", "unit", "Disk space that is free", _live("disk_free")),
    Field("sptotal", "SpTotal", "number", "Spindles", lambda v, n: None),
    Field("spfree", "SpFree", "number", "Spindles that are free", lambda v, n: None),
    Field("mtotal", "MTotal", "unit", "Memory", _live("memory_total")),
    Field("mnode", "MNode", "unit", "Memory the node itself takes", _live("memory_node")),
    Field("mfree", "MFree", "unit", "Memory that is free", _live("memory_free")),
    Field("pinst_cnt", "Pinst", "number", "Instances that have it as primary", primary_count),
    Field("sinst_cnt", "Sinst", "number", "Instances that have it as secondary", secondary_count),
    Field("ctotal", "CTotal", "number", "CPUs", _live("cpu_total")),
    Field("cnos", "CNOs", "number", "CPUs of the node itself", _cnos),
    Field("cnodes", "CNodes", "number", "NUMA nodes", _live("cpu_nodes")),
    Field("csockets", "CSockets", "number", "CPU sockets", _live("cpu_sockets")),
    Field("pip", "PrimaryIP", "text", "Primary address", lambda v, n: n.primary_ip),
    Field("sip", "SecondaryIP", "text", "Secondary address", lambda v, n: n.secondary_ip),
    Field("role", "Role", "text", "Letter of its role", role),
    Field("pinst_list", "PriInstances", "other", "Instances that have it as primary", _primaries),
    Field("sinst_list", "SecInstances", "other", "Instances that have it as secondary", _secondaries),
    Field("master_capable", "MasterCapable", "bool", "Whether it can be candidate", lambda v, n: n.master_capable),
    Field("vm_capable", "VMCapable", "bool", "Whether it can run instances", lambda v, n: n.vm_capable),
    Field("ndparams", "NodeParameters", "other", "Parameters, filled in", _ndparams),
    Field("group.uuid", "GroupUUID", "text", "UUID of its group", lambda v, n: n.group),
    Field("ctime", "CTime", "timestamp", "When it was added", lambda v, n: n.ctime),
    Field("mtime", "MTime", "timestamp", "When it was changed last", lambda v, n: n.mtime),
    Field("uuid", "UUID", "text", "UUID", lambda v, n: n.uuid),
    Field("serial_no", "SerialNo", "number", "Counts its changes", lambda v, n: n.serial_no),
    Field("tags", "Tags", "other", "Tags", lambda v, n: sorted(n.tags)),
)  # fmt: skip

SINGLE_NODE_FIELDS = (
    *NODE_FIELDS,
    Field("secondary_ip", "SecondaryIP", "text", "Alias of sip", lambda v, n: n.secondary_ip),
)


def _members(view: View, group: GroupRecord) -> list[str]:
    return sorted((n.name for n in view.nodes.values() if n.group == group.uuid), key=natural)


GROUP_FIELDS = (
    Field("alloc_policy", "AllocPolicy", "text", "Whether it gets instances", lambda v, g: g.alloc_policy),
    Field("name", "Group", "text", "Name", lambda v, g: g.name),
    Field("node_cnt", "Nodes", "number", "How many nodes it has", lambda v, g: len(_members(v, g))),
    Field("node_list", "NodeList", "other", "Its nodes", _members),
    Field(
        "ipolicy", "InstancePolicy", "other", "Policy, filled in", lambda v, g: params.ipolicy(v.cluster, g)
    ),
    Field("custom_ipolicy", "CustomInstancePolicy", "other", "Own values", lambda v, g: g.ipolicy),
    Field("diskparams", "DiskParameters", "other", "Filled in", lambda v, g: params.diskparams(v.cluster, g)),
    Field("custom_diskparams", "CustomDiskParameters", "other", "Own values", lambda v, g: g.diskparams),
    Field("ndparams", "NDParams", "other", "Filled in", lambda v, g: params.group_ndparams(v.cluster, g)),
    Field("custom_ndparams", "CustomNDParams", "other", "Own values", lambda v, g: g.ndparams),
    Field("ctime", "CTime", "timestamp", "When it was made", lambda v, g: g.ctime),
    Field("mtime", "MTime", "timestamp", "When it was changed last", lambda v, g: g.mtime),
    Field("uuid", "UUID", "text", "UUID", lambda v, g: g.uuid),
    Field("serial_no", "SerialNo", "number", "Counts its changes", lambda v, g: g.serial_no),
    Field("tags", "Tags", "other", "Tags", lambda v, g: sorted(g.tags)),
)
