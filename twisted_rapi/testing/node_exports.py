"""Exports of a node in memory, and the streams by which disks come and go."""

from collections.abc import Callable

import attrs

from twisted_rapi.errors import StepFailed
from twisted_rapi.model import steps
from twisted_rapi.model.steps import Outcome, Step
from twisted_rapi.testing.certificates import self_signed
from twisted_rapi.testing.node_disks import NodeDisks

TRANSFERS = (
    *(steps.OpenStream, steps.SendStream, steps.AwaitStream, steps.ConfirmStream, steps.EndStreams),
    *(steps.BeginExport, steps.FinishExport, steps.RemoveExport, steps.ReadExport),
    *(steps.CreateCertificate, steps.RemoveCertificate),
)


@attrs.define(eq=False)
class NodeExports(NodeDisks):
    """
    A node's disks, and what they are sent to and made from.

    :ivar exports: configurations by name; `half_exports`: those being made.
    :ivar streams: by token the instance it listens for, and whether everything has come.
    :ivar known: by token of a stream from another cluster, this end's certificate and the other's.
    :ivar sent: by token the instance all was sent of; `keys`: certificates by name.
    :ivar acked: tokens whose sender in another cluster knows that all is stored.
    :ivar awaited: called when something that has not come yet is waited for; `confirming`: when the sender of
        a token is to be told.
    """

    exports: dict[str, str] = attrs.field(factory=dict)
    half_exports: set[str] = attrs.field(factory=set)
    streams: dict[str, tuple[str, bool]] = attrs.field(factory=dict)
    known: dict[str, tuple[str, str]] = attrs.field(factory=dict)
    sent: dict[str, str] = attrs.field(factory=dict)
    keys: dict[str, str] = attrs.field(factory=dict)
    acked: set[str] = attrs.field(factory=set)
    awaited: Callable[[], object] = lambda: None
    confirming: Callable[[], object] = lambda: None

    def on_transfers(self, step: Step) -> Outcome:
        """Carry out one of `TRANSFERS`."""
        match step:
            case steps.OpenStream():
                return self._listen(step)
            case steps.SendStream():
                self._send(step)
            case steps.AwaitStream():
                if not self.whole(step.token):
                    self.awaited()
                if not self.whole(step.token):
                    raise StepFailed("nothing came", "stream")
            case steps.ConfirmStream():
                self._confirm(step.token)
            case steps.EndStreams():
                self.streams = {t: s for t, s in self.streams.items() if s[0] != step.instance}
                self.sent = {t: i for t, i in self.sent.items() if i != step.instance}
                self.acked &= self.streams.keys()
            case steps.CreateCertificate():
                return self._new_key(step)
            case steps.RemoveCertificate():
                self.keys.pop(step.name, None)
            case _:
                return self._on_exports(step)
        return Outcome()

    def whole(self, token: str) -> bool:
        """Whether all has come under this token."""
        return self.streams.get(token, ("", False))[1]

    def _confirm(self, token: str) -> None:
        if not self.whole(token):
            raise StepFailed("nothing is received", "stream")
        if token not in self.acked:
            self.confirming()
        if token not in self.acked:
            raise StepFailed("the other end is gone", "stream")

    def arrive(self) -> None:
        """Everything that is listened for from other clusters has come; who sent it waits."""
        self.streams.update({t: (self.streams[t][0], True) for t in self.known if t in self.streams})

    def _listen(self, step: steps.OpenStream) -> Outcome:
        if isinstance(step.into, steps.DumpEnd) and step.into.export not in self.half_exports:
            raise StepFailed("there is no export to write to", "storage")
        if step.key:
            self.known[step.token] = (self._key(step.key), step.peer)
        self.streams.setdefault(step.token, (step.instance, False))
        return Outcome(port=4321)

    def _key(self, name: str) -> str:
        if name not in self.keys:
            raise StepFailed(f"there is no key {name}", "storage")
        return self.keys[name]

    def _new_key(self, step: steps.CreateCertificate) -> Outcome:
        name = step.name or f"x509-{len(self.keys)}"
        if name not in self.keys:
            self.keys[name] = self_signed(step.common_name)
        return Outcome(path=name, text=self.keys[name])

    def _send(self, step: steps.SendStream) -> None:
        if step.token in self.sent:
            return
        everywhere = (*self.shared.nodes.values(), *self.shared.abroad)
        listening = [n for n in everywhere if step.token in n.streams and not n.down]
        if not listening:
            raise StepFailed("nobody listens", "stream")
        there = listening[0]
        if step.key:
            if there.known[step.token] != (step.peer, self._key(step.key)):
                raise StepFailed("the other end has another certificate", "stream")
            if not there.whole(step.token):
                raise StepFailed("it was not said that all is stored", "stream")
            there.acked.add(step.token)
        if isinstance(step.source, steps.VolumeEnd):
            self.path_of(step.source.disk)
        there.streams[step.token] = (there.streams[step.token][0], True)
        self.sent[step.token] = step.instance

    def _on_exports(self, step: Step) -> Outcome:
        match step:
            case steps.BeginExport():
                self.half_exports.add(step.export)
            case steps.FinishExport():
                if step.export in self.half_exports:
                    self.half_exports.discard(step.export)
                    self.exports[step.export] = step.config
                elif self.exports.get(step.export) != step.config:
                    raise StepFailed("it has not been begun", "storage")
            case steps.RemoveExport():
                self.half_exports.discard(step.export)
                if not step.half:
                    self.exports.pop(step.export, None)
            case steps.ReadExport():
                if step.path not in self.exports:
                    raise StepFailed(f"there is no export in {step.path}", "storage")
                return Outcome(text=self.exports[step.path])
        return Outcome()
