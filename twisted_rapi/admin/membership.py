"""``rapi-admin join-token`` and ``join``: nodes and master candidates."""

import getpass
import sys
import time
from pathlib import Path
from typing import Any

from twisted.python import usage

from twisted_rapi.admin import joining
from twisted_rapi.admin.candidacy import join_candidate
from twisted_rapi.admin.parts import CONFIG, STATE, Command, Work, say_out
from twisted_rapi.config import Config, load
from twisted_rapi.errors import ConfigurationError


class JoinToken(Command):
    """``join-token``: the right of a new node, or of a master candidate, to join, once."""

    longdesc = "A token that one new node can join with, once: of the running master, asked as --user, or "
    longdesc += (
        "without --user put into the store: into etcd, or into the file of a master that does not run."
    )
    optParameters = [
        ["config", "c", f"{CONFIG}/rapi.toml", "The master's configuration."],
        ["user", "u", "", "A user with write access, when the master runs."],
        ["password-file", None, "", "A file with the password; asked for otherwise."],
        ["seconds", None, 3600, "How long it is good.", int],
    ]
    optFlags = [["candidate", None, "The token is for a further master candidate, who gets all keys."]]

    def run(self) -> int | Work:
        """Do it."""
        config, seconds = load(Path(self["config"])), self["seconds"]
        if self["candidate"]:
            if self["user"]:
                raise usage.UsageError("--candidate: whoever has etcd's key makes such tokens, not a user")
            if config.store.kind != "etcd":
                text = "the store is SQLite, with which there is one candidate: see docs/etcd.rst"
                raise ConfigurationError(text)
        if self["user"]:
            password = _password(self["password-file"])
            say_out(joining.new_token(config, self["user"], password, seconds))
            return 0
        if config.store.kind == "etcd":
            return lambda reactor: self._in_etcd(config, reactor)
        say_out(joining.stored_token(config, seconds, time.time()))
        return 0

    async def _in_etcd(self, config: Config, reactor: Any) -> int:
        candidate = bool(self["candidate"])
        say_out(await joining.token_in_etcd(config, float(self["seconds"]), candidate, time.time(), reactor))
        return 0


class Join(Command):
    """``join``: make this machine a node, or a master candidate."""

    longdesc = (
        "Make this machine a node of a cluster, with a token from rapi-admin join-token; with --candidate "
    )
    longdesc += "a master candidate, whether it is a node already or not."
    optParameters = [
        ["master", None, "", "Address of the master's API: HOST or HOST:PORT."],
        ["token", None, "", "The token; others on this machine may see it."],
        ["token-file", None, "", "A file with the token, - for standard input."],
        ["node", None, "", "Name of this node."],
        ["address", None, "", "Address of this node."],
        ["group", None, "", "Node group; the default one otherwise."],
        ["directory", None, CONFIG, "Folder for the configuration."],
        ["state-dir", None, STATE, "Folder for state and disks."],
        ["hypervisor", None, "kvm", "kvm, or fake for simulated machines."],
        ["port", None, 1811, "Port of the agent.", int],
        ["etcd", None, "", "With --candidate: members of etcd, https://HOST:PORT,…; the master's otherwise."],
    ]
    optFlags = [["candidate", None, "Make it a master candidate."]]

    def run(self) -> int:
        """Do it."""
        self.need("master", "node", "address")
        self.check_hypervisor()
        token = self._token()
        state = Path(self["state-dir"]).absolute()
        settings = joining.agent_settings(self["address"], self["port"], state, self["hypervisor"])
        new = joining.Newcomer(
            node=self["node"],
            address=self["address"],
            port=self["port"],
            group=self["group"] or None,
            directory=Path(self["directory"]),
            settings=settings,
        )
        if self["candidate"]:
            return self._candidate(token, new, state)
        joining.join(self["master"], token, new)
        say_out(f"{self['node']} is a node now; start rapi-agent.")
        return 0

    def _token(self) -> str:
        if self["candidate"] and self["token"]:
            raise usage.UsageError("--candidate: give the token by --token-file, so that nobody sees it")
        if self["token-file"] == "-":
            return sys.stdin.readline()
        if self["token-file"]:
            return Path(self["token-file"]).read_text(encoding="utf-8")
        if not self["token"]:
            raise usage.UsageError("--token-file or --token is needed")
        return str(self["token"])

    def _candidate(self, token: str, new: joining.Newcomer, state: Path) -> int:
        endpoints = [endpoint.strip() for endpoint in self["etcd"].split(",") if endpoint.strip()]
        for why in join_candidate(self["master"], token, new, state, endpoints):
            say_out(f"A member of etcd cannot be reached from here: {why}")
        say_out(f"{new.node} is a master candidate now; run rapi-admin check, start rapi-agent and rapi.")
        return 0


def _password(file: str) -> str:
    return Path(file).read_text(encoding="utf-8").rstrip("\r\n") if file else getpass.getpass()
