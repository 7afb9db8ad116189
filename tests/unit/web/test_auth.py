"""Tests of `twisted_rapi.web.auth` and `twisted_rapi.web.throttle`."""

import base64
import hashlib
from pathlib import Path
from typing import Any

from argon2 import PasswordHasher
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from twisted_rapi.errors import BadRequest, ServiceUnavailable, Unauthorized
from twisted_rapi.testing.file_watch import LookedAt
from twisted_rapi.web.auth import MOST_REMEMBERED, NOBODY, REMEMBER, Users, credentials, parse_users
from twisted_rapi.web.throttle import (
    AT_ONCE,
    FORGET,
    LONGEST_DELAY,
    MOST_HASHES,
    MOST_WAITING,
    Throttle,
    network,
)

CHEAP = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
HERE = "192.0.2.1"


def basic(name: str, password: str) -> str:
    """The header of a user and a password."""
    return "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()


class ParseTests(SynchronousTestCase):
    """What stands in files and headers."""

    def test_users(self) -> None:
        """Comments and short lines are left out, the last line of a name counts, options have commas."""
        text = "# a b c\n\n  # a b\nann one write,read\nbob\nann\ttwo \t read , x,\nben {ha1}ab\n"
        found = {u.name: (u.secret, sorted(u.options)) for u in parse_users(text).values()}
        self.assertEqual(found, {"ann": ("two", ["read", "x"]), "ben": ("{ha1}ab", [])})

    @given(st.text(), st.text())
    def test_credentials(self, name: str, password: str) -> None:
        """Everything up to the first colon is the name; surrogates cannot come over the wire."""
        text = f"{name}:{password}".encode(errors="replace").decode()
        header = "bAsIc  " + base64.b64encode(text.encode()).decode() + " ignored"
        self.assertEqual(credentials(header), tuple(text.split(":", 1)))

    @given(st.text())
    def test_anything(self, header: str) -> None:
        """Any other header is refused as such."""
        try:
            name, _ = credentials(header)
        except (Unauthorized, BadRequest):
            return
        self.assertNotIn(":", name)

    def test_networks(self) -> None:
        """An address of IPv6 counts as its network, one of IPv4 as itself, however it is written."""
        self.assertEqual(network("2001:db8::1"), network("2001:db8::ffff:1"))
        self.assertNotEqual(network("2001:db8::1"), network("2001:db8:0:1::1"))
        self.assertEqual(network("::ffff:192.0.2.1"), network("192.0.2.1"))
        self.assertEqual((network(""), network("fe80::1%eth0")), ("", network("fe80::2")))


class UsersTests(SynchronousTestCase):
    """Who is let in, and when."""

    def setUp(self) -> None:
        self.file = Path(self.mktemp())
        self.clock, self.watch = Clock(), LookedAt()
        self.threads: list[tuple[Deferred[Any], Any, tuple[Any, ...]]] | None = None
        self.computed: list[str] = []
        self.users = Users(self.file, self.clock, self.in_thread, self.watch)

    def in_thread(self, work: Any, *args: Any) -> Deferred[Any]:
        if work.__name__ == "_verify":
            self.computed.append(args[1])
            if self.threads is not None:
                d: Deferred[Any] = Deferred()
                self.threads.append((d, work, args))
                return d
        return succeed(None).addCallback(lambda _: work(*args))

    def start(self, text: str) -> None:
        """Begin with this file."""
        self.file.write_text(text)
        self.users.startService()
        self.addCleanup(self.users.stopService)

    def ask(self, name: str, password: str, address: str = HERE) -> Deferred[Any]:
        return Deferred.fromCoroutine(self.users.check(basic(name, password), address))

    def let_in(self, name: str, password: str) -> bool:
        d = self.ask(name, password)
        self.clock.advance(LONGEST_DELAY)
        result = d.addErrback(lambda f: f.trap(Unauthorized) and None)
        return self.successResultOf(result) is not None

    def test_forms(self) -> None:
        """All forms of a password; names of forms in any case; other forms and broken hashes never match."""
        ha1 = hashlib.md5(b"h:Ganeti Remote API:s").hexdigest()
        self.start(
            f"a s\nb {{ClearText}}s\nh {{HA1}}{ha1.upper()}\nr {{argon2}}{CHEAP.hash('s')}\n"
            "u {sha1}s\nx {argon2}nonsense\nz {ha1}ü\nn {s\n"
        )
        self.assertEqual([n for n in "abhruxznq" if self.let_in(n, "s")], list("abhr"))
        self.assertEqual([n for n in "abhruxznq" if self.let_in(n, "S")], [])
        self.assertFalse(self.let_in("u", "{sha1}s"))

    def test_file(self) -> None:
        """A changed file counts at once, a missing one has no users, one that is no text leaves them."""
        self.start("a s\n")
        self.assertTrue(self.let_in("a", "s"))
        self.file.write_text("a changed\n")
        self.watch.look()
        self.assertEqual((self.let_in("a", "s"), self.let_in("a", "changed")), (False, True))
        self.file.write_bytes(b"a \xff\n")
        self.watch.look()
        self.assertTrue(self.let_in("a", "changed"))
        self.file.unlink()
        self.watch.look()
        self.assertFalse(self.let_in("a", "changed"))
        self.file.mkdir()
        self.watch.look()
        self.assertFalse(self.let_in("a", "changed"))
        self.file.rmdir()
        self.file.write_text("a back\n")
        self.watch.look()
        self.assertTrue(self.let_in("a", "back"))

    def test_delays(self) -> None:
        """Failures are answered later each time, up to a limit; a success and a long time forget them."""
        self.start("a s\n")
        taken = []
        for _ in range(8):
            d = self.ask("a", "wrong")
            delays = [call.getTime() - self.clock.seconds() for call in self.clock.getDelayedCalls()]
            self.clock.advance(sum(delays))
            self.failureResultOf(d, Unauthorized)
            taken.append(round(sum(delays), 3))
        self.assertEqual(taken, [0.0, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0])
        self.assertNoResult(d := self.ask("a", "s"))
        self.assertEqual(self.successResultOf(self.ask("a", "s", "192.0.2.2")).name, "a")
        self.clock.advance(LONGEST_DELAY)
        self.successResultOf(d)
        self.successResultOf(self.ask("a", "s"))
        self.failureResultOf(self.ask("a", "wrong"), Unauthorized)
        self.clock.advance(FORGET + 1)
        self.failureResultOf(self.ask("a", "wrong"), Unauthorized)

    def test_many_at_once(self) -> None:
        """Guesses sent together are judged one by one, and only so many may wait."""
        self.start("a s\n")
        self.failureResultOf(self.ask("a", "wrong"), Unauthorized)
        guesses = [self.ask("a", "s" if n == 50 else str(n)) for n in range(MOST_WAITING + 5)]
        for late in guesses[MOST_WAITING:]:
            self.failureResultOf(late, ServiceUnavailable)
        self.clock.advance(LONGEST_DELAY)
        self.assertEqual(sum(bool(d.called) for d in guesses[:MOST_WAITING]), 1)
        for guess in guesses[:MOST_WAITING]:
            guess.addErrback(lambda _: None)
            guess.cancel()

    def test_remembered(self) -> None:
        """A hash is computed once for a good password, anew after a while and for every wrong one."""
        self.start(f"r {{argon2}}{CHEAP.hash('s')}\n")
        for _ in range(3):
            self.assertTrue(self.let_in("r", "s"))
        self.assertEqual(len(self.computed), 1)
        self.clock.advance(REMEMBER)
        self.assertTrue(self.let_in("r", "s"))
        self.assertEqual(len(self.computed), 2)
        for _ in range(2):
            self.assertFalse(self.let_in("r", "wrong"))
        self.assertEqual(len(self.computed), 4)
        self.assertLess(len(self.users._remembered), MOST_REMEMBERED)

    def test_nobody(self) -> None:
        """Of an unknown user a hash is computed, too, at the usual cost, where anybody has one."""
        self.start(f"r {{argon2}}{CHEAP.hash('s')}\n")
        self.assertFalse(self.let_in("q", "s"))
        self.assertEqual(self.computed, [NOBODY])
        self.assertFalse(PasswordHasher().check_needs_rehash(NOBODY))

    def test_few_hashes(self) -> None:
        """Only so many are computed at once, also when clients go away, and only so many may wait."""
        self.start(f"r {{argon2}}{CHEAP.hash('s')}\n")
        self.threads = []
        asked = [self.ask("r", "s", f"192.0.{n // 250}.{n % 250}") for n in range(AT_ONCE + MOST_HASHES + 1)]
        self.assertEqual(len(self.threads), AT_ONCE)
        self.failureResultOf(asked.pop(), ServiceUnavailable)
        for d in asked[:AT_ONCE]:
            d.cancel()
            self.failureResultOf(d)
        self.assertEqual(len(self.threads), AT_ONCE)
        done, work, args = self.threads[0]
        done.callback(work(*args))
        self.assertEqual(len(self.threads), AT_ONCE + 1)
        while self.threads:
            done, work, args = self.threads.pop()
            if not done.called:
                done.callback(work(*args))
        for d in asked[AT_ONCE:]:
            self.assertEqual(self.successResultOf(d).name, "r")

    def test_one_hash_for_many(self) -> None:
        """Requests that a client sends together need one computation."""
        self.start(f"r {{argon2}}{CHEAP.hash('s')}\n")
        self.threads = []
        asked = [self.ask("r", "s") for _ in range(20)]
        [(done, work, args)] = self.threads
        done.callback(work(*args))
        for d in asked:
            self.assertEqual(self.successResultOf(d).name, "r")
        self.assertEqual(len(self.computed), 1)


class ThrottleTests(SynchronousTestCase):
    """What is kept of failures has a limit."""

    def test_forgets(self) -> None:
        """With too many known, the oldest that nobody waits for is forgotten; where all wait no more may."""
        clock = Clock()
        throttle = Throttle(clock, most_known=3)
        held: list[Deferred[bool]] = []

        def judge(name: str, answer: Deferred[bool]) -> Deferred[bool]:
            async def right() -> bool:
                return await answer

            return Deferred.fromCoroutine(throttle.judge(name, HERE, right))

        for name in "abcd":
            self.assertFalse(self.successResultOf(judge(name, succeed(False))))
        self.assertEqual([throttle.trusted(name, HERE) for name in "abcd"], [True, False, False, False])
        for name in "efg":
            held.append(Deferred())
            judge(name, held[-1])
        self.failureResultOf(judge("h", succeed(True)), ServiceUnavailable)
        for answer in held:
            answer.callback(True)
        self.assertTrue(self.successResultOf(judge("h", succeed(True))))
        self.assertTrue(throttle.trusted("h", HERE))
