"""PVC's endpoint that changes the tags of machines, which are those of the instance."""

from twisted_rapi.errors import BadRequest
from twisted_rapi.model.opcodes import Opcode
from twisted_rapi.model.opcodes.cluster import TagsDel, TagsSet
from twisted_rapi.model.opcodes.machine import MachineSetParams
from twisted_rapi.model.records import InstanceRecord
from twisted_rapi.plan.pvc.dialect import NEWEST
from twisted_rapi.plan.view import View
from twisted_rapi.web.pvc.endpoints import Endpoint, PvcCall, Value
from twisted_rapi.web.pvc.jobs import submitted, told
from twisted_rapi.web.pvc.power import machine_of
from twisted_rapi.web.reply import Reply


def _added(view: View, instance: InstanceRecord, tag: str, protected: bool) -> list[Opcode]:
    """What adds a tag, and has it protected or not."""
    ops: list[Opcode] = [TagsSet(kind="instance", name=instance.name, tags=[tag])]
    kept = view.machine(instance.uuid).protected_tags
    wanted = sorted({*kept, tag} if protected else {*kept} - {tag})
    if wanted != sorted(kept):
        ops.append(MachineSetParams(instance_name=instance.name, protected_tags=wanted))
    return ops


def _removed(view: View, instance: InstanceRecord, tag: str) -> list[Opcode]:
    """
    What removes a tag.

    :raises BadRequest: there is none, or it is protected.
    """
    if tag not in instance.tags:
        raise BadRequest(f"ERROR: Tag '{tag}' does not exist on VM '{instance.name}'!")
    if tag in view.machine(instance.uuid).protected_tags:
        raise BadRequest(f"ERROR: Tag '{tag}' of VM '{instance.name}' is protected!")
    return [TagsDel(kind="instance", name=instance.name, tags=[tag])]


async def change(call: PvcCall) -> Reply:
    """``POST /vm/V/tags``; answered once the job has ended."""
    scene, instance = machine_of(call)
    name, tag, view = call.names["vm"], call.text("tag"), scene.view
    adding = call.text("action") == "add"
    ops = _added(view, instance, tag, call.flag("protected")) if adding else _removed(view, instance, tag)
    job = await submitted(call, ops, "vm_tags")
    done = f"added tag '{tag}' to" if adding else f"removed tag '{tag}' from"
    return await told(call, job, f"Successfully {done} VM '{name}'.")


ENDPOINTS = (
    Endpoint(
        path="/vm/<vm>/tags",
        method="POST",
        handler=change,
        doc="Add a tag to a machine, or remove one.",
        values=(
            Value(
                name="action",
                doc="What to do",
                required=True,
                choices=("add", "remove"),
                text="A valid action must be specified.",
            ),
            Value(name="tag", doc="The tag", required=True),
            Value(name="protected", doc="Keep it from being removed; without, it may be", kind="flag"),
        ),
        dialects=NEWEST,
    ),
)
