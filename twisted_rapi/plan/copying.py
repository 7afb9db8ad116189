"""Bytes of disks that go from one node to another: what both are asked to do, and how it is taken back."""

from collections.abc import Sequence

import attrs

from twisted_rapi.errors import prereq
from twisted_rapi.model.records import InstanceRecord, NodeRecord
from twisted_rapi.model.steps import AwaitStream, EndStreams, OpenStream, SendStream, StreamEnd
from twisted_rapi.plan.stage import Do, InParallel, Progress
from twisted_rapi.plan.view import View

COMPRESSION = ("gzip", "gzip-fast", "gzip-slow")
"""What this release can compress with, all as gzip does."""


@attrs.frozen(kw_only=True)
class Copy:
    """
    What is to be copied.

    :ivar source, target: uuids of nodes.
    :ivar token: a secret of this attempt; each disk has one of its own made of it.
    :ivar ends: per disk where its bytes come from and where they go.
    """

    instance: str
    source: str
    target: str
    token: str
    ends: tuple[tuple[StreamEnd, StreamEnd], ...]
    compress: str = "none"

    def openings(self) -> tuple[Do, ...]:
        """Have the target listen; the outcomes have the ports."""
        return tuple(
            Do(
                self.target,
                OpenStream(instance=self.instance, token=self._token(n), into=into, compress=self.compress),
            )
            for n, (_, into) in enumerate(self.ends)
        )

    def transfers(self, view: View, progress: Progress) -> InParallel:
        """
        Send everything, once `openings` were the last steps that were carried out.

        Both ends are waited for: each knows best what went wrong with it.
        """
        count = len(self.ends)
        ports = [outcome.port if outcome is not None else 0 for outcome in progress.outcomes[-count:]]
        node = view.nodes[self.target]
        works: list[Do] = []
        for n, ((source, _), port) in enumerate(zip(self.ends, ports, strict=True)):
            send = SendStream(
                instance=self.instance,
                token=self._token(n),
                source=source,
                host=node.agent_host,
                name=node.agent_host,
                port=port,
                compress=self.compress,
            )
            wait = AwaitStream(instance=self.instance, token=self._token(n))
            works += [Do(self.source, send), Do(self.target, wait)]
        return InParallel(tuple(works))

    def ending(self) -> tuple[Do, ...]:
        """Have nobody listen any more: what an earlier attempt sends is not taken."""
        return (Do(self.target, EndStreams(instance=self.instance)),)

    def ended(self) -> tuple[Do, ...]:
        """Have nobody send any more: nothing reads the source afterwards."""
        return (Do(self.source, EndStreams(instance=self.instance)),)

    def _token(self, n: int) -> str:
        return f"{self.token}-{n}"


def new_token(view: View) -> str:
    """A secret nobody can guess."""
    return f"{view.chance.getrandbits(160):040x}"


def check_compression(view: View, compress: str) -> None:
    """
    Whether disks can be compressed so on their way.

    :raises OpPrereqError: ``wrong_input``.
    """
    allowed = ("none", *(tool for tool in view.cluster.compression_tools if tool in COMPRESSION))
    if compress not in allowed:
        raise prereq(f"Compression tool '{compress}' is not one of {', '.join(allowed)}")


def check_machines(view: View, instance: InstanceRecord, source: NodeRecord, target: NodeRecord) -> None:
    """
    Whether the files of two nodes are different ones: agents on one machine see the same.

    :raises OpPrereqError: ``environment_error``.
    """
    boots: Sequence[str] = [view.reports[n.uuid].boot_id for n in (source, target) if n.uuid in view.reports]
    if instance.disk_template == "file" and len(boots) == 2 and boots[0] and boots[0] == boots[1]:
        raise prereq(
            f"Nodes {source.name} and {target.name} are one machine: they have the same files",
            "environment_error",
        )
