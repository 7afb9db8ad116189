"""What is wrong with the cluster, and what is remembered of it."""

import hashlib
from collections.abc import Collection, Iterable, Mapping

import attrs
from msgspec.structs import replace

from twisted_rapi.model.fate import NodeFateRecord
from twisted_rapi.model.fault import Fault, FaultsRecord

DEAD, DOWN, STRANGE = 50, 10, 10
"""What a dead node takes from the health, a machine that is down, and one that runs and should not."""

MOST = 500
"""Faults that are remembered; those that are over are forgotten first, of the others the latest."""


@attrs.frozen
class Wrong:
    """Something that is wrong now."""

    id: str
    text: str
    delta: int


def id_of(*words: str) -> str:
    """What stands for something that may be wrong: the same each time, under each master."""
    return hashlib.sha256("\0".join(words).encode("utf-8", "surrogatepass")).hexdigest()[:8]


def _of_fate(name: str, fate: NodeFateRecord) -> Wrong:
    if fate.fate in ("fenced", "recovering"):
        return Wrong(id_of("fenced", name), f"Node {name} was fenced", DEAD)
    return Wrong(id_of("dead", name), f"Node {name} does not answer", DEAD)


def wrongs(
    fates: Iterable[tuple[str, NodeFateRecord]], down: Iterable[str], strange: Iterable[tuple[str, str]]
) -> dict[str, Wrong]:
    """
    All that is wrong now, by id.

    :param fates: of nodes, with their names.
    :param down: names of machines that should run and do not.
    :param strange: machines that run and should not, each with the name of the node.
    """
    found = [_of_fate(name, fate) for name, fate in fates]
    found += [Wrong(id_of("down", name), f"VM {name} should run and does not", DOWN) for name in down]
    for name, node in strange:
        text = f"VM {name} runs on node {node} and should not"
        found.append(Wrong(id_of("strange", name, node), text, STRANGE))
    return {each.id: each for each in found}


def noted(record: FaultsRecord, now: float, wrong: Mapping[str, Wrong]) -> FaultsRecord:
    """What is to be remembered, given all that is wrong now; the record itself where that is the same."""
    left = dict(wrong)
    kept = [_now(fault, now, left.pop(fault.id, None) is not None) for fault in record.faults]
    found = [fault for fault in kept if fault is not None]
    found += [Fault(id=w.id, text=w.text, delta=w.delta, first=now, last=now) for w in left.values()]
    most = _most(found)
    return record if most == record.faults else FaultsRecord(faults=most)


def _now(fault: Fault, now: float, here: bool) -> Fault | None:
    """A fault, given whether it is so now; ``None``: it is to be forgotten."""
    if here is not fault.over:
        return fault
    if here:
        # It is so again, which nobody has said anything about.
        return replace(fault, last=now, over=False, hidden=False, acknowledged=0.0)
    return None if fault.hidden else replace(fault, last=now, over=True)


def _most(faults: list[Fault]) -> tuple[Fault, ...]:
    most = max(0, len(faults) - MOST)
    over = {fault.id for fault in [f for f in faults if f.over][:most]}
    # What lasts is not pushed out by what lasts, too: the next look would find that anew, and so on.
    return tuple(fault for fault in faults if fault.id not in over)[:MOST]


def shown(record: FaultsRecord | None) -> list[Fault]:
    """Those that are told of."""
    return [] if record is None else [fault for fault in record.faults if not fault.hidden]


def acknowledged(record: FaultsRecord, ids: Collection[str], now: float) -> FaultsRecord:
    """The record once somebody knows of these."""
    return FaultsRecord(
        faults=tuple(
            replace(fault, acknowledged=now) if fault.id in ids and not fault.acknowledged else fault
            for fault in record.faults
        )
    )


def without(record: FaultsRecord, ids: Collection[str]) -> FaultsRecord:
    """The record once these are deleted."""
    return FaultsRecord(
        faults=tuple(
            replace(fault, hidden=True) if fault.id in ids else fault
            for fault in record.faults
            if not (fault.id in ids and fault.over)
        )
    )
