"""
The SQLite file: opening, schema, one transaction over many commits, backup.

Everything here blocks and belongs in a thread.
"""

import contextlib
import fcntl
import os
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from importlib import resources
from pathlib import Path

from twisted_rapi.errors import Conflict, StaleTerm, StoreError, StoreLocked, StoreTooNew
from twisted_rapi.model.mastership import ElectionRecord
from twisted_rapi.state.codec import decode
from twisted_rapi.state.interface import Commit, Entry, Page

Failpoint = Callable[[str], None]


def schema() -> list[str]:
    """The scripts that bring an empty database to the current schema, in order."""
    folder = resources.files("twisted_rapi.state") / "schema"
    return [f.read_text(encoding="utf-8") for f in sorted(folder.iterdir(), key=lambda f: f.name)]


class Lock:
    """
    The right to open a database, held by one process at a time.

    :raises StoreLocked: another process has it.
    :raises OSError: there can be no lock file.
    """

    def __init__(self, database: Path) -> None:
        self._file = os.open(f"{database}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as e:
            os.close(self._file)
            if isinstance(e, BlockingIOError):
                raise StoreLocked(f"{database} is open in another process") from e
            raise

    def release(self) -> None:
        """Give it up."""
        os.close(self._file)


class Database:
    """
    An open database; used by one thread at a time.

    :ivar revision: that of the newest commit.
    :param failpoint: called before and after each transaction is made durable, for crash tests.
    :raises StoreLocked: another process has it open.
    :raises StoreTooNew: a newer version of this program wrote it.
    :raises StoreError: it cannot be opened.
    """

    def __init__(self, path: Path, failpoint: Failpoint | None = None) -> None:
        self._path = path
        self._failpoint = failpoint or (lambda _: None)
        with _as_store_error(), contextlib.ExitStack() as undo:
            self._lock = Lock(path)
            undo.callback(self._lock.release)
            os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
            self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
            undo.callback(self._db.close)
            self._prepare()
            undo.pop_all()

    def _prepare(self) -> None:
        self._db.execute("PRAGMA busy_timeout = 10000")
        self._upgrade(schema())
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = FULL")
        self.revision: int = self._db.execute("SELECT revision FROM progress").fetchone()[0]

    def _upgrade(self, scripts: Sequence[str]) -> None:
        [at] = self._db.execute("PRAGMA user_version").fetchone()
        if at > len(scripts):
            raise StoreTooNew(f"{self._path} has schema {at}, this program knows {len(scripts)}")
        if 0 < at < len(scripts):
            kept = self._path.with_name(f"{self._path.name}.before-schema-{at + 1}")
            kept.unlink(missing_ok=True)  # of an upgrade that did not end, or of one before a restore
            backup(self._path, kept)
        for version, script in enumerate(scripts[at:], at + 1):
            self._db.executescript(f"BEGIN; {script}; PRAGMA user_version = {version}; COMMIT")

    def get(self, keys: Sequence[str]) -> dict[str, Entry]:
        """See `IStateStore.get`."""
        found = {}
        with _as_store_error():
            for key in keys:
                row = self._db.execute("SELECT value, revision FROM entries WHERE key = ?", (key,)).fetchone()
                if row is not None:
                    found[key] = Entry(*row)
        return found

    def page(self, prefix: str, after: str, limit: int) -> Page:
        """See `IStateStore.list`."""
        with _as_store_error():
            rows = self._db.execute(
                "SELECT key, value, revision FROM entries WHERE key >= ? AND key > ?"
                " AND substr(key, 1, ?) = ? AND key < ? ORDER BY key LIMIT ?",
                (prefix, after, len(prefix), prefix, prefix + "\U0010ffff", limit + 1),
            ).fetchall()
        entries = {key: Entry(value, revision) for key, value, revision in rows[:limit]}
        return Page(self.revision, entries, rows[limit - 1][0] if len(rows) > limit else None)

    def commit(self, changes: Sequence[Commit]) -> list[int | Exception]:
        """
        Make as many of these commits as can be made, durable together; one result each.

        A result is the new revision, or why that one was refused.  When the transaction fails as a whole
        every result is that failure and nothing was written.
        """
        before = self.revision
        try:
            with _as_store_error():
                self._db.execute("BEGIN IMMEDIATE")
                results = [self._one(change) for change in changes]
                self._db.execute("UPDATE progress SET revision = ?", (self.revision,))
                self._failpoint("before-commit")
                self._db.execute("COMMIT")
        except StoreError as e:
            self.revision = before
            with contextlib.suppress(sqlite3.Error):
                self._db.execute("ROLLBACK")
            return [e] * len(changes)
        self._failpoint("after-commit")
        return results

    def _one(self, change: Commit) -> int | Exception:
        self._db.execute("SAVEPOINT one")
        try:
            self._check_term(change.term)
            self._check_expected(change)
            self._write(change, self.revision + 1)
        except (Conflict, StaleTerm) as e:
            return e
        except (ValueError, TypeError, sqlite3.ProgrammingError) as e:
            # A key or value that is none: that is the fault of this commit and not of the others.
            self._db.execute("ROLLBACK TO one")
            return StoreError(f"this cannot be stored: {e}")
        finally:
            # Gone when SQLite itself has ended the transaction, as it does on a full disk.
            if self._db.in_transaction:
                self._db.execute("RELEASE one")
        self.revision += 1
        return self.revision

    def _write(self, change: Commit, revision: int) -> None:
        rows = [(key, value, revision) for key, value in change.puts.items()]
        self._db.executemany("INSERT OR REPLACE INTO entries VALUES (?, ?, ?)", rows)
        self._db.executemany("DELETE FROM entries WHERE key = ?", [(key,) for key in change.deletes])

    def _check_term(self, term: int | None) -> None:
        if term is None:
            return
        entry = self.get([ElectionRecord.KIND]).get(ElectionRecord.KIND)
        if entry is None:
            return
        election = decode(ElectionRecord.KIND, entry.value)
        assert isinstance(election, ElectionRecord)
        if election.term > term:
            raise StaleTerm(term, election.term)

    def _check_expected(self, change: Commit) -> None:
        found = self.get(tuple(change.expect))
        stale = [
            key
            for key, revision in change.expect.items()
            if (found[key].revision if key in found else 0) != revision
        ]
        if stale:
            raise Conflict(sorted(stale))

    def close(self) -> None:
        """Close it and let others open it."""
        self._db.close()
        self._lock.release()


@contextlib.contextmanager
def _as_store_error() -> Iterator[None]:
    try:
        yield
    except (sqlite3.Error, OSError) as e:
        raise StoreError(f"the database: {e}") from e


def backup(source: Path, target: Path) -> None:
    """
    Copy a database that may be in use to a new file, whole and as of one moment.

    :raises StoreError: the target exists, or either file cannot be used; no target is left then.
    """
    if target.exists():
        raise StoreError(f"{target} exists already")
    part = target.with_name(f".{target.name}.part")
    try:
        with _as_store_error():
            os.close(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600))
            with (
                contextlib.closing(read_only(source)) as here,
                contextlib.closing(sqlite3.connect(part)) as there,
            ):
                here.backup(there)
                there.execute("PRAGMA journal_mode = DELETE")
            sync_path(part)
            os.link(part, target)
            sync_path(target.parent)
    finally:
        part.unlink(missing_ok=True)


def read_only(path: Path) -> sqlite3.Connection:
    """A connection that changes nothing."""
    return sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)


def sync_path(path: Path) -> None:
    """Make a file, or the names in a folder, durable; blocks."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def integrity(path: Path) -> list[str]:
    """What is wrong with a database that may be in use; empty when nothing is."""
    try:
        with contextlib.closing(read_only(path)) as db:
            [version] = db.execute("PRAGMA user_version").fetchone()
            found = [row[0] for row in db.execute("PRAGMA integrity_check") if row[0] != "ok"]
    except sqlite3.Error as e:
        return [f"the database cannot be read: {e}"]
    if version > len(schema()):
        found.append(f"schema {version} is newer than this program's {len(schema())}")
    return found
