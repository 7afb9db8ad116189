"""The steps about exports, and about bytes of disks that go from node to node."""

from collections.abc import Callable, Coroutine, Mapping
from typing import Any

from twisted_rapi.agent.certificates import Certificates
from twisted_rapi.agent.disks import DiskSteps
from twisted_rapi.agent.exports import Exports
from twisted_rapi.agent.interface import Foreign, IStreams, Listener
from twisted_rapi.agent.parts import Parts
from twisted_rapi.errors import StepFailed
from twisted_rapi.model import rbd, steps
from twisted_rapi.model.steps import DumpEnd, Outcome, ScriptEnd, Step, VolumeEnd

Handler = Callable[[Any], Coroutine[Any, Any, Outcome]]

FILES = ("file", "sharedfile")
MIB = 1024 * 1024
NOTHING: Mapping[str, Any] = {"kind": "nothing"}

APART = (steps.AwaitStream, steps.SendStream)
"""Steps that take long and that nothing else waits for."""


class TransferSteps:
    """
    Carries them out.

    :ivar handlers: by type of step.
    """

    def __init__(self, parts: Parts, disks: DiskSteps) -> None:
        self._parts, self._disks = parts, disks
        self.handlers: Mapping[type[Step], Handler] = {
            steps.OpenStream: self._open,
            steps.AwaitStream: self._await,
            steps.ConfirmStream: self._confirm,
            steps.SendStream: self._send,
            steps.EndStreams: self._end,
            steps.BeginExport: self._begin_export,
            steps.FinishExport: self._finish_export,
            steps.RemoveExport: self._remove_export,
            steps.ReadExport: self._read_export,
            steps.CreateCertificate: self._create_certificate,
            steps.RemoveCertificate: self._remove_certificate,
        }

    @property
    def _streams(self) -> IStreams:
        if self._parts.streams is None:
            raise StepFailed("this node sends and receives no disks", "stream")
        return self._parts.streams

    @property
    def _exports(self) -> Exports:
        if self._parts.exports is None:
            raise StepFailed("this node keeps no exports", "storage")
        return self._parts.exports

    @property
    def _certificates(self) -> Certificates:
        if self._parts.certificates is None:
            raise StepFailed("this node keeps no keys", "storage")
        return self._parts.certificates

    async def _foreign(self, step: steps.OpenStream | steps.SendStream) -> Foreign | None:
        """What the two ends know each other by, when the other one is of another cluster."""
        if not step.key:
            return None
        certificate, key = await self._certificates.files(step.key)
        return Foreign(certificate=certificate, key=key, peer=step.peer)

    async def _open(self, step: steps.OpenStream) -> Outcome:
        foreign = await self._foreign(step)
        sink = await self._described(step.into, target=True)
        port = await self._streams.open(
            step.instance, step.token, sink, step.compress, foreign, step.patience
        )
        return Outcome(port=port)

    async def _await(self, step: steps.AwaitStream) -> Outcome:
        await self._streams.wait(step.token)
        return Outcome()

    async def _confirm(self, step: steps.ConfirmStream) -> Outcome:
        await self._streams.confirm(step.instance, step.token)
        return Outcome()

    async def _send(self, step: steps.SendStream) -> Outcome:
        foreign = await self._foreign(step)
        source = await self._described(step.source, target=False)
        to = Listener(host=step.host, port=step.port, name=step.name)
        await self._streams.send(step.instance, to, step.token, source, step.compress, foreign)
        return Outcome()

    async def _end(self, step: steps.EndStreams) -> Outcome:
        if self._parts.streams is not None:
            await self._parts.streams.end(step.instance)
        return Outcome()

    async def _described(self, end: steps.StreamEnd, target: bool) -> Mapping[str, Any]:
        """One end of a stream as `IStreams` wants it."""
        match end:
            case VolumeEnd():
                [path] = await self._disks.paths((end.disk,))
                return self._volume(end, path, target)
            case ScriptEnd():
                paths = await self._disks.paths(end.domain.disks)
                direction: Any = "import" if target else "export"
                call = await self._parts.os_runner.disk_script(direction, end.domain, end.index, paths)
                return {"kind": "script", **call}
            case DumpEnd():
                if target:
                    return {"kind": "new", "path": self._exports.new_dump(end.export, end.file)}
                return {"kind": "file", "path": self._exports.dump(end.export, end.file)}

    def _volume(self, end: VolumeEnd, path: str, target: bool) -> Mapping[str, Any]:
        filed = end.disk.template in FILES
        if self._parts.simulated is not None and not filed:
            return NOTHING  # its volumes are notes
        if path.startswith(rbd.PREFIX):
            raise StepFailed(
                f"{path} is no device of the node: with kernelspace it could be copied", "stream"
            )
        if not target:
            return {"kind": "file", "path": path}
        # From a simulated volume nothing comes: the file stays as empty as it was made.
        note = {"empty": True} if self._parts.simulated is not None else {}
        return {"kind": "file", "path": path, "sparse": filed, "most": end.disk.size * MIB, **note}

    async def _begin_export(self, step: steps.BeginExport) -> Outcome:
        await self._exports.begin(step.export)
        return Outcome()

    async def _finish_export(self, step: steps.FinishExport) -> Outcome:
        await self._exports.finish(step.export, step.config)
        return Outcome()

    async def _remove_export(self, step: steps.RemoveExport) -> Outcome:
        if step.half:
            await self._exports.abandon(step.export)
        else:
            await self._exports.remove(step.export)
        return Outcome()

    async def _read_export(self, step: steps.ReadExport) -> Outcome:
        return Outcome(text=await self._exports.config(step.path))

    async def _create_certificate(self, step: steps.CreateCertificate) -> Outcome:
        name, certificate = await self._certificates.make(step.common_name, step.validity, step.name)
        return Outcome(path=name, text=certificate)

    async def _remove_certificate(self, step: steps.RemoveCertificate) -> Outcome:
        await self._certificates.remove(step.name)
        return Outcome()
