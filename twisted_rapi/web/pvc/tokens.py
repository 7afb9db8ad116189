"""
Tokens of PVC's API, as a file has them.

Note [Digests].  A token is long and nobody can guess it, so one round of SHA-256 with a salt keeps it: who
reads the file cannot use the API, and a request costs next to nothing.
"""

import hashlib
import hmac
import secrets
from collections.abc import Mapping
from pathlib import Path

import attrs
from twisted.logger import Logger

from twisted_rapi.errors import ConfigurationError
from twisted_rapi.web.followed import FollowedFile, InThread
from twisted_rapi.web.watching import IFileWatch

SCHEME = "{sha256}"
SHORTEST = 20  # characters
LONGEST = 1000


@attrs.frozen
class Token:
    """A token that is known: `id` names it for people and in sessions."""

    salt: str
    digest: str
    description: str

    @property
    def id(self) -> str:
        """What names it; nothing can be done with it."""
        return self.digest[:12]

    def line(self) -> str:
        """As the file has it."""
        return f"{SCHEME}{self.salt}${self.digest} {self.description}".rstrip()


def digest(salt: str, token: str) -> str:
    """What is kept of a token."""
    return hashlib.sha256(f"{salt}\x00{token}".encode("utf-8", "surrogatepass")).hexdigest()


def new_token(token: str, description: str) -> Token:
    """
    A token as it is kept.

    :raises ConfigurationError: it could be guessed, or cannot be sent.
    """
    if not SHORTEST <= len(token) <= LONGEST or not all("!" <= c <= "~" for c in token):
        raise ConfigurationError(f"a token has {SHORTEST} to {LONGEST} printable ASCII characters, no blanks")
    if len(set(token)) < 8:
        raise ConfigurationError("the token could be guessed: it has too few different characters")
    if not description.isprintable():
        raise ConfigurationError("the description has to be one line of text")
    salt = secrets.token_hex(8)
    return Token(salt, digest(salt, token), description.strip())


def parse_tokens(text: str) -> dict[str, Token]:
    """The tokens of a file by id; lines that are none are passed over."""
    found = {}
    for line in text.splitlines():
        first, _, description = line.strip().partition(" ")
        salt, dollar, kept = first.removeprefix(SCHEME).partition("$")
        if first.startswith(SCHEME) and dollar and len(kept) == 64:
            token = Token(salt, kept.lower(), description.strip())
            found[token.id] = token
    return found


def find(tokens: Mapping[str, Token], given: str) -> str:
    """The id of the token that was given, "" for none; it takes as long for any."""
    found = ""
    for known, token in tokens.items():
        right = hmac.compare_digest(digest(token.salt, given).encode(), token.digest.encode("utf-8"))
        found = known if right else found
    return found if given else ""


class Tokens(FollowedFile):
    """
    The tokens, kept as the file says.

    :ivar known: by id.
    """

    _log = Logger()
    WHAT = "tokens"

    def __init__(self, file: Path, in_thread: InThread, watch: IFileWatch) -> None:
        super().__init__(file, in_thread, watch)
        self.known: Mapping[str, Token] = {}

    def taken(self, text: str) -> None:
        """Have the tokens of this text."""
        self.known = parse_tokens(text)
        self._log.info("{count} tokens", count=len(self.known))
