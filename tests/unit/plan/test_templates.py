"""Tests of instances of every disk template, from creation to removal (texts as observed)."""

from typing import Any

from msgspec.structs import replace
from twisted.trial.unittest import SynchronousTestCase

from tests.unit.plan.programs import op
from tests.unit.plan.templates import DEVICE, A, B, disks_of, made, well, world_of, world_with
from tests.unit.plan.test_create import pair
from twisted_rapi.errors import StepFailed
from twisted_rapi.model.records import name_key
from twisted_rapi.model.steps import AwaitSync, CreateVolume, DeactivateVolume, RunOs, StartDomain
from twisted_rapi.plan.disks import TEMPLATES
from twisted_rapi.testing.cluster import NODES
from twisted_rapi.testing.soundness import complaints, volumes_of
from twisted_rapi.testing.world import World

ONE, TWO, THREE = NODES


def info(world: World, name: str = A) -> dict[str, Any]:
    """What `/info` tells of the instance's first disk."""
    found: dict[str, Any] = well(world.run(op("INSTANCE_QUERY_DATA", instances=[name]))).result[name][
        "disks"
    ][0]
    return found


class EveryTemplateTests(SynchronousTestCase):
    """What holds for all."""

    def test_life(self) -> None:
        """An instance is made, stopped, started, reinstalled, renamed and removed without a trace."""
        for template in TEMPLATES:
            world = world_of()
            empty = (dict(world.names), volumes_of(world))
            well(world.run(made(template)))
            self.assertEqual(complaints(world), [], template)
            for what, more in (
                ("SHUTDOWN", {}),
                ("STARTUP", {}),
                ("REBOOT", {"reboot_type": "hard"}),
                ("SHUTDOWN", {}),
                ("ACTIVATE_DISKS", {}),
                ("DEACTIVATE_DISKS", {}),
                ("RENAME", {"new_name": B}),
                ("RENAME", {"new_name": A}),
                ("STARTUP", {}),
            ):
                name = B if more == {"new_name": A} else A
                well(world.run(op(f"INSTANCE_{what}", instance_name=name, **more)))
                self.assertEqual(complaints(world), [], (template, what))
            if template != "diskless":
                well(world.run(op("INSTANCE_SHUTDOWN", instance_name=A)))
                well(world.run(op("INSTANCE_REINSTALL", instance_name=A)))
            well(world.run(op("INSTANCE_REMOVE", instance_name=A)))
            self.assertEqual((dict(world.names), volumes_of(world)), empty, template)

    def test_addresses(self) -> None:
        """Addresses are laid out as the field's."""
        forms = {
            "plain": ["xenvg", "{0}.disk0"],
            "rbd": ["rbd", "{0}.rbd.disk0"],
            "ext": ["pvdr", "{0}.ext.disk0"],
            "blockdev": ["manual", DEVICE],
            "file": ["loop", f"/files/{A}/{{0}}.file.disk0"],
            "sharedfile": ["loop", f"/shared/{A}/{{0}}.sharedfile.disk0"],
            "gluster": ["loop", "ganeti/{0}.0"],
        }
        for template, form in forms.items():
            [disk] = world_with(template).instance(A).disks
            self.assertEqual(list(disk.logical_id), [part.format(disk.uuid) for part in form])
            self.assertEqual((disk.dev_type, disk.children), (template, ()))

    def test_space(self) -> None:
        """What disks take is free again after them; shared storage takes nothing of the node."""
        for template, taken in (("plain", 640), ("drbd", 768), ("rbd", 0), ("file", 640), ("ext", 0)):
            world = world_with(template)
            nodes = world.nodes.nodes
            self.assertEqual(1048576 - nodes[ONE].report().disk_free, taken, template)
            self.assertEqual(1048576 - nodes[TWO].report().disk_free, taken if template == "drbd" else 0)
            well(world.run(op("INSTANCE_REMOVE", instance_name=A)))
            self.assertEqual({n.report().disk_free for n in nodes.values()}, {1048576})

    def test_failed(self) -> None:
        """When a disk cannot be made, or its OS not be installed, nothing is left."""
        for template in TEMPLATES[1:]:
            for step in (CreateVolume, RunOs):
                world = world_of()
                empty = (dict(world.names), volumes_of(world))
                world.nodes.nodes[ONE].faults[step] = [StepFailed("no", "storage")]
                ended = world.run(made(template))
                self.assertEqual(pair(ended), ["OpExecError", ["Node node1.example.com: no"]], template)
                self.assertEqual((dict(world.names), volumes_of(world)), empty, template)


class RefusedTests(SynchronousTestCase):
    """What cannot be made."""

    def refused(self, world: World, operation: Any) -> Any:
        """The error, after which all is as it was."""
        before = (dict(world.names), volumes_of(world), dict(world.records))
        ended = world.run(operation)
        self.assertEqual((dict(world.names), volumes_of(world), dict(world.records)), before)
        return pair(ended)

    def test_disks(self) -> None:
        """Disks that are described wrongly are refused with what is wrong."""
        adopt = "Disk adoption is not supported for the '{}' disk template"
        for template, disk, text in (
            ("plain", {}, "Missing disk size"),
            ("plain", {"size": 1, "vg": "a/b"}, "Invalid disk parameter 'vg': 'a/b'"),
            ("plain", {"size": 1, "what": 1}, "Unknown disk parameter 'what'"),
            ("plain", {"size": 1, "spindles": 0}, "Invalid number of spindles 0"),
            ("drbd", {"size": 1, "metavg": ".."}, "Invalid disk parameter 'metavg': '..'"),
            ("drbd", {"size": 1, "adopt": "x"}, adopt.format("drbd")),
            ("rbd", {"size": 1, "adopt": "x"}, adopt.format("rbd")),
            (
                "rbd",
                {"size": 1, "access": "x"},
                "Invalid disk access mode 'x' (expected: kernelspace, userspace)",
            ),
            ("ext", {"size": 1}, "Disks of the template 'ext' need the parameter 'provider'"),
            (
                "file",
                {"size": 1, "provider": "x"},
                "The 'provider' option is only valid for the ext disk template, not file",
            ),
            (
                "blockdev",
                {"size": 1},
                "Disk template blockdev requires disk adoption, but no 'adopt' parameter given",
            ),
            (
                "blockdev",
                {"adopt": "/etc/x"},
                "Device node(s) '/etc/x' lie outside /dev and cannot be adopted",
            ),
            ("blockdev", {"adopt": "/dev/x"}, "Missing block device(s) for adoption: /dev/x"),
            ("plain", {"adopt": "x"}, "Missing logical volume(s) for adoption: x"),
        ):
            error = self.refused(world_of(), made(template, disks=[disk]))
            self.assertEqual(error, ["OpPrereqError", [text, "wrong_input"]])

    def test_adoption(self) -> None:
        """All disks are adopted or none, on a node that is named, and none twice."""
        both = [{"adopt": "x"}, {"size": 1}]
        cases: tuple[tuple[Any, dict[str, Any], str], ...] = (
            (both, {}, "Either all disks are adopted or none is"),
            ([{"adopt": "x"}] * 2, {}, "Duplicate volume names given for adoption"),
            ([{"adopt": "x"}], {"pnode": None}, "Disk adoption not allowed with an iallocator script"),
        )
        for disks, more, text in cases:
            error = self.refused(world_of(), made("plain", disks=disks, **more))
            self.assertEqual(error, ["OpPrereqError", [text, "wrong_input"]])

    def test_nodes(self) -> None:
        """A mirrored instance needs two nodes that differ."""
        for snode, text in (
            (None, "The networked disk templates need a mirror node"),
            ("node1", "The secondary node cannot be the primary node"),
        ):
            error = self.refused(world_of(), made("drbd", snode=snode))
            self.assertEqual(error, ["OpPrereqError", [text, "wrong_input"]])

    def test_second_node(self) -> None:
        """The secondary node is looked at as the primary one is."""
        for values, error in (
            ({"offline": True}, ["Node 'node2.example.com' is marked offline", "wrong_state"]),
            ({"drained": True}, ["Cannot use drained secondary node 'node2.example.com'", "wrong_state"]),
            (
                {"vm_capable": False},
                ["Cannot use non-vm_capable secondary node 'node2.example.com'", "wrong_state"],
            ),
        ):
            world = world_of()
            world.put(replace(world.view().node("node2"), **values))
            self.assertEqual(self.refused(world, made("drbd")), ["OpPrereqError", error])

    def test_no_room(self) -> None:
        """Both nodes of a mirrored disk need room for it and its metadata."""
        world = world_of()
        world.nodes.nodes[TWO].shelf.write("xenvg/big", {"size": 1048576 - 700})
        text = (
            "Not enough disk space on target node node2.example.com vg xenvg: "
            "required 768 MiB, available 700 MiB"
        )
        error = ["OpPrereqError", [text, "insufficient_resources"]]
        self.assertEqual(self.refused(world, made("drbd")), error)

    def test_no_group(self) -> None:
        """A volume group has to be there, and the cluster to have one at all."""
        text = "Node 'node1.example.com' has no volume group nosuch"
        error = self.refused(world_of(), made("plain", disks=[{"size": 1, "vg": "nosuch"}]))
        self.assertEqual(error, ["OpPrereqError", [text, "environment_error"]])
        text = "Cluster does not support lvm-based instances"
        for template in ("plain", "drbd"):
            error = self.refused(world_of(volume_group_name=""), made(template))
            self.assertEqual(error, ["OpPrereqError", [text, "wrong_state"]])

    def test_device_twice(self) -> None:
        """A device is one instance's only."""
        world = world_with("blockdev")
        error = self.refused(world, made("blockdev", name=B))
        self.assertEqual(error[1][1], "wrong_state")


class PlainTests(SynchronousTestCase):
    """Logical volumes."""

    def test_group(self) -> None:
        """The group may be chosen; disk parameters of cluster and group reach the node."""
        world = world_of(diskparams={"plain": {"stripes": 2}})
        well(world.run(made("plain", disks=[{"size": 64, "vg": "othervg", "spindles": 2}])))
        [disk] = world.instance(A).disks
        self.assertEqual((disk.logical_id[0], disk.spindles), ("othervg", 2))
        [step] = [s for s in world.nodes.nodes[ONE].done if isinstance(s, CreateVolume)]
        self.assertEqual(step.disk.params, {"stripes": 2})

    def test_adopted(self) -> None:
        """An adopted volume has its size and a new name, and goes with the instance."""
        world = world_of()
        shelf = world.nodes.nodes[ONE].shelf
        shelf.write("xenvg/old", {"size": 333})
        well(world.run(made("plain", disks=[{"adopt": "old"}])))
        [disk] = world.instance(A).disks
        self.assertEqual((disk.size, shelf.names()), (333, [f"xenvg/{disk.uuid}.disk0"]))
        self.assertEqual(complaints(world), [])

    def test_adopted_back(self) -> None:
        """When the installation fails an adopted volume has its name again."""
        world = world_of()
        fake = world.nodes.nodes[ONE]
        fake.shelf.write("xenvg/old", {"size": 333})
        fake.faults[RunOs] = [StepFailed("no", "os")]
        self.assertIsNotNone(world.run(made("plain", disks=[{"adopt": "old"}])).error)
        self.assertEqual(fake.shelf.values, {"xenvg/old": {"size": 333}})

    def test_snode_ignored(self) -> None:
        """A secondary node is ignored, and that is told."""
        world = world_of()
        ended = well(world.run(made("plain", snode="node2")))
        text = " - WARNING: Secondary node will be ignored on non-mirrored disk template 'plain'"
        self.assertEqual(ended.log[0], text)
        self.assertEqual((ended.result, world.instance(A).secondary_nodes), (["node1.example.com"], ()))


class DrbdTests(SynchronousTestCase):
    """Mirrored disks."""

    def test_record(self) -> None:
        """Port, minors and secret are its own and reserved; data and metadata are volumes of both nodes."""
        world = world_with("drbd", disks=disks_of("drbd", 2))
        instance = world.instance(A)
        self.assertEqual((instance.primary_node, instance.secondary_nodes), (ONE, (TWO,)))
        first, second = instance.disks
        self.assertEqual(first.logical_id[:2], (ONE, TWO))
        self.assertEqual([d.logical_id[3:5] for d in (first, second)], [(0, 0), (1, 1)])
        ports = {d.logical_id[2] for d in (first, second)}
        self.assertEqual((len(ports), ports & set(range(11000, 15000))), (2, ports))
        self.assertRegex(first.logical_id[5], r"\A[0-9a-f]{40}\Z")
        self.assertEqual(
            [(c.dev_type, c.size, tuple(c.logical_id)) for c in first.children],
            [
                ("plain", 640, ("xenvg", f"{first.uuid}.disk0_data")),
                ("plain", 128, ("xenvg", f"{first.uuid}.disk0_meta")),
            ],
        )
        for disk in instance.disks:
            for key in (
                name_key("port", str(disk.logical_id[2])),
                name_key(f"minor/{ONE}", str(disk.logical_id[3])),
                name_key(f"minor/{TWO}", str(disk.logical_id[4])),
                name_key("secret", disk.logical_id[5]),
            ):
                self.assertEqual(world.names[key], instance.uuid)

    def test_waits(self) -> None:
        """Creation waits until the disks are filled, and tells how far they are."""
        world = world_of()
        ended = well(world.run(made("drbd", disks=[{"size": 9000}])))
        begun = ended.log.index("adding disks to cluster config") + 1
        self.assertEqual(
            ended.log[begun:],
            [
                f" - INFO: Waiting for instance {A} to sync disks",
                " - INFO: - device disk/0: 40.00% done, 1m 30s remaining (estimated)",
                " - INFO: - device disk/0: 80.00% done, 30s remaining (estimated)",
                f" - INFO: Instance {A}'s disks are in sync",
                f" - INFO: Waiting for instance {A} to sync disks",
                f" - INFO: Instance {A}'s disks are in sync",
                "* running the instance OS create scripts...",
                "* starting instance...",
            ],
        )
        self.assertEqual(ended.result, ["node1.example.com", "node2.example.com"])

    def test_does_not_wait(self) -> None:
        """Without waiting the instance runs while its disks are filled."""
        world = world_of()
        well(world.run(made("drbd", disks=[{"size": 9000}], wait_for_sync=False)))
        self.assertEqual(info(world)["pstatus"][3:], [0.0, 150, True, 1])
        self.assertEqual(info(world)["sstatus"][3:], [0.0, 150, True, 2])
        world.nodes.shared.time += 75
        self.assertEqual(info(world)["pstatus"][3:], [50.0, 75, True, 1])
        world.nodes.shared.time += 75
        self.assertEqual(info(world)["pstatus"][3:], [None, None, False, 1])

    def test_rate(self) -> None:
        """How fast disks are filled is a parameter of the cluster."""
        world = world_of(diskparams={"drbd": {"resync-rate": 1024}})
        well(world.run(made("drbd", disks=[{"size": 100}], wait_for_sync=False)))
        self.assertEqual(info(world)["pstatus"][4], 100)

    def test_info(self) -> None:
        """Addresses, devices and children are told as the field does, the secret is not."""
        world = world_with("drbd")
        [disk] = world.instance(A).disks
        found = info(world)
        self.assertEqual(found["logical_id"], [*disk.logical_id[:5], None])
        self.assertEqual(
            found["drbd_info"],
            {
                "primary_node": "node1.example.com",
                "primary_minor": 0,
                "secondary_node": "node2.example.com",
                "secondary_minor": 0,
                "port": disk.logical_id[2],
            },
        )
        whole = ["/dev/drbd0", 147, 0, None, None, False, 1]
        self.assertEqual((found["pstatus"], found["sstatus"]), (whole, whole))
        data, meta = found["children"]
        path = f"/dev/xenvg/{disk.uuid}.disk0_data"
        self.assertEqual((data["size"], meta["size"], data["iv_name"]), (640, 128, ""))
        self.assertEqual((data["pstatus"][0], data["sstatus"][0]), (path, path))
        self.assertEqual(data["pstatus"][3:], [None, None, False, 1])

    def test_degraded(self) -> None:
        """Without the other side a disk is degraded; at rest it has no state."""
        world = world_with("drbd")
        world.put(replace(world.view().node("node2"), offline=True))
        world.nodes.nodes[TWO].down = True
        found = info(world)
        self.assertEqual((found["pstatus"][5:], found["sstatus"]), ([False, 1], None))
        well(world.run(op("INSTANCE_SHUTDOWN", instance_name=A)))
        self.assertIsNone(info(world)["pstatus"])

    def test_other_side_offline(self) -> None:
        """An instance starts without a secondary node that is marked offline, and says so."""
        world = world_with("drbd")
        well(world.run(op("INSTANCE_SHUTDOWN", instance_name=A)))
        world.put(replace(world.view().node("node2"), offline=True))
        world.nodes.nodes[TWO].down = True
        ended = well(world.run(op("INSTANCE_STARTUP", instance_name=A)))
        self.assertEqual(ended.log, [" - WARNING: Node node2.example.com is offline: disks are degraded"])
        self.assertEqual(info(world)["pstatus"][5:], [True, 1])

    def test_other_side_silent(self) -> None:
        """A secondary node that does not answer keeps an instance from starting, unless that is forced."""
        world = world_with("drbd")
        well(world.run(op("INSTANCE_SHUTDOWN", instance_name=A)))
        world.nodes.nodes[TWO].down = True
        self.assertIsNotNone(world.run(op("INSTANCE_STARTUP", instance_name=A)).error)
        well(world.run(op("INSTANCE_STARTUP", instance_name=A, force=True)))
        self.assertIn(A, world.nodes.nodes[ONE].domains)

    def test_released(self) -> None:
        """Both sides let go when the instance stops, and the primary one is attached last."""
        world = world_with("drbd")
        well(world.run(op("INSTANCE_SHUTDOWN", instance_name=A)))
        for node in (ONE, TWO):
            self.assertIsInstance(world.nodes.nodes[node].done[-1], DeactivateVolume)
        well(world.run(op("INSTANCE_STARTUP", instance_name=A)))
        self.assertIsInstance(world.nodes.nodes[ONE].done[-1], StartDomain)
        self.assertEqual(info(world)["pstatus"][3:], [None, None, False, 1])

    def test_chosen(self) -> None:
        """Without nodes, two are chosen."""
        world = world_of()
        ended = well(world.run(made("drbd", pnode=None, snode=None)))
        self.assertEqual(len(set(ended.result)), 2)
        self.assertIn(", ".join(ended.result), ended.log[0])
        self.assertEqual(complaints(world), [])

    def test_metadata_group(self) -> None:
        """Metadata is where the disk, else the group's or cluster's parameters say."""
        world = world_of(diskparams={"drbd": {"metavg": "othervg", "data-stripes": 3}})
        well(world.run(made("drbd", disks=[{"size": 10}, {"size": 10, "metavg": "xenvg"}])))
        groups = [disk.children[1].logical_id[0] for disk in world.instance(A).disks]
        self.assertEqual(groups, ["othervg", "xenvg"])
        step = next(s for s in world.nodes.nodes[TWO].done if isinstance(s, CreateVolume))
        self.assertEqual([c.params for c in step.disk.children], [{"stripes": 3}, {"stripes": 1}])

    def test_activated(self) -> None:
        """Activation attaches both sides, tells the primary's paths and may wait."""
        world = world_with("drbd", start=False, disks=disks_of("drbd", 2))
        well(world.run(op("INSTANCE_DEACTIVATE_DISKS", instance_name=A)))
        ended = well(world.run(op("INSTANCE_ACTIVATE_DISKS", instance_name=A, wait_for_sync=True)))
        name = "node1.example.com"
        self.assertEqual(ended.result, [[name, "disk/0", "/dev/drbd0"], [name, "disk/1", "/dev/drbd1"]])
        self.assertIsInstance(world.nodes.nodes[ONE].done[-1], AwaitSync)

    def test_added(self) -> None:
        """Disks are added on both nodes, filled, and taken away again with all they had."""
        for start in (True, False):
            world = world_with("drbd", start=start)
            before = (dict(world.names), volumes_of(world))
            add = op("INSTANCE_SET_PARAMS", instance_name=A, disks=[["add", {"size": 64}]])
            self.assertEqual(well(world.run(add)).result, [("disk/1", "add:size=64,mode=rw")])
            self.assertEqual(complaints(world), [])
            if start:
                well(world.run(op("INSTANCE_SHUTDOWN", instance_name=A)))
            well(world.run(op("INSTANCE_SET_PARAMS", instance_name=A, disks=[["remove", -1, {}]])))
            self.assertEqual((dict(world.names), volumes_of(world).keys()), (before[0], before[1].keys()))

    def test_removed_secondary_offline(self) -> None:
        """A secondary node that is marked offline hinders nobody; what it keeps is removed later."""
        world = world_with("drbd")
        world.nodes.nodes[TWO].down = True
        world.put(replace(world.view().node("node2"), offline=True))
        ended = well(world.run(op("INSTANCE_REMOVE", instance_name=A)))
        self.assertIn("work is left for node node2.example.com", ended.log[-1])
        world.settle()
        self.assertEqual(volumes_of(world), {})

    def test_removed_without_secondary(self) -> None:
        """Removal fails while a node is silent, or leaves what is there for later."""
        world = world_with("drbd")
        world.nodes.nodes[TWO].down = True
        self.assertIsNotNone(world.run(op("INSTANCE_REMOVE", instance_name=A)).error)
        well(world.run(op("INSTANCE_REMOVE", instance_name=A, ignore_failures=True)))
        self.assertEqual((len(world.leftovers), complaints(world)), (1, []))
        world.settle()
        self.assertEqual(volumes_of(world), {})
