"""Tests of instances that only keep their place until they are committed (log as observed)."""

from typing import Any

from msgspec.structs import replace
from twisted.trial.unittest import SynchronousTestCase

from tests.unit.plan.programs import NAMES, create, op
from tests.unit.plan.templates import made, world_of
from tests.unit.plan.test_create import pair
from twisted_rapi.model.records import InstanceRecord, NetworkRecord, name_key
from twisted_rapi.plan.disks import TEMPLATES
from twisted_rapi.testing.cluster import GROUP, NODES
from twisted_rapi.testing.soundness import complaints, picture, volumes_of
from twisted_rapi.testing.world import World

A, B = NAMES
REFUSED = (
    f"Instance '{A}' is forthcoming: it can be committed, removed or given other parameters",
    "wrong_state",
)


def reserved(**parameters: Any) -> World:
    """A world with a forthcoming instance on the second node."""
    world = World()
    ended = world.run(create(**{"pnode": "node2", "forthcoming": True, **parameters}))
    assert ended.error is None, ended
    return world


class ReserveTests(SynchronousTestCase):
    """``forthcoming``."""

    def test_whole(self) -> None:
        """There is a record and what it has to itself, nothing on nodes; log and result as observed."""
        world = World()
        ended = world.run(create(pnode="node2", forthcoming=True, disk_template="diskless", disks=[]))
        self.assertEqual((pair(ended), ended.result), (None, ["node2.example.com"]))
        self.assertEqual(
            ended.log,
            [
                "Instance is forthcoming, not creating disks",
                f"adding instance {A} to cluster config",
                "adding disks to cluster config",
                "Instance is forthcoming; not creating the actual instance",
            ],
        )
        record = world.instance(A)
        self.assertEqual((record.forthcoming, record.admin_state, record.pending), (True, "down", None))
        self.assertEqual((complaints(world), ended.unlocked), ([], set()))

    def test_templates(self) -> None:
        """Of no template is anything made; ports and minors of mirrored disks are reserved."""
        for template in TEMPLATES:
            world = world_of()
            before = volumes_of(world)
            self.assertEqual(pair(world.run(made(template, forthcoming=True))), None, template)
            self.assertEqual((volumes_of(world), complaints(world)), (before, []), template)

    def test_taken(self) -> None:
        """Its name and addresses are nobody else's."""
        world = reserved(nics=[{"mac": "aa:00:00:00:00:01"}])
        self.assertEqual(
            pair(world.run(create())),
            ["OpPrereqError", [f"Instance '{A}' is already in the cluster", "already_exists"]],
        )
        self.assertEqual(
            pair(world.run(create(B, nics=[{"mac": "aa:00:00:00:00:01"}]))),
            ["OpPrereqError", ["MAC address aa:00:00:00:00:01 already in use in cluster", "already_exists"]],
        )

    def test_dry_run(self) -> None:
        """Nothing is reserved by one."""
        world = World()
        ended = world.run(create(pnode="node2", forthcoming=True, dry_run=True))
        self.assertEqual((ended.result, world.of(InstanceRecord)), ([NODES[1]], {}))

    def test_refused(self) -> None:
        """It cannot be committed in the same request, nor be made of an export."""
        for parameters, text in (
            ({"commit": True}, "An instance is either forthcoming or committed, not both"),
            ({"mode": "import"}, "Mode 'import' makes an instance at once: it cannot be forthcoming"),
        ):
            ended = World().run(create(forthcoming=True, **parameters))
            self.assertEqual(pair(ended), ["OpPrereqError", [text, "wrong_input"]])

    def test_other_opcodes(self) -> None:
        """What needs a real instance is refused; nothing happens to it."""
        for opcode in (
            op("INSTANCE_STARTUP", instance_name=A),
            op("INSTANCE_SHUTDOWN", instance_name="a"),
            op("INSTANCE_REBOOT", instance_name=A, reboot_type="hard"),
            op("INSTANCE_REINSTALL", instance_name=A),
            op("INSTANCE_RENAME", instance_name=A, new_name=B),
            op("INSTANCE_ACTIVATE_DISKS", instance_name=A),
            op("INSTANCE_FAILOVER", instance_name=A),
            op("INSTANCE_GROW_DISK", instance_name=A, disk=0, amount=1, absolute=False),
            op("INSTANCE_SET_PARAMS", instance_name=A, disks=[["add", {"size": 1}]]),
            op("INSTANCE_SET_PARAMS", instance_name=A, runtime_mem=64),
        ):
            world = reserved()
            before = picture(world)
            ended = world.run(opcode)
            self.assertEqual(pair(ended), ["OpPrereqError", list(REFUSED)], opcode.OP_ID)
            self.assertEqual((picture(world), ended.steps), (before, []), opcode.OP_ID)

    def test_changed(self) -> None:
        """Its parameters and tags can be changed, and it can be asked about."""
        world = reserved()
        ended = world.run(op("INSTANCE_SET_PARAMS", instance_name=A, beparams={"vcpus": 3}))
        self.assertEqual(ended.result, [("be/vcpus", 3)])
        self.assertEqual(pair(world.run(op("TAGS_SET", kind="instance", name=A, tags=["x"]))), None)
        self.assertEqual(pair(world.run(op("INSTANCE_QUERY_DATA", instances=[A]))), None)
        self.assertEqual((world.instance(A).beparams, world.instance(A).tags), ({"vcpus": 3}, ("x",)))

    def test_removed(self) -> None:
        """It goes without a word to its node, even one that does not answer."""
        world = reserved()
        world.nodes.nodes[NODES[1]].down = True
        ended = world.run(op("INSTANCE_REMOVE", instance_name=A))
        self.assertEqual((pair(ended), ended.result, ended.log, ended.steps), (None, None, [], []))
        self.assertEqual((world.of(InstanceRecord), complaints(world)), ({}, []))


class CommitTests(SynchronousTestCase):
    """``commit``."""

    def test_whole(self) -> None:
        """It is made where it was reserved, is the same instance, and runs."""
        world = reserved()
        before = world.instance(A)
        ended = world.run(create("a", commit=True, disk_template=None))
        self.assertEqual((pair(ended), ended.result), (None, ["node2.example.com"]))
        self.assertEqual(ended.steps, ["os.verify", "volume.create", "os.run", "domain.start"])
        after = world.instance(A)
        self.assertEqual((after.uuid, after.forthcoming, after.admin_state), (before.uuid, False, "up"))
        self.assertEqual((after.nics[0].mac, after.ctime), (before.nics[0].mac, before.ctime))
        self.assertEqual((complaints(world), ended.unlocked), ([], set()))

    def test_templates(self) -> None:
        """One of every template is made."""
        for template in TEMPLATES:
            world = world_of()
            world.run(made(template, forthcoming=True))
            self.assertEqual(pair(world.run(made(template, commit=True))), None, template)
            self.assertEqual((complaints(world), world.instance(A).forthcoming), ([], False), template)

    def test_address(self) -> None:
        """The address that was chosen from a network is kept."""
        world = World()
        network = NetworkRecord(uuid="n", name="net", network="192.0.2.0/24")
        group = world.view().groups[GROUP]
        connection = {"mode": "bridged", "link": "br0", "vlan": ""}
        world.put(network, replace(group, networks={"n": connection}))
        world.names[name_key("network", "net")] = "n"
        nic = {"network": "net", "ip": "pool"}
        self.assertEqual(pair(world.run(create(forthcoming=True, nics=[nic]))), None)
        self.assertEqual(pair(world.run(create(B, nics=[nic]))), None)
        reserved, taken = world.instance(A).nics[0].ip, world.instance(B).nics[0].ip
        self.assertEqual(pair(world.run(create(commit=True, nics=[nic]))), None)
        self.assertEqual((world.instance(A).nics[0].ip, reserved == taken), (reserved, False))

    def test_elsewhere(self) -> None:
        """Nodes that are named, other disks and NICs count instead of what was reserved."""
        world = reserved(nics=[{"mac": "aa:00:00:00:00:01"}])
        disks = [{"size": 16}, {"size": 32}]
        nics = [{"mac": "aa:00:00:00:00:02"}]
        ended = world.run(create(commit=True, pnode="node3", disks=disks, nics=nics))
        self.assertEqual(ended.result, ["node3.example.com"])
        self.assertEqual([d.size for d in world.instance(A).disks], [16, 32])
        self.assertEqual(complaints(world), [])
        self.assertNotIn(name_key("mac", "aa:00:00:00:00:01"), world.names)

    def test_fails(self) -> None:
        """One that cannot be made is forthcoming again, with all that it had."""
        world = reserved(nics=[{"mac": "aa:00:00:00:00:01"}])
        before = picture(world)
        world.faults = {world.steps + 1: "fails"}
        ended = world.run(create(commit=True, nics=[{"mac": "aa:00:00:00:00:02"}]))
        self.assertEqual(pair(ended), ["OpExecError", ["Node node2.example.com: a planted fault"]])
        self.assertEqual((picture(world), complaints(world)), (before, []))

    def test_refused(self) -> None:
        """What does not exist, or is real, is not committed."""
        world = World()
        self.assertEqual(
            pair(world.run(create(commit=True))),
            ["OpPrereqError", [f"Instance '{A}' not known", "unknown_entity"]],
        )
        world.run(create())
        self.assertEqual(
            pair(world.run(create(commit=True))),
            [
                "OpPrereqError",
                [f"Instance '{A}' is not forthcoming: nothing is to be committed", "wrong_state"],
            ],
        )
