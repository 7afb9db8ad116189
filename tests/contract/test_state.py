"""The contract of `IStateStore` on both stores."""

from pathlib import Path

from twisted.internet import reactor
from twisted.trial.unittest import TestCase

from twisted_rapi.errors import StoreError, StoreLocked, StoreTooNew
from twisted_rapi.state.database import Database, backup, integrity
from twisted_rapi.state.interface import Commit, IStateStore
from twisted_rapi.state.sqlite import SQLiteStore, open_store
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

    async def test_integrity(self) -> None:
        """A sound file has no findings; a broken one has."""
        self.assertEqual(integrity(self.path), [])
        broken = Path(self.mktemp())
        broken.write_bytes(b"no database at all" * 100)
        self.assertNotEqual(integrity(broken), [])


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
        database._upgrade([*[""] * 1, script])
        self.assertEqual(database.get(["k/a"])["k/a"].value, b"1")
        database.close()
        self.assertTrue(Path(f"{self.path}.before-schema-2").exists())

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
