"""
``rapi-admin backup`` and ``restore``, whichever store it is.

A backup is a SQLite file of the same kind either way, and can be restored into either store.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from twisted.internet.threads import deferToThreadPool

from twisted_rapi.admin.moving import fill_etcd, filled, read_etcd, read_file, reserved
from twisted_rapi.admin.parts import CONFIG, Command, Work, say_out
from twisted_rapi.admin.restoring import free_name, problems, restore
from twisted_rapi.config import StoreSection, load
from twisted_rapi.errors import Compacted, ConfigurationError, RapiError
from twisted_rapi.model.records import ClusterRecord
from twisted_rapi.opening import open_etcd_of, read_keys
from twisted_rapi.state.database import backup
from twisted_rapi.state.etcd import EtcdStore
from twisted_rapi.state.interface import Commit

TRIES = 3
"""How often reading is begun anew when etcd forgets, each hour, the revision that is being read."""


async def backup_etcd(section: StoreSection, target: Path, reactor: Any) -> None:
    """
    Copy the cluster in etcd to a new file, as of one moment.

    :raises ConfigurationError: the target exists, or there is no cluster.
    :raises StoreError: etcd cannot be read, or the file not be written; no target is left then.
    """
    if target.exists():
        raise ConfigurationError(f"{target} exists already")
    store = await open_etcd_of(section, reactor, read_keys(section))
    try:
        values = await _as_of_one_moment(store)
    finally:
        await store.close()
    await _in_thread(reactor, _write, target, values)


async def _as_of_one_moment(store: EtcdStore) -> Mapping[str, bytes]:
    for _ in range(TRIES - 1):
        try:
            return await read_etcd(store)
        except Compacted:
            continue
    return await read_etcd(store)


def _write(target: Path, values: Mapping[str, bytes]) -> None:
    with filled(target, values) as part:
        backup(part, target)


def _in_thread(reactor: Any, work: Any, *args: Any) -> Any:
    return deferToThreadPool(reactor, reactor.getThreadPool(), work, *args)


async def restore_etcd(source: Path, section: StoreSection, reactor: Any) -> Path | None:
    """
    Make the cluster in etcd what a backup says, while no candidate runs.

    Term and ids of jobs go on from the higher of the two.  The cluster's record goes first and comes last: a
    restore that does not end leaves nothing that a master could start on, and is to be begun anew.

    :returns: the file in which the one before is kept; ``None`` when there was none.
    :raises ConfigurationError: the backup is none or too new, or a candidate runs; nothing was changed.
    :raises StoreError: etcd cannot be used; nothing was changed.
    """
    wrong = await _in_thread(reactor, problems, source)
    if wrong:
        raise ConfigurationError(f"{source} cannot be restored: {'; '.join(wrong)}")
    values = await _in_thread(reactor, read_file, source)
    async with reserved(section, reactor) as store:
        kept = await _put_aside(store, Path(section.path), reactor)
        try:
            await _retract(store)
            await fill_etcd(store, values)
        except RapiError as e:
            where = f"; the one before is kept as {kept}" if kept else ""
            raise ConfigurationError(f"the restore did not end, run it again: {e}{where}") from e
    return kept


async def _put_aside(store: EtcdStore, path: Path, reactor: Any) -> Path | None:
    """Copy what is in etcd to a file beside where the store would be with SQLite."""
    if not await store.get([ClusterRecord.KIND]):
        return None
    kept = free_name(path, "before-restore")
    values = await _as_of_one_moment(store)
    path.parent.mkdir(parents=True, exist_ok=True)
    await _in_thread(reactor, _write, kept, values)
    return kept


async def _retract(store: EtcdStore) -> None:
    found = await store.get([ClusterRecord.KIND])
    if found:
        expect = {key: entry.revision for key, entry in found.items()}
        await store.commit(Commit(expect=expect, deletes=frozenset(found)))


class Backup(Command):
    """``backup``: copy the store, also while the daemon runs."""

    synopsis = "[options] TARGET"
    longdesc = "Write the store as of one moment to a new file, of which restore makes either kind."
    optParameters = [["config", "c", f"{CONFIG}/rapi.toml", "The master's configuration."]]

    def parseArgs(self, target: str) -> None:  # type: ignore[override]
        """Take the file to write."""
        self["target"] = target

    def run(self) -> int | Work:
        """Do it."""
        section = load(Path(self["config"])).store
        if section.kind == "etcd":
            return lambda reactor: self._of_etcd(section, reactor)
        backup(Path(section.path), Path(self["target"]))
        return 0

    async def _of_etcd(self, section: StoreSection, reactor: Any) -> int:
        await backup_etcd(section, Path(self["target"]), reactor)
        return 0


class Restore(Command):
    """``restore``: make the store what a backup says, while no master runs."""

    synopsis = "[options] BACKUP"
    longdesc = "Put a backup in the place of the store, while no candidate runs.  The one before is kept in a"
    longdesc += " file.  The backup may be of either kind of store."
    optParameters = [["config", "c", f"{CONFIG}/rapi.toml", "The master's configuration."]]

    def parseArgs(self, source: str) -> None:  # type: ignore[override]
        """Take the backup."""
        self["source"] = source

    def run(self) -> int | Work:
        """Do it."""
        section = load(Path(self["config"])).store
        if section.kind == "etcd":
            return lambda reactor: self._into_etcd(section, reactor)
        return self._told(section.path, restore(Path(self["source"]), Path(section.path)))

    async def _into_etcd(self, section: StoreSection, reactor: Any) -> int:
        kept = await restore_etcd(Path(self["source"]), section, reactor)
        return self._told(f"{section.prefix} in etcd", kept)

    def _told(self, store: str, kept: Path | None) -> int:
        say_out(f"{store} is restored." + (f"  The one before is kept as {kept}." if kept else ""))
        say_out("Next: rapi-admin check, then start rapi.")
        return 0
