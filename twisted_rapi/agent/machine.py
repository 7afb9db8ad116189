"""The steps about the node itself: whether it answers, its power, its storage units."""

import socket
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger

from twisted_rapi.agent.parts import Parts
from twisted_rapi.errors import StepFailed
from twisted_rapi.model import steps
from twisted_rapi.model.steps import Outcome, Step
from twisted_rapi.storage.units import IStorageUnits

Handler = Callable[[Any], Coroutine[Any, Any, Outcome]]


class MachineSteps:
    """
    Carries steps about the node out.

    :ivar handlers: by type of step.
    """

    _log = Logger()

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._restart: IDelayedCall | None = None
        self.handlers: Mapping[type[Step], Handler] = {
            steps.Ping: self._ping,
            steps.ResolveName: self._resolve,
            steps.ProbeAddress: self._probe,
            steps.Powercycle: self._powercycle,
            steps.FenceNode: self._fence,
            steps.ListUnits: self._list,
            steps.ListVolumes: self._list_volumes,
            steps.ChangeUnit: self._change,
            steps.RepairUnit: self._repair,
            steps.ReadLog: self._read_log,
        }

    def end(self) -> None:
        """A restart that was asked for is not waited for."""
        if self._restart is not None and self._restart.active():
            self._restart.cancel()

    async def _ping(self, step: steps.Ping) -> Outcome:
        if step.address and self._parts.simulated is None:
            try:
                await self._parts.in_thread(_bind, step.address)
            except OSError as e:
                raise StepFailed(f"the node does not have address {step.address}", "network") from e
        return Outcome()

    async def _resolve(self, step: steps.ResolveName) -> Outcome:
        found = await self._parts.names.resolve(step.name, step.family)
        return Outcome(text=found.name, addresses=found.addresses, reason=found.reason)

    async def _probe(self, step: steps.ProbeAddress) -> Outcome:
        answers = await self._parts.names.answers(step.address, step.port)
        return Outcome(text="yes" if answers else "")

    async def _powercycle(self, step: steps.Powercycle) -> Outcome:
        if self._parts.simulated is None and self._parts.powercycle is None:
            raise StepFailed("this node has no powercycle_command in its configuration", "internal")
        if self._restart is None or not self._restart.active():
            self._restart = self._parts.clock.callLater(step.delay, self._begin_restart)
        return Outcome(text=f"Reboot scheduled in {step.delay} seconds")

    async def _fence(self, step: steps.FenceNode) -> Outcome:
        fencer = self._parts.fencer
        if fencer is None:
            raise StepFailed("this node fences none", "fencing")
        self._log.warn("node {node} is fenced from here", node=step.name)
        proof = await fencer.fence(step)
        self._log.warn("node {node} is off: {proof}", node=step.name, proof=proof)
        return Outcome(text=proof)

    def _begin_restart(self) -> None:
        self._log.warn("the machine is restarted, as it was asked for")
        if self._parts.powercycle is not None:
            self._parts.powercycle()
            return
        work = Deferred.fromCoroutine(self._lose_guests())
        work.addErrback(lambda failure: self._log.failure("simulating a restart failed", failure))

    async def _lose_guests(self) -> None:
        """What a simulated machine's restart does to its guests."""
        for hypervisor in self._parts.hypervisors.values():
            for seen in (await hypervisor.domains()).values():
                if seen.running:
                    await hypervisor.stop(seen.uuid, 0, True, seen.boot)

    def _units(self, kind: str) -> IStorageUnits:
        units = self._parts.units.get(kind)
        if units is None:
            raise StepFailed(f"this node has no storage of type {kind}", "storage")
        return units

    async def _list(self, step: steps.ListUnits) -> Outcome:
        return Outcome(units=await self._units(step.kind).listed(step.kind))

    async def _list_volumes(self, step: steps.ListVolumes) -> Outcome:
        return Outcome(units=await self._units(step.kind).volumes(step.kind))

    async def _change(self, step: steps.ChangeUnit) -> Outcome:
        await self._units(step.kind).change(step.kind, step.name, step.allocatable)
        return Outcome()

    async def _repair(self, step: steps.RepairUnit) -> Outcome:
        await self._units(step.kind).repair(step.kind, step.name)
        return Outcome()

    async def _read_log(self, step: steps.ReadLog) -> Outcome:
        if self._parts.logs is None:
            raise StepFailed("this node shows no logs", "log")
        return Outcome(text=await self._parts.in_thread(self._parts.logs, step))


def _bind(address: str) -> None:
    """:raises OSError: the machine does not have the address."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as found:
        found.bind((address, 0))
