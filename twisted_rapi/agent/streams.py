"""Bytes of disks from node to node: each end is a process of its own (see `stream_worker`)."""

import json
import os
import shutil
import socket
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorProcess, IReactorTime
from twisted.python.failure import Failure
from zope.interface import implementer

from twisted_rapi.agent import stream_worker
from twisted_rapi.agent.interface import IStreams
from twisted_rapi.agent.scripts import TOO_LATE, Scripts, Session
from twisted_rapi.agent.term import InThread
from twisted_rapi.errors import StepFailed
from twisted_rapi.rpc.authority import Role

RUN_TIME = 86400.0  # seconds a disk may take
LINES_TOLD = 20
LOG_READ = 64 * 1024


@attrs.define(eq=False)
class _Receiver:
    """
    One end that listens.

    :ivar work: the process.
    :ivar result: when it has ended, why it failed; ``None`` in it when it did not.
    :ivar waiting: who waits for its end.
    """

    instance: str
    port: int
    work: Deferred[None]
    result: tuple[str | None] | None = None
    waiting: list[Deferred[None]] = attrs.field(factory=list)

    async def end(self) -> None:
        """Wait until it has ended."""
        if self.result is None:
            waiting: Deferred[None] = Deferred()
            self.waiting.append(waiting)
            await waiting


@attrs.frozen(kw_only=True)
class Credentials:
    """Files: the node's certificate, its key, and the authority the other end's certificate is of."""

    certificate: str
    key: str
    authority: str


@implementer(IStreams)
class Streams:
    """
    `IStreams` by processes.

    :param credentials: with which nodes know each other.
    :param state_dir: what the processes are told is kept below while they run.
    """

    def __init__(
        self,
        credentials: Credentials,
        state_dir: Path,
        processes: IReactorProcess,
        clock: IReactorTime,
        in_thread: InThread,
        host: str = "",
    ) -> None:
        self._credentials, self._host, self._in_thread = credentials, host, in_thread
        self._folder = state_dir / "streams"
        self._scripts = Scripts(state_dir / "stream-sessions", processes, clock, in_thread)
        self._receivers: dict[str, _Receiver] = {}

    async def clean(self) -> None:
        """End what an agent before this one left running."""
        await self._scripts.clean()
        await self._in_thread(shutil.rmtree, self._folder, True)

    async def open(self, instance: str, token: str, sink: Mapping[str, Any], compress: str) -> int:
        """See `IStreams.open`."""
        there = self._receivers.get(token)
        if there is not None:
            return there.port
        listener = _listener(self._host)
        port: int = listener.getsockname()[1]
        spec = {"role": "receive", "token": token, "sink": dict(sink), "unit": Role.NODE.value}
        work = Deferred.fromCoroutine(self._work({**spec, "compress": compress}, {3: listener.fileno()}))
        receiver = self._receivers[token] = _Receiver(instance, port, work)
        work.addBoth(self._ended, receiver, listener)
        return port

    def _ended(self, result: Any, receiver: _Receiver, listener: socket.socket) -> None:
        listener.close()
        why: str | None = None
        if isinstance(result, Failure):
            why = result.getErrorMessage() if not result.check(CancelledError) else "it was ended"
        receiver.result = (why,)
        waiting, receiver.waiting = receiver.waiting, []
        for d in waiting:
            if not d.called:
                d.callback(None)

    async def wait(self, token: str) -> None:
        """See `IStreams.wait`."""
        receiver = self._receivers.get(token)
        if receiver is None:
            raise StepFailed("nothing is received under this token", "stream")
        await receiver.end()
        assert receiver.result is not None
        [why] = receiver.result
        if why is not None:
            raise StepFailed(why, "stream")

    async def send(
        self, host: str, name: str, port: int, token: str, source: Mapping[str, Any], compress: str
    ) -> None:
        """See `IStreams.send`."""
        spec: dict[str, Any] = {"role": "send", "host": host, "port": port, "name": name, "token": token}
        spec |= {"source": dict(source), "compress": compress, "unit": Role.NODE.value}
        await self._work(spec, {})

    async def end(self, instance: str) -> None:
        """See `IStreams.end`."""
        for token, receiver in list(self._receivers.items()):
            if receiver.instance == instance:
                receiver.work.cancel()
                await receiver.end()
                self._receivers.pop(token, None)

    async def _work(self, spec: Mapping[str, Any], files: Mapping[int, int]) -> None:
        """
        One process from beginning to end.

        :raises StepFailed: with the last lines it printed.
        """
        whole = {**attrs.asdict(self._credentials), **spec}
        folder = await self._in_thread(_prepare, self._folder, whole)
        try:
            session = Session(
                command=(sys.executable, "-I", stream_worker.__file__, str(folder / "spec")),
                environment={"PATH": os.environ.get("PATH", ""), "RAPI_STREAM": folder.name},
                folder=str(folder),
                log=folder / "log",
                label=folder.name,
                mark=f"RAPI_STREAM={folder.name}",
                seconds=RUN_TIME,
                files=dict(files),
            )
            status = await self._scripts.run(session)
            if status:
                text = await self._in_thread(_last_lines, folder / "log")
                raise StepFailed("it took too long" if status == TOO_LATE else text, "stream")
        except OSError as e:
            raise StepFailed(f"the transfer could not be begun: {e.strerror}", "stream") from e
        finally:
            await self._in_thread(shutil.rmtree, folder, True)


def _listener(host: str) -> socket.socket:
    """A socket that takes connections at a free port; does not block."""
    family = socket.AF_INET6 if not host or ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    if not host:
        listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    listener.bind((host or "::", 0))
    listener.listen(8)
    return listener


# In threads.


def _prepare(parent: Path, spec: Mapping[str, Any]) -> Path:
    parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="stream-", dir=parent))
    (folder / "spec").write_text(json.dumps(spec), encoding="utf-8")
    return folder


def _last_lines(log: Path) -> str:
    try:
        with log.open("rb") as f:
            f.seek(max(0, f.seek(0, os.SEEK_END) - LOG_READ))
            return "\n".join(f.read().decode(errors="replace").splitlines()[-LINES_TOLD:])
    except OSError:
        return "it ended without a word"
