"""Tests of `twisted_rapi.plan.pvc.selectors`."""

from itertools import pairwise
from random import Random
from typing import Any

import attrs
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from twisted.trial.unittest import SynchronousTestCase

from tests.unit.plan.programs import op
from tests.unit.plan.templates import A, B, made, well, world_with
from twisted_rapi.model.domain_state import DomainStateRecord
from twisted_rapi.model.machine import MachineRecord
from twisted_rapi.model.records import NodeRecord
from twisted_rapi.plan.pvc.dialect import Dialect
from twisted_rapi.plan.pvc.selectors import SELECTORS, Figures, figures, in_order, measure, targets
from twisted_rapi.plan.rooms import Rooms
from twisted_rapi.testing.cluster import NODES
from twisted_rapi.testing.world import World

SIZES = st.integers(0, 5)
NODE = st.builds(
    Figures,
    name=st.text("abc", min_size=1, max_size=2),
    total=SIZES,
    free=SIZES,
    allocated=SIZES,
    provisioned=SIZES,
    vcpus=SIZES,
    load=st.floats(0, 3),
    vms=SIZES,
)
LISTS = st.lists(NODE, max_size=6, unique_by=lambda each: each.name)
CHOICE = st.sampled_from(["", *SELECTORS]), st.sampled_from(Dialect)


class OrderTests(SynchronousTestCase):
    """Which of several nodes is best."""

    @given(LISTS, *CHOICE, st.randoms())
    def test_best_first(self, nodes: list[Figures], selector: str, dialect: Dialect, chance: Random) -> None:
        """All of them, none worse than those after it, equal ones by name, however they were listed."""
        found = in_order(nodes, selector, dialect)
        self.assertEqual(sorted(found, key=repr), sorted(nodes, key=repr))
        of = measure(selector, dialect)
        for one, other in pairwise(found):
            self.assertLess((of(one), one.name), (of(other), other.name))
        chance.shuffle(nodes)
        self.assertEqual(in_order(nodes, selector, dialect), found)

    @given(NODE, SIZES, st.sampled_from(SELECTORS), st.sampled_from(Dialect))
    def test_heavier(self, node: Figures, more: int, selector: str, dialect: Dialect) -> None:
        """A node that has more to carry is never the better one."""
        heavier = attrs.evolve(
            node,
            free=node.free - more,
            allocated=node.allocated + more,
            provisioned=node.provisioned + more,
            vcpus=node.vcpus + more,
            load=node.load + more,
            vms=node.vms + more,
        )
        of = measure(selector, dialect)
        self.assertLessEqual(of(node), of(heavier))

    def test_words(self) -> None:
        """Each selector looks at what it is named for; ``mem`` is not the same in all forms."""
        usual: dict[str, Any] = {
            "total": 9,
            "free": 5,
            "allocated": 4,
            "provisioned": 4,
            "vcpus": 4,
            "load": 4.0,
            "vms": 4,
        }
        for selector, better, dialect in (
            ("mem", {"allocated": 3}, Dialect.SEED),
            ("mem", {"total": 10}, Dialect.V0_6),
            ("mem", {"free": 6}, Dialect.V1_0),
            ("memprov", {"provisioned": 3}, Dialect.V1_0),
            ("vcpus", {"vcpus": 3}, Dialect.SEED),
            ("load", {"load": 3.5}, Dialect.SEED),
            ("vms", {"vms": 3}, Dialect.SEED),
        ):
            nodes = [Figures(name="a", **usual), Figures(name="b", **{**usual, **better})]
            self.assertEqual([n.name for n in in_order(nodes, selector, dialect)], ["b", "a"], selector)


class TargetTests(SynchronousTestCase):
    """Where a machine can go."""

    def names(self, world: World, name: str = A, selector: str = "") -> list[str]:
        """The targets, by the numbers of their nodes."""
        return [n.name[4] for n in targets(world.view(), world.instance(name), selector)]

    def test_others(self) -> None:
        """The other nodes, unless they are drained, flushed, silent, or not among those it may run on."""
        world = world_with("sharedfile")
        self.assertEqual(self.names(world), ["2", "3"])
        uuid = world.instance(A).uuid
        world.put(MachineRecord(uuid=uuid, node_limit=("node3.example.com", "node1.example.com")))
        self.assertEqual(self.names(world), ["3"])
        world.put(MachineRecord(uuid=uuid))
        world.put(DomainStateRecord(uuid=NODES[1], state="unflush", job=1))
        self.assertEqual(self.names(world), ["3"])
        world.put(replace(world.of(NodeRecord)[NODES[2]], drained=True))
        self.assertEqual(self.names(world), [])
        world = world_with("sharedfile")
        world.nodes.nodes[NODES[1]].down = True
        self.assertEqual(self.names(world), ["3"])

    def test_templates(self) -> None:
        """Mirrored ones go to their other side, those with local disks nowhere."""
        self.assertEqual(self.names(world_with("drbd")), ["2"])
        self.assertEqual(self.names(world_with("file")), [])

    def test_full(self) -> None:
        """Not where there is no memory for it; a machine that rests needs none."""
        world = world_with("sharedfile")
        well(world.run(made("sharedfile", B, pnode="node2", beparams={"memory": 32768})))
        self.assertEqual(self.names(world), ["3"])
        well(world.run(op("INSTANCE_SHUTDOWN", instance_name=A)))
        self.assertEqual(self.names(world), ["3", "2"])

    def test_chosen(self) -> None:
        """By the selector that is given, or its own; what is about to start counts."""
        world = world_with("sharedfile")
        well(world.run(made("sharedfile", B, pnode="node2", beparams={"memory": 64, "vcpus": 1})))
        for selector in SELECTORS:
            self.assertEqual(self.names(world, selector=selector)[0], "2" if selector == "load" else "3")
        world.put(MachineRecord(uuid=world.instance(A).uuid, node_selector="load"))
        self.assertEqual(self.names(world), ["2", "3"])
        world.nodes.nodes[NODES[1]].domains.clear()
        found = figures(Rooms(world.view()), world.view().nodes[NODES[1]])
        self.assertEqual((found.allocated, found.vcpus, found.vms, found.provisioned), (64, 1, 1, 64))
        self.assertEqual(found.free, found.total - 64)
