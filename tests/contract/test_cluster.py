"""The use cases under their contract, on each store."""

import time
from pathlib import Path
from random import Random
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred, succeed
from twisted.trial.unittest import TestCase

from twisted_rapi.cluster.duties import Duties, Office
from twisted_rapi.cluster.service import Cluster
from twisted_rapi.ha.election import SoleCandidate
from twisted_rapi.state.snapshot import load
from twisted_rapi.state.sqlite import open_store
from twisted_rapi.state.writer import commit_of
from twisted_rapi.testing.cluster import NODES, founding, make_cluster
from twisted_rapi.testing.contracts.cluster import ClusterContract
from twisted_rapi.testing.nodes import FakeNodes


class InMemoryTests(ClusterContract, TestCase):
    """Over the store in memory."""

    def setUp(self) -> None:
        self.fake = make_cluster()
        self.cluster = self.fake.cluster
        self.addCleanup(self.fake.stop)

    def end_term(self) -> Any:
        """End it at once."""
        return self.fake.duties.stopService()


class OnSQLiteTests(ClusterContract, TestCase):
    """Over SQLite."""

    async def setUp(self) -> None:  # type: ignore[override]
        from twisted.internet import reactor

        any_reactor: Any = reactor
        store = await open_store(Path(self.mktemp()), any_reactor)
        records, names = founding()
        await store.commit(commit_of(records, names=names))
        snapshot = await load(store, any_reactor)
        snapshot.startService()
        opened: Deferred[Cluster] = Deferred()

        async def begin(cluster: Cluster, *_: Any) -> Service:
            opened.callback(cluster)
            return Service()

        term = await SoleCandidate(store, NODES[0]).win()
        office = Office(
            store=store,
            snapshot=snapshot,
            nodes=FakeNodes(NODES),
            clock=any_reactor,
            now=time.time,
            chance=Random(0),
            opened=begin,
            deposed=lambda: self.fail("nobody else is master"),
        )
        self.duties = Duties(office, term)
        self.duties.startService()
        self.addCleanup(lambda: Deferred.fromCoroutine(store.close()))
        self.addCleanup(snapshot.stopService)
        self.addCleanup(self.end_term)
        self.cluster = await opened

    def end_term(self) -> Any:
        """End it, once."""
        return self.duties.stopService() if self.duties.running else succeed(None)
