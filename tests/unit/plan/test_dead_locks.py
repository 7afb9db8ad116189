"""Locks of dead nodes on images of Ceph: broken with proof only, and before a guest is started elsewhere."""

from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from twisted.trial.unittest import SynchronousTestCase

from tests.unit.plan.templates import A, world_with
from twisted_rapi.model.ceph import BreakLocks
from twisted_rapi.model.fate import Fate, NodeFateRecord
from twisted_rapi.model.records import NodeRecord
from twisted_rapi.model.steps import ChangeCeph
from twisted_rapi.plan.dead_locks import breaking
from twisted_rapi.plan.stage import Perform, steps_of
from twisted_rapi.plan.view import View
from twisted_rapi.testing.world import World

FATES: tuple[Fate | None, ...] = (None, "suspect", "fencing", "fenced", "recovering")
PROOF = "confirmed by ann"


def fallen(world: World, fate: Fate | None = "fenced", answers: bool = False, offline: bool = True) -> View:
    """What is seen once the node of the instance is silent; the others reach a Ceph."""
    node = world.of(NodeRecord)[world.instance(A).primary_node]
    world.put(replace(node, offline=offline))
    if fate is not None:
        world.put(NodeFateRecord(uuid=node.uuid, fate=fate, since=1.0, proof=PROOF))
    view = world.view()
    reports = {uuid: replace(report, ceph=True) for uuid, report in view.reports.items()}
    if not answers:
        del reports[node.uuid]
    return evolve(view, reports=reports)


def asked(world: World, view: View) -> Perform | None:
    """What is done to the locks."""
    instance = world.instance(A)
    return breaking(view, instance, instance.primary_node, "next")


def broken(stage: Perform | None) -> list[BreakLocks]:
    """Whose locks are."""
    assert stage is not None
    found = []
    for do in steps_of(stage.work):
        assert isinstance(do.step, ChangeCeph) and isinstance(do.step.change, BreakLocks)
        found.append(do.step.change)
    return found


class BreakingTests(SynchronousTestCase):
    """What is decided."""

    def test_whose(self) -> None:
        """Those the node has, by its addresses or those of its OSDs, on each image; it is told why."""
        world = world_with("rbd", disks=[{"size": 640}] * 2)
        view = fallen(world)
        stage, node = asked(world, view), view.nodes[world.instance(A).primary_node]
        images = [("rbd", disk.logical_id[1]) for disk in world.instance(A).disks]
        found = broken(stage)
        self.assertEqual([(change.pool, change.volume) for change in found], images)
        meant = {(change.addresses, change.host) for change in found}
        addresses = tuple(dict.fromkeys((node.primary_ip, node.secondary_ip)))
        self.assertEqual(meant, {(addresses, "node1")})
        assert stage is not None
        self.assertIn(PROOF, stage.log[0])
        self.assertEqual((stage.stage, stage.failed), ("next", "next"))

    @given(st.sampled_from(FATES), st.booleans(), st.booleans())
    def test_proof(self, fate: Fate | None, answers: bool, offline: bool) -> None:
        """Without proof that it is dead no lock of a node is broken, whatever else is said of it."""
        world = world_with("rbd")
        stage = asked(world, fallen(world, fate, answers, offline))
        self.assertEqual(stage is not None, fate == "fenced" and not answers)

    def test_who(self) -> None:
        """The instance's new node does it if it reaches a Ceph, else another; without any none does."""
        world = world_with("rbd")
        view, instance = fallen(world), world.instance(A)
        for target in view.reports:
            stage = breaking(view, replace(instance, primary_node=target), instance.primary_node, "next")
            assert stage is not None
            self.assertEqual({do.node for do in steps_of(stage.work)}, {target})
            others = {u: replace(r, ceph=u != target) for u, r in view.reports.items()}
            stage = breaking(
                evolve(view, reports=others),
                replace(instance, primary_node=target),
                instance.primary_node,
                "next",
            )
            assert stage is not None
            self.assertNotIn(target, {do.node for do in steps_of(stage.work)})
        none = {u: replace(r, ceph=False) for u, r in view.reports.items()}
        self.assertIsNone(asked(world, evolve(view, reports=none)))

    def test_other_disks(self) -> None:
        """Disks that are no images have no such locks."""
        world = world_with("sharedfile")
        self.assertIsNone(asked(world, fallen(world)))
