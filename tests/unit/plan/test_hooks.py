"""Which hooks belong to which opcode, and what they are told."""

from typing import Any

from msgspec.structs import replace
from twisted.trial.unittest import SynchronousTestCase

from twisted_rapi.model.opcodes import Opcode, from_wire
from twisted_rapi.model.records import (
    DiskRecord,
    GroupRecord,
    InstanceRecord,
    NetworkRecord,
    NicRecord,
    name_key,
)
from twisted_rapi.plan.following import following
from twisted_rapi.plan.hooks import HOOKS, environment, nodes_after, nodes_before, told
from twisted_rapi.plan.stage import Change, Finish
from twisted_rapi.plan.view import View
from twisted_rapi.testing.cluster import GROUP, NODES
from twisted_rapi.testing.world import World

# locks_hooks.tsv: opcode, path, object.
DOCUMENTED = """
BACKUP_EXPORT instance-export INSTANCE
CLUSTER_SET_PARAMS cluster-modify CLUSTER
GROUP_ADD group-add GROUP
GROUP_REMOVE group-remove GROUP
GROUP_RENAME group-rename GROUP
GROUP_SET_PARAMS group-modify GROUP
INSTANCE_CREATE instance-add INSTANCE
INSTANCE_FAILOVER instance-failover INSTANCE
INSTANCE_GROW_DISK disk-grow INSTANCE
INSTANCE_MIGRATE instance-migrate INSTANCE
INSTANCE_REBOOT instance-reboot INSTANCE
INSTANCE_RECREATE_DISKS instance-recreate-disks INSTANCE
INSTANCE_REINSTALL instance-reinstall INSTANCE
INSTANCE_REMOVE instance-remove INSTANCE
INSTANCE_RENAME instance-rename INSTANCE
INSTANCE_REPLACE_DISKS mirrors-replace INSTANCE
INSTANCE_SET_PARAMS instance-modify INSTANCE
INSTANCE_SHUTDOWN instance-stop INSTANCE
INSTANCE_STARTUP instance-start INSTANCE
NETWORK_ADD network-add NETWORK
NETWORK_CONNECT network-connect NETWORK
NETWORK_DISCONNECT network-disconnect NETWORK
NETWORK_REMOVE network-remove NETWORK
NETWORK_RENAME network-rename NETWORK
NETWORK_SET_PARAMS network-modify NETWORK
NODE_MIGRATE node-migrate NODE
NODE_SET_PARAMS node-modify NODE
"""
WEB = "00000000-0000-4000-8000-0000000000e1"
NET = "00000000-0000-4000-8000-0000000000f1"


def op(name: str, **values: Any) -> Opcode:
    """An opcode."""
    return from_wire({"OP_ID": f"OP_{name}", **values})


class HookCase(SynchronousTestCase):
    """Has a mirrored instance with a NIC in a network, on node1 and node2."""

    def setUp(self) -> None:
        self.world = World()
        self.network = NetworkRecord(uuid=NET, name="lan", network="192.0.2.0/24", gateway="192.0.2.1")
        self.web = InstanceRecord(
            uuid=WEB,
            name="web.example.com",
            os="noop+default",
            hypervisor="fake",
            primary_node=NODES[0],
            secondary_nodes=(NODES[1],),
            disk_template="drbd",
            disks=(DiskRecord(uuid="d1", size=128, dev_type="drbd", name="root"),),
            nics=(NicRecord(uuid="n1", mac="aa:00:00:00:00:01", ip="192.0.2.9", network=NET),),
            admin_state="up",
            tags=("b", "a"),
            beparams={"vcpus": 3},
        )
        group = self.world.of(GroupRecord)[GROUP]
        connected = {NET: {"mode": "bridged", "link": "br7", "vlan": ""}}
        self.world.put(self.network, self.web, replace(group, networks=connected))
        for record in (self.network, self.web):
            self.world.names[name_key(record.KIND, record.name)] = record.uuid

    def names(self, uuids: tuple[str, ...]) -> str:
        """Nodes by their numbers, in order."""
        return "".join(str(NODES.index(uuid) + 1) for uuid in uuids)

    def nodes(self, opcode: Opcode, after: View | None = None) -> tuple[str, str]:
        """The nodes of both phases."""
        hooks, view = HOOKS[type(opcode)], self.world.view()
        before = nodes_before(hooks, opcode, view)
        return self.names(before), self.names(nodes_after(hooks, opcode, view, after or view))

    def told(self, opcode: Opcode, view: View | None = None) -> dict[str, str]:
        """What scripts are told."""
        return told(HOOKS[type(opcode)], opcode, view or self.world.view())


class TableTests(HookCase):
    """The table as a whole."""

    def test_documented(self) -> None:
        """Every opcode that is documented to have hooks has them, of this path and about this object."""
        found = {cls.OP_ID: (hooks.path, hooks.kind) for cls, hooks in HOOKS.items()}
        for line in DOCUMENTED.split("\n")[1:-1]:
            name, path, kind = line.split()
            self.assertEqual(found.get(f"OP_{name}"), (path, kind), name)

    def test_paths(self) -> None:
        """No two opcodes share a path, but those that migrate machines for PVC's API."""
        paths = [hooks.path for opcode, hooks in HOOKS.items() if "OP_MACHINE_" not in opcode.OP_ID]
        self.assertEqual(len(set(paths)), len(paths))


class NodesTests(HookCase):
    """Where hooks run; the master is node1."""

    def test_instances(self) -> None:
        """On the nodes of the instance, before and after."""
        about = {"instance_name": "web"}
        self.assertEqual(self.nodes(op("INSTANCE_REBOOT", reboot_type="hard", **about)), ("12", "12"))
        for name in ("STARTUP", "SHUTDOWN", "REINSTALL", "SET_PARAMS", "RECREATE_DISKS"):
            self.assertEqual(self.nodes(op(f"INSTANCE_{name}", **about)), ("12", "12"), name)
        self.assertEqual(self.nodes(op("INSTANCE_REMOVE", **about)), ("1", "12"))
        self.assertEqual(self.nodes(op("INSTANCE_RENAME", new_name="x", **about)), ("12", "12"))
        self.assertEqual(self.nodes(op("INSTANCE_GROW_DISK", disk=0, amount=1, **about)), ("12", "12"))
        self.assertEqual(self.nodes(op("INSTANCE_MIGRATE", **about)), ("12", "12"))
        replaced = op("INSTANCE_REPLACE_DISKS", mode="replace_new_secondary", remote_node="node3", **about)
        self.assertEqual(self.nodes(replaced), ("123", "123"))
        exported = op("BACKUP_EXPORT", target_node="node3", **about)
        self.assertEqual(self.nodes(exported), ("13", "13"))

    def test_failover(self) -> None:
        """The old primary node is told only afterwards, wherever the instance is then."""
        self.world.put(replace(self.web, primary_node=NODES[2]))
        moved = replace(self.web, primary_node=NODES[1], secondary_nodes=(NODES[2],))
        after = following(self.world.view(), Finish(puts=(moved,)))
        self.assertEqual(self.nodes(op("INSTANCE_FAILOVER", instance_name="web"), after), ("12", "132"))

    def test_removed(self) -> None:
        """The nodes of an instance that is gone are told."""
        self.world.put(replace(self.web, primary_node=NODES[2]))
        view = self.world.view()
        after = following(view, Finish(deletes=(view.instances[WEB],)))
        self.assertEqual(self.nodes(op("INSTANCE_REMOVE", instance_name="web"), after), ("1", "132"))

    def test_created(self) -> None:
        """A new instance's nodes are those it will have."""
        new = replace(self.web, uuid="new", name="new.example.com", primary_node=NODES[2], pending=3)
        view = following(self.world.view(), Change(stage="reserved", puts=(new,)))
        creation = op("INSTANCE_CREATE", instance_name="new.example.com", mode="create", disks=[], nics=[])
        hooks = HOOKS[type(creation)]
        self.assertEqual(self.names(nodes_before(hooks, creation, view)), "132")
        self.assertEqual(told(hooks, creation, view)["ADD_MODE"], "create")
        self.assertEqual(told(hooks, creation, view)["INSTANCE_PRIMARY"], "node3.example.com")

    def test_others(self) -> None:
        """Nodes are told of themselves, members of their group's name, and else only the master."""
        self.assertEqual(self.nodes(op("NODE_SET_PARAMS", node_name="node2")), ("12", "12"))
        self.assertEqual(self.nodes(op("NODE_MIGRATE", node_name="node2")), ("1", "1"))
        renamed = op("GROUP_RENAME", group_name="default", new_name="other")
        self.assertEqual(self.nodes(renamed), ("123", "123"))
        self.assertEqual(self.nodes(op("GROUP_SET_PARAMS", group_name="default")), ("1", "1"))
        self.assertEqual(self.nodes(op("NETWORK_REMOVE", network_name="lan")), ("1", "1"))
        self.assertEqual(self.nodes(op("CLUSTER_SET_PARAMS")), ("1", "1"))


class ValueTests(HookCase):
    """What scripts are told."""

    def test_instance(self) -> None:
        """Everything about an instance, filled in, as text."""
        found = self.told(op("INSTANCE_STARTUP", instance_name="web", force=True))
        wanted = {
            "INSTANCE_NAME": "web.example.com",
            "INSTANCE_PRIMARY": "node1.example.com",
            "INSTANCE_SECONDARIES": "node2.example.com",
            "INSTANCE_OS_TYPE": "noop+default",
            "INSTANCE_STATUS": "up",
            "INSTANCE_MINMEM": "128",
            "INSTANCE_MAXMEM": "128",
            "INSTANCE_MEMORY": "128",
            "INSTANCE_VCPUS": "3",
            "INSTANCE_DISK_TEMPLATE": "drbd",
            "INSTANCE_HYPERVISOR": "fake",
            "INSTANCE_TAGS": "a b",
            "INSTANCE_NIC_COUNT": "1",
            "INSTANCE_NIC0_IP": "192.0.2.9",
            "INSTANCE_NIC0_MAC": "aa:00:00:00:00:01",
            "INSTANCE_NIC0_MODE": "bridged",
            "INSTANCE_NIC0_LINK": "br7",
            "INSTANCE_NIC0_BRIDGE": "br7",
            "INSTANCE_NIC0_NAME": "",
            "INSTANCE_NIC0_UUID": "n1",
            "INSTANCE_NIC0_NETWORK_NAME": "lan",
            "INSTANCE_NIC0_NETWORK_UUID": NET,
            "INSTANCE_NIC0_NETWORK_SUBNET": "192.0.2.0/24",
            "INSTANCE_NIC0_NETWORK_GATEWAY": "192.0.2.1",
            "INSTANCE_DISK_COUNT": "1",
            "INSTANCE_DISK0_SIZE": "128",
            "INSTANCE_DISK0_MODE": "rw",
            "INSTANCE_DISK0_NAME": "root",
            "INSTANCE_DISK0_UUID": "d1",
            "INSTANCE_BE_vcpus": "3",
            "INSTANCE_BE_auto_balance": "True",
            "FORCE": "True",
        }
        self.assertEqual({name: found.get(name) for name in wanted}, wanted)
        self.assertIn("INSTANCE_HV_kvm_flag", self.told_of_kvm())
        self.assertNotIn("INSTANCE_NIC0_NETWORK_SUBNET6", found)

    def told_of_kvm(self) -> dict[str, str]:
        """What is told of an instance with many hypervisor parameters."""
        self.world.put(replace(self.web, hypervisor="kvm"))
        return self.told(op("INSTANCE_STARTUP", instance_name="web"))

    def test_moved(self) -> None:
        """Of a mirrored instance both nodes change places."""
        found = self.told(op("INSTANCE_MIGRATE", instance_name="web", live=False))
        wanted = {
            "OLD_PRIMARY": "node1.example.com",
            "NEW_PRIMARY": "node2.example.com",
            "OLD_SECONDARY": "node2.example.com",
            "NEW_SECONDARY": "node1.example.com",
            "MIGRATE_LIVE": "False",
            "MIGRATE_CLEANUP": "False",
        }
        self.assertEqual({name: found.get(name) for name in wanted}, wanted)

    def test_others(self) -> None:
        """Opcodes about other objects tell their parameters; what is not given is empty."""
        found = self.told(op("NODE_SET_PARAMS", node_name="node2", offline=True))
        flags = ("MASTER_CANDIDATE", "OFFLINE", "DRAINED", "MASTER_CAPABLE", "VM_CAPABLE")
        self.assertEqual([found[name] for name in flags], ["", "True", "", "", ""])
        found = self.told(op("GROUP_RENAME", group_name="default", new_name="other"))
        self.assertEqual(found, {"OLD_NAME": "default", "NEW_NAME": "other"})
        found = self.told(op("NETWORK_REMOVE", network_name="lan"))
        self.assertEqual(found["NETWORK_SUBNET"], "192.0.2.0/24")
        self.assertEqual(self.told(op("CLUSTER_SET_PARAMS", vg_name="x")), {"NEW_VG_NAME": "x"})

    def test_environment(self) -> None:
        """All names have the prefix; the last phase has values of before and after."""
        opcode = op("GROUP_SET_PARAMS", group_name="default", alloc_policy="preferred")
        hooks, view = HOOKS[type(opcode)], self.world.view()
        found = environment(hooks, opcode, view, "post", {"A": "1\0"}, {"A": "2"})
        self.assertEqual(
            found,
            {
                "GANETI_HOOKS_VERSION": "2",
                "GANETI_HOOKS_PHASE": "post",
                "GANETI_HOOKS_PATH": "group-modify",
                "GANETI_OBJECT_TYPE": "GROUP",
                "GANETI_DATA_DIR": "/var/lib/twisted_rapi",
                "GANETI_CLUSTER": "cluster.example.com",
                "GANETI_MASTER": "node1.example.com",
                "GANETI_OP_TARGET": "default",
                "GANETI_OP_CODE": "OP_GROUP_SET_PARAMS",
                "GANETI_A": "1",
                "GANETI_POST_A": "2",
            },
        )


class FollowingTests(HookCase):
    """The view after a stage."""

    def test_following(self) -> None:
        """Records are as the stage leaves them, by uuid and name; the view itself stays as it is."""
        view = self.world.view()
        renamed = replace(self.web, name="shop.example.com")
        after = following(view, Finish(puts=(renamed,), deletes=(self.network,)))
        self.assertEqual(after.instance("shop").uuid, WEB)
        self.assertIsNone(after.find("instance", "web"))
        self.assertIsNone(after.find("network", "lan"))
        self.assertEqual(view.instance("web").name, "web.example.com")
        self.assertIn(NET, view.networks)
        new = replace(self.web, uuid="new", name="new.example.com")
        more = following(view, Change(stage="x", puts=(renamed, new)), only_new=True)
        self.assertEqual((more.instance("web").uuid, more.instance("new").uuid), (WEB, "new"))
        cluster = replace(view.cluster, name="other")
        self.assertEqual(following(view, Finish(puts=(cluster,))).cluster.name, "other")
