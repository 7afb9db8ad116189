"""Disks that leave an instance as they are, and come to another one."""

from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from twisted.trial.unittest import SynchronousTestCase

from tests.unit.plan.programs import op
from tests.unit.plan.templates import A, B, disks_of, made, well, world_of, world_with
from tests.unit.plan.test_create import pair
from tests.unit.plan.test_exports import node
from tests.unit.plan.test_properties import FAULTS
from twisted_rapi.errors import StepFailed
from twisted_rapi.model.records import DetachedDiskRecord, InstanceRecord
from twisted_rapi.model.steps import (
    ActivateVolume,
    AttachDisk,
    CreateVolume,
    DeleteVolume,
    DetachDisk,
    DiskSpec,
)
from twisted_rapi.plan.disks import TEMPLATES
from twisted_rapi.plan.leftover import leftovers, work_of
from twisted_rapi.plan.stage import Do, InSequence
from twisted_rapi.testing.cluster import NODES
from twisted_rapi.testing.soundness import complaints, volumes_of
from twisted_rapi.testing.world import Ended, World

ONE, TWO, THREE = NODES
WITH_DISKS = [template for template in TEMPLATES if template != "diskless"]


def edit(world: World, *edits: list[Any], name: str = A, **more: Any) -> Ended:
    """The end of a change of disks."""
    return world.run(op("INSTANCE_SET_PARAMS", instance_name=name, disks=list(edits), **more))


def refusal(ended: Ended) -> list[Any]:
    """The error's parts."""
    found = pair(ended)
    assert found is not None
    return found


def only(world: World) -> DetachedDiskRecord:
    """The one detached disk there is."""
    [record] = world.detached.values()
    return record


def having(template: str, **more: Any) -> World:
    """A world with an instance at rest that has a disk, and one detached disk called ``d``."""
    count = 1 if template == "blockdev" else 2
    disks = [dict(disk) for disk in disks_of(template, count)]
    disks[0]["name"] = "d"
    world = world_with(template, start=False, disks=disks, **more)
    well(edit(world, ["detach", 0, {}]))
    return world


class DetachTests(SynchronousTestCase):
    """``detach``."""

    def test_stays(self) -> None:
        """Whatever its template: its volume is untouched, and it is a record of its own."""
        for template in WITH_DISKS:
            world = world_with(template, start=False)
            before, names = volumes_of(world), dict(world.names)
            [disk] = world.instance(A).disks
            ended = well(edit(world, ["detach", -1, {}]))
            self.assertEqual(ended.result, [("disk/0", "detach")])
            self.assertEqual((volumes_of(world), world.names), (before, names), template)
            record = only(world)
            expected = replace(disk, mtime=world.now, serial_no=disk.serial_no + 1)
            self.assertEqual((record.disk, record.instance, record.ctime), (expected, A, world.now))
            self.assertEqual(set(record.nodes), {ONE, TWO} if template == "drbd" else {ONE})
            self.assertEqual((world.instance(A).disks, complaints(world)), ((), []))
            self.assertEqual(world.instance(A).disk_template, template)

    def test_forms(self) -> None:
        """By index, by name and by uuid, and the last one in the older form."""
        for which in (["detach", 0, {}], ["detach", "d", {}], ["detach", {}]):
            world = world_with("file", start=False, disks=[{"size": 8, "name": "d"}])
            well(edit(world, which))
            self.assertEqual(only(world).disk.name, "d")
        world = world_with("file", start=False)
        well(edit(world, ["detach", world.instance(A).disks[0].uuid, {}]))

    def test_outlives_its_instance(self) -> None:
        """The removal of the instance, and of others of its name, leaves it."""
        for template in ("file", "drbd", "rbd"):
            world = having(template)
            record = only(world)
            well(world.run(op("INSTANCE_REMOVE", instance_name=A)))
            self.assertEqual((only(world), complaints(world)), (record, []))
            well(world.run(made(template, start=False)))
            well(world.run(op("INSTANCE_RENAME", instance_name=A, new_name="c.example.com")))
            well(world.run(op("INSTANCE_REMOVE", instance_name="c.example.com")))
            self.assertEqual((only(world), complaints(world)), (record, []))

    def test_running(self) -> None:
        """A running guest has to let go of it first: with hotplug, and only then."""
        world = world_with("file", disks=disks_of("file", 2))
        up = "Instance 'a.example.com' is marked to be up, cannot detach disks"
        self.assertEqual(refusal(edit(world, ["detach", 0, {}])), ["OpPrereqError", [up, "wrong_state"]])
        [kept, gone] = world.instance(A).disks
        well(edit(world, ["detach", 1, {}], hotplug=True))
        devices = node(world, "node1").domains[A].devices
        self.assertIn(kept.uuid[:20], devices)
        self.assertNotIn(gone.uuid[:20], devices)
        self.assertEqual((only(world).uuid, complaints(world)), (gone.uuid, []))

    def test_kept_by_guest(self) -> None:
        """One that the guest does not let go of stays its disk."""
        world = world_with("file")
        before = world.instance(A)
        node(world, "node1").faults = {DetachDisk: [StepFailed("it is in use", "hypervisor")]}
        self.assertIsNotNone(edit(world, ["detach", 0, {}], hotplug=True).error)
        self.assertEqual((world.instance(A), world.detached, complaints(world)), (before, {}, []))

    def test_let_go_of(self) -> None:
        """A mirrored one is not active on any node afterwards; a silent node lets go of it later."""
        for silent in (False, True):
            world = world_with("drbd", start=False)
            well(world.run(op("INSTANCE_ACTIVATE_DISKS", instance_name=A)))
            node(world, "node2").down = silent
            well(edit(world, ["detach", 0, {}]))
            self.assertEqual(len(world.leftovers), int(silent))
            world.settle()
            notes = world.nodes.shared.mirrored.values.values()
            self.assertEqual([note["active"] for note in notes if "active" in note], [False, False])

    def test_refused(self) -> None:
        """What cannot be detached."""
        world = world_with("file", start=False)
        cases: tuple[tuple[list[Any], list[str]], ...] = (
            (["detach", 3, {}], ["disk index 3 not found", "unknown_entity"]),
            (["detach", "e", {}], ["Cannot find disk with identifier e", "unknown_entity"]),
            (["detach", 0, {"name": "x"}], ["Detaching of a disk takes no values", "wrong_input"]),
        )
        for wanted, error in cases:
            self.assertEqual(refusal(edit(world, wanted)), ["OpPrereqError", error])
        new = "Disk 0 is new in this request, cannot detach it"
        got = edit(world, ["add", 0, {"size": 8}], ["detach", 0, {}])
        self.assertEqual(refusal(got), ["OpPrereqError", [new, "wrong_input"]])
        for action, doing in (("attach", "attached"), ("detach", "detached")):
            nic = world.run(op("INSTANCE_SET_PARAMS", instance_name=A, nics=[[action, -1, {}]]))
            text = f"A NIC cannot be {doing}: only disks can"
            self.assertEqual(refusal(nic), ["OpPrereqError", [text, "wrong_input"]])
        self.assertEqual(world.detached, {})


class AttachTests(SynchronousTestCase):
    """``attach``."""

    def test_comes_back(self) -> None:
        """To the same instance, at any place; all is as it was."""
        for template in WITH_DISKS:
            world = having(template)
            before, names, record = volumes_of(world), dict(world.names), only(world)
            ended = well(edit(world, ["attach", 0, {"uuid": record.uuid}]))
            self.assertEqual(ended.result, [("disk/0", f"attach:size={record.disk.size},mode=rw")])
            self.assertEqual((volumes_of(world), world.names, world.detached), (before, names, {}), template)
            disk = world.instance(A).disks[0]
            self.assertEqual((disk.uuid, disk.logical_id), (record.uuid, record.disk.logical_id))
            self.assertEqual(complaints(world), [])
            well(world.run(op("INSTANCE_STARTUP", instance_name=A)))

    def test_to_another(self) -> None:
        """To another instance of the template; it goes with that one then."""
        for template in WITH_DISKS:
            world = having(template)
            others = {} if template != "blockdev" else {"disks": [{"adopt": "/dev/disk/by-id/b"}]}
            if others:
                world.nodes.shared.shelves["blockdev"].write("manual//dev/disk/by-id/b", {"size": 512})
            well(world.run(made(template, B, start=False, **others)))
            well(edit(world, ["attach", {"name": "d"}], name=B))
            self.assertEqual((len(world.instance(B).disks), complaints(world)), (2, []))
            well(world.run(op("INSTANCE_STARTUP", instance_name=B)))
            for name in (A, B):
                well(world.run(op("INSTANCE_REMOVE", instance_name=name)))
            self.assertEqual((volumes_of(world), complaints(world)), ({}, []))

    def test_to_one_without_disks(self) -> None:
        """One that has none gets the disk's template, and its other node."""
        for template in WITH_DISKS:
            world = having(template)
            well(world.run(made("diskless", B, start=False)))
            well(edit(world, ["attach", {"name": "d"}], name=B))
            instance = world.instance(B)
            self.assertEqual(instance.disk_template, template)
            self.assertEqual(instance.secondary_nodes, (TWO,) if template == "drbd" else ())
            self.assertEqual(complaints(world), [])

    def test_shared_elsewhere(self) -> None:
        """What all nodes have can be attached on any of them."""
        for template in ("sharedfile", "rbd", "ext", "gluster"):
            world = having(template)
            well(world.run(made(template, B, start=False, pnode="node3")))
            well(edit(world, ["attach", {"name": "d"}], name=B))
            self.assertEqual(complaints(world), [])

    def test_running(self) -> None:
        """A running guest gets it at once with hotplug, else with its next start."""
        for template, hot in (("file", True), ("file", False), ("drbd", True), ("drbd", False)):
            world = having(template)
            well(world.run(made(template, B)))
            well(edit(world, ["attach", {"name": "d"}], name=B, hotplug=hot))
            devices = node(world, "node1").domains[B].devices
            self.assertEqual(world.instance(B).disks[1].uuid[:20] in devices, hot)
            self.assertEqual(complaints(world), [])

    def test_mirrored_follows(self) -> None:
        """Where the instance's disks are in use a mirrored one is in use, too."""
        world = having("drbd")
        well(world.run(op("INSTANCE_ACTIVATE_DISKS", instance_name=A)))
        well(edit(world, ["attach", {"name": "d"}]))
        found = world.run(op("INSTANCE_QUERY_DATA", instances=[A])).result[A]["disks"][-1]
        self.assertIsNotNone(found["pstatus"])

    def test_with_more(self) -> None:
        """One request may detach, attach, add and remove; a failure takes it back but for a serial number."""
        world = having("file")
        edits: list[list[Any]] = [["add", {"size": 16}], ["attach", 0, {"name": "d"}], ["detach", 1, {}]]
        loose = only(world)
        tried = replace(loose, disk=replace(loose.disk, serial_no=loose.disk.serial_no + 1))
        before = (world.instance(A), dict(world.names), volumes_of(world), tried)
        node(world, "node1").faults[CreateVolume] = [StepFailed("no", "storage")]
        self.assertIsNotNone(edit(world, *edits).error)
        self.assertEqual((world.instance(A), dict(world.names), volumes_of(world), only(world)), before)
        ended = well(edit(world, *edits))
        told = [value.partition(":")[0] for _, value in ended.result]
        self.assertEqual((told, complaints(world)), (["add", "attach", "detach"], []))
        self.assertEqual([disk.size for disk in world.instance(A).disks], [640, 16])

    def test_cannot_be_used(self) -> None:
        """Where it cannot be made usable it stays detached and free."""
        world = having("drbd")
        well(world.run(op("INSTANCE_ACTIVATE_DISKS", instance_name=A)))
        node(world, "node1").faults[ActivateVolume] = [StepFailed("no", "storage")]
        self.assertIsNotNone(edit(world, ["attach", {"name": "d"}]).error)
        self.assertEqual((only(world).pending, complaints(world)), (None, []))

    def test_plugged_later(self) -> None:
        """A guest that does not take it has it from its next start on."""
        world = having("file")
        well(world.run(made("file", B)))
        node(world, "node1").faults[AttachDisk] = [StepFailed("no", "hypervisor")]
        ended = well(edit(world, ["attach", {"name": "d"}], name=B, hotplug=True))
        self.assertIn("the next start has them", ended.log[-1])
        self.assertEqual(complaints(world), [])

    def test_refused(self) -> None:
        """What does not fit together."""
        one_of = "A disk that is to be attached is named either by its 'uuid' or by its 'name'"
        world = having("file")
        mine = world.instance(A).disks[0].uuid
        well(world.run(made("file", B, start=False, pnode="node3")))
        well(world.run(made("plain", "c.example.com", start=False)))
        places = "Disk nodes are node1.example.com while the instance's nodes are node3.example.com"
        cases: tuple[tuple[str, dict[str, Any], list[str]], ...] = (
            (A, {}, [one_of, "wrong_input"]),
            (A, {"name": "d", "uuid": "x"}, [one_of, "wrong_input"]),
            (A, {"uuid": 7}, [one_of, "wrong_input"]),
            (A, {"size": 8}, ["Unknown parameter 'size' of a disk that is to be attached", "wrong_input"]),
            (A, {"name": "e"}, ["No detached disk was found with this name: e", "unknown_entity"]),
            (A, {"uuid": "e"}, ["No detached disk was found with this uuid: e", "unknown_entity"]),
            (B, {"uuid": mine}, [f"Disk {mine} is already attached to instance {A}", "wrong_state"]),
            (B, {"name": "d"}, [places, "wrong_input"]),
            (
                "c.example.com",
                {"name": "d"},
                ["Instance has 'plain' template while disk has 'file' template", "wrong_input"],
            ),
        )
        for name, values, error in cases:
            got = edit(world, ["attach", -1, values], name=name)
            self.assertEqual(refusal(got), ["OpPrereqError", error])
        attach: list[Any] = ["attach", -1, {"name": "d"}]
        twice = f"Disk {only(world).uuid} is attached twice"
        self.assertEqual(refusal(edit(world, attach, attach)), ["OpPrereqError", [twice, "wrong_input"]])
        removed = "Disk 0 is new in this request, cannot remove it"
        got = edit(world, ["attach", 0, {"name": "d"}], ["remove", 0, {}])
        self.assertEqual(refusal(got), ["OpPrereqError", [removed, "wrong_input"]])

    def test_mirror_elsewhere(self) -> None:
        """A mirrored disk fits the same two nodes only, whichever is primary."""
        world = having("drbd")
        for name, primary, secondary in ((B, "node1", "node3"), ("c.example.com", "node2", "node1")):
            well(world.run(made("drbd", name, start=False, pnode=primary, snode=secondary)))
        self.assertEqual(refusal(edit(world, ["attach", {"name": "d"}], name=B))[0], "OpPrereqError")
        well(edit(world, ["attach", {"name": "d"}], name="c.example.com"))
        well(world.run(op("INSTANCE_STARTUP", instance_name="c.example.com")))
        self.assertEqual(complaints(world), [])

    def test_not_there(self) -> None:
        """A disk that its node has lost, or has in another size, is not attached."""
        for size in (None, 1):
            world = having("file")
            [path] = [p for p in node(world, "node1").volumes if only(world).uuid in p]
            del node(world, "node1").volumes[path]
            if size is not None:
                node(world, "node1").volumes[path] = size
            self.assertEqual(refusal(edit(world, ["attach", {"name": "d"}]))[1][1], "wrong_state")
            self.assertEqual(only(world).pending, None)

    def test_several_of_a_name(self) -> None:
        """Of two of one name neither is meant."""
        world = world_with("file", start=False, disks=[{"size": 8, "name": "d"}])
        well(world.run(made("file", B, start=False, disks=[{"size": 8, "name": "d"}])))
        for name in (A, B):
            well(edit(world, ["detach", 0, {}], name=name))
        error = ["There are several detached disks with the name d", "resource_not_unique"]
        self.assertEqual(refusal(edit(world, ["attach", {"name": "d"}])), ["OpPrereqError", error])

    def test_another_job(self) -> None:
        """One that a job is about to use is not for others."""
        world = having("file")
        world.put(replace(only(world), pending=7))
        error = [f"Disk {only(world).uuid} is about to be used by job 7", "wrong_state"]
        self.assertEqual(refusal(edit(world, ["attach", {"name": "d"}])), ["OpPrereqError", error])
        removal = world.run(op("DISK_REMOVE", disk_uuid=only(world).uuid))
        self.assertEqual(refusal(removal), ["OpPrereqError", error])

    def test_policy(self) -> None:
        """The instance with the disk has to meet its group's policy, and the template has to be enabled."""
        world = having("file")
        well(world.run(made("diskless", B, start=False)))
        world.put(replace(world.cluster, enabled_disk_templates=("diskless",)))
        error = refusal(edit(world, ["attach", {"name": "d"}], name=B))
        self.assertIn("is not enabled in cluster", error[1][0])
        policy = {**world.cluster.ipolicy, "disk-templates": ["plain"]}
        world.put(replace(world.cluster, ipolicy=policy))
        self.assertEqual(refusal(edit(world, ["attach", {"name": "d"}]))[0], "OpPrereqError")
        well(edit(world, ["attach", {"name": "d"}], ignore_ipolicy=True))


class ElsewhereTests(SynchronousTestCase):
    """What else knows of detached disks."""

    def test_removed(self) -> None:
        """It goes with its volumes and what it had to itself; a device stays."""
        for template in WITH_DISKS:
            world = having(template)
            before, ours = volumes_of(world), only(world).uuid
            well(world.run(op("DISK_REMOVE", disk_uuid=ours)))
            self.assertEqual((world.detached, complaints(world)), ({}, []), template)
            if template != "blockdev":
                self.assertLess(len(volumes_of(world)), len(before))
            self.assertEqual(len(world.nodes.shared.shelves["blockdev"].values), 1)
            well(world.run(op("INSTANCE_REMOVE", instance_name=A)))
            self.assertEqual((volumes_of(world), complaints(world)), ({}, []))

    def test_removal_refused(self) -> None:
        """One that is unknown or attached cannot be removed so."""
        world = world_with("file", start=False)
        mine = world.instance(A).disks[0].uuid
        for uuid, code in ((mine, "wrong_state"), ("nosuch", "unknown_entity")):
            got = refusal(world.run(op("DISK_REMOVE", disk_uuid=uuid)))
            self.assertEqual((got[0], got[1][1]), ("OpPrereqError", code))

    def test_removal_elsewhere(self) -> None:
        """What all nodes have is removed by any of them; with none that answers it stays."""
        world = having("sharedfile")
        node(world, "node1").down = True
        for silent in (node(world, "node2"), node(world, "node3")):
            silent.down = True
        error = ["No node that answers keeps sharedfile disks", "environment_error"]
        removal = op("DISK_REMOVE", disk_uuid=only(world).uuid)
        self.assertEqual(refusal(world.run(removal)), ["OpPrereqError", error])
        node(world, "node3").down = False
        well(world.run(removal))
        self.assertEqual((world.detached, world.leftovers, complaints(world)), ({}, {}, []))

    def test_nodes(self) -> None:
        """A node with a detached disk is not removed, and goes on being one that can keep it."""
        world = having("drbd")
        uuid = only(world).uuid
        well(world.run(op("INSTANCE_REMOVE", instance_name=A)))
        text = f"Node node2.example.com has detached disks, which have to go first: {uuid}"
        got = world.run(op("NODE_REMOVE", node_name="node2"))
        self.assertEqual(refusal(got), ["OpPrereqError", [text, "wrong_input"]])
        got = world.run(op("NODE_SET_PARAMS", node_name="node2", vm_capable=False))
        self.assertEqual(refusal(got)[1][1], "wrong_state")
        well(world.run(op("DISK_REMOVE", disk_uuid=uuid)))
        well(world.run(op("NODE_SET_PARAMS", node_name="node2", vm_capable=False)))

    def test_cluster(self) -> None:
        """LVM stays while a detached disk is in it."""
        world = having("plain")
        well(world.run(op("INSTANCE_REMOVE", instance_name=A)))
        got = world.run(op("CLUSTER_SET_PARAMS", vg_name="", enabled_disk_templates=["file", "diskless"]))
        self.assertIn(only(world).uuid, refusal(got)[1][0])

    def test_minors_and_ports(self) -> None:
        """Those of a detached disk are not given to others."""
        world = having("drbd")
        before = only(world).disk.logical_id
        for name in (B, "c.example.com"):
            well(world.run(made("drbd", name, start=False, disks=disks_of("drbd", 3))))
            for disk in world.instance(name).disks:
                self.assertNotEqual(disk.logical_id[2], before[2])
                self.assertNotEqual(disk.logical_id[3], before[3])

    def test_verify(self) -> None:
        """It is told of, and when its volume is missing that is an error."""
        world = having("file")
        ended = well(world.run(op("CLUSTER_VERIFY_CONFIG")))
        told = (
            f"disk {only(world).uuid} (d), file, 640 MiB, belongs to no instance since it was detached from"
        )
        self.assertTrue(ended.result)
        self.assertIn(f"  - NOTICE: {told} {A}", ended.log)
        group = op("CLUSTER_VERIFY_GROUP", group_name="default", error_codes=True)
        self.assertTrue(well(world.run(group)).result)
        node(world, "node1").volumes.clear()
        ended = well(world.run(group))
        self.assertFalse(ended.result)
        lost = f"ERROR:EINSTANCEMISSINGDISK:disk:{only(world).uuid}:it is missing on node1.example.com"
        self.assertIn(f"  - {lost}", ended.log)

    def test_leftovers(self) -> None:
        """What was left to remove is not removed when it is a detached disk by now."""
        world = having("file")
        record = only(world)
        address = record.disk.logical_id
        disk = DiskSpec(uuid=record.uuid, index=0, template="file", size=640, logical_id=address)
        step = DeleteVolume(instance=A, disk=disk)
        [left] = leftovers([Do(ONE, step)], [], "why")
        instances = world.of(InstanceRecord)
        nothing, all_of_it = InSequence(), InSequence((Do(ONE, step),))
        self.assertEqual(work_of(left, instances, world.detached), nothing)
        self.assertEqual(work_of(left, instances, {}), all_of_it)
        elsewhere = replace(left, node=THREE)
        self.assertEqual(work_of(elsewhere, instances, world.detached), InSequence((Do(THREE, step),)))

    @example("drbd", ["detach", "attach", "remove"], set(), {25: "fails late"})
    @settings(max_examples=100, deadline=None)
    @given(
        st.sampled_from(["file", "plain", "drbd", "sharedfile", "ext"]),
        st.lists(st.sampled_from(["detach", "attach", "to the other", "both", "remove"]), max_size=5),
        st.sets(st.integers(5, 80), max_size=3),
        st.dictionaries(st.integers(3, 30), st.sampled_from(FAULTS), max_size=2),
    )
    def test_sound(self, template: str, program: list[str], crashes: set[int], planted: Any) -> None:
        """With masters dying and steps failing no disk is lost, doubled or kept from everybody."""
        world = world_of()
        world.crashes, world.faults = crashes, planted
        for name in (A, B):
            world.run(made(template, name, start=False, disks=disks_of(template, 2)))
        for job, word in enumerate(program, 3):
            loose = sorted(world.detached)
            attach = [["attach", -1, {"uuid": uuid}] for uuid in loose[:1]]
            edits: dict[str, tuple[str, list[Any]]] = {
                "detach": (A, [["detach", 0, {}]]),
                "attach": (A, attach),
                "to the other": (B, attach),
                "both": (
                    A,
                    [["add", {"size": 64, "provider": "p"} if template == "ext" else {"size": 64}], *attach],
                ),
            }
            if word == "remove":
                world.run(op("DISK_REMOVE", disk_uuid=loose[0] if loose else "none"), job)
            else:
                name, wanted = edits[word]
                world.run(op("INSTANCE_SET_PARAMS", instance_name=name, disks=wanted), job)
            self.assertEqual(complaints(world), [])
        world.settle()
        self.assertEqual((complaints(world), world.leftovers), ([], {}))
