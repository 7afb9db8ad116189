"""``OP_INSTANCE_MULTI_ALLOC`` (behaviour.md §4; texts as observed)."""

from collections import Counter
from collections.abc import Mapping, Sequence

import attrs
from msgspec.structs import replace

from twisted_rapi.errors import BadRequest, prereq
from twisted_rapi.model.opcodes.instance import InstanceCreate
from twisted_rapi.model.opcodes.moving import InstanceMultiAlloc
from twisted_rapi.model.opcodes.several import part, whole
from twisted_rapi.model.records import NodeRecord, Params
from twisted_rapi.plan.allocation import questions as ask
from twisted_rapi.plan.allocation.consult import consult
from twisted_rapi.plan.disks import MIRRORED
from twisted_rapi.plan.drafting import allocation
from twisted_rapi.plan.opportunity import offered
from twisted_rapi.plan.stage import DryRun, Finish, Perform, Progress, Stage
from twisted_rapi.plan.view import View


def plan_multi_alloc(op: InstanceMultiAlloc, progress: Progress, view: View) -> Stage:
    """Find nodes for all instances at once, and submit the creation of each that has some."""
    creations = _creations(op)
    if _named(creations):
        placed = {each.instance_name: _given(each, view) for each in creations}
        return _submit(op, creations, ask.Several(placed=placed))
    among = offered(op, view)
    wanted = (allocation(replace(each, opportunistic_locking=False), view) for each in creations)
    question = ask.AllocateSeveral(instances=tuple(attrs.evolve(each, among=among) for each in wanted))
    found = consult(question, op.iallocator, progress, view)
    if isinstance(found, Perform):
        return found
    assert isinstance(found, ask.Several)
    # An allocator knows instances by the names they will have.
    asked = {each.instance.name: c for each, c in zip(question.instances, creations, strict=True)}
    by_op = {asked[name].instance_name: nodes for name, nodes in found.placed.items()}
    failed = tuple(asked[name].instance_name for name in found.failed)
    return _submit(op, creations, ask.Several(placed=by_op, failed=failed, told=found.told))


def _creations(op: InstanceMultiAlloc) -> list[InstanceCreate]:
    found = []
    for each in op.instances:
        if not isinstance(each, dict):
            raise prereq("Each of the instances has to be an object")
        try:
            found.append(part(each))
        except BadRequest as e:
            raise prereq(str(e)) from e
    if any(each.iallocator is not None for each in found):
        raise prereq("iallocator are not allowed to be set on instance objects")
    twice = sorted(name for name, count in Counter(e.instance_name for e in found).items() if count > 1)
    if twice:
        raise prereq(f"There are duplicate instance names: {', '.join(twice)}")
    return found


def _named(creations: Sequence[InstanceCreate]) -> bool:
    """Whether they say their nodes."""
    named = [each.pnode is not None for each in creations]
    named += [each.snode is not None for each in creations if each.disk_template in MIRRORED]
    if not named or any(named) != all(named):
        raise prereq("There are instance objects providing pnode/snode while others do not")
    return all(named)


def _given(op: InstanceCreate, view: View) -> tuple[NodeRecord, ...]:
    return tuple(view.node(name) for name in (op.pnode, op.snode) if name is not None)


def _submit(op: InstanceMultiAlloc, creations: Sequence[InstanceCreate], found: ask.Several) -> Stage:
    full = {name: _with_nodes(c, found.placed) for c in creations for name in [c.instance_name]}
    told = {"allocatable": list(found.placed), "failed": list(found.failed)}
    jobs = tuple((full[name],) for name in found.placed)
    log = list(found.told)
    if found.failed:
        log.append(f" - WARNING: Unable to allocate the following instances: {', '.join(found.failed)}")
    finish = Finish(
        result=told if jobs else {**told, "jobs": []},
        jobs=jobs,
        log=tuple(log),
        filled={
            "instances": [_shown(op, full[each["instance_name"]], each) for each in op.instances],
        },
    )
    return DryRun(result={"jobs": [], **told}, then=finish)


def _with_nodes(creation: InstanceCreate, placed: Mapping[str, Sequence[NodeRecord]]) -> InstanceCreate:
    nodes = placed.get(creation.instance_name)
    if nodes is None:
        return creation
    named = replace(creation, pnode=nodes[0].name, pnode_uuid=nodes[0].uuid, opportunistic_locking=False)
    if len(nodes) > 1:
        named = replace(named, snode=nodes[1].name, snode_uuid=nodes[1].uuid)
    return named


def _shown(op: InstanceMultiAlloc, creation: InstanceCreate, given: Params) -> Params:
    """A creation as the job shows it: one that is submitted, with what it has from who submits it."""
    found = whole(creation, given)
    if creation.pnode is None:
        return found
    return {
        **found,
        "debug_level": op.debug_level,
        "comment": creation.comment or f"Submitted by {op.OP_ID}",
        "reason": [*(creation.reason or []), *(op.reason or [])],
    }
