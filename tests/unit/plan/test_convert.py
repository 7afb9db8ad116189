"""Tests of conversions between disk templates (texts as observed)."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.unit.plan.programs import op
from tests.unit.plan.templates import A, disks_of, made, well, world_of, world_with
from tests.unit.plan.test_create import pair
from tests.unit.plan.test_templates import info
from twisted_rapi.errors import StepFailed
from twisted_rapi.model.steps import AdoptVolume, CreateVolume
from twisted_rapi.testing.cluster import NODES
from twisted_rapi.testing.soundness import complaints, volumes_of
from twisted_rapi.testing.world import Ended, World

ONE, TWO, THREE = NODES


def convert(world: World, template: str, **more: Any) -> Ended:
    """The end of a conversion."""
    return world.run(op("INSTANCE_SET_PARAMS", instance_name=A, disk_template=template, **more))


class ConvertTests(SynchronousTestCase):
    """Mirroring volumes, and taking the mirror away."""

    def test_there_and_back(self) -> None:
        """The volumes stay as they are called; the other side comes and goes."""
        for more in ({"remote_node": "node3"}, {"iallocator": "builtin"}):
            world = world_with("plain", start=False, disks=disks_of("plain", 2))
            before = (dict(world.names), volumes_of(world))
            ended = well(convert(world, "drbd", **more))
            self.assertEqual(ended.result, [("disk_template", "drbd")])
            self.assertEqual(complaints(world), [])
            instance = world.instance(A)
            self.assertEqual((instance.disk_template, len(instance.secondary_nodes)), ("drbd", 1))
            self.assertIsNone(info(world)["pstatus"])
            well(world.run(op("INSTANCE_STARTUP", instance_name=A)))
            self.assertEqual(info(world)["pstatus"][5:], [False, 1])
            well(world.run(op("INSTANCE_SHUTDOWN", instance_name=A)))
            ended = well(convert(world, "plain"))
            self.assertEqual(ended.result, [("disk_template", "plain")])
            self.assertEqual((dict(world.names), volumes_of(world)), before)

    def test_does_not_wait(self) -> None:
        """Without waiting the disks go on being filled."""
        world = world_with("plain", start=False, disks=[{"size": 6000}])
        well(convert(world, "drbd", remote_node="node2", wait_for_sync=False))
        self.assertEqual(info(world)["pstatus"][3:], [0.0, 100, True, 1])

    def test_failed(self) -> None:
        """When a side cannot be made all is as before."""
        for node, step in ((TWO, CreateVolume), (ONE, AdoptVolume)):
            world = world_with("plain", start=False)
            before = (dict(world.names), volumes_of(world), world.instance(A))
            world.nodes.nodes[node].faults[step] = [StepFailed("no", "storage")]
            self.assertIsNotNone(convert(world, "drbd", remote_node="node2").error)
            self.assertEqual((dict(world.names), volumes_of(world), world.instance(A)), before)

    def test_other_node_silent(self) -> None:
        """A mirror is taken away without its other node; what that keeps goes later."""
        world = world_with("drbd", start=False)
        world.nodes.nodes[TWO].down = True
        ended = well(convert(world, "plain"))
        self.assertIn("work is left for node node2.example.com", ended.log[-1])
        world.settle()
        self.assertEqual(complaints(world), [])

    def test_refused(self) -> None:
        """What cannot be converted."""
        same = "Given new secondary node node1.example.com is the same as the primary node of the instance"
        together = "Disk template conversion and other disk changes not supported at the same time"
        cases: tuple[tuple[str, str, dict[str, Any], list[str]], ...] = (
            ("plain", "plain", {}, ["Instance already has disk template plain", "wrong_input"]),
            (
                "plain",
                "blockdev",
                {},
                ["Conversion to the 'blockdev' disk template is not supported", "wrong_input"],
            ),
            (
                "plain",
                "drbd",
                {},
                ["Conversion to a mirrored disk template needs a secondary node", "wrong_input"],
            ),
            ("plain", "drbd", {"remote_node": "node1"}, [same, "wrong_state"]),
            (
                "plain",
                "drbd",
                {"remote_node": "node2", "disks": [["add", {"size": 1}]]},
                [together, "wrong_input"],
            ),
        )
        for had, wanted, more, error in cases:
            world = world_with(had, start=False)
            before = dict(world.records)
            self.assertEqual(pair(convert(world, wanted, **more)), ["OpPrereqError", error])
            self.assertEqual(dict(world.records), before)
        up = ["Instance 'a.example.com' is marked to be up, cannot change disk template", "wrong_state"]
        world = world_with("plain")
        self.assertEqual(pair(convert(world, "drbd", remote_node="node2")), ["OpPrereqError", up])
        off = "Disk template 'drbd' is not enabled in cluster. Enabled disk templates are: plain"
        world = world_of(enabled_disk_templates=("plain",))
        well(world.run(made("plain", start=False)))
        self.assertEqual(pair(convert(world, "drbd", remote_node="node2")), ["OpPrereqError", [off]])

    @settings(max_examples=100, deadline=None)
    @given(
        st.lists(st.sampled_from(["drbd", "plain"]), min_size=1, max_size=3),
        st.sets(st.integers(5, 80), max_size=3),
        st.dictionaries(
            st.integers(3, 30), st.sampled_from(["fails", "fails late", "dies", "dies late"]), max_size=2
        ),
    )
    def test_sound(self, program: list[str], crashes: set[int], planted: dict[int, Any]) -> None:
        """With masters dying and steps failing nothing is orphaned, lost or reserved for nobody."""
        world = world_of()
        world.crashes, world.faults = crashes, planted
        world.run(made("plain", start=False, disks=disks_of("plain", 2)))
        for template in program:
            convert(world, template, **({"remote_node": "node2"} if template == "drbd" else {}))
            self.assertEqual(complaints(world), [])
        world.settle()
        self.assertEqual((complaints(world), world.leftovers), ([], {}))
