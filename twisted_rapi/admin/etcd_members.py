"""``rapi-admin etcd``: the members of etcd, as they have to be changed when one is lost."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from twisted.python import usage

from twisted_rapi.admin.parts import CONFIG, Command, Work, run_sub, say_out
from twisted_rapi.config import load
from twisted_rapi.errors import ConfigurationError, StoreError
from twisted_rapi.opening import read_keys
from twisted_rapi.state.etcd_gateway import IGateway, connect
from twisted_rapi.state.etcd_wire import Document, number

PATIENCE = 5.0  # seconds


async def listed(gateway: IGateway) -> Sequence[Document]:
    """
    The members by what etcd knows.

    :raises StoreError: it has no majority, or cannot be reached.
    """
    found: Sequence[Document] = (await gateway.call("cluster/member/list", {}, PATIENCE)).get("members", ())
    return found


async def silent(gateway: IGateway, member: Mapping[str, Any]) -> str:
    """Why a member does not answer; "" when it does."""
    if not member.get("clientURLs"):
        return "it never began"
    try:
        await gateway.call("maintenance/status", {}, PATIENCE, member["clientURLs"][0])
    except StoreError as e:
        return str(e)
    return ""


def named(members: Sequence[Document], name: str) -> Document:
    """
    The member of this name, or one that never began and is reached by others at this URL.

    :raises ConfigurationError: there is none, or more than one.
    """
    found = [m for m in members if m.get("name") == name or (not m.get("name") and name in m["peerURLs"])]
    if len(found) != 1:
        there = ", ".join(str(m.get("name") or m["peerURLs"][0]) for m in members)
        raise ConfigurationError(f"etcd has no one member {name}, but {there}")
    return found[0]


async def remove(gateway: IGateway, name: str) -> None:
    """
    Have etcd forget a member that is dead.

    :raises ConfigurationError: there is none of this name, or it answers.
    :raises StoreError: etcd does not do it.
    """
    member = named(await listed(gateway), name)
    if not await silent(gateway, member):
        raise ConfigurationError(f"{name} answers: stop rapi-etcd there first")
    await gateway.call("cluster/member/remove", {"ID": str(number(member, "ID"))}, PATIENCE)


async def add(gateway: IGateway, name: str, url: str) -> str:
    """
    Have etcd know a member before it begins; answers its ``initial-cluster``.

    :param url: where other members reach it.
    :raises ConfigurationError: another one does not answer, or has this name.
    :raises StoreError: etcd does not do it.
    """
    members = await listed(gateway)
    for member in members:
        there = str(member.get("name") or member["peerURLs"][0])
        if there == name:
            raise ConfigurationError(f"etcd has a member {name} already")
        if why := await silent(gateway, member):
            text = "a member that is added counts for the majority; mend or remove that one first"
            raise ConfigurationError(f"{there} does not answer ({why}): {text}")
    await gateway.call("cluster/member/add", {"peerURLs": [url]}, PATIENCE)
    others = [f"{m['name']}={peer}" for m in members for peer in m["peerURLs"]]
    return ",".join([*others, f"{name}={url}"])


class _MembersCommand(Command):
    optParameters = [["config", "c", f"{CONFIG}/rapi.toml", "A candidate's configuration."]]

    def run(self) -> Work:
        """Do it."""
        return self._connected

    async def _connected(self, reactor: Any) -> int:
        section = load(Path(self["config"])).store
        if not section.endpoints:
            raise ConfigurationError("store.endpoints: where etcd is has to be configured")
        gateway, end = connect(reactor, section.endpoints, read_keys(section))
        try:
            await self.work(gateway)
        finally:
            await end()
        return 0

    async def work(self, gateway: IGateway) -> None:
        """What this command does."""
        raise NotImplementedError


class List(_MembersCommand):
    """``etcd list``."""

    async def work(self, gateway: IGateway) -> None:
        """See `Command.run`."""
        for member in sorted(await listed(gateway), key=lambda m: str(m.get("name", ""))):
            why = await silent(gateway, member)
            urls = [*member.get("peerURLs", ()), *member.get("clientURLs", ())]
            say_out(f"{member.get('name') or '-'} {' '.join(urls)} {why or 'answers'}")


class Remove(_MembersCommand):
    """``etcd remove``."""

    synopsis = "[options] NAME"
    longdesc = (
        "Have etcd forget a member that does not answer: by its name, or, of one that never began, its URL."
    )

    def parseArgs(self, name: str) -> None:  # type: ignore[override]
        """Take the name."""
        self["name"] = name

    async def work(self, gateway: IGateway) -> None:
        """See `Command.run`."""
        await remove(gateway, self["name"])
        say_out(f"{self['name']} is no member any more; its data directory is of no use.")


class Add(_MembersCommand):
    """``etcd add``."""

    synopsis = "[options] NAME URL"
    longdesc = "Have etcd know a further member, which other members reach at URL (https://HOST:2380)."

    def parseArgs(self, name: str, url: str) -> None:  # type: ignore[override]
        """Take the two."""
        if not url.startswith("https://"):
            raise usage.UsageError(f"{url!r} is not of the form https://HOST:PORT")
        self["name"], self["url"] = name, url

    async def work(self, gateway: IGateway) -> None:
        """See `Command.run`."""
        initial = await add(gateway, self["name"], self["url"])
        say_out("Start it with an empty data directory, and in its etcd.yml:")
        say_out("initial-cluster-state: existing")
        say_out(f"initial-cluster: {initial}")


class Etcd(Command):
    """``etcd``: its members."""

    subCommands = [
        ["list", None, List, "Show the members, and which of them answer."],
        ["remove", None, Remove, "Have etcd forget a dead member."],
        ["add", None, Add, "Have etcd know a further member, before it begins."],
    ]

    def run(self) -> int | Work:
        """Do what was named after it."""
        return run_sub(self)
