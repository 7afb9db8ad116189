"""Putting a backup in the place of the store."""

import contextlib
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import msgspec

from twisted_rapi.errors import ConfigurationError, StoreError, StoreLocked
from twisted_rapi.model.mastership import ElectionRecord
from twisted_rapi.model.record_base import Record
from twisted_rapi.model.records import ClusterRecord, CounterRecord
from twisted_rapi.state.codec import decode, encode
from twisted_rapi.state.database import Database, Lock, backup, integrity, read_only, sync_path
from twisted_rapi.state.interface import Commit

# What must not go back: agents refuse older terms, and the ids of jobs are given once.
ONWARD = (ElectionRecord.KIND, f"{CounterRecord.KIND}/job")


def restore(source: Path, store: Path) -> Path | None:
    """
    Make the store of a master that does not run what a backup says.

    The term and the ids of jobs go on from the higher of the two, where the old store can be read.

    :returns: where the old store is kept; ``None`` when there was none.
    :raises ConfigurationError: the backup is none or too new, or a master runs; nothing was changed.
    """
    wrong = problems(source)
    if wrong:
        raise ConfigurationError(f"{source} cannot be restored: {'; '.join(wrong)}")
    with held(store):
        with _copied(source, store) as part:
            _go_on(part, store)
            kept = _put_aside(store)
            part.replace(store)
        sync_path(store.parent)
    return kept


@contextlib.contextmanager
def held(store: Path) -> Iterator[None]:
    """
    Nobody can open the store meanwhile.

    :raises ConfigurationError: a master has it open.
    """
    try:
        lock = Lock(store)
    except StoreLocked as e:
        raise ConfigurationError(f"a master has {store} open: stop it first") from e
    try:
        yield
    finally:
        lock.release()


def problems(source: Path) -> list[str]:
    """Why a file cannot be the store; empty when it can."""
    if not source.is_file():
        return ["there is no such file"]
    found = integrity(source)
    return found or list(_unreadable(source))


def _unreadable(source: Path) -> Iterator[str]:
    try:
        with contextlib.closing(read_only(source)) as db:
            if not db.execute("SELECT 1 FROM entries WHERE key = ?", (ClusterRecord.KIND,)).fetchone():
                yield "it has no cluster"
            for key, value in db.execute("SELECT key, value FROM entries"):
                try:
                    decode(key, value)
                except (StoreError, msgspec.MsgspecError, ValueError, KeyError) as e:
                    yield f"{key}: {e}"
                    return
    except sqlite3.Error as e:
        yield f"it is not a store: {e}"


def free_name(store: Path, why: str) -> Path:
    """A name beside the store that nothing has, to keep it under."""
    number = 1
    while (kept := store.with_name(f"{store.name}.{why}-{number}")).exists():
        number += 1
    return kept


def put_together(store: Path) -> None:
    """
    Have all of a store in its one file.

    :raises sqlite3.Error: it is broken.
    """
    with contextlib.closing(sqlite3.connect(store)) as db:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")


@contextlib.contextmanager
def _copied(source: Path, store: Path) -> Iterator[Path]:
    """A copy of the backup beside the store; gone at the end, unless it has been put in place."""
    part = store.with_name(f".{store.name}.restored")
    remove_parts(part)
    try:
        backup(source, part)
        yield part
    finally:
        remove_parts(part)


def remove_parts(part: Path) -> None:
    """Remove a database that is being made, and what SQLite has beside it."""
    for path in (part, *part.parent.glob(f"{part.name}[.-]*")):
        path.unlink(missing_ok=True)


def _go_on(part: Path, store: Path) -> None:
    newer = _values(store)
    database = Database(part)
    try:
        older = {key: decode(key, entry.value) for key, entry in database.get(ONWARD).items()}
        puts = {key: encode(new) for key, new in newer.items() if rank(new) > rank(older.get(key))}
        [result] = database.commit([Commit(puts=puts)])
    finally:
        database.close()
    if isinstance(result, Exception):
        raise result
    os.chmod(part, 0o600)


def _values(store: Path) -> dict[str, Record]:
    """What must not go back, as the old store has it; nothing where it cannot be read."""
    found = {}
    with contextlib.suppress(sqlite3.Error, StoreError, msgspec.MsgspecError, ValueError):
        with contextlib.closing(read_only(store)) as db:
            rows = db.execute("SELECT key, value FROM entries WHERE key IN (?, ?)", ONWARD).fetchall()
        for key, value in rows:
            found[key] = decode(key, value)
    return found


def rank(record: Record | None) -> int:
    """How far a term or a counter has come; less than any for none."""
    match record:
        case ElectionRecord():
            return record.term
        case CounterRecord():
            return record.value
    return -1


def _put_aside(store: Path) -> Path | None:
    """Give the old store, whole, another name, too."""
    if not store.exists():
        return None
    kept = free_name(store, "before-restore")
    with contextlib.suppress(sqlite3.Error):  # of a broken one the parts are kept as they are
        put_together(store)
    os.link(store, kept)
    wal = store.with_name(f"{store.name}-wal")
    if wal.exists():
        wal.replace(f"{kept}-wal")
    store.with_name(f"{store.name}-shm").unlink(missing_ok=True)
    return kept
