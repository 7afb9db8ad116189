"""Tests of nodes: their roles, the pool of master candidates, addresses, power and end."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from twisted.trial.unittest import SynchronousTestCase

from tests.unit.plan.programs import create, op
from tests.unit.plan.test_create import pair
from twisted_rapi.model.opcodes import Opcode
from twisted_rapi.model.records import NodeRecord
from twisted_rapi.model.steps import Ping, Powercycle
from twisted_rapi.plan.candidates import pool_size
from twisted_rapi.testing.cluster import NODES
from twisted_rapi.testing.soundness import complaints
from twisted_rapi.testing.world import Ended, World
from twisted_rapi.testing.world_life import DRY_RUN

N1, N2, N3 = NODES
ALREADY = " - INFO: Ignoring request to unset flag {}, already unset"
PROMOTED = " - INFO: Auto-promoting node to master candidate"
HEALTHY = (
    " - WARNING: Transitioning node from offline to online state without using re-add. "
    "Please make sure the node is healthy!"
)
SHORT = "Configuration data is not consistent: Not enough master candidates: actual 2, target 3"
REGULAR: dict[str, Any] = {"master_candidate": False, "offline": False, "drained": False}


class NodeCase(SynchronousTestCase):
    """Has a world whose three nodes are all candidates, the first the master."""

    def setUp(self) -> None:
        self.world = World()
        for node in self.nodes.values():
            self.world.put(replace(node, master_candidate=True))

    @property
    def nodes(self) -> dict[str, NodeRecord]:
        """The nodes by uuid."""
        return self.world.of(NodeRecord)

    def run_op(self, op_id: str, node: str = "node3", **parameters: Any) -> Ended:
        ended = self.world.run(op(op_id, node_name=node, **parameters))
        self.assertEqual((ended.unlocked, complaints(self.world)), (set(), []))
        return ended

    def modify(self, node: str = "node3", **parameters: Any) -> Ended:
        """It succeeds."""
        ended = self.run_op("NODE_SET_PARAMS", node, **parameters)
        self.assertIsNone(ended.error)
        return ended

    def refused(self, text: str, code: str | None, node: str = "node3", **parameters: Any) -> None:
        """It ends with this text in the error, and this code, and changes nothing."""
        before = dict(self.world.records)
        ended = self.run_op("NODE_SET_PARAMS", node, **parameters)
        assert ended.error is not None, parameters
        self.assertIn(text, ended.error.text)
        self.assertEqual((ended.error.code, self.world.records), (code, before))

    def flags(self, uuid: str) -> str:
        """The node's flags: C, D, O or none."""
        node = self.nodes[uuid]
        set_ = {"C": node.master_candidate, "D": node.drained, "O": node.offline}
        return "".join(letter for letter, value in set_.items() if value)


class RoleTests(NodeCase):
    """Flags of nodes (as observed)."""

    def test_rounds(self) -> None:
        """A node goes through all roles; what changed is told, and what was so already is logged."""
        drained = self.modify(drained=True)
        self.assertEqual(drained.result, [("master_candidate", "False"), ("drained", "True")])
        offline = self.modify(offline=True)
        self.assertEqual(offline.result, [("drained", "False"), ("offline", "True")])
        regular = self.modify(**REGULAR)
        self.assertEqual(regular.result, [("master_candidate", "True"), ("offline", "False")])
        self.assertEqual(
            regular.log, [ALREADY.format("master_candidate"), ALREADY.format("drained"), PROMOTED, HEALTHY]
        )
        demoted = self.modify(**REGULAR)
        self.assertEqual(demoted.result, [("master_candidate", "False")])
        self.assertEqual(demoted.log, [ALREADY.format("drained"), ALREADY.format("offline"), SHORT])
        again = self.modify(master_candidate=True)
        self.assertEqual((again.result, again.log), ([("master_candidate", "True")], []))
        self.assertEqual(self.modify(master_candidate=True, auto_promote=True).result, [])

    def test_form(self) -> None:
        """Something is modified, and one flag at most is set."""
        nothing = "Please pass at least one modification"
        parameters: Any
        for parameters in ({}, {"powered": False}, {"force": True, "auto_promote": True}):
            self.refused(nothing, "wrong_input", **parameters)
        two = "Can't set the node into more than one state at the same time"
        self.refused(two, "wrong_input", offline=True, drained=True)
        self.refused("Node 'nosuch' not known", "unknown_entity", "nosuch", offline=True)

    def test_master(self) -> None:
        """The master's flags stay."""
        text = "The master role can be changed only via master-failover"
        parameters: Any
        for parameters in ({"offline": True}, {"drained": False}, {"master_candidate": True}):
            self.refused(text, "wrong_input", "node1", **parameters)
        self.refused(text, "wrong_input", "node1", master_capable=False)
        self.assertEqual(self.modify("node1", vm_capable=False).result, [("vm_capable", "False")])

    def test_capable(self) -> None:
        """Only what is master capable is a candidate; what becomes it may be one at once."""
        ended = self.modify(master_capable=False)
        self.assertEqual(ended.result, [("master_capable", "False"), ("master_candidate", "False")])
        self.assertEqual(ended.log, [" - INFO: Demoting from master candidate"])
        self.refused("is not master capable", "wrong_state", master_candidate=True)
        self.refused("is not master capable", "wrong_state", master_capable=False, master_candidate=True)
        ended = self.modify(master_capable=True)
        self.assertEqual(ended.result, [("master_capable", "True"), ("master_candidate", "True")])
        self.assertEqual(ended.log, [PROMOTED])
        self.modify(offline=True, master_capable=False)
        ended = self.modify(master_capable=True)
        self.assertEqual(ended.log, [], "an offline node is no candidate")

    def test_vm_capable(self) -> None:
        """A node with instances has to run them."""
        self.assertIsNone(self.world.run(create(pnode="node3")).error)
        self.refused("has instances", "wrong_state", vm_capable=False)
        self.assertIsNone(self.world.run(op("INSTANCE_REMOVE", instance_name="a.example.com")).error)
        self.modify(vm_capable=False)

    def test_pool(self) -> None:
        """Too few candidates are refused, unless others are promoted or there is nobody else."""
        self.world.put(replace(self.nodes[N2], master_candidate=False))
        parameters: Any
        for parameters in ({"drained": True}, {"offline": True}, {"master_candidate": False}):
            self.refused("not be enough master candidates", "wrong_state", **parameters)
        ended = self.modify(offline=True, auto_promote=True)
        self.assertEqual((self.flags(N2), self.flags(N3)), ("C", "O"))
        self.assertIn(" - INFO: Promoted to master candidates: node2.example.com", ended.log)
        self.world.put(replace(self.world.cluster, candidate_pool_size=1))
        self.modify("node2", drained=True)
        ended = self.modify("node2", drained=False)
        self.assertEqual((self.flags(N2), ended.log), ("", []), "the pool is full")

    def test_silent(self) -> None:
        """A node comes back only if it answers; a dry run asks it too, and changes nothing."""
        self.modify(offline=True)
        self.world.nodes.nodes[N3].down = True
        self.refused("it is down", "wrong_state", offline=False)
        self.world.nodes.nodes[N3].down = False
        ended = self.run_op("NODE_SET_PARAMS", offline=False, dry_run=True)
        self.assertEqual((ended.log[-1], ended.steps, self.flags(N3)), (DRY_RUN, ["node.ping"], "O"))
        self.assertEqual(self.modify(offline=False).steps, ["node.ping"])

    def test_power(self) -> None:
        """Power is a matter of nodes with an out-of-band program, which are online only with power."""
        self.refused("no out-of-band program", "wrong_state", powered=False, vm_capable=True)
        self.modify(ndparams={"oob_program": "/bin/oob"})
        self.modify(offline=True, powered=False)
        self.assertFalse(self.nodes[N3].powered)
        self.refused("has to be powered", "wrong_state", offline=False)
        self.modify(offline=False, powered=True)
        self.assertTrue(self.nodes[N3].powered)

    def test_parameters(self) -> None:
        """Node parameters are not told; those of the cluster alone are refused."""
        self.assertEqual(self.modify(ndparams={"spindle_count": 2}).result, [])
        self.assertEqual(self.nodes[N3].ndparams, {"spindle_count": 2})
        self.modify(ndparams={"spindle_count": "default"})
        self.assertEqual(self.nodes[N3].ndparams, {})
        self.modify(hv_state={"fake": {"mem_total": 1}}, disk_state={"plain": {"vg": {"disk_total": 2}}})
        self.assertEqual(self.nodes[N3].hv_state, {"fake": {"mem_total": 1}})
        ended = self.run_op("NODE_SET_PARAMS", ndparams={"foo": 1})
        self.assertEqual(pair(ended), ["TypeEnforcementError", ["Unknown parameter 'foo'"]])
        self.refused("exclusive_storage", "wrong_input", ndparams={"exclusive_storage": True})


class SecondaryTests(NodeCase):
    """Secondary addresses."""

    def two_addresses(self) -> None:
        """The cluster's nodes have two addresses each."""
        for n, node in enumerate(self.nodes.values(), 1):
            self.world.put(replace(node, secondary_ip=f"198.51.100.{n}"))

    def test_one_each(self) -> None:
        """Where nodes have one address the master begins with another, by force."""
        self.refused("have one address each", "wrong_input", secondary_ip="198.51.100.3")
        self.refused("have one address each", "wrong_input", "node1", secondary_ip="198.51.100.1")
        ended = self.modify("node1", secondary_ip="198.51.100.1", force=True)
        self.assertEqual(ended.result, [("secondary_ip", "198.51.100.1")])
        self.assertEqual(len(ended.log), 1)
        self.modify(secondary_ip="198.51.100.3")
        self.assertEqual(self.nodes[N3].secondary_ip, "198.51.100.3")

    def test_two_each(self) -> None:
        """And the other way round."""
        self.two_addresses()
        self.refused("have two addresses each", "wrong_input", secondary_ip="192.0.2.3")
        self.modify("node1", secondary_ip="192.0.2.1", force=True)

    def test_refused(self) -> None:
        """It is an address nobody else has, which the node has."""
        self.two_addresses()
        self.refused("is not an IP address", "wrong_input", secondary_ip="x")
        self.refused("is not an IP address", "wrong_input", secondary_ip="fe80::1%eth0")
        self.refused("is an address of node node2", "already_exists", secondary_ip="198.51.100.2")
        self.world.nodes.nodes[N3].missing.add("198.51.100.9")
        self.refused("does not have address", "environment_error", secondary_ip="198.51.100.9")

    def test_mirrors(self) -> None:
        """Mirrored disks that are in use go over it."""
        self.two_addresses()
        self.assertIsNone(self.world.run(create(pnode="node3")).error)
        instance = self.world.instance("a.example.com")
        self.modify(secondary_ip="198.51.100.8")
        self.world.put(replace(instance, disk_template="drbd"))
        ended = self.world.run(op("NODE_SET_PARAMS", node_name="node3", secondary_ip="198.51.100.9"))
        self.assertIn("uses the secondary address", str(ended.error))
        self.world.put(replace(instance, disk_template="file"))


class PowercycleTests(NodeCase):
    """``OP_NODE_POWERCYCLE``."""

    def test_whole(self) -> None:
        """The node says when it will be restarted."""
        ended = self.run_op("NODE_POWERCYCLE")
        self.assertEqual(ended.result, "Reboot scheduled in 5 seconds")
        self.assertEqual(self.world.nodes.nodes[N3].done, [Powercycle(instance="", delay=5)])

    def test_master(self) -> None:
        """The master by force only; a dry run asks nobody."""
        text = "The node is the master and the force parameter was not set"
        ended = self.run_op("NODE_POWERCYCLE", "node1")
        self.assertEqual(pair(ended), ["OpPrereqError", [text, "wrong_input"]])
        self.assertEqual(self.run_op("NODE_POWERCYCLE", "node1", force=True, dry_run=True).steps, [])
        self.assertIsNone(self.run_op("NODE_POWERCYCLE", "node1", force=True).error)

    def test_silent(self) -> None:
        """One that does not answer cannot be restarted."""
        self.world.nodes.nodes[N3].down = True
        self.assertIn("did not answer", str(self.run_op("NODE_POWERCYCLE").error))


class RemoveTests(NodeCase):
    """``OP_NODE_REMOVE``."""

    def test_whole(self) -> None:
        """The record and the name go, and another becomes candidate for it."""
        self.world.put(replace(self.nodes[N2], master_candidate=False))
        ended = self.run_op("NODE_REMOVE")
        self.assertEqual(ended.log, [" - INFO: Promoted to master candidates: node2.example.com"])
        self.assertEqual((set(self.nodes), self.flags(N2)), ({N1, N2}, "C"))

    def test_refused(self) -> None:
        """Neither the master nor a node with instances."""
        self.assertIsNone(self.world.run(create(pnode="node3")).error)
        for node, text in (("node1", "is the master"), ("node3", "a.example.com")):
            ended = self.run_op("NODE_REMOVE", node)
            self.assertIn(text, str(ended.error))
        self.assertEqual(len(self.nodes), 3)


maybe = st.sampled_from([None, True, False])
changes = st.builds(
    lambda node, auto, values: op(
        "NODE_SET_PARAMS",
        node_name=node,
        auto_promote=auto,
        **{name: value for name, value in values.items() if value is not None},
    ),
    st.sampled_from(["node1", "node2", "node3"]),
    st.booleans(),
    st.fixed_dictionaries(dict.fromkeys(("master_candidate", "offline", "drained", "master_capable"), maybe)),
)


class CandidatePoolTests(SynchronousTestCase):
    """The pool, whatever is asked of it."""

    @settings(max_examples=150, deadline=None)
    @given(st.lists(changes, max_size=8), st.integers(1, 4))
    def test_pool(self, ops: list[Opcode], wanted: int) -> None:
        """
        A node has one flag at most; only who can be is a candidate; the master always is one; and a job that
        succeeds leaves the pool filled as far as it was, up to what the nodes allow.
        """
        world = World()
        world.put(replace(world.cluster, candidate_pool_size=wanted))
        for what in ops:
            before, full = pool_size(world.view())
            ended = world.run(what)
            self.assertEqual(ended.unlocked, set())
            after, possible = pool_size(world.view())
            self.assertTrue(
                after >= min(before, full, possible) or after >= possible - 1, (what, before, after)
            )
            for node in world.of(NodeRecord).values():
                flags = (node.master_candidate, node.drained, node.offline)
                self.assertLessEqual(sum(flags), 1)
                self.assertFalse(node.master_candidate and not node.master_capable)
            self.assertTrue(world.of(NodeRecord)[N1].master_candidate)

    @settings(max_examples=50, deadline=None)
    @given(changes)
    def test_again(self, what: Opcode) -> None:
        """Who asks for the same once more gets no change of a flag."""
        world = World()
        if world.run(what).error is None:
            result = world.run(what)
            if result.error is None:
                told = dict(result.result)
                self.assertEqual({"drained", "offline"} & told.keys(), set())


class PingTests(SynchronousTestCase):
    """The one step for offline nodes."""

    def test_empty(self) -> None:
        """It asks for no address unless told."""
        self.assertEqual(Ping(instance="").address, "")
