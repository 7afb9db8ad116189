"""``rapi-admin user``: who may use the API."""

import getpass
import sys
import time
from pathlib import Path
from typing import Any

from twisted_rapi.admin.files import remove_user, set_user, users
from twisted_rapi.admin.parts import CONFIG, Command, Work, run_sub, say_out
from twisted_rapi.config import load
from twisted_rapi.distributing import give
from twisted_rapi.errors import ConfigurationError
from twisted_rapi.opening import open_etcd_of, read_keys
from twisted_rapi.sharing import SharedFiles


class _UserCommand(Command):
    optParameters = [["config", "c", f"{CONFIG}/rapi.toml", "The master's configuration."]]

    def file(self) -> Path:
        """The users file."""
        return Path(load(Path(self["config"])).api.users)

    def remind(self) -> None:
        """Say what is left to do where there are other candidates."""
        if load(Path(self["config"])).store.kind == "etcd":
            say_out("Other candidates have it after rapi-admin user distribute.")


class UserAdd(_UserCommand):
    """``user add``."""

    synopsis = "[options] NAME"
    optFlags = [
        ["write", "w", "May change things."],
        ["read", "r", "May see consoles and query."],
        ["password-stdin", None, "Read the password from standard input."],
    ]

    def parseArgs(self, name: str) -> None:  # type: ignore[override]
        """Take the name."""
        self["name"] = name

    def run(self) -> int:
        """Do it."""
        options = ",".join(option for option in ("write", "read") if self[option])
        password = sys.stdin.readline().rstrip("\n") if self["password-stdin"] else _ask_twice()
        set_user(self.file(), self["name"], password, options)
        self.remind()
        return 0


class UserRemove(_UserCommand):
    """``user remove``."""

    synopsis = "[options] NAME"

    def parseArgs(self, name: str) -> None:  # type: ignore[override]
        """Take the name."""
        self["name"] = name

    def run(self) -> int:
        """Do it."""
        remove_user(self.file(), self["name"])
        self.remind()
        return 0


class UserList(_UserCommand):
    """``user list``."""

    def run(self) -> int:
        """Do it."""
        for name, options in sorted(users(self.file()).items()):
            say_out(f"{name} {options}".rstrip())
        return 0


class UserDistribute(_UserCommand):
    """``user distribute``."""

    longdesc = (
        "Have this machine's users, tokens of PVC's API and fencing.toml on all candidates: on those that "
    )
    longdesc += (
        "run now, on others when they run again.  PUT /2/redistribute-config does the same with the master's."
    )

    def run(self) -> Work:
        """Do it."""
        return self._distribute

    async def _distribute(self, reactor: Any) -> int:
        config = load(Path(self["config"]))
        if config.store.kind != "etcd":
            raise ConfigurationError("the store is SQLite, with which there is one candidate")
        files = SharedFiles.of(config)
        users, others = files.read_users(), files.read_others()
        store = await open_etcd_of(config.store, reactor, read_keys(config.store))
        try:
            await give(store, config.node, users, others, time.time())
        finally:
            await store.close()
        return 0


class User(Command):
    """``user``: who may use the API."""

    subCommands = [
        ["add", None, UserAdd, "Add a user, or give one a new password and rights."],
        ["remove", None, UserRemove, "Remove a user."],
        ["list", None, UserList, "List users and their rights."],
        [
            "distribute",
            None,
            UserDistribute,
            "Have all candidates know the users, tokens and fencing of this one.",
        ],
    ]

    def run(self) -> int | Work:
        """Do what was named after it."""
        return run_sub(self)


def _ask_twice() -> str:
    password = getpass.getpass()
    if getpass.getpass("Again: ") != password:
        raise ConfigurationError("the two passwords differ")
    return password
