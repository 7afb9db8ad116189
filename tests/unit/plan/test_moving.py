"""Migrations and failovers: what may go where, and that a guest never runs twice."""

import json
from collections.abc import Callable, Iterator
from itertools import product
from random import Random
from typing import Any

from msgspec.structs import replace
from twisted.trial.unittest import SynchronousTestCase

from tests.unit.plan.programs import op
from tests.unit.plan.templates import A, made, well, world_of, world_with
from tests.unit.plan.test_properties import FAULTS
from twisted_rapi.errors import NodeUnreachable, StepFailed
from twisted_rapi.model.opcodes import Opcode
from twisted_rapi.model.records import NodeRecord, Params
from twisted_rapi.model.steps import MigrateDomain, SetMemory, StartDomain
from twisted_rapi.testing.soundness import complaints, picture
from twisted_rapi.testing.world import Ended, World

NAME = A
NODES = [f"node{n}" for n in (1, 2, 3)]


def uuids(world: World) -> dict[str, str]:
    """Nodes' uuids by the first part of their names."""
    return {node.name.partition(".")[0]: node.uuid for node in world.of(NodeRecord).values()}


def where(world: World) -> list[str]:
    """On which nodes the guest runs."""
    return [
        name
        for name, uuid in sorted(uuids(world).items())
        if any(d.running for d in world.nodes.nodes[uuid].domains.values())
    ]


def primary(world: World) -> str:
    """Where the record says it is."""
    name = world.of(NodeRecord)[world.instance(NAME).primary_node].name
    return name.partition(".")[0]


def migrate(**more: Any) -> Opcode:
    """A migration of the instance."""
    return op("INSTANCE_MIGRATE", instance_name=NAME, **more)


def failover(**more: Any) -> Opcode:
    """A failover of the instance."""
    return op("INSTANCE_FAILOVER", instance_name=NAME, **more)


def _answering(text: str) -> Callable[[Params], str]:
    """An allocator script that always says the same."""
    return lambda _request: text


class MigrationTests(SynchronousTestCase):
    """``OP_INSTANCE_MIGRATE``."""

    def test_templates(self) -> None:
        """Shared and mirrored disks let a guest go, others do not; a mirrored one's sides change roles."""
        for template in ("sharedfile", "rbd", "ext", "gluster", "blockdev", "diskless"):
            world = world_with(template)
            ended = well(world.run(migrate(target_node="node3")))
            self.assertEqual((where(world), primary(world), complaints(world)), (["node3"], "node3", []))
            self.assertEqual((ended.result, ended.unlocked), (None, set()))
        world = world_with("drbd")
        well(world.run(migrate()))
        self.assertEqual((where(world), primary(world), complaints(world)), (["node2"], "node2", []))
        self.assertEqual(world.instance(NAME).secondary_nodes, (uuids(world)["node1"],))
        for template in ("file", "plain"):
            error = world_with(template).run(migrate()).error
            assert error is not None
            text = f"Instance's disk layout '{template}' does not allow migrations"
            self.assertEqual(error.pair(), ["OpPrereqError", [text, "wrong_state"]])

    def test_log(self) -> None:
        """Its log is told as observed."""
        world = world_with("sharedfile")
        target = world.view().node("node2").name
        ended = well(world.run(migrate(target_node="node2")))
        source = world.view().node("node1").name
        self.assertEqual(
            ended.log,
            [
                f"Migrating instance {NAME}",
                "* checking disk consistency between source and target",
                f"* closing instance disks on node {target}",
                f"* opening instance disks on node {source} in shared mode",
                f"* opening instance disks on node {target} in shared mode",
                f"* preparing {target} to accept the instance",
                f"* migrating instance to {target}",
                "* starting memory transfer",
                "* memory transfer complete",
                f"* closing instance disks on node {source}",
                f"* opening instance disks on node {target} in exclusive mode",
                "* done",
            ],
        )

    def _refused(self, world: World, opcode: Opcode) -> Any:
        before = picture(world)
        ended = world.run(opcode)
        assert ended.error is not None, opcode
        self.assertEqual(picture(world), before)
        return ended.error.pair()[1]

    def test_refused(self) -> None:
        """What cannot be meant or done is said before anything changes."""
        world = world_with("sharedfile")
        node1 = world.view().node("node1").name
        own = f"Cannot migrate instance {NAME} to its primary ({node1})"
        self.assertEqual(self._refused(world, migrate(target_node="node1")), [own, "wrong_state"])
        self.assertEqual(self._refused(world, migrate(target_node="nosuch"))[1], "unknown_entity")
        self.assertEqual(self._refused(world, migrate(live=True, mode="live"))[1], "wrong_input")
        both = migrate(target_node="node2", iallocator=".")
        self.assertEqual(self._refused(world, both)[1], "wrong_input")
        world.put(replace(world.view().node("node2"), drained=True))
        self.assertEqual(self._refused(world, migrate(target_node="node2"))[1], "wrong_state")
        self.assertEqual(self._refused(world_with("drbd"), migrate(target_node="node3"))[1], "wrong_input")
        stopped = world_with("sharedfile", start=False)
        self.assertEqual(
            self._refused(stopped, migrate()),
            [f"Instance {NAME} is not running, please use failover", "wrong_state"],
        )

    def test_versions(self) -> None:
        """To an older hypervisor only if that is insisted on."""
        world = world_with("sharedfile")
        nodes = uuids(world)
        world.nodes.nodes[nodes["node1"]].hypervisors = {"fake": "9.2"}
        world.nodes.nodes[nodes["node2"]].hypervisors = {"fake": "9.10"}
        world.nodes.nodes[nodes["node3"]].hypervisors = {"fake": "9.1"}
        self.assertEqual(self._refused(world, migrate(target_node="node3"))[1], "environment_error")
        well(world.run(migrate(target_node="node2")))
        well(world.run(migrate(target_node="node3", ignore_hvversions=True)))

    def test_chosen(self) -> None:
        """Without a target a node is chosen that can take it, never its own."""
        world = world_with("sharedfile")
        for _ in range(4):
            before = primary(world)
            well(world.run(migrate()))
            self.assertNotEqual(primary(world), before)

    def test_script(self) -> None:
        """An allocator script is asked where the guest is to go; its choice counts."""
        for opcode in (migrate(iallocator="hail"), failover(iallocator="hail")):
            world = world_with("sharedfile")
            master = world.nodes.nodes[world.cluster.master_node]
            node3 = world.view().node("node3").name
            answer = json.dumps({"success": True, "info": "", "result": [node3]})
            master.allocators = {"hail": _answering(answer)}
            well(world.run(opcode))
            self.assertEqual((primary(world), where(world)), ("node3", ["node3"]))
        error = world_with("sharedfile").run(migrate(iallocator="nosuch")).error
        self.assertIsNotNone(error)

    def test_mode(self) -> None:
        """The guest goes live unless asked for otherwise, in either form."""
        for opcode, live in (
            (migrate(), True),
            (migrate(live=False), False),
            (migrate(mode="non-live"), False),
        ):
            world = world_with("sharedfile")
            well(world.run(opcode))
            [step] = [s for n in world.nodes.nodes.values() for s in n.done if isinstance(s, MigrateDomain)]
            self.assertEqual(step.target.live, live)

    def test_ballooned(self) -> None:
        """A guest that is too large for the target gives memory up, where that is allowed."""
        world = world_with("sharedfile", beparams={"minmem": 64, "maxmem": 20000})
        well(world.run(made("diskless", "b.example.com", pnode="node2", beparams={"memory": 20000})))
        self.assertEqual(
            self._refused(world, migrate(target_node="node2", allow_runtime_changes=False))[1],
            "insufficient_resources",
        )
        well(world.run(migrate(target_node="node2")))
        [step] = [s for n in world.nodes.nodes.values() for s in n.done if isinstance(s, SetMemory)]
        self.assertEqual(step.memory, 32768 - 20000)

    def test_failed(self) -> None:
        """A migration that fails leaves the guest where it was, and says why."""
        world = world_with("sharedfile")
        node = world.nodes.nodes[uuids(world)["node1"]]
        node.faults = {MigrateDomain: [StepFailed("no way", "hypervisor")]}
        ended = world.run(migrate(target_node="node2"))
        assert ended.error is not None
        self.assertIn("no way", ended.error.text)
        self.assertEqual((where(world), primary(world)), (["node1"], "node1"))
        self.assertEqual(complaints(world), [])

    def test_stopped(self) -> None:
        """A stopped one is failed over instead where that is allowed, and stays stopped."""
        world = world_with("sharedfile", start=False)
        well(world.run(migrate(allow_failover=True, target_node="node3")))
        self.assertEqual((where(world), primary(world)), ([], "node3"))

    def test_cleanup(self) -> None:
        """The record follows the guest; one that runs twice, or nowhere, is for a person to mend."""
        world = world_with("sharedfile")
        nodes = {name: world.nodes.nodes[uuid] for name, uuid in uuids(world).items()}
        ended = well(world.run(migrate(cleanup=True)))
        self.assertRegex(ended.log[-2], r"confirmed to be running on its primary node \(node1")
        nodes["node3"].domains[NAME] = nodes["node1"].domains.pop(NAME)
        ended = well(world.run(migrate(cleanup=True)))
        self.assertEqual((primary(world), complaints(world), ended.unlocked), ("node3", [], set()))
        nodes["node2"].domains[NAME] = nodes["node3"].domains[NAME]
        error = world.run(migrate(cleanup=True)).error
        assert error is not None
        self.assertIn("several nodes", error.text)
        nodes["node2"].domains.clear()
        nodes["node3"].domains.clear()
        error = world.run(failover(cleanup=True)).error
        assert error is not None
        self.assertIn("runs on none", error.text)
        self.assertEqual(primary(world), "node3")


class TakenOverTests(SynchronousTestCase):
    """Migrations that go on though the agent that had asked for them has gone."""

    def test_waited_for(self) -> None:
        """The source is asked before the target, and what has arrived there meanwhile is left to run."""
        world = world_with("sharedfile")
        source, target = (world.nodes.nodes[uuids(world)[n]] for n in ("node1", "node2"))
        [guest] = source.domains.values()
        source.faults = {MigrateDomain: [NodeUnreachable("it was killed")]}

        def on_its_way() -> None:
            target.domains[guest.name] = replace(guest, state="paused", boot="arriving")

        def arrived() -> None:
            target.domains[guest.name] = replace(guest, boot="arriving")
            source.domains.clear()

        world.meanwhile = {"failed": on_its_way, "over": arrived}
        ended = well(world.run(migrate(target_node="node2")))
        self.assertEqual((primary(world), where(world)), ("node2", ["node2"]))
        self.assertEqual(target.domains[guest.name].boot, "arriving")
        looks = ["domain.look"] * 3
        self.assertEqual(
            ended.steps, [*looks, "volume.activate", "domain.migrate", *looks, "volume.deactivate"]
        )


class FailoverTests(SynchronousTestCase):
    """``OP_INSTANCE_FAILOVER``."""

    def test_templates(self) -> None:
        """A running one is stopped and started elsewhere; a stopped one is only recorded there."""
        for template, opcode in (("sharedfile", failover(target_node="node2")), ("drbd", failover())):
            world = world_with(template)
            well(world.run(opcode))
            self.assertEqual((where(world), primary(world), complaints(world)), (["node2"], "node2", []))
            world = world_with(template, start=False)
            well(world.run(opcode))
            self.assertEqual((where(world), primary(world), complaints(world)), ([], "node2", []))

    def test_file(self) -> None:
        """Local disks stay where they are."""
        error = world_with("file").run(failover()).error
        assert error is not None
        text = "Instance's disk layout 'file' does not allow failovers"
        self.assertEqual(error.pair(), ["OpPrereqError", [text, "wrong_state"]])

    def test_dead(self) -> None:
        """A silent node counts as dead only if an operator says so; what it still runs goes later."""
        for template in ("sharedfile", "drbd"):
            for declared in (False, True):
                world = world_with(template)
                node1 = uuids(world)["node1"]
                world.nodes.nodes[node1].down = True
                error = world.run(failover()).error
                assert error is not None
                self.assertEqual(error.code, "environment_error")
                if declared:
                    world.put(replace(world.of(NodeRecord)[node1], offline=True))
                ended = well(world.run(failover(ignore_consistency=not declared or template == "drbd")))
                self.assertTrue(any("proceeding anyway" in line for line in ended.log), ended.log)
                self.assertNotEqual(primary(world), "node1")
                self.assertIn(primary(world), where(world))
                self.assertEqual(len(world.leftovers), 1)
                world.put(replace(world.of(NodeRecord)[node1], offline=False))
                world.settle()
                self.assertEqual((where(world), world.leftovers), ([primary(world)], {}), template)

    def test_deaf(self) -> None:
        """A node that answers but cannot stop its guest keeps it, whatever is ignored."""
        world = world_with("sharedfile")
        world.faults = {world.steps: "fails"}
        ended = world.run(failover(ignore_consistency=True))
        self.assertIsNotNone(ended.error)
        self.assertEqual((where(world), primary(world)), (["node1"], "node1"))

    def test_not_started(self) -> None:
        """Where the start fails it is recorded at the target, and is down."""
        world = world_with("sharedfile")
        world.nodes.nodes[uuids(world)["node2"]].faults = {StartDomain: [StepFailed("no way", "hypervisor")]}
        ended = world.run(failover(target_node="node2"))
        assert ended.error is not None
        self.assertEqual((where(world), primary(world)), ([], "node2"))


SCENES: dict[str, tuple[str, bool, Opcode]] = {
    "migrate": ("sharedfile", True, migrate(target_node="node2")),
    "migrate mirrored": ("drbd", True, migrate()),
    "migrate a stopped one": ("sharedfile", False, migrate(target_node="node2", allow_failover=True)),
    "failover": ("sharedfile", True, failover(target_node="node2")),
    "failover mirrored": ("drbd", True, failover()),
    "failover anyhow": ("sharedfile", True, failover(target_node="node2", ignore_consistency=True)),
    "cleanup": ("sharedfile", True, migrate(cleanup=True)),
}


class InterruptionTests(SynchronousTestCase):
    """The master, a node or a step fails at every single place."""

    def setUp(self) -> None:
        self.worlds: dict[str, World] = {}

    def _scene(self, name: str) -> tuple[World, Opcode]:
        template, runs, opcode = SCENES[name]
        if name not in self.worlds:
            self.worlds[name] = world_with(template, start=runs)
        return self.worlds[name].fork(Random(0)), opcode

    def test_crash_anywhere(self) -> None:
        """Wherever the master dies, once or twice, the end is the same."""
        for name in SCENES:
            calm, opcode = self._scene(name)
            first = calm.moments
            wanted = calm.run(opcode).error, where(calm), primary(calm)
            self.assertEqual(complaints(calm), [], name)
            for crash, again in product(range(first, calm.moments), (None, 1, 2, 4)):
                stormy, opcode = self._scene(name)
                stormy.crashes = {crash} if again is None else {crash, crash + again}
                got = stormy.run(opcode).error, where(stormy), primary(stormy)
                self.assertEqual(got, wanted, f"{name}: {stormy.crashes}")
                self.assertEqual(complaints(stormy), [], name)

    def _disturbed(self, name: str) -> Iterator[tuple[str, World, Ended]]:
        calm, opcode = self._scene(name)
        first = calm.steps
        calm.run(opcode)
        for step, fault, later in product(range(first, calm.steps), FAULTS, (None, *product((1, 2), FAULTS))):
            world, opcode = self._scene(name)
            world.faults = {step: fault}
            if later is not None:
                world.faults[step + later[0]] = later[1]
            yield f"{name}: {world.faults}", world, world.run(opcode)

    def test_fault_anywhere(self) -> None:
        """
        Whatever fails, the guest runs on one node at most once all nodes answer, and cleanup finds it.

        Its record may be behind only when a node died while the guest went: then cleanup sets it right.
        """
        for name in SCENES:
            for told, world, ended in self._disturbed(name):
                self.assertEqual(ended.unlocked, set(), told)
                world.settle()
                self.assertLessEqual(len(where(world)), 1, told)
                if complaints(world):
                    self.assertIsNotNone(ended.error, told)
                    well(world.run(migrate(cleanup=True)))
                self.assertEqual((complaints(world), world.leftovers), ([], {}), told)

    def test_world(self) -> None:
        """What the scenes are made of is there."""
        self.assertEqual(complaints(world_of()), [])
