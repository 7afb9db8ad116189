"""Jobs over a real etcd that takes little at once."""

import time
from pathlib import Path
from random import Random
from typing import Any

from twisted.application.service import Service
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.trial.unittest import TestCase

from tests.requirements import missing
from twisted_rapi.cluster.duties import Duties, Office
from twisted_rapi.cluster.service import Cluster
from twisted_rapi.errors import CommitTooLarge
from twisted_rapi.model.opcodes import from_wire
from twisted_rapi.model.records import FINAL, JobRecord, job_status
from twisted_rapi.state.snapshot import load
from twisted_rapi.state.writer import commit_of
from twisted_rapi.testing.cluster import NODES, founding
from twisted_rapi.testing.etcd import EtcdCluster
from twisted_rapi.testing.nodes import FakeNodes

any_reactor: Any = reactor
TAKES = 64 * 1024


class LargeJobTests(TestCase):
    """A job that etcd does not take whole ends all the same, under the same master."""

    skip = missing("etcd")
    timeout = 300

    async def setUp(self) -> None:  # type: ignore[override]
        self.etcd = EtcdCluster(
            Path(self.mktemp()).resolve(), 1, ("--max-request-bytes", str(TAKES), "--max-txn-ops", "40")
        )
        self.addCleanup(self.etcd.remove)
        self.etcd.set_up()
        self.etcd.start()
        store = await self.etcd.store(any_reactor, patience=60.0)
        self.addCleanup(lambda: Deferred.fromCoroutine(store.close()))
        records, names = founding()
        await store.commit(commit_of(records, names=names))
        snapshot = await load(store, any_reactor)
        snapshot.startService()
        self.addCleanup(snapshot.stopService)
        self.deposed: list[bool] = []
        opening: Deferred[Cluster] = Deferred()

        async def opened(cluster: Cluster, *_: Any) -> Service:
            opening.callback(cluster)
            return Service()

        office = Office(
            store=store,
            snapshot=snapshot,
            nodes=FakeNodes(NODES),
            clock=any_reactor,
            now=time.time,
            chance=Random(1),
            opened=opened,
            deposed=lambda: self.deposed.append(True),
        )
        duties = Duties(office, 1)
        duties.startService()
        self.addCleanup(duties.stopService)
        self.cluster = await opening

    async def ended(self, *ops: dict[str, Any]) -> JobRecord:
        """The end of a job of these opcodes."""
        number = await self.cluster.submit([from_wire(op) for op in ops])
        found = await self.cluster.wait(number, lambda job: job_status(job) not in FINAL, 60.0)
        assert found is not None
        self.assertIn(job_status(found), FINAL)
        self.assertEqual(self.deposed, [])
        return found

    async def test_large(self) -> None:
        """Results, errors, jobs submitted and parameters: whatever is too large, the next job runs."""
        tag = {"OP_ID": "OP_TAGS_SET", "kind": "cluster", "tags": ["x"]}
        query = {"OP_ID": "OP_QUERY", "what": "node", "fields": ["name"] * 1000}
        job = await self.ended(query)
        self.assertIn("too large to be kept", str(job.ops[0].result))
        wrong = {**query, "qfilter": ["=", "x" * 200, "y" * 30_000]}
        self.assertEqual(job_status(await self.ended(wrong)), "error")
        job = await self.ended({**tag, "comment": "c" * (TAKES - 14_000)}, query)
        self.assertIn(job_status(job), FINAL)
        self.assertEqual(job_status(await self.ended({**tag, "tags": ["after"]})), "success")
        await self.assertFailure(
            Deferred.fromCoroutine(self.cluster.submit([from_wire({**tag, "comment": "c" * 2 * TAKES})])),
            CommitTooLarge,
        )
        job = await self.ended({"OP_ID": "OP_CLUSTER_VERIFY"})
        self.assertEqual(job_status(job), "success")
