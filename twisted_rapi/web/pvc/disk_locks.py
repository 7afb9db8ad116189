"""PVC's endpoint that breaks the locks on a machine's disks."""

from twisted_rapi.errors import NotFound
from twisted_rapi.model.opcodes.ceph import InstanceUnlockDisks
from twisted_rapi.plan.pvc import machine as pvc
from twisted_rapi.plan.pvc.dialect import LATER, Dialect
from twisted_rapi.plan.pvc.status import primary_node
from twisted_rapi.web.pvc.ceph_changes import done
from twisted_rapi.web.pvc.endpoints import Endpoint, PvcCall
from twisted_rapi.web.pvc.jobs import submitted
from twisted_rapi.web.pvc.power import machine_of
from twisted_rapi.web.pvc.scenes import scene_of
from twisted_rapi.web.pvc.tasks import accepted
from twisted_rapi.web.reply import Reply


async def flush(call: PvcCall) -> Reply:
    """``POST /vm/V/locks``; a machine that runs keeps its locks."""
    scene, name = scene_of(call.api), call.names["vm"]
    if call.dialect is Dialect.V1_0 and pvc.find(scene, name) is None:
        raise NotFound("VM not found.")
    scene, instance = machine_of(call)
    op = InstanceUnlockDisks(instance_name=instance.name)
    if call.dialect is Dialect.V1_0:
        return accepted(call, await submitted(call, [op], "vm_locks"), "vm.flush_locks", primary_node(scene))
    return await done(call, op, f"Flushed locks on VM '{name}'", f"flush locks on VM '{name}'")


ENDPOINTS = (
    Endpoint(
        path="/vm/<vm>/locks",
        method="POST",
        handler=flush,
        doc="Break the locks on the disks of a machine that does not run.",
        dialects=LATER,
    ),
)
