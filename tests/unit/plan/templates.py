"""Worlds whose cluster has every disk template."""

from typing import Any

from msgspec.structs import replace

from tests.unit.plan.programs import NAMES, create
from twisted_rapi.model.opcodes import Opcode
from twisted_rapi.plan.disks import TEMPLATES
from twisted_rapi.testing.world import Ended, World

A, B = NAMES
DEVICE = "/dev/disk/by-id/a"


def world_of(**cluster: Any) -> World:
    """A world with all templates enabled, a device to adopt and a volume to adopt on the first node."""
    world = World()
    policy = {**world.cluster.ipolicy, "disk-templates": list(TEMPLATES)}
    values = {"enabled_disk_templates": TEMPLATES, "volume_group_name": "xenvg", "ipolicy": policy, **cluster}
    world.put(replace(world.cluster, **values))
    world.nodes.shared.shelves["blockdev"].write(f"manual/{DEVICE}", {"size": 512})
    return world


def disks_of(template: str, count: int = 1, size: int = 640) -> list[dict[str, Any]]:
    """Disks as a client describes them."""
    if template == "blockdev":
        return [{"adopt": DEVICE}]
    if template == "ext":
        return [{"size": size, "provider": "pvdr", "kind": "fast"}] * count
    return [] if template == "diskless" else [{"size": size}] * count


def made(template: str, name: str = A, **more: Any) -> Opcode:
    """An instance of this template on node1, and node2 if it is mirrored."""
    nodes = {"pnode": "node1", **({"snode": "node2"} if template == "drbd" else {})}
    return create(name, **{"disk_template": template, "disks": disks_of(template), **nodes, **more})


def world_with(template: str, cluster: dict[str, Any] | None = None, **more: Any) -> World:
    """A world with an instance of this template."""
    world = world_of(**(cluster or {}))
    well(world.run(made(template, **more)))
    return world


def well(ended: Ended) -> Ended:
    """What ended well."""
    assert ended.error is None, ended.error.pair()
    return ended
