"""Tests of `twisted_rapi.distributing`."""

from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from twisted_rapi.distributing import RETRY, Distribution, give
from twisted_rapi.errors import ConfigurationError, StoreError
from twisted_rapi.model.mastership import DistributionRecord
from twisted_rapi.sharing import SharedFiles, noted, passwords
from twisted_rapi.state.interface import Commit
from twisted_rapi.state.snapshot import Snapshot, load
from twisted_rapi.state.writer import commit_of
from twisted_rapi.testing.cluster import NODES, founding
from twisted_rapi.testing.memory_store import MemoryStore

_FENCING = """\
[nodes."node2.example.com"]
driver = "ipmi"
address = "192.0.2.102"
user = "rapi"
password_file = "ipmi/node2"

[nodes.up]
password_file = "../up"

[nodes.absolute]
password_file = "/etc/shadow"

[nodes.key]
password_file = "ca.key"

[default]
driver = "hand"
"""


class _Refusing:
    """A store that takes no commits for a while."""

    def __init__(self, inner: MemoryStore) -> None:
        self._inner, self.refuses = inner, True

    async def commit(self, change: Commit) -> int:
        """See `IStateStore.commit`."""
        if self.refuses:
            raise StoreError("not now")
        return await self._inner.commit(change)


class DistributionTests(SynchronousTestCase):
    """One candidate's files get to all others, once for each time it was asked for."""

    def setUp(self) -> None:
        self.folder = Path(self.mktemp())
        self.clock, self.store = Clock(), MemoryStore()
        records, names = founding()
        self.now(self.store.commit(commit_of(records, names=names)))

    def now(self, work: Any) -> Any:
        return self.successResultOf(Deferred.fromCoroutine(work))

    def put(
        self, at: float, source: int = 0, users: str | None = None, files: dict[str, str] | None = None
    ) -> None:
        """Ask for one candidate's files."""
        record = DistributionRecord(at=at, source=NODES[source], users=users, files=files or {})
        self.now(self.store.commit(commit_of([record])))

    def begin(self, n: int, store: Any = None) -> Distribution:
        """Have a candidate run."""
        snapshot: Snapshot = self.now(load(self.store, self.clock))
        snapshot.startService()
        self.addCleanup(snapshot.stopService)
        files = SharedFiles.below(self.file(n).parent)
        made = Distribution(store or self.store, snapshot, NODES[n], files, maybeDeferred, self.clock)
        made.startService()
        self.addCleanup(lambda: made.stopService() if made.running else None)
        return made

    def file(self, n: int, name: str = "users") -> Path:
        """A candidate's users file, or another one."""
        folder = self.folder / f"{n}"
        folder.mkdir(parents=True, exist_ok=True)
        return folder / name

    def text(self, n: int, name: str = "users") -> str:
        return self.file(n, name).read_text()

    def write(self, n: int, text: str, name: str = "users") -> None:
        file = self.file(n, name)
        file.parent.mkdir(exist_ok=True)
        file.write_text(text)

    def test_asked(self) -> None:
        """Who is asked gives its file, and the others have it, for nobody else to read."""
        for n in range(3):
            self.write(n, f"old{n}")
            self.begin(n)
        self.write(0, "new\n")
        self.put(10.0)
        self.assertEqual([self.text(n) for n in range(3)], ["new\n"] * 3)
        self.assertEqual({self.file(n).stat().st_mode & 0o777 for n in (1, 2)}, {0o600})

    def test_others(self) -> None:
        """Tokens, ways of fencing and their passwords go with the users, for nobody else to read."""
        for n in range(2):
            self.write(n, f"users{n}")
            self.begin(n)
        self.write(1, "tokens1", "pvc-tokens")
        self.write(0, _FENCING, "fencing.toml")
        self.write(0, "secret", "ipmi/node2")
        self.write(0, "not ours to give", "rapi.toml")
        self.put(10.0)
        names = ("users", "fencing.toml", "ipmi/node2", "pvc-tokens")
        # The first has no tokens: what it has not it does not take from others.
        self.assertEqual([self.text(1, name) for name in names], ["users0", _FENCING, "secret", "tokens1"])
        self.assertEqual({self.file(1, name).stat().st_mode & 0o777 for name in names[:3]}, {0o600})
        self.assertEqual(self.file(1, "ipmi").stat().st_mode & 0o777, 0o700)
        self.assertFalse(self.file(1, "rapi.toml").exists())

    def test_strange_names(self) -> None:
        """What is no file that candidates share is not written, whoever put it into the store."""
        strange = {"ca.key": "x", "password/ca.key": "x", "password/../up": "x", "password/other": "x"}
        files = {**strange, "fencing.toml": _FENCING, "pvc-tokens": "t"}
        self.begin(1)
        self.put(10.0, users="a", files=files)
        found = {str(f.relative_to(self.folder / "1")) for f in self.folder.rglob("*") if f.is_file()}
        wanted = ("users", "fencing.toml", "pvc-tokens")
        self.assertEqual(found, {*wanted, *(f"{name}.distributed" for name in wanted)})

    def test_passwords(self) -> None:
        """Of the files with passwords those below the folder are ours; nonsense has none."""
        self.assertEqual(list(passwords(_FENCING)), ["ipmi/node2"])
        for nonsense in ("nodes = 1", "[nodes]\nx = 1", "[nodes.x]\npassword_file = 1", "?"):
            self.assertEqual(list(passwords(nonsense)), [])

    def test_away(self) -> None:
        """Who was away has it when it runs again, and only once; what is changed there later stays."""
        self.put(10.0, users="a")
        self.begin(1).stopService()
        self.assertEqual(self.text(1), "a")
        self.write(1, "mine")
        self.begin(1)
        self.assertEqual(self.text(1), "mine")
        self.put(9.0, users="older")
        self.assertEqual(self.text(1), "mine")
        self.put(11.0, users="b")
        self.assertEqual(self.text(1), "b")

    def test_source_away(self) -> None:
        """Nobody else answers for a candidate that is away; it does when it runs again."""
        self.write(0, "zero")
        self.write(1, "one")
        self.begin(1)
        self.put(10.0)
        self.assertEqual(self.text(1), "one")
        self.begin(0)
        self.assertEqual(self.text(1), "zero")

    def test_no_store(self) -> None:
        """It is tried again where the store takes nothing."""
        store = _Refusing(self.store)
        self.write(0, "zero")
        self.begin(1)
        self.begin(0, store)
        self.put(10.0)
        self.assertFalse(self.file(1).exists())
        store.refuses = False
        self.clock.advance(RETRY)
        self.assertEqual(self.text(1), "zero")
        self.assertEqual(len(self.flushLoggedErrors(StoreError)), 1)

    def test_no_file(self) -> None:
        """A file that is not there, or no text, goes nowhere."""
        self.write(1, "one")
        self.begin(1)
        self.begin(0)
        self.put(10.0)
        self.file(0).write_bytes(b"\xff")
        self.put(11.0)
        self.assertEqual(self.text(1), "one")

    def test_link(self) -> None:
        """A link stays one; a note that is none counts as no note."""
        there = self.folder / "elsewhere"
        self.file(1).symlink_to(there.absolute())
        noted(self.file(1)).write_text("nonsense")
        self.begin(1)
        self.put(10.0, users="a")
        self.assertEqual((self.file(1).is_symlink(), there.read_text()), (True, "a"))

    def test_given(self) -> None:
        """A tool gives the file of its own node, later than what was there; not of a strange one."""
        self.begin(1)
        self.put(10.0, 2, users="first")
        self.now(give(self.store, "node1.example.com", "second", {"pvc-tokens": "t"}, 5.0))
        self.assertEqual((self.text(1), self.text(1, "pvc-tokens")), ("second", "t"))
        self.now(give(self.store, "node1.example.com", "third", {}, 50.0))
        self.assertEqual((self.text(1), self.text(1, "pvc-tokens")), ("third", "t"))
        d = Deferred.fromCoroutine(give(self.store, "nobody", "x", {}, 1.0))
        self.failureResultOf(d, ConfigurationError)
