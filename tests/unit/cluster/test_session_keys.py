"""Tests of `twisted_rapi.cluster.session_keys`."""

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from twisted_rapi.cluster.session_keys import SessionKeys
from twisted_rapi.model.session import SessionKeyRecord
from twisted_rapi.state.writer import commit_of
from twisted_rapi.testing.cluster import make_cluster


class SessionKeysTests(SynchronousTestCase):
    """The cluster has one key for sessions."""

    def setUp(self) -> None:
        """A cluster."""
        self.cluster = make_cluster()
        self.addCleanup(self.cluster.stop)

    def key(self) -> bytes:
        """The key, as the cluster has it."""
        return self.successResultOf(Deferred.fromCoroutine(self.cluster.cluster.session_key()))

    def test_made_once(self) -> None:
        """It is made when it is needed first, and stays under the next master."""
        self.assertIsNone(self.cluster.snapshot.session_key)
        key = self.key()
        self.assertEqual((len(key), self.key()), (32, key))
        self.cluster.stop()
        self.cluster = make_cluster(self.cluster.store)
        self.assertEqual(self.key(), key)

    def test_at_once(self) -> None:
        """Who finds that another one was made meanwhile takes that."""
        cluster = self.cluster
        cluster.snapshot.stopService()
        change = commit_of([SessionKeyRecord(key="ab" * 32)])
        self.successResultOf(Deferred.fromCoroutine(cluster.store.commit(change)))
        getting = Deferred.fromCoroutine(SessionKeys(cluster.store, cluster.snapshot, 1).get())
        self.assertNoResult(getting)
        self.successResultOf(Deferred.fromCoroutine(cluster.snapshot.read()))
        self.assertEqual(self.successResultOf(getting), b"\xab" * 32)
