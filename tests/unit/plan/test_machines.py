"""Tests of `twisted_rapi.plan.machines`."""

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.unit.plan.programs import op
from tests.unit.plan.test_belongings import diskless
from twisted_rapi.model.machine import MachineRecord
from twisted_rapi.testing.cluster import NODES
from twisted_rapi.testing.world import World


class SettingsTests(SynchronousTestCase):
    """What is kept of a machine beside its instance is changed by a job."""

    def setUp(self) -> None:
        self.world = World()
        self.world.run(diskless(tags=["prod", "web"]))
        self.uuid = self.world.instance("web1").uuid

    def set(self, **values: Any) -> str:
        """Change it; answers the error."""
        ended = self.world.run(op("MACHINE_SET_PARAMS", instance_name="web1", **values))
        return "" if ended.error is None else ended.error.text

    def kept(self) -> MachineRecord:
        """What is kept now."""
        return self.world.view().machine(self.uuid)

    def test_some(self) -> None:
        """What is not given stays as it was."""
        self.assertEqual(self.set(node_limit=["node2", "node1", "node2"], node_selector="load"), "")
        self.assertEqual(self.set(node_autostart=True, last_node="node2", protected_tags=["web"]), "")
        self.assertEqual(
            self.kept(),
            MachineRecord(
                uuid=self.uuid,
                node_limit=("node2.example.com", "node1.example.com"),
                node_selector="load",
                node_autostart=True,
                last_node=NODES[1],
                protected_tags=("web",),
            ),
        )

    def test_defaults(self) -> None:
        """Nothing is kept of one that has all the defaults again."""
        self.set(profile="p", last_node="node2")
        self.assertEqual(len(self.world.view().machines), 1)
        self.assertEqual(self.set(profile="", last_node=""), "")
        self.assertEqual(self.world.view().machines, {})

    def test_wrong(self) -> None:
        """Nodes and tags that are not there are refused, and nothing is changed."""
        self.assertIn("'nope'", self.set(node_limit=["nope"]))
        self.assertIn("'nope'", self.set(last_node="nope"))
        self.assertIn("'db'", self.set(protected_tags=["db"]))
        self.assertIn("Tag", self.set(protected_tags=["a b"]))
        self.assertEqual(self.world.view().machines, {})
