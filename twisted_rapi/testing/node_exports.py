"""Exports of a node in memory, and the streams by which disks come and go."""

import attrs

from twisted_rapi.errors import StepFailed
from twisted_rapi.model import steps
from twisted_rapi.model.steps import Outcome, Step
from twisted_rapi.testing.node_disks import NodeDisks

TRANSFERS = (
    *(steps.OpenStream, steps.SendStream, steps.AwaitStream, steps.EndStreams),
    *(steps.BeginExport, steps.FinishExport, steps.RemoveExport, steps.ReadExport, steps.CreateCertificate),
)


@attrs.define(eq=False)
class NodeExports(NodeDisks):
    """
    A node's disks, and what they are sent to and made from.

    :ivar exports: configurations by name; `half_exports`: those being made.
    :ivar streams: by token the instance it listens for, and whether everything has come.
    """

    exports: dict[str, str] = attrs.field(factory=dict)
    half_exports: set[str] = attrs.field(factory=set)
    streams: dict[str, tuple[str, bool]] = attrs.field(factory=dict)

    def on_transfers(self, step: Step) -> Outcome:
        """Carry out one of `TRANSFERS`."""
        match step:
            case steps.OpenStream():
                if isinstance(step.into, steps.DumpEnd) and step.into.export not in self.half_exports:
                    raise StepFailed("there is no export to write to", "storage")
                self.streams.setdefault(step.token, (step.instance, False))
                return Outcome(port=4321)
            case steps.SendStream():
                self._send(step)
            case steps.AwaitStream():
                if not self.streams.get(step.token, ("", False))[1]:
                    raise StepFailed("nothing came", "stream")
            case steps.EndStreams():
                self.streams = {t: s for t, s in self.streams.items() if s[0] != step.instance}
            case _:
                return self._on_exports(step)
        return Outcome()

    def _send(self, step: steps.SendStream) -> None:
        listening = [n for n in self.shared.nodes.values() if step.token in n.streams and not n.down]
        if not listening:
            raise StepFailed("nobody listens", "stream")
        if isinstance(step.source, steps.VolumeEnd):
            self.path_of(step.source.disk)
        listening[0].streams[step.token] = (step.instance, True)

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
            case steps.CreateCertificate():
                return Outcome(path="x509-1", text=f"certificate of {step.common_name}\n")
            case steps.ReadExport():
                if step.path not in self.exports:
                    raise StepFailed(f"there is no export in {step.path}", "storage")
                return Outcome(text=self.exports[step.path])
        return Outcome()
