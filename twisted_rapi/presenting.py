"""What a candidate shows of its files beside its sign of life."""

from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any

from msgspec.structs import replace
from twisted.application.service import MultiService, Service
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from twisted_rapi.alike import digests
from twisted_rapi.config import Config
from twisted_rapi.distributing import Distribution
from twisted_rapi.ha.presence import Presence
from twisted_rapi.model.records import NodeRecord
from twisted_rapi.sharing import SharedFiles
from twisted_rapi.state.interface import IStateStore
from twisted_rapi.state.snapshot import Snapshot
from twisted_rapi.web.auth import Users
from twisted_rapi.web.watching import FileWatch, IFileWatch


def digested_of(
    config: Config, address: str, cluster: str, files: SharedFiles, users: str
) -> Mapping[str, str]:
    """
    Digests of what candidates have alike; blocks.

    :param address: of this candidate's node; `cluster`: the cluster's uuid.
    :param users: the text of the users file, as it is in use.
    :raises OSError, UnicodeDecodeError: one of the others cannot be read.
    """
    return digests(config, address, users, files.read_others(), cluster)


class ShownAlike(Service):
    """
    Shows digests of what candidates have alike, now and whenever one of the files changes.

    :param digested: computes them of the files and the users.
    :param in_thread: has that done elsewhere.
    """

    _log = Logger()

    def __init__(
        self,
        presence: Presence,
        users: Users,
        files: SharedFiles,
        digested: Callable[[SharedFiles, str], Mapping[str, str]],
        in_thread: Callable[..., Awaitable[Any]],
        watch: IFileWatch,
    ) -> None:
        self._presence, self._users, self._files = presence, users, files
        self._digested, self._in_thread, self._watch = digested, in_thread, watch
        self._ends: list[Callable[[], None]] = []
        self._looks = 0

    def startService(self) -> None:
        """Show them from now on."""
        super().startService()
        self._users.told = lambda _: self._look()
        self._ends = [
            self._watch.watch(file, self._look) for file in (self._files.tokens, self._files.fencing)
        ]
        self._look()

    def stopService(self) -> None:
        """No longer look at the files."""
        super().stopService()
        self._users.told = lambda _: None
        for end in self._ends:
            end()

    def _look(self) -> None:
        self._looks += 1
        shown = Deferred.fromCoroutine(self._show(self._looks))
        shown.addErrback(lambda f: self._log.failure("other candidates cannot compare their files", f))

    async def _show(self, look: int) -> None:
        found = await self._in_thread(self._digested, self._files, self._users.text)
        if look == self._looks:  # or they have changed once more
            self._presence.update(replace(self._presence.record, alike=dict(found)))


def share(
    parent: MultiService,
    config: Config,
    store: IStateStore,
    snapshot: Snapshot,
    node: NodeRecord,
    presence: Presence,
    users: Users,
    in_thread: Callable[..., Awaitable[Any]],
    clock: IReactorTime,
) -> None:
    """Have a candidate show what it has alike with others, and take over what they distribute."""
    files = SharedFiles.of(config)
    digested = partial(digested_of, config, node.primary_ip, snapshot.cluster.uuid)
    for part in (
        Distribution(store, snapshot, node.uuid, files, in_thread, clock),
        ShownAlike(presence, users, files, digested, in_thread, FileWatch(clock)),
    ):
        part.setServiceParent(parent)
