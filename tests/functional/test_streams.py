"""Bytes of disks between two agents' ends: real processes, sockets and certificates."""

import os
import random
import time
from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase
from zope.interface.verify import verifyObject

from twisted_rapi.agent.interface import IStreams
from twisted_rapi.agent.streams import Credentials, Streams
from twisted_rapi.errors import StepFailed
from twisted_rapi.rpc.authority import Role, issue, new_authority, new_key, new_request
from twisted_rapi.testing.processes import await_true

CLOCK: Any = reactor
MIB = 1024 * 1024


class StreamTests(TestCase):
    """`IStreams` by processes."""

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
        made = Streams(self.credentials[role], self.folder / name, CLOCK, CLOCK, deferToThread, "127.0.0.1")
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
        sent = (by or self.streams).send("127.0.0.1", "127.0.0.1", port, "secret", source, compress)
        both = [Deferred.fromCoroutine(sent), Deferred.fromCoroutine(self.streams.wait("secret"))]
        ended: list[tuple[bool, Any]] = await DeferredList(both, consumeErrors=True)
        await self.streams.end("i")
        for well, failure in ended:
            if not well:
                failure.raiseException()

    async def failure(self, work: Any) -> str:
        """Why it fails."""
        try:
            await work
        except StepFailed as e:
            return e.text
        self.fail("it did not fail")
        raise AssertionError

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

    async def test_strangers(self) -> None:
        """Only nodes may send, and only with the token; others are turned away and hurt nobody."""
        sink = {"kind": "new", "path": str(self.folder / "dump")}
        source = {"kind": "file", "path": self.file("source", b"x")}
        port = await self.streams.open("i", "secret", sink, "none")
        master = self._streams(Role.MASTER, "two")
        for streams, token in ((master, "secret"), (self.streams, "sixsix")):
            await self.failure(streams.send("127.0.0.1", "127.0.0.1", port, token, source, "none"))
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
        await self.failure(self.streams.send("127.0.0.1", "127.0.0.1", port, "secret", source, "none"))
        await_true("nothing is left", lambda: not list((self.folder / "one" / "stream-sessions").glob("*")))
        self.assertIn("nothing is received", await self.failure(self.streams.wait("secret")))
