"""What the agent asks of the parts it does not share with the master."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import attrs
from zope.interface import Interface

from twisted_rapi.model.seen import OsSeen
from twisted_rapi.model.steps import DomainSpec, FenceNode, RunAllocator, RunHooks, RunOs


class IHookRunner(Interface):
    """The scripts of this node that are run before and after operations (behaviour.md §9)."""

    async def folders() -> tuple[str, ...]:
        """Paths and phases that have scripts, such as ``instance-start-pre``, sorted."""

    async def run(step: RunHooks) -> tuple[tuple[str, bool, str], ...]:
        """
        Run the scripts of a path and phase one after the other, whatever becomes of each.

        Answers name, success and output of each, in byte order of the names.  None outlives the agent.

        :raises StepFailed: kind ``os``: scripts cannot be run here at all.
        """

    def observe(changed: Callable[[], None]) -> Callable[[], None]:
        """
        Call `changed` when `folders` may have changed, as far as that is noticed.

        Answers how to end that.
        """


class IFencer(Interface):
    """A way to have the machine of another node be off, and to know that it is."""

    async def fence(step: FenceNode) -> str:
        """
        Have it be off, if it is not; answers how that is known.

        It answers only with proof: the machine was seen to be off after this was called.  It may be called
        again at any time, also while it is at work, here or on another node.

        :raises StepFailed: kind ``fencing``: it is not known to be off within `FenceNode.seconds`, and why;
            never with a password in it.  It may be off nevertheless.
        """


class IOsRunner(Interface):
    """The OS definitions of this node (behaviour.md §8)."""

    async def discover() -> tuple[OsSeen, ...]:
        """All definitions of the search path, those that cannot be used included, by name."""

    async def verify(os: str, osparams: Mapping[str, Any]) -> None:
        """
        Have the definition check parameters.

        :param os: the definition's name, with ``+variant`` where one is chosen.
        :raises StepFailed: kind ``os``: there is no such definition, or it does not take the parameters.
        """

    async def disk_script(
        direction: Literal["import", "export"], domain: DomainSpec, index: int, paths: Sequence[str]
    ) -> Mapping[str, Any]:
        """
        How the definition's script for one disk is run: ``command``, ``environment`` and ``folder``.

        :raises StepFailed: kind ``os``: there is no such definition.
        """

    async def run(step: RunOs, paths: Sequence[str]) -> None:
        """
        Run one of the definition's scripts for an instance.

        :param paths: where the instance's disks are, in their order.
        :raises StepFailed: kind ``os``: with the last lines the script printed.
        """


@attrs.frozen(kw_only=True)
class Resolved:
    """
    What a name stands for.

    :ivar name: in full; `addresses`: where it is, none if it does not resolve.
    :ivar reason: why it does not, in the system's words.
    """

    name: str = ""
    addresses: tuple[str, ...] = ()
    reason: str = ""


class INames(Interface):
    """Names and addresses, as this node finds them."""

    async def resolve(name: str, family: int) -> Resolved:
        """What the name stands for, among addresses of this family (4, 6)."""

    async def answers(address: str, port: int) -> bool:
        """
        Whether somebody is at the address: one who refuses the connection is, one who says nothing is not.

        :raises StepFailed: kind ``network``: it cannot be tried.
        """


class IAllocators(Interface):
    """The allocator scripts of this node (behaviour.md §7)."""

    async def names() -> tuple[str, ...]:
        """Those of the search path that can be run, by name."""

    async def run(step: RunAllocator) -> str:
        """
        What the script of this name printed on its standard output.

        :raises StepFailed: kind ``allocator``: there is no such script, it exited with another status than 0
            (the text has the last lines it printed), or took too long.
        """


@attrs.frozen(kw_only=True)
class Foreign:
    """
    What two ends of different clusters know each other by, instead of the nodes' certificates.

    :ivar certificate: files: this end's certificate and its key.
    :ivar peer: the certificate of the other end, as PEM.
    """

    certificate: str
    key: str
    peer: str


@attrs.frozen(kw_only=True)
class Listener:
    """
    Where somebody listens.

    :ivar name: what its certificate is for; empty where that is not to be looked at.
    """

    host: str
    port: int
    name: str = ""


class IStreams(Interface):
    """
    The bytes of disks on their way from node to node, over TLS with certificates on both sides.

    Both ends are nodes of this cluster, or know each other as `Foreign`.  Where the bytes come from
    (`source`) and go to (`sink`) is said as `stream_worker` wants it.
    """

    async def open(
        instance: str,
        token: str,
        sink: Mapping[str, Any],
        compress: str,
        foreign: Foreign | None = None,
        patience: float = 0.0,
    ) -> int:
        """
        Listen for who has this token, and store what comes; answers the port.

        The same token again is the same port.

        :param patience: seconds the other end has to appear; 0: the usual.
        """

    async def wait(token: str) -> None:
        """
        Wait until all that came is stored; cancelling ends the wait only.

        :raises StepFailed: kind ``stream``: it is not, and will not be.
        """

    async def confirm(instance: str, token: str) -> None:
        """
        Have the other cluster know that all is stored; until then its sender waits.

        That it knows is remembered, also beyond the agent's end, until `end`.

        :raises StepFailed: kind ``stream``: it may not know.
        """

    async def send(
        instance: str,
        to: Listener,
        token: str,
        source: Mapping[str, Any],
        compress: str,
        foreign: Foreign | None = None,
    ) -> None:
        """
        Send all of `source`, and wait until it is stored; cancelling ends the wait only.

        The same token again, until `end`, is the same transfer: it is waited for, and not made anew.  That
        all was sent to another cluster is remembered beyond the agent's end.

        :raises StepFailed: kind ``stream``: it is not stored.
        """

    async def end(instance: str) -> None:
        """
        No longer listen or send for the instance; nothing is read or written any more afterwards.

        What was sent and received for it is forgotten.
        """
