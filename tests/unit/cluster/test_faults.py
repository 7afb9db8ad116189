"""Tests of `twisted_rapi.cluster.faults`."""

from tests.unit.cluster.test_watchdog import NAME, WatchdogCase
from tests.unit.jobs.test_jobs import about
from twisted_rapi.model.fault import Fault, FaultsRecord
from twisted_rapi.testing.cluster import NODES, make_cluster


class FaultsTests(WatchdogCase):
    """What is wrong is noted."""

    def faults(self) -> list[Fault]:
        """Those that are told of."""
        return self.fake.cluster.faults.all()

    def test_machine(self) -> None:
        """A machine that is down is told of once that lasts, and is over when it runs again."""
        self.kill()
        self.pass_by(10)
        self.assertEqual(self.faults(), [])
        self.pass_by(20)
        [fault] = self.faults()
        self.assertEqual((fault.text, fault.over), (f"VM {NAME} should run and does not", False))
        self.pass_by(60)
        [fault] = self.faults()
        self.assertTrue(fault.over)
        self.assertLess(fault.first, fault.last)

    def test_stopped(self) -> None:
        """What a job does is nothing wrong."""
        self.run_job(about("SHUTDOWN"))
        self.pass_by(100)
        self.assertEqual(self.faults(), [])

    def test_node(self) -> None:
        """A node that does not answer is told of, also under the next master, and not again once deleted."""
        node = self.fake.nodes.nodes[NODES[1]]
        node.down = True
        self.fake.nodes.changed(NODES[1])
        self.pass_by(120)
        [fault] = self.faults()
        self.assertEqual(fault.text, "Node node2.example.com does not answer")
        before = self.fake
        before.stop()
        self.fake = make_cluster(before.store, before.nodes, before.clock)
        self.pass_by(60)
        self.assertEqual(self.faults(), [fault])
        self.now(self.fake.cluster.faults.acknowledge([fault.id]))
        [known] = self.faults()
        self.assertEqual(known.acknowledged, self.fake.now())
        self.now(self.fake.cluster.faults.delete([fault.id]))
        self.pass_by(60)
        self.assertEqual(self.faults(), [])
        node.down = False
        self.fake.nodes.changed(NODES[1])
        self.pass_by(60)
        self.assertEqual(self.fake.snapshot.faults, FaultsRecord())
