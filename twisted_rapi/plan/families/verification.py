"""Plans and locks of the opcodes that look whether all is as it should be."""

from collections.abc import Iterator, Mapping

from twisted_rapi.model.opcodes import Opcode, verify
from twisted_rapi.plan.locking import LockFunction, PlanFunction
from twisted_rapi.plan.locks import Lock
from twisted_rapi.plan.verify import plan_verify, plan_verify_config, plan_verify_group
from twisted_rapi.plan.view import View

PLANS: Mapping[type[Opcode], PlanFunction] = {
    verify.ClusterVerify: plan_verify,
    verify.ClusterVerifyConfig: plan_verify_config,
    verify.ClusterVerifyGroup: plan_verify_group,
}


def _group(op: verify.ClusterVerifyGroup, view: View) -> Iterator[Lock]:
    uuid = view.find("group", op.group_name)
    if uuid is None:
        return
    yield Lock("nodegroup", uuid, shared=True)
    for node in view.nodes.values():
        if node.group == uuid:
            yield Lock("node", node.uuid, shared=True)
            yield from (Lock("instance", i.name, shared=True) for i in view.instances_on(node.uuid))


LOCKS: Mapping[type[Opcode], LockFunction] = {verify.ClusterVerifyGroup: _group}
