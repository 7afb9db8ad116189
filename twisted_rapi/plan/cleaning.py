"""``cleanup`` of migrations and failovers: the record is set right by where the guest is."""

from twisted_rapi.errors import OpExecError
from twisted_rapi.model.records import InstanceRecord
from twisted_rapi.plan import relocation, volumes
from twisted_rapi.plan.condition import answering, primary
from twisted_rapi.plan.disks import nodes_of
from twisted_rapi.plan.stage import Change, Finish, InSequence, Perform, Progress, Stage
from twisted_rapi.plan.view import View


def begin(view: View, instance: InstanceRecord, target: str | None, doing: str) -> Change:
    """
    Note which nodes may have the guest: the one that is named, its secondary ones, or all that answer.

    :param doing: ``migrations`` or ``failovers``.
    :raises OpPrereqError: its template does not let it move, or a node does not answer.
    """
    relocation.check_template(instance, doing)
    answering(view, primary(view, instance))
    if target is not None:
        others = [view.node(target).uuid]
    elif instance.secondary_nodes:
        others = list(instance.secondary_nodes)
    else:
        others = sorted(uuid for uuid, node in view.nodes.items() if uuid in view.reports and node.vm_capable)
    nodes = [instance.primary_node, *(n for n in others if n != instance.primary_node)]
    for node in nodes:
        answering(view, view.nodes[node])
    kept = {"uuid": instance.uuid, "cleanup": nodes}
    return Change(stage="begun", kept=kept, log=(f"Cleaning up after instance {instance.name}",))


def carry_on(view: View, instance: InstanceRecord, progress: Progress) -> Stage:
    """
    See where the guest is, record that, have the disks as that wants.

    :raises OpExecError: a node does not answer, or the guest runs on several, or on none though it should.
    """
    nodes: list[str] = progress.kept["cleanup"]
    match progress.stage:
        case "begun":
            log = (" - INFO: checking where the instance runs",)
            return _told(relocation.look_at(instance, nodes, "awaited"), log)
        case "awaited":  # it is on its way no more: what all of them say now is of one moment
            return relocation.look_at(instance, nodes, "looked")
        case "looked":
            return _found(view, instance, progress, nodes)
        case "recorded":
            work = tuple(
                do
                for node in nodes
                if node != instance.primary_node
                for do in relocation.deactivations(view, instance, node)
            )
            if any(nodes_of(disk) for disk in instance.disks):
                work = volumes.activations(view, instance, volumes.all_disks(instance))
            return Perform(work=InSequence(work), stage="done", failed="done")
    return Finish(log=("* done",))


def _told(stage: Perform, log: tuple[str, ...]) -> Perform:
    return Perform(work=stage.work, stage=stage.stage, failed=stage.failed, log=log)


def _found(view: View, instance: InstanceRecord, progress: Progress, nodes: list[str]) -> Stage:
    outcomes = dict(zip(nodes, progress.outcomes, strict=True))
    if None in outcomes.values():
        raise progress.error or OpExecError(f"Not all nodes say whether they run {instance.name}")
    running = [node for node, seen in outcomes.items() if seen is not None and seen.text]
    if len(running) > 1:
        names = ", ".join(view.nodes[node].name for node in running)
        raise OpExecError(f"Instance {instance.name} runs on several nodes ({names}): stop all but one")
    if not running:
        if instance.admin_state == "up":
            raise OpExecError(f"Instance {instance.name} runs on none of its nodes: start or fail it over")
        return Finish(log=("* done",))
    [node] = running
    name = view.nodes[node].name
    here = node == instance.primary_node
    told = f"* instance confirmed to be running on its primary node ({name})"
    if not here:
        told = f"* instance running on secondary node ({name}), updating config"
    return Change(stage="recorded", puts=relocation.recorded(view, instance, node), log=(told,))
