"""Exports, imports and moves: disks whose data goes from node to node."""

from itertools import product
from random import Random
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.unit.plan.programs import op
from tests.unit.plan.templates import A, B, well, world_with
from tests.unit.plan.test_moving import primary, uuids, where
from tests.unit.plan.test_properties import FAULTS
from twisted_rapi.errors import OpPrereqError, StepFailed
from twisted_rapi.model.opcodes import Opcode
from twisted_rapi.model.records import InstanceRecord
from twisted_rapi.model.steps import SendStream
from twisted_rapi.plan import export_config
from twisted_rapi.plan.proofs import digest
from twisted_rapi.testing.nodes import FakeNode
from twisted_rapi.testing.soundness import complaints, picture
from twisted_rapi.testing.world import World

DISKS = [{"size": 64, "name": "root"}, {"size": 32}]
NICS = [{"ip": "192.0.2.7", "mac": "aa:00:00:00:00:01"}, {}]
MACHINE: dict[str, Any] = {
    "disks": DISKS,
    "nics": NICS,
    "tags": ["x", "y"],
    "osparams": {"dhcp": "50%"},
    "beparams": {"minmem": 64, "maxmem": 128, "vcpus": 2},
}


def export(target: str = "node2", **more: Any) -> Opcode:
    """An export of the instance."""
    return op("BACKUP_EXPORT", instance_name=A, target_node=target, **more)


def import_of(name: str = B, **more: Any) -> Opcode:
    """An instance made of the export."""
    usual = {
        "instance_name": name,
        "mode": "import",
        "disks": [],
        "nics": [],
        "src_path": A,
        "pnode": "node3",
    }
    return op("INSTANCE_CREATE", **{**usual, **more})


def move(**more: Any) -> Opcode:
    """A move of the instance to the second node."""
    return op("INSTANCE_MOVE", instance_name=A, **{"target_node": "node2", **more})


def node(world: World, name: str) -> FakeNode:
    """A node by the first part of its name."""
    return world.nodes.nodes[uuids(world)[name]]


def half_made(world: World) -> list[str]:
    """What is left of exports that are not whole, and who still listens."""
    return [
        thing
        for n in world.nodes.nodes.values()
        for thing in (*n.half_exports, *(t for t, (_, whole) in n.streams.items() if not whole))
        if not n.down
    ]


class ExportTests(SynchronousTestCase):
    """``OP_BACKUP_EXPORT``, ``OP_BACKUP_PREPARE``, ``OP_BACKUP_REMOVE``."""

    def test_log(self) -> None:
        """A stopped instance is exported; what is told is told as observed."""
        world = world_with("file", disks=[{"size": 64}], start=False)
        here, there = (world.view().node(name).name for name in ("node1", "node2"))
        ended = well(world.run(export()))
        self.assertEqual(ended.result, [True, [True]])
        self.assertEqual(
            ended.log,
            [
                f"Shutting down instance {A}",
                f"Activating disks for {A}",
                f"Exporting disk/0 from {here} to {there}",
                "disk/0 is now listening, starting export",
                "disk/0 finished receiving data",
                "disk/0 finished sending data",
                f"Finalizing export on {there}",
                f"Deactivating disks for {A}",
                f"Removing old exports for instance {A}",
            ],
        )
        self.assertEqual((list(node(world, "node2").exports), ended.unlocked), ([A], set()))

    def test_running(self) -> None:
        """What ran runs again, on the node it was on; without a shutdown it runs on."""
        world = world_with("file", **MACHINE)
        [before] = node(world, "node1").domains.values()
        well(world.run(export()))
        [after] = node(world, "node1").domains.values()
        self.assertNotEqual(before.boot, after.boot)
        ended = well(world.run(export("node3", shutdown=False)))
        [later] = node(world, "node1").domains.values()
        self.assertEqual(later, after)
        self.assertTrue(any("may not be consistent" in line for line in ended.log))
        self.assertEqual((node(world, "node2").exports, list(node(world, "node3").exports)), ({}, [A]))
        self.assertEqual((complaints(world), half_made(world)), ([], []))

    def test_removed(self) -> None:
        """With `remove_instance` nothing is left but the export."""
        world = world_with("file", **MACHINE)
        ended = well(world.run(export(remove_instance=True)))
        self.assertEqual((world.of(InstanceRecord), complaints(world), where(world)), ({}, [], []))
        self.assertEqual((ended.result, list(node(world, "node2").exports)), ([True, [True, True]], [A]))
        well(world.run(op("BACKUP_REMOVE", instance_name=A)))
        self.assertEqual(node(world, "node2").exports, {})

    def test_refused(self) -> None:
        """What cannot be meant is said before anything is done."""
        world = world_with("file", **MACHINE)
        before = picture(world)
        for opcode, code in (
            (export("nosuch"), "unknown_entity"),
            (export(remove_instance=True, shutdown=False), "wrong_input"),
            (export(compress="lzop"), "wrong_input"),
            (export(zero_free_space=True), "wrong_input"),
            (op("BACKUP_EXPORT", instance_name=A, target_node=[], mode="local"), "wrong_input"),
            (op("BACKUP_EXPORT", instance_name="nosuch", target_node="node2"), "unknown_entity"),
        ):
            error = world.run(opcode).error
            assert error is not None
            self.assertEqual(error.code, code, opcode)
        node(world, "node2").down = True
        error = world.run(export()).error
        assert error is not None
        self.assertEqual(error.code, "environment_error")
        node(world, "node2").down = False
        self.assertEqual(picture(world), before)

    def test_failed(self) -> None:
        """A transfer that fails leaves no half export, an older one stays, and the guest runs again."""
        world = world_with("file", **MACHINE)
        well(world.run(export()))
        older = dict(node(world, "node2").exports)
        node(world, "node1").faults = {SendStream: [StepFailed("no way", "stream")]}
        error = world.run(export()).error
        assert error is not None
        self.assertRegex(error.text, "^Export failed, errors in .*no way")
        self.assertEqual((node(world, "node2").exports, half_made(world)), (older, []))
        self.assertEqual((where(world), complaints(world)), (["node1"], []))

    def test_remote(self) -> None:
        """A key for another cluster is shown with proof of the common secret, which stays the same."""
        world = world_with("file")
        prepare = op("BACKUP_PREPARE", instance_name=A, mode="remote")
        ended = well(world.run(prepare))
        secret = world.cluster.domain_secret
        self.assertEqual((len(secret), ended.unlocked), (64, set()))
        version, proof, salt = ended.result["handshake"]
        self.assertEqual((version, proof), (0, digest(secret, "0:Hi, I'm Ganeti", salt)))
        name, proof, salt = ended.result["x509_key_name"]
        self.assertEqual(proof, digest(secret, name, salt))
        head, _, certificate = ended.result["x509_ca"].partition("\n\n")
        self.assertEqual(head, f"X-Ganeti-Signature: {salt}/{digest(secret, certificate, salt)}")
        well(world.run(prepare))
        self.assertEqual(world.cluster.domain_secret, secret)

    def test_digest(self) -> None:
        """SHA-1 of salt and text under the secret, in hex (RFC 2202, case 2)."""
        self.assertEqual(
            digest("Jefe", " do ya want for nothing?", "what"), "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79"
        )

    def test_small_ones(self) -> None:
        """Preparing a local export changes nothing; removing one that is not there is told."""
        world = world_with("file")
        self.assertIsNone(well(world.run(op("BACKUP_PREPARE", instance_name=A, mode="local"))).result)
        ended = well(world.run(op("BACKUP_REMOVE", instance_name=A)))
        self.assertTrue(any("Export not found" in line for line in ended.log))


class ConfigTests(SynchronousTestCase):
    """``config.ini``."""

    def test_round(self) -> None:
        """What is written is read again, whatever characters values have."""
        world = world_with("file", **MACHINE)
        text = export_config.written(world.view(), world.instance(A), 1795230107.9)
        self.assertIn("timestamp = 1795230107\n", text)
        found = export_config.read(text)
        self.assertEqual(found.dumps, ("disk0.dump", "disk1.dump"))
        self.assertEqual(found.values["disks"], DISKS)
        self.assertEqual(found.values["nics"][0]["ip"], "192.0.2.7")
        self.assertEqual(found.values["os_params"], {"dhcp": "50%"})
        self.assertEqual(found.values["tags"], ["x", "y"])

    def test_corrupt(self) -> None:
        """What is no configuration, or another release's, is refused."""
        whole = export_config.written(world_with("file").view(), world_with("file").instance(A), 0.0)
        for text in (
            "",
            "no section",
            "[export]\nversion = 0\n",
            whole.replace("version = 0", "version = 7"),
            whole.replace("compression = none", "compression = xz"),
            whole.replace("disk_count = 1", "disk_count = -1"),
            whole.replace("disk0_size = 640", "disk0_size = much"),
        ):
            error = self.assertRaises(OpPrereqError, export_config.read, text)
            self.assertEqual(error.code, "environment_error", text)


class ImportTests(SynchronousTestCase):
    """``OP_INSTANCE_CREATE`` of an export."""

    def setUp(self) -> None:
        self.world = world_with("file", **MACHINE)
        well(self.world.run(export()))

    def test_all(self) -> None:
        """What the request does not say is as it was; another name means other MAC addresses."""
        ended = well(self.world.run(import_of()))
        made, old = self.world.instance(B), self.world.instance(A)
        self.assertEqual((complaints(self.world), half_made(self.world), ended.unlocked), ([], [], set()))
        for field in ("os", "hypervisor", "disk_template", "tags", "osparams", "admin_state"):
            self.assertEqual(getattr(made, field), getattr(old, field), field)
        self.assertEqual([(d.size, d.name) for d in made.disks], [(d.size, d.name) for d in old.disks])
        self.assertEqual([n.ip for n in made.nics], [n.ip for n in old.nics])
        self.assertFalse({n.mac for n in made.nics} & {n.mac for n in old.nics})
        self.assertEqual({k: int(v) for k, v in made.beparams.items()}["maxmem"], 128)

    def test_same_name(self) -> None:
        """Under its own name it has its addresses again; with `identify_defaults` only what is unusual."""
        before = self.world.instance(A)
        well(self.world.run(op("INSTANCE_REMOVE", instance_name=A)))
        well(self.world.run(import_of(A, src_path=None, identify_defaults=True)))
        made = self.world.instance(A)
        self.assertEqual([n.mac for n in made.nics], [n.mac for n in before.nics])
        unusual = {"minmem": 64, "vcpus": 2}
        self.assertEqual((made.beparams, made.hvparams), (unusual, before.hvparams))

    def test_asked(self) -> None:
        """What the request says counts."""
        well(
            self.world.run(
                import_of(
                    src_node="node2",
                    disks=[{"size": 128}, {"size": 64}],
                    nics=[{}],
                    beparams={"memory": 256},
                    disk_template="plain",
                    tags=["z"],
                    start=False,
                )
            )
        )
        made = self.world.instance(B)
        self.assertEqual(([d.size for d in made.disks], made.disk_template), ([128, 64], "plain"))
        self.assertEqual((len(made.nics), made.tags, made.admin_state), (1, ("z",), "down"))
        self.assertEqual((made.beparams["minmem"], made.beparams["maxmem"]), (256, 256))
        self.assertEqual(complaints(self.world), [])

    def test_refused(self) -> None:
        """There has to be such an export, with no more disks than the instance."""
        before = picture(self.world)
        for more in (
            {"src_path": "nosuch"},
            {"src_node": "node3"},
            {"src_node": "nosuch"},
            {"src_path": "/a/b"},
            {"disks": [{"size": 1}]},
        ):
            self.assertIsNotNone(self.world.run(import_of(**more)).error, more)
        self.assertEqual(picture(self.world), before)

    def test_dry_run(self) -> None:
        """A dry run reads the export and changes nothing."""
        before = picture(self.world)
        ended = well(self.world.run(import_of(dry_run=True)))
        self.assertEqual(len(ended.result), 1)
        self.assertEqual(picture(self.world), before)


class MoveTests(SynchronousTestCase):
    """``OP_INSTANCE_MOVE``."""

    def test_templates(self) -> None:
        """Disks that a node has alone are copied; others need not be."""
        for template in ("file", "plain"):
            for start in (True, False):
                world = world_with(template, start=start)
                ended = well(world.run(move(compress="gzip")))
                self.assertEqual((primary(world), complaints(world), ended.unlocked), ("node2", [], set()))
                self.assertEqual((where(world), half_made(world)), (["node2"] if start else [], []))
        for template in ("sharedfile", "drbd", "rbd"):
            error = world_with(template).run(move()).error
            assert error is not None
            text = f"Disk template {template} not suitable for copying"
            self.assertEqual(error.pair(), ["OpPrereqError", [text, "wrong_state"]])

    def test_refused(self) -> None:
        """To another node that has room, and is another machine."""
        world = world_with("file")
        for more, code in (
            ({"target_node": "node1"}, "wrong_state"),
            ({"target_node": "nosuch"}, "unknown_entity"),
            ({"compress": "xz"}, "wrong_input"),
        ):
            error = world.run(move(**more)).error
            assert error is not None
            self.assertEqual(error.code, code)

    def test_failed(self) -> None:
        """Where the copy fails the instance runs on where it was, and nothing is left at the target."""
        world = world_with("file")
        node(world, "node1").faults = {SendStream: [StepFailed("no way", "stream")]}
        error = world.run(move()).error
        assert error is not None
        self.assertIn("no way", error.text)
        self.assertEqual((where(world), primary(world), complaints(world)), (["node1"], "node1", []))


SCENES: dict[str, tuple[tuple[Opcode, ...], Opcode]] = {
    "export": ((), export()),
    "export and remove": ((), export(remove_instance=True)),
    "import": ((export(),), import_of()),
    "move": ((), move()),
    "remove an export": ((export(),), op("BACKUP_REMOVE", instance_name=A)),
}


class InterruptionTests(SynchronousTestCase):
    """The master, a node or a step fails at every single place."""

    def setUp(self) -> None:
        self.worlds: dict[str, World] = {}

    def _scene(self, name: str) -> tuple[World, Opcode]:
        before, opcode = SCENES[name]
        if name not in self.worlds:
            world = self.worlds[name] = world_with("file", **MACHINE)
            for each in before:
                well(world.run(each))
        return self.worlds[name].fork(Random(0)), opcode

    def _end(self, world: World, opcode: Opcode) -> Any:
        ended = world.run(opcode)
        exports = [sorted(n.exports) for n in world.nodes.nodes.values()]
        instances = sorted(i.name for i in world.of(InstanceRecord).values())
        return ended.error, ended.result, where(world), exports, instances, complaints(world)

    def test_crash_anywhere(self) -> None:
        """Wherever the master dies, once or twice, the end is the same."""
        for name in SCENES:
            calm, opcode = self._scene(name)
            first = calm.moments
            wanted = self._end(calm, opcode)
            self.assertEqual((wanted[0], wanted[-1]), (None, []), name)
            for crash, again in product(range(first, calm.moments), (None, 1, 3)):
                stormy, opcode = self._scene(name)
                stormy.crashes = {crash} if again is None else {crash, crash + again}
                self.assertEqual(self._end(stormy, opcode), wanted, f"{name}: {stormy.crashes}")

    def test_fault_anywhere(self) -> None:
        """Whatever fails, nothing is lost, doubled or half made once all nodes answer."""
        for name in SCENES:
            calm, opcode = self._scene(name)
            first = calm.steps
            calm.run(opcode)
            for step, fault in product(range(first, calm.steps), FAULTS):
                world, opcode = self._scene(name)
                world.faults = {step: fault}
                ended = world.run(opcode)
                world.settle()
                told = f"{name}: {world.faults} {step} {fault} {ended.error}"
                removing = name == "export and remove" and "removing" in ended.stages
                found = [c for c in complaints(world) if not (removing and c.endswith(" is missing"))]
                self.assertEqual((found, world.leftovers, ended.unlocked), ([], {}, set()), told)
                self.assertLessEqual(len(where(world)), 1 if name != "import" else 2, told)
