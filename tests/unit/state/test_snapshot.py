"""Tests of `twisted_rapi.state.snapshot`."""

from random import Random
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from twisted_rapi.errors import OpPrereqError, RecordTooNew, StoreClosed, StoreError
from twisted_rapi.model.mastership import ElectionRecord
from twisted_rapi.model.record_base import Record
from twisted_rapi.model.records import InstanceRecord
from twisted_rapi.state.interface import Commit
from twisted_rapi.state.snapshot import Snapshot, load
from twisted_rapi.state.writer import commit_of
from twisted_rapi.testing.cluster import NODES, founding
from twisted_rapi.testing.memory_store import MemoryStore


def instance(n: int, node: str = NODES[0], **values: Any) -> InstanceRecord:
    """An instance."""
    return InstanceRecord(
        uuid=f"i{n}",
        name=f"web{n}.example.com",
        hypervisor="fake",
        primary_node=node,
        disk_template="diskless",
        **values,
    )


class SnapshotTests(SynchronousTestCase):
    """What was committed is seen, by all of its indexes."""

    def setUp(self) -> None:
        self.store = MemoryStore(history_length=20)
        self.clock = Clock()
        records, names = founding()
        self.commit(puts=records, names=names)
        self.snapshot: Snapshot = self.now(load(self.store, self.clock))
        self.snapshot.startService()
        self.addCleanup(self.snapshot.stopService)

    def now(self, awaitable: Any) -> Any:
        return self.successResultOf(Deferred.fromCoroutine(awaitable))

    def commit(self, **what: Any) -> int:
        revision: int = self.now(self.store.commit(commit_of(**what)))
        return revision

    def state(self, snapshot: Snapshot) -> Any:
        """All that a snapshot says."""
        return (
            snapshot.instances,
            snapshot.nodes,
            snapshot.groups,
            snapshot.names,
            {node: snapshot.primary(node) for node in NODES},
            {node: snapshot.secondary(node) for node in NODES},
            {key: snapshot.revision_of(key) for key in snapshot._records},
        )

    def test_empty(self) -> None:
        """A store without a cluster says so when it is asked for."""
        snapshot = self.now(load(MemoryStore(), Clock()))
        self.assertRaises(StoreError, lambda: snapshot.cluster)

    def test_follows(self) -> None:
        """A commit is here when it is reached, with its revision."""
        revision = self.commit(puts=[instance(1)])
        self.now(self.snapshot.reached(revision))
        self.assertEqual(self.snapshot.revision_of("instance/i1"), revision)
        self.assertEqual(self.snapshot.primary(NODES[0]), frozenset({"i1"}))

    def test_renamed_and_moved(self) -> None:
        """Names and nodes an instance had before are forgotten."""
        self.commit(puts=[instance(1, secondary_nodes=(NODES[1],))])
        self.commit(puts=[replace(instance(1), name="other.example.com", primary_node=NODES[2])])
        self.assertEqual(self.snapshot.names["instance"], {"other.example.com": "i1"})
        self.assertEqual(
            [
                self.snapshot.primary(NODES[0]),
                self.snapshot.primary(NODES[2]),
                self.snapshot.secondary(NODES[1]),
            ],
            [frozenset(), frozenset({"i1"}), frozenset()],
        )

    def test_observed(self) -> None:
        """Observers see what was and what is."""
        seen: list[tuple[str, Record | None, Record | None]] = []
        end = self.snapshot.observe(seen.extend)
        self.commit(puts=[instance(1)])
        self.commit(deletes=[instance(1)])
        end()
        self.commit(puts=[instance(2)])
        self.assertEqual(seen, [("instance/i1", None, instance(1)), ("instance/i1", instance(1), None)])

    def test_missed(self) -> None:
        """When changes were missed everything is read again, and nothing is kept that is gone."""
        self.commit(puts=[instance(1)])
        self.snapshot._watch.close()  # type: ignore[union-attr]
        self.snapshot._watch = self.store.watch(["nothing/"], self.store.revision)
        for n in range(30):
            self.commit(puts=[instance(2)], deletes=[instance(1)] if n == 5 else [])
        self.snapshot._watch = self.store.watch(["instance/"], 1)
        self.snapshot.startService()
        self.assertEqual(list(self.snapshot.instances), ["i2"])

    def test_observer_fails(self) -> None:
        """One that fails keeps neither the others nor the snapshot from going on."""
        seen: list[tuple[str, Record | None, Record | None]] = []

        def fail(_: object) -> None:
            raise ZeroDivisionError

        self.snapshot.observe(fail)
        self.snapshot.observe(seen.extend)
        self.now(self.snapshot.reached(self.commit(puts=[instance(1)])))
        self.now(self.snapshot.reached(self.commit(puts=[instance(2)])))
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 2)
        self.assertEqual([key for key, _, _ in seen], ["instance/i1", "instance/i2"])

    def test_unreadable(self) -> None:
        """While a record cannot be read the snapshot stays as it is and tries again, ever more rarely."""
        self.now(self.store.commit(Commit(puts={"instance/i1": b'{"v":99,"r":{}}'})))
        reached = Deferred.fromCoroutine(self.snapshot.reached(self.commit(puts=[instance(2)])))
        self.clock.pump([1.0, 2.0])
        self.assertEqual(len(self.flushLoggedErrors(RecordTooNew)), 4)
        self.assertNoResult(reached)
        self.assertEqual(self.snapshot.instances, {})
        self.commit(puts=[instance(1)])
        self.clock.advance(4.0)
        self.successResultOf(reached)
        self.assertEqual(sorted(self.snapshot.instances), ["i1", "i2"])
        self.now(self.snapshot.reached(self.commit(puts=[instance(3)])))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_stopped(self) -> None:
        """Who waits for a revision when it is stopped is told, and no attempt is left to be made."""
        reached = Deferred.fromCoroutine(self.snapshot.reached(self.store.revision + 1))
        self.now(self.store.commit(Commit(puts={"instance/i1": b"{}"})))
        self.assertEqual(len(self.flushLoggedErrors(StoreError)), 2)
        self.successResultOf(self.snapshot.stopService())
        self.failureResultOf(reached, StoreClosed)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_store_closed(self) -> None:
        """When the store is closed it ends following without a word."""
        self.now(self.store.close())
        self.successResultOf(self.snapshot.stopService())

    def test_election(self) -> None:
        """Who was elected is known, and when nobody is any more; so is that there is no cluster."""
        won = ElectionRecord(term=3, node=NODES[0])
        self.commit(puts=[won])
        self.assertEqual(self.snapshot.election, won)
        self.commit(deletes=[won, self.snapshot.cluster])
        self.assertEqual(self.snapshot.election, None)
        self.assertRaises(StoreError, lambda: self.snapshot.cluster)

    def test_names(self) -> None:
        """Objects are found by name, uuid, or the part before a dot if only one begins so."""
        self.commit(puts=[instance(1), replace(instance(2), name="web1.example.org")])
        view = self.snapshot.view({}, 0.0, Random(1))
        self.assertEqual(view.find("instance", "i1"), "i1")
        self.assertEqual(view.find("node", "node1"), NODES[0])
        self.assertIsNone(view.find("instance", "web1"), "two begin so")
        self.assertIsNone(view.find("instance", ""))
        self.assertRaises(OpPrereqError, view.instance, "web1")

    @settings(max_examples=60, deadline=None)
    @given(
        st.lists(
            st.tuples(
                st.integers(0, 4), st.sampled_from(NODES), st.sampled_from(["put", "rename", "delete"])
            ),
            max_size=25,
        )
    )
    def test_as_read_anew(self, changes: list[tuple[int, str, str]]) -> None:
        """After any changes it says what a new one would."""
        for n, node, what in changes:
            if what == "delete":
                self.commit(deletes=[instance(n)])
            else:
                name = {"name": f"new{n}.example.com"} if what == "rename" else {}
                self.commit(puts=[replace(instance(n, node), **name)])
        self.assertEqual(self.state(self.snapshot), self.state(self.now(load(self.store, self.clock))))
