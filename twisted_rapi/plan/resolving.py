"""
Names that are resolved before anything else (``name_check``), and their addresses tried (``ip_check``).

Whoever plans the opcode itself sees it with the full name, and with no check left to do (behaviour.md §5).
"""

from typing import Any

import attrs
from msgspec.structs import replace

from twisted_rapi.errors import prereq
from twisted_rapi.model.records import NodeRecord, Params
from twisted_rapi.model.steps import Outcome, ProbeAddress, ResolveName
from twisted_rapi.plan.devices import AUTO
from twisted_rapi.plan.locking import PlanFunction
from twisted_rapi.plan.naming import host_name
from twisted_rapi.plan.stage import Change, Do, DryRun, Perform, Progress, Stage
from twisted_rapi.plan.view import View


def by_resolver(field: str, plan: PlanFunction) -> PlanFunction:
    """
    The plan of an opcode which has a name in `field` that may have to be checked.

    The master's node is asked.
    """

    def checked(op: Any, progress: Progress, view: View) -> Stage:
        if not op.name_check:
            return plan(op, progress, view)
        host = progress.kept.get("host")
        if host is not None:
            if progress.stage == "probed":
                _check_free(host, progress)
                return _carrying(plan(_named(op, field, host), _anew(progress), view), host)
            return plan(_named(op, field, host), progress, view)
        name = host_name(getattr(op, field))
        if progress.stage != "resolved":
            resolve = ResolveName(instance="", name=name, family=view.cluster.primary_ip_version)
            return Perform(work=Do(view.cluster.master_node, resolve), stage="resolved", check=True)
        [outcome] = progress.outcomes
        host = resolved(name, getattr(op, field), outcome)
        if op.ip_check:
            probe = ProbeAddress(instance="", address=host["address"], port=_master(view).agent_port)
            work = Do(view.cluster.master_node, probe)
            return Perform(work=work, stage="probed", check=True, kept={"host": host})
        return _carrying(plan(_named(op, field, host), _anew(progress), view), host)

    return checked


def _master(view: View) -> NodeRecord:
    return view.nodes[view.cluster.master_node]


def resolved(name: str, given: str, outcome: Outcome | None) -> Params:
    """
    What a name stands for: its full ``name`` and ``address`` (text of the refusal as observed).

    :param given: the name as a client has it; `outcome`: of `ResolveName`.
    :raises OpPrereqError: ``resolver_error``, ``wrong_input``.
    """
    assert outcome is not None, "the step succeeded"
    if not outcome.addresses:
        reason = outcome.reason or "it has no address"
        raise prereq(f"The given name ({given}) does not resolve: {reason}", "resolver_error")
    full = host_name(outcome.text)
    if full != name and not full.startswith(name + "."):
        raise prereq(f"The given name ({given}) is that of another host, {full}")
    return {"name": full, "address": outcome.addresses[0]}


def _check_free(host: Params, progress: Progress) -> None:
    [outcome] = progress.outcomes
    if outcome is not None and outcome.text:
        raise prereq(
            f"Address {host['address']} of {host['name']} is in use: somebody answers there",
            "resource_not_unique",
        )


def _anew(progress: Progress) -> Progress:
    """As if nothing had been asked yet."""
    return attrs.evolve(progress, stage="", outcomes=())


def _carrying(stage: Stage, host: Params) -> Stage:
    """The stage, with what was found noted for those after it."""
    match stage:
        case DryRun():
            return attrs.evolve(stage, then=_carrying(stage.then, host))
        case Perform() | Change():
            return attrs.evolve(stage, kept={**stage.kept, "host": host})
    return stage


def _named(op: Any, field: str, host: Params) -> Any:
    """The opcode with the full name, and its address where a NIC is to have that."""
    values: Params = {field: host["name"], "name_check": False, "ip_check": False}
    if hasattr(op, "nics"):
        values["nics"] = [{**nic, "ip": host["address"]} if nic.get("ip") == AUTO else nic for nic in op.nics]
    return replace(op, **values)
