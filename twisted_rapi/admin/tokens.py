"""``rapi-admin token``: who may use PVC's API."""

import secrets
import sys
from pathlib import Path

from twisted_rapi.admin.files import write_private
from twisted_rapi.admin.parts import CONFIG, Command, Work, run_sub, say_out
from twisted_rapi.config import load
from twisted_rapi.errors import ConfigurationError
from twisted_rapi.web.pvc.tokens import Token, find, new_token, parse_tokens


def _read(file: Path) -> str:
    return file.read_text(encoding="utf-8") if file.exists() else ""


def add_token(file: Path, token: str, description: str) -> Token:
    """
    Put a token's digest into the file; other lines stay as they are.

    :raises ConfigurationError: it can be guessed, cannot be sent, or is there already.
    """
    text = _read(file)
    if find(parse_tokens(text), token):
        raise ConfigurationError("this token is there already")
    new = new_token(token, description)
    lines = [*text.splitlines(), new.line()]
    write_private(file, ("\n".join(lines) + "\n").encode())
    return new


def remove_token(file: Path, name: str) -> None:
    """
    Take a token out of the file: sessions that were opened with it end, too.

    :param name: its id, or the first characters of it.
    :raises ConfigurationError: there is none of this id, or there are several.
    """
    text = _read(file)
    wanted = [known for known in parse_tokens(text) if name and known.startswith(name)]
    if len(wanted) != 1:
        raise ConfigurationError(f"there is {'no' if not wanted else 'more than one'} token {name}")
    lines = [line for line in text.splitlines() if wanted[0] not in parse_tokens(line)]
    write_private(file, "".join(f"{line}\n" for line in lines).encode())


class _TokenCommand(Command):
    optParameters = [["config", "c", f"{CONFIG}/rapi.toml", "The master's configuration."]]

    def file(self) -> Path:
        """The tokens file."""
        return Path(load(Path(self["config"])).pvc.tokens)


class Add(_TokenCommand):
    """``token add``."""

    synopsis = "[options] [DESCRIPTION]"
    longdesc = "Make a token and write it to standard output: only its digest is kept.  "
    longdesc += "Other candidates know it after rapi-admin user distribute."
    optFlags = [["token-stdin", None, "Read the token from standard input instead of making one."]]

    def parseArgs(self, description: str = "") -> None:
        """Take what it is for."""
        self["description"] = description

    def run(self) -> int:
        """Do it."""
        given = sys.stdin.readline().rstrip("\n") if self["token-stdin"] else ""
        token = given if self["token-stdin"] else secrets.token_urlsafe(32)
        new = add_token(self.file(), token, self["description"])
        say_out(new.id if given else token)
        return 0


class Remove(_TokenCommand):
    """``token remove``."""

    synopsis = "[options] ID"
    longdesc = "Other candidates no longer know it after rapi-admin user distribute."

    def parseArgs(self, name: str) -> None:  # type: ignore[override]
        """Take the id."""
        self["name"] = name

    def run(self) -> int:
        """Do it."""
        remove_token(self.file(), self["name"])
        return 0


class List(_TokenCommand):
    """``token list``."""

    def run(self) -> int:
        """Do it."""
        for token in parse_tokens(_read(self.file())).values():
            say_out(f"{token.id} {token.description}".rstrip())
        return 0


class TokenCommand(Command):
    """``token``: who may use PVC's API."""

    subCommands = [
        ["add", None, Add, "Add a token, and show it once."],
        ["remove", None, Remove, "Remove a token, by its id."],
        ["list", None, List, "List the ids of the tokens, and what they are for."],
    ]

    def run(self) -> int | Work:
        """Do what was named after it."""
        return run_sub(self)
