"""What is wrong in a world of `twisted_rapi.testing.world`, and how two of them compare."""

import json
import re
from collections.abc import Iterator

import msgspec

from twisted_rapi.model.records import (
    GroupRecord,
    InstanceRecord,
    LeftoverRecord,
    NetworkRecord,
    NodeRecord,
    ObjectRecord,
    Record,
    name_key,
)
from twisted_rapi.plan.naming import reservations
from twisted_rapi.testing.cluster import NODES
from twisted_rapi.testing.world import World


def complaints(world: World) -> list[str]:
    """What is half made, lost or reserved for nobody, apart from what leftovers will mend."""
    return [*_about_names(world), *_about_volumes(world), *_about_domains(world)]


def _about_names(world: World) -> Iterator[str]:
    wanted = {}
    for instance in world.of(InstanceRecord).values():
        wanted.update(reservations(instance))
        if instance.pending is not None:
            yield f"{instance.name} is still being made"
    for kind, cls in (("node", NodeRecord), ("group", GroupRecord), ("network", NetworkRecord)):
        for record in world.of(cls).values():
            wanted[name_key(kind, record.name)] = record.uuid
    yield from (f"{key} is reserved for nobody" for key in sorted(world.names.keys() - wanted.keys()))
    yield from (f"{key} is not reserved" for key in sorted(wanted.keys() - world.names.keys()))
    yield from (f"{k} is another's" for k, v in wanted.items() if world.names.get(k, v) != v)


def _about_volumes(world: World) -> Iterator[str]:
    wanted: dict[str, dict[str, int]] = {node: {} for node in NODES}
    for instance in world.of(InstanceRecord).values():
        for disk in instance.disks:
            wanted[instance.primary_node][disk.logical_id[1]] = disk.size
    excused = {path for left in world.leftovers.values() for path in _paths(left)}
    for node, fake in world.nodes.nodes.items():
        there = {path: size for path, size in fake.volumes.items() if path not in excused}
        due_there = {path: size for path, size in wanted[node].items() if path not in excused}
        yield from (f"{path} belongs to nobody" for path in sorted(there.keys() - due_there.keys()))
        yield from (f"{path} is missing" for path in sorted(due_there.keys() - there.keys()))
        for path in there.keys() & due_there.keys():
            if there[path] != due_there[path]:
                yield f"{path} has {there[path]} MiB instead of {due_there[path]}"


def _about_domains(world: World) -> Iterator[str]:
    instances = world.of(InstanceRecord)
    excused = {step.get("instance_uuid") for left in world.leftovers.values() for step in left.steps}
    for node, fake in world.nodes.nodes.items():
        for name, domain in fake.domains.items():
            owner = instances.get(domain.uuid)
            if domain.uuid not in excused and (
                owner is None or owner.name != name or owner.primary_node != node
            ):
                yield f"domain {name} belongs to nobody"


def picture(world: World) -> str:
    """
    All that is there as text that two worlds share if they differ in random uuids and addresses only.
    """
    told = [msgspec.to_builtins(record) for _, record in sorted(world.records.items(), key=_order)]
    known: dict[str, str] = {}
    text = json.dumps(told, sort_keys=True, indent=1)
    text = _RANDOM.sub(lambda found: known.setdefault(found[0], f"#{len(known)}"), text)
    things: list[str] = [*world.names]
    for number, node in enumerate(world.nodes.nodes.values()):
        things += [f"{number} has {path} {size}" for path, size in node.volumes.items()]
        things += [f"{number} runs {domain}" for domain in node.domains.values()]
    there = sorted(_RANDOM.sub(lambda found: known.get(found[0], found[0]), thing) for thing in things)
    return "\n".join([text, *there])


_RANDOM = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|aa:00:00(?::[0-9a-f]{2}){3}")


def _order(item: tuple[str, Record]) -> tuple[str, str]:
    key, record = item
    kind = key.partition("/")[0]
    return kind, record.name if isinstance(record, ObjectRecord) else getattr(record, "reason", "")


def _paths(left: LeftoverRecord) -> Iterator[str]:
    """The paths a leftover is about."""
    for step in left.steps:
        if "disk" in step:
            yield step["disk"]["logical_id"][1]
        if "to" in step:
            yield step["to"][1]
