"""Plans and locks of the opcodes about the cluster, tags and OS definitions."""

from collections.abc import Iterator, Mapping

from twisted_rapi.model.opcodes import Opcode, cluster
from twisted_rapi.plan.cluster import (
    plan_activate,
    plan_cluster_modify,
    plan_deactivate,
    plan_redistribute,
)
from twisted_rapi.plan.ext_storage import plan_ext_storage_diagnose
from twisted_rapi.plan.info import plan_os_diagnose
from twisted_rapi.plan.locking import LockFunction, PlanFunction, named
from twisted_rapi.plan.locks import Lock
from twisted_rapi.plan.rename_cluster import plan_cluster_rename
from twisted_rapi.plan.tags import plan_tags_del, plan_tags_set
from twisted_rapi.plan.trials import plan_delay
from twisted_rapi.plan.view import View

PLANS: Mapping[type[Opcode], PlanFunction] = {
    cluster.TagsSet: plan_tags_set,
    cluster.TagsDel: plan_tags_del,
    cluster.OsDiagnose: plan_os_diagnose,
    cluster.ExtStorageDiagnose: plan_ext_storage_diagnose,
    cluster.ClusterRename: plan_cluster_rename,
    cluster.ClusterSetParams: plan_cluster_modify,
    cluster.ClusterRedistConf: plan_redistribute,
    cluster.ClusterActivateMasterIp: plan_activate,
    cluster.ClusterDeactivateMasterIp: plan_deactivate,
    cluster.TestDelay: plan_delay,
}


def _tags(op: cluster.TagsSet | cluster.TagsDel, view: View) -> Iterator[Lock]:
    name = op.name or ""
    match op.kind:
        case "cluster":
            # The field has no lock here; ours is held for one commit, and spares all but one planning again.
            yield Lock("cluster", "tags")
        case "instance":
            yield Lock("instance", named(view, name))
        case "node":
            yield Lock("node", view.find("node", name) or name)
        case "nodegroup":
            yield Lock("nodegroup", view.find("group", name) or name)
        case "network":
            yield Lock("network", view.find("network", name) or name)


def _alone(op: cluster.ClusterRename, view: View) -> Iterator[Lock]:
    """No other job runs meanwhile: all know the cluster by its name."""
    yield Lock("cluster", "BGL")
    yield Lock("cluster", "tags")


def _everything(op: cluster.ClusterSetParams, view: View) -> Iterator[Lock]:
    yield from (Lock("nodegroup", uuid, shared=True) for uuid in view.groups)
    promotes = op.candidate_pool_size is not None
    yield from (Lock("node", uuid, shared=not promotes) for uuid in view.nodes)
    yield from (Lock("instance", record.name, shared=True) for record in view.instances.values())


def _all_nodes(op: Opcode, view: View) -> Iterator[Lock]:
    yield from (Lock("node", uuid, shared=True) for uuid in view.nodes)


def _address(op: Opcode, view: View) -> Iterator[Lock]:
    # None in the field; ours is held for one commit, and makes the last one asked for the one that counts.
    yield Lock("cluster", "address")


def _delayed(op: cluster.TestDelay, view: View) -> Iterator[Lock]:
    if not op.no_locks:
        yield from (Lock("node", view.find("node", name) or name) for name in op.on_nodes)


LOCKS: Mapping[type[Opcode], LockFunction] = {
    cluster.TagsSet: _tags,
    cluster.TagsDel: _tags,
    cluster.ClusterRename: _alone,
    cluster.ClusterSetParams: _everything,
    cluster.ClusterRedistConf: _all_nodes,
    cluster.ClusterActivateMasterIp: _address,
    cluster.ClusterDeactivateMasterIp: _address,
    cluster.TestDelay: _delayed,
}
