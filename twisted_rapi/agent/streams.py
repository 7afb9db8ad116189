"""Bytes of disks from node to node: each end is a process of its own (see `stream_worker`)."""

import hashlib
import json
import os
import shutil
import socket
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorProcess, IReactorSocket, IReactorTime
from zope.interface import implementer

from twisted_rapi.agent import stream_worker
from twisted_rapi.agent.interface import Foreign, IStreams, Listener
from twisted_rapi.agent.scripts import TOO_LATE, Scripts, Session
from twisted_rapi.agent.term import InThread
from twisted_rapi.agent.transfer import Line, Transfer, new_line
from twisted_rapi.errors import StepFailed
from twisted_rapi.rpc.authority import Role

RUN_TIME = 86400.0  # seconds a disk may take
LINES_TOLD = 20
LOG_READ = 64 * 1024
_NOTHING = "nothing is received under this token"


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
    :param sockets: for the lines to receivers, without which nothing comes from other clusters.
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
        sockets: IReactorSocket | None = None,
    ) -> None:
        self._sockets = sockets
        self._credentials, self._host, self._in_thread = credentials, host, in_thread
        self._folder, self._marks = state_dir / "streams", state_dir / "stream-marks"
        self._scripts = Scripts(state_dir / "stream-sessions", processes, clock, in_thread)
        self._receivers: dict[str, Transfer] = {}
        self._senders: dict[str, Transfer] = {}

    async def clean(self) -> None:
        """End what an agent before this one left running."""
        await self._scripts.clean()
        await self._in_thread(shutil.rmtree, self._folder, True)

    async def open(
        self,
        instance: str,
        token: str,
        sink: Mapping[str, Any],
        compress: str,
        foreign: Foreign | None = None,
        patience: float = 0.0,
    ) -> int:
        """See `IStreams.open`."""
        there = self._receivers.get(token)
        if there is not None:
            return there.port
        listener = _listener(self._host)
        port: int = listener.getsockname()[1]
        spec: dict[str, Any] = {"role": "receive", "token": token, "sink": dict(sink), "compress": compress}
        spec |= self._known_by(foreign, self._mark(instance, token, "received"))
        if patience:
            spec["patience"] = patience
        files, line = {3: listener}, None
        if foreign is not None:
            line, files[4] = self._new_line(listener)
        numbers = {n: file.fileno() for n, file in files.items()}
        work = Deferred.fromCoroutine(self._work(spec, numbers))
        receiver = self._receivers[token] = Transfer(instance, port, work, line)
        if line is not None:
            line.transfer = receiver
        work.addBoth(_closed, tuple(files.values())).addBoth(receiver.ended)
        return port

    def _new_line(self, listener: socket.socket) -> tuple[Line, socket.socket]:
        if self._sockets is None:
            listener.close()
            raise StepFailed("this node takes nothing from other clusters", "stream")
        return new_line(self._sockets)

    def _known_by(self, foreign: Foreign | None, mark: Path) -> dict[str, str]:
        """
        With which certificate this end shows itself, and which the other end is to have.

        The other cluster waits, or sends, once only: what came of that is marked.
        """
        if foreign is None:
            return {**attrs.asdict(self._credentials), "unit": Role.NODE.value}
        return {**attrs.asdict(foreign), "mark": str(mark)}

    def _mark(self, instance: str, token: str, what: str) -> Path:
        """The file that says that all was received, or sent."""
        return self._marks / _hashed(instance) / f"{what}-{_hashed(token)}"

    async def wait(self, token: str) -> None:
        """See `IStreams.wait`."""
        receiver = self._receivers.get(token)
        if receiver is None:
            raise StepFailed(_NOTHING, "stream")
        await receiver.whole()

    async def confirm(self, instance: str, token: str) -> None:
        """See `IStreams.confirm`."""
        receiver = self._receivers.get(token)
        if receiver is not None:
            await receiver.confirm()
        elif not await self._in_thread(self._mark(instance, token, "received").exists):
            raise StepFailed(_NOTHING, "stream")

    async def send(
        self,
        instance: str,
        to: Listener,
        token: str,
        source: Mapping[str, Any],
        compress: str,
        foreign: Foreign | None = None,
    ) -> None:
        """See `IStreams.send`."""
        mark = self._mark(instance, token, "sent")
        if token not in self._senders and await self._in_thread(mark.exists):
            return
        sender = self._senders.get(token)
        if sender is None:
            spec: dict[str, Any] = {"role": "send", "host": to.host, "port": to.port, "name": to.name}
            spec |= {"token": token, "source": dict(source), "compress": compress}
            work = Deferred.fromCoroutine(self._work(spec | self._known_by(foreign, mark), {}))
            sender = self._senders[token] = Transfer(instance, to.port, work)
            work.addBoth(sender.ended)
        await sender.judged()

    async def end(self, instance: str) -> None:
        """See `IStreams.end`."""
        for transfers in (self._receivers, self._senders):
            for token, transfer in list(transfers.items()):
                if transfer.instance == instance:
                    transfer.work.cancel()
                    await transfer.end()
                    transfers.pop(token, None)
        await self._in_thread(shutil.rmtree, self._marks / _hashed(instance), True)

    async def _work(self, spec: Mapping[str, Any], files: Mapping[int, int]) -> None:
        """
        One process from beginning to end.

        :raises StepFailed: with the last lines it printed.
        """
        folder = await self._in_thread(_prepare, self._folder, spec)
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


def _hashed(text: str) -> str:
    """A file's name for any text."""
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _closed(result: Any, files: Sequence[socket.socket]) -> Any:
    for file in files:
        file.close()
    return result


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
