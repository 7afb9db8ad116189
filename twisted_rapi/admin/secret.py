"""``rapi-admin domain-secret``: what clusters share that move instances to each other (behaviour.md §6)."""

from pathlib import Path
from typing import Any

from msgspec.structs import replace
from twisted.internet.threads import deferToThreadPool

from twisted_rapi.admin.parts import CONFIG, Command, Work, run_sub, say_out
from twisted_rapi.config import StoreSection, load
from twisted_rapi.errors import ConfigurationError, StoreLocked
from twisted_rapi.model.records import ClusterRecord
from twisted_rapi.opening import open_configured
from twisted_rapi.state.codec import decode, encode
from twisted_rapi.state.interface import Commit, IStateStore

SHORTEST = 16
_KEY = ClusterRecord.KIND


def read_secret(file: Path) -> str:
    """
    The secret in a file: its only line.

    :raises ConfigurationError: it has none that can be meant.
    """
    lines = file.read_text(encoding="utf-8").splitlines()
    secret = lines[0].strip() if len(lines) == 1 else ""
    if len(secret) < SHORTEST or not secret.isascii() or not secret.isprintable():
        text = f"{file}: one line of at least {SHORTEST} printable ASCII characters is needed"
        raise ConfigurationError(text)
    return secret


async def exchange(store: IStateStore, new: str) -> str:
    """
    The secret of the cluster in a store, `new` from now on unless that is empty.

    :raises ConfigurationError: there is no cluster.
    :raises Conflict: the cluster's record was changed meanwhile.
    """
    entry = (await store.get([_KEY])).get(_KEY)
    if entry is None:
        raise ConfigurationError("there is no cluster in the store; run rapi-admin init")
    cluster = decode(_KEY, entry.value)
    assert isinstance(cluster, ClusterRecord)
    if not new or new == cluster.domain_secret:
        return cluster.domain_secret
    changed = replace(cluster, domain_secret=new, serial_no=cluster.serial_no + 1)
    await store.commit(Commit(expect={_KEY: entry.revision}, puts={_KEY: encode(changed)}))
    return new


async def _in_configured(section: StoreSection, reactor: Any, new: str) -> str:
    def in_thread(work: Any, *args: Any) -> Any:
        return deferToThreadPool(reactor, reactor.getThreadPool(), work, *args)

    try:
        store = await open_configured(section, reactor, in_thread)
    except StoreLocked as e:
        raise ConfigurationError(f"a master has {section.path} open: stop it first") from e
    try:
        return await exchange(store, new)
    finally:
        await store.close()


class _SecretCommand(Command):
    optParameters = [["config", "c", f"{CONFIG}/rapi.toml", "The master's configuration."]]

    async def exchanged(self, new: str, reactor: Any) -> str:
        """See `exchange`."""
        section = load(Path(self["config"])).store
        if section.kind == "sqlite" and not Path(section.path).exists():
            raise ConfigurationError(f"{section.path} is missing; run rapi-admin init")
        return await _in_configured(section, reactor, new)


class Show(_SecretCommand):
    """``domain-secret show``."""

    longdesc = "Write it to standard output.  Where the store is SQLite no master may run."

    def run(self) -> Work:
        """Do it."""
        return self._show

    async def _show(self, reactor: Any) -> int:
        secret = await self.exchanged("", reactor)
        if not secret:
            raise ConfigurationError("there is none yet: give one by rapi-admin domain-secret set")
        say_out(secret)
        return 0


class Set(_SecretCommand):
    """``domain-secret set``."""

    synopsis = "[options] FILE"
    longdesc = "Make the only line of FILE it.  Where the store is SQLite no master may run.  Keys that were "
    longdesc += "made for exports before are no longer accepted."

    def parseArgs(self, file: str) -> None:  # type: ignore[override]
        """Take the file."""
        self["file"] = file

    def run(self) -> Work:
        """Do it."""
        secret = read_secret(Path(self["file"]))
        return lambda reactor: self._set(secret, reactor)

    async def _set(self, secret: str, reactor: Any) -> int:
        await self.exchanged(secret, reactor)
        return 0


class DomainSecret(Command):
    """``domain-secret``: what clusters share that move instances between each other."""

    subCommands = [
        ["show", None, Show, "Show it."],
        ["set", None, Set, "Take another one, from a file."],
    ]

    def run(self) -> int | Work:
        """Do what was named after it."""
        return run_sub(self)
