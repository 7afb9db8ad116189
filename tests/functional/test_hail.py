"""Ganeti's own allocator script, unmodified, asked what plans ask."""

from pathlib import Path
from typing import Any

from msgspec.structs import replace
from twisted.internet import reactor
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from tests.requirements import missing
from tests.unit.plan.programs import create, op
from tests.unit.plan.templates import A, B, made, well, world_of
from twisted_rapi.agent.allocators import Allocators
from twisted_rapi.errors import OpPrereqError
from twisted_rapi.model.opcodes.instance import InstanceCreate
from twisted_rapi.model.opcodes.moving import InstanceMigrate, InstanceReplaceDisks
from twisted_rapi.model.records import GroupRecord, NodeRecord, Params
from twisted_rapi.model.steps import Outcome, RunAllocator
from twisted_rapi.plan.allocation import consult
from twisted_rapi.plan.allocation import questions as ask
from twisted_rapi.plan.drafting import allocation
from twisted_rapi.plan.stage import Do, Perform, Progress
from twisted_rapi.testing.cluster import NODES
from twisted_rapi.testing.world import World

CLOCK: Any = reactor
SEARCH = [Path("/usr/lib/ganeti/iallocators")]
POLICY: Params = {"vcpu-ratio": 4.0, "spindle-ratio": 32.0}


def two_groups(world: World) -> World:
    """The world with a fourth and a fifth node, which with the third are another group."""
    world.put(GroupRecord(uuid="other", name="other"))
    world.put(replace(world.of(NodeRecord)[NODES[2]], group="other"))
    third = world.of(NodeRecord)[NODES[2]]
    for n in (4, 5):
        uuid = f"{third.uuid[:-1]}{n}"
        world.put(replace(third, uuid=uuid, name=f"node{n}.example.com", agent_host=f"192.0.2.{n}"))
        node = world.nodes.nodes[NODES[2]]
        world.nodes.nodes[uuid] = type(node)(uuid=uuid, shared=world.nodes.shared)
    return world


class HailTests(TestCase):
    """hail answers every kind of question it knows."""

    skip = missing("file:usr/lib/ganeti/iallocators/hail")

    def setUp(self) -> None:
        self.allocators = Allocators(SEARCH, Path(self.mktemp()).resolve(), CLOCK, CLOCK, deferToThread)
        self.world = world_of()
        limits = {"min": dict.fromkeys(self.high(), 0), "max": self.high()}
        policy = {**self.world.cluster.ipolicy, **POLICY, "minmax": [limits], "std": self.high()}
        self.world.put(replace(self.world.cluster, ipolicy=policy))

    def high(self) -> dict[str, int]:
        sizes = {"memory-size": 1 << 20, "disk-size": 1 << 20, "disk-count": 16}
        return {**sizes, "cpu-count": 64, "nic-count": 8, "spindle-use": 12}

    async def answer(self, question: ask.Question) -> Any:
        """What a plan would hear."""
        first = consult.consult(question, "hail", Progress(), self.world.view())
        assert isinstance(first, Perform) and isinstance(first.work, Do)
        assert isinstance(first.work.step, RunAllocator)
        self.assertEqual((first.work.node, first.check), (self.world.cluster.master_node, True))
        text = await self.allocators.run(first.work.step)
        heard = Progress(stage=first.stage, outcomes=(Outcome(text=text),))
        return consult.consult(question, "hail", heard, self.world.view())

    def wanted(self, template: str, name: str = B, **more: Any) -> ask.Allocate:
        creation = made(template, name, **{"pnode": None, "snode": None, **more})
        assert isinstance(creation, InstanceCreate)
        return allocation(creation, self.world.view())

    def instance(self, name: str = A) -> Any:
        return self.world.instance(name)

    async def test_allocate(self) -> None:
        """One node, or two for a mirrored disk; drained, offline and silent ones are not taken."""
        for template, count in (("file", 1), ("sharedfile", 1), ("diskless", 1), ("plain", 1), ("drbd", 2)):
            found = await self.answer(self.wanted(template))
            self.assertEqual(len({node.uuid for node in found.nodes}), count, template)
        first = self.world.of(NodeRecord)[NODES[0]]
        for change in ({"drained": True}, {"offline": True}, {"vm_capable": False}):
            self.world.put(replace(first, **change))
            found = await self.answer(self.wanted("drbd"))
            self.assertEqual({node.uuid for node in found.nodes}, {*NODES[1:]}, change)
        self.world.put(first)
        self.world.nodes.nodes[NODES[1]].down = True
        found = await self.answer(self.wanted("drbd"))
        self.assertEqual({node.uuid for node in found.nodes}, {NODES[0], NODES[2]})

    async def test_too_large(self) -> None:
        """What fits nowhere is refused with its reason."""
        try:
            await self.answer(self.wanted("file", beparams={"memory": 40000}))
        except OpPrereqError as e:
            self.assertEqual(e.code, "insufficient_resources")
            self.assertRegex(e.text, r"^Can't compute nodes using iallocator 'hail': .*FailMem: 3$")
        else:
            self.fail("it was placed")

    async def test_several(self) -> None:
        """Several instances get nodes at once."""
        each = tuple(self.wanted("drbd", f"m{n}") for n in range(3))
        found = await self.answer(ask.AllocateSeveral(instances=each))
        self.assertEqual((list(found.placed), found.failed), (["m0", "m1", "m2"], ()))
        self.assertEqual([len({n.uuid for n in nodes}) for nodes in found.placed.values()], [2, 2, 2])

    async def test_relocate(self) -> None:
        """A mirrored instance gets the third node as its secondary one."""
        well(self.world.run(made("drbd")))
        found = await self.answer(ask.Relocate(instance=self.instance()))
        self.assertEqual([node.uuid for node in found.nodes], [NODES[2]])

    async def test_evacuate(self) -> None:
        """The ways off a node are opcodes that can be submitted."""
        well(self.world.run(made("drbd")))
        well(self.world.run(create(B, disk_template="sharedfile", pnode="node1")))
        found = await self.answer(ask.Evacuate(instances=(self.instance(),), mode="primary-only"))
        [[migration]] = found.jobs
        self.assertIsInstance(migration, InstanceMigrate)
        self.assertEqual(found.moved, ((A, "default", ("node2.example.com", "node1.example.com")),))
        found = await self.answer(ask.Evacuate(instances=(self.instance(),), mode="secondary-only"))
        [[replacing]] = found.jobs
        assert isinstance(replacing, InstanceReplaceDisks)
        self.assertEqual(
            (replacing.mode, replacing.remote_node), ("replace_new_secondary", "node3.example.com")
        )
        found = await self.answer(ask.Evacuate(instances=(self.instance(B),), mode="primary-only"))
        [[migration]] = found.jobs
        assert isinstance(migration, InstanceMigrate)
        self.assertIn(migration.target_node, ("node2.example.com", "node3.example.com"))

    async def test_immovable(self) -> None:
        """An instance that cannot leave its node is among the failed."""
        well(self.world.run(made("plain")))
        found = await self.answer(ask.Evacuate(instances=(self.instance(),), mode="primary-only"))
        self.assertEqual((found.jobs, [name for name, _ in found.failed]), ((), [A]))

    async def test_change_group(self) -> None:
        """Both nodes of an instance are those of another group afterwards."""
        two_groups(self.world)
        well(self.world.run(made("drbd")))
        found = await self.answer(ask.ChangeGroup(instances=(self.instance(),), targets=("other",)))
        [[name, group, nodes]] = found.moved
        others = {"node3.example.com", "node4.example.com", "node5.example.com"}
        self.assertEqual((name, group, len(nodes), set(nodes) <= others), (A, "other", 2, True))
        [job] = found.jobs
        self.assertLess(
            {type(each) for each in job},
            {InstanceMigrate, InstanceReplaceDisks, type(op("TEST_DELAY", duration=1))},
        )
