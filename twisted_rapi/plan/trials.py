"""Opcodes for trials: what they do is of no use but to see others wait."""

from twisted_rapi.model.opcodes.cluster import TestDelay
from twisted_rapi.model.steps import Delay
from twisted_rapi.plan.condition import answering
from twisted_rapi.plan.stage import Do, Finish, InParallel, InSequence, Perform, Progress, Stage
from twisted_rapi.plan.view import View


def plan_delay(op: TestDelay, progress: Progress, view: View) -> Stage:
    """Wait on the master's node and on others, at once, as often as asked."""
    if progress.stage == "done":
        return Finish()
    nodes = [view.node(name) for name in op.on_nodes]
    for node in nodes:
        answering(view, node)
    uuids = dict.fromkeys([*([view.cluster.master_node] if op.on_master else []), *(n.uuid for n in nodes)])
    # Steps of one instance wait for each other; these are not to.
    step = Delay(instance=f"delay of job {progress.job}", seconds=op.duration)
    once = InParallel(tuple(Do(uuid, step) for uuid in uuids))
    return Perform(work=InSequence((once,) * max(1, op.repeat)), stage="done")
