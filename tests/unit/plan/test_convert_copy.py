"""Tests of conversions between disk templates that copy the data."""

from itertools import permutations
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from twisted.trial.unittest import SynchronousTestCase

from tests.unit.plan.programs import op
from tests.unit.plan.templates import A, disks_of, made, well, world_of, world_with
from tests.unit.plan.test_convert import convert
from tests.unit.plan.test_create import pair
from tests.unit.plan.test_exports import node
from tests.unit.plan.test_properties import FAULTS
from twisted_rapi.errors import StepFailed
from twisted_rapi.model.steps import DeleteVolume, OpenStream, SendStream, Step, VolumeEnd
from twisted_rapi.plan.disks import FILE_TEMPLATES, TEMPLATES
from twisted_rapi.testing.soundness import complaints, volumes_of
from twisted_rapi.testing.world import Ended, World

COPYABLE = [template for template in TEMPLATES if template not in ("blockdev", "diskless")]
PROVIDER = {"provider": "pvdr", "kind": "slow"}


def converted(world: World, template: str, **more: Any) -> Ended:
    """The end of a conversion, with what the template needs."""
    needs: dict[str, dict[str, Any]] = {"drbd": {"remote_node": "node2"}, "ext": {"ext_params": PROVIDER}}
    return convert(world, template, **{**needs.get(template, {}), **more})


def copies(steps: list[Step]) -> list[tuple[Any, Any]]:
    """Which address was copied to which."""
    into = {
        s.token: s.into.disk for s in steps if isinstance(s, OpenStream) and isinstance(s.into, VolumeEnd)
    }
    return [
        (tuple(s.source.disk.logical_id), tuple(into[s.token].logical_id))
        for s in steps
        if isinstance(s, SendStream) and isinstance(s.source, VolumeEnd)
    ]


class CopyTests(SynchronousTestCase):
    """From every template to every other."""

    def test_every_pair(self) -> None:
        """
        Disks keep their uuids, names, modes and sizes; each is copied to its new address, and nothing of the
        old ones is left.
        """
        for had, wanted in permutations(COPYABLE, 2):
            disks: list[dict[str, Any]] = [dict(disk) for disk in disks_of(had, 2)]
            disks[1].update(name="data", mode="ro", size=128)
            world = world_with(had, start=False, disks=disks)
            before = world.instance(A)
            ended = well(converted(world, wanted))
            self.assertEqual(ended.result, [("disk_template", wanted)])
            self.assertEqual((complaints(world), world.leftovers, ended.unlocked), ([], {}, set()))
            after = world.instance(A)
            self.assertEqual(after.disk_template, wanted)
            self.assertEqual(after.secondary_nodes != (), wanted == "drbd")
            kept = ("uuid", "name", "mode", "size", "ctime")
            for old, new in zip(before.disks, after.disks, strict=True):
                self.assertEqual([getattr(old, k) for k in kept], [getattr(new, k) for k in kept])
                self.assertEqual((new.dev_type, new.serial_no), (wanted, old.serial_no + 1))
            if {had, wanted} != {"plain", "drbd"}:
                pairs = zip(before.disks, after.disks, strict=True)
                wanted_copies = [(tuple(old.logical_id), tuple(new.logical_id)) for old, new in pairs]
                self.assertEqual(copies(node(world, "node1").done), wanted_copies)
            well(world.run(op("INSTANCE_STARTUP", instance_name=A)))
            well(world.run(op("INSTANCE_REMOVE", instance_name=A)))
            self.assertEqual(volumes_of(world), {}, (had, wanted))

    def test_old_ones_stay(self) -> None:
        """No old disk is removed before all are copied and the record says so."""
        world = world_with("file", start=False, disks=disks_of("file", 2))
        old = {disk.logical_id[1] for disk in world.instance(A).disks}
        world.meanwhile["noted"] = lambda: self.assertLessEqual(old, set(node(world, "node1").volumes))
        well(converted(world, "plain"))
        done = node(world, "node1").done
        last_copy = max(n for n, step in enumerate(done) if isinstance(step, SendStream))
        first_removal = min(n for n, step in enumerate(done) if isinstance(step, DeleteVolume))
        self.assertLess(last_copy, first_removal)
        self.assertEqual(world.meanwhile, {})

    def test_provider(self) -> None:
        """Disks of a provider have its parameters, which others lose."""
        world = world_with("file", start=False)
        well(converted(world, "ext"))
        [disk] = world.instance(A).disks
        self.assertEqual((disk.logical_id[0], disk.params), ("pvdr", {"kind": "slow"}))
        well(converted(world, "rbd"))
        self.assertEqual(world.instance(A).disks[0].params, {})

    def test_folder(self) -> None:
        """Files are below the folder that is given."""
        world = world_with("plain", start=False)
        well(converted(world, "file", file_storage_dir="some/where", file_driver="loop"))
        base = world.cluster.file_storage_dir
        self.assertIn(f"{base}/some/where/{A}/", world.instance(A).disks[0].logical_id[1])
        self.assertEqual(complaints(world), [])

    def test_chosen_node(self) -> None:
        """The allocator chooses the other node; without waiting both sides stay in use."""
        world = world_with("file", start=False)
        well(convert(world, "drbd", iallocator="builtin", wait_for_sync=False))
        self.assertTrue(world.instance(A).disks_active)
        well(world.run(op("INSTANCE_STARTUP", instance_name=A)))
        self.assertEqual(complaints(world), [])

    def test_failed(self) -> None:
        """When the copy fails all is as before."""
        for had, wanted in (("file", "drbd"), ("drbd", "ext"), ("sharedfile", "file")):
            world = world_with(had, start=False)
            before = (dict(world.names), volumes_of(world), world.instance(A))
            node(world, "node1").faults[SendStream] = [StepFailed("no", "stream")]
            ended = converted(world, wanted)
            self.assertIsNotNone(ended.error)
            self.assertEqual((dict(world.names), volumes_of(world), world.instance(A)), before)
            self.assertEqual(world.leftovers, {})
            well(converted(world, wanted))

    def test_without_other_side(self) -> None:
        """A mirrored one whose other node is silent is converted; what that keeps goes later."""
        world = world_with("drbd", start=False)
        node(world, "node2").down = True
        ended = well(converted(world, "file"))
        self.assertIn("work is left for node node2.example.com", ended.log[-1])
        world.settle()
        self.assertEqual(complaints(world), [])

    def test_without_disks(self) -> None:
        """An instance that has lost its disks has another template then."""
        world = world_with("file", start=False)
        well(world.run(op("INSTANCE_SET_PARAMS", instance_name=A, disks=[["remove", 0, {}]])))
        well(converted(world, "drbd"))
        self.assertEqual((world.instance(A).disk_template, complaints(world)), ("drbd", []))

    def test_refused(self) -> None:
        """What does not fit the template, and disks that are not there."""
        no_provider = "Disks of the template 'ext' need the parameter 'provider'"
        nothing = "A file driver or a folder of files means nothing for disk template 'rbd'"
        alone = "Disk template 'rbd' has no secondary node"
        cases: tuple[tuple[str, str, dict[str, Any], str], ...] = (
            ("diskless", "file", {}, "Conversion from the 'diskless' disk template is not supported"),
            ("blockdev", "file", {}, "Conversion from the 'blockdev' disk template is not supported"),
            ("file", "diskless", {}, "Conversion to the 'diskless' disk template is not supported"),
            ("file", "ext", {"ext_params": {}}, no_provider),
            ("file", "rbd", {"file_storage_dir": "x"}, nothing),
            ("file", "rbd", {"remote_node": "node2"}, alone),
            ("file", "rbd", {"iallocator": "builtin"}, alone),
            (
                "file",
                "rbd",
                {"ext_params": PROVIDER},
                "Parameters of a provider mean nothing for disk template 'rbd'",
            ),
            ("rbd", "file", {"file_driver": "blktap"}, "File driver 'blktap' is not offered by this release"),
            (
                "rbd",
                "file",
                {"file_storage_dir": "../x"},
                "File storage directory path not relative or not below its base: '../x'",
            ),
        )
        for had, wanted, more, text in cases:
            world = world_with(had, start=False)
            before = dict(world.records)
            self.assertEqual(pair(converted(world, wanted, **more)), ["OpPrereqError", [text, "wrong_input"]])
            self.assertEqual(dict(world.records), before)
        world = world_with("file", start=False)
        node(world, "node1").volumes.clear()
        missing = f"Disk 0 of instance {A} is missing, cannot convert"
        self.assertEqual(pair(converted(world, "rbd")), ["OpPrereqError", [missing, "wrong_state"]])

    def test_room(self) -> None:
        """There has to be room for both, and the node has to keep such disks."""
        world = world_with("rbd", start=False)
        node(world, "node1").volumes["/files/another"] = 1048576
        for wanted in ("file", "plain", "drbd"):
            error = pair(converted(world, wanted))
            assert error is not None
            self.assertEqual(error[1][1], "insufficient_resources")
        world = world_of(volume_group_name="")
        well(world.run(made("file", start=False)))
        error = ["Cluster does not support lvm-based instances", "wrong_state"]
        self.assertEqual(pair(converted(world, "plain")), ["OpPrereqError", error])

    def test_policy(self) -> None:
        """The group's policy has to allow the template."""
        world = world_with("file", start=False)
        policy = {**world.cluster.ipolicy, "disk-templates": list(FILE_TEMPLATES)}
        world.put(replace(world.cluster, ipolicy=policy))
        self.assertIsNotNone(converted(world, "rbd").error)
        well(converted(world, "rbd", ignore_ipolicy=True))

    @settings(max_examples=150, deadline=None)
    @given(
        st.lists(st.sampled_from(COPYABLE), min_size=2, max_size=4),
        st.sets(st.integers(5, 90), max_size=3),
        st.dictionaries(st.integers(3, 40), st.sampled_from(FAULTS), max_size=2),
    )
    def test_sound(self, program: list[str], crashes: set[int], planted: Any) -> None:
        """With masters dying and steps failing nothing is orphaned, lost or reserved for nobody."""
        world = world_of()
        world.crashes, world.faults = crashes, planted
        world.run(made(program[0], start=False, disks=disks_of(program[0], 2)))
        for template in program[1:]:
            ended = converted(world, template)
            self.assertEqual((complaints(world), ended.unlocked), ([], set()))
        world.settle()
        self.assertEqual((complaints(world), world.leftovers), ([], {}))
