"""
Moving a cluster from one store into the other: ``rapi-admin store copy``.

The record of the cluster is written last and the source is put away after that: at no time could a master
start on half of a cluster, and none can on what is left behind.  The term and the ids of jobs go on from the
higher of what source and target have.
"""

import contextlib
import os
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path
from typing import Any

from twisted_rapi.admin.restoring import ONWARD, free_name, held, problems, put_together, rank, remove_parts
from twisted_rapi.config import StoreSection
from twisted_rapi.errors import ConfigurationError
from twisted_rapi.ha.leased import SEAT, LeasedCandidate
from twisted_rapi.model.mastership import ElectionRecord
from twisted_rapi.model.records import ClusterRecord
from twisted_rapi.opening import open_etcd_of, read_keys
from twisted_rapi.state.codec import decode, encode
from twisted_rapi.state.database import Database, read_only
from twisted_rapi.state.etcd import EtcdStore
from twisted_rapi.state.interface import Commit

Values = Mapping[str, bytes]

AT_ONCE, BYTES = 100, 500_000  # what goes into one commit
_CLUSTER = ClusterRecord.KIND
MOVED = "moved/cluster"
"""Where a cluster that was moved out of etcd leaves its record."""


async def move(section: StoreSection, source: str, target: str, reactor: Any) -> int:
    """
    Move a cluster; ``sqlite`` and ``etcd`` stand for what the configuration says of each.

    :returns: how many records were moved.
    :raises ConfigurationError: a master runs, there is nothing to move, or the target holds a cluster.
    :raises StoreError: a store cannot be read or written; the source is as it was.
    """
    if {source, target} != {"sqlite", "etcd"}:
        raise ConfigurationError("a cluster is moved from sqlite to etcd, or from etcd to sqlite")
    path = Path(section.path)
    if source == "sqlite":
        with _values_of(path) as values:
            async with _reserved(section, reactor) as store:
                await _fill_etcd(store, values)
            _retire_file(path)
        return len(values)
    if path.exists():
        raise ConfigurationError(f"{path} is there already: move it away first")
    async with _reserved(section, reactor) as store:
        values = await _read_etcd(store)
        _fill_file(path, values)
        await _retire_etcd(store)
    return len(values)


@contextlib.asynccontextmanager
async def _reserved(section: StoreSection, reactor: Any) -> AsyncIterator[EtcdStore]:
    """Etcd's part, with nobody being able to become master there."""
    if not section.endpoints:
        raise ConfigurationError("store.endpoints: where etcd is has to be configured")
    store = await open_etcd_of(section, reactor, read_keys(section))
    try:
        seat = (await store.get([SEAT])).get(SEAT)
        if seat is not None:
            raise ConfigurationError(f"a master runs on {seat.value.decode()}: stop all candidates first")
        election = (await store.get([ElectionRecord.KIND])).get(ElectionRecord.KIND)
        node = "rapi-admin" if election is None else _election(election.value).node
        candidate = LeasedCandidate(store, store, node, reactor, ttl=10)
        await candidate.win()
        try:
            yield store
        finally:
            await candidate.resign()
    finally:
        await store.close()


@contextlib.contextmanager
def _values_of(path: Path) -> Iterator[Values]:
    """What the file has, with nobody being able to open it meanwhile."""
    wrong = problems(path)
    if wrong:
        raise ConfigurationError(f"{path} cannot be moved: {'; '.join(wrong)}")
    with held(path):
        with contextlib.closing(read_only(path)) as db:
            values = dict(db.execute("SELECT key, value FROM entries").fetchall())
        yield values


async def _read_etcd(store: EtcdStore) -> Values:
    values: dict[str, bytes] = {}
    after: str | None = ""
    while after is not None:
        page = await store.list("", after)
        values.update({key: entry.value for key, entry in page.entries.items()})
        after = page.more
    values.pop(SEAT, None)
    values.pop(MOVED, None)
    if _CLUSTER not in values:
        raise ConfigurationError("etcd holds no cluster below this prefix: there is nothing to move")
    for key, value in values.items():
        decode(key, value)
    return values


async def _fill_etcd(store: EtcdStore, values: Values) -> None:
    there = await store.get([_CLUSTER, *ONWARD])
    if _CLUSTER in there:
        raise ConfigurationError("etcd holds a cluster below this prefix: choose another one")
    await _clear(store)
    newest = {**values, **{k: _onward(k, e.value, values.get(k)) for k, e in there.items()}}
    part: dict[str, bytes] = {}
    size = 0
    for key, value in newest.items():
        if len(part) >= AT_ONCE or size + len(value) > BYTES:
            await store.commit(Commit(puts=part))
            part, size = {}, 0
        if key != _CLUSTER:
            part[key] = value
            size += len(value)
    await store.commit(Commit(puts=part))
    await store.commit(Commit(expect={_CLUSTER: 0}, puts={_CLUSTER: newest[_CLUSTER]}))


def _onward(key: str, there: bytes, here: bytes | None) -> bytes:
    """The higher of the two, with the master of the one that is moved."""
    if here is None or rank(decode(key, there)) <= rank(decode(key, here)):
        return there if here is None else here
    if key == ElectionRecord.KIND:
        return encode(ElectionRecord(term=_election(there).term, node=_election(here).node))
    return there


def _election(value: bytes) -> ElectionRecord:
    record = decode(ElectionRecord.KIND, value)
    assert isinstance(record, ElectionRecord)
    return record


async def _clear(store: EtcdStore) -> None:
    """Remove what an attempt that did not end has left."""
    while keys := set((await store.list("", limit=AT_ONCE)).entries) - {SEAT, *ONWARD}:
        await store.commit(Commit(deletes=frozenset(keys)))


async def _retire_etcd(store: EtcdStore) -> None:
    cluster = (await store.get([_CLUSTER]))[_CLUSTER]
    change = Commit(
        expect={_CLUSTER: cluster.revision}, puts={MOVED: cluster.value}, deletes=frozenset({_CLUSTER})
    )
    await store.commit(change)


def _fill_file(path: Path, values: Values) -> None:
    part = path.with_name(f".{path.name}.moved")
    remove_parts(part)
    try:
        database = Database(part)
        try:
            [result] = database.commit([Commit(puts=values)])
        finally:
            database.close()
        if isinstance(result, Exception):
            raise result
        os.chmod(part, 0o600)
        part.replace(path)
    finally:
        remove_parts(part)


def _retire_file(path: Path) -> None:
    kept = free_name(path, "moved")
    put_together(path)
    path.replace(kept)
    for suffix in ("-wal", "-shm"):
        path.with_name(f"{path.name}{suffix}").unlink(missing_ok=True)
