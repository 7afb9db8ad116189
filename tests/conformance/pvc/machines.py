"""The recorded machines: made from the definitions that were shown of them."""

import json
from pathlib import Path
from random import Random
from typing import Literal

from msgspec.structs import replace

from tests.conformance.pvc.difference import ALL_SERVED, INSIDE, Difference
from twisted_rapi.model.machine import MachineRecord
from twisted_rapi.model.record_base import Record
from twisted_rapi.model.records import ClusterRecord, GroupRecord, InstanceRecord, NodeRecord
from twisted_rapi.plan.machine_draft import drafted, understood
from twisted_rapi.plan.naming import reservations
from twisted_rapi.plan.view import View

CAPTURES = Path(__file__).with_name("captures")
TEMPLATES = ("rbd", "file", "diskless")
State = Literal["up", "down", "offline"]

# Name, number of the node, state, tags.
MACHINES: tuple[tuple[str, int, State, tuple[str, ...]], ...] = (
    ("web1", 0, "up", ("prod", "keep")),
    ("web2", 1, "up", ()),
    ("db1", 0, "down", ()),
    ("broken", 1, "down", ()),
    ("file1", 1, "offline", ()),
)


BEFORE = {
    "seed": {"vm-get-after-modify": "vm-modify-raw"},
    "v1": {"vm-list-tag": "vm-meta-post"},
}
"""By file, the request whose effect another one shows."""

OF_MACHINES: tuple[Difference, ...] = (
    Difference(ALL_SERVED, "seed", "vm-post-element", 400),
    Difference(INSIDE, "seed", "vm-define", 200),
    Difference(INSIDE, "v06", "vm-define-noautostart", 200),
    Difference(INSIDE, "v1", "vm-define-noautostart-x|vm-meta-get-limit", 200),
    Difference(
        "A definition that replaces another is kept as it was given; the first form of the original "
        "destroys it.",
        "seed",
        "vm-get-after-modify",
        200,
    ),
)


def definitions() -> dict[str, str]:
    """By name, the definitions that were shown."""
    found: dict[str, str] = {}
    for line in (CAPTURES / "seed.jsonl").read_text(encoding="utf-8").splitlines():
        told = json.loads(line).get("response", {}).get("json")
        for each in told if isinstance(told, list) else ():
            if isinstance(each, dict) and "xml" in each:
                found.setdefault(each["name"], each["xml"])
    return found


def records(
    cluster: ClusterRecord, group: GroupRecord, nodes: list[NodeRecord], free: bool
) -> tuple[list[Record], dict[str, str]]:
    """
    The machines, with what is kept of them, and what they have to themselves.

    :param free: whether their disks are in their definitions only.
    """
    texts, made, names = definitions(), list[Record](), dict[str, str]()
    for name, node, state, tags in MACHINES:
        root, found = understood(texts[name])
        old = InstanceRecord(
            uuid=found.uuid,
            name=name,
            hypervisor="kvm",
            primary_node=nodes[node].uuid,
            disk_template="diskless",
            tags=tags,
            admin_state=state,
        )
        view = View(
            cluster=cluster,
            groups={group.uuid: group},
            nodes={each.uuid: each for each in nodes},
            instances={},
            names={},
            primaries={},
            secondaries={},
            reports={},
            now=0.0,
            chance=Random(name),
        )
        instance, xml = drafted(view, root, found, old)
        if free:
            instance = replace(instance, disks=(), disk_template="diskless")
        made += [instance, _kept(MachineRecord(uuid=found.uuid, xml=xml), name, nodes)]
        names.update(reservations(instance))
    return made, names


def _kept(record: MachineRecord, name: str, nodes: list[NodeRecord]) -> MachineRecord:
    """What was recorded beside the definitions."""
    match name:
        case "web1":
            return replace(
                record,
                protected_tags=("keep",),
                node_selector="mem",
                node_autostart=True,
                profile="webprofile",
                migration_method="live",
            )
        case "web2":
            return replace(record, last_node=nodes[0].uuid)
        case "file1":
            limit = tuple(node.name for node in nodes[:2])
            return replace(record, node_limit=limit, node_selector="load")
    return record
