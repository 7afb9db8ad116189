"""What nodes in memory do to the Ceph cluster they have in common."""

from twisted_rapi.errors import StepFailed
from twisted_rapi.model import steps
from twisted_rapi.model.ceph import AddOsd
from twisted_rapi.model.steps import Outcome
from twisted_rapi.storage.simulated_ceph import CephNotes

ON_CEPH = (steps.LookAtCeph, steps.ChangeCeph, steps.AwaitDrained)


def on_ceph(notes: CephNotes, step: steps.LookAtCeph | steps.ChangeCeph | steps.AwaitDrained) -> Outcome:
    """
    Carry a step out, without waiting.

    :raises StepFailed: it cannot be done.
    """
    match step:
        case steps.LookAtCeph():
            try:
                return Outcome(units=notes.look(step.subject, step.pool, step.volume))
            except StepFailed as e:
                if e.kind != "absent":
                    raise
                return Outcome(reason=e.text)
        case steps.ChangeCeph():
            answer = notes.change(step.change)
            return Outcome(text=str(answer) if isinstance(step.change, AddOsd) else "")
    return Outcome(text="yes" if notes.drained(step.osd) else "")
