"""PVC's endpoint that starts and stops machines."""

from twisted_rapi.errors import BadRequest
from twisted_rapi.model.records import InstanceRecord
from twisted_rapi.plan.pvc import machine as pvc
from twisted_rapi.plan.pvc.dialect import LATER, NEWEST, SEED, Dialect
from twisted_rapi.plan.pvc.power import LATER_WISHES, WISHES, opcodes, refusal, words
from twisted_rapi.plan.pvc.scene import Scene
from twisted_rapi.web.pvc.endpoints import Endpoint, PvcCall, Value
from twisted_rapi.web.pvc.jobs import ended, submitted
from twisted_rapi.web.pvc.scenes import busy_scene_of
from twisted_rapi.web.reply import Reply

WAITING = Value(
    name="wait",
    doc="Answer once it is done, or after 150 seconds",
    kind="flag",
    dialects=LATER,
)


def machine_of(call: PvcCall) -> tuple[Scene, InstanceRecord]:
    """
    The machine that is to be changed.

    :raises BadRequest: there is none.
    """
    scene, name = busy_scene_of(call.api), call.names["vm"]
    found = pvc.find(scene, name)
    if found is None:
        raise BadRequest(f"ERROR: Could not find VM '{name}' in the cluster!")
    return scene, found


async def set_state(call: PvcCall) -> Reply:
    """``POST /vm/V/state``; answered once the job is accepted, or has ended where that is asked for."""
    scene, instance = machine_of(call)
    name, wish, dialect = call.names["vm"], call.text("state"), call.dialect
    why = refusal(wish, pvc.state(scene, instance, dialect), dialect)
    if why:
        raise BadRequest(why.format(name))
    job = await submitted(call, opcodes(instance, wish, call.flag("force")), "vm_state")
    told = words(wish, dialect)
    waits = call.flag("wait") or (wish == "disable" and dialect is Dialect.V1_0)
    done = waits and await ended(call, job) is not None
    return call.told((told.done if done else told.accepted).format(name))


def _state(dialects: frozenset[Dialect], choices: tuple[str, ...]) -> Value:
    return Value(
        name="state",
        doc="What it is to do; a shutdown that takes more than 90 seconds is a stop",
        required=True,
        dialects=dialects,
        choices=choices,
        text="A valid state must be specified",
    )


ENDPOINTS = (
    Endpoint(
        path="/vm/<vm>/state",
        method="POST",
        handler=set_state,
        doc="Start, stop, restart or disable a machine, by a job.",
        values=(
            _state(SEED, WISHES),
            _state(LATER, LATER_WISHES),
            WAITING,
            Value(
                name="force",
                doc="Stop what is to be disabled at once",
                kind="flag",
                dialects=NEWEST,
            ),
        ),
    ),
)
