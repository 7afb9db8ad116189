"""What PVC's states of machines come to: opcodes, and what is told of them (behaviour.md of PVC §7)."""

import attrs

from twisted_rapi.model.opcodes import Opcode
from twisted_rapi.model.opcodes.instance import (
    InstanceReboot,
    InstanceSetParams,
    InstanceShutdown,
    InstanceStartup,
)
from twisted_rapi.model.records import InstanceRecord
from twisted_rapi.plan.pvc.dialect import Dialect

PATIENCE = 90
"""Seconds a guest has to shut down by itself before it is stopped."""

WISHES = ("start", "shutdown", "stop", "restart")
"""The states that can be asked for; `LATER_WISHES` in later forms."""
LATER_WISHES = (*WISHES, "disable")


@attrs.frozen
class Words:
    """What is told once a wish is accepted, and once it is fulfilled; with places for what it is about."""

    accepted: str
    done: str


WORDS = {
    "start": Words("Starting VM '{}'.", "Started VM '{}'."),
    "shutdown": Words("Shutting down VM '{}'.", "Shut down VM '{}'."),
    "stop": Words("Forcibly stopping VM '{}'.", "Forcibly stopped VM '{}'."),
    "restart": Words("Restarting VM '{}'.", "Restarted VM '{}'."),
    "disable": Words("Marked VM '{}' as disable.", "Marked VM '{}' as disable."),
}
_NEWEST = {
    "shutdown": Words("Shutting down VM '{}'", "Shut down VM '{}'"),
    "disable": Words("Disabling VM '{}'.", "Disabled VM '{}'."),
}


def words(wish: str, dialect: Dialect) -> Words:
    """What is told of a wish."""
    return _NEWEST.get(wish, WORDS[wish]) if dialect is Dialect.V1_0 else WORDS[wish]


def refusal(wish: str, now: str, dialect: Dialect) -> str:
    """
    Why a wish is not accepted, with a place for the machine; "" when it is.

    :param now: the state it is shown in.
    """
    if wish in ("shutdown", "restart") and now != "start":
        return "ERROR: VM '{}' is not in 'start' state!"
    if wish == "disable" and dialect is not Dialect.V1_0 and now != "stop":
        return "ERROR: VM '{}' must be stopped before disabling!"
    return ""


def opcodes(instance: InstanceRecord, wish: str, force: bool) -> tuple[Opcode, ...]:
    """
    What fulfils a wish, in one job.

    :param force: what is to be disabled is not asked to shut down.
    """
    name, disabled = instance.name, instance.admin_state == "offline"
    enable = (_offline(name, False),) if disabled else ()
    match wish:
        case "start":
            return (*enable, InstanceStartup(instance_name=name))
        case "stop":
            return enable or (InstanceShutdown(instance_name=name, timeout=0),)
        case "shutdown":
            return (InstanceShutdown(instance_name=name, timeout=PATIENCE),)
        case "restart":
            return (InstanceReboot(instance_name=name, shutdown_timeout=PATIENCE, reboot_type="full"),)
    stop = InstanceShutdown(instance_name=name, timeout=0 if force else PATIENCE)
    return (_offline(name, True),) if instance.admin_state != "up" else (stop, _offline(name, True))


def _offline(name: str, offline: bool) -> Opcode:
    """Its sizes stay as they are, so no policy has to like them."""
    return InstanceSetParams(instance_name=name, offline=offline, ignore_ipolicy=True)
