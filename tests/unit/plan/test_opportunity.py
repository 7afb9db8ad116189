"""Nodes that other jobs have locked are left out where that is asked for."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from twisted.trial.unittest import SynchronousTestCase

from tests.unit.plan.programs import create, op
from tests.unit.plan.templates import A, well, world_of
from tests.unit.plan.test_create import pair
from tests.unit.plan.test_evacuation import asked, good
from twisted_rapi.model.records import NodeRecord
from twisted_rapi.plan.locks import Lock, LockTable
from twisted_rapi.plan.table import locks_for
from twisted_rapi.testing.cluster import NODES
from twisted_rapi.testing.world import Ended, World

ONE, TWO, THREE = NODES
NAMES = [f"node{n}.example.com" for n in (1, 2, 3)]
OTHER = 99
ALL_LOCKED = ["All nodes are locked by other jobs just now", "temp_insufficient_resources"]


def holding(*locks: Lock) -> World:
    """A world in which another job has these locks."""
    world = world_of()
    assert world.locks.request(OTHER, 0, 0, frozenset(locks))
    return world


def made(world: World, **more: Any) -> Ended:
    """A creation that waits for no nodes."""
    return world.run(create(opportunistic_locking=True, **more))


class CreateTests(SynchronousTestCase):
    """``OP_INSTANCE_CREATE``."""

    def test_builtin(self) -> None:
        """The built-in allocator chooses from the others, and says so."""
        for level in ("node", "node-res"):
            world = holding(Lock(level, ONE), Lock(level, TWO))
            ended = well(made(world))
            self.assertEqual(ended.result, [NAMES[2]])
            self.assertEqual(
                ended.log[1:3],
                [f" - INFO: Node {n} was not selected: another job has locked it" for n in NAMES[:2]],
            )
            self.assertEqual(ended.unlocked, set())

    def test_locks(self) -> None:
        """The nodes that are free are locked; once the job has them it asks for no others."""
        world = holding(Lock("node", ONE))
        opcode = create(opportunistic_locking=True)
        wanted = locks_for(opcode, world.view(1))
        self.assertEqual({lock.name for lock in wanted if lock.level == "node"}, {TWO, THREE})
        self.assertTrue(world.locks.request(1, 0, 1, wanted))
        world.locks.release(OTHER)
        self.assertEqual(locks_for(opcode, world.view(1)), wanted)
        self.assertEqual({lock.name for lock in wanted if lock.level == "node-res"}, {TWO, THREE})

    def test_script(self) -> None:
        """A script is told which nodes it may choose, and is held to that."""
        world = holding(Lock("node", ONE))
        requests = asked(world, good([NAMES[1]]))
        self.assertEqual(well(made(world)).result, [NAMES[1]])
        self.assertEqual(requests[0]["request"]["restrict-to-nodes"], NAMES[1:])
        asked(world, good([NAMES[0]]))
        text = f"iallocator 'ask' returned a node that was not offered: '{NAMES[0]}'"
        self.assertEqual(pair(made(world, name="b.example.com")), ["OpExecError", [text]])

    def test_not_asked_for(self) -> None:
        """Who does not ask for it is offered all nodes."""
        world = world_of()
        requests = asked(world, good([NAMES[1]]))
        well(world.run(create()))
        self.assertNotIn("restrict-to-nodes", requests[0]["request"])

    def test_all_locked(self) -> None:
        """Where no node is free it fails for now, before anybody is asked."""
        world = holding(*(Lock("node", node) for node in NODES))
        requests = asked(world, good([NAMES[1]]))
        self.assertEqual(pair(made(world)), ["OpPrereqError", ALL_LOCKED])
        self.assertEqual(pair(made(world, dry_run=True)), ["OpPrereqError", ALL_LOCKED])
        self.assertEqual(requests, [])

    def test_no_room(self) -> None:
        """Where the nodes that are free do not do it fails for now, whoever says so."""
        world = holding(Lock("node", ONE))
        for node in (TWO, THREE):
            world.put(replace(world.of(NodeRecord)[node], drained=True))
        [kind, [text, code]] = pair(made(world)) or []
        self.assertEqual((kind, code), ("OpPrereqError", "temp_insufficient_resources"))
        self.assertIn(f"{NAMES[0]}: another job has locked it", text)
        asked(world, {"success": False, "info": "no way", "result": []})
        text = "Can't compute nodes using iallocator 'ask': no way"
        self.assertEqual(pair(made(world)), ["OpPrereqError", [text, "temp_insufficient_resources"]])
        self.assertEqual(pair(world.run(create())), ["OpPrereqError", [text, "insufficient_resources"]])

    def test_named(self) -> None:
        """It is for nodes that an allocator chooses."""
        text = "Opportunistic locking is for nodes that an allocator chooses"
        self.assertEqual(pair(made(world_of(), pnode="node1")), ["OpPrereqError", [text, "wrong_input"]])


class SeveralTests(SynchronousTestCase):
    """``OP_INSTANCE_MULTI_ALLOC``."""

    def several(self, world: World, **more: Any) -> Ended:
        """Three instances."""
        usual = {"mode": "create", "disk_template": "sharedfile", "disks": [{"size": 64}], "nics": []}
        wanted = [{**usual, "instance_name": f"m{n}", "os_type": "noop+default"} for n in range(3)]
        return world.run(op("INSTANCE_MULTI_ALLOC", instances=wanted, opportunistic_locking=True, **more))

    def test_shared(self) -> None:
        """Nodes that others share are offered, those that another has alone are not."""
        world = holding(Lock("node", ONE), Lock("node", TWO, shared=True))
        ended = well(self.several(world))
        nodes = {creation.pnode for [creation] in ended.jobs}  # type: ignore[attr-defined]
        self.assertEqual((len(ended.jobs), nodes), (3, set(NAMES[1:])))

    def test_script(self) -> None:
        """A script is told for each of them."""
        world = holding(Lock("node", THREE))
        requests = asked(world, good([[["m0", [NAMES[2]]]], ["m1", "m2"]]))
        text = f"iallocator 'ask' returned a node that was not offered: '{NAMES[2]}'"
        self.assertEqual(pair(self.several(world)), ["OpExecError", [text]])
        told = [each["restrict-to-nodes"] for each in requests[0]["request"]["instances"]]
        self.assertEqual(told, [NAMES[:2]] * 3)

    def test_all_locked(self) -> None:
        """Where no node is free it fails for now."""
        world = holding(*(Lock("node", node) for node in NODES))
        self.assertEqual(pair(self.several(world)), ["OpPrereqError", ALL_LOCKED])

    def test_of_one(self) -> None:
        """An instance that asks for it itself has nodes by then."""
        world = world_of()
        usual = {"mode": "create", "instance_name": A, "disk_template": "diskless", "nics": []}
        wanted = {**usual, "disks": [], "os_type": "noop+default", "opportunistic_locking": True}
        [[creation]] = well(world.run(op("INSTANCE_MULTI_ALLOC", instances=[wanted]))).jobs
        well(world.run(creation))


locks = st.builds(Lock, st.just("node"), st.sampled_from("ab"), st.booleans())


class FreeTests(SynchronousTestCase):
    """`LockTable.free` and `LockTable.granted`."""

    @given(st.lists(st.frozensets(locks, min_size=1, max_size=2), max_size=4), locks)
    def test_free(self, requests: list[frozenset[Lock]], lock: Lock) -> None:
        """A lock is free exactly when somebody new would get it at once; who waits has nothing."""
        table = LockTable()
        for owner, wanted in enumerate(requests):
            whole = frozenset(x for x in wanted if not x.shared or Lock(x.level, x.name) not in wanted)
            granted = table.request(owner, 0, owner, whole)
            self.assertEqual(table.granted(owner), whole if granted else frozenset())
        free = table.free(lock)
        self.assertEqual(table.request(100, 0, 100, frozenset({lock})), free)
        self.assertEqual(table.granted(101), frozenset())
