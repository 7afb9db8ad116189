"""``rapi-admin failover``: the planned switch of the master."""

import contextlib
import getpass
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from twisted_rapi.admin.parts import CONFIG, Command, Work, say_out
from twisted_rapi.config import StoreSection, load
from twisted_rapi.deadline import within
from twisted_rapi.errors import Compacted, ConfigurationError, Conflict
from twisted_rapi.model.mastership import CandidateRecord, ElectionRecord, SwitchRecord
from twisted_rapi.model.record_base import Record
from twisted_rapi.model.records import NameRecord, NodeRecord, name_key
from twisted_rapi.opening import open_etcd_of, read_keys
from twisted_rapi.plan.succession import refusal
from twisted_rapi.state.codec import decode
from twisted_rapi.state.interface import IStateStore
from twisted_rapi.state.writer import commit_of

PATIENCE = 15.0
"""Seconds until the wish is taken back."""


class _Late(Exception):
    """It takes too long."""


class _Found:
    """What was read of the store, and when each was written."""

    def __init__(self) -> None:
        self.records: dict[str, Record] = {}
        self.revisions: dict[str, int] = {}

    async def read(self, store: IStateStore, prefix: str) -> None:
        """Read all below a prefix."""
        after: str | None = ""
        while after is not None:
            page = await store.list(prefix, after)
            for key, entry in page.entries.items():
                self.records[key] = decode(key, entry.value)
                self.revisions[key] = entry.revision
            after = page.more

    def nodes(self) -> dict[str, NodeRecord]:
        """The nodes by uuid."""
        return {r.uuid: r for r in self.records.values() if isinstance(r, NodeRecord)}

    def present(self) -> dict[str, CandidateRecord]:
        """The daemons that are there, by their nodes' uuids."""
        return {r.uuid: r for r in self.records.values() if isinstance(r, CandidateRecord)}


async def hand_over(
    store: IStateStore, target: str, who: str, clock: IReactorTime, now: Callable[[], float]
) -> tuple[str, float]:
    """
    Have another candidate be master; answers its name, and how many seconds that took.

    :param target: name of the node, "" for any other candidate.
    :raises ConfigurationError: it cannot be, or was not in time.
    :raises StoreError: the store cannot be read or written.
    """
    begun = clock.seconds()
    wish, written, names = await _wish(store, target, who, now)
    ended = Deferred.fromCoroutine(_followed(store, wish, written))
    try:
        master: str = await within(ended, PATIENCE, clock, _Late)
    except _Late:
        await _take_back(store)
        raise ConfigurationError(
            f"no other node became master within {PATIENCE:.0f} s; the wish is taken back"
        ) from None
    return names.get(master, master), clock.seconds() - begun


async def _wish(
    store: IStateStore, target: str, who: str, now: Callable[[], float]
) -> tuple[SwitchRecord, int, dict[str, str]]:
    """Store the wish, if it can be; answers it, its revision, and the names of the nodes by uuid."""
    found = _Found()
    for prefix in (ElectionRecord.KIND, SwitchRecord.KIND, "node/", "candidate/"):
        await found.read(store, prefix)
    election = found.records.get(ElectionRecord.KIND)
    if not isinstance(election, ElectionRecord):
        raise ConfigurationError("the cluster has no master yet: start rapi")
    uuid = await _uuid(store, target)
    why = refusal(uuid, found.nodes(), found.present(), election.node)
    before = found.records.get(SwitchRecord.KIND)
    if isinstance(before, SwitchRecord) and before.term == election.term and not before.refused:
        why = why or f"{before.who} has just asked for it"
    if why:
        raise ConfigurationError(f"the master cannot be switched: {why}")
    wish = SwitchRecord(term=election.term, target=uuid, asked=now(), who=who)
    change = commit_of([wish], revision_of=lambda key: found.revisions.get(key, 0))
    expect = {**change.expect, ElectionRecord.KIND: found.revisions[ElectionRecord.KIND]}
    try:
        written = await store.commit(attrs.evolve(change, expect=expect))
    except Conflict as e:
        raise ConfigurationError("the master has changed meanwhile: look, and ask again") from e
    return wish, written, {uuid: node.name for uuid, node in found.nodes().items()}


async def _uuid(store: IStateStore, name: str) -> str:
    if not name:
        return ""
    key = name_key(NodeRecord.KIND, name)
    entry = (await store.get([key])).get(key)
    if entry is None:
        raise ConfigurationError(f"there is no node {name}")
    record = decode(key, entry.value)
    assert isinstance(record, NameRecord)
    return record.uuid


async def _followed(store: IStateStore, wish: SwitchRecord, after: int) -> str:
    """Wait until there is a later master; answers its uuid."""
    keys = [ElectionRecord.KIND, SwitchRecord.KIND]
    while True:
        watch = store.watch(keys, after)
        try:
            await watch.next()
        except Compacted:
            pass
        finally:
            watch.close()
        found = await store.get(keys)
        after = store.revision
        records = {key: decode(key, entry.value) for key, entry in found.items()}
        election, now = records.get(ElectionRecord.KIND), records.get(SwitchRecord.KIND)
        if isinstance(election, ElectionRecord) and election.term > wish.term:
            return election.node
        if isinstance(now, SwitchRecord) and now.refused:
            await _take_back(store)
            raise ConfigurationError(f"the master does not hand over: {now.refused}")


async def _take_back(store: IStateStore) -> None:
    """Remove the wish, so that no master follows it later."""
    found = (await store.get([SwitchRecord.KIND])).get(SwitchRecord.KIND)
    if found is None:
        return
    record = decode(SwitchRecord.KIND, found.value)
    with contextlib.suppress(Conflict):
        await store.commit(commit_of(deletes=[record], revision_of=lambda _: found.revision))


@contextlib.asynccontextmanager
async def _opened(section: StoreSection, reactor: Any) -> AsyncIterator[IStateStore]:
    store = await open_etcd_of(section, reactor, read_keys(section))
    try:
        yield store
    finally:
        await store.close()


class Failover(Command):
    """``failover``."""

    synopsis = "[options] [NODE]"
    longdesc = "Hand the mastership to NODE, or to any other candidate that is there.  Jobs go on there."
    optParameters = [["config", "c", f"{CONFIG}/rapi.toml", "The configuration of a candidate."]]

    def parseArgs(self, node: str = "") -> None:
        """Take the node."""
        self["node"] = node

    def run(self) -> Work:
        """Do it."""
        return self._switch

    async def _switch(self, reactor: Any) -> int:
        section = load(Path(self["config"])).store
        if section.kind != "etcd":
            raise ConfigurationError("a cluster in SQLite has one candidate: nobody can follow it")
        who = f"rapi-admin of {getpass.getuser()}"
        async with _opened(section, reactor) as store:
            name, took = await hand_over(store, self["node"], who, reactor, time.time)
        say_out(f"{name} is master now; that took {took:.1f} s.")
        return 0
