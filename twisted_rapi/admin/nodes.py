"""``rapi-admin node``: what has become of a node, and the word that it is dead."""

import getpass
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

from twisted_rapi.admin.asking import Asked, ask_here
from twisted_rapi.admin.parts import CONFIG, Command, Work, run_sub, say_out
from twisted_rapi.config import load
from twisted_rapi.errors import ConfigurationError

Ask = Callable[[Asked], Any]
"""Asks the master; see `twisted_rapi.admin.asking.ask_here`."""


def told(shown: dict[str, Any]) -> Iterator[str]:
    """What ``GET /2/nodes/NODE/fate`` answered, in lines for a person."""
    if shown["fate"] is None:
        yield f"{shown['name']} is {'marked offline' if shown['offline'] else 'well'}."
    else:
        yield f"{shown['name']} is {shown['fate']} since {_at(shown['since'])}."
    if not shown["answers"] and not shown["offline"]:
        yield "It does not answer."
    if shown["proof"]:
        yield f"It is known to be dead: {shown['proof']}."
    if shown["waits"]:
        yield f"It is not switched off now: {shown['waits']}."
    if shown["tries"]:
        yield f"It was tried {shown['tries']} times to switch it off; at last:"
    for each in shown["attempts"]:
        yield f"  {_at(each['at'])} {each['by']}: {each['error'] or 'did not fail'}"
    if shown["fate"] is not None:
        for each in shown["instances"]:
            why = f"stays: {each['stays']}" if each["stays"] else "starts elsewhere"
            yield f"  {each['name']} {why}"


def _at(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds))


def confirm_dead(node: str, ask: Ask, sure: Callable[[str], bool], say: Callable[[str], None]) -> int:
    """
    Tell the master that a node is dead, if whoever is asked is sure; the exit status.

    :raises ConfigurationError: it is not taken.
    """
    path = f"/2/nodes/{quote(node, safe='')}/fate"
    shown = ask(Asked("GET", path))
    moving = [each["name"] for each in shown["instances"] if not each["stays"]]
    for line in told(shown):
        say(line)
    if moving:
        say(f"These are started on other nodes: {', '.join(moving)}.")
    say("If it still runs, its guests run twice and destroy their disks.")
    if not sure(f"Is {shown['name']} off, and does it stay so?"):
        say("Nothing was done.")
        return 1
    ask(Asked("PUT", path, {"dead": True}))
    say(f"{shown['name']} is known to be dead.")
    return 0


class _NodeCommand(Command):
    synopsis = "[options] NODE"
    optParameters = [
        ["config", "c", f"{CONFIG}/rapi.toml", "The configuration of a candidate."],
        ["user", "u", "", "A user of the API."],
        ["password-file", None, "", "A file with the password; asked for otherwise."],
    ]

    def parseArgs(self, node: str) -> None:  # type: ignore[override]
        """Take the node."""
        self["node"] = node

    def asking(self) -> Ask:
        """How the master is asked."""
        config, user, file = load(Path(self["config"])), self["user"], self["password-file"]
        password = ""
        if user:
            password = Path(file).read_text(encoding="utf-8").rstrip("\r\n") if file else getpass.getpass()
        return lambda asked: ask_here(config, user, password, asked)


class Fate(_NodeCommand):
    """``node fate``."""

    longdesc = "Show what has become of NODE: whether it is suspected to be dead, and how it is switched off."

    def run(self) -> int:
        """Do it."""
        for line in told(self.asking()(Asked("GET", f"/2/nodes/{quote(self['node'], safe='')}/fate"))):
            say_out(line)
        return 0


class ConfirmDead(_NodeCommand):
    """``node confirm-dead``."""

    longdesc = "Confirm that NODE, which does not answer, is off and stays so: its instances start elsewhere."
    optFlags = [["yes", "y", "Do not ask whether that is so."]]

    def run(self) -> int:
        """Do it."""
        if not self["user"]:
            raise ConfigurationError("name a user with write access by --user")
        return confirm_dead(self["node"], self.asking(), self._sure, say_out)

    def _sure(self, question: str) -> bool:
        if self["yes"]:
            return True
        sys.stdout.write(f"{question} Type yes: ")
        sys.stdout.flush()
        return sys.stdin.readline().strip() == "yes"


class Node(Command):
    """``node``: nodes that fall silent."""

    subCommands = [
        ["fate", None, Fate, "Show what has become of a node."],
        ["confirm-dead", None, ConfirmDead, "Confirm that a node is off."],
    ]

    def run(self) -> int | Work:
        """Do what was named after it."""
        return run_sub(self)
