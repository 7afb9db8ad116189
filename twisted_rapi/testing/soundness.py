"""What is wrong in a world of `twisted_rapi.testing.world`, and how two of them compare."""

import json
import re
from collections.abc import Iterable, Iterator
from typing import Any

import msgspec
from msgspec.structs import replace

from twisted_rapi.model.record_base import ObjectRecord, Record
from twisted_rapi.model.records import (
    DetachedDiskRecord,
    DiskRecord,
    GroupRecord,
    InstanceRecord,
    LeftoverRecord,
    NetworkRecord,
    NodeRecord,
    name_key,
)
from twisted_rapi.plan.disks import nodes_of
from twisted_rapi.plan.naming import of_disk, reservations
from twisted_rapi.testing.world import World


def complaints(world: World) -> list[str]:
    """What is half made, lost or reserved for nobody, apart from what leftovers will mend."""
    return [*_about_names(world), *_about_volumes(world), *_about_data(world), *_about_domains(world)]


def _about_names(world: World) -> Iterator[str]:
    wanted: dict[str, str] = {}
    kept: set[str] = set()  # whoever they were reserved for
    for instance in world.of(InstanceRecord).values():
        wanted.update(reservations(instance))
        kept.update(key for disk in instance.disks for key in of_disk(disk))
        if instance.pending is not None:
            yield f"{instance.name} is still being made"
    for record in world.detached.values():
        kept.update(of_disk(record.disk))
        if record.pending is not None:
            yield f"disk {record.uuid} is still being used"
    wanted.update(dict.fromkeys(kept, ""))
    for kind, cls in (("node", NodeRecord), ("group", GroupRecord), ("network", NetworkRecord)):
        for named in world.of(cls).values():
            wanted[name_key(kind, named.name)] = named.uuid
    yield from (f"{key} is reserved for nobody" for key in sorted(world.names.keys() - wanted.keys()))
    yield from (f"{key} is not reserved" for key in sorted(wanted.keys() - world.names.keys()))
    yield from (f"{k} is another's" for k, v in wanted.items() if v and world.names.get(k, v) != v)


Volume = tuple[str, str, str]
"""A node's uuid (none of shared storage), a template, and the address on it."""


def _all_wanted(world: World) -> Iterator[tuple[Volume, int]]:
    """What there has to be of instances, forthcoming ones aside, and of detached disks."""
    for instance in world.of(InstanceRecord).values():
        if not instance.forthcoming:
            yield from _wanted_volumes(instance.disks, instance.primary_node)
    for record in world.detached.values():
        yield from _wanted_volumes([record.disk], record.nodes[0])


def _wanted_volumes(disks: Iterable[DiskRecord], primary: str) -> Iterator[tuple[Volume, int]]:
    """What disks are made of, and the sizes."""
    for disk in disks:
        match disk.dev_type:
            case "file":
                yield (primary, "file", disk.logical_id[1]), disk.size
            case "sharedfile":
                yield ("", "file", disk.logical_id[1]), disk.size
            case "plain":
                yield (primary, "plain", "/".join(disk.logical_id)), disk.size
            case "drbd":
                for node in disk.logical_id[:2]:
                    yield ("", "drbd", f"{disk.uuid}@{node}"), disk.size
                    for child in disk.children:
                        yield (node, "plain", "/".join(child.logical_id)), child.size
            case "rbd" | "ext" | "gluster":
                yield ("", disk.dev_type, "/".join(disk.logical_id)), disk.size


def volumes_of(world: World) -> dict[Volume, int]:
    """Every volume of the world with its size."""
    found: dict[Volume, int] = {}
    for node, fake in world.nodes.nodes.items():
        found |= {(node, "file", path): size for path, size in fake.volumes.items()}
        found |= {(node, "plain", name): note["size"] for name, note in fake.shelf.values.items()}
    shared = world.nodes.shared
    found |= {("", "file", path): size for path, size in shared.files.items()}
    found |= {("", "drbd", name): note["size"] for name, note in shared.mirrored.values.items()}
    for template, shelf in shared.shelves.items():
        if template != "blockdev":
            found |= {("", template, name): note["size"] for name, note in shelf.values.items()}
    return found


def _by_people(volume: Volume) -> bool:
    """Whether it outlives instances."""
    _, template, name = volume
    return template == "rbd" and ".rbd.disk" not in name


def _about_volumes(world: World) -> Iterator[str]:
    wanted = dict(_all_wanted(world))
    excused = {part for left in world.leftovers.values() for part in _parts(left)}
    found = {v: size for v, size in volumes_of(world).items() if v[2] not in excused}
    due_there = {v: size for v, size in wanted.items() if v[2] not in excused}
    nobody = sorted(volume for volume in found.keys() - due_there.keys() if not _by_people(volume))
    yield from (f"{volume} belongs to nobody" for volume in nobody)
    yield from (f"{volume} is missing" for volume in sorted(due_there.keys() - found.keys()))
    for volume in found.keys() & due_there.keys():
        if found[volume] != due_there[volume]:
            yield f"{volume} has {found[volume]} MiB instead of {due_there[volume]}"


def _about_data(world: World) -> Iterator[str]:
    """Of every mirrored disk that a guest has used one of the sides that are there has all of the data."""
    notes = world.nodes.shared.mirrored.values
    owned = [(i.name, i.disks) for i in world.of(InstanceRecord).values() if not i.forthcoming]
    for owner, disks in (*owned, *(("nobody", (record.disk,)) for record in world.detached.values())):
        for disk in disks:
            sides = [notes.get(f"{disk.uuid}@{node}") for node in nodes_of(disk)]
            there = [side for side in sides if side is not None]
            used = any(side["used"] for side in there)
            if used and all(side["left"] > 0 and side["since"] is None for side in there):
                yield f"disk {disk.uuid} of {owner} is whole nowhere"


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
    All that is there as text that two worlds share if they differ in random values only.
    """
    told = [_told(record) for _, record in sorted(world.records.items(), key=_order)]
    known: dict[str, str] = {}
    text = msgspec.json.format(json.dumps(told, sort_keys=True), indent=1)
    text = _RANDOM.sub(lambda found: known.setdefault(found[0], f"#{len(known)}"), text)
    things: list[str] = [_PORT.sub("a port", name) for name in world.names]
    things += [f"{volume} {size}" for volume, size in volumes_of(world).items()]
    for number, node in enumerate(world.nodes.nodes.values()):
        things += [f"{number} exports {name}" for name in node.exports]
        things += [f"{number} has half of an export of {name}" for name in node.half_exports]
        for domain in node.domains.values():
            # Half a uuid names a disk there.
            things.append(f"{number} runs {replace(domain, devices=())} with {len(domain.devices)} devices")
    there = sorted(_RANDOM.sub(lambda found: known.get(found[0], found[0]), thing) for thing in things)
    return "\n".join([text, *there])


_PORT = re.compile(r"(?<=^name/port/)\d+")
_RANDOM = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|aa:00:00(?::[0-9a-f]{2}){3}|[0-9a-f]{40}")


def _told(record: Record) -> Any:
    """A record; the ports of mirrored disks are random, too."""
    value: Any = msgspec.to_builtins(record)
    disks = value.get("disks", ()) if isinstance(record, InstanceRecord) else ()
    for disk in [value["disk"]] if isinstance(record, DetachedDiskRecord) else disks:
        if disk.get("dev_type") == "drbd":
            disk["logical_id"] = ["a port" if n == 2 else part for n, part in enumerate(disk["logical_id"])]
    return value


def _order(item: tuple[str, Record]) -> tuple[str, str]:
    key, record = item
    kind = key.partition("/")[0]
    return kind, record.name if isinstance(record, ObjectRecord) else getattr(record, "reason", "")


def _parts(left: LeftoverRecord) -> Iterator[str]:
    """The volumes a leftover is about."""
    for step in left.steps:
        for disk in (step["disk"], *step["disk"].get("children", ())) if "disk" in step else ():
            yield _address(disk["logical_id"], disk.get("template", ""))
        if "disk" in step:
            yield f"{step['disk']['uuid']}@{left.node}"
        if "to" in step:
            yield _address(step["to"], step["disk"].get("template", ""))


def _address(logical_id: list[str], template: str) -> str:
    return str(logical_id[1]) if template in ("file", "sharedfile") else "/".join(map(str, logical_id))
