"""Plans and locks of the opcodes about tags and OS definitions."""

from collections.abc import Iterator, Mapping

from twisted_rapi.model.opcodes import Opcode, cluster
from twisted_rapi.plan.info import plan_os_diagnose
from twisted_rapi.plan.locking import LockFunction, PlanFunction, named
from twisted_rapi.plan.locks import Lock
from twisted_rapi.plan.tags import plan_tags_del, plan_tags_set
from twisted_rapi.plan.view import View

PLANS: Mapping[type[Opcode], PlanFunction] = {
    cluster.TagsSet: plan_tags_set,
    cluster.TagsDel: plan_tags_del,
    cluster.OsDiagnose: plan_os_diagnose,
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


LOCKS: Mapping[type[Opcode], LockFunction] = {
    cluster.TagsSet: _tags,
    cluster.TagsDel: _tags,
}
