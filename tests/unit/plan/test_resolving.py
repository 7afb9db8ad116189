"""Tests of names that are checked; the text of an unknown one as observed."""

from typing import Any

from msgspec.structs import replace
from twisted.trial.unittest import SynchronousTestCase

from tests.unit.plan.programs import create, op
from tests.unit.plan.test_create import pair
from twisted_rapi.model.records import InstanceRecord
from twisted_rapi.model.steps import ProbeAddress, ResolveName
from twisted_rapi.testing.cluster import NODES
from twisted_rapi.testing.soundness import complaints
from twisted_rapi.testing.world import Ended, World

UNKNOWN = "Temporary failure in name resolution"
FULL, ADDRESS = "web1.example.com", "192.0.2.80"


def world_with_hosts(**hosts: str) -> World:
    """A world whose master's node knows a host."""
    world = World()
    world.nodes.nodes[NODES[0]].hosts = {FULL: ADDRESS, **hosts}
    return world


class CreateTests(SynchronousTestCase):
    """Of instances that are made."""

    def run_in(self, world: World, name: str = "web1", **parameters: Any) -> Ended:
        return world.run(create(name, **{"name_check": True, **parameters}))

    def test_completed(self) -> None:
        """The name becomes the full one, and ``auto`` its address; only the master's node is asked."""
        world = world_with_hosts()
        ended = self.run_in(world, nics=[{"ip": "auto"}, {"ip": "192.0.2.7"}, {}], pnode="node2")
        self.assertEqual((pair(ended), ended.stages[0]), (None, "resolved"))
        record = world.instance(FULL)
        self.assertEqual([nic.ip for nic in record.nics], [ADDRESS, "192.0.2.7", None])
        done = world.nodes.nodes[NODES[0]].done
        self.assertEqual(done, [ResolveName(instance="", name="web1")])
        self.assertEqual((complaints(world), ended.unlocked - {f"instance/{record.uuid}"}), ([], set()))

    def test_unknown(self) -> None:
        """One that does not resolve is refused with the system's words, and nothing is made."""
        world = World()
        ended = self.run_in(world, "unresolvable.example", ip_check=True)
        self.assertEqual(
            pair(ended),
            [
                "OpPrereqError",
                [
                    f"The given name (unresolvable.example) does not resolve: {UNKNOWN}",
                    "resolver_error",
                ],
            ],
        )
        self.assertEqual((world.of(InstanceRecord), ended.steps), ({}, ["name.resolve"]))

    def test_another(self) -> None:
        """A name that is only another one's alias is refused; one that is spelled in capitals is not."""
        world = world_with_hosts()
        node = world.nodes.nodes[NODES[0]]
        node.hosts = {"other.example.com": ADDRESS, "web1.example.com": ADDRESS}
        self.assertEqual(pair(self.run_in(world, "WEB1.example.COM.")), None)
        node.hosts = {"web11.example.com": ADDRESS}
        other = "The given name (web2) is that of another host"
        node.aliases = {"web2": "web11.example.com"}
        self.assertEqual(
            pair(self.run_in(world, "web2")),
            [
                "OpPrereqError",
                [f"{other}, web11.example.com", "wrong_input"],
            ],
        )

    def test_in_use(self) -> None:
        """An address at which somebody answers is refused if that is to be checked."""
        world = world_with_hosts()
        node = world.nodes.nodes[NODES[0]]
        node.answering = {ADDRESS}
        self.assertEqual(
            pair(self.run_in(world, ip_check=True)),
            [
                "OpPrereqError",
                [f"Address {ADDRESS} of {FULL} is in use: somebody answers there", "resource_not_unique"],
            ],
        )
        self.assertEqual(node.done[-1], ProbeAddress(instance="", address=ADDRESS, port=1811))
        self.assertEqual(pair(self.run_in(world)), None)

    def test_free(self) -> None:
        """With both checks it is made; a dry run makes them, too."""
        world = world_with_hosts()
        ended = self.run_in(world, ip_check=True, dry_run=True)
        self.assertEqual((pair(ended), ended.steps), (None, ["name.resolve", "address.probe", "os.verify"]))
        ended = self.run_in(world, ip_check=True)
        self.assertEqual((pair(ended), ended.stages[:2]), (None, ["resolved", "probed"]))
        self.assertEqual(world.instance(FULL).pending, None)

    def test_family(self) -> None:
        """Addresses are of the cluster's family."""
        world = world_with_hosts()
        world.put(replace(world.cluster, primary_ip_version=6))
        self.run_in(world)
        asked = world.nodes.nodes[NODES[0]].done[0]
        self.assertEqual(asked, ResolveName(instance="", name="web1", family=6))

    def test_crash(self) -> None:
        """Wherever the master dies, the instance is made under its full name."""
        calm = world_with_hosts()
        self.run_in(calm, ip_check=True, nics=[{"ip": "auto"}])
        for crash in range(calm.moments):
            world = world_with_hosts()
            world.crashes = {crash}
            ended = self.run_in(world, ip_check=True, nics=[{"ip": "auto"}])
            self.assertEqual((pair(ended), complaints(world)), (None, []), crash)
            self.assertEqual(world.instance(FULL).nics[0].ip, ADDRESS, crash)

    def test_forthcoming(self) -> None:
        """One that keeps its place is committed under its short name."""
        world = world_with_hosts()
        self.run_in(world, forthcoming=True)
        self.assertEqual(world.instance(FULL).forthcoming, True)
        self.assertEqual(pair(self.run_in(world, commit=True)), None)
        self.assertEqual(world.instance(FULL).forthcoming, False)


class RenameTests(SynchronousTestCase):
    """Of instances that get another name."""

    def run_in(self, world: World, **parameters: Any) -> Ended:
        return world.run(
            op(
                "INSTANCE_RENAME",
                **{"instance_name": "a", "new_name": "web1", "name_check": True, **parameters},
            )
        )

    def world(self) -> World:
        """With an instance at rest."""
        world = world_with_hosts()
        world.run(create(start=False))
        return world

    def test_completed(self) -> None:
        """The new name is the full one."""
        world = self.world()
        ended = self.run_in(world, ip_check=True)
        self.assertEqual((pair(ended), ended.result), (None, FULL))
        self.assertEqual((complaints(world), world.instance(FULL).name), ([], FULL))

    def test_refused(self) -> None:
        """Unknown names and addresses in use, and a check of an address without one of the name."""
        world = self.world()
        world.nodes.nodes[NODES[0]].answering = {ADDRESS}
        for parameters, error in (
            (
                {"new_name": "x"},
                [
                    f"The given name (x) does not resolve: {UNKNOWN}",
                    "resolver_error",
                ],
            ),
            (
                {"ip_check": True},
                [f"Address {ADDRESS} of {FULL} is in use: somebody answers there", "resource_not_unique"],
            ),
            (
                {"ip_check": True, "name_check": False},
                ["IP address check requires a name check", "wrong_input"],
            ),
            ({"new_name": "a b"}, ["Invalid hostname 'a b'", "wrong_input"]),
        ):
            self.assertEqual(pair(self.run_in(world, **parameters)), ["OpPrereqError", error])
