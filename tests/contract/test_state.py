"""The contract of `IStateStore` on both stores."""

import sqlite3
from pathlib import Path

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.trial.unittest import TestCase

from twisted_rapi.errors import StoreError, StoreLocked, StoreTooNew
from twisted_rapi.state.database import Database, Lock, backup, integrity
from twisted_rapi.state.interface import Commit, IStateStore
from twisted_rapi.state.sqlite import SQLiteStore, _Read, open_store
from twisted_rapi.testing.contracts.state import StateStoreContract, put
from twisted_rapi.testing.memory_store import MemoryStore


class MemoryStoreTests(StateStoreContract, TestCase):
    """The one in memory."""

    async def make(self) -> IStateStore:
        return MemoryStore()


class SQLiteStoreTests(StateStoreContract, TestCase):
    """The embedded one, in a real file."""

    async def make(self) -> IStateStore:
        self.path = Path(self.mktemp())
        return await open_store(self.path, reactor)  # type: ignore[arg-type]

    async def reopen(self) -> SQLiteStore:
        await self.store.close()
        store = await open_store(self.path, reactor)  # type: ignore[arg-type]
        self.store = store
        return store

    async def test_kept(self) -> None:
        """Everything is there after it was closed and opened, with its revisions."""
        revision = await self.store.commit(put(a="1"))
        store = await self.reopen()
        found = await store.get(["k/a"])
        self.assertEqual((found["k/a"].revision, store.revision), (revision, revision))

    async def test_locked(self) -> None:
        """A second opener is refused, and the first goes on."""
        await self.fails(StoreLocked, open_store(self.path, reactor))  # type: ignore[arg-type]
        await self.store.commit(put(a="1"))

    async def test_mode(self) -> None:
        """Nobody else may read the file."""
        self.assertEqual(self.path.stat().st_mode & 0o777, 0o600)

    async def test_backup(self) -> None:
        """A backup is made while it is open, holds what was committed, and overwrites nothing."""
        await self.store.commit(put(a="1"))
        target = Path(self.mktemp())
        backup(self.path, target)
        await self.store.commit(put(a="2"))
        copy = Database(target)
        self.addCleanup(copy.close)
        self.assertEqual(copy.get(["k/a"])["k/a"].value, b"1")
        self.assertRaises(StoreError, backup, self.path, target)
        self.assertEqual(target.stat().st_mode & 0o777, 0o600)

    async def test_offline_backup(self) -> None:
        """A backup is also made while nobody has it open, whatever characters are in its path."""
        path = Path(self.mktemp() + " 50% #1?x")
        database = Database(path)
        database.commit([put(a="1")])
        database.close()
        target = Path(self.mktemp())
        backup(path, target)
        self.assertEqual(integrity(target), [])
        self.assertEqual(sorted(p.name for p in path.parent.glob(f".{target.name}*")), [])

    async def test_unreadable(self) -> None:
        """What cannot be read is a `StoreError`, and the store goes on."""
        self.store._jobs.put(_Read(_break, Deferred()))  # type: ignore[attr-defined]
        await self.fails(StoreError, self.store.get(["k/a"]))
        await self.fails(StoreError, self.store.list("k/"))
        await self.fails(StoreError, self.store.commit(put(a="1")))

    async def test_bad_commit(self) -> None:
        """A commit with a key that is none fails alone; the others of its group are made."""
        changes = [put(a="1"), Commit(puts={"k/b": b"", "k/\ud800": b""}), put(c="1")]
        begun = [Deferred.fromCoroutine(self.store.commit(change)) for change in changes]
        self.assertEqual(await begun[0], 1)
        await self.fails(StoreError, _wait(begun[1]))
        self.assertEqual(await begun[2], 2)
        self.assertEqual(await self.values(), {"k/a": b"1", "k/c": b"1"})

    async def test_integrity(self) -> None:
        """A sound file has no findings; a broken one has."""
        self.assertEqual(integrity(self.path), [])
        broken = Path(self.mktemp())
        broken.write_bytes(b"no database at all" * 100)
        self.assertNotEqual(integrity(broken), [])


def _break(database: Database) -> None:
    database._db.execute("ALTER TABLE entries RENAME TO hidden")


async def _wait(begun: Deferred[int]) -> int:
    return await begun


class DatabaseTests(TestCase):
    """The file itself."""

    def setUp(self) -> None:
        self.path = Path(self.mktemp())

    def test_too_new(self) -> None:
        """A file of a newer schema is refused and not touched."""
        database = Database(self.path)
        database._db.execute("PRAGMA user_version = 99")
        database.close()
        before = self.path.read_bytes()
        self.assertRaises(StoreTooNew, Database, self.path)
        self.assertEqual(self.path.read_bytes(), before)

    def test_upgrade_keeps_copy(self) -> None:
        """Before the schema is raised the file is copied; the records stay."""
        database = Database(self.path)
        database.commit([put(a="1")])
        script = "ALTER TABLE progress ADD COLUMN note TEXT"
        kept = Path(f"{self.path}.before-schema-2")
        kept.write_bytes(b"of an earlier attempt")
        database._upgrade(["", script])
        self.assertEqual(database.get(["k/a"])["k/a"].value, b"1")
        database.close()
        self.assertRaises(StoreTooNew, Database, self.path)
        copy = Database(kept)
        self.addCleanup(copy.close)
        self.assertEqual((copy.get(["k/a"])["k/a"].value, copy.revision), (b"1", 1))

    def test_upgrade_fails(self) -> None:
        """An upgrade that fails half-way leaves the schema and the records as they were."""
        database = Database(self.path)
        database.commit([put(a="1")])
        script = "ALTER TABLE progress ADD COLUMN note TEXT; DELETE FROM entries; SELECT nonsense"
        self.assertRaises(sqlite3.Error, database._upgrade, ["", script])
        database.close()
        again = Database(self.path)
        self.addCleanup(again.close)
        self.assertEqual((again.get(["k/a"])["k/a"].value, again.revision), (b"1", 1))

    def test_no_directory(self) -> None:
        """Where no file can be, that is said."""
        error = self.assertRaises(StoreError, Database, self.path / "none" / "state.db")
        self.assertNotIsInstance(error, StoreLocked)
        self.assertIn("No such file", str(error))

    def test_not_a_database(self) -> None:
        """Another file is refused, not touched, and not kept locked."""
        self.path.write_bytes(b"no database at all" * 100)
        self.assertRaises(StoreError, Database, self.path)
        self.assertEqual(self.path.read_bytes(), b"no database at all" * 100)
        Lock(self.path).release()

    def test_full(self) -> None:
        """On a full disk no commit of the group is made; once there is room again they are taken."""
        database = Database(self.path)
        self.addCleanup(database.close)
        database.commit([put(a="1")])
        database._db.execute("PRAGMA max_page_count = 5")
        large = Commit(puts={"k/b": b"x" * 100_000})
        results = database.commit([put(a="2"), large])
        self.assertEqual([type(r) for r in results], [StoreError, StoreError])
        self.assertIn("full", str(results[0]))
        self.assertEqual((database.get(["k/a"])["k/a"].value, database.revision), (b"1", 1))
        database._db.execute("PRAGMA max_page_count = 10000")
        self.assertEqual(database.commit([put(a="2"), large]), [2, 3])

    def test_group(self) -> None:
        """In one group each commit is judged by itself, in order."""
        database = Database(self.path)
        self.addCleanup(database.close)
        expecting = Commit(expect={"k/a": 0}, puts={"k/a": b"2"})
        results = database.commit([put(a="1"), expecting, put(b="3")])
        self.assertEqual([type(r).__name__ for r in results], ["int", "Conflict", "int"])
        self.assertEqual(database.get(["k/a"])["k/a"].value, b"1")

    def test_transaction_fails(self) -> None:
        """When the flush fails nothing is written and every commit of the group is told."""

        def fail(where: str) -> None:
            if where == "before-commit":
                raise OSError(28, "No space left on device")

        database = Database(self.path, fail)
        self.addCleanup(database.close)
        results = database.commit([put(a="1"), put(b="1")])
        self.assertEqual([type(r) for r in results], [StoreError, StoreError])
        self.assertEqual((database.get(["k/a"]), database.revision), ({}, 0))
