"""
Who may do what: the users file (behaviour.md §2).

Note [Passwords].  Clear text and ``{ha1}`` are compared at once, in constant time.  ``{argon2}`` takes tens
of milliseconds on purpose, so it is computed in a thread, and a success is remembered for a while under a
keyed digest of the password (the key is of this process, and passwords themselves are not kept).
"""

import base64
import binascii
import hashlib
import hmac
import os
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import attrs
from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall, deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure

from twisted_rapi.errors import BadRequest, Unauthorized
from twisted_rapi.web.reply import REALM

InThread = Callable[..., Awaitable[Any]]

REMEMBER = 300.0  # seconds a verified argon2 password is remembered
MOST_REMEMBERED = 1000
LONGEST_DELAY = 5.0
FORGET_FAILURES = 600.0


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


class Users(Service):
    """
    The users, kept as the file says.

    :param in_thread: reads the file and computes hashes elsewhere.
    """

    _log = Logger()

    def __init__(self, file: Path, clock: IReactorTime, in_thread: InThread) -> None:
        self._file, self._clock, self._in_thread = file, clock, in_thread
        self._users: Mapping[str, User] = {}
        self._stamp: object = None
        self._hasher = PasswordHasher()
        self._key = os.urandom(32)
        self._remembered: dict[bytes, float] = {}
        self._failures: dict[tuple[str, str], tuple[int, float]] = {}
        self._reading: Deferred[None] | None = None
        self._loop = LoopingCall(self._look)
        self._loop.clock = clock

    def startService(self) -> None:
        """Read the file, and again whenever it changes."""
        super().startService()
        self._loop.start(1.0)

    def stopService(self) -> None:
        """No longer look at the file."""
        super().stopService()
        if self._loop.running:
            self._loop.stop()

    def _look(self) -> Deferred[None]:
        d = Deferred.fromCoroutine(self.refresh())
        d.addErrback(self._failed)
        return d

    def _failed(self, failure: Failure) -> None:
        self._log.failure("the users file could not be read; the users stay as they were", failure)

    async def refresh(self) -> None:
        """Read the file if it is another than before."""
        stamp, text = await self._in_thread(_read, self._file, self._stamp)
        if stamp == self._stamp:
            return
        self._stamp = stamp
        self._remembered.clear()
        self._users = parse_users(text) if text is not None else {}
        self._log.info("{count} users", count=len(self._users))

    async def check(self, header: str, address: str) -> User:
        """
        The user whose credentials a header has.

        A failure answers later the more of them came for this user from this address.

        :raises Unauthorized: they are wrong; `BadRequest`: see `credentials`.
        """
        name, password = credentials(header)
        user = self._users.get(name)
        if user is not None and await self._matches(user, password):
            self._failures.pop((name, address), None)
            return user
        await self._slow_down(name, address)
        raise Unauthorized

    async def _matches(self, user: User, password: str) -> bool:
        scheme, secret = _scheme(user.secret)
        if scheme == "cleartext":
            return hmac.compare_digest(secret.encode(), password.encode())
        if scheme == "ha1":
            text = f"{user.name}:{REALM}:{password}".encode()
            ha1 = hashlib.md5(text, usedforsecurity=False).hexdigest()
            return hmac.compare_digest(ha1, secret.lower().encode("ascii", "replace").decode())
        if scheme == "argon2":
            return await self._argon2(secret, password)
        self._log.warn("user {user} has a password of an unknown scheme", user=user.name)
        return False

    async def _argon2(self, secret: str, password: str) -> bool:
        digest = hmac.digest(self._key, f"{secret}\x00{password}".encode(), "sha256")
        now = self._clock.seconds()
        if self._remembered.get(digest, 0.0) > now:
            return True
        good = bool(await self._in_thread(_verify, self._hasher, secret, password))
        if good:
            if len(self._remembered) >= MOST_REMEMBERED:
                self._remembered.clear()
            self._remembered[digest] = now + REMEMBER
        return good

    async def _slow_down(self, name: str, address: str) -> None:
        now = self._clock.seconds()
        count, last = self._failures.get((name, address), (0, now))
        count = 1 if now - last > FORGET_FAILURES else count + 1
        if len(self._failures) > 10 * MOST_REMEMBERED:
            self._failures.clear()
        self._failures[name, address] = (count, now)
        if count > 1:
            await deferLater(self._clock, min(LONGEST_DELAY, 0.1 * 2 ** min(count, 10)))


def _read(file: Path, known: object) -> tuple[object, str | None]:
    """Stamp and text of the file; the text only if the stamp is another one."""
    try:
        found = file.stat()
        stamp = (found.st_mtime_ns, found.st_size, found.st_ino)
        return stamp, None if stamp == known else file.read_text(encoding="utf-8")
    except FileNotFoundError:
        return "missing", None


def _verify(hasher: PasswordHasher, secret: str, password: str) -> bool:
    try:
        return hasher.verify(secret, password)
    except (VerificationError, InvalidHashError):
        return False
