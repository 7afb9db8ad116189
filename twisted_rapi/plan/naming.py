"""Names and tags: what may be one, and what an instance has to itself."""

import re
from collections.abc import Iterable, Iterator

from twisted_rapi.errors import TagError, prereq
from twisted_rapi.model.records import DiskRecord, InstanceRecord, name_key

_HOST = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)(\.(?!-)[a-z0-9_-]{1,63}(?<!-))*", re.ASCII)
_MAC_PREFIX = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){2}", re.ASCII)
_TAG = re.compile(r"[\w.+*/:@-]+", re.ASCII)

TAG_LENGTH = 128
TAGS_PER_OBJECT = 4096


def host_name(name: str) -> str:
    """
    A name in its one form: lower case, no dot at the end.

    :raises OpPrereqError: ``wrong_input``: it cannot name a host.
    """
    lowered = name.lower().removesuffix(".")
    if len(lowered) > 255 or _HOST.fullmatch(lowered) is None:
        raise prereq(f"Invalid hostname {name!r}")
    return lowered


def object_name(name: str) -> str:
    """
    The name of a group or network: any text that can be shown (as observed).

    :raises OpPrereqError: ``wrong_input``: it is none.
    """
    if not name.isprintable() or name != name.strip() or not 0 < len(name) <= 255:
        raise prereq(f"Invalid name {name!r}: printable text of at most 255 characters")
    return name


def mac_prefix(given: str) -> str:
    """
    The first three octets of MAC addresses, in their one form.

    :raises OpPrereqError: ``wrong_input``: it is something else, or one of groups of stations.
    """
    prefix = given.lower()
    if _MAC_PREFIX.fullmatch(prefix) is None or int(prefix[:2], 16) & 1:
        raise prereq(f"Invalid MAC address prefix '{given}'")
    return prefix


def reservations(instance: InstanceRecord) -> dict[str, str]:
    """
    What no other instance may have, as name keys for its uuid: its name, MAC addresses, network port,
    addresses in networks, and what its disks have to themselves.

    Plans of several instances are made at the same time; the commit decides who gets one of these.
    """
    keys = [name_key("instance", instance.name), *(name_key("mac", nic.mac) for nic in instance.nics)]
    if instance.network_port is not None:
        keys.append(name_key("port", str(instance.network_port)))
    keys += [name_key(f"ip/{n.network}", n.ip) for n in instance.nics if n.network and n.ip]
    for disk in instance.disks:
        keys += of_disk(disk)
    return dict.fromkeys(keys, instance.uuid)


def of_disk(disk: DiskRecord) -> Iterator[str]:
    """
    What a disk has to itself, whoever has the disk.

    Of a mirrored one its port, its minor on each node and its secret; of an adopted device the device; of an
    image of Ceph the image.
    """
    match disk.dev_type, tuple(disk.logical_id):
        case "drbd", (one, two, port, first, second, secret):
            yield name_key("port", str(port))
            yield name_key(f"minor/{one}", str(first))
            yield name_key(f"minor/{two}", str(second))
            yield name_key("secret", secret)
        case "blockdev", (_, path):
            yield name_key("blockdev", path)
        case "rbd", (str(pool), str(image)):
            yield name_key("rbd", f"{pool}/{image}")


def check_tags(tags: Iterable[str]) -> None:
    """
    Whether these may be tags (constants.json ``tag_kinds``; texts as observed).

    :raises TagError: one cannot.
    """
    for tag in tags:
        if len(tag) > TAG_LENGTH:
            raise TagError(f"Tag too long (>{TAG_LENGTH} characters)")
        if not tag:
            raise TagError("Tags cannot be empty")
        if _TAG.fullmatch(tag) is None:
            raise TagError("Tag contains invalid characters")


def merged_tags(old: Iterable[str], new: Iterable[str]) -> tuple[str, ...]:
    """
    All of these tags, each once and in order.

    :raises TagError: one of the new ones cannot be a tag, or there would be too many.
    """
    added = tuple(new)
    check_tags(added)
    merged = tuple(sorted({*old, *added}))
    if len(merged) > TAGS_PER_OBJECT:
        raise TagError(f"Too many tags (>{TAGS_PER_OBJECT})")
    return merged
