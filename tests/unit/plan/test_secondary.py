"""Tests of another secondary node for a mirrored instance: one whole copy is there, whatever happens."""

from functools import partial
from random import Random
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.unit.plan.programs import op
from tests.unit.plan.templates import A, disks_of, well, world_with
from tests.unit.plan.test_create import pair
from tests.unit.plan.test_evacuation import asked, good
from tests.unit.plan.test_properties import FAULTS
from twisted_rapi.errors import StepFailed
from twisted_rapi.model.opcodes import Opcode
from twisted_rapi.model.steps import ActivateVolume, AwaitSync
from twisted_rapi.plan import volumes
from twisted_rapi.plan.naming import reservations
from twisted_rapi.plan.table import locks_for
from twisted_rapi.testing.cluster import NODES
from twisted_rapi.testing.soundness import complaints, volumes_of
from twisted_rapi.testing.world import Ended, World

ONE, TWO, THREE = NODES
BROKEN = f"Disks of instance {A} are degraded: the new sides could not be filled"
UNSAFE = f"Node node1.example.com has degraded storage, unsafe to replace disks for instance {A}"


def replaced(**more: Any) -> Opcode:
    """The opcode that makes node3 the secondary node."""
    values = {"mode": "replace_new_secondary", "remote_node": "node3", **more}
    return op("INSTANCE_REPLACE_DISKS", instance_name=A, **values)


def state(world: World, node: str, index: int = 0) -> dict[str, Any] | None:
    """How a side of the instance is, as its node sees it."""
    instance = world.instance(A)
    spec = volumes.spec(world.view(), instance, index, instance.disks[index], node)
    return world.nodes.nodes[node].drivers["drbd"].inspect(spec)


def unlink(world: World, node: str) -> None:
    """A node's side of the first disk loses its link."""
    instance = world.instance(A)
    spec = volumes.spec(world.view(), instance, 0, instance.disks[0], node)
    world.nodes.nodes[node].drivers["drbd"].deactivate(spec)


def spoil(world: World, node: str) -> None:
    """A node's side of the first disk loses its data."""
    name = f"{world.instance(A).disks[0].uuid}@{node}"
    notes = world.nodes.shared.mirrored
    notes.write(name, {**(notes.read(name) or {}), "left": 640.0, "since": None})


class NewSecondaryTests(SynchronousTestCase):
    """Moves that fail."""

    def back(self, world: World, ended: Ended, error: list[Any]) -> None:
        """It failed with this; the old side is whole and linked, and nothing is of the new one."""
        self.assertEqual(pair(ended), error)
        instance = world.instance(A)
        self.assertEqual(instance.secondary_nodes, (TWO,))
        self.assertEqual({d.logical_id[:2] for d in instance.disks}, {(ONE, TWO)})
        self.assertEqual(complaints(world), [])
        self.assertEqual([v for v in volumes_of(world) if THREE in v[0] or THREE in v[2]], [])
        world.nodes.shared.time += 3600
        for index in range(len(instance.disks)):
            for node in (ONE, TWO):
                found = state(world, node, index)
                assert found is not None
                at_rest = not instance.disks_active
                self.assertEqual((found["ldisk"], found["degraded"]), ("okay", at_rest), node)

    def test_primary_not_whole(self) -> None:
        """Where the primary node's side has not all of the data nothing is done, nor in a dry run."""
        for dry_run in (False, True):
            world = world_with("drbd")
            spoil(world, ONE)
            before = (dict(world.records), volumes_of(world), dict(world.names))
            self.assertEqual(pair(world.run(replaced(dry_run=dry_run))), ["OpExecError", [UNSAFE]])
            self.assertEqual((dict(world.records), volumes_of(world), dict(world.names)), before)

    def test_primary_missing(self) -> None:
        """Where the primary node's side is gone the other one is not touched."""
        world = world_with("drbd")
        world.nodes.shared.mirrored.remove(f"{world.instance(A).disks[0].uuid}@{ONE}")
        text = "Can't find disk/0 on node node1.example.com: it is not there"
        self.assertEqual(pair(world.run(replaced())), ["OpExecError", [text]])
        self.assertEqual(world.instance(A).secondary_nodes, (TWO,))
        self.assertIsNotNone(state(world, TWO))

    def test_link_breaks(self) -> None:
        """A new side that loses its link while it is filled is removed, not the old one."""
        for start in (True, False):
            for stage in ("attached", "syncing"):
                world = world_with("drbd", start=start, disks=disks_of("drbd", 2, size=9000))
                world.meanwhile[stage] = partial(unlink, world, THREE)
                self.back(world, world.run(replaced()), ["OpExecError", [BROKEN]])

    def test_step_fails(self) -> None:
        """So does one that cannot be attached, or waited for; the error says why."""
        for kind in (ActivateVolume, AwaitSync):
            for start in (True, False):
                world = world_with("drbd", start=start)
                node = THREE if kind is ActivateVolume else ONE
                world.nodes.nodes[node].faults[kind] = [StepFailed("no", "storage")]
                name = world.view().nodes[node].name
                self.back(world, world.run(replaced()), ["OpExecError", [f"Node {name}: no"]])

    def test_new_node_dies(self) -> None:
        """What the new node keeps when it dies is removed when it is back; then it can be asked for again."""
        world = world_with("drbd")

        def dies() -> None:
            unlink(world, THREE)
            world.nodes.nodes[THREE].down = True

        world.meanwhile["attached"] = dies
        ended = world.run(replaced())
        self.assertIn("work is left for node node3.example.com", ended.log[-1])
        world.settle()
        self.back(world, ended, ["OpExecError", [BROKEN]])
        self.assertEqual(world.leftovers, {})
        well(world.run(replaced()))
        self.assertEqual((world.instance(A).secondary_nodes, complaints(world)), ((THREE,), []))

    def test_old_node_dead(self) -> None:
        """With the old node dead the primary one goes on alone, and the log says that it does."""
        world = world_with("drbd")
        world.nodes.nodes[TWO].down = True
        world.meanwhile["attached"] = partial(unlink, world, THREE)
        self.assertEqual(pair(world.run(replaced())), ["OpExecError", [BROKEN]])
        self.assertEqual((state(world, ONE) or {})["ldisk"], "okay")
        world.settle()
        well(world.run(op("INSTANCE_ACTIVATE_DISKS", instance_name=A)))
        self.assertEqual((world.instance(A).secondary_nodes, complaints(world)), ((TWO,), []))

    def test_not_connected_again(self) -> None:
        """When the old side cannot be connected the log says that the disks are degraded."""
        world = world_with("drbd")
        world.meanwhile["attached"] = partial(unlink, world, THREE)
        world.nodes.nodes[TWO].faults[ActivateVolume] = [StepFailed("no", "storage")]
        ended = world.run(replaced())
        text = f" - WARNING: Disks of instance {A} are degraded: ask for them to be activated"
        self.assertEqual((pair(ended), ended.log[-1]), (["OpExecError", [BROKEN]], text))
        self.assertEqual(complaints(world), [])

    def test_names_kept(self) -> None:
        """Until the end nobody else gets what either side needs."""
        world = world_with("drbd")
        before = reservations(world.instance(A))
        seen: list[set[str]] = []
        world.meanwhile["filled"] = lambda: seen.append(set(world.names))
        well(world.run(replaced()))
        after = reservations(world.instance(A))
        self.assertEqual(({*before, *after} - seen[0], {*before} & {*world.names} - {*after}), (set(), set()))

    @settings(max_examples=80, deadline=None)
    @given(
        st.booleans(),
        st.dictionaries(st.integers(0, 16), st.sampled_from(FAULTS), max_size=3),
        st.sets(st.integers(0, 40), max_size=3),
        st.sampled_from(["", "attached", "syncing"]),
        st.booleans(),
    )
    def test_whatever(
        self, start: bool, faults: dict[int, Any], crashes: set[int], breaks: str, early: bool
    ) -> None:
        """
        With steps failing, nodes and masters dying and the link breaking, it is done or it is as it was: the
        secondary node has a side, what was half made is gone, and the primary one's data is whole.
        """
        world = world_with("drbd", start=start, disks=disks_of("drbd", 2)).fork(Random(1))
        world.faults = {world.steps + n: fault for n, fault in faults.items()}
        world.crashes = {world.moments + n for n in crashes}
        if breaks:
            world.meanwhile[breaks] = partial(unlink, world, THREE)
        ended = world.run(replaced(early_release=early))
        self.assertEqual((complaints(world), ended.unlocked), ([], set()))
        wanted = THREE if ended.error is None else TWO
        self.assertEqual(world.instance(A).secondary_nodes, (wanted,))
        world.settle()
        self.assertEqual((complaints(world), world.leftovers), ([], {}))
        for index in range(2):
            found = [state(world, node, index) for node in (ONE, wanted)]
            self.assertEqual((found[0] or {}).get("ldisk"), "okay")
            self.assertIsNotNone(found[1])


class ChosenTests(SynchronousTestCase):
    """A secondary node that an allocator chooses."""

    def chosen(self, world: World, **more: Any) -> Ended:
        """The end of a replacement that names no node."""
        return world.run(replaced(remote_node=None, **more))

    def test_script(self) -> None:
        """A script is asked which node takes the old one's place; the log and the job say which."""
        world = world_with("drbd")
        requests = asked(world, good(["node3.example.com"]))
        for more in ({"iallocator": "ask"}, {"iallocator": "."}, {}):
            ended = well(self.chosen(world.fork(Random(0)), **more))
            told = f" - INFO: Selected new secondary for instance '{A}' via iallocator ask: node3.example.com"
            self.assertEqual((ended.log[0], ended.stages[:3]), (told, ["consulted", "looked", "begun"]))
        self.assertEqual(len(requests), 3)
        wanted = {"type": "relocate", "name": A, "relocate_from": ["node2.example.com"], "required_nodes": 1}
        request = requests[0]["request"]
        self.assertEqual({name: request[name] for name in wanted}, wanted)
        well(self.chosen(world))
        self.assertEqual((world.instance(A).secondary_nodes, complaints(world)), ((THREE,), []))

    def test_builtin(self) -> None:
        """The built-in one by name, where a script is the default, and where it is the default itself."""
        for name in ("builtin", "."):
            world = world_with("drbd", cluster={"default_iallocator": "ask" if name != "." else "builtin"})
            ended = well(self.chosen(world, iallocator=name))
            told = f" - INFO: Selected new secondary for instance '{A}': node3.example.com"
            self.assertEqual((ended.log[0], ended.stages[0]), (told, "looked"))
            self.assertEqual(world.instance(A).secondary_nodes, (THREE,))

    def test_wrong(self) -> None:
        """What a script says is judged like what is named; where it finds nothing nothing is done."""
        world = world_with("drbd")
        before = (dict(world.records), volumes_of(world), dict(world.names))
        for answer, error in (
            (
                good(["node1.example.com"]),
                ["The specified node is the primary node of the instance", "wrong_input"],
            ),
            (
                good(["node2.example.com"]),
                ["The specified node is already the secondary node of the instance", "wrong_input"],
            ),
            (
                {"success": False, "info": "no way", "result": []},
                ["Can't compute nodes using iallocator 'ask': no way", "insufficient_resources"],
            ),
        ):
            asked(world, answer)
            self.assertEqual(pair(self.chosen(world, iallocator="ask")), ["OpPrereqError", error])
        nosuch = self.chosen(world, iallocator="nosuch")
        self.assertIn("iallocator 'nosuch' not found", str(nosuch.error))
        del world.records["cluster"], before[0]["cluster"]
        self.assertEqual((dict(world.records), volumes_of(world), dict(world.names)), before)

    def test_dry_run(self) -> None:
        """A dry run asks, too, and changes nothing."""
        world = world_with("drbd")
        requests = asked(world, good(["node3.example.com"]))
        well(self.chosen(world, iallocator="ask", dry_run=True))
        self.assertEqual((len(requests), world.instance(A).secondary_nodes), (1, (TWO,)))

    def test_locks(self) -> None:
        """The nodes of the instance's group are locked, those of others are not."""
        world = world_with("drbd")
        well(world.run(op("GROUP_ADD", group_name="g2")))
        well(world.run(op("GROUP_ASSIGN_NODES", group_name="g2", nodes=["node3"])))
        locks = locks_for(replaced(remote_node=None, iallocator="ask"), world.view())
        self.assertEqual({lock.name for lock in locks if lock.level == "node"}, {ONE, TWO})
        named = locks_for(replaced(), world.view())
        self.assertEqual({lock.name for lock in named if lock.level == "node"}, {ONE, TWO, THREE})


class RenewTests(SynchronousTestCase):
    """Sides that are renewed in their place."""

    def test_link_breaks(self) -> None:
        """A renewed side that cannot be filled is an error; the other one has all of the data still."""
        for mode, renewed, whole in (
            ("replace_on_primary", ONE, TWO),
            ("replace_on_secondary", TWO, ONE),
        ):
            for start in (True, False):
                world = world_with("drbd", start=start, disks=disks_of("drbd", 2))
                world.meanwhile["renewed"] = partial(unlink, world, TWO)
                ended = world.run(op("INSTANCE_REPLACE_DISKS", instance_name=A, mode=mode))
                self.assertEqual(pair(ended), ["OpExecError", [BROKEN]])
                self.assertEqual((state(world, whole) or {})["ldisk"], "okay")
                self.assertEqual((state(world, renewed) or {})["ldisk"], "faulty")
                self.assertEqual(complaints(world), [])
