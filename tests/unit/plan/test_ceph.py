"""Tests of the opcodes about Ceph."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from twisted.trial.unittest import SynchronousTestCase

from tests.unit.plan.programs import NAMES, op
from tests.unit.plan.templates import made, world_of
from twisted_rapi.errors import BadRequest
from twisted_rapi.model import rbd
from twisted_rapi.model.ceph import AddOsd
from twisted_rapi.model.fate import NodeFateRecord
from twisted_rapi.model.opcodes import from_wire
from twisted_rapi.model.records import NodeRecord
from twisted_rapi.model.seen import DomainSeen
from twisted_rapi.model.steps import AwaitDrained, ChangeCeph, LookAtCeph
from twisted_rapi.plan.locks import Lock
from twisted_rapi.plan.table import locks_for
from twisted_rapi.storage.simulated_ceph import CephNotes
from twisted_rapi.testing.cluster import NODES

A, B = NAMES
MIB = 1 << 20
AT = {"pool": "rbd", "volume": "v"}


def change(kind: str, **parameters: Any) -> Any:
    """A change of Ceph."""
    return op("CEPH_CHANGE", change=kind, **parameters)


class CephCase(SynchronousTestCase):
    """Three nodes that reach a Ceph, with a pool ``rbd`` and a volume in it."""

    def setUp(self) -> None:
        self.world = world_of()
        self.done(change("volume.add", **AT, size=4 * MIB))
        for node in self.world.nodes.nodes.values():
            node.done.clear()

    def done(self, opcode: Any) -> Any:
        """Its result."""
        ended = self.world.run(opcode)
        self.assertEqual((ended.error, ended.unlocked), (None, set()), opcode)
        return ended.result

    def refused(self, opcode: Any, code: str) -> str:
        """Why it cannot be; nothing was changed."""
        before = self.changes()
        ended = self.world.run(opcode)
        assert ended.error is not None, opcode
        self.assertEqual(ended.error.code, code, ended.error.text)
        self.assertEqual(self.changes(), before)
        return ended.error.text

    def changes(self) -> list[str]:
        """Which nodes were asked to change something, in the order of the nodes."""
        nodes = self.world.nodes.nodes.items()
        return [uuid for uuid, node in nodes for step in node.done if isinstance(step, ChangeCeph)]

    @property
    def notes(self) -> CephNotes:
        """What there is."""
        shared = self.world.nodes.shared
        return CephNotes(shared.ceph, shared.shelves["rbd"])

    def names(self, subject: Any, pool: str = "rbd", volume: str = "") -> set[str]:
        """What there is of a kind."""
        return {one["name"] for one in self.notes.look(subject, pool, volume)}


class ChangeTests(CephCase):
    """Changes that nobody's disks are about."""

    def test_all(self) -> None:
        """Each does what it says."""
        self.done(change("option", name="noout", on=True))
        self.done(change("pool.add", pool="p", pgs=8, copies=2, least=1, tier="ssd"))
        self.done(change("pool.pgs", pool="p", pgs=16))
        self.done(change("volume.resize", **AT, size=8 * MIB))
        self.done(change("volume.copy", **AT, name="copy"))
        self.done(change("volume.rename", **AT, name="w"))
        at = {"pool": "rbd", "volume": "w"}
        self.done(change("snapshot.add", **at, snapshot="s"))
        self.done(change("snapshot.rename", **at, snapshot="s", name="t"))
        self.done(change("volume.rollback", **at, snapshot="t"))
        self.done(change("volume.unlock", **at))
        self.assertEqual(self.names("options"), {"noout"})
        [pool] = [one for one in self.notes.look("pools", "", "") if one["name"] == "p"]
        self.assertEqual(
            {k: pool[k] for k in ("pgs", "copies", "tier")}, {"pgs": 16, "copies": 2, "tier": "ssd"}
        )
        sizes = {one["name"]: one["size"] for one in self.notes.look("volumes", "rbd", "")}
        self.assertEqual(sizes, {"copy": 8 * MIB, "w": 8 * MIB})
        self.assertEqual(self.names("snapshots", "rbd", "w"), {"t"})
        self.done(change("snapshot.remove", **at, snapshot="t"))
        self.done(change("volume.remove", **at))
        self.done(change("pool.remove", pool="p"))
        self.assertEqual((self.names("volumes"), self.names("pools")), ({"copy"}, {"rbd"}))
        self.assertEqual(set(self.changes()), {NODES[0]})

    def test_missing(self) -> None:
        """What it is about has to be there."""
        none = {"pool": "rbd", "volume": "none"}
        for opcode in (
            change("pool.pgs", pool="none", pgs=8),
            change("pool.remove", pool="none"),
            change("volume.add", pool="none", volume="v", size=MIB),
            change("volume.resize", **none, size=MIB),
            change("volume.rename", **none, name="w"),
            change("volume.copy", pool="none", volume="v", name="w"),
            change("volume.remove", **none),
            change("volume.unlock", **none),
            change("volume.rollback", **AT, snapshot="none"),
            change("snapshot.add", **none, snapshot="s"),
            change("snapshot.remove", **AT, snapshot="none"),
            change("snapshot.rename", **AT, snapshot="none", name="t"),
            change("osd.move", osd=7, into=True),
            op("CEPH_OSD_REMOVE", osd=7),
        ):
            self.assertIn("There is no ", self.refused(opcode, "unknown_entity"))

    def test_there(self) -> None:
        """Nothing takes the place of what is there, and volumes do not shrink."""
        self.done(change("volume.add", pool="rbd", volume="w", size=MIB))
        self.done(change("snapshot.add", **AT, snapshot="s"))
        for opcode in (
            change("pool.add", pool="rbd", pgs=8),
            change("volume.add", **AT, size=4 * MIB),
            change("volume.rename", **AT, name="w"),
            change("volume.copy", **AT, name="w"),
            change("snapshot.add", **AT, snapshot="s"),
            change("snapshot.rename", **AT, snapshot="s", name="s"),
        ):
            self.assertIn("already", self.refused(opcode, "already_exists"))
        self.refused(change("volume.resize", **AT, size=MIB), "wrong_state")

    def test_parameters(self) -> None:
        """A change has the parameters it needs and no others, and names are names."""
        for wrong in (
            {"change": "volume.add", **AT},
            {"change": "volume.add", **AT, "size": 0},
            {"change": "volume.remove", **AT, "size": 1},
            {"change": "option", "name": "nosuch", "on": True},
            {"change": "osd.add", "device": "/dev/sdb"},
            {"change": "nosuch"},
            {"change": "pool.add", "pool": "p", "pgs": 8, "tier": "--all"},
            {"change": "pool.add", "pool": "p", "pgs": 1 << 20},
        ):
            self.assertRaises(BadRequest, from_wire, {"OP_ID": "OP_CEPH_CHANGE", **wrong})
        for device in ("sdb", "/dev/../etc/passwd", "--all", "/dev/a\0b"):
            wire = {"OP_ID": "OP_CEPH_OSD_ADD", "node_name": "node1", "device": device}
            self.assertRaises(BadRequest, from_wire, wire)

    @settings(max_examples=60)
    @given(
        st.text(max_size=200) | st.sampled_from(["-x", "--help", "a b", "..", "a;b", "$(a)", "a@b", "a/b"])
    )
    def test_names(self, name: str) -> None:
        """No name that could be anything else becomes part of a command."""
        for field in ("pool", "volume", "name"):
            values = {"pool": "p", "volume": "v", "name": "n", field: name}
            wire = {"OP_ID": "OP_CEPH_CHANGE", "change": "volume.rename", **values}
            if rbd.NAME.fullmatch(name):
                from_wire(wire)
            else:
                self.assertRaises(BadRequest, from_wire, wire)

    def test_another_node(self) -> None:
        """Whoever reaches Ceph changes it; where a node dies over it, another one goes on."""
        self.world.nodes.nodes[NODES[0]].ceph = False
        self.world.faults = {self.world.steps + 1: "dies"}
        ended = self.world.run(change("snapshot.add", **AT, snapshot="s"))
        self.assertIsNone(ended.error)
        self.assertIn("trying another node", ended.log[0])
        self.assertEqual(self.changes(), [NODES[2]])
        for node in self.world.nodes.nodes.values():
            node.ceph = False
        self.refused(change("snapshot.add", **AT, snapshot="t"), "environment_error")

    def test_made_a_disk(self) -> None:
        """What somebody makes a disk of at the last moment is neither removed nor resized behind his back."""
        self.done(made("rbd", start=False))
        instance = self.world.instance(A)
        disk = replace(instance.disks[0], logical_id=("rbd", "v"))
        for opcode, moment in (
            (change("volume.resize", **AT, size=8 * MIB), "looked"),
            (change("volume.remove", **AT), "begun"),
        ):
            self.world.put(instance)
            self.world.meanwhile[moment] = lambda: self.world.put(replace(instance, disks=(disk,)))
            self.refused(opcode, "wrong_state")
            self.assertNotIn(moment, self.world.meanwhile)

    def test_failure(self) -> None:
        """What a node that answers says is told as it is, once."""
        self.world.faults = {self.world.steps + 1: "fails"}
        ended = self.world.run(change("snapshot.add", **AT, snapshot="s"))
        assert ended.error is not None
        self.assertEqual(ended.steps, ["ceph.look", "ceph.change"])


class DiskTests(CephCase):
    """Volumes that are disks of an instance."""

    def setUp(self) -> None:
        super().setUp()
        self.done(made("rbd", start=False))
        self.pool, self.volume = self.world.instance(A).disks[0].logical_id
        self.at = {"pool": self.pool, "volume": self.volume}

    def size(self) -> int:
        """MiB as recorded."""
        return self.world.instance(A).disks[0].size

    def test_kept(self) -> None:
        """They are not taken away, nor is their pool."""
        for opcode in (
            change("volume.remove", **self.at),
            change("volume.rename", **self.at, name="w"),
            change("pool.remove", pool=self.pool),
        ):
            self.assertIn(f"used by instance {A}", self.refused(opcode, "wrong_state"))

    def test_detached(self) -> None:
        """Nor are those that no instance has at present, which do not grow either."""
        self.done(op("INSTANCE_SET_PARAMS", instance_name=A, disks=[["detach", 0, {}]]))
        for opcode in (
            change("volume.remove", **self.at),
            change("volume.resize", **self.at, size=1 << 40),
        ):
            self.assertIn("used by detached disk", self.refused(opcode, "wrong_state"))

    def test_grown(self) -> None:
        """Such a volume grows as its disk does, in whole MiB; what RAPI grows is what there is."""
        size = self.size()
        opcode = change("volume.resize", **self.at, size=(size + 1) * MIB + 1)
        wanted = {Lock("instance", A), Lock("node", NODES[0]), Lock("node-res", NODES[0])}
        self.assertLessEqual(wanted, locks_for(opcode, self.world.view()))
        self.done(opcode)
        self.assertEqual(self.size(), size + 2)
        self.done(op("INSTANCE_GROW_DISK", instance_name=A, disk=0, amount=2))
        [found] = self.notes.look("volumes", self.pool, self.volume)
        self.assertEqual(found["size"], (size + 4) * MIB)

    def test_back(self) -> None:
        """One that goes back has the size it had, and goes only while nothing runs."""
        size = self.size()
        self.done(change("snapshot.add", **self.at, snapshot="s"))
        self.done(op("INSTANCE_GROW_DISK", instance_name=A, disk=0, amount=8))
        back = change("volume.rollback", **self.at, snapshot="s")
        self.done(op("INSTANCE_STARTUP", instance_name=A))
        self.refused(back, "wrong_state")
        self.done(op("INSTANCE_SHUTDOWN", instance_name=A))
        self.done(back)
        self.assertEqual(self.size(), size)

    def test_unlocked(self) -> None:
        """Locks are broken of what does not run, also where its node is known to be dead."""
        unlock = op("INSTANCE_UNLOCK_DISKS", instance_name=A)
        note = f"{self.pool}/{self.volume}"
        shelf = self.world.nodes.shared.shelves["rbd"]
        shelf.write(note, {**shelf.values[note], "locks": [{"id": "1", "locker": "c", "address": "a"}]})
        self.done(op("INSTANCE_STARTUP", instance_name=A))
        self.refused(unlock, "wrong_state")
        self.done(op("INSTANCE_SHUTDOWN", instance_name=A))
        other = self.world.nodes.nodes[NODES[1]]
        other.domains[A] = DomainSeen(name=A, uuid="x", hypervisor="fake", state="running", memory=128)
        self.assertIn("running on node node2", self.refused(unlock, "wrong_state"))
        del other.domains[A]
        self.world.nodes.nodes[NODES[0]].down = True
        self.refused(unlock, "environment_error")
        self.world.put(replace(self.world.of(NodeRecord)[NODES[0]], offline=True))
        self.refused(unlock, "wrong_state")
        self.world.put(NodeFateRecord(uuid=NODES[0], fate="fenced", since=0.0, proof="seen to be off"))
        self.done(unlock)
        self.assertEqual(self.notes.look("locks", self.pool, self.volume), ())


class OsdTests(CephCase):
    """OSDs of nodes."""

    def setUp(self) -> None:
        super().setUp()
        adds = [op("CEPH_OSD_ADD", node_name=f"node{n}", device="/dev/sdb") for n in (1, 2)]
        self.assertEqual([self.done(add) for add in adds], [0, 1])

    def test_added(self) -> None:
        """A device is made one by its own node, once."""
        self.assertEqual(self.changes(), list(NODES[:2]))
        again = op("CEPH_OSD_ADD", node_name="node2", device="/dev/sdb")
        text = self.refused(again, "already_exists")
        self.assertEqual(text, "Block device '/dev/sdb' on node 'node2.example.com' is used by OSD '1'")
        self.refused(op("CEPH_OSD_ADD", node_name="none", device="/dev/sdb"), "unknown_entity")
        self.world.nodes.nodes[NODES[2]].ceph = False
        self.refused(op("CEPH_OSD_ADD", node_name="node3", device="/dev/sdb"), "environment_error")

    def test_removed(self) -> None:
        """One is drained first, however long that takes, and then ended by its own node."""
        self.done(change("osd.move", osd=0, into=False))
        self.done(op("CEPH_OSD_REMOVE", osd=0))
        self.assertEqual({osd["id"] for osd in self.notes.look("osds", "", "")}, {1})
        steps = [type(step) for step in self.world.nodes.nodes[NODES[0]].done]
        wanted = [LookAtCeph, ChangeCeph, AwaitDrained, ChangeCeph]
        self.assertEqual(steps[-4:], wanted)

    def test_elsewhere(self) -> None:
        """One that is on no node of the cluster, or on one that is silent, is not removed."""
        self.world.nodes.nodes[NODES[1]].down = True
        self.refused(op("CEPH_OSD_REMOVE", osd=1), "environment_error")
        self.world.nodes.nodes[NODES[0]].host = "stranger"
        number = self.notes.change(AddOsd(device="/dev/sdz"))
        self.assertIn(
            "no node of the cluster", self.refused(op("CEPH_OSD_REMOVE", osd=number), "wrong_input")
        )
