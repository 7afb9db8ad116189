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

from twisted.internet.defer import Deferred

from twisted_rapi.admin.restoring import ONWARD, free_name, held, problems, put_together, rank, remove_parts
from twisted_rapi.config import StoreSection
from twisted_rapi.deadline import within
from twisted_rapi.errors import Compacted, ConfigurationError
from twisted_rapi.ha.leased import SEAT, LeasedCandidate
from twisted_rapi.ha.presence import TTL
from twisted_rapi.model.mastership import CandidateRecord, ElectionRecord
from twisted_rapi.model.records import ClusterRecord, NodeRecord
from twisted_rapi.opening import open_etcd_of, read_keys
from twisted_rapi.state.codec import decode, encode
from twisted_rapi.state.database import Database, read_only
from twisted_rapi.state.etcd import EtcdStore
from twisted_rapi.state.interface import Commit

Values = Mapping[str, bytes]

AT_ONCE, BYTES = 100, 500_000  # what goes into one commit
_CLUSTER = ClusterRecord.KIND
_PRESENT = f"{CandidateRecord.KIND}/"
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
            async with reserved(section, reactor) as store:
                await fill_etcd(store, values)
            _retire_file(path)
        return len(values)
    if path.exists():
        raise ConfigurationError(f"{path} is there already: move it away first")
    async with reserved(section, reactor) as store:
        values = await read_etcd(store)
        for key, value in values.items():
            decode(key, value)
        _fill_file(path, values)
        await _retire_etcd(store)
    return len(values)


@contextlib.asynccontextmanager
async def reserved(section: StoreSection, reactor: Any) -> AsyncIterator[EtcdStore]:
    """
    Etcd's part, with nobody being able to become master there.

    :raises ConfigurationError: a candidate runs, master or not, or no etcd is configured.
    :raises StoreError: etcd cannot be used.
    """
    if not section.endpoints:
        raise ConfigurationError("store.endpoints: where etcd is has to be configured")
    store = await open_etcd_of(section, reactor, read_keys(section))
    try:
        seat = (await store.get([SEAT])).get(SEAT)
        if seat is not None:
            raise ConfigurationError(f"a master runs on {seat.value.decode()}: stop all candidates first")
        await _await_absence(store, reactor)
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


async def _await_absence(store: EtcdStore, reactor: Any) -> None:
    """
    Wait until the signs of daemons that have ended are gone.

    :raises ConfigurationError: one is still there by then: that daemon runs.
    """
    try:
        await within(Deferred.fromCoroutine(_absence(store)), TTL + 2.0, reactor, TimeoutError)
    except TimeoutError:
        there = (await store.list(_PRESENT)).entries
        nodes = await store.get([f"{NodeRecord.KIND}/{key.removeprefix(_PRESENT)}" for key in there])
        records = [decode(key, entry.value) for key, entry in nodes.items()]
        names = [record.name for record in records if isinstance(record, NodeRecord)]
        who = ", ".join(names) or "a machine that is no node"
        raise ConfigurationError(f"rapi runs on {who}: stop all candidates first") from None


async def _absence(store: EtcdStore) -> None:
    while (page := await store.list(_PRESENT)).entries:
        watch = store.watch([_PRESENT], page.revision)
        try:
            await watch.next()
        except Compacted:
            pass
        finally:
            watch.close()


@contextlib.contextmanager
def _values_of(path: Path) -> Iterator[Values]:
    """What the file has, with nobody being able to open it meanwhile."""
    wrong = problems(path)
    if wrong:
        raise ConfigurationError(f"{path} cannot be moved: {'; '.join(wrong)}")
    with held(path):
        yield read_file(path)


def read_file(path: Path) -> Values:
    """The cluster in a file in which there are no `problems`."""
    with contextlib.closing(read_only(path)) as db:
        return lasting(dict(db.execute("SELECT key, value FROM entries").fetchall()))


async def read_etcd(store: EtcdStore) -> Values:
    """
    The cluster in etcd as of one moment.

    :raises ConfigurationError: there is none.
    :raises StoreError: it cannot be read.
    """
    found = {key: entry.value for key, entry in (await store.everything()).items()}
    if _CLUSTER not in found:
        raise ConfigurationError("etcd holds no cluster below this prefix")
    return lasting(found)


def lasting(values: Values) -> Values:
    """Of a store's records those of the cluster, without the signs that processes leave while they run."""
    return {k: v for k, v in values.items() if k not in (SEAT, MOVED) and not k.startswith(_PRESENT)}


async def fill_etcd(store: EtcdStore, values: Values) -> None:
    """
    Put a cluster into etcd where none is, its own record last; term and ids of jobs only go on.

    :raises ConfigurationError: there is one.
    :raises StoreError: it could not be written; there is no cluster then.
    """
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
    with filled(path, values) as part:
        os.chmod(part, 0o600)
        part.replace(path)


@contextlib.contextmanager
def filled(path: Path, values: Values) -> Iterator[Path]:
    """A database with these beside `path`; gone at the end, unless it has been put in place."""
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
        yield part
    finally:
        remove_parts(part)


def _retire_file(path: Path) -> None:
    kept = free_name(path, "moved")
    put_together(path)
    path.replace(kept)
    for suffix in ("-wal", "-shm"):
        path.with_name(f"{path.name}{suffix}").unlink(missing_ok=True)
