"""Tests of `twisted_rapi.plan.locks`."""

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from twisted_rapi.plan.locks import Lock, LockTable

SHARED = Lock("cluster", "BGL", shared=True)


def inst(name: str, shared: bool = False) -> Lock:
    """An instance's lock."""
    return Lock("instance", name, shared)


lock_sets = st.frozensets(st.sampled_from("abc"), max_size=3).flatmap(
    lambda names: st.builds(
        lambda flags: frozenset({SHARED, *(inst(n, f) for n, f in zip(sorted(names), flags, strict=True))}),
        st.lists(st.booleans(), min_size=len(names), max_size=len(names)),
    )
)


class LockTableTests(SynchronousTestCase):
    """Locks are granted whole, fairly, and never against each other."""

    def setUp(self) -> None:
        self.table = LockTable()

    def ask(self, owner: int, *locks: Lock, priority: int = 0) -> bool:
        return self.table.request(owner, priority, owner, frozenset(locks))

    def test_exclusive(self) -> None:
        """A lock someone has is not given to another until it is released."""
        self.assertTrue(self.ask(1, inst("a")))
        self.assertFalse(self.ask(2, inst("a")))
        self.assertEqual(self.table.release(1), [2])
        self.assertEqual(self.table.holders(), {("instance", "a"): {2: False}})

    def test_shared(self) -> None:
        """Sharers go together; one that wants it alone waits for all, those after it wait for that one."""
        self.assertTrue(self.ask(1, inst("a", True)))
        self.assertTrue(self.ask(2, inst("a", True)))
        self.assertFalse(self.ask(3, inst("a")))
        self.assertFalse(self.ask(4, inst("a", True)))
        self.assertEqual(self.table.release(1), [])
        self.assertEqual(self.table.release(2), [3])
        self.assertEqual(self.table.release(3), [4])

    def test_whole(self) -> None:
        """Who waits for one lock has none of the others, but keeps its place in their queues."""
        self.ask(1, inst("a"))
        self.assertFalse(self.ask(2, inst("a"), inst("b")))
        self.assertNotIn(("instance", "b"), self.table.holders())
        self.assertFalse(self.ask(3, inst("b")))
        self.assertEqual(self.table.release(1), [2])
        self.assertEqual(self.table.release(2), [3])

    def test_priority(self) -> None:
        """The more urgent comes first, then the older."""
        self.ask(1, inst("a"))
        self.ask(2, inst("a"))
        self.ask(3, inst("a"))
        self.ask(4, inst("a"), priority=-10)
        self.assertEqual(self.table.waiting(), [4, 2, 3])
        self.assertEqual(self.table.release(1), [4])
        self.assertEqual(self.table.release(4), [2])

    def test_withdraw(self) -> None:
        """One that stops waiting makes way for those it stood before."""
        self.ask(1, inst("a", True))
        self.ask(2, inst("a"))
        self.ask(3, inst("a", True))
        self.assertEqual(self.table.release(2), [3])

    def test_twice(self) -> None:
        """Asking again without releasing is a mistake."""
        self.ask(1, inst("a"))
        self.assertRaises(ValueError, self.ask, 1, inst("b"))
        self.assertEqual(self.table.release(9), [])

    @given(st.lists(st.tuples(lock_sets, st.sampled_from([-10, 0, 10])), max_size=12), st.data())
    def test_properties(self, requests: list[tuple[frozenset[Lock], int]], data: st.DataObject) -> None:
        """
        Nobody conflicts, nobody is forgotten: when all release everybody was granted, and a table at rest
        keeps nothing.
        """
        table = LockTable()
        held: dict[int, frozenset[Lock]] = {}
        pending = dict(enumerate(requests))
        while pending or held:
            if pending and (not held or data.draw(st.booleans())):
                owner = min(pending)
                locks, priority = pending.pop(owner)
                if table.request(owner, priority, owner, locks):
                    held[owner] = locks
            else:
                owner = data.draw(st.sampled_from(sorted(held)))
                del held[owner]
                for granted in table.release(owner):
                    held[granted] = requests[granted][0]
            taken = [lock for locks in held.values() for lock in locks]
            for lock in taken:
                same = [o for o in taken if (o.level, o.name) == (lock.level, lock.name)]
                self.assertTrue(len(same) == 1 or all(o.shared for o in same))
        self.assertEqual((table.waiting(), table.holders(), table._queues), ([], {}, {}))
