"""The output of allocator scripts (iallocator.json), read and written."""

import json
from collections.abc import Callable
from typing import Any

import msgspec

from twisted_rapi.errors import BadRequest, OpExecError, ResultValidationError, prereq
from twisted_rapi.model.opcodes import Opcode, from_wire, to_wire
from twisted_rapi.model.records import NodeRecord
from twisted_rapi.plan.allocation import questions as ask
from twisted_rapi.plan.disks import MIRRORED
from twisted_rapi.plan.view import View


def parsed(text: str) -> dict[str, Any]:
    """
    The answer with the keys it has to have; the older ``nodes`` becomes ``result``.

    :raises OpExecError: it is no such thing.
    """
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as e:
        raise OpExecError(f"Can't parse iallocator results: {e}") from e
    if not isinstance(found, dict):
        raise OpExecError("Can't parse iallocator results: not a dict")
    if "nodes" in found and "result" not in found:
        found["result"] = found.pop("nodes")
    for key in ("success", "info", "result"):
        if key not in found:
            raise OpExecError(f"Can't parse iallocator results: missing key '{key}'")
    return found


def read(view: View, question: ask.Question, name: str, text: str) -> ask.Answer:
    """
    What a script says.

    :param name: of the script.
    :raises OpPrereqError: ``insufficient_resources``: it found no way.
    :raises OpExecError: it is no answer, or names what does not exist.
    :raises ResultValidationError: its result is not of the form such a question has.
    """
    found = parsed(text)
    if not found["success"]:
        info = found["info"]
        raise prereq(f"Can't compute nodes using iallocator '{name}': {info}", "insufficient_resources")
    return _READERS[type(question)](view, question, name, found["result"])


def _converted(name: str, result: Any, expected: Any, words: str) -> Any:
    try:
        return msgspec.convert(result, expected)
    except (msgspec.ValidationError, RecursionError) as e:
        got = json.dumps(result)
        raise ResultValidationError(
            f"iallocator '{name}' returned invalid result, expected {words}, got {got:.500}"
        ) from e


def _node(view: View, name: str, given: str) -> NodeRecord:
    uuid = view.names["node"].get(given)
    if uuid is None:
        raise OpExecError(f"iallocator '{name}' returned an unknown node '{given}'")
    return view.nodes[uuid]


def _nodes(view: View, name: str, given: list[str], count: int) -> tuple[NodeRecord, ...]:
    if len(given) != count:
        raise ResultValidationError(
            f"iallocator '{name}' returned invalid number of nodes ({len(given)}), required {count}"
        )
    if len(set(given)) != count:
        raise ResultValidationError(f"iallocator '{name}' returned the node {given[0]} twice")
    return tuple(_node(view, name, each) for each in given)


def _count(wanted: ask.Allocate) -> int:
    return 2 if wanted.instance.disk_template in MIRRORED else 1


def _placed(view: View, wanted: ask.Allocate, name: str, given: list[str]) -> tuple[NodeRecord, ...]:
    nodes = _nodes(view, name, given, _count(wanted))
    barred = [n.name for n in nodes if wanted.among is not None and n.uuid not in wanted.among]
    if barred:
        raise OpExecError(f"iallocator '{name}' returned a node that was not offered: '{barred[0]}'")
    return nodes


def _allocated(view: View, wanted: ask.Allocate, name: str, result: Any) -> ask.Nodes:
    given = _converted(name, result, list[str], "a list of node names")
    return ask.Nodes(nodes=_placed(view, wanted, name, given))


def _several(view: View, wanted: ask.AllocateSeveral, name: str, result: Any) -> ask.Several:
    placed, failed = _converted(
        name,
        result,
        tuple[list[tuple[str, list[str]]], list[str]],
        "a list of instances with their nodes and a list of instance names",
    )
    asked = {each.instance.name: each for each in wanted.instances}
    unknown = [each for each in (*(n for n, _ in placed), *failed) if each not in asked]
    if unknown:
        raise ResultValidationError(f"iallocator '{name}' returned an unknown instance '{unknown[0]}'")
    nodes = {each: _placed(view, asked[each], name, given) for each, given in placed}
    # What it says nothing about has not been placed either.
    rest = tuple(each for each in asked if each not in nodes)
    return ask.Several(placed={each: nodes[each] for each in asked if each in nodes}, failed=rest)


def _relocated(view: View, wanted: ask.Relocate, name: str, result: Any) -> ask.Nodes:
    given = _converted(name, result, list[str], "a list of node names")
    nodes = _nodes(view, name, given, 1)
    before = view.nodes[wanted.leaves]
    if nodes[0].group != before.group:
        now, then = view.groups[nodes[0].group].name, view.groups[before.group].name
        raise OpExecError(
            f"Groups of nodes returned by iallocator '{name}' ({now}) differ from the original ({then})"
        )
    return ask.Nodes(nodes=nodes)


def _secondary(view: View, wanted: ask.AllocateSecondary, name: str, result: Any) -> ask.Nodes:
    given = _converted(name, result, str, "a node name")
    return ask.Nodes(nodes=(_node(view, name, given),))


def _opcode(name: str, given: dict[str, Any]) -> Opcode:
    try:
        return from_wire(given)
    except BadRequest as e:
        raise OpExecError(f"Can't parse iallocator results: opcode of '{name}': {e}") from e


def _moves(view: View, wanted: ask.Question, name: str, result: Any) -> ask.Moves:
    moved, failed, jobs = _converted(
        name,
        result,
        tuple[
            list[tuple[str, str, list[str]]],
            list[tuple[str, str | None]],
            list[list[dict[str, Any]]],
        ],
        "lists of moved instances, of failed ones and of jobs",
    )
    return ask.Moves(
        moved=tuple((each, group, tuple(nodes)) for each, group, nodes in moved),
        failed=tuple((each, why or "no reason is given") for each, why in failed),
        jobs=tuple(tuple(_opcode(name, given) for given in job) for job in jobs),
    )


_READERS: dict[type[Any], Callable[[View, Any, str, Any], ask.Answer]] = {
    ask.Allocate: _allocated,
    ask.AllocateSeveral: _several,
    ask.Relocate: _relocated,
    ask.AllocateSecondary: _secondary,
    ask.Evacuate: _moves,
    ask.ChangeGroup: _moves,
}


def written(question: ask.Question, answer: ask.Answer, info: str = "Request successful") -> dict[str, Any]:
    """An answer in the form scripts give it in."""
    return {"success": True, "info": info, "result": _result(question, answer)}


def _result(question: ask.Question, answer: ask.Answer) -> Any:
    match answer:
        case ask.Nodes():
            names = [node.name for node in answer.nodes]
            return names[0] if isinstance(question, ask.AllocateSecondary) else names
        case ask.Several():
            placed = [[name, [node.name for node in nodes]] for name, nodes in answer.placed.items()]
            return [placed, list(answer.failed)]
        case ask.Moves():
            moved = [[name, group, list(nodes)] for name, group, nodes in answer.moved]
            jobs = [[_bare(op) for op in job] for job in answer.jobs]
            return [moved, [list(each) for each in answer.failed], jobs]


def _bare(op: Opcode) -> dict[str, Any]:
    """An opcode's own parameters."""
    wire = to_wire(op)
    common = {"priority", "depends", "comment", "reason", "dry_run", "debug_level"}
    return {name: value for name, value in wire.items() if name not in common}
