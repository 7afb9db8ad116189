"""What answers in PVC's terms are made from."""

from collections.abc import Collection, Iterable, Mapping, Sequence

import attrs

from twisted_rapi.model.fate import NodeFateRecord
from twisted_rapi.model.fault import Fault
from twisted_rapi.model.mastership import SwitchRecord
from twisted_rapi.model.records import FINAL, InstanceRecord, JobRecord, OpRecord
from twisted_rapi.model.virtual_network import DhcpLeaseRecord, VirtualNetworkRecord
from twisted_rapi.plan.pvc.storage import Storage
from twisted_rapi.plan.view import View

_STATES = {
    "OP_INSTANCE_STARTUP": "start",
    "OP_INSTANCE_SHUTDOWN": "shutdown",
    "OP_INSTANCE_REBOOT": "restart",
    "OP_INSTANCE_MIGRATE": "migrate",
    "OP_INSTANCE_FAILOVER": "migrate",
    "OP_INSTANCE_MOVE": "migrate",
    "OP_MACHINE_MIGRATE": "migrate",
}
"""What PVC calls the state of a machine that such a job works on, or is to."""

_AT_WORK = {"OP_MACHINE_LEAVE": "migrate", "OP_MACHINE_RETURN": "migrate"}
"""The same of jobs that may do something else in the end."""

_STAGES = {"stop": "shutdown", "start": "start"}
"""The same of jobs that do it, by what their stage begins with."""


def _state(op: OpRecord) -> str | None:
    """What an opcode does, or is to do, to the state of a machine."""
    name = str(op.input.get("OP_ID"))
    if name in _AT_WORK:
        return _STAGES.get(op.stage.partition(":")[0], _AT_WORK[name]) if op.status == "running" else None
    return _STATES.get(name)


@attrs.frozen
class Scene:
    """
    The cluster as of one moment.

    :ivar switch: the wish for another master, if it is followed.
    :ivar faults: those that are told of, the oldest first.
    :ivar moving: by name, the states of machines that jobs work on.
    :ivar networks: the virtual ones; `leases`: what their DHCP servers gave.
    :ivar storage: what there is of Ceph, where that was looked at.
    """

    view: View
    fates: Mapping[str, NodeFateRecord] = attrs.field(factory=dict)
    switch: SwitchRecord | None = None
    faults: Sequence[Fault] = ()
    moving: Mapping[str, str] = attrs.field(factory=dict)
    networks: Collection[VirtualNetworkRecord] = ()
    leases: Collection[DhcpLeaseRecord] = ()
    storage: Storage = attrs.field(factory=Storage)

    def machines(self) -> list[InstanceRecord]:
        """All that are not being made any more, by name."""
        view = self.view
        return sorted((i for i in view.instances.values() if i.pending is None), key=lambda i: i.name)


def states_of_jobs(jobs: Iterable[JobRecord]) -> dict[str, str]:
    """
    By machine's name, what jobs are to do to its state: the one that runs, else the last that was accepted.

    :param jobs: by id.

    Of a job that has not ended the opcode counts that comes next.
    """
    running: dict[str, str] = {}
    wanted: dict[str, str] = {}
    for job in jobs:
        if job.ops[-1].status in FINAL:
            continue
        op = next(op for op in job.ops if op.status not in FINAL)
        state = _state(op)
        if state is not None and op.status != "canceling":
            found = running if op.status == "running" else wanted
            found[str(op.input.get("instance_name", ""))] = state
    return {**wanted, **running}
