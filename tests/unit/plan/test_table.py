"""Tests of the locks of opcodes, places, policies and leftovers."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from twisted.trial.unittest import SynchronousTestCase

from tests.unit.plan.programs import NAMES, create, op
from tests.unit.plan.test_power import world_with
from twisted_rapi.errors import OpPrereqError
from twisted_rapi.model.opcodes import Opcode
from twisted_rapi.model.records import GroupRecord, NodeRecord
from twisted_rapi.model.steps import DeleteVolume, DiskSpec, Outcome
from twisted_rapi.plan.leftover import due, leftovers, work_of
from twisted_rapi.plan.locks import Lock
from twisted_rapi.plan.place import Demand, place, refusals
from twisted_rapi.plan.policy import violations
from twisted_rapi.plan.stage import Do, InParallel, InSequence, Work, steps_of
from twisted_rapi.plan.table import locks_for
from twisted_rapi.testing.cluster import GROUP, NODES
from twisted_rapi.testing.world import World

A, B = NAMES
BGL = Lock("cluster", "BGL", shared=True)
NODE, RES = Lock("node", NODES[0]), Lock("node-res", NODES[0])


class LocksTests(SynchronousTestCase):
    """Which locks an opcode takes (locks_hooks.tsv)."""

    def test_of_an_instance(self) -> None:
        """Its own, by its full name however it was called, and those of its node where the field has them."""
        view = world_with().view()
        about: tuple[tuple[str, dict[str, Any], set[Lock]], ...] = (
            ("INSTANCE_STARTUP", {}, {RES}),
            ("INSTANCE_SHUTDOWN", {}, set()),
            ("INSTANCE_REBOOT", {"reboot_type": "hard"}, set()),
            ("INSTANCE_REINSTALL", {}, set()),
            ("INSTANCE_RENAME", {"new_name": "C.x."}, {Lock("instance", "c.x")}),
            ("INSTANCE_REMOVE", {}, {NODE, RES}),
            ("INSTANCE_SET_PARAMS", {}, {NODE}),
            ("INSTANCE_ACTIVATE_DISKS", {}, {NODE}),
            ("INSTANCE_DEACTIVATE_DISKS", {}, {NODE}),
        )
        for op_id, parameters, more in about:
            for name in ("a", A):
                found = locks_for(op(op_id, instance_name=name, **parameters), view)
                self.assertEqual(found, {BGL, Lock("instance", A), *more}, op_id)

    def test_creation(self) -> None:
        """The new name, and the nodes it may come to; never an existing instance it is short for."""
        view = world_with().view()
        group = Lock("nodegroup", GROUP, shared=True)
        self.assertEqual(
            locks_for(create("A", pnode="node1"), view), {BGL, Lock("instance", "a"), group, NODE, RES}
        )
        everywhere = locks_for(create("a"), view)
        self.assertEqual({lock.name for lock in everywhere if lock.level == "node"}, set(NODES))
        self.assertEqual(locks_for(create("a", pnode="nosuch"), view), {BGL, Lock("instance", "a"), group})

    def test_looking(self) -> None:
        """Who only looks takes none, or shares them if asked to lock."""
        view = world_with().view()
        looks: tuple[tuple[Opcode, set[Lock]], ...] = (
            (op("OS_DIAGNOSE", output_fields=["name"]), set()),
            (op("INSTANCE_QUERY_DATA", instances=["a"]), set()),
            (op("INSTANCE_QUERY_DATA", instances=["a"], use_locking=True, static=True), set()),
            (
                op("INSTANCE_QUERY_DATA", instances=["a"], use_locking=True),
                {Lock("instance", A, shared=True)},
            ),
        )
        for opcode, more in looks:
            self.assertEqual(locks_for(opcode, view), {BGL, *more})

    def test_tags(self) -> None:
        """The object's own."""
        view = world_with().view()
        for kind, name, lock in (
            ("instance", "a", Lock("instance", A)),
            ("node", "node1", NODE),
            ("nodegroup", "default", Lock("nodegroup", GROUP)),
            ("cluster", None, Lock("cluster", "tags")),
        ):
            for verb in ("SET", "DEL"):
                found = locks_for(op(f"TAGS_{verb}", kind=kind, name=name, tags=[]), view)
                self.assertEqual(found, {BGL, lock})


class PlaceTests(SynchronousTestCase):
    """Where a new machine goes."""

    def demand(self, **values: Any) -> Demand:
        usual: dict[str, Any] = {"hypervisor": "fake", "memory": 128, "disk": 64, "template": "file"}
        return Demand(**{**usual, **values})

    def test_reasons(self) -> None:
        """Every reason a node cannot take it is told."""
        world = World()
        node = world.of(NodeRecord)[NODES[0]]
        for demand, reasons in (
            (self.demand(), []),
            (self.demand(hypervisor="kvm"), ["it has no hypervisor kvm"]),
            (self.demand(os="nosuch"), ["it has no OS definition nosuch"]),
            (self.demand(memory=2**20), ["it has 32768 MiB of memory free"]),
            (self.demand(disk=2**21), ["it has 1048576 MiB of disk free"]),
            (self.demand(disk=2**21, template="diskless"), []),
            (self.demand(group="other"), ["it is in another group"]),
        ):
            self.assertEqual(refusals(world.view(), node, demand), reasons)
        for changes, reason in (
            ({"offline": True}, "it is offline"),
            ({"drained": True}, "it is drained"),
            ({"vm_capable": False}, "it runs no instances"),
        ):
            changed = replace(node, **changes)
            self.assertEqual(refusals(world.view(), changed, self.demand()), [reason])
        world.nodes.nodes[NODES[0]].down = True
        self.assertEqual(refusals(world.view(), node, self.demand()), ["it does not answer"])

    def test_last_resort(self) -> None:
        """A group of last resort is taken only if no other can."""
        world = World()
        world.put(GroupRecord(uuid="last", name="last", alloc_policy="last_resort"))
        for uuid in NODES[:2]:
            world.put(replace(world.of(NodeRecord)[uuid], group="last"))
        self.assertEqual(place(world.view(), self.demand(), "i").uuid, NODES[2])
        world.nodes.nodes[NODES[2]].down = True
        self.assertEqual(place(world.view(), self.demand(), "i").uuid, NODES[0])

    @settings(max_examples=30)
    @given(
        st.lists(st.tuples(st.booleans(), st.booleans(), st.integers(0, 3)), min_size=3, max_size=3),
        st.integers(1, 32768),
    )
    def test_fits(self, nodes: list[tuple[bool, bool, int]], memory: int) -> None:
        """The node that is chosen has no reason against it, and none is chosen only if all have one."""
        world = World()
        for uuid, (drained, down, running) in zip(NODES, nodes, strict=True):
            for n in range(running):
                world.run(create(f"{uuid[-1]}-{n}", pnode=uuid, beparams={"memory": 8000}))
            world.put(replace(world.of(NodeRecord)[uuid], drained=drained))
            world.nodes.nodes[uuid].down = down
        view, demand = world.view(), self.demand(memory=memory)
        fitting = [u for u, node in view.nodes.items() if not refusals(view, node, demand)]
        try:
            chosen = place(view, demand, "i")
        except OpPrereqError as e:
            self.assertEqual((fitting, e.code), ([], "insufficient_resources"))
        else:
            most = max(view.reports[u].memory_free for u in fitting)
            self.assertIn(chosen.uuid, fitting)
            self.assertEqual(view.reports[chosen.uuid].memory_free, most)


class PolicyTests(SynchronousTestCase):
    """What a policy has against a machine."""

    def test_ranges(self) -> None:
        """One of its ranges has to fit whole; else the one that fits best is told of."""
        small = {"min": {"cpu-count": 1, "memory-size": 64}, "max": {"cpu-count": 2, "memory-size": 128}}
        large = {"min": {"cpu-count": 4, "memory-size": 256}, "max": {"cpu-count": 8, "memory-size": 512}}
        policy = {"disk-templates": ["file"], "minmax": [small, large]}
        for cpus, memory, found in (
            (1, 64, []),
            (8, 512, []),
            (8, 600, ["memory-size value 600 is not in range [256, 512]"]),
            (3, 128, ["cpu-count value 3 is not in range [1, 2]"]),
        ):
            spec = {"cpu-count": [cpus], "memory-size": [memory]}
            self.assertEqual(violations(policy, spec, "file"), found)
        self.assertEqual(
            violations(policy, {}, "plain"),
            ["Disk template plain is not allowed (allowed templates: ['file'])"],
        )


def _deletion(node: int, uuid: str) -> Do:
    disk = DiskSpec(uuid=uuid, index=0, template="file", size=1, logical_id=("loop", f"/files/{uuid}"))
    return Do(NODES[node], DeleteVolume(instance="i", disk=disk))


works: st.SearchStrategy[Work] = st.recursive(
    st.builds(_deletion, st.integers(0, 2), st.sampled_from("abc")),
    lambda inner: (
        st.lists(inner, max_size=3)
        .map(tuple)
        .flatmap(lambda parts: st.sampled_from([InSequence(parts), InParallel(parts)]))
    ),
    max_leaves=6,
)


class LeftoverTests(SynchronousTestCase):
    """What could not be cleaned away."""

    @given(works, st.data())
    def test_kept(self, work: Work, data: st.DataObject) -> None:
        """Just the steps without an outcome are kept, by node and in order, and can be read again."""
        done = tuple(steps_of(work))
        outcomes = [Outcome() if data.draw(st.booleans()) else None for _ in done]
        outcomes = outcomes[: data.draw(st.integers(0, len(done)))]
        left = leftovers(done, outcomes, "why")
        told = [*outcomes, *[None] * (len(done) - len(outcomes))]
        missing = [do for do, outcome in zip(done, told, strict=True) if outcome is None]
        self.assertEqual([r.node for r in left], sorted({do.node for do in missing}))
        reports = World().nodes.reports
        found = [do for r in due({r.uuid: r for r in left}, reports) for do in steps_of(work_of(r, {}, {}))]
        self.assertEqual(found, sorted(missing, key=lambda do: do.node))

    def test_same(self) -> None:
        """The same steps have the same record, others another."""
        [one] = leftovers([_deletion(0, "a")], [], "why")
        self.assertEqual(leftovers([_deletion(0, "a")], [], "why"), (one,))
        [other] = leftovers([_deletion(0, "b")], [], "why")
        self.assertNotEqual(one.uuid, other.uuid)

    def test_silent(self) -> None:
        """Nothing is due on a node that does not answer."""
        world = World()
        world.nodes.nodes[NODES[0]].down = True
        left = leftovers([_deletion(0, "a"), _deletion(1, "a")], [], "why")
        found = [record.node for record in due({r.uuid: r for r in left}, world.nodes.reports)]
        self.assertEqual(found, [NODES[1]])
