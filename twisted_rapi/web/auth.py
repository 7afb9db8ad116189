"""
Who may do what: the users file (behaviour.md §2).

Note [Passwords].  Clear text and ``{ha1}`` are compared at once, in constant time.  ``{argon2}`` takes tens
of milliseconds on purpose, so it is computed in a thread, a few at a time, and a success is remembered for
a while under a keyed digest of the password (the key is of this process, and passwords are not kept).
An unknown user's password is computed, too: how long an answer takes does not tell who is a user.
"""

import base64
import binascii
import hashlib
import hmac
import os
from collections.abc import Mapping
from pathlib import Path

import attrs
from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from twisted_rapi.errors import BadRequest, Unauthorized
from twisted_rapi.web.followed import FollowedFile, InThread
from twisted_rapi.web.reply import REALM
from twisted_rapi.web.throttle import Few, Throttle
from twisted_rapi.web.watching import IFileWatch

REMEMBER = 300.0  # seconds a verified argon2 password is remembered
MOST_REMEMBERED = 1000
# Of a password nobody knows, with the cost of those that are made here.
NOBODY = "$argon2id$v=19$m=65536,t=3,p=4$GrAyyeIjnW5yNd8+xGT7dw$D23r46rL3OHoU5sNdV922aDPpUk4t3IVQMzWMDjPLg8"


@attrs.frozen
class User:
    """A user of the API; `options` are ``write``, ``read`` and whatever else the file says."""

    name: str
    secret: str
    options: frozenset[str]


def parse_users(text: str) -> dict[str, User]:
    """The users of a file; of several lines for a name the last one counts."""
    users = {}
    for line in text.splitlines():
        fields = line.split(None, 2)
        if len(fields) < 2 or line.lstrip().startswith("#"):
            continue
        options = fields[2].split(",") if len(fields) > 2 else []
        users[fields[0]] = User(fields[0], fields[1], frozenset(o.strip() for o in options if o.strip()))
    return users


def credentials(header: str) -> tuple[str, str]:
    """
    User and password of an ``Authorization`` header.

    :raises BadRequest: it is Basic without data; `Unauthorized`: it is anything else but Basic's.
    """
    scheme, _, rest = header.strip().partition(" ")
    if scheme.lower() != "basic":
        raise Unauthorized
    data = rest.split()
    if not data:
        raise BadRequest("Basic authentication requires credentials")
    try:
        text = base64.b64decode(data[0], validate=True).decode("utf-8")
    except (binascii.Error, UnicodeDecodeError, ValueError) as e:
        raise Unauthorized from e
    name, colon, password = text.partition(":")
    if not colon:
        raise Unauthorized
    return name, password


def _scheme(secret: str) -> tuple[str, str]:
    if not secret.startswith("{"):
        return "cleartext", secret
    name, _, rest = secret[1:].partition("}")
    return name.lower(), rest


class Users(FollowedFile):
    """
    The users, kept as the file says.

    :param in_thread: reads the file and computes hashes elsewhere.
    :param watch: tells when the file is to be read again.
    """

    _log = Logger()
    WHAT = "users"

    def __init__(self, file: Path, clock: IReactorTime, in_thread: InThread, watch: IFileWatch) -> None:
        super().__init__(file, in_thread, watch)
        self._clock = clock
        self._users: Mapping[str, User] = {}
        self._hasher = PasswordHasher()
        self._hashes = Few(in_thread)
        self._throttle = Throttle(clock)
        self._key = os.urandom(32)
        self._remembered: dict[bytes, float] = {}

    def taken(self, text: str) -> None:
        """Have the users of this text."""
        self._remembered.clear()
        self._users = parse_users(text)
        self._log.info("{count} users", count=len(self._users))

    async def check(self, header: str, address: str) -> User:
        """
        The user whose credentials a header has.

        :raises Unauthorized: they are wrong; `BadRequest`: see `credentials`; `ServiceUnavailable`: too many
            are checked already.
        """
        name, password = credentials(header)
        user = self._users.get(name)
        if user is not None and self._throttle.trusted(name, address) and self._at_once(user, password):
            return user
        right = await self._throttle.judge(name, address, lambda: self._matches(user, password))
        if user is not None and right:
            return user
        raise Unauthorized

    async def _matches(self, user: User | None, password: str) -> bool:
        """Whether it is the user's password; with hashes in use it takes as long to say so of nobody's."""
        if user is None:
            if any(_scheme(other.secret)[0] == "argon2" for other in self._users.values()):
                await self._hashes.run(_verify, self._hasher, NOBODY, password)
            return False
        if self._at_once(user, password):
            return True
        scheme, secret = _scheme(user.secret)
        if scheme == "argon2":
            return await self._argon2(secret, password)
        if scheme not in ("cleartext", "ha1"):
            self._log.warn("user {user} has a password of an unknown scheme", user=user.name)
        return False

    def _at_once(self, user: User, password: str) -> bool:
        """Whether it is known to be the user's password without a long computation."""
        scheme, secret = _scheme(user.secret)
        if scheme == "cleartext":
            return hmac.compare_digest(secret.encode(), password.encode())
        if scheme == "ha1":
            text = f"{user.name}:{REALM}:{password}".encode()
            ha1 = hashlib.md5(text, usedforsecurity=False).hexdigest()
            return hmac.compare_digest(ha1, secret.lower().encode("ascii", "replace").decode())
        until = self._remembered.get(self._digest(secret, password), 0.0) if scheme == "argon2" else 0.0
        return until > self._clock.seconds()

    def _digest(self, secret: str, password: str) -> bytes:
        return hmac.digest(self._key, f"{secret}\x00{password}".encode(), "sha256")

    async def _argon2(self, secret: str, password: str) -> bool:
        good = bool(await self._hashes.run(_verify, self._hasher, secret, password))
        if good:
            while len(self._remembered) >= MOST_REMEMBERED:
                del self._remembered[next(iter(self._remembered))]
            self._remembered[self._digest(secret, password)] = self._clock.seconds() + REMEMBER
        return good


def _verify(hasher: PasswordHasher, secret: str, password: str) -> bool:
    try:
        return hasher.verify(secret, password)
    except (VerificationError, InvalidHashError):
        return False
