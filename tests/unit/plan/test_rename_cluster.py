"""``OP_CLUSTER_RENAME``."""

from typing import Any

from msgspec.structs import replace
from twisted.trial.unittest import SynchronousTestCase

from tests.unit.plan.programs import op
from tests.unit.plan.templates import well, world_of
from tests.unit.plan.test_create import pair
from twisted_rapi.plan.hooks import HOOKS, nodes_after, nodes_before, told
from twisted_rapi.plan.locks import Lock
from twisted_rapi.plan.table import locks_for
from twisted_rapi.testing.cluster import NODES
from twisted_rapi.testing.world import Ended

NEW = "new.example.com"


class RenameTests(SynchronousTestCase):
    """The cluster gets another name."""

    def setUp(self) -> None:
        self.world = world_of()
        self.master = self.world.nodes.nodes[NODES[0]]
        self.master.hosts[NEW] = "192.0.2.90"

    def rename(self, name: str = NEW, **more: Any) -> Ended:
        """The end of the opcode."""
        return self.world.run(op("CLUSTER_RENAME", name=name, **more))

    def refused(self, text: str, code: str, name: str = NEW) -> None:
        """It is refused so, and nothing has changed."""
        before = self.world.cluster
        self.assertEqual(pair(self.rename(name)), ["OpPrereqError", [text, code]])
        self.assertEqual(self.world.cluster, before)

    def test_renamed(self) -> None:
        """It has the whole name and its address; operators are told of the certificate."""
        before = self.world.cluster
        ended = well(self.rename("NEW"))
        after = self.world.cluster
        self.assertEqual((ended.result, after.name, after.master_ip), (NEW, NEW, "192.0.2.90"))
        self.assertEqual((after.uuid, after.serial_no), (before.uuid, before.serial_no + 1))
        [line] = ended.log
        self.assertIn(f"that is good for {NEW}", line)

    def test_address_only(self) -> None:
        """The same name may come to stand for another address."""
        well(self.rename())
        self.master.hosts[NEW] = "192.0.2.91"
        well(self.rename())
        self.assertEqual(self.world.cluster.master_ip, "192.0.2.91")

    def test_name_only(self) -> None:
        """An address it has already may be in use: by itself.  It may be known by the old name only."""
        self.master.hosts[self.world.cluster.name] = "192.0.2.90"
        self.master.answering.add("192.0.2.90")
        ended = well(self.rename())
        self.assertEqual(ended.stages, ["resolved"])
        self.master.hosts["other.example.com"] = "192.0.2.90"
        del self.master.hosts[NEW]
        well(self.rename("other.example.com"))

    def test_refused(self) -> None:
        """Names that are none, or of nobody, or of others; and where nothing would change."""
        self.refused("Invalid hostname 'a b'", "wrong_input", "a b")
        reason = "Temporary failure in name resolution"
        self.refused(f"The given name (x) does not resolve: {reason}", "resolver_error", "x")
        self.master.aliases["alias"] = NEW
        self.refused(f"The given name (alias) is that of another host, {NEW}", "wrong_input", "alias")
        self.master.answering.add("192.0.2.90")
        text = "The given cluster IP address (192.0.2.90) is reachable on the network"
        self.refused(text, "resource_not_unique")
        self.master.answering.clear()
        well(self.rename())
        text = "Neither the name nor the IP address of the cluster has changed"
        self.refused(text, "wrong_input")

    def test_dry_run(self) -> None:
        """A dry run judges, and changes nothing."""
        before = self.world.cluster
        well(self.rename(dry_run=True))
        self.assertEqual(self.world.cluster, before)
        self.assertIsNotNone(self.rename("x", dry_run=True).error)

    def test_alone(self) -> None:
        """No other job runs meanwhile."""
        locks = locks_for(op("CLUSTER_RENAME", name=NEW), self.world.view())
        self.assertEqual(locks, {Lock("cluster", "BGL"), Lock("cluster", "tags")})

    def test_hooks(self) -> None:
        """The master's scripts run before, those of all nodes after it."""
        opcode, view = op("CLUSTER_RENAME", name=NEW), self.world.view()
        hooks = HOOKS[type(opcode)]
        self.assertEqual((hooks.path, told(hooks, opcode, view)), ("cluster-rename", {"NEW_NAME": NEW}))
        self.assertEqual(nodes_before(hooks, opcode, view), (NODES[0],))
        self.assertEqual(sorted(nodes_after(hooks, opcode, view, view)), sorted(NODES))

    def test_older_record(self) -> None:
        """Where the record says which address there was, the old name is not believed."""
        self.world.put(replace(self.world.cluster, master_ip="192.0.2.1"))
        self.master.hosts[self.world.cluster.name] = "192.0.2.90"
        self.master.answering.add("192.0.2.90")
        text = "The given cluster IP address (192.0.2.90) is reachable on the network"
        self.refused(text, "resource_not_unique")
