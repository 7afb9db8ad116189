"""Fields of nodes (fields.json; order of `BULK` as observed)."""

from collections.abc import Iterable
from typing import Any

from twisted_rapi.model import params
from twisted_rapi.model.records import InstanceRecord, NodeRecord
from twisted_rapi.model.seen import NodeReport
from twisted_rapi.plan.fields.base import STAMPS, Field, Getter, Kind, Missing, natural, of_params, select
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


def report_of(view: View, node: NodeRecord) -> NodeReport | Missing:
    """What the node reports, or why it is not known."""
    if node.offline:
        return Missing.OFFLINE
    return view.reports.get(node.uuid) or Missing.NODATA


def _live(name: str) -> Getter:
    def get(view: View, node: NodeRecord) -> Any:
        report = report_of(view, node)
        return report if isinstance(report, Missing) else getattr(report, name)

    return get


def _cnos(view: View, node: NodeRecord) -> Any:
    report = report_of(view, node)
    return report if isinstance(report, Missing) else report.cpu_node or report.cpu_total


def _bootid(view: View, node: NodeRecord) -> Any:
    report = report_of(view, node)
    return report if isinstance(report, Missing) else report.boot_id or Missing.UNAVAIL


def made(instances: Iterable[InstanceRecord]) -> list[InstanceRecord]:
    """Those that are no longer being made."""
    return [i for i in instances if i.pending is None]


def names_of(instances: Iterable[InstanceRecord]) -> list[str]:
    """The names of those that are no longer being made, in natural order."""
    return sorted((i.name for i in made(instances)), key=natural)


def primary_count(view: View, node: NodeRecord) -> int:
    """How many instances have it as primary node."""
    return len(made(view.instances_on(node.uuid)))


def secondary_count(view: View, node: NodeRecord) -> int:
    """How many instances have it as a secondary node."""
    return len(made(view.secondaries_on(node.uuid)))


def ndparams(view: View, node: NodeRecord) -> Any:
    """A node's parameters, filled in."""
    return params.ndparams(view.cluster, view.groups[node.group], node)


def _powered(view: View, node: NodeRecord) -> Any:
    return node.powered if ndparams(view, node)["oob_program"] else Missing.UNAVAIL


def _none(view: View, node: NodeRecord) -> Missing:
    return Missing.UNAVAIL


ND_KINDS: dict[str, Kind] = {
    "cpu_speed": "float",
    "exclusive_storage": "bool",
    "oob_program": "other",
    "ovs": "bool",
    "ovs_link": "other",
    "ovs_name": "other",
    "spindle_count": "number",
    "ssh_port": "number",
}
ND_TITLES = {
    "exclusive_storage": "ExclusiveStorage",
    "oob_program": "OutOfBandProgram",
    "ovs": "OpenvSwitch",
    "ovs_link": "OpenvSwitchLink",
    "ovs_name": "OpenvSwitchName",
    "spindle_count": "SpindleCount",
}

TABLE = (
    Field("name", "Node", "text", "Name", lambda v, n: n.name, "host"),
    Field("offline", "Offline", "bool", "Whether it is marked offline", lambda v, n: n.offline),
    Field("master", "IsMaster", "bool", "Whether it is the master node", lambda v, n: n.uuid == v.cluster.master_node),
    Field("master_candidate", "MasterC", "bool", "Whether it may become master", lambda v, n: n.master_candidate),
    Field("drained", "Drained", "bool", "Whether it gets no new instances", lambda v, n: n.drained),
    Field("powered", "Powered", "bool", "Whether it should have power", _powered),
    Field("bootid", "BootID", "text", "Another one after each boot", _bootid),
    Field("dtotal", "DTotal", "unit", "Disk space", _live("disk_total")),
    Field("dfree", "DFree", "unit", "Disk space that is free", _live("disk_free")),
    Field("sptotal", "SpTotal", "number", "Spindles, where disks have their own", _none),
    Field("spfree", "SpFree", "number", "Spindles that are free, where disks have their own", _none),
    Field("mtotal", "MTotal", "unit", "Memory", _live("memory_total")),
    Field("mnode", "MNode", "unit", "Memory the node itself takes", _live("memory_node")),
    Field("mfree", "MFree", "unit", "Memory that is free", _live("memory_free")),
    Field("pinst_cnt", "Pinst", "number", "How many instances have it as primary", primary_count),
    Field("sinst_cnt", "Sinst", "number", "How many instances have it as secondary", secondary_count),
    Field("ctotal", "CTotal", "number", "CPUs", _live("cpu_total")),
    Field("cnos", "CNOs", "number", "CPUs of the node itself", _cnos),
    Field("cnodes", "CNodes", "number", "NUMA nodes", _live("cpu_nodes")),
    Field("csockets", "CSockets", "number", "CPU sockets", _live("cpu_sockets")),
    Field("pip", "PrimaryIP", "text", "Primary address", lambda v, n: n.primary_ip),
    Field("sip", "SecondaryIP", "text", "Secondary address", lambda v, n: n.secondary_ip),
    Field("role", "Role", "text", "Letter of its role: M master, C candidate, R regular, D drained, O offline", role),
    Field("pinst_list", "PriInstances", "other", "Instances that have it as primary", lambda v, n: names_of(v.instances_on(n.uuid))),
    Field("sinst_list", "SecInstances", "other", "Instances that have it as secondary", lambda v, n: names_of(v.secondaries_on(n.uuid))),
    Field("master_capable", "MasterCapable", "bool", "Whether it can be candidate", lambda v, n: n.master_capable),
    Field("vm_capable", "VMCapable", "bool", "Whether it can run instances", lambda v, n: n.vm_capable),
    Field("ndparams", "NodeParameters", "other", "Parameters, filled in", ndparams),
    Field("custom_ndparams", "CustomNodeParameters", "other", "Own parameters", lambda v, n: n.ndparams),
    Field("group", "Group", "text", "Its group", lambda v, n: v.groups[n.group].name),
    Field("group.uuid", "GroupUUID", "text", "UUID of its group", lambda v, n: n.group),
    Field("hv_state", "HypervisorState", "other", "Kept for compatibility", _none),
    Field("disk_state", "DiskState", "other", "Kept for compatibility", _none),
    *of_params("ndp", ND_KINDS, ND_TITLES, ndparams),
    *STAMPS,
)  # fmt: skip


def _fate(view: View, node: NodeRecord) -> Any:
    found = view.fates.get(node.uuid)
    return None if found is None else found.fate


FURTHER = (Field("fate", "Fate", "text", "What has become of it since it fell silent; an extension", _fate),)
"""Those that the original does not have."""

BULK = select(
    TABLE,
    "name offline master_candidate drained dtotal dfree sptotal spfree mtotal mnode mfree pinst_cnt sinst_cnt"
    " ctotal cnos cnodes csockets pip sip role pinst_list sinst_list master_capable vm_capable ndparams"
    " group.uuid ctime mtime uuid serial_no tags",
)

SINGLE = (
    *BULK,
    Field("secondary_ip", "SecondaryIP", "text", "Alias of sip", lambda v, n: n.secondary_ip),
)
