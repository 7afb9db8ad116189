"""
What a term does for the virtual networks: each node has them, the master's serves them, and leases are kept.

Note [Whom VXLANs lead to].  To every node that is not marked offline and not known to be dead.  A node whose
agent is silent may have guests that go on talking.
"""

from collections.abc import Callable
from ipaddress import ip_address
from typing import Any

import attrs
from msgspec.structs import replace
from twisted.application.service import Service
from twisted.internet.defer import CancelledError, Deferred, DeferredList
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from twisted_rapi.errors import RapiError
from twisted_rapi.model.fate import NodeFateRecord
from twisted_rapi.model.records import ClusterRecord, NodeRecord
from twisted_rapi.model.seen import NodeReport
from twisted_rapi.model.steps import MakeNetworks
from twisted_rapi.model.virtual_network import DhcpLeaseRecord, VirtualNetworkRecord
from twisted_rapi.rpc.interface import INodes
from twisted_rapi.state.interface import IStateStore
from twisted_rapi.state.snapshot import Observed, Snapshot
from twisted_rapi.state.writer import commit_of

SERVING = 60.0  # seconds a node keeps the gateways without being told again
RENEWED = SERVING / 3
RETRY = 10.0  # seconds between attempts at a node that cannot have its networks
AT_ONCE = 100  # leases in one commit
_ABOUT = (VirtualNetworkRecord, NodeRecord, NodeFateRecord, ClusterRecord)


@attrs.define(eq=False)
class _Node:
    """
    A node that answers.

    :ivar sent: what it has, without leases; ``None``: that is not known.
    :ivar again: when it is told again.
    """

    sent: MakeNetworks | None = None
    busy: Deferred[None] | None = None
    again: IDelayedCall | None = None
    trouble: str = ""

    def wait(self, clock: IReactorTime, seconds: float, look: Callable[[], None]) -> None:
        """Look again after a while."""
        self.rest()
        self.again = clock.callLater(seconds, look)

    def rest(self) -> None:
        """Not look again."""
        if self.again is not None and self.again.active():
            self.again.cancel()
        self.again = None


class NetworkDuty(Service):
    """
    Has nodes make the networks, for as long as a term lasts; leases that are seen are kept in the store.

    A node is told when it comes, when something changes, and, if it serves, again and again.

    :param names_at: where the names are answered, as dnsmasq has it; empty: nowhere.
    """

    _log = Logger()

    def __init__(
        self,
        store: IStateStore,
        snapshot: Snapshot,
        nodes: INodes,
        clock: IReactorTime,
        term: int,
        names_at: str = "",
    ) -> None:
        self._store, self._snapshot, self._nodes = store, snapshot, nodes
        self._clock, self._term, self._names_at = clock, term, names_at
        self._known: dict[str, _Node] = {}
        self._ends: list[Callable[[], None]] = []
        self._keeping: Deferred[Any] | None = None
        self._looked_at: object = None  # the leases a report had when they were last looked at
        self._networks: tuple[VirtualNetworkRecord, ...] = ()
        self._peers: tuple[str, ...] = ()

    def startService(self) -> None:
        """Begin."""
        super().startService()
        self._ends = [self._snapshot.observe(self._changed), self._nodes.observe(self._look_at)]
        self._gather()
        self._look()

    def stopService(self) -> Deferred[None]:
        """End; the next master's duty goes on, and until then all stays as it is."""
        super().stopService()
        ends, self._ends = self._ends, []
        for end in ends:
            end()
        busy: list[Deferred[Any]] = [node.busy for node in self._known.values() if node.busy is not None]
        busy += [] if self._keeping is None else [self._keeping]
        for node in self._known.values():
            node.rest()
        for d in busy:
            d.cancel()
        return DeferredList(busy, consumeErrors=True).addCallback(lambda _: None)

    def _changed(self, told: Observed) -> None:
        if any(isinstance(after or before, _ABOUT) for _, before, after in told):
            self._gather()
            self._look()
        elif any(isinstance(after or before, DhcpLeaseRecord) for _, before, after in told):
            self._keep()

    def _gather(self) -> None:
        snapshot = self._snapshot
        self._networks = tuple(sorted(snapshot.vnets.values(), key=lambda network: network.vni))
        dead = {uuid for uuid, fate in snapshot.fates.items() if fate.fate != "suspect"}
        living = (n for n in snapshot.nodes.values() if not n.offline and n.uuid not in dead)
        self._peers = tuple(sorted({node.primary_ip for node in living}, key=_in_order))

    def _look(self) -> None:
        for uuid in list(self._snapshot.nodes):
            self._look_at(uuid)
        self._keep()

    # Nodes.

    def wanted(self, uuid: str) -> MakeNetworks:
        """What a node is to have, without leases."""
        cluster = self._snapshot.cluster
        return MakeNetworks(
            instance="",
            local=self._snapshot.nodes[uuid].primary_ip,
            networks=self._networks,
            peers=self._peers,
            serving=SERVING if uuid == cluster.master_node and self._networks else 0.0,
            dns=self._names_at,
        )

    def _look_at(self, uuid: str) -> None:
        report = self._nodes.reports.get(uuid)
        node = self._known.get(uuid)
        if report is None or uuid not in self._snapshot.nodes:
            if node is not None:
                node.sent = None
                node.rest()
            return
        if node is None:
            if not self._networks and not _has_some(report):
                return
            node = self._known[uuid] = _Node()
        if uuid == self._snapshot.cluster.master_node and report.leases is not self._looked_at:
            self._looked_at = report.leases
            self._keep()
        if node.busy is None and self.running and node.sent != self.wanted(uuid) and not self._waits(node):
            self._begin(uuid, node)

    def _waits(self, node: _Node) -> bool:
        """Whether it has failed, and is tried again later."""
        return bool(node.trouble) and node.again is not None and node.again.active()

    def _begin(self, uuid: str, node: _Node) -> None:
        ready: Deferred[None] = Deferred()

        async def tell() -> None:
            await ready
            await self._tell(uuid, node)

        node.busy = busy = Deferred.fromCoroutine(tell())
        busy.addErrback(self._failed).addBoth(self._told, uuid, node)
        ready.callback(None)

    def _failed(self, failure: Failure) -> None:
        if failure.check(CancelledError) is None:
            self._log.failure("telling a node of its networks met a bug", failure)

    def _told(self, _: object, uuid: str, node: _Node) -> None:
        node.busy, self._looked_at = None, None
        if self.running:
            self._look_at(uuid)

    async def _tell(self, uuid: str, node: _Node) -> None:
        node.rest()
        wanted = self.wanted(uuid)
        leases = tuple(self._snapshot.dhcp_leases.values()) if wanted.serving else ()
        try:
            await self._nodes.perform(uuid, replace(wanted, leases=leases))
        except RapiError as e:
            self._note_trouble(uuid, node, str(e))
            return
        node.sent, node.trouble = wanted, ""
        if wanted.serving:
            node.wait(self._clock, RENEWED, lambda: self._again(uuid, node))

    def _note_trouble(self, uuid: str, node: _Node, text: str) -> None:
        if text != node.trouble:
            name = self._snapshot.nodes[uuid].name if uuid in self._snapshot.nodes else uuid
            self._log.error("{node} cannot have its networks: {reason}", node=name, reason=text)
        node.sent, node.trouble = None, text or "?"
        node.wait(self._clock, RETRY, lambda: self._again(uuid, node))

    def _again(self, uuid: str, node: _Node) -> None:
        node.sent = None
        self._look_at(uuid)

    # Leases.

    def _keep(self) -> None:
        if self._keeping is None and self.running:
            puts, deletes = self.differing()
            if puts or deletes:
                # Committing is noticed here at once: it counts as begun before.
                ready: Deferred[None] = Deferred()
                self._keeping = Deferred.fromCoroutine(self._commit(ready, puts, deletes))
                self._keeping.addErrback(self._not_kept).addCallback(self._kept)
                ready.callback(None)

    def differing(self) -> tuple[list[DhcpLeaseRecord], list[DhcpLeaseRecord]]:
        """Leases to be put in the store and to be deleted from it, not all at once."""
        snapshot = self._snapshot
        master = snapshot.cluster.master_node
        report, node = self._nodes.reports.get(master), self._known.get(master)
        gone = [lease for lease in snapshot.dhcp_leases.values() if lease.network not in snapshot.vnets]
        # What it saw before it was told in this term says nothing of what the master before has kept.
        if report is None or report.leases is None or node is None or node.sent is None:
            return [], gone[:AT_ONCE]
        seen = {lease.uuid: lease for lease in report.leases if lease.network in snapshot.vnets}
        puts = [lease for key, lease in seen.items() if snapshot.dhcp_leases.get(key) != lease]
        gone = [lease for key, lease in snapshot.dhcp_leases.items() if key not in seen]
        return puts[:AT_ONCE], gone[:AT_ONCE]

    async def _commit(
        self, ready: Deferred[None], puts: list[DhcpLeaseRecord], deletes: list[DhcpLeaseRecord]
    ) -> bool:
        await ready
        change = commit_of(puts, deletes, revision_of=self._snapshot.revision_of, term=self._term)
        await self._snapshot.reached(await self._store.commit(change))
        return True

    def _not_kept(self, failure: Failure) -> bool:
        if failure.check(CancelledError) is None:
            self._log.warn("leases could not be kept: {reason}", reason=failure.getErrorMessage())
        self._looked_at = None
        return False

    def _kept(self, well: bool) -> None:
        self._keeping = None
        if well:  # there may be more; what failed is tried again when something is seen next
            self._keep()


def _has_some(report: NodeReport) -> bool:
    """Whether a node may have networks of ours: it knows which are."""
    return report.leases is not None or any(name.startswith("vmbr") for name in report.bridges)


def _in_order(address: str) -> tuple[int, int]:
    found = ip_address(address)
    return found.version, int(found)
