"""For every opcode a scene in which it succeeds: what was done before, and the opcode."""

import json
from collections.abc import Callable
from typing import Any

from msgspec.structs import replace

from tests.unit.plan.definitions import an_image, definition
from tests.unit.plan.programs import DEVICES, NAMES, create, op
from tests.unit.plan.templates import disks_of, made, world_of
from twisted_rapi.model.domain_state import DomainState, DomainStateRecord
from twisted_rapi.model.machine import MachineRecord
from twisted_rapi.model.opcodes import Opcode
from twisted_rapi.model.record_base import Record
from twisted_rapi.model.records import NodeRecord, Params
from twisted_rapi.plan.grow import resized
from twisted_rapi.testing.cluster import NODES
from twisted_rapi.testing.world import World

Before = Opcode | Callable[[World], object]
Scene = tuple[tuple[Before, ...], Opcode | Callable[[World], Opcode]]

A, B = NAMES
MIB = 1 << 20
AT_REST = (create(start=False, **DEVICES),)
RUNNING = (create(**DEVICES),)
MIRRORED = (made("drbd"),)
MIRRORED_AT_REST = (made("drbd", start=False),)
SHARED = (made("sharedfile"),)
_UNIT = {"node_name": "node2", "name": "/dev/sim0", "storage_type": "lvm-pv"}


def _all_candidates(world: World) -> None:
    for node in world.of(NodeRecord).values():
        world.put(replace(node, master_candidate=True))


def _disks_are_gone(world: World) -> None:
    for node in world.nodes.nodes.values():
        node.volumes.clear()
        node.shelf.values.clear()
    world.nodes.shared.mirrored.values.clear()


def _is_a_host(world: World) -> None:
    world.nodes.nodes[NODES[0]].hosts[A] = "192.0.2.80"


def _has_a_name(world: World) -> None:
    world.nodes.nodes[NODES[0]].hosts["new.example.com"] = "192.0.2.90"


def _sizes_are_forgotten(world: World) -> None:
    world.put(resized(world.instance(A), 0, 1))


def _a_script_answers(result: Any) -> Callable[[World], None]:
    """An allocator script on the master, which everybody is to ask."""

    def script(_: Params) -> str:
        return json.dumps({"success": True, "info": "fine", "result": result})

    def prepared(world: World) -> None:
        world.nodes.nodes[NODES[0]].allocators["ask"] = script
        world.put(replace(world.cluster, default_iallocator="ask"))

    return prepared


def _about(what: str, **parameters: Any) -> Opcode:
    """An opcode about the instance."""
    return op(f"INSTANCE_{what}", instance_name=A, **parameters)


_INSTANCES: dict[str, Scene] = {
    "create": ((), create(**DEVICES)),
    "create without an OS": ((), create(**DEVICES, no_install=True)),
    "create diskless": ((), create(disk_template="diskless", disks=[])),
    "create mirrored": ((), made("drbd")),
    "create where a script says": ((_a_script_answers(["node2.example.com"]),), create(**DEVICES)),
    "create with checks": (
        (_is_a_host,),
        create(name_check=True, ip_check=True, nics=[{"ip": "auto"}]),
    ),
    "reserve": ((), create(**DEVICES, forthcoming=True)),
    "commit": ((create(**DEVICES, forthcoming=True),), create(**DEVICES, commit=True)),
    "remove what is forthcoming": ((create(**DEVICES, forthcoming=True),), _about("REMOVE")),
    "remove": (RUNNING, _about("REMOVE")),
    "remove anyhow": (RUNNING, _about("REMOVE", ignore_failures=True)),
    "startup": (AT_REST, _about("STARTUP")),
    "startup of a mirrored one": (MIRRORED_AT_REST, _about("STARTUP")),
    "shutdown": (RUNNING, _about("SHUTDOWN")),
    "reboot": (RUNNING, _about("REBOOT", reboot_type="hard")),
    "reboot of a stopped one": (AT_REST, _about("REBOOT", reboot_type="soft")),
    "reinstall": (AT_REST, _about("REINSTALL", os_type="noop+alt")),
    "rename": (AT_REST, _about("RENAME", new_name="new.example.com")),
    "modify": (
        AT_REST,
        _about(
            "SET_PARAMS",
            disks=[["add", -1, {"size": 16}], ["add", 0, {"size": 8}], ["remove", 1, {}]],
            nics=[["add", -1, {}], ["remove", 0, {}], ["modify", 0, {"mac": "aa:00:00:00:00:09"}]],
            osparams={"dhcp": "yes"},
        ),
    ),
    "change of the primary node": (
        (made("sharedfile", start=False),),
        _about("SET_PARAMS", pnode="node3"),
    ),
    "balloon": (RUNNING, _about("SET_PARAMS", runtime_mem=128, nics=[["add", {}]])),
    "modify a running one": (
        RUNNING,
        _about(
            "SET_PARAMS",
            disks=[["remove", 1, {}], ["add", -1, {"size": 16}]],
            nics=[["remove", 0, {}], ["add", -1, {"mac": "aa:00:00:00:00:02"}]],
            hotplug=True,
        ),
    ),
    "activate": (AT_REST, _about("ACTIVATE_DISKS")),
    "deactivate": ((*AT_REST, _about("ACTIVATE_DISKS")), _about("DEACTIVATE_DISKS")),
    "look": (RUNNING, op("INSTANCE_QUERY_DATA")),
}

_DEFINE = op("MACHINE_DEFINE", xml=definition(), profile="p", node_name="node1")
_DEFINED = (an_image, _DEFINE)

_MACHINES: dict[str, Scene] = {
    "define": ((an_image,), _DEFINE),
    "define where it fits": ((), op("MACHINE_DEFINE", xml=definition(devices=""))),
    "replace a definition": (
        _DEFINED,
        op("MACHINE_MODIFY", instance_name="new1", xml=definition(devices="", more="")),
    ),
    "undefine": (_DEFINED, op("MACHINE_UNDEFINE", instance_name="new1")),
    "undefine what RAPI made": (RUNNING, op("MACHINE_UNDEFINE", instance_name=A)),
    "undefine with disks": (_DEFINED, op("MACHINE_UNDEFINE", instance_name="new1", delete_disks=True)),
    "settings of a machine": (
        AT_REST,
        op("MACHINE_SET_PARAMS", instance_name=A, last_node="node2", node_limit=["node1"], profile="p"),
    ),
}

_DETACH = _about("SET_PARAMS", disks=[["modify", 0, {"name": "d"}], ["detach", 0, {}]])
_ATTACH = op("INSTANCE_SET_PARAMS", instance_name=B, disks=[["attach", -1, {"name": "d"}]])
_HAVING = _about("SET_PARAMS", disks=[["attach", 0, {"name": "d"}], ["add", {"size": 16}]])
_ACTIVE = _about("ACTIVATE_DISKS")


def _convert(template: str, **more: Any) -> Opcode:
    if template == "drbd":
        more = {"remote_node": "node3", **more}
    if template == "ext":
        more = {"ext_params": {"provider": "pvdr"}}
    return _about("SET_PARAMS", disk_template=template, **more)


_CONVERSIONS: dict[tuple[str, str], Scene] = {
    (had, new): ((made(had, start=False, disks=disks_of(had, 2)),), _convert(new))
    for had, new in (
        ("file", "sharedfile"),
        ("file", "drbd"),
        ("plain", "ext"),
        ("plain", "drbd"),
        ("drbd", "file"),
        ("drbd", "plain"),
        ("rbd", "gluster"),
    )
}


def _remove_detached(world: World) -> Opcode:
    [uuid] = world.detached
    return op("DISK_REMOVE", disk_uuid=uuid)


_DISKS: dict[str, Scene] = {
    **{f"convert {had} to {new}": scene for (had, new), scene in _CONVERSIONS.items()},
    "detach": (AT_REST, _DETACH),
    "detach a mirrored one": ((*MIRRORED_AT_REST, _ACTIVE), _DETACH),
    "detach from a running one": (
        RUNNING,
        _about("SET_PARAMS", disks=[["detach", 1, {}], ["remove", 0, {}]], hotplug=True),
    ),
    "attach": ((*AT_REST, _DETACH, create(B, disks=[], pnode="node1")), _ATTACH),
    "attach with more": ((*AT_REST, _DETACH), _HAVING),
    "attach a mirrored one": ((*MIRRORED_AT_REST, _DETACH, _ACTIVE), _HAVING),
    "attach to a running one": (
        (*MIRRORED_AT_REST, _DETACH, made("drbd", B)),
        op("INSTANCE_SET_PARAMS", instance_name=B, disks=[["attach", {"name": "d"}]], hotplug=True),
    ),
    "attach to one without disks": (
        (*MIRRORED_AT_REST, _DETACH, made("diskless", B, start=False)),
        _ATTACH,
    ),
    "remove a detached disk": ((*AT_REST, _DETACH), _remove_detached),
    "remove a mirrored detached disk": ((*MIRRORED_AT_REST, _DETACH), _remove_detached),
    "grow": (AT_REST, _about("GROW_DISK", disk=0, amount=8)),
    "grow a running one": (RUNNING, _about("GROW_DISK", disk=0, amount=8)),
    "grow a mirrored one": (MIRRORED_AT_REST, _about("GROW_DISK", disk=0, amount=8)),
    "recreate": ((*AT_REST, _disks_are_gone), _about("RECREATE_DISKS")),
    "recreate elsewhere": (
        (*MIRRORED_AT_REST, _disks_are_gone),
        _about("RECREATE_DISKS", nodes=["node3", "node1"]),
    ),
    "recreate where a script says": (
        (
            *MIRRORED_AT_REST,
            _disks_are_gone,
            _a_script_answers(["node3.example.com", "node1.example.com"]),
        ),
        _about("RECREATE_DISKS", iallocator="ask"),
    ),
    "renew on the primary": (MIRRORED, _about("REPLACE_DISKS", mode="replace_on_primary")),
    "renew on the secondary": (
        MIRRORED_AT_REST,
        _about("REPLACE_DISKS", mode="replace_on_secondary", early_release=True),
    ),
    "another secondary": (
        MIRRORED,
        _about("REPLACE_DISKS", mode="replace_new_secondary", remote_node="node3"),
    ),
    "another secondary where a script says": (
        (*MIRRORED, _a_script_answers(["node3.example.com"])),
        _about("REPLACE_DISKS", mode="replace_new_secondary", iallocator="ask"),
    ),
    "nothing to renew": (MIRRORED, _about("REPLACE_DISKS", mode="replace_auto")),
    "to drbd": (
        (made("plain", start=False),),
        _about("SET_PARAMS", disk_template="drbd", remote_node="node2"),
    ),
    "to plain": (MIRRORED_AT_REST, _about("SET_PARAMS", disk_template="plain")),
}

_EXPORT = op("BACKUP_EXPORT", instance_name=A, target_node="node2")

_MOVES: dict[str, Scene] = {
    "migrate": (SHARED, _about("MIGRATE", target_node="node2")),
    "migrate a mirrored one": (MIRRORED, _about("MIGRATE")),
    "failover": (SHARED, _about("FAILOVER", target_node="node2")),
    "failover of a mirrored one": (MIRRORED, _about("FAILOVER")),
    "move": (RUNNING, _about("MOVE", target_node="node2")),
    "prepare": (RUNNING, op("BACKUP_PREPARE", instance_name=A, mode="local")),
    "export": (RUNNING, _EXPORT),
    "export and remove": (
        (*RUNNING, op("BACKUP_EXPORT", instance_name=A, target_node="node3")),
        op("BACKUP_EXPORT", instance_name=A, target_node="node2", remove_instance=True),
    ),
    "import": (
        (*AT_REST, _EXPORT),
        create(B, mode="import", disks=[], nics=[], src_path=A, pnode="node3"),
    ),
    "remove an export": ((*RUNNING, _EXPORT), op("BACKUP_REMOVE", instance_name=A)),
}

_NODES: dict[str, Scene] = {
    "drain": ((), op("NODE_SET_PARAMS", node_name="node2", drained=True)),
    "candidate": ((), op("NODE_SET_PARAMS", node_name="node2", master_candidate=True)),
    "another address": (
        (op("NODE_SET_PARAMS", node_name="node1", secondary_ip="192.0.2.91", force=True),),
        op("NODE_SET_PARAMS", node_name="node2", secondary_ip="192.0.2.99"),
    ),
    "back on line": (
        (op("NODE_SET_PARAMS", node_name="node2", offline=True),),
        op("NODE_SET_PARAMS", node_name="node2", offline=False),
    ),
    "remove a node": ((_all_candidates,), op("NODE_REMOVE", node_name="node3")),
    "powercycle": ((), op("NODE_POWERCYCLE", node_name="node2")),
    "list storage": ((), op("NODE_QUERY_STORAGE", output_fields=["name", "free"], storage_type="lvm-vg")),
    "change storage": ((), op("NODE_MODIFY_STORAGE", **_UNIT, changes={"allocatable": False})),
    "repair storage": ((), op("REPAIR_NODE_STORAGE", node_name="node2", name="xenvg", storage_type="lvm-vg")),
}


def _wanted_of_first(state: DomainState, *more: Record) -> Callable[[World], None]:
    """A change of the first node has begun, with job 1."""

    def prepared(world: World) -> None:
        world.put(DomainStateRecord(uuid=NODES[0], state=state, job=1), *more)

    return prepared


def _was_first(world: World) -> None:
    world.put(MachineRecord(uuid=world.instance(A).uuid, last_node=NODES[0]))


def _starts_again(world: World) -> None:
    world.put(MachineRecord(uuid=world.instance(A).uuid, node_autostart=True))


_LEAVE = op("MACHINE_LEAVE", instance_name=A, node_name="node1", begun=1)
_RETURN = op("MACHINE_RETURN", instance_name=A, node_name="node1", begun=1)
_AWAY = (made("sharedfile", pnode="node2"), _was_first, _wanted_of_first("unflush"))

_DOMAINS: dict[str, Scene] = {
    "move a machine": (SHARED, op("MACHINE_MIGRATE", instance_name=A, target_node="node2")),
    "move a mirrored machine": (MIRRORED, op("MACHINE_MIGRATE", instance_name=A, target_node="node2")),
    "move a machine that rests": (
        (made("sharedfile", start=False), _was_first),
        op("MACHINE_MIGRATE", instance_name=A, target_node="node2", permanent=True),
    ),
    "leave": ((*SHARED, _wanted_of_first("flush")), _LEAVE),
    "leave for nowhere": ((*RUNNING, _wanted_of_first("flush")), _LEAVE),
    "leave too late": ((*SHARED, _wanted_of_first("unflush")), _LEAVE),
    "return": (_AWAY, _RETURN),
    "start again": ((*AT_REST, _starts_again, _wanted_of_first("unflush")), _RETURN),
    "flush": ((*SHARED, made("drbd", B)), op("NODE_SET_DOMAIN_STATE", node_name="node1", state="flush")),
    "ready": (
        (made("sharedfile", pnode="node2"), _was_first, _wanted_of_first("flushed")),
        op("NODE_SET_DOMAIN_STATE", node_name="node1", state="ready"),
    ),
    "flushed": (
        (_wanted_of_first("flush"),),
        op("NODE_END_DOMAIN_STATE", node_name="node1", begun=1),
    ),
    "ready again": (
        (_wanted_of_first("unflush"),),
        op("NODE_END_DOMAIN_STATE", node_name="node1", begun=1),
    ),
}

_GROUP = (op("GROUP_ADD", group_name="g2"),)
_OTHER = (*_GROUP, op("GROUP_ASSIGN_NODES", group_name="g2", nodes=["node3"]))

_GROUPS: dict[str, Scene] = {
    "add a group": ((), op("GROUP_ADD", group_name="g2", alloc_policy="last_resort")),
    "modify a group": (_GROUP, op("GROUP_SET_PARAMS", group_name="g2", alloc_policy="unallocable")),
    "rename a group": (_GROUP, op("GROUP_RENAME", group_name="g2", new_name="g3")),
    "assign": ((*_GROUP, *RUNNING), op("GROUP_ASSIGN_NODES", group_name="g2", nodes=["node2", "node3"])),
    "remove a group": (_GROUP, op("GROUP_REMOVE", group_name="g2")),
}

_NETWORK = (op("NETWORK_ADD", network_name="net1", network="198.51.100.0/24", gateway="198.51.100.1"),)
_CONNECT = op(
    "NETWORK_CONNECT", network_name="net1", group_name="default", network_mode="bridged", network_link="br0"
)

_NETWORKS: dict[str, Scene] = {
    "add a network": ((), _NETWORK[0]),
    "modify a network": (
        _NETWORK,
        op("NETWORK_SET_PARAMS", network_name="net1", add_reserved_ips=["198.51.100.9"]),
    ),
    "rename a network": (_NETWORK, op("NETWORK_RENAME", network_name="net1", new_name="net2")),
    "remove a network": (_NETWORK, op("NETWORK_REMOVE", network_name="net1")),
    "connect": (_NETWORK, _CONNECT),
    "disconnect": (
        (*_NETWORK, _CONNECT),
        op("NETWORK_DISCONNECT", network_name="net1", group_name="default"),
    ),
    "create in a network": (
        (*_NETWORK, _CONNECT),
        create(nics=[{"network": "net1", "ip": "pool"}]),
    ),
    "another network": (
        (*_NETWORK, _CONNECT, *AT_REST),
        _about("SET_PARAMS", nics=[["modify", 0, {"network": "net1", "ip": "pool"}]]),
    ),
}

_EVACUATION: Any = [[], [], [[{"OP_ID": "OP_INSTANCE_MIGRATE", "instance_name": A}]]]


def _wanted(name: str, **more: Any) -> Params:
    """One of several instances."""
    usual = {"instance_name": name, "mode": "create", "disk_template": "sharedfile", "nics": []}
    return {**usual, "disks": [{"size": 64}], "os_type": "noop+default", **more}


_ALLOCATION: dict[str, Scene] = {
    "migrate a node": ((*SHARED, made("drbd", B)), op("NODE_MIGRATE", node_name="node1")),
    "evacuate": ((*SHARED, made("drbd", B)), op("NODE_EVACUATE", node_name="node1", mode="all")),
    "evacuate as a script says": (
        (*MIRRORED, _a_script_answers(_EVACUATION)),
        op("NODE_EVACUATE", node_name="node1", mode="primary-only"),
    ),
    "change group": ((*SHARED, *_OTHER), _about("CHANGE_GROUP")),
    "evacuate a group": ((*SHARED, *_OTHER), op("GROUP_EVACUATE", group_name="default")),
    "several at once": (
        (),
        op("INSTANCE_MULTI_ALLOC", instances=[_wanted("m1"), _wanted("m2", disk_template="drbd")]),
    ),
    "trial of an allocator": (
        (*MIRRORED, _a_script_answers(_EVACUATION)),
        op("TEST_ALLOCATOR", direction="out", mode="relocate", name=A, iallocator="ask"),
    ),
}

_CLUSTER: dict[str, Scene] = {
    "tags": (RUNNING, op("TAGS_SET", kind="instance", name=A, tags=["x"])),
    "tags of the cluster": ((), op("TAGS_SET", kind="cluster", tags=["x"])),
    "untag": (
        (*AT_REST, op("TAGS_SET", kind="instance", name=A, tags=["x", "y"])),
        op("TAGS_DEL", kind="instance", name=A, tags=["x"]),
    ),
    "modify the cluster": ((), op("CLUSTER_SET_PARAMS", candidate_pool_size=3, beparams={"vcpus": 2})),
    "redistribute": ((), op("CLUSTER_REDIST_CONF")),
    "activate the address": (
        (op("CLUSTER_DEACTIVATE_MASTER_IP"),),
        op("CLUSTER_ACTIVATE_MASTER_IP"),
    ),
    "deactivate the address": ((), op("CLUSTER_DEACTIVATE_MASTER_IP")),
    "delay": ((), op("TEST_DELAY", duration=0.1, on_nodes=["node1", "node2"], on_master=True, repeat=2)),
    "OS definitions": ((), op("OS_DIAGNOSE", output_fields=["name", "variants"])),
    "query": (RUNNING, op("QUERY", what="instance", fields=["name", "status"])),
    "fields": ((), op("QUERY_FIELDS", what="node")),
    "look at the cluster": ((), op("CLUSTER_QUERY")),
    "list tags": ((), op("TAGS_GET", kind="cluster")),
    "verify": (RUNNING, op("CLUSTER_VERIFY")),
    "verify disks": (RUNNING, op("CLUSTER_VERIFY_DISKS")),
    "verify disks of a group": (MIRRORED, op("GROUP_VERIFY_DISKS", group_name="default")),
    "repair sizes": ((*MIRRORED, _sizes_are_forgotten), op("CLUSTER_REPAIR_DISK_SIZES")),
    "list volumes": (
        MIRRORED,
        op("NODE_QUERYVOLS", output_fields=["phys", "vg", "name", "size", "instance", "node"]),
    ),
    "providers": ((), op("EXT_STORAGE_DIAGNOSE", output_fields=["name", "node_status"])),
    "rename the cluster": ((_has_a_name,), op("CLUSTER_RENAME", name="new.example.com")),
    "verify the configuration": (RUNNING, op("CLUSTER_VERIFY_CONFIG")),
    "verify a group": (MIRRORED, op("CLUSTER_VERIFY_GROUP", group_name="default")),
    "search tags": ((), op("TAGS_SEARCH", pattern=".*")),
}


def _ceph(change: str, **parameters: Any) -> Opcode:
    return op("CEPH_CHANGE", change=change, **parameters)


_AT = {"pool": "rbd", "volume": "v"}
_VOLUME = _ceph("volume.add", **_AT, size=MIB)
_OSDS = tuple(op("CEPH_OSD_ADD", node_name="node2", device=f"/dev/sd{n}") for n in "bc")
_ON_RBD = made("rbd", start=False)


def _of_disk(change: str, **parameters: Any) -> Callable[[World], Opcode]:
    """A change of the volume that is the instance's first disk."""

    def of_disk(world: World) -> Opcode:
        pool, volume = world.instance(A).disks[0].logical_id
        return _ceph(change, pool=pool, volume=volume, **parameters)

    return of_disk


def _rolled_back(world: World) -> None:
    """The disk has a snapshot, and has grown since."""
    for opcode in (_of_disk("snapshot.add", snapshot="s")(world), _about("GROW_DISK", disk=0, amount=8)):
        assert world.run(opcode).error is None


_CEPH: dict[str, Scene] = {
    "add a volume": ((), _VOLUME),
    "resize a disk on Ceph": ((_ON_RBD,), _of_disk("volume.resize", size=700 * MIB + 1)),
    "rename a volume": ((_VOLUME,), _ceph("volume.rename", **_AT, name="w")),
    "roll a disk back": ((_ON_RBD, _rolled_back), _of_disk("volume.rollback", snapshot="s")),
    "add an OSD": ((), _OSDS[0]),
    "remove an OSD": ((*_OSDS, _VOLUME), op("CEPH_OSD_REMOVE", osd=0)),
    "unlock disks": ((_ON_RBD,), _about("UNLOCK_DISKS")),
}

SCENES: dict[str, Scene] = {
    **_CEPH,
    **_INSTANCES,
    **_MACHINES,
    **_DISKS,
    **_MOVES,
    **_NODES,
    **_DOMAINS,
    **_GROUPS,
    **_NETWORKS,
    **_ALLOCATION,
    **_CLUSTER,
}


def opcode_of(name: str, world: World) -> Opcode:
    """The opcode of a scene in its world; it may be about something that has no name."""
    _, opcode = SCENES[name]
    return opcode if isinstance(opcode, Opcode) else opcode(world)


def world_before(name: str) -> World:
    """The world of a scene before its opcode is carried out."""
    before, _ = SCENES[name]
    world = world_of()
    for each in before:
        if isinstance(each, Opcode):
            ended = world.run(each)
            assert ended.error is None, ended.error.pair()
        else:
            each(world)
    return world
