"""What becomes of nodes that fall silent."""

from collections.abc import Callable

from msgspec.structs import replace
from twisted.application.service import Service
from twisted.internet.defer import CancelledError, Deferred, DeferredList
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from twisted_rapi.cluster.attended import Attended
from twisted_rapi.cluster.fencing import Fencing
from twisted_rapi.cluster.recovery import Recovery
from twisted_rapi.errors import BadRequest, Conflict, RapiError
from twisted_rapi.model.fate import NodeFateRecord
from twisted_rapi.model.opcodes.moving import InstanceFailover
from twisted_rapi.model.opcodes.node import NodeSetParams
from twisted_rapi.model.records import InstanceRecord, NodeRecord
from twisted_rapi.model.steps import Ping
from twisted_rapi.plan.fate import SOURCE, DeathRules, Signs, next_fate, role_of, stays
from twisted_rapi.plan.watchdog import under_way, words
from twisted_rapi.state.snapshot import Observed

LOOK, OFTENEST = 5.0, 1.0
"""
Seconds between two looks at most, and at least.

Silence has no event of its own, nor has a node that is not watched; five looks for what counts as silence.
"""

AGAIN = 60.0
"""Seconds until a node that could not be marked offline is tried again."""


class Fates(Service):
    """
    Suspects nodes that fall silent, and acts on those that are known to be dead.

    Silence alone is no proof: a suspected node is shown as such, and nothing is done to its guests.  Where
    that is configured it is switched off (`twisted_rapi.cluster.fencing`).  One that is off, or confirmed to
    be dead, is marked offline, then its instances are failed over, as `DeathRules` has it, by jobs.  What it
    may still run is left to be stopped as soon as it reports again (`twisted_rapi.plan.failover`).
    """

    _log = Logger()

    def __init__(self, attended: Attended[DeathRules]) -> None:
        self._with = attended
        self._not_before: dict[str, float] = {}  # by node: when it may be tried again to mark it offline
        self._heard: dict[str, float] = {}  # by node: when it was last known to report
        self._fencing, self._recovery = Fencing(attended), Recovery(attended)
        self._unobserve: Callable[[], None] = lambda: None
        self._looking = LoopingCall(self._look)
        self._looking.clock = attended.clock
        self._busy: dict[str, Deferred[None]] = {}

    @property
    def rules(self) -> DeathRules:
        """What is done."""
        return self._with.rules

    def startService(self) -> None:
        """Begin to look; silence counts from now on."""
        super().startService()
        self._unobserve = self._with.snapshot.observe(self._records_changed)
        self._looking.start(min(LOOK, max(OFTENEST, self.rules.silence / 5)))

    def stopService(self) -> Deferred[None]:
        """End; jobs that were submitted go on."""
        super().stopService()
        self._unobserve()
        self._unobserve = lambda: None
        if self._looking.running:
            self._looking.stop()
        busy = list(self._busy.values())
        for d in busy:
            d.cancel()
        return DeferredList(busy, consumeErrors=True).addCallback(lambda _: None)

    def _look(self) -> None:
        snapshot = self._with.snapshot
        for uuid in list(self._heard):
            if uuid not in snapshot.nodes:
                del self._heard[uuid]
        for uuid in {**snapshot.nodes, **snapshot.fates}:
            silent = self._silent(uuid)
            if uuid not in self._busy and (silent or uuid in snapshot.fates):
                self._begin(uuid)

    def _silent(self, uuid: str) -> float:
        """For how many seconds a node has been silent."""
        now, node = self._with.clock.seconds(), self._with.snapshot.nodes.get(uuid)
        if node is None:
            return 0.0
        if uuid in self._with.nodes.reports or node.offline:
            self._heard[uuid] = now
        return now - self._heard.setdefault(uuid, now)

    def _records_changed(self, changed: Observed) -> None:
        """A dead node that was marked offline, or is no longer, need not wait for the next look."""
        for _, before, after in changed:
            if isinstance(before, NodeRecord) and isinstance(after, NodeRecord):
                concerned = before.offline != after.offline and after.uuid in self._with.snapshot.fates
                if concerned and after.uuid not in self._busy:
                    self._begin(after.uuid)

    def _begin(self, uuid: str) -> None:
        before = self._with.snapshot.fates.get(uuid)
        d = Deferred.fromCoroutine(self._attend(uuid, self._silent(uuid)))
        if not d.called:
            self._busy[uuid] = d
            d.addBoth(self._done, uuid)
        d.addCallback(lambda _: self._attended(uuid, before))
        d.addErrback(self._failed, uuid)

    def _attended(self, uuid: str, before: NodeFateRecord | None) -> None:
        """What comes next after something has changed is not kept waiting."""
        if self.running and self._with.snapshot.fates.get(uuid) not in (None, before):
            self._begin(uuid)

    def _done(self, result: Failure | None, uuid: str) -> Failure | None:
        self._busy.pop(uuid, None)
        return result

    def _failed(self, failure: Failure, uuid: str) -> None:
        if failure.check(RapiError):
            why = str(failure.value)
            self._log.warn("the fate of node {uuid} is looked at again: {why}", uuid=uuid, why=why)
        elif failure.check(CancelledError) is None:
            self._log.failure("the fate of node {uuid} met a bug", failure, uuid=uuid)

    async def _attend(self, uuid: str, silent: float) -> None:
        """Bring one node's fate up to date, and do what it asks for."""
        snapshot, record = self._with.snapshot, self._with.snapshot.fates.get(uuid)
        node = snapshot.nodes.get(uuid)
        if node is None:
            if record is not None:
                await self._with.commit(deletes=[record])
            return
        if record is not None and record.fate == "fenced" and not node.offline and self._spoken_of(node):
            return  # it is about to be marked offline: were it forgotten now, nothing would bring it back
        signs = await self._signs(node, silent, record)
        now = next_fate(None if record is None else record.fate, signs, self.rules)
        if now != (None if record is None else record.fate):
            self._log.warn("node {node} is {fate}", node=node.name, fate=now or "well")
            if now is None and record is not None:
                await self._with.commit(deletes=[record])
            elif now is not None:
                since = self._with.now()
                if record is None or now == "suspect":  # what was before is over
                    record = NodeFateRecord(uuid=uuid, fate=now, since=since)
                await self._with.commit([replace(record, fate=now, since=since)])
        elif record is not None:
            await self._go_on(node, record, silent)

    def _spoken_of(self, node: NodeRecord) -> bool:
        return not {node.uuid, node.name}.isdisjoint(words(self._with.table))

    async def _go_on(self, node: NodeRecord, record: NodeFateRecord, silent: float) -> None:
        match record.fate:
            case "suspect":
                await self._fencing.begin(node, record, silent)
            case "fencing":
                await self._fencing.go_on(node, record, silent)
            case "fenced":
                await self._act(node, record)
            case "recovering":
                await self._recovery.go_on(node, record)

    async def _signs(self, node: NodeRecord, silent: float, record: NodeFateRecord | None) -> Signs:
        answers = node.uuid in self._with.nodes.reports
        if node.offline and record is not None:
            try:
                await self._with.nodes.perform(node.uuid, Ping(instance=""))
                answers = True
            except RapiError:
                answers = False
        left = any(each.node == node.uuid for each in self._with.snapshot.leftovers.values())
        return Signs(silent=silent, offline=node.offline, answers=answers, left=left)

    async def confirm(self, uuid: str, who: str) -> NodeFateRecord:
        """
        A node is dead: nothing of it runs, nor will without being set online.

        :param who: whose word that is.
        :raises BadRequest: it answers, is the master's, or is offline already.
        :raises StoreError: it could not be stored.
        """
        snapshot = self._with.snapshot
        node, record = snapshot.nodes[uuid], snapshot.fates.get(uuid)
        if uuid == snapshot.cluster.master_node:
            raise BadRequest(f"Node {node.name} is the master: it is not dead")
        if uuid in self._with.nodes.reports:
            raise BadRequest(f"Node {node.name} answers: it is not dead")
        if node.offline or (record is not None and record.fate not in ("suspect", "fencing")):
            raise BadRequest(f"Node {node.name} is offline, or known to be dead")
        since = self._with.now()
        record = record or NodeFateRecord(uuid=uuid, fate="suspect", since=since)
        proof = replace(record, fate="fenced", since=since, proof=f"confirmed by {who}", role=role_of(node))
        try:
            await self._with.commit([proof])
        except Conflict as e:
            raise BadRequest(f"The fate of node {node.name} has just changed; please look again") from e
        self._log.warn("node {node} is dead: confirmed by {who}", node=node.name, who=who)
        return proof

    # What is done about a dead node.

    async def _act(self, node: NodeRecord, record: NodeFateRecord) -> None:
        said = words(self._with.table)
        if not {node.uuid, node.name}.isdisjoint(said) or self._with.snapshot.cluster.drained_queue:
            return
        trail = [SOURCE, record.proof, int(self._with.now() * 1e9)]
        if not node.offline:
            if self._with.clock.seconds() < self._not_before.get(node.uuid, 0.0):
                return
            self._not_before[node.uuid] = self._with.clock.seconds() + AGAIN
            op = NodeSetParams(
                node_name=node.name, node_uuid=node.uuid, offline=True, auto_promote=True, reason=[trail]
            )
            await self._with.submit([op], SOURCE)
            return
        movable = [
            instance
            for instance in self.instances(node.uuid)
            if instance.uuid not in record.tried
            and not stays(instance, self.rules)
            and not under_way(instance, said, self._with.locks)
        ]
        for instance in movable:
            failover = InstanceFailover(
                instance_name=instance.name, instance_uuid=instance.uuid, reason=[trail]
            )
            await self._with.submit([failover], SOURCE)
        if movable:
            # Noted last: a master that ends before that submits those again that are here with no job.
            tried = (*record.tried, *(instance.uuid for instance in movable))
            await self._with.commit([replace(record, tried=tried)])

    def waits(self, uuid: str) -> str:
        """Why nothing is done now to switch a silent node off; "" when something is, or it is not silent."""
        node, record = self._with.snapshot.nodes[uuid], self._with.snapshot.fates.get(uuid)
        if record is None or record.fate not in ("suspect", "fencing"):
            return ""
        return self._fencing.waits(node, record, self._silent(uuid))

    def instances(self, node: str) -> list[InstanceRecord]:
        """The instances whose primary node it is, by name."""
        snapshot = self._with.snapshot
        return sorted((snapshot.instances[u] for u in snapshot.primary(node)), key=lambda i: i.name)
