"""Instances that move to another cluster: two worlds, one of which waits for what the other sends."""

from collections.abc import Callable
from itertools import product
from random import Random
from typing import Any

import attrs
from msgspec.structs import replace
from twisted.trial.unittest import SynchronousTestCase

from tests.unit.plan.programs import op
from tests.unit.plan.templates import A, B, well, world_with
from tests.unit.plan.test_moving import uuids, where
from tests.unit.plan.test_properties import FAULTS
from twisted_rapi.errors import OpPrereqError, StepFailed
from twisted_rapi.model.records import InstanceRecord
from twisted_rapi.model.steps import OpenStream, SendStream
from twisted_rapi.plan import proofs
from twisted_rapi.testing.certificates import self_signed
from twisted_rapi.testing.soundness import complaints, picture
from twisted_rapi.testing.world import Ended, World

SECRET = "a secret of both"
DISKS = [{"size": 64}, {"size": 32}]


def half_made(world: World) -> list[str]:
    """Who still listens, or keeps in mind what was sent."""
    return [t for n in world.nodes.nodes.values() if not n.down for t in (*n.streams, *n.sent)]


def keys(world: World) -> list[str]:
    """The keys its nodes have."""
    return [key for n in world.nodes.nodes.values() for key in n.keys]


@attrs.define
class Move:
    """
    A move of an instance from one cluster to another.

    :ivar prepared: the result of the preparation; `sent`: how the export ended, once it was asked for.
    :ivar told: what the log of the creation said; `sends`: whether what is sent arrives.
    :ivar export: further parameters of the export; `create`: of the creation.
    """

    source: World
    target: World
    prepared: dict[str, Any] = attrs.field(factory=dict)
    sent: Ended | None = None
    told: dict[str, Any] = attrs.field(factory=dict)
    sends: bool = True
    export: dict[str, Any] = attrs.field(factory=dict)
    create: dict[str, Any] = attrs.field(factory=dict)

    def prepare(self) -> None:
        """The first of the requests."""
        opcode = op("BACKUP_PREPARE", instance_name=A, mode="remote")
        self.prepared = well(self.source.run(opcode)).result

    def connect(self) -> None:
        """Have the nodes of one reach those of the other; the export is asked for when it is waited for."""
        for node in self.target.nodes.nodes.values():
            node.awaited, node.confirming = self.arrive, self.send
        self.source.nodes.shared.abroad = list(self.target.nodes.nodes.values())

    def fork(self) -> "Move":
        """Another one that is as this one is now."""
        source, target = (world.fork(Random(0)) for world in (self.source, self.target))
        move = Move(source, target, self.prepared, export=self.export, create=self.create)
        move.connect()
        return move

    def receive(self, **more: Any) -> Ended:
        """The second request; answers how its job ends."""
        given = {
            "instance_name": B,
            "mode": "remote-import",
            "disks": [{"size": disk.size} for disk in self.source.instance(A).disks],
            "nics": [{}],
            "os_type": "noop+default",
            "disk_template": "file",
            "pnode": "node3",
            "source_handshake": self.prepared["handshake"],
            "source_x509_ca": self.prepared["x509_ca"],
            "source_instance_name": A,
            **self.create,
            **more,
        }
        ended = self.target.run(op("INSTANCE_CREATE", **given))
        if ended.entries:
            self.told = self.told or ended.entries[-1].value
            self.send()  # it has failed there before all had come
        return ended

    def arrive(self) -> None:
        """What is sent arrives, unless nobody sends; who sent it waits."""
        if self.sends:
            for node in self.target.nodes.nodes.values():
                node.arrive()

    def send(self) -> None:
        """The last request, once: its job comes to its end as soon as the other cluster lets it."""
        if self.sent is None:
            told = self.told or self.target.running.entries[-1].value
            self.sent = Ended()
            self.sent = self.exported(target_node=told["disks"], destination_x509_ca=told["x509_ca"])

    def exported(self, **more: Any) -> Ended:
        """How the job of an export ends."""
        given = {"mode": "remote", "x509_key_name": self.prepared["x509_key_name"], **self.export, **more}
        return self.source.run(op("BACKUP_EXPORT", instance_name=A, **given))


def move(**more: Any) -> Move:
    """A prepared move of an instance with two disks."""
    source, target = (world_with("file", name=n, disks=DISKS) for n in (A, "other.example.com"))
    for world in (source, target):
        world.put(replace(world.cluster, domain_secret=SECRET))
    made = Move(source, target, **more)
    made.prepare()
    made.connect()
    return made


class RemoteTests(SynchronousTestCase):
    """Modes ``remote`` and ``remote-import``."""

    def test_moved(self) -> None:
        """What was here is there; both logs tell of it, and nothing else is left."""
        moving = move(export={"remove_instance": True})
        ended = well(moving.receive())
        assert moving.sent is not None
        sent = well(moving.sent)
        self.assertEqual((sent.result, ended.result), ([True, [True, True]], ["node3.example.com"]))
        self.assertEqual((sent.unlocked, ended.unlocked), (set(), set()))
        self.assertEqual(moving.source.of(InstanceRecord), {})
        self.assertEqual(where(moving.target), ["node1", "node3"])
        for world in (moving.source, moving.target):
            self.assertEqual((complaints(world), half_made(world), keys(world)), ([], [], []))
        self.assertEqual(
            [line for line in sent.log if "disk/" in line],
            [
                *(f"Sending disk/{n} to 192.0.2.3:4321" for n in (0, 1)),
                *(f"disk/{n} finished sending data" for n in (0, 1)),
            ],
        )
        self.assertIn(f"* preparing remote import from instance {A}...", ended.log)

    def test_kept(self) -> None:
        """Without `remove_instance` the instance runs on here once its disks are there."""
        moving = move(create={"start": False})
        [before] = moving.source.nodes.nodes[uuids(moving.source)["node1"]].domains.values()
        well(moving.receive())
        [after] = moving.source.nodes.nodes[uuids(moving.source)["node1"]].domains.values()
        self.assertNotEqual(before.boot, after.boot)
        self.assertEqual((where(moving.target), complaints(moving.source)), (["node1"], []))
        self.assertEqual(moving.target.instance(B).admin_state, "down")

    def test_diskless(self) -> None:
        """An instance without disks has nothing that is sent."""
        moving = move()
        well(moving.source.run(op("INSTANCE_REMOVE", instance_name=A)))
        small = world_with("diskless", disks=[])
        moving.source.records = {**small.records, "cluster": replace(small.cluster, domain_secret=SECRET)}
        moving.source.nodes.become(small.nodes)
        moving.prepare()
        ended = well(moving.receive(disk_template="diskless", disks=[]))
        told = ended.entries[-1].value
        self.assertEqual(told["disks"], [])
        sent = well(moving.exported(target_node=[], destination_x509_ca=told["x509_ca"]))
        self.assertEqual(sent.result, [True, []])

    def test_unknown(self) -> None:
        """Where the sender may not know that all has come both have the instance, and it runs here only."""
        moving = move(export={"remove_instance": True})
        node = moving.source.nodes.nodes[uuids(moving.source)["node1"]]
        node.faults = {SendStream: [StepFailed("no way", "stream")]}
        ended = well(moving.receive())
        assert moving.sent is not None and moving.sent.error is not None
        self.assertRegex(str(ended.log), "WARNING: the other cluster may not know")
        self.assertEqual(
            moving.sent.error.text,
            "Export failed, errors in disk export: disk(s) 0: Node node1.example.com: no way",
        )
        self.assertEqual((where(moving.source), where(moving.target)), (["node1"], ["node1"]))
        self.assertEqual(moving.target.instance(B).admin_state, "down")
        for world in (moving.source, moving.target):
            self.assertEqual((complaints(world), half_made(world)), ([], []))
        self.assertEqual(keys(moving.target), [])

    def test_patience(self) -> None:
        """The sender has three minutes and what its instance takes to stop, but no longer than its key."""
        for timeout, patience in ((0, 180.0), (120, 300.0), (2**62, 86400.0)):
            moving = move()
            well(moving.receive(source_shutdown_timeout=timeout))
            node = moving.target.nodes.nodes[uuids(moving.target)["node3"]]
            found = {step.patience for step in node.done if isinstance(step, OpenStream)}
            self.assertEqual(found, {patience})

    def test_nobody_sends(self) -> None:
        """A creation nobody sends anything for ends, and leaves nothing."""
        moving = move(sends=False)
        before = picture(moving.target)
        error = moving.receive().error
        assert error is not None and moving.sent is not None
        self.assertIn("nobody listens", str(moving.sent.error))
        self.assertEqual((picture(moving.target), half_made(moving.target)), (before, []))
        self.assertEqual(keys(moving.target), [])

    def test_dry_run(self) -> None:
        """A dry run judges and changes nothing."""
        moving = move()
        before = picture(moving.target)
        self.assertEqual(len(well(moving.receive(dry_run=True)).result), 1)
        self.assertEqual((picture(moving.target), keys(moving.target)), (before, []))


class RefusalTests(SynchronousTestCase):
    """What is refused before anything is done, with ``wrong_input``."""

    def _refused(self, work: Callable[[], Ended], text: str) -> None:
        error = work().error
        assert error is not None, text
        self.assertRegex(error.text, text)
        self.assertEqual((type(error), error.code), (OpPrereqError, "wrong_input"), text)

    def test_creation(self) -> None:
        """Handshake, certificate and name are needed, and have to be proven."""
        moving = move()
        before = picture(moving.target)
        _, proof, salt = moving.prepared["handshake"]
        other = proofs.signed("another secret", self_signed("n"), "s")
        old, new = (proofs.signed(SECRET, self_signed("n", *y), "s") for y in ((2001, 2002), (2190, 2191)))
        rows: tuple[tuple[dict[str, Any], str], ...] = (
            ({"source_handshake": None}, "Missing source handshake"),
            ({"source_handshake": [0, proof]}, "Invalid handshake: .* 2 parts"),
            ({"source_handshake": [1, proof, salt]}, "Invalid handshake: .*version"),
            ({"source_handshake": [0, proof, 5]}, "Invalid handshake"),
            ({"source_handshake": [0, "é" * 40, salt]}, "Invalid handshake: the hash is wrong"),
            ({"source_handshake": [0, proof, salt + "x"]}, "Invalid handshake: the hash is wrong"),
            ({"source_x509_ca": None}, "Missing source X509 CA"),
            (
                {"source_x509_ca": self_signed("n")},
                "X509 CA .*no certificate with a signature",
            ),
            ({"source_x509_ca": other}, "X509 CA .*signature is wrong"),
            ({"source_x509_ca": old}, "no longer valid"),
            (
                {"source_x509_ca": new},
                "not valid before",
            ),
            ({"source_instance_name": None}, "Missing source instance name"),
            ({"source_instance_name": "a b"}, "a b"),
            ({"compress": "lzop"}, "lzop"),
            ({"disks": [{"adopt": "x"}]}, "adoption"),
        )
        for more, text in rows:
            self._refused(lambda more=more: moving.receive(**more), text)  # type: ignore[misc]
        moving.target.put(replace(moving.target.cluster, domain_secret=""))
        self._refused(moving.receive, "Invalid handshake")
        moving.target.put(replace(moving.target.cluster, domain_secret=SECRET))
        self.assertEqual(picture(moving.target), before)

    def test_export(self) -> None:
        """Key, certificate and destinations are needed, and have to be proven."""
        moving = move()
        where_to = proofs.Destination("192.0.2.1", 4321, "magic")
        good = [proofs.destination(SECRET, n, where_to, "salt") for n in range(2)]
        authority = proofs.signed(SECRET, self_signed("n"), "salt")
        name, proof, salt = moving.prepared["x509_key_name"]
        before = picture(moving.source)
        rows: tuple[tuple[dict[str, Any], str], ...] = (
            ({"x509_key_name": None}, "Missing X509 key name"),
            ({"x509_key_name": [name, proof]}, "X509 key name: .* 2 parts"),
            ({"x509_key_name": ["x509-other", proof, salt]}, "X509 key name: the hash is wrong"),
            ({"x509_key_name": [5, proof, salt]}, "X509 key name"),
            ({"destination_x509_ca": None}, "Missing destination X509 CA"),
            ({"destination_x509_ca": "x"}, "Invalid destination X509 CA"),
            ({"target_node": "node2"}, "where the other cluster waits"),
            ({"target_node": good[:1]}, "destination information for 1 disks, but instance .* has 2"),
            ({"target_node": [good[1], good[0]]}, "Target info for disk 0: the hash is wrong"),
            ({"target_node": [good[0], "x"]}, "Target info for disk 1"),
            ({"target_node": [good[0], ["h", 70000, "m", "p", "s"]]}, "Target info for disk 1: the port"),
            ({"target_node": [good[0], ["", 7, "m", "p", "s"]]}, "Target info for disk 1: host"),
            ({"remove_instance": True, "shutdown": False}, "without shutting it down"),
            ({"compress": "lzop"}, "lzop"),
            ({"zero_free_space": True}, "Zeroing"),
        )
        for more, text in rows:
            given = {"target_node": good, "destination_x509_ca": authority, **more}
            self._refused(lambda given=given: moving.exported(**given), text)  # type: ignore[misc]
        self.assertEqual(picture(moving.source), before)


class InterruptionTests(SynchronousTestCase):
    """One of the masters, a node or a step fails at every single place."""

    def setUp(self) -> None:
        self.still = move(export={"remove_instance": True})

    def _pictures(self, moving: Move) -> Any:
        worlds = (moving.source, moving.target)
        names = [sorted(i.name for i in world.of(InstanceRecord).values()) for world in worlds]
        return names, [where(w) for w in worlds], [complaints(w) for w in worlds], [keys(w) for w in worlds]

    def test_crash_anywhere(self) -> None:
        """Wherever a master dies, once or twice, the end is the same."""
        calm = self.still.fork()
        firsts = {"source": calm.source.moments, "target": calm.target.moments}
        well(calm.receive())
        wanted = self._pictures(calm)
        for side, first in firsts.items():
            last = getattr(calm, side).moments
            for crash, again in product(range(first, last), (None, 1, 3)):
                moving = self.still.fork()
                crashes = {crash} if again is None else {crash, crash + again}
                getattr(moving, side).crashes = crashes
                ended = moving.receive()
                self.assertEqual(ended.error, None, f"{side}: {crashes}")
                self.assertEqual(self._pictures(moving), wanted, f"{side}: {crashes}")
                self.assertEqual([half_made(w) for w in (moving.source, moving.target)], [[], []])

    def test_fault_anywhere(self) -> None:
        """Whatever fails, the instance is somewhere, and nothing is half made once all nodes answer."""
        calm = self.still.fork()
        firsts = {"source": calm.source.steps, "target": calm.target.steps}
        well(calm.receive())
        for side, first in firsts.items():
            for step, fault in product(range(first, getattr(calm, side).steps), FAULTS):
                moving = self.still.fork()
                getattr(moving, side).faults = {step: fault}
                ended = moving.receive()
                told = f"{side} {step} {fault}: {ended.error}, {moving.sent}"
                for world in (moving.source, moving.target):
                    world.settle()
                self._check(moving, told)

    def _check(self, moving: Move, told: str) -> None:
        there = B in [i.name for i in moving.target.of(InstanceRecord).values()]
        here = A in [i.name for i in moving.source.of(InstanceRecord).values()]
        self.assertTrue(here or there, told)
        removing = moving.sent is not None and "removing" in moving.sent.stages
        found = [c for c in complaints(moving.source) if not (removing and c.endswith(" is missing"))]
        self.assertEqual((found, complaints(moving.target)), ([], []), told)
        self.assertEqual((moving.source.leftovers, moving.target.leftovers), ({}, {}), told)
        self.assertEqual(keys(moving.target), [], told)
