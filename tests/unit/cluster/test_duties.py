"""Tests of `twisted_rapi.cluster.duties`."""

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from twisted_rapi.model.mastership import ElectionRecord
from twisted_rapi.state.interface import Commit
from twisted_rapi.state.writer import commit_of
from twisted_rapi.testing.cluster import NODES, founding, make_cluster
from twisted_rapi.testing.memory_store import MemoryStore


class MasterTests(SynchronousTestCase):
    """A term begins with the cluster knowing who its master is."""

    def master(self, elected: str) -> tuple[str, int]:
        """The master that the cluster's record names, and the record's serial number."""
        store = MemoryStore()
        records, names = founding()
        others = [record for record in records if not isinstance(record, ElectionRecord)]
        change = commit_of([*others, ElectionRecord(term=1, node=elected)], names=names)
        self.successResultOf(_made(store, change))
        cluster = make_cluster(store)
        self.addCleanup(cluster.stop)
        return cluster.snapshot.cluster.master_node, cluster.snapshot.cluster.serial_no

    def test_same(self) -> None:
        """Nothing is written when it is the one it was."""
        self.assertEqual(self.master(NODES[0]), (NODES[0], 1))

    def test_other(self) -> None:
        """Another one is written down."""
        self.assertEqual(self.master(NODES[1]), (NODES[1], 2))

    def test_unknown(self) -> None:
        """One that is no node is not."""
        self.assertEqual(self.master("nobody"), (NODES[0], 1))


def _made(store: MemoryStore, change: Commit) -> Deferred[int]:
    return Deferred.fromCoroutine(store.commit(change))
