"""Having nodes that are suspected to be dead switched off."""

from msgspec.structs import replace
from twisted.logger import Logger

from twisted_rapi.cluster.attended import Attended
from twisted_rapi.errors import RapiError, StaleTerm
from twisted_rapi.model.fate import FenceAttempt, FencingsRecord, NodeFateRecord
from twisted_rapi.model.params import ndparams
from twisted_rapi.model.records import NodeRecord
from twisted_rapi.model.steps import FenceNode
from twisted_rapi.plan.fate import DeathRules, role_of
from twisted_rapi.plan.fencing import Standing, begun_now, fencers, held, next_fencer, unsure

KEPT = 10
"""Attempts of which is shown how they ended."""


class Fencing:
    """
    Begins to fence nodes, and asks others to switch them off until one has proof.

    All of it is in the store before it is done: whoever is master next goes on, and switches off again what
    may have been switched off already.
    """

    _log = Logger()

    def __init__(self, attended: Attended[DeathRules]) -> None:
        self._with = attended

    def standing(self) -> Standing:
        """How the cluster is now."""
        snapshot, nodes = self._with.snapshot, self._with.nodes
        fencings = snapshot.fencings
        return Standing(
            master=snapshot.cluster.master_node,
            nodes=snapshot.nodes,
            answering=frozenset(nodes.reports),
            present=frozenset(snapshot.candidates),
            drained=snapshot.cluster.drained_queue,
            paused=self._with.now() < snapshot.cluster.watcher_pause,
            begun=() if fencings is None else fencings.begun,
            now=self._with.now(),
        )

    def waits(self, node: NodeRecord, record: NodeFateRecord, silent: float) -> str:
        """Why nothing is done now to switch a silent node off; "" when something is."""
        judge = held if record.fate == "suspect" else unsure
        return judge(node, silent, self.standing(), self._with.rules)

    async def begin(self, node: NodeRecord, record: NodeFateRecord, silent: float) -> None:
        """Begin with a suspected node, if that may be; that the store takes it shows that it has a quorum."""
        if self.waits(node, record, silent):
            return
        standing = self.standing()
        begun = FencingsRecord(begun=begun_now(standing, self._with.rules))
        await self._with.commit([replace(record, fate="fencing", since=standing.now), begun])
        self._log.warn("node {node} is to be switched off", node=node.name)

    async def go_on(self, node: NodeRecord, record: NodeFateRecord, silent: float) -> None:
        """Have the next attempt made, if it is time and all is as it was when it was begun."""
        standing = self.standing()
        by = next_fencer(record, fencers(node, standing), standing.now)
        if by is None or self.waits(node, record, silent):
            return
        attempt = FenceAttempt(at=standing.now, by=by)
        attempts = (*record.attempts, attempt)[-KEPT:]
        await self._with.commit([replace(record, tries=record.tries + 1, attempts=attempts)])
        snapshot = self._with.snapshot
        program = ndparams(snapshot.cluster, snapshot.groups[node.group], node)["oob_program"]
        step = FenceNode(instance="", name=node.name, uuid=node.uuid, program=program or "")
        proof = error = ""
        try:
            proof = (await self._with.nodes.perform(by, step)).text
        except StaleTerm:
            raise
        except RapiError as e:
            error = str(e)
        await self._note(node, attempt, proof, error)

    async def _note(self, node: NodeRecord, attempt: FenceAttempt, proof: str, error: str) -> None:
        """What an attempt has come to; nothing where somebody else has decided meanwhile."""
        snapshot = self._with.snapshot
        record, by = snapshot.fates.get(node.uuid), snapshot.nodes.get(attempt.by)
        now = snapshot.nodes.get(node.uuid)
        if now is None or record is None or record.fate != "fencing":
            return
        who = attempt.by if by is None else by.name
        if not error and node.uuid in self._with.nodes.reports:
            error = "it was off, and answers again"
        if error:
            ended = replace(attempt, error=error)
            attempts = tuple(ended if each == attempt else each for each in record.attempts)
            await self._with.commit([replace(record, attempts=attempts)])
            self._log.warn("{who} has not switched {node} off: {why}", who=who, node=node.name, why=error)
            return
        told = f"{proof} (by {who})"
        dead = replace(record, fate="fenced", since=self._with.now(), proof=told, role=role_of(now))
        await self._with.commit([dead])
        self._log.warn("node {node} is off: {proof}", node=node.name, proof=told)
