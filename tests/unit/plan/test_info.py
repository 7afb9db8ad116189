"""Tests of the opcodes that look, and of those about active disks."""

from typing import Any

from msgspec.structs import replace
from twisted.trial.unittest import SynchronousTestCase

from tests.unit.plan.programs import DEVICES, NAMES, create, op
from tests.unit.plan.test_create import pair
from tests.unit.plan.test_power import UNKNOWN, changed, world_with
from twisted_rapi.plan.info import LOCKS_NEEDED
from twisted_rapi.testing.cluster import GROUP, NODES
from twisted_rapi.testing.nodes import NOOP
from twisted_rapi.testing.soundness import picture
from twisted_rapi.testing.world import World

A, B = NAMES

INFO = (
    *("name", "config_state", "run_state", "pnode", "pnode_group_uuid", "pnode_group_name", "snodes"),
    *("snodes_group_uuids", "snodes_group_names", "os", "nics", "disk_template", "disks", "hypervisor"),
    *("network_port", "hv_instance", "hv_actual", "be_instance", "be_actual", "os_instance", "os_actual"),
    *("serial_no", "mtime", "ctime", "uuid"),
)


class QueryDataTests(SynchronousTestCase):
    """``OP_INSTANCE_QUERY_DATA`` (behaviour.md §4)."""

    def test_whole(self) -> None:
        """All values of an instance, those of its disks as its node sees them."""
        world = world_with(nics=[{"ip": "192.0.2.7", "mac": "aa:00:00:00:00:01"}])
        ended = world.run(op("INSTANCE_QUERY_DATA", instances=["a"]))
        self.assertEqual((pair(ended), ended.steps, ended.log), (None, ["volume.inspect"], [LOCKS_NEEDED]))
        [found] = ended.result.values()
        record = world.instance(A)
        path = record.disks[0].logical_id[1]
        self.assertEqual(set(found), set(INFO))
        self.assertEqual(
            {k: found[k] for k in ("name", "config_state", "run_state", "pnode", "pnode_group_uuid")},
            {
                "name": A,
                "config_state": "up",
                "run_state": "up",
                "pnode": "node1.example.com",
                "pnode_group_uuid": GROUP,
            },
        )
        nic = record.nics[0]
        self.assertEqual(
            found["nics"], [[None, nic.uuid, "192.0.2.7", nic.mac, "bridged", "br0", "", None, None]]
        )
        [disk] = found["disks"]
        self.assertEqual((disk["iv_name"], disk["dev_type"], disk["size"]), ("disk/0", "file", 64))
        self.assertEqual(disk["logical_id"], ["loop", path])
        self.assertEqual(disk["pstatus"], [path, None, None, None, None, False, 1])
        self.assertEqual((disk["sstatus"], disk["children"], disk["drbd_info"]), (None, [], None))
        self.assertEqual((found["be_instance"], found["be_actual"]["maxmem"]), ({}, 128))

    def test_static(self) -> None:
        """Static values are had without asking a node."""
        ended = world_with().run(op("INSTANCE_QUERY_DATA", instances=[A], static=True))
        self.assertEqual(ended.steps, [])
        self.assertEqual((ended.result[A]["run_state"], ended.result[A]["disks"][0]["pstatus"]), (None, None))

    def test_states(self) -> None:
        """The state it runs in, for one that is down, offline, or on a node that is silent."""
        world = world_with(start=False)
        for admin, down, state in (
            ("down", False, "down"),
            ("offline", False, "offline"),
            ("down", True, None),
        ):
            changed(world, admin_state=admin)
            world.nodes.nodes[NODES[0]].down = down
            ended = world.run(op("INSTANCE_QUERY_DATA"))
            self.assertEqual((pair(ended), ended.result[A]["run_state"]), (None, state))

    def test_faulty_disk(self) -> None:
        """A volume of another size is told as faulty, one that is missing without a state."""
        world = world_with(start=False, **DEVICES)
        volumes = world.nodes.nodes[NODES[0]].volumes
        first, second = (disk.logical_id[1] for disk in world.instance(A).disks)
        volumes[first] = 1
        del volumes[second]
        disks = world.run(op("INSTANCE_QUERY_DATA")).result[A]["disks"]
        self.assertEqual([d["pstatus"] for d in disks], [[first, *[None] * 4, True, 4], None])

    def test_all(self) -> None:
        """Without names all instances are told, by name, those being made not."""
        world = world_with()
        world.meanwhile["recorded"] = lambda: names.append(list(world.run(op("INSTANCE_QUERY_DATA")).result))
        names: list[list[str]] = []
        world.run(create("0.example.com"))
        self.assertEqual(names, [[A]])
        self.assertEqual(list(world.run(op("INSTANCE_QUERY_DATA")).result), ["0.example.com", A])
        self.assertEqual(pair(world.run(op("INSTANCE_QUERY_DATA", instances=["nosuch"]))), UNKNOWN)

    def test_coming_and_going(self) -> None:
        """Instances that come while volumes are looked at get no other's volumes."""
        world = world_with()
        world.meanwhile["seen"] = lambda: world.run(create("0.example.com"))
        result = world.run(op("INSTANCE_QUERY_DATA")).result
        self.assertEqual(result["0.example.com"]["disks"][0]["pstatus"], None)
        path = world.instance(A).disks[0].logical_id[1]
        self.assertEqual(result[A]["disks"][0]["pstatus"][0], path)


class ActiveDisksTests(SynchronousTestCase):
    """``OP_INSTANCE_ACTIVATE_DISKS`` and ``OP_INSTANCE_DEACTIVATE_DISKS``."""

    def test_activate(self) -> None:
        """The result names each disk and where it is on its node."""
        world = world_with(start=False, **DEVICES)
        ended = world.run(op("INSTANCE_ACTIVATE_DISKS", instance_name=A))
        paths = [disk.logical_id[1] for disk in world.instance(A).disks]
        self.assertEqual(
            ended.result,
            [["node1.example.com", "disk/0", paths[0]], ["node1.example.com", "disk/1", paths[1]]],
        )
        self.assertTrue(world.instance(A).disks_active)

    def test_activation_fails(self) -> None:
        """One that fails is taken back."""
        world = world_with(start=False, **DEVICES)
        world.faults = {world.steps + 1: "fails"}
        ended = world.run(op("INSTANCE_ACTIVATE_DISKS", instance_name=A))
        self.assertEqual(pair(ended), ["OpExecError", ["Node node1.example.com: a planted fault"]])
        self.assertEqual(ended.steps, ["volume.activate"] * 2 + ["volume.deactivate"] * 2)
        self.assertFalse(world.instance(A).disks_active)

    def test_running(self) -> None:
        """The disks of one that runs stay in use whatever fails."""
        world = world_with()
        world.faults = {world.steps: "fails"}
        ended = world.run(op("INSTANCE_ACTIVATE_DISKS", instance_name=A))
        self.assertEqual((ended.steps, world.instance(A).disks_active), (["volume.activate"], True))

    def test_deactivate(self) -> None:
        """Disks of one at rest are no longer in use afterwards; the result is null."""
        world = world_with(start=False)
        world.run(op("INSTANCE_ACTIVATE_DISKS", instance_name=A))
        ended = world.run(op("INSTANCE_DEACTIVATE_DISKS", instance_name=A))
        self.assertEqual((pair(ended), ended.result, ended.steps), (None, None, ["volume.deactivate"]))
        self.assertFalse(world.instance(A).disks_active)

    def test_refused(self) -> None:
        """Unknown; marked up, or by force while running."""
        world = world_with()
        for force, text in (
            (False, f"Instance '{A}' is marked to be up, cannot shutdown disks"),
            (True, f"Instance '{A}' is running, cannot shutdown disks"),
        ):
            ended = world.run(op("INSTANCE_DEACTIVATE_DISKS", instance_name=A, force=force))
            self.assertEqual(pair(ended), ["OpPrereqError", [text, "wrong_state"]])
        for kind in ("ACTIVATE", "DEACTIVATE"):
            self.assertEqual(pair(world.run(op(f"INSTANCE_{kind}_DISKS", instance_name="nosuch"))), UNKNOWN)


class OsDiagnoseTests(SynchronousTestCase):
    """``OP_OS_DIAGNOSE``."""

    def rows(self, world: World, *fields: str, **parameters: Any) -> Any:
        return world.run(op("OS_DIAGNOSE", output_fields=list(fields), **parameters)).result

    def test_rows(self) -> None:
        """A row for each definition with the fields in their order."""
        self.assertEqual(
            self.rows(World(), "name", "variants", "valid", "hidden", "api_versions"),
            [["noop", ["default", "alt"], True, False, [10, 15, 20]]],
        )
        self.assertEqual(self.rows(World(), "name", names=["other"]), [])

    def test_shared(self) -> None:
        """Valid is what all nodes have that can run instances; variants are those they share."""
        world = World()
        oses = {
            NODES[0]: (NOOP,),
            NODES[1]: (replace(NOOP, variants=("alt",)),),
            NODES[2]: (replace(NOOP, variants=("alt", "x")), replace(NOOP, name="lone")),
        }
        for uuid, found in oses.items():
            world.nodes.nodes[uuid].oses = found
        self.assertEqual(
            self.rows(world, "name", "variants", "valid"), [["lone", [], False], ["noop", ["alt"], True]]
        )

    def test_unknown_field(self) -> None:
        """A field that does not exist is named."""
        world = World()
        before = picture(world)
        ended = world.run(op("OS_DIAGNOSE", output_fields=["name", "colour"]))
        self.assertEqual(
            pair(ended), ["OpPrereqError", ["Unknown output fields selected: colour", "wrong_input"]]
        )
        self.assertEqual(picture(world), before)
