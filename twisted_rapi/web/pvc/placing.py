"""PVC's endpoint that moves machines to other nodes."""

from twisted_rapi.errors import BadRequest
from twisted_rapi.model.opcodes.domain import MachineMigrate
from twisted_rapi.model.records import InstanceRecord, NodeRecord
from twisted_rapi.plan.pvc import machine as pvc
from twisted_rapi.plan.pvc import node as nodes
from twisted_rapi.plan.pvc.dialect import ALL, LATER, NEWEST, SEED, Dialect
from twisted_rapi.plan.pvc.power import Words
from twisted_rapi.plan.pvc.scene import Scene
from twisted_rapi.plan.pvc.selectors import movable, targets, why_not
from twisted_rapi.web.pvc.endpoints import Endpoint, PvcCall, Value
from twisted_rapi.web.pvc.jobs import ended, submitted
from twisted_rapi.web.pvc.power import WAITING, machine_of
from twisted_rapi.web.reply import Reply

_MIGRATED = Words("Migrating VM '{}' to node '{}'.", "Migrated VM '{}' to node '{}'.")
_MOVED = Words("Permanently migrating VM '{}' to node '{}'.", "Permanently migrated VM '{}' to node '{}'.")
_RETURNED = Words("Unmigrating VM '{}' back to node '{}'.", "Unmigrated VM '{}' back to node '{}'.")
_STAYS = Words(*["Making the migration of VM '{}' to node '{}' permanent."] * 2)


async def set_node(call: PvcCall) -> Reply:
    """``POST /vm/V/node``; answered once the job is accepted, or has ended where that is asked for."""
    scene, instance = machine_of(call)
    permanent = call.text("action") == "move" or call.flag("permanent")
    told = _MOVED if permanent else _MIGRATED
    if call.text("action") == "unmigrate":
        target, told = _back(call, scene, instance), _RETURNED
    elif permanent and _is_to_stay(call, scene, instance):
        target, told = scene.view.nodes[instance.primary_node], _STAYS
    else:
        target = _away(call, scene, instance, permanent)
    op = MachineMigrate(
        instance_name=instance.name,
        target_node=target.name,
        permanent=permanent,
        force_live=call.flag("force_live"),
    )
    job = await submitted(call, [op], "vm_node")
    done = call.flag("wait") and await ended(call, job) is not None
    text = told.done if done else told.accepted
    return call.told(text.format(call.names["vm"], target.name))


def _is_to_stay(call: PvcCall, scene: Scene, instance: InstanceRecord) -> bool:
    """Whether a machine that was migrated is told to stay where it is, as the newest form knows it."""
    here = scene.view.nodes[instance.primary_node].name
    migrated = pvc.last_node(scene, instance) is not None
    return call.dialect is Dialect.V1_0 and migrated and call.text("node") == here


def _back(call: PvcCall, scene: Scene, instance: InstanceRecord) -> NodeRecord:
    first = pvc.last_node(scene, instance)
    if first is None:
        raise BadRequest(f"ERROR: VM '{call.names['vm']}' has not been previously migrated.")
    _check(call, scene, instance, first)
    return first


def _away(call: PvcCall, scene: Scene, instance: InstanceRecord, permanent: bool) -> NodeRecord:
    """
    The node that is asked for, or the best one.

    :raises BadRequest: it cannot go there, or nowhere.
    """
    name = call.names["vm"]
    if not permanent and not call.flag("force") and pvc.last_node(scene, instance) is not None:
        raise BadRequest(f"ERROR: VM '{name}' has been previously migrated.")
    if call.text("node"):
        return _named(call, scene, instance, call.text("node"))
    _check_movable(call, scene, instance)
    found = targets(scene.view, instance, call.text("selector"), call.dialect)
    if not found:
        raise BadRequest(f"ERROR: Could not find a valid migration target for VM '{name}'.")
    return found[0]


def _named(call: PvcCall, scene: Scene, instance: InstanceRecord, wanted: str) -> NodeRecord:
    name, limit = call.names["vm"], scene.view.machine(instance.uuid).node_limit
    found = nodes.by_name(scene, wanted)
    if found is None:
        prefix = "" if call.dialect is Dialect.SEED else "ERROR: "
        raise BadRequest(f"{prefix}Specified node '{wanted}' is invalid.")
    if limit and wanted not in limit:
        raise BadRequest(
            f"ERROR: Specified node '{wanted}' is not in the allowed list of nodes for VM '{name}'."
        )
    if found.uuid == instance.primary_node:
        raise BadRequest(f"ERROR: VM '{name}' is already running on node '{wanted}'.")
    _check(call, scene, instance, found)
    return found


def _check_movable(call: PvcCall, scene: Scene, instance: InstanceRecord) -> None:
    if not movable(instance):
        here, template = scene.view.nodes[instance.primary_node].name, instance.disk_template
        text = f"cannot be moved: its {template} disks are on node '{here}' only."
        raise BadRequest(f"ERROR: VM '{call.names['vm']}' {text}")


def _check(call: PvcCall, scene: Scene, instance: InstanceRecord, target: NodeRecord) -> None:
    _check_movable(call, scene, instance)
    why = why_not(scene.view, instance, target)
    if why:
        raise BadRequest(f"ERROR: VM '{call.names['vm']}' cannot be moved to node '{target.name}': {why}")


def _action(dialects: frozenset[Dialect], choices: tuple[str, ...]) -> Value:
    return Value(
        name="action",
        doc="Move it until it is unmigrated, back to where it was, or for good (move)",
        required=True,
        dialects=dialects,
        choices=choices,
        text="A valid action must be specified",
    )


ENDPOINTS = (
    Endpoint(
        path="/vm/<vm>/node",
        method="POST",
        handler=set_node,
        doc="Move a machine to another node, by a job: live where possible, else it is shut down for it.",
        values=(
            _action(SEED, ("migrate", "unmigrate")),
            _action(LATER, ("migrate", "unmigrate", "move")),
            Value(name="node", doc="Where to; chosen without", dialects=ALL),
            Value(
                name="selector",
                doc="How the node is chosen; mem without",
                dialects=SEED,
                choices=("mem", "vcpus", "load", "vms"),
                text="A valid selector must be specified",
            ),
            Value(name="permanent", doc="Do not remember where it was", kind="flag", dialects=SEED),
            Value(name="force", doc="Move it also if it was migrated before", kind="flag"),
            WAITING,
            Value(
                name="force_live",
                doc="Fail rather than shut it down",
                kind="flag",
                dialects=NEWEST,
            ),
        ),
    ),
)
