"""The two stores compared: whatever is done to both, they answer alike."""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from twisted_rapi.errors import RapiError
from twisted_rapi.model.mastership import ElectionRecord
from twisted_rapi.state.codec import encode
from twisted_rapi.state.database import Database
from twisted_rapi.state.interface import Commit
from twisted_rapi.testing.memory_store import MemoryStore

# Keys that begin with one another, next to each other, and outside of ASCII.
KEYS = ("a", "a/", "a/1", "a/10", "a/2", "a/é", "a/\U0001f600", "a0", "b/1", "election2")
PREFIXES = ("", "a", "a/", "a/1", "b/", "c/", "election")

keys = st.sampled_from(KEYS)
commits = st.builds(
    Commit,
    # How far the expectation is from the revision the key has: mostly right.
    expect=st.dictionaries(keys, st.sampled_from([0, 0, 0, 0, 1]), max_size=3),
    puts=st.dictionaries(keys, st.binary(max_size=3), max_size=3),
    deletes=st.frozensets(keys, max_size=2),
    term=st.sampled_from([None, 1, 2, 3]),
)
elections = st.integers(1, 3).map(
    lambda term: Commit(puts={"election": encode(ElectionRecord(term=term, node="n"))})
)
listings = st.tuples(st.sampled_from(PREFIXES), st.sampled_from(("", *KEYS, "zz")), st.integers(1, 4))
actions = st.lists(
    st.lists(commits | elections, min_size=1, max_size=4) | listings | st.just("reopen"), max_size=15
)


class Pair:
    """A store of each sort."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.memory = MemoryStore()
        self.database = Database(path)

    def told(self, work: Any) -> Any:
        """What the store in memory answers."""
        results: list[Any] = []
        Deferred.fromCoroutine(work).addBoth(results.append)
        return results[0].value if isinstance(results[0], Failure) else results[0]

    def meant(self, change: Commit) -> Commit:
        """The commit with its expectations as real revisions."""
        found = self.database.get(list(change.expect))
        expect = {k: (found[k].revision if k in found else 0) + off for k, off in change.expect.items()}
        return Commit(expect=expect, puts=change.puts, deletes=change.deletes, term=change.term)

    def commit(self, group: list[Commit]) -> tuple[list[Any], list[Any]]:
        """What both answer to a group of commits, errors as their texts."""
        meant = [self.meant(change) for change in group]
        one = [self.told(self.memory.commit(change)) for change in meant]
        other = self.database.commit(meant)
        return _plain(one), _plain(other)

    def reopen(self) -> None:
        """Close and open the file."""
        self.database.close()
        self.database = Database(self.path)


def _plain(results: list[Any]) -> list[Any]:
    return [(type(r), str(r)) if isinstance(r, RapiError) else r for r in results]


class ModelTests(SynchronousTestCase):
    """Random sequences of everything a store does."""

    @settings(max_examples=150, deadline=None)
    @given(actions)
    def test_alike(self, actions: list[Any]) -> None:
        """Both give the same answers to the same questions, and hold the same in the end."""
        with TemporaryDirectory(dir=".") as folder:
            pair = Pair(Path(folder) / "state.db")
            for action in actions:
                if action == "reopen":
                    pair.reopen()
                elif isinstance(action, list):
                    one, other = pair.commit(action)
                    self.assertEqual(one, other)
                else:
                    self.assertEqual(pair.told(pair.memory.list(*action)), pair.database.page(*action))
            every = (*KEYS, "election", "none")
            self.assertEqual(pair.told(pair.memory.get(every)), pair.database.get(every))
            self.assertEqual(pair.memory.revision, pair.database.revision)
            pair.database.close()
