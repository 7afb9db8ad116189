"""Locks of dead nodes on images of Ceph: broken with proof only, and before a guest is started elsewhere."""

from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from twisted.trial.unittest import SynchronousTestCase

from tests.unit.plan.programs import op
from tests.unit.plan.templates import A, well, world_with
from twisted_rapi.errors import StepFailed
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
    return breaking(view, instance, instance.primary_node)


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

    def test_namesake(self) -> None:
        """Where another node has the same first part of its name, OSDs under that prove nothing."""
        world = world_with("rbd")
        other = next(n for n in world.of(NodeRecord).values() if n.uuid != world.instance(A).primary_node)
        world.put(replace(other, name="node1.elsewhere.example.com"))
        self.assertEqual([change.host for change in broken(asked(world, fallen(world)))], [""])

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
            stage = breaking(view, replace(instance, primary_node=target), instance.primary_node)
            assert stage is not None
            self.assertEqual({do.node for do in steps_of(stage.work)}, {target})
            others = {u: replace(r, ceph=u != target) for u, r in view.reports.items()}
            stage = breaking(
                evolve(view, reports=others),
                replace(instance, primary_node=target),
                instance.primary_node,
            )
            assert stage is not None
            self.assertNotIn(target, {do.node for do in steps_of(stage.work)})
        none = {u: replace(r, ceph=False) for u, r in view.reports.items()}
        self.assertIsNone(asked(world, evolve(view, reports=none)))

    def test_other_disks(self) -> None:
        """Disks that are no images have no such locks."""
        world = world_with("sharedfile")
        self.assertIsNone(asked(world, fallen(world)))


class FailoverTests(SynchronousTestCase):
    """What becomes of the locks as an instance is failed over, carried out."""

    def setUp(self) -> None:
        self.world = world_with("rbd")
        self.node = self.world.of(NodeRecord)[self.world.instance(A).primary_node]
        [disk] = self.world.instance(A).disks
        self.image = "/".join(map(str, disk.logical_id))
        self.own = {"id": "auto 1", "locker": "client.1", "address": f"{self.node.primary_ip}:0/1"}
        self.others = {"id": "auto 2", "locker": "client.2", "address": "192.0.2.77:0/2"}
        shelf = self.world.nodes.shared.shelves["rbd"]
        note = shelf.read(self.image) or {}
        shelf.write(self.image, {**note, "locks": [self.own, self.others]})

    def fail_over(self, fate: Fate | None) -> list[str]:
        """The log of an instance's failover from a node that is offline; it ends well."""
        self.world.nodes.nodes[self.node.uuid].down = True
        self.world.put(replace(self.node, offline=True))
        if fate is not None:
            self.world.put(NodeFateRecord(uuid=self.node.uuid, fate=fate, since=1.0, proof=PROOF))
        return well(self.world.run(op("INSTANCE_FAILOVER", instance_name=A, target_node="node2"))).log

    def locks(self) -> list[dict[str, str]]:
        """Those on its image."""
        note = self.world.nodes.shared.shelves["rbd"].read(self.image) or {}
        return list(note["locks"])

    def steps(self, node: str) -> list[str]:
        """What a node was asked to do, in order."""
        done = self.world.nodes.nodes[self.world.view().node(node).uuid].done
        return [str(step.__struct_config__.tag) for step in done]

    def test_dead(self) -> None:
        """With proof the node's are broken, and only those, before the guest is started."""
        log = self.fail_over("fenced")
        self.assertNotIn("Could not break", "".join(log))
        self.assertEqual(self.locks(), [self.others])
        tags = [tag for tag in self.steps("node2") if tag in ("ceph.change", "domain.start")]
        self.assertEqual(tags, ["ceph.change", "domain.start"])

    def test_offline(self) -> None:
        """That a node is offline is no proof that it is dead."""
        for fate in (None, "suspect", "fencing"):
            self.setUp()
            self.fail_over(fate)
            self.assertEqual(self.locks(), [self.own, self.others])

    def test_failed(self) -> None:
        """Where Ceph refuses, the guest is started nevertheless, and the log says so."""
        target = self.world.nodes.nodes[self.world.view().node("node2").uuid]
        target.faults[ChangeCeph] = [StepFailed("not permitted", "storage")]
        log = self.fail_over("fenced")
        self.assertIn("WARNING: Could not break them", "".join(log))
        self.assertIn("domain.start", self.steps("node2"))
        self.assertEqual(self.locks(), [self.own, self.others])

    def test_crash_anywhere(self) -> None:
        """A master that dies at any moment is followed by one that breaks them before the start, too."""
        self.world.nodes.nodes[self.node.uuid].down = True
        for moment in range(60):
            self.setUp()
            self.world.crashes = {self.world.moments + moment}
            self.fail_over("fenced")
            self.assertEqual(self.locks(), [self.others])
            tags = [tag for tag in self.steps("node2") if tag in ("ceph.change", "domain.start")]
            self.assertEqual(tags[0], "ceph.change")
            if not self.world.crashes or max(self.world.crashes) > self.world.moments:
                break
        else:
            self.fail("there is no end")
