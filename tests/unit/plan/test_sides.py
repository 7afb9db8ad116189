"""Tests of migrations and failovers of mirrored instances whose other side may not be whole."""

from collections.abc import Iterator

from msgspec.structs import replace
from twisted.trial.unittest import SynchronousTestCase

from tests.unit.plan.programs import op
from tests.unit.plan.templates import A, disks_of, well, world_with
from tests.unit.plan.test_create import pair
from tests.unit.plan.test_moving import failover, migrate, primary, uuids, where
from twisted_rapi.errors import StepFailed
from twisted_rapi.model.opcodes import Opcode
from twisted_rapi.model.records import NodeRecord
from twisted_rapi.model.steps import InspectDisks
from twisted_rapi.testing.soundness import picture
from twisted_rapi.testing.world import World


class SidesTests(SynchronousTestCase):
    """The side of a mirrored disk where the guest is to go."""

    def refused(self, world: World, opcode: Opcode, text: str) -> None:
        """It is refused, nothing has changed; nor does a dry run succeed."""
        before = picture(world)
        for tried in (opcode, replace(opcode, dry_run=True)):
            self.assertEqual(pair(world.run(tried)), ["OpExecError", [text]])
            self.assertEqual(picture(world), before)

    def cases(self) -> Iterator[tuple[World, str, bool]]:
        """Worlds whose second disk cannot go to node2, and whether that can be seen of a stopped one."""
        for what in ("missing", "old", "unlinked"):
            for start in (True, False):
                world = world_with("drbd", disks=disks_of("drbd", 2))
                if not start:
                    well(world.run(op("INSTANCE_SHUTDOWN", instance_name=A)))
                name = f"{world.instance(A).disks[1].uuid}@{uuids(world)['node2']}"
                notes = world.nodes.shared.mirrored
                side = notes.read(name) or {}
                if what == "missing":
                    notes.remove(name)
                elif what == "old":
                    notes.write(name, {**side, "left": 8.0, "since": None})
                else:
                    notes.write(name, {**side, "active": False})
                yield world, what, start

    def test_failover(self) -> None:
        """A failover to a side that is not whole, or to one without its link while it is used, is refused."""
        text = "Disk 1 is degraded on target node, aborting failover"
        for world, what, start in self.cases():
            if what == "unlinked" and not start:
                well(world.run(failover()))
                self.assertEqual(primary(world), "node2")
            else:
                self.refused(world, failover(), text)

    def test_ignored(self) -> None:
        """An operator may take the old data for current, but not data that is not there."""
        for world, what, start in self.cases():
            ended = world.run(failover(ignore_consistency=True))
            self.assertEqual(primary(world), "node2")
            self.assertEqual(ended.error is None, what != "missing" or not start, (what, start))

    def test_dead_source(self) -> None:
        """With the primary node marked offline the side has to be whole, but nothing is linked to it."""
        for what in ("old", "whole"):
            world = world_with("drbd")
            node = uuids(world)["node1"]
            world.nodes.nodes[node].down = True
            world.put(replace(world.of(NodeRecord)[node], offline=True))
            if what == "whole":
                well(world.run(failover()))
                world.settle()
                self.assertEqual((primary(world), where(world)), ("node2", ["node2"]))
                continue
            name = f"{world.instance(A).disks[0].uuid}@{uuids(world)['node2']}"
            notes = world.nodes.shared.mirrored
            notes.write(name, {**(notes.read(name) or {}), "left": 8.0, "since": None})
            self.refused(world, failover(), "Disk 0 is degraded on target node, aborting failover")

    def test_migration(self) -> None:
        """So is a migration, and the failover of a stopped guest in its place."""
        text = "Disk 1 is degraded or not fully synchronized on target node, aborting migration"
        for world, what, start in self.cases():
            if start:
                self.refused(world, migrate(), text)
            elif what != "unlinked":
                instead = "Disk 1 is degraded on target node, aborting failover"
                self.refused(world, migrate(allow_failover=True), instead)

    def test_cannot_look(self) -> None:
        """Where the target does not say how its sides are nothing is done."""
        for opcode in (failover(), migrate()):
            world = world_with("drbd")
            world.nodes.nodes[uuids(world)["node2"]].faults = {InspectDisks: [StepFailed("no", "storage")]}
            ended = world.run(opcode)
            self.assertEqual(pair(ended), ["OpExecError", ["Node node2.example.com: no"]])
            self.assertEqual((primary(world), where(world)), ("node1", ["node1"]))
