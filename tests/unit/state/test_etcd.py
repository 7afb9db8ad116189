"""Tests of `twisted_rapi.state.etcd` over a gateway in memory, on a clock the tests hold."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from twisted_rapi.errors import CommitTooLarge, Compacted, Conflict, StaleTerm, StoreUnreachable, Unanswered
from twisted_rapi.model.mastership import ElectionRecord
from twisted_rapi.state.codec import encode
from twisted_rapi.state.etcd import EtcdStore, open_etcd
from twisted_rapi.state.interface import Commit
from twisted_rapi.testing.etcd_model import FakeGateway


class Held:
    """A store, its etcd, and the clock."""

    def __init__(self) -> None:
        self.clock, self.etcd = Clock(), FakeGateway()
        self.store: EtcdStore = self.done(open_etcd(self.etcd, self.clock, "writer"))
        self.doubts = 0
        self.store.doubtful = self._doubtful

    def _doubtful(self) -> None:
        self.doubts += 1

    def begin(self, work: Any) -> list[Any]:
        """What it answers, once it does."""
        results: list[Any] = []
        Deferred.fromCoroutine(work).addBoth(results.append)
        return results

    def done(self, work: Any) -> Any:
        """What it answers or raises, after as much time as it takes."""
        results = self.begin(work)
        for _ in range(500):
            if results:
                break
            self.clock.advance(0.05)
        [result] = results
        if isinstance(result, Failure):
            result.raiseException()
        return result

    def values(self, prefix: str = "k/") -> dict[str, bytes]:
        """All that is stored."""
        page = self.done(self.store.list(prefix))
        return {key: entry.value for key, entry in page.entries.items()}


def put(key: str, value: str = "1") -> Commit:
    """A commit of one key."""
    return Commit(puts={f"k/{key}": value.encode()})


class DoubtTests(SynchronousTestCase):
    """Each commit is made once or not at all, and who asked for it is told the truth."""

    def setUp(self) -> None:
        self.held = Held()
        self.held.done(self.held.store.commit(put("first")))

    def test_lost_answer(self) -> None:
        """A commit that was made and not answered is answered after asking."""
        self.held.etcd.faults.append("lost")
        before = self.held.store.revision
        revision = self.held.done(self.held.store.commit(Commit(expect={"k/a": 0}, puts={"k/a": b"1"})))
        self.assertEqual((revision, self.held.values()["k/a"]), (before + 1, b"1"))

    def test_late(self) -> None:
        """One that has not arrived is made again, and does nothing when it arrives later."""
        self.held.etcd.faults.append("late")
        self.held.done(self.held.store.commit(put("a", "1")))
        self.held.done(self.held.store.commit(put("a", "2")))
        self.held.etcd.arrive()
        self.assertEqual(self.held.values()["k/a"], b"2")

    def test_unsent(self) -> None:
        """One that could not be sent is sent again; after 5 s it is given up, and was not made."""
        self.held.etcd.faults.extend(["unsent"] * 3)
        self.held.done(self.held.store.commit(put("a")))
        self.held.etcd.faults.extend(["unsent"] * 500)
        begun = self.held.clock.seconds()
        with self.assertRaises(StoreUnreachable):
            self.held.done(self.held.store.commit(put("b")))
        self.assertLess(self.held.clock.seconds() - begun, 5.2)
        self.held.etcd.faults.clear()
        self.assertNotIn("k/b", self.held.values())
        self.assertEqual(self.held.doubts, 0)

    def test_doubt(self) -> None:
        """Who is not answered is told so; nothing is made before it is known what became of it."""
        etcd, store = self.held.etcd, self.held.store
        etcd.faults.extend(["late", *["unsent"] * 105])
        with self.assertRaises(Unanswered):
            self.held.done(store.commit(put("a", "1")))
        self.assertEqual(self.held.doubts, 1)
        later = self.held.begin(store.commit(put("a", "2")))
        self.held.clock.advance(0.05)
        self.assertEqual(later, [])
        etcd.faults.clear()
        self.held.clock.pump([0.05] * 40)
        self.assertEqual(len(later), 1)
        etcd.arrive()
        self.assertEqual(self.held.values()["k/a"], b"2")

    def test_marks_gone(self) -> None:
        """When the lease of the marks has ended a new one is had."""
        self.held.etcd.end_leases()
        self.held.done(self.held.store.commit(put("a")))
        self.assertEqual(self.held.values()["k/a"], b"1")

    def test_together(self) -> None:
        """Commits asked for together are one transaction; a refused one keeps the others from nothing."""
        store = self.held.store
        before = store.revision
        begun = [
            self.held.begin(store.commit(change))
            for change in (
                put("a"),
                Commit(expect={"k/first": 99}, puts={"k/x": b""}),
                put("b"),
                put("a", "2"),
            )
        ]
        self.held.clock.pump([0.05] * 5)
        self.assertIsInstance(begun[1][0].value, Conflict)
        self.assertEqual([begun[n] for n in (0, 2, 3)], [[before + 1]] * 3)
        self.assertEqual(self.held.values(), {"k/first": b"1", "k/a": b"2", "k/b": b"1"})

    def test_fence(self) -> None:
        """A term that others have ended while the store did not look is refused, with the newest."""
        other: EtcdStore = self.held.done(open_etcd(self.held.etcd, self.held.clock, "other"))
        for term in (3, 4):
            won = encode(ElectionRecord(term=term, node="n"))
            self.held.done(other.commit(Commit(puts={"election": won})))
            with self.assertRaises(StaleTerm) as caught:
                self.held.done(self.held.store.commit(Commit(puts={"k/a": b""}, term=term - 1)))
            self.assertEqual(caught.exception.newest, term)
            self.held.done(self.held.store.commit(Commit(puts={"k/a": b""}, term=term)))

    def test_too_large(self) -> None:
        """A commit above etcd's limit is refused whole, with what to raise."""
        with self.assertRaises(CommitTooLarge) as caught:
            self.held.done(self.held.store.commit(Commit(puts={f"k/{n}": b"" for n in range(200)})))
        self.assertIn("--max-txn-ops", str(caught.exception))
        self.assertEqual(list(self.held.values()), ["k/first"])


class FeedTests(SynchronousTestCase):
    """A watch has no gaps."""

    def test_member_dies(self) -> None:
        """It goes on from where it was when its member dies."""
        held = Held()
        watch = held.store.watch(["k/"], 0)
        held.done(held.store.commit(put("a")))
        self.assertEqual([dict(c.values) for c in held.done(watch.next())], [{"k/a": b"1"}])
        held.etcd.break_streams()
        held.done(held.store.commit(put("b")))
        self.assertEqual([dict(c.values) for c in held.done(watch.next())], [{"k/b": b"1"}])
        watch.close()

    def test_compacted(self) -> None:
        """It says that changes were lost when they are not kept any more."""
        held = Held()
        watch = held.store.watch(["k/"], 0)
        for n in range(3):
            held.done(held.store.commit(put(str(n))))
        held.etcd._compact({"revision": held.etcd.revision})
        late = held.store.watch(["k/"], 0)
        self.assertEqual(len(held.done(late.next())), 3)
        watch.close()
        late.close()
        again = held.store.watch(["k/"], 0)
        with self.assertRaises(Compacted):
            held.done(again.next())

    def test_age(self) -> None:
        """The store's age grows while the member that is watched does not answer."""
        held = Held()
        watch = held.store.watch(["k/"], 0)
        held.clock.pump([0.1] * 30)
        self.assertLess(held.store.age(), 1.2)
        held.etcd.faults.extend(["unsent"] * 100)
        held.etcd.break_streams()
        held.clock.pump([0.1] * 30)
        self.assertGreater(held.store.age(), 2.0)
        held.etcd.faults.clear()
        held.clock.pump([0.1] * 20)
        self.assertLess(held.store.age(), 1.2)
        watch.close()


faults = st.lists(st.sampled_from(["", "", "lost", "late", "unsent"]), max_size=12)


class GeneratedTests(SynchronousTestCase):
    """Whatever is lost or late."""

    @settings(max_examples=150, deadline=None)
    @given(st.lists(st.tuples(faults, st.integers(1, 3), st.booleans()), max_size=8))
    def test_once(self, rounds: list[tuple[list[str], int, bool]]) -> None:
        """Each commit is made once, in order; none is answered well that was not made, none the other way."""
        held = Held()
        number, answers = 0, list[tuple[int, list[Any]]]()
        for lost, together, arrive in rounds:
            held.etcd.faults.extend(lost)
            begun = []
            for _ in range(together):
                number += 1
                key = f"k/{number:03d}"
                change = Commit(expect={key: 0}, puts={key: b"", "k/last": str(number).encode()})
                begun.append((number, held.begin(held.store.commit(change))))
            held.clock.pump([0.05] * 200)
            held.etcd.faults.clear()
            answers += begun
            if arrive:
                held.etcd.arrive()
        held.clock.pump([0.05] * 40)
        held.etcd.arrive()
        self.assertTrue(all(len(answer) == 1 for _, answer in answers))
        made = [n for n, [answer] in answers if isinstance(answer, int)]
        doubtful = [n for n, [answer] in answers if isinstance(answer, Failure) and answer.check(Unanswered)]
        self.assertFalse([a for _, [a] in answers if isinstance(a, Failure) and a.check(Conflict)])
        values = held.values()
        found = [int(key[2:]) for key in values if key != "k/last"]
        self.assertEqual(set(made) - set(found), set())
        self.assertEqual(set(found) - set(made) - set(doubtful), set())
        self.assertEqual(int(values.get("k/last", b"0")), max(found, default=0))
