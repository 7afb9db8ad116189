"""
What candidates take over from one of them, by way of the store: `twisted_rapi.sharing.SharedFiles`.

Who asks for it names the candidate whose files are to be everywhere.  That one's daemon puts the texts into
the store, and the others write them to their own files, now or when they run again.  Each notes beside a file
when what it has was asked for, so that what an operator changes there later stays until the next time.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from msgspec.structs import replace
from twisted.application.service import Service
from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger

from twisted_rapi.errors import CommitTooLarge, ConfigurationError, Conflict, StoreClosed, StoreError
from twisted_rapi.model.mastership import DistributionRecord
from twisted_rapi.model.records import NameRecord, key_of, name_key
from twisted_rapi.sharing import SharedFiles
from twisted_rapi.state.codec import decode
from twisted_rapi.state.interface import IStateStore
from twisted_rapi.state.snapshot import Observed, Snapshot
from twisted_rapi.state.writer import commit_of

RETRY = 5.0  # seconds


class Distribution(Service):
    """
    This candidate's part in it, while it runs.

    :param here: uuid of its node; `files`: its own.
    :param in_thread: reads and writes files elsewhere.
    """

    _log = Logger()

    def __init__(
        self,
        store: IStateStore,
        snapshot: Snapshot,
        here: str,
        files: SharedFiles,
        in_thread: Callable[..., Awaitable[Any]],
        clock: IReactorTime,
    ) -> None:
        self._store, self._snapshot, self._here, self._files = store, snapshot, here, files
        self._in_thread, self._clock = in_thread, clock
        self._working: Deferred[None] = succeed(None)
        self._busy = self._again = False
        self._end: Callable[[], None] = lambda: None

    def startService(self) -> None:
        """Take over what was asked for meanwhile, and what will be."""
        super().startService()
        self._end = self._snapshot.observe(self._changed)
        self._look()

    def stopService(self) -> Deferred[None]:
        """No longer take part."""
        super().stopService()
        self._end()
        self._working.cancel()
        return self._working

    def _changed(self, told: Observed) -> None:
        if any(key == DistributionRecord.KIND for key, _, _ in told):
            self._look()

    def _look(self) -> None:
        """Work, once more if something changes meanwhile."""
        self._again = True
        if not self._busy:
            self._busy = True
            self._working = Deferred.fromCoroutine(self._work())
            self._working.addErrback(lambda f: self._log.failure("files are no longer distributed", f))

    async def _work(self) -> None:
        try:
            while self._again and self.running:
                self._again = False
                await self._once()
        except (CancelledError, StoreClosed):
            return
        finally:
            self._busy = False

    async def _once(self) -> None:
        record = self._snapshot.distribution
        if record is None:
            return
        try:
            if record.source != self._here and record.users is not None:
                if await self._in_thread(self._files.take, record.at, record.users, record.files):
                    self._log.info(
                        "the users, tokens and fencing are those of {node} now", node=record.source
                    )
            elif record.source == self._here and record.users is None:
                await self._give(record, self._snapshot.revision_of(key_of(record)))
        except (OSError, UnicodeDecodeError) as e:
            self._log.error("the files could not be distributed: {why}", why=str(e))

    async def _give(self, record: DistributionRecord, revision: int) -> None:
        users = await self._in_thread(self._files.read_users)
        others = await self._in_thread(self._files.read_others)
        change = commit_of([replace(record, users=users, files=others)], revision_of=lambda _: revision)
        try:
            await self._store.commit(change)
        except Conflict:
            return  # it was asked for once more, or this one came through after all
        except CommitTooLarge as e:
            self._log.error("the files are too large to be distributed: {why}", why=str(e))
        except StoreClosed:
            raise
        except StoreError:
            self._log.failure("the files are not in the store yet; trying again in {wait} s", wait=RETRY)
            await deferLater(self._clock, RETRY)
            self._again = True


async def give(store: IStateStore, node: str, users: str, others: Mapping[str, str], now: float) -> None:
    """
    Have the files of this node on all candidates; for tools, without a master.

    :param users: the text of the users file; `others`: of the others by name.
    :raises ConfigurationError: the cluster has no such node.
    :raises Conflict: somebody else asked for it at the same moment.
    """
    name, kind = name_key("node", node), DistributionRecord.KIND
    found = await store.get([name, kind])
    if name not in found:
        raise ConfigurationError(f"the cluster has no node {node}")
    source = decode(name, found[name].value)
    last = decode(kind, found[kind].value) if kind in found else None
    assert isinstance(source, NameRecord)
    at = max(now, last.at + 1) if isinstance(last, DistributionRecord) else now
    revision = found[kind].revision if kind in found else 0
    record = DistributionRecord(at=at, source=source.uuid, users=users, files=dict(others))
    await store.commit(commit_of([record], revision_of=lambda _: revision))
