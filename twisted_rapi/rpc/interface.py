"""What a node agent offers the master, and its contract."""

from collections.abc import Callable

from zope.interface import Attribute, Interface

from twisted_rapi.model.seen import Sighting
from twisted_rapi.model.steps import Outcome, Step

PROTOCOL_VERSION = 1


class INodeAgent(Interface):
    """One node, as the master knows it.  Every call carries the master's term."""

    async def perform(step: Step, term: int) -> Outcome:
        """
        Carry a step out.

        Steps of one instance are carried out one at a time in the order they arrive.  A caller that goes
        away (or is cancelled) does not stop the step, unless it is a look at Ceph, which changes nothing.

        :raises StepFailed: it was tried and failed.
        :raises StaleTerm: the agent has heard of a higher term; nothing was done.
        :raises NodeUnreachable: no answer within `twisted_rapi.model.steps.deadline`; it may have been done.
        :raises ProtocolMismatch: it speaks another version of the protocol.
        """

    async def watch(term: int, seen: Callable[[Sighting], None]) -> None:
        """
        Call `seen` with a `FullReport` at once, then with every change as it happens, and at least a
        `Heartbeat` each second.  Ends only by raising; cancelling ends it.

        :raises StaleTerm: the agent has heard of a higher term.
        :raises NodeUnreachable: the connection is lost, or was silent for 3 seconds.
        :raises ProtocolMismatch: it speaks another version of the protocol.
        """


class INodes(Interface):
    """All nodes of the cluster, as the master reaches and sees them."""

    reports = Attribute("Mapping from node uuid to the `NodeReport` of those that answer.")

    async def perform(node: str, step: Step, patience: float = 0.0, offline: bool = False) -> Outcome:
        """
        Carry a step out on the node with this uuid.

        :param patience: seconds to wait, in all, for a node that does not answer to come back; the step is
            sent again then.
        :param offline: whether it is also sent to a node that is marked offline, as a `Ping` always is.
        :raises NodeUnreachable: it did not answer, or there is no such node, or it is marked offline
            and nothing is to be sent to it then.
        :raises NoTerm: no term is held now, whatever the node; nothing was sent.
        :raises StepFailed, StaleTerm, ProtocolMismatch: as `INodeAgent.perform`.
        """

    def age(node: str) -> float | None:
        """Seconds since the node was last heard of; ``None`` for never."""

    def observe(observer: Callable[[str], None]) -> Callable[[], None]:
        """
        Call `observer` with a node's uuid whenever its report changes or it comes or goes.

        Answers how to end that.
        """
