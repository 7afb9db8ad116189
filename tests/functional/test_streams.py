"""Bytes of disks between two agents' ends: real processes, sockets and certificates."""

import os
import random
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from twisted.internet import reactor
from twisted.internet.defer import CancelledError, Deferred, DeferredList
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase
from zope.interface.verify import verifyObject

from twisted_rapi.agent.certificates import Certificates
from twisted_rapi.agent.interface import Foreign, IStreams, Listener
from twisted_rapi.agent.streams import Credentials, Streams
from twisted_rapi.errors import StepFailed
from twisted_rapi.rpc.authority import Role, issue, new_authority, new_key, new_request
from twisted_rapi.testing.processes import await_true

CLOCK: Any = reactor
MIB = 1024 * 1024


def here(port: int) -> Listener:
    """A node on this machine."""
    return Listener(host="127.0.0.1", port=port, name="127.0.0.1")


def runs(pid: str) -> bool:
    """Whether a process runs; one that has ended and nobody has asked about does not."""
    try:
        return bool(Path(f"/proc/{pid}/cmdline").read_bytes())
    except OSError:
        return False


class StreamCase(TestCase):
    """Carries data as `carry` says."""

    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).resolve()
        self.folder.mkdir()
        authority, key = new_authority("test", time.time())
        self.credentials = {role: self._issued(role, authority, key) for role in (Role.NODE, Role.MASTER)}
        self.streams = self._streams(Role.NODE, "one")

    def _issued(self, role: Role, authority: bytes, key: bytes) -> Credentials:
        own = new_key()
        issued = issue(authority, key, role, "n", ["127.0.0.1"], new_request(own, "n"), time.time())
        names = {}
        for name, data in (("certificate", issued), ("key", own), ("authority", authority)):
            names[name] = str(self.folder / f"{role.value}-{name}")
            Path(names[name]).write_bytes(data)
        return Credentials(**names)

    def _streams(self, role: Role, name: str) -> Streams:
        made = Streams(
            self.credentials[role], self.folder / name, CLOCK, CLOCK, deferToThread, "127.0.0.1", CLOCK
        )
        self.addCleanup(lambda: Deferred.fromCoroutine(made.end("i")))
        return made

    def file(self, name: str, data: bytes = b"") -> str:
        """A file with these bytes."""
        path = self.folder / name
        path.write_bytes(data)
        return str(path)

    async def carry(self, source: Any, sink: Any, compress: str = "none", by: Any = None) -> None:
        """From one end to the other, both waited for."""
        port = await self.streams.open("i", "secret", sink, compress)
        self.assertEqual(await self.streams.open("i", "secret", sink, compress), port)
        sent = (by or self.streams).send("i", here(port), "secret", source, compress)
        both = [Deferred.fromCoroutine(sent), Deferred.fromCoroutine(self.streams.wait("secret"))]
        ended: list[tuple[bool, Any]] = await DeferredList(both, consumeErrors=True)
        await self.streams.end("i")
        for well, failure in ended:
            if not well:
                failure.raiseException()

    async def until(self, true: Any) -> None:
        """Wait for what other processes do."""
        for _ in range(600):
            if true():
                return
            await deferLater(CLOCK, 0.05)
        self.fail("it did not happen within half a minute")

    async def failure(self, work: Any) -> str:
        """Why it fails."""
        try:
            await work
        except StepFailed as e:
            return e.text
        self.fail("it did not fail")
        raise AssertionError


if TYPE_CHECKING:
    _Case = StreamCase
else:
    _Case = object


class Carrying(_Case):
    """What arrives, whoever the two ends are."""

    async def test_volume(self) -> None:
        """A volume arrives whole, compressed or not, and what is empty takes no room."""
        verifyObject(IStreams, self.streams)
        data = random.Random(1).randbytes(MIB) + bytes(6 * MIB) + random.Random(2).randbytes(MIB // 2)
        data += bytes(8 * MIB - len(data))
        for compress in ("none", "gzip", "gzip-fast", "gzip-slow"):
            target = self.file("target")
            os.truncate(target, len(data))
            sink = {"kind": "file", "path": target, "sparse": True, "most": len(data)}
            await self.carry({"kind": "file", "path": self.file("source", data)}, sink, compress)
            self.assertEqual(Path(target).read_bytes(), data)
            self.assertLess(Path(target).stat().st_blocks * 512, 3 * MIB)

    async def test_scripts(self) -> None:
        """What one script writes the other reads; EXP_SIZE_FD can be written to."""
        out = self.folder / "out"
        script = 'echo 5 >&"$EXP_SIZE_FD"; printf "%s" "$WHAT"'
        common = {
            "kind": "script",
            "environment": {"WHAT": "hello", "PATH": os.environ["PATH"]},
            "folder": "/",
        }
        source = {**common, "command": ["/bin/bash", "-c", script]}
        sink = {**common, "command": ["/bin/sh", "-c", f"cat >{out}"]}
        await self.carry(source, sink, "gzip")
        self.assertEqual(out.read_text(), "hello")
        why = await self.failure(self.carry({**source, "command": ["/bin/false"]}, sink))
        self.assertIn("the script exited with 1", why)
        why = await self.failure(self.carry(source, {**sink, "command": ["/bin/sh", "-c", "cat; exit 3"]}))
        self.assertRegex(why, "exited with 3|stored everything")

    async def test_dump(self) -> None:
        """A dump is a new file: nothing is written over."""
        target = str(self.folder / "dump")
        source = {"kind": "file", "path": self.file("source", b"x" * 1000)}
        await self.carry(source, {"kind": "new", "path": target})
        self.assertEqual(Path(target).read_bytes(), b"x" * 1000)
        self.assertRegex(
            await self.failure(self.carry(source, {"kind": "new", "path": target})), "exist|stored"
        )

    async def test_sizes(self) -> None:
        """More or less than a volume takes is a failure at both ends."""
        for size in (10, 30):
            sink = {"kind": "file", "path": self.file("target", bytes(20)), "most": 20}
            source = {"kind": "file", "path": self.file("source", b"x" * size)}
            self.assertRegex(await self.failure(self.carry(source, sink)), "bytes came|stored|reset|broken")


class StreamTests(Carrying, StreamCase):
    """`IStreams` by processes, from node to node."""

    async def test_nothing(self) -> None:
        """A simulated volume has no bytes; only who may expect that takes it for whole."""
        sink = {"kind": "file", "path": self.file("target", bytes(20)), "most": 20}
        self.assertRegex(await self.failure(self.carry({"kind": "nothing"}, sink)), "bytes came|stored")
        await self.carry({"kind": "nothing"}, {**sink, "empty": True})
        self.assertEqual(Path(str(sink["path"])).read_bytes(), bytes(20))
        source = {"kind": "file", "path": self.file("source", b"x")}
        why = await self.failure(self.carry(source, {**sink, "empty": True}))
        self.assertRegex(why, "bytes came|stored|reset|broken")

    async def test_strangers(self) -> None:
        """Only nodes may send, and only with the token; others are turned away and hurt nobody."""
        sink = {"kind": "new", "path": str(self.folder / "dump")}
        source = {"kind": "file", "path": self.file("source", b"x")}
        port = await self.streams.open("i", "secret", sink, "none")
        master = self._streams(Role.MASTER, "two")
        for streams, token in ((master, "secret"), (self.streams, "sixsix")):
            await self.failure(streams.send("i", here(port), token, source, "none"))
        self.assertFalse((self.folder / "dump").exists())
        await self.carry(source, sink)
        self.assertEqual((self.folder / "dump").read_bytes(), b"x")

    async def test_end(self) -> None:
        """A receiver that is ended is gone, with its process and port; who waits for it is told."""
        sink = {"kind": "new", "path": str(self.folder / "dump")}
        port = await self.streams.open("i", "secret", sink, "none")
        waiting = Deferred.fromCoroutine(self.streams.wait("secret"))
        await self.streams.end("i")
        self.assertIn("ended", await self.failure(waiting))
        source = {"kind": "file", "path": self.file("source", b"x")}
        await self.failure(self.streams.send("i", here(port), "secret", source, "none"))
        await_true("nothing is left", lambda: not list((self.folder / "one" / "stream-sessions").glob("*")))
        self.assertIn("nothing is received", await self.failure(self.streams.wait("secret")))

    async def test_sent_once(self) -> None:
        """The same token again is the same transfer, while it is under way and after its end."""
        calls = self.folder / "calls"
        script = f"echo called >>{calls}; sleep 0.3; echo data"
        common = {"kind": "script", "environment": {"PATH": os.environ["PATH"]}, "folder": "/"}
        source = {**common, "command": ["/bin/sh", "-c", script]}
        port = await self.streams.open("i", "secret", {"kind": "nothing"}, "none")
        sends = [
            Deferred.fromCoroutine(self.streams.send("i", here(port), "secret", source, "none"))
            for _ in range(2)
        ]
        for d in sends:
            await d
        await self.streams.send("i", here(port), "secret", source, "none")
        await self.streams.wait("secret")
        self.assertEqual(calls.read_text(), "called\n")
        await self.streams.end("i")
        await self.failure(self.streams.send("i", here(port), "secret", source, "none"))

    async def test_waiting_is_no_sending(self) -> None:
        """Whoever waits and goes away does not end the transfer."""
        common = {"kind": "script", "environment": {"PATH": os.environ["PATH"]}, "folder": "/"}
        source = {**common, "command": ["/bin/sh", "-c", "sleep 0.3; echo data"]}
        target = self.folder / "dump"
        port = await self.streams.open("i", "secret", {"kind": "new", "path": str(target)}, "none")
        for work in (
            self.streams.send("i", here(port), "secret", source, "none"),
            self.streams.wait("secret"),
        ):
            d = Deferred.fromCoroutine(work)
            d.addErrback(lambda failure: failure.trap(CancelledError))
            d.cancel()
        await self.streams.send("i", here(port), "secret", source, "none")
        await self.streams.wait("secret")
        self.assertEqual(target.read_bytes(), b"data\n")

    async def test_end_of_sender(self) -> None:
        """A sender that is ended is gone, with what it runs; nothing more arrives, and others go on."""
        common = {"kind": "script", "environment": {"PATH": os.environ["PATH"]}, "folder": "/"}
        begun, target = self.folder / "begun", self.folder / "dump"
        source = {**common, "command": ["/bin/sh", "-c", f"echo data; echo $$ >{begun}; exec sleep 600"]}
        port = await self.streams.open("j", "secret", {"kind": "new", "path": str(target)}, "none")
        sending = Deferred.fromCoroutine(self.streams.send("i", here(port), "secret", source, "none"))
        receiving = Deferred.fromCoroutine(self.streams.wait("secret"))
        await self.until(lambda: begun.exists() and begun.read_text())
        await self.streams.end("nobody")
        self.assertFalse(sending.called)
        await self.streams.end("i")
        self.assertIn("ended", await self.failure(sending))
        await self.until(lambda: not runs(begun.read_text().strip()))
        await self.failure(receiving)
        await self.streams.end("j")


class ForeignTests(Carrying, StreamCase):
    """Between clusters, whose nodes know each other's keys by name and nothing else."""

    async def carry(self, source: Any, sink: Any, compress: str = "none", by: Any = None) -> None:
        """As in this cluster."""
        there, here_ = await self.pair()
        port = await self.streams.open("i", "secret", sink, compress, there, patience=60.0)
        sender = by or self.streams
        sent = sender.send("i", Listener(host="127.0.0.1", port=port), "secret", source, compress, here_)
        both = [Deferred.fromCoroutine(sent), Deferred.fromCoroutine(self.taken())]
        ended: list[tuple[bool, Any]] = await DeferredList(both, consumeErrors=True)
        if all(well for well, _ in ended):
            await self.remembered(port, here_)
        await self.streams.end("i")
        for well, failure in ended:
            if not well:
                failure.raiseException()

    async def taken(self) -> None:
        """All has come, and the other end is told so, however often that is asked for."""
        await self.streams.wait("secret")
        for _ in range(2):
            await self.streams.confirm("i", "secret")

    async def pair(self) -> tuple[Foreign, Foreign]:
        """What a receiver and a sender know each other by."""
        certificates = Certificates(self.folder / "crypto", time.time, deferToThread)
        made = [await certificates.make("n", 600.0) for _ in range(2)]
        files = [await certificates.files(name) for name, _ in made]
        one, two = (
            Foreign(certificate=cert, key=key, peer=peer)
            for (cert, key), (_, peer) in zip(files, reversed(made), strict=True)
        )
        return one, two

    async def remembered(self, port: int, known: Foreign) -> None:
        """An agent after this one knows that all was sent, and received, until nobody asks any more."""
        next_one = self._streams(Role.NODE, "one")
        await next_one.clean()
        nothing = {"kind": "file", "path": "/nowhere"}
        await next_one.confirm("i", "secret")
        await next_one.send("i", Listener(host="127.0.0.1", port=port), "secret", nothing, "none", known)
        await self.failure(next_one.confirm("j", "secret"))
        await next_one.end("i")
        await self.failure(next_one.confirm("i", "secret"))

    async def test_not_confirmed(self) -> None:
        """Until it is confirmed that all is stored the sender waits; where it never is the sender fails."""
        target = self.folder / "dump"
        source = {"kind": "file", "path": self.file("source", b"x")}
        there, known = await self.pair()
        port = await self.streams.open("i", "secret", {"kind": "new", "path": str(target)}, "none", there)
        to = Listener(host="127.0.0.1", port=port)
        sending = Deferred.fromCoroutine(self.streams.send("s", to, "secret", source, "none", known))
        await self.streams.wait("secret")
        self.assertEqual(target.read_bytes(), b"x")
        self.assertFalse(sending.called)
        await self.streams.end("i")
        self.assertIn("did not say that it has stored", await self.failure(sending))
        await self.failure(self.streams.confirm("i", "secret"))
        await self.streams.end("s")

    async def test_strangers(self) -> None:
        """Only who has the very key may send, and only to who has the other; own nodes may not."""
        source = {"kind": "file", "path": self.file("source", b"x")}
        sink = {"kind": "new", "path": str(self.folder / "dump")}
        there, known = await self.pair()
        other, stranger = await self.pair()
        port = await self.streams.open("i", "secret", sink, "none", there)
        to = Listener(host="127.0.0.1", port=port)
        swapped = Foreign(certificate=known.certificate, key=known.key, peer=stranger.peer)
        for token, foreign in (
            ("secret", stranger),
            ("sixsix", known),
            ("secret", swapped),
            ("secret", None),
        ):
            await self.failure(self.streams.send("s", to, token, source, "none", foreign))
            await self.streams.end("s")
        self.assertFalse((self.folder / "dump").exists())
        sending = Deferred.fromCoroutine(self.streams.send("i", to, "secret", source, "none", known))
        await self.taken()
        await sending
        self.assertEqual((self.folder / "dump").read_bytes(), b"x")
        self.assertNotEqual(other.certificate, there.certificate)

    async def test_nobody_comes(self) -> None:
        """A receiver nobody connects to gives up."""
        there, _ = await self.pair()
        await self.streams.open("i", "secret", {"kind": "nothing"}, "none", there, patience=0.2)
        self.assertIn("did not appear", await self.failure(self.streams.wait("secret")))
