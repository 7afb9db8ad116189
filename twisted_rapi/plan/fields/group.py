"""Fields of node groups (fields.json; order of `BULK` as observed)."""

from collections.abc import Iterator
from typing import Any

from twisted_rapi.model import params
from twisted_rapi.model.records import GroupRecord, InstanceRecord, NodeRecord
from twisted_rapi.plan.fields.base import STAMPS, Field, natural, of_params, select
from twisted_rapi.plan.fields.node import ND_KINDS, ND_TITLES, made, names_of
from twisted_rapi.plan.view import View


def _nodes(view: View, group: GroupRecord) -> Iterator[NodeRecord]:
    return (n for n in view.nodes.values() if n.group == group.uuid)


def _members(view: View, group: GroupRecord) -> list[str]:
    return sorted((n.name for n in _nodes(view, group)), key=natural)


def _instances(view: View, group: GroupRecord) -> Iterator[InstanceRecord]:
    return (i for node in _nodes(view, group) for i in view.instances_on(node.uuid))


def _ndparams(view: View, group: GroupRecord) -> Any:
    return params.group_ndparams(view.cluster, group)


TABLE = (
    Field("alloc_policy", "AllocPolicy", "text", "Whether it gets instances", lambda v, g: g.alloc_policy),
    Field("name", "Group", "text", "Name", lambda v, g: g.name),
    Field("node_cnt", "Nodes", "number", "How many nodes it has", lambda v, g: len(_members(v, g))),
    Field("node_list", "NodeList", "other", "Its nodes", _members),
    Field("pinst_cnt", "Instances", "number", "How many instances its nodes have as primary", lambda v, g: len(made(_instances(v, g)))),
    Field("pinst_list", "InstanceList", "other", "Instances its nodes have as primary", lambda v, g: names_of(_instances(v, g))),
    Field("ipolicy", "InstancePolicy", "other", "Policy, filled in", lambda v, g: params.ipolicy(v.cluster, g)),
    Field("custom_ipolicy", "CustomInstancePolicy", "other", "Own policy", lambda v, g: g.ipolicy),
    Field("diskparams", "DiskParameters", "other", "Disk parameters, filled in", lambda v, g: params.diskparams(v.cluster, g)),
    Field("custom_diskparams", "CustomDiskParameters", "other", "Own disk parameters", lambda v, g: g.diskparams),
    Field("ndparams", "NDParams", "other", "Parameters of its nodes, filled in", _ndparams),
    Field("custom_ndparams", "CustomNDParams", "other", "Own parameters of its nodes", lambda v, g: g.ndparams),
    *of_params("ndp", ND_KINDS, ND_TITLES, _ndparams),
    *STAMPS,
)  # fmt: skip

BULK = select(
    TABLE,
    "alloc_policy name node_cnt node_list ipolicy custom_ipolicy diskparams custom_diskparams ndparams"
    " custom_ndparams ctime mtime uuid serial_no tags",
)
