"""Scripts around operations."""

from typing import Any

from tests.unit.jobs.test_jobs import JobCase, about, create, tag
from twisted_rapi.errors import NodeUnreachable, StepFailed
from twisted_rapi.model.opcodes import Opcode, from_wire
from twisted_rapi.model.steps import RunHooks, StartDomain, Step
from twisted_rapi.testing.cluster import NODES, make_cluster

NODE1, NODE2, NODE3 = NODES
WELL = (("10-check", True, ""),)


def group_add(name: str = "g", **more: Any) -> Opcode:
    """An opcode with one commit."""
    return from_wire({"OP_ID": "OP_GROUP_ADD", "group_name": name, **more})


class HookTests(JobCase):
    """When scripts run, and what becomes of the operation."""

    dead = False

    def hooks(self, node: str, **folders: Any) -> None:
        """The node has these scripts: folder with ``_`` for ``-``, and what they answer."""
        self.fake.nodes.nodes[node].hooks = {name.replace("_", "-"): found for name, found in folders.items()}
        self.fake.nodes.changed(node)

    def ran(self, node: str) -> list[RunHooks]:
        """The steps that ran hooks there."""
        return [step for step in self.fake.nodes.nodes[node].done if isinstance(step, RunHooks)]

    def steps(self, node: str) -> list[str]:
        """The kinds of all steps of a node, hooks with their path and phase."""

        def word(step: Step) -> str:
            if isinstance(step, RunHooks):
                return f"{step.path}-{step.phase}"
            return str(step.__struct_config__.tag)

        return [word(step) for step in self.fake.nodes.nodes[node].done]

    def test_none(self) -> None:
        """Without scripts no node is asked."""
        self.run_job(create())
        self.assertEqual([self.ran(node) for node in NODES], [[], [], []])

    def test_around(self) -> None:
        """Scripts run on the nodes concerned that have some, before the first and after the last change."""
        both = {"instance_stop_pre": WELL, "instance_stop_post": WELL}
        self.run_job(create(pnode="node2.example.com"))
        self.hooks(NODE1, **both)
        self.hooks(NODE2, instance_stop_post=WELL)
        self.hooks(NODE3, **both)
        self.fake.nodes.nodes[NODE2].done.clear()
        self.run_job(about("SHUTDOWN"))
        self.assertEqual(self.steps(NODE1), ["instance-stop-pre", "instance-stop-post"])
        self.assertEqual(self.steps(NODE2)[-1], "instance-stop-post")
        self.assertIn("domain.stop", self.steps(NODE2))
        self.assertEqual(self.ran(NODE3), [])
        pre, post = self.ran(NODE1)
        self.assertEqual(pre.environment["GANETI_INSTANCE_STATUS"], "up")
        self.assertEqual(post.environment["GANETI_INSTANCE_STATUS"], "up")
        self.assertEqual(post.environment["GANETI_POST_INSTANCE_STATUS"], "down")
        self.assertEqual(pre.environment["GANETI_HOOKS_PHASE"], "pre")
        self.assertNotIn("GANETI_POST_INSTANCE_STATUS", pre.environment)

    def test_abort(self) -> None:
        """A script that fails before refuses the operation; nothing is changed and nothing runs after."""
        self.hooks(NODE1, group_add_pre=(("a", True, ""), ("b", False, "no")), group_add_post=WELL)
        number = self.submit(group_add())
        found = self.job(number)
        self.assertEqual(found.ops[0].result, ["HooksAbort", [[["node1.example.com", "b", "no"]]]])
        self.assertEqual(self.status(number), "error")
        self.assertEqual(len(self.fake.snapshot.groups), 1)
        self.assertEqual([step.phase for step in self.ran(NODE1)], ["pre"])

    def test_prerequisites_first(self) -> None:
        """An operation that cannot be done runs no scripts."""
        self.hooks(NODE1, group_add_pre=WELL)
        self.assertEqual(self.status(self.submit(group_add("default"))), "error")
        self.assertEqual(self.ran(NODE1), [])

    def test_after_failure(self) -> None:
        """After an operation that failed no scripts run."""
        self.run_job(create(start=False))
        self.hooks(NODE1, instance_start_pre=WELL, instance_start_post=WELL)
        self.fake.nodes.nodes[NODE1].faults[StartDomain] = [StepFailed("no")]
        self.assertEqual(self.status(self.submit(about("STARTUP"))), "error")
        self.assertEqual([step.phase for step in self.ran(NODE1)], ["pre"])

    def test_failure_after(self) -> None:
        """A script that fails afterwards is told of in the log, and the operation has succeeded."""
        self.hooks(NODE1, group_add_post=(("a", False, ""), ("b", False, "no")))
        found = self.run_job(group_add())
        lines = [line[3] for line in found.ops[0].log]
        self.assertEqual(
            lines,
            [
                " - WARNING: On node1.example.com script a failed, output: (no output)",
                " - WARNING: On node1.example.com script b failed, output: no",
            ],
        )

    def test_silent(self) -> None:
        """A node that falls silent while it is asked is skipped, with a warning."""
        self.hooks(NODE1, group_add_pre=WELL)
        self.fake.nodes.nodes[NODE1].faults[RunHooks] = [NodeUnreachable("gone")]
        found = self.run_job(group_add())
        self.assertIn("Communication failure to node node1.example.com", found.ops[0].log[0][3])

    def test_created(self) -> None:
        """Before an instance is made its node is told of it as it will be."""
        self.hooks(NODE3, instance_add_pre=WELL, instance_add_post=WELL)
        self.run_job(create(pnode="node3.example.com"))
        pre, post = self.ran(NODE3)
        self.assertEqual(pre.environment["GANETI_INSTANCE_PRIMARY"], "node3.example.com")
        self.assertEqual(post.environment["GANETI_POST_INSTANCE_STATUS"], "up")
        self.assertEqual(self.steps(NODE3)[-1], "instance-add-post")

    def test_dry_run(self) -> None:
        """A dry run runs the first phase, which may refuse it, and not the last."""
        self.hooks(NODE1, group_add_pre=WELL, group_add_post=WELL)
        self.run_job(group_add(dry_run=True))
        self.assertEqual([step.phase for step in self.ran(NODE1)], ["pre"])

    def test_crash(self) -> None:
        """After a crash the last phase runs all the same, and the first is not repeated once it is over."""
        self.run_job(create())
        self.hooks(NODE1, instance_stop_pre=WELL, instance_stop_post=WELL)
        self.fake.nodes.nodes[NODE1].done.clear()
        self.fake.stop()
        self.fake = make_cluster(
            self.fake.store, self.fake.nodes, failpoint=self.dies_once("after stage.changed")
        )
        number = self.submit_into_crash(about("SHUTDOWN"))
        self.fake = make_cluster(self.fake.store, self.fake.nodes)
        self.assertEqual(self.status(number), "success")
        self.assertEqual([step.phase for step in self.ran(NODE1)], ["pre", "post"])

    def dies_once(self, where: str) -> Any:
        """The term ends there, as in a crash."""

        def failpoint(here: str) -> None:
            if here == where and not self.dead:
                self.dead = True
                self.fake.stop()

        return failpoint

    def submit_into_crash(self, op: Opcode) -> int:
        """The id of a job whose master dies."""
        self.submit(op)
        self.assertTrue(self.dead)
        return 2

    def test_several(self) -> None:
        """Each opcode of a job has its own."""
        self.hooks(NODE1, group_add_pre=WELL)
        self.run_job(group_add("a"), tag(), group_add("b"))
        self.assertEqual([s.environment["GANETI_OP_TARGET"] for s in self.ran(NODE1)], ["a", "b"])


class ConfigurationTests(JobCase):
    """The hook of configuration changes."""

    def paths(self) -> list[str]:
        """What was run on the master's node."""
        done = self.fake.nodes.nodes[NODE1].done
        return [f"{step.path}-{step.phase}" for step in done if isinstance(step, RunHooks)]

    def test_changes(self) -> None:
        """It runs after each change on the master's node, and not when nothing was changed."""
        self.fake.nodes.nodes[NODE1].hooks = {"config-update-post": WELL}
        self.run_job(group_add())
        self.assertEqual(self.paths(), ["config-update-post"])
        self.run_job(from_wire({"OP_ID": "OP_CLUSTER_QUERY"}))
        self.assertEqual(self.paths(), ["config-update-post"])

    def test_begin(self) -> None:
        """It runs when a term begins: the last change may not have been told of."""
        self.fake.nodes.nodes[NODE1].hooks = {"config-update-post": WELL}
        self.fake.stop()
        self.fake = make_cluster(self.fake.store, self.fake.nodes)
        self.assertEqual(self.paths(), ["config-update-post"])

    def test_one_at_a_time(self) -> None:
        """Changes while it runs are told of once, after it."""
        self.fake.nodes.nodes[NODE1].hooks = {"config-update-post": WELL}
        self.fake.nodes.hold()
        for name in "abc":
            self.run_job(group_add(name))
        self.assertEqual(self.paths(), [])
        self.fake.nodes.release()
        self.assertEqual(self.paths(), ["config-update-post"] * 2)

    def test_failing(self) -> None:
        """Scripts that fail, and a node that does not answer, hurt nobody."""
        node = self.fake.nodes.nodes[NODE1]
        node.hooks = {"config-update-post": (("a", False, "no"),)}
        self.run_job(group_add("a"))
        node.faults[RunHooks] = [NodeUnreachable("gone")]
        self.run_job(group_add("b"))
        self.run_job(group_add("c"))
        self.assertEqual(self.paths(), ["config-update-post"] * 2)
