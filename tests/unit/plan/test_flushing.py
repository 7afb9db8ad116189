"""Tests of `twisted_rapi.plan.flushing` and `machine_moves`."""

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from twisted.trial.unittest import SynchronousTestCase

from tests.unit.plan.programs import op
from tests.unit.plan.templates import A, B, made, well, world_of
from twisted_rapi.errors import StepFailed
from twisted_rapi.model.machine import MachineRecord
from twisted_rapi.model.opcodes import Opcode
from twisted_rapi.model.records import InstanceRecord, NodeRecord
from twisted_rapi.model.steps import MigrateDomain, StopDomain
from twisted_rapi.plan import flushing
from twisted_rapi.plan.place import Demand, refusals
from twisted_rapi.testing.cluster import NODES
from twisted_rapi.testing.soundness import complaints
from twisted_rapi.testing.world import Ended, World

ONE, TWO, THREE = (f"node{n}.example.com" for n in (1, 2, 3))
TEMPLATES = ("sharedfile", "drbd", "file", "diskless")


def state_of(world: World, node: str = NODES[0]) -> str:
    """What is wanted of a node."""
    record = world.view().domain_states.get(node)
    return "ready" if record is None else record.state


def at(world: World, name: str) -> tuple[str, str, str, bool]:
    """Number of the node, of the one it was on before, its state, whether it is to start by itself."""
    view, instance = world.view(), world.instance(name)
    machine = view.machine(instance.uuid)
    last = view.nodes[machine.last_node].name[4] if machine.last_node else ""
    return (
        view.nodes[instance.primary_node].name[4],
        last,
        instance.admin_state,
        machine.node_autostart,
    )


class WholeRun:
    """A change of a node with all jobs it comes to."""

    def __init__(self, world: World, number: int = 1) -> None:
        self.world, self.number = world, number
        self.ended: list[Ended] = []

    def run(self, opcode: Opcode) -> list[Ended]:
        """Run it, and what it submits, in order; answers all ends."""
        todo = [opcode]
        while todo:
            ended = self.world.run(todo.pop(0), self.number)
            self.number += 1
            self.ended.append(ended)
            todo += [each for job in ended.jobs for each in job]
        return self.ended


def change(world: World, state: str, number: int = 1, node: str = ONE) -> list[Ended]:
    """Change what is wanted of a node, and have it done."""
    return WholeRun(world, number).run(op("NODE_SET_DOMAIN_STATE", node_name=node, state=state))


class FlushTests(SynchronousTestCase):
    """Machines leave a node and come back."""

    def setUp(self) -> None:
        """On the first node: one whose disks all nodes have, one with disks there only, one that is down."""
        self.world = world_of()
        well(self.world.run(made("sharedfile", A)))
        well(self.world.run(made("file", B)))
        well(self.world.run(made("diskless", "c.example.com", start=False)))

    def test_around(self) -> None:
        """What can go goes, the rest is down until all come back."""
        for ended in change(self.world, "flush"):
            self.assertIsNone(ended.error)
        self.assertEqual(state_of(self.world), "flushed")
        self.assertEqual(at(self.world, A), ("2", "1", "up", False))
        self.assertEqual(at(self.world, B), ("1", "", "down", True))
        self.assertEqual(at(self.world, "c.example.com"), ("1", "", "down", False))
        for ended in change(self.world, "ready", 9):
            self.assertIsNone(ended.error)
        self.assertEqual(state_of(self.world), "ready")
        self.assertEqual(at(self.world, A), ("1", "", "up", False))
        self.assertEqual(at(self.world, B), ("1", "", "up", False))
        self.assertEqual((complaints(self.world), self.world.view().machines), ([], {}))

    def test_nothing(self) -> None:
        """A node without machines is flushed at once; one that is ready is left as it is."""
        change(self.world, "flush", node=THREE)
        self.assertEqual(state_of(self.world, NODES[2]), "flushed")
        change(self.world, "ready", 9, node=THREE)
        [ended] = change(self.world, "ready", 20, node=THREE)
        self.assertEqual((ended.error, ended.jobs, state_of(self.world, NODES[2])), (None, (), "ready"))

    def test_first_origin(self) -> None:
        """One that was migrated before goes back to where it was first."""
        well(self.world.run(op("MACHINE_MIGRATE", instance_name=A, target_node=TWO)))
        change(self.world, "flush", node=TWO)
        self.assertEqual(at(self.world, A), ("3", "1", "up", False))
        change(self.world, "ready", 9, node=TWO)
        self.assertEqual(at(self.world, A), ("3", "1", "up", False), "there it was not first")
        change(self.world, "ready", 20)
        self.assertEqual(at(self.world, A), ("1", "", "up", False))

    def test_came_meanwhile(self) -> None:
        """What came to the node while others left it leaves in another round."""

        def start() -> None:
            well(self.world.run(op("INSTANCE_STARTUP", instance_name="c.example.com")))

        self.world.meanwhile["live:looked"] = start
        change(self.world, "flush")
        self.assertEqual(state_of(self.world), "flushed")
        self.assertEqual(at(self.world, "c.example.com"), ("3", "1", "up", False))

    def test_many(self) -> None:
        """More than go into one round."""
        self.patch(flushing, "MOST", 1)
        ended = change(self.world, "flush")
        self.assertEqual(state_of(self.world), "flushed")
        self.assertEqual(max(len(each.jobs) for each in ended), 2)

    def test_ended_by_another(self) -> None:
        """Once another change was asked for, what is left of the first one does nothing."""
        flush = self.world.run(op("NODE_SET_DOMAIN_STATE", node_name=ONE, state="flush"), 1)
        first, *rest = [each for job in flush.jobs for each in job]
        well(self.world.run(first, 2))
        self.assertEqual(at(self.world, A)[0], "2")
        ready = self.world.run(op("NODE_SET_DOMAIN_STATE", node_name=ONE, state="ready"), 7)
        for late in rest:
            well(self.world.run(late, 3))
        self.assertEqual((at(self.world, B)[2], state_of(self.world)), ("up", "unflush"))
        for job in ready.jobs:
            well(self.world.run(job[0], 8))
        self.assertEqual((at(self.world, A)[0], state_of(self.world)), ("1", "ready"))
        for late in (first, *rest):
            well(self.world.run(late, 3))
        self.assertEqual((at(self.world, A)[0], state_of(self.world)), ("1", "ready"))

    def test_failed(self) -> None:
        """A machine that cannot be brought away is told, and tried again when asked for again."""
        node = self.world.nodes.nodes[NODES[0]]
        node.faults[StopDomain] = [StepFailed("it does not stop")]
        *_, last = change(self.world, "flush")
        assert last.error is not None
        self.assertIn(B, last.error.text)
        self.assertEqual((state_of(self.world), at(self.world, B)[2:]), ("flush", ("down", True)))
        *_, last = change(self.world, "flush", 9)
        self.assertEqual((last.error, state_of(self.world)), (None, "flushed"))

    def test_not_back(self) -> None:
        """A node is ready though a machine cannot come back; the job tells which."""
        change(self.world, "flush")
        well(self.world.run(op("INSTANCE_SHUTDOWN", instance_name=A)))
        well(self.world.run(made("diskless", "d.example.com", pnode="node1", beparams={"memory": 32700})))
        *_, last = change(self.world, "ready", 9)
        assert last.error is not None
        self.assertEqual((B in last.error.text, A in last.error.text), (True, False))
        self.assertEqual((state_of(self.world), at(self.world, B)[2:]), ("ready", ("down", True)))
        self.assertEqual(at(self.world, A)[0], "1", "it rests, and so needs no memory")

    def test_offline(self) -> None:
        """Machines leave a node that is marked offline, and nobody can return to it."""
        self.world.nodes.nodes[NODES[0]].down = True
        self.world.put(replace(self.world.of(NodeRecord)[NODES[0]], offline=True))
        change(self.world, "flush")
        self.assertEqual(at(self.world, A)[0], "2")
        [ended] = change(self.world, "ready", 9)
        assert ended.error is not None
        self.assertIn("offline", ended.error.text)

    def test_allocators(self) -> None:
        """No allocator puts anything on a flushed node, and it can be removed."""
        change(self.world, "flush", node=THREE)
        demand = Demand(hypervisor="fake", memory=1, disk=0, template="diskless")
        view = self.world.view()
        self.assertEqual(refusals(view, view.nodes[NODES[2]], demand), ["it is flushed"])
        well(self.world.run(op("NODE_REMOVE", node_name=THREE)))
        self.assertEqual(self.world.view().domain_states, {})


class EverywhereTests(SynchronousTestCase):
    """Whatever machines there are, and wherever the master dies."""

    @settings(max_examples=25, deadline=None)
    @given(
        st.lists(st.tuples(st.sampled_from(TEMPLATES), st.booleans()), max_size=3),
        st.sets(st.integers(0, 120), max_size=4),
        st.booleans(),
    )
    def test_nothing_left(self, kinds: list[tuple[str, bool]], crashes: set[int], again: bool) -> None:
        """All have left, then nothing is left to plan; afterwards all are back as they were."""
        world = world_of()
        for n, (template, start) in enumerate(kinds):
            well(world.run(made(template, f"m{n}.example.com", start=start)))
        before = {i.uuid: (i.primary_node, i.admin_state) for i in world.of(InstanceRecord).values()}
        world.crashes = {world.moments + each for each in crashes}
        number = 1
        for state, shown in (("flush", "flushed"), ("ready", "ready")) * (2 if again else 1):
            run = WholeRun(world, number)
            for ended in run.run(op("NODE_SET_DOMAIN_STATE", node_name=ONE, state=state)):
                self.assertIsNone(ended.error)
            number = run.number
            view = world.view()
            self.assertEqual(state_of(world), shown)
            left = flushing.leaving if state == "flush" else flushing.returning
            self.assertEqual(left(view, view.nodes[NODES[0]]), [])
            self.assertEqual(complaints(world), [])
        after = {i.uuid: (i.primary_node, i.admin_state) for i in world.of(InstanceRecord).values()}
        self.assertEqual((after, world.view().machines), (before, {}))


class MoveTests(SynchronousTestCase):
    """One machine is moved."""

    def setUp(self) -> None:
        self.world = world_of()
        well(self.world.run(made("sharedfile", A)))

    def move(self, target: str, **more: bool) -> str:
        """Move it; answers the error."""
        ended = self.world.run(op("MACHINE_MIGRATE", instance_name=A, target_node=target, **more))
        self.log = "\n".join(ended.log)
        return "" if ended.error is None else ended.error.text

    def test_remembered(self) -> None:
        """Where it was first is kept until it is back, or told to stay."""
        for target, wanted in (("node2", ("2", "1")), ("node3", ("3", "1")), ("node1", ("1", ""))):
            self.assertEqual(self.move(target), "")
            self.assertEqual(at(self.world, A)[:2], wanted)
        self.assertEqual(self.move("node2", permanent=True), "")
        self.assertEqual(at(self.world, A)[:2], ("2", ""))
        self.move("node3")
        self.assertIn("already", self.move("node3"))
        self.assertEqual(self.move("node3", permanent=True), "")
        self.assertEqual((at(self.world, A)[:2], self.world.view().machines), (("3", ""), {}))
        self.assertIn("already", self.move("node3", permanent=True))

    def test_not_live(self) -> None:
        """One that cannot be migrated live is shut down and started there, unless that is not wanted."""
        node = self.world.nodes.nodes[NODES[0]]
        node.faults[MigrateDomain] = [StepFailed("it is too busy")]
        self.assertIn("too busy", self.move("node2", force_live=True))
        self.assertEqual(at(self.world, A)[:3], ("1", "", "up"))
        node.faults[MigrateDomain] = [StepFailed("it is too busy")]
        self.assertEqual(self.move("node2"), "")
        self.assertIn("could not be migrated live, it is shut down for it", self.log)
        self.assertEqual((at(self.world, A)[:2], complaints(self.world)), (("2", "1"), []))

    def test_ended_meanwhile(self) -> None:
        """One whose guest ends by itself just then is started there."""
        self.world.meanwhile["live:begun"] = self.world.nodes.nodes[NODES[0]].domains.clear
        self.assertEqual(self.move("node2"), "")
        self.assertIn("has ended by itself", self.log)
        self.assertEqual((at(self.world, A)[:3], complaints(self.world)), (("2", "1", "up"), []))

    def test_as_it_says(self) -> None:
        """A machine may be one that is always shut down for it."""
        uuid = self.world.instance(A).uuid
        self.world.put(MachineRecord(uuid=uuid, migration_method="shutdown"))
        self.assertEqual(self.move("node2"), "")
        self.assertIn("* shutting down instance on source node", self.log)
        self.assertEqual(self.move("node3", force_live=True), "")
        self.assertIn("* starting memory transfer", self.log)

    def test_downtime(self) -> None:
        """How long its guest may stand still is what is kept of the machine."""
        uuid = self.world.instance(A).uuid
        for downtime in (300, 700):
            self.world.put(MachineRecord(uuid=uuid, migration_max_downtime=downtime))
            self.assertEqual(self.move("node1" if downtime == 700 else "node2"), "")
        done = [s for node in NODES[:2] for s in self.world.nodes.nodes[node].done]
        given = [s.target.downtime for s in done if isinstance(s, MigrateDomain)]
        self.assertEqual(given, [0, 700])

    def test_older(self) -> None:
        """So is one whose guest could not run on an older hypervisor by being migrated."""
        self.world.nodes.nodes[NODES[1]].hypervisors = {"fake": "0.9"}
        self.assertIn("older", self.move("node2", force_live=True))
        self.assertEqual(self.move("node2"), "")
        self.assertIn("cannot be migrated live: Hypervisor fake", self.log)

    def test_templates(self) -> None:
        """Mirrored ones go to where their disks are, those with local disks nowhere."""
        well(self.world.run(made("drbd", B)))
        for target, text in ((THREE, "has no drbd disks"), (TWO, "")):
            ended = self.world.run(op("MACHINE_MIGRATE", instance_name=B, target_node=target))
            self.assertIn(text, "" if ended.error is None else ended.error.text)
        self.assertEqual(at(self.world, B)[:2], ("2", "1"))
        well(self.world.run(made("file", "c.example.com")))
        ended = self.world.run(op("MACHINE_MIGRATE", instance_name="c.example.com", target_node=TWO))
        assert ended.error is not None
        self.assertIn("does not allow migrations", ended.error.text)

    def test_gone(self) -> None:
        """A node that was removed is nowhere it could return to."""
        self.world.put(MachineRecord(uuid=self.world.instance(A).uuid, last_node="gone"))
        self.assertEqual(self.move("node2"), "")
        self.assertEqual(at(self.world, A)[:2], ("2", "1"))
