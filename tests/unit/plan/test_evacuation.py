"""Opcodes that ask allocators and submit jobs, in worlds; what is submitted is looked at, not run."""

import json
from typing import Any

from msgspec.structs import replace
from twisted.trial.unittest import SynchronousTestCase

from tests.unit.plan.programs import create, op
from tests.unit.plan.templates import A, B, made, well, world_of, world_with
from tests.unit.plan.test_create import pair
from twisted_rapi.model.opcodes import to_wire
from twisted_rapi.model.records import GroupRecord, InstanceRecord, NodeRecord, Params
from twisted_rapi.testing.cluster import NODES
from twisted_rapi.testing.world import Ended, World

INVALID = "iallocator 'ask' returned invalid result, expected "
ONE, TWO, THREE = (f"node{n}.example.com" for n in (1, 2, 3))


def jobs(ended: Ended) -> list[list[dict[str, Any]]]:
    """What was submitted: opcodes by name, with the parameters that say something."""
    well(ended)
    names = ("instance_name", "mode", "remote_node", "target_node", "early_release", "live", "pnode", "snode")
    found = []
    for job in ended.jobs:
        wires = [to_wire(each) for each in job]
        found.append([{"op": w["OP_ID"], **{n: w[n] for n in names if w.get(n)}} for w in wires])
    return found


def asked(world: World, answer: Any, name: str = "ask") -> list[Params]:
    """Have a script on the master node answer so; gets what it is asked."""
    requests: list[Params] = []

    def script(request: Params) -> str:
        requests.append(request)
        return answer if isinstance(answer, str) else json.dumps(answer)

    world.nodes.nodes[NODES[0]].allocators[name] = script
    world.put(replace(world.cluster, default_iallocator=name))
    return requests


def good(result: Any) -> Params:
    """A good answer."""
    return {"success": True, "info": "fine", "result": result}


class NodeTests(SynchronousTestCase):
    """``OP_NODE_MIGRATE`` and ``OP_NODE_EVACUATE``."""

    def test_migrate(self) -> None:
        """Each primary instance gets a job with what was given."""
        world = world_with("drbd")
        well(world.run(made("sharedfile", B)))
        ended = world.run(op("NODE_MIGRATE", node_name="node1", mode="live", target_node="node3"))
        common = {"op": "OP_INSTANCE_MIGRATE", "mode": "live", "target_node": "node3"}
        self.assertEqual(jobs(ended), [[{**common, "instance_name": name}] for name in (A, B)])
        empty = world.run(op("NODE_MIGRATE", node_name="node2"))
        self.assertEqual((jobs(empty), empty.result), ([], {"jobs": []}))
        for more in ({"mode": "live", "live": True}, {"target_node": "nosuch"}):
            self.assertIsNotNone(world.run(op("NODE_MIGRATE", node_name="node1", **more)).error)

    def test_forthcoming(self) -> None:
        """What is forthcoming has nothing that could go: no job is submitted for it, and the log says so."""
        for what, more in (
            ("NODE_MIGRATE", {"node_name": "node1"}),
            ("NODE_EVACUATE", {"node_name": "node1", "mode": "primary-only"}),
            ("NODE_EVACUATE", {"node_name": "node1", "mode": "all"}),
            ("NODE_EVACUATE", {"node_name": "node2", "mode": "secondary-only", "remote_node": "node3"}),
        ):
            world = world_with("drbd")
            well(world.run(made("drbd", B, forthcoming=True)))
            ended = well(world.run(op(what, **more)))
            names = {each["instance_name"] for job in jobs(ended) for each in job}
            self.assertEqual(names, {A}, what)
            told = f" - INFO: Instance '{B}' is forthcoming: it stays where it is"
            self.assertEqual(ended.log[:1], [told], what)

    def test_nothing(self) -> None:
        """A node without instances: no job, and the log says so, whoever would be asked."""
        for default in ("", "hail"):
            world = world_of(default_iallocator=default)
            for mode in ("primary-only", "secondary-only"):
                ended = world.run(op("NODE_EVACUATE", node_name="node2", mode=mode))
                self.assertEqual((jobs(ended), ended.result), ([], {"jobs": []}))
                self.assertEqual(ended.log, [f" - INFO: No instances to evacuate from node '{TWO}'"])

    def test_to_a_node(self) -> None:
        """Secondary instances get the node that is named as their new secondary one."""
        world = world_with("drbd")
        evacuate = {"node_name": "node2", "remote_node": "node3", "mode": "secondary-only"}
        replaced = {"op": "OP_INSTANCE_REPLACE_DISKS", "instance_name": A, "remote_node": THREE}
        wanted = {**replaced, "mode": "replace_new_secondary"}
        self.assertEqual(jobs(world.run(op("NODE_EVACUATE", **evacuate))), [[wanted]])
        early = world.run(op("NODE_EVACUATE", **evacuate, early_release=True))
        self.assertEqual(jobs(early), [[{**wanted, "early_release": True}]])
        for change, words in (
            ({"remote_node": "node2"}, "Can not use evacuated node as a new secondary node"),
            ({"mode": "all"}, "Without the use of an iallocator only secondary instances can be evacuated"),
            ({"iallocator": "hail"}, "Do not specify both, iallocator and remote node"),
            (
                {"remote_node": "node1"},
                f"Node {ONE} is the primary node of instance {A}, cannot use it as secondary",
            ),
        ):
            error = world.run(op("NODE_EVACUATE", **{**evacuate, **change}))
            self.assertEqual(pair(error), ["OpPrereqError", [words, "wrong_input"]])

    def test_builtin(self) -> None:
        """The built-in allocator moves what can move, in every mode."""
        world = world_with("drbd")
        well(world.run(made("sharedfile", B)))
        ended = world.run(op("NODE_EVACUATE", node_name="node1", mode="primary-only"))
        migrate = {"op": "OP_INSTANCE_MIGRATE"}
        [first, second] = jobs(ended)
        self.assertEqual(first, [{**migrate, "instance_name": A}])
        self.assertEqual((second[0]["instance_name"], second[0]["target_node"] in (TWO, THREE)), (B, True))
        self.assertIn(f"{A} (to {TWO}, {ONE})", ended.log[0])
        [[replaced]] = jobs(world.run(op("NODE_EVACUATE", node_name="node2", mode="secondary-only")))
        self.assertEqual((replaced["instance_name"], replaced["remote_node"]), (A, THREE))
        well(world.run(made("drbd", "c.example.com", pnode="node2", snode="node1")))
        both = jobs(world.run(op("NODE_EVACUATE", node_name="node1", mode="all")))
        self.assertEqual(
            sorted((job[0]["instance_name"], job[0]["op"]) for job in both),
            [
                (A, "OP_INSTANCE_MIGRATE"),
                (B, "OP_INSTANCE_MIGRATE"),
                ("c.example.com", "OP_INSTANCE_REPLACE_DISKS"),
            ],
        )

    def test_from_a_dead_node(self) -> None:
        """From a node that is gone instances are failed over."""
        world = world_with("drbd")
        world.put(replace(world.of(NodeRecord)[NODES[0]], offline=True))
        [[job]] = jobs(world.run(op("NODE_EVACUATE", node_name="node1", mode="primary-only")))
        self.assertEqual(job, {"op": "OP_INSTANCE_FAILOVER", "instance_name": A})

    def test_immovable(self) -> None:
        """One instance that cannot leave keeps all from being moved, and is named with the reason."""
        world = world_with("plain")
        well(world.run(made("sharedfile", B)))
        error = world.run(op("NODE_EVACUATE", node_name="node1", mode="primary-only"))
        words = f"Unable to evacuate instances {A} (its plain disks are on its primary node only)"
        self.assertEqual(pair(error), ["OpExecError", [words]])
        self.assertEqual(error.jobs, ())

    def test_script(self) -> None:
        """A script is asked once, and its jobs are submitted, with early release where that has a meaning."""
        world = world_with("drbd")
        replacing = {
            "OP_ID": "OP_INSTANCE_REPLACE_DISKS",
            "instance_name": A,
            "mode": "replace_new_secondary",
            "disks": [],
            "remote_node": THREE,
            "early_release": False,
            "ignore_ipolicy": False,
        }
        migrating = {"OP_ID": "OP_INSTANCE_MIGRATE", "instance_name": A, "allow_failover": True}
        requests = asked(world, good([[[A, "default", [TWO, THREE]]], [], [[replacing, migrating]]]))
        ended = world.run(op("NODE_EVACUATE", node_name="node2", mode="secondary-only", early_release=True))
        [[first, second]] = jobs(ended)
        self.assertEqual((first["remote_node"], first["early_release"]), (THREE, True))
        self.assertEqual(second, {"op": "OP_INSTANCE_MIGRATE", "instance_name": A})
        self.assertEqual(ended.log, [f" - INFO: Instances to be moved: {A} (to {TWO}, {THREE})"])
        [request] = requests
        self.assertEqual(
            request["request"],
            {"type": "node-evacuate", "instances": [A], "evac_mode": "secondary-only"},
        )
        all_at_once = world.run(op("NODE_EVACUATE", node_name="node2", mode="all"))
        self.assertIn("specify explicitly whether to evacuate", str(all_at_once.error))

    def test_script_fails(self) -> None:
        """What a script cannot move, and what cannot be understood of its answer, ends the opcode."""
        move = op("NODE_EVACUATE", node_name="node2", mode="secondary-only")
        world = world_with("drbd")
        for answer, error in (
            (
                good([[], [[A, "no room"]], []]),
                ["OpExecError", [f"Unable to evacuate instances {A} (no room)"]],
            ),
            (
                {"success": False, "info": "no way", "result": []},
                [
                    "OpPrereqError",
                    ["Can't compute nodes using iallocator 'ask': no way", "insufficient_resources"],
                ],
            ),
            (
                good([[], [], [[{"OP_ID": "OP_NONE"}]]]),
                [
                    "OpExecError",
                    ["Can't parse iallocator results: opcode of 'ask': Unknown opcode 'OP_NONE'"],
                ],
            ),
            (
                good("x"),
                [
                    "ResultValidationError",
                    [f'{INVALID}lists of moved instances, of failed ones and of jobs, got "x"'],
                ],
            ),
        ):
            asked(world, answer)
            ended = world.run(move)
            self.assertEqual((pair(ended), ended.jobs), (error, ()))
        missing = world.run(op("NODE_EVACUATE", node_name="node2", mode="secondary-only", iallocator="nope"))
        text = f"Node {ONE}: iallocator 'nope' not found in the search path"
        self.assertEqual(pair(missing), ["OpExecError", [text]])


class GroupTests(SynchronousTestCase):
    """``OP_INSTANCE_CHANGE_GROUP`` and ``OP_GROUP_EVACUATE``."""

    def setUp(self) -> None:
        self.world = world_with("sharedfile")
        self.world.put(GroupRecord(uuid="g2", name="second"))

    def change(self, **more: Any) -> Ended:
        return self.world.run(op("INSTANCE_CHANGE_GROUP", instance_name=A, **more))

    def evacuate(self, **more: Any) -> Ended:
        return self.world.run(op("GROUP_EVACUATE", group_name="default", **more))

    def filled(self) -> None:
        """The third node is the second group's."""
        self.world.put(replace(self.world.of(NodeRecord)[NODES[2]], group="g2"))

    def test_change(self) -> None:
        """An instance is brought to a node of another group, or of the one that is named."""
        self.filled()
        for more in ({}, {"target_groups": ["second"]}):
            ended = self.change(**more)
            migrate = {"op": "OP_INSTANCE_MIGRATE", "instance_name": A, "target_node": THREE}
            self.assertEqual(jobs(ended), [[migrate]])
            self.assertEqual(ended.log, [f" - INFO: Instances to be moved: {A} (to second)"])

    def test_nowhere(self) -> None:
        """Its own group is no target; a group without a node has no room."""
        own = "Can't use group(s) 'default' as targets, they are used by the instance 'a.example.com'"
        self.assertEqual(
            pair(self.change(target_groups=["default"])), ["OpPrereqError", [own, "wrong_input"]]
        )
        text = str(self.change().error)
        self.assertIn(f"Unable to evacuate instances {A}", text)
        self.assertIn("its group is the one to leave", text)
        self.assertEqual(str(self.change(target_groups=["none"]).error), "Node group 'none' not found")
        self.world = world_with("sharedfile")
        only = ["OpPrereqError", ["There are no possible target groups", "wrong_input"]]
        self.assertEqual((pair(self.change()), pair(self.evacuate())), (only, only))

    def test_mirrored(self) -> None:
        """A mirrored instance goes over one side after the other."""
        self.world = world_with("drbd", pnode="node1", snode="node2")
        self.world.put(GroupRecord(uuid="g2", name="second"))
        for n, uuid in ((3, NODES[2]), (4, "fourth")):
            node = replace(
                self.world.of(NodeRecord)[NODES[2]], group="g2", uuid=uuid, name=f"node{n}.example.com"
            )
            self.world.put(node)
        fake = self.world.nodes.nodes[NODES[2]]
        self.world.nodes.nodes["fourth"] = type(fake)(uuid="fourth", shared=self.world.nodes.shared)
        [[first, second, third]] = jobs(self.change())
        names = {"node3.example.com", "node4.example.com"}
        self.assertEqual({first["remote_node"], third["remote_node"]}, names)
        self.assertEqual(second["op"], "OP_INSTANCE_MIGRATE")

    def test_evacuate(self) -> None:
        """All instances of a group leave it, in sequence and by failover if asked for."""
        self.filled()
        well(self.world.run(made("sharedfile", B)))
        self.assertEqual(len(jobs(self.evacuate())), 2)
        ended = self.evacuate(sequential=True, force_failover=True)
        self.assertEqual([each["op"] for [each] in jobs(ended)], ["OP_INSTANCE_FAILOVER"] * 2)
        self.assertEqual([job[0].depends for job in ended.jobs], [None, [(-1, ["success"])]])
        same = self.evacuate(target_groups=["default"])
        words = "Group to be evacuated (default) can not be used as a target group (targets: default)"
        self.assertEqual(pair(same), ["OpPrereqError", [words, "wrong_input"]])
        empty = self.world.run(op("GROUP_EVACUATE", group_name="second"))
        self.assertEqual(empty.result, {"jobs": []})


class SeveralTests(SynchronousTestCase):
    """``OP_INSTANCE_MULTI_ALLOC``."""

    def one(self, name: str, **more: Any) -> Params:
        usual = {"instance_name": name, "mode": "create", "disk_template": "sharedfile", "nics": []}
        return {**usual, "disks": [{"size": 64}], "os_type": "noop+default", **more}

    def run_op(self, world: World, *instances: Params, **more: Any) -> Ended:
        return world.run(op("INSTANCE_MULTI_ALLOC", instances=list(instances), **more))

    def test_builtin(self) -> None:
        """As many as find nodes are submitted; the others are named with the reason."""
        world = world_of()
        ended = self.run_op(
            world,
            self.one("m1", disk_template="drbd"),
            self.one("m2", beparams={"memory": 1 << 20}),
            self.one("m3"),
        )
        self.assertEqual(ended.result, {"allocatable": ["m1", "m3"], "failed": ["m2"]})
        [[first], [second]] = jobs(ended)
        self.assertEqual((first["instance_name"], first["pnode"] != first["snode"]), ("m1", True))
        self.assertEqual((second["instance_name"], "snode" in second), ("m3", False))
        self.assertIn("it has 32768 MiB of memory free", ended.log[0])

    def test_room(self) -> None:
        """Each is placed in what the ones before it leave."""
        world = world_of()
        large = [self.one(f"m{n}", beparams={"memory": 20000}) for n in range(4)]
        ended = self.run_op(world, *large)
        self.assertEqual(ended.result, {"allocatable": ["m0", "m1", "m2"], "failed": ["m3"]})
        self.assertEqual({job[0]["pnode"] for job in jobs(ended)}, {ONE, TWO, THREE})

    def test_script(self) -> None:
        """A script is asked for all at once; what it says nothing of has failed."""
        world = world_of()
        requests = asked(world, good([[["m1", [THREE]]], []]))
        ended = self.run_op(world, self.one("m1"), self.one("m2"), dry_run=False)
        self.assertEqual(ended.result, {"allocatable": ["m1"], "failed": ["m2"]})
        self.assertEqual([job[0]["pnode"] for job in jobs(ended)], [THREE])
        names = [each["name"] for each in requests[0]["request"]["instances"]]
        self.assertEqual((requests[0]["request"]["type"], names), ("multi-allocate", ["m1", "m2"]))
        dry = self.run_op(world, self.one("m1"), dry_run=True)
        self.assertEqual((dry.result, dry.jobs), ({"jobs": [], "allocatable": ["m1"], "failed": []}, ()))

    def test_named(self) -> None:
        """Nodes that are named are taken; all name them, or none."""
        world = world_of()
        [[job]] = jobs(self.run_op(world, self.one("m1", pnode="node2")))
        self.assertEqual(job["pnode"], TWO)
        mixed = "There are instance objects providing pnode/snode while others do not"
        for instances in (
            [],
            [self.one("m1", pnode="node2"), self.one("m2")],
            [self.one("m1", disk_template="drbd", pnode="node2")],
        ):
            error = self.run_op(world, *instances)
            self.assertEqual(pair(error), ["OpPrereqError", [mixed, "wrong_input"]])

    def test_refused(self) -> None:
        """Allocators of single ones, names that come twice or are taken, and what is no creation."""
        world = world_with("sharedfile")
        for instances, words in (
            ([self.one("m", iallocator="hail")], "iallocator are not allowed to be set on instance objects"),
            ([self.one("m"), self.one("m")], "There are duplicate instance names: m"),
            ([self.one(A)], f"Instance '{A}' is already in the cluster"),
            (["x"], "Each of the instances has to be an object"),
            ([{"foo": 1}], "doesn't support the parameter 'foo'"),
        ):
            self.assertIn(words, str(self.run_op(world, *instances).error))


class TryTests(SynchronousTestCase):
    """``OP_TEST_ALLOCATOR``."""

    def tried(self, world: World, direction: str, mode: str, **more: Any) -> Any:
        ended = well(world.run(op("TEST_ALLOCATOR", direction=direction, mode=mode, **{"name": "x", **more})))
        return json.loads(ended.result)

    def test_every_mode(self) -> None:
        """What would be asked, and what the built-in allocator says, for every kind of question."""
        world = world_with("drbd")
        self_ = {"memory": 128, "vcpus": 1, "disks": [{"size": 64}], "nics": [{}], "disk_template": "drbd"}
        for mode, more, result in (
            ("allocate", self_, [list, 2]),
            ("multi-allocate", {**self_, "count": 2}, [list, 2]),
            ("relocate", {"name": A}, [list, 1]),
            ("allocate-secondary", {"name": A}, [str, len(THREE)]),
            ("node-evacuate", {"instances": [A], "evac_mode": "secondary-only"}, [list, 3]),
            ("change-group", {"instances": [A]}, [list, 3]),
        ):
            self.assertEqual(self.tried(world, "in", mode, **more)["request"]["type"], mode)
            found = self.tried(world, "out", mode, **more)
            self.assertEqual((found["success"], type(found["result"]), len(found["result"])), (True, *result))
        self.assertEqual(self.tried(world, "out", "relocate", name=A)["result"], [THREE])

    def test_script(self) -> None:
        """What a script says is answered as it is."""
        world = world_with("drbd")
        requests = asked(world, "anything")
        ended = well(world.run(op("TEST_ALLOCATOR", direction="out", mode="relocate", name=A)))
        self.assertEqual((ended.result, len(requests)), ("anything", 1))
        self.assertEqual(requests[0]["request"]["relocate_from"], [TWO])

    def test_missing(self) -> None:
        """What a kind of question needs is named."""
        world = World()
        for mode, name in (
            ("allocate", "memory"),
            ("node-evacuate", "evac_mode"),
            ("change-group", "instances"),
        ):
            error = world.run(op("TEST_ALLOCATOR", direction="in", mode=mode, name="x"))
            words = f"Missing attribute '{name}' on opcode input"
            self.assertEqual(pair(error), ["OpPrereqError", [words, "wrong_input"]])


class CreateTests(SynchronousTestCase):
    """``OP_INSTANCE_CREATE`` that asks a script."""

    def test_script(self) -> None:
        """The nodes are those the script says, and the log says so; the OS is verified there."""
        world = world_of()
        requests = asked(world, good([THREE, ONE]))
        ended = well(world.run(create(disk_template="drbd", disks=[{"size": 640}])))
        self.assertEqual(ended.result, [THREE, ONE])
        self.assertEqual(
            ended.log[0], f" - INFO: Selected nodes for instance {A} via iallocator ask: {THREE}, {ONE}"
        )
        self.assertEqual(ended.stages[:3], ["consulted", "verified", "recorded"])
        self.assertEqual(requests[0]["request"]["required_nodes"], 2)
        self.assertEqual(len(requests), 1)
        made_there = world.of(InstanceRecord)
        self.assertEqual([i.primary_node for i in made_there.values()], [NODES[2]])

    def test_wrong_answers(self) -> None:
        """An answer that is none is told, and nothing is left."""
        world = world_of()
        for answer, words in (
            ("", "Can't parse iallocator results: "),
            ("[]", "Can't parse iallocator results: not a dict"),
            ({"success": True, "info": ""}, "Can't parse iallocator results: missing key 'result'"),
            (good([]), "iallocator 'ask' returned invalid number of nodes (0), required 1"),
            (good([ONE, TWO]), "iallocator 'ask' returned invalid number of nodes (2), required 1"),
            (good(["nosuch"]), "iallocator 'ask' returned an unknown node 'nosuch'"),
            (good(ONE), "iallocator 'ask' returned invalid result, expected a list of node names"),
            (
                {"success": False, "info": "no", "result": []},
                "Can't compute nodes using iallocator 'ask': no",
            ),
        ):
            asked(world, answer)
            ended = world.run(create())
            self.assertIn(words, str(ended.error))
            self.assertEqual(world.of(InstanceRecord), {})
        asked(world, {"success": True, "info": "", "nodes": [TWO]})
        self.assertEqual(well(world.run(create())).result, [TWO])

    def test_dry_run(self) -> None:
        """A dry run asks as well."""
        world = world_of()
        requests = asked(world, good([THREE]))
        self.assertEqual(well(world.run(create(dry_run=True))).result, [NODES[2]])
        self.assertEqual(len(requests), 1)

    def test_builtin_by_name(self) -> None:
        """The built-in one can be asked for where a script is the default."""
        world = world_of()
        asked(world, "")
        well(world.run(create(iallocator="builtin")))
        self.assertIn("OpExecError", str(pair(world.run(create(B, iallocator=".")))))

    def test_told(self) -> None:
        """Why nodes were not taken is in the log."""
        world = world_of()
        world.put(replace(world.of(NodeRecord)[NODES[0]], drained=True))
        log = well(world.run(create())).log
        self.assertEqual(log[1], f" - INFO: Node {ONE} was not selected: it is drained")

    def test_crashes(self) -> None:
        """A master that dies anywhere asks again, if need be, and the instance is made once."""
        world = world_of()
        asked(world, good([THREE]))
        well(world.run(create()))
        for moment in range(world.moments):
            again = world_of()
            again.crashes = {moment}
            asked(again, good([THREE]))
            self.assertEqual(well(again.run(create())).result, [THREE])
            self.assertEqual(len(again.of(InstanceRecord)), 1)
