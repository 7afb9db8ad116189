"""A node's own end of the protocol: steps are carried out, changes are told."""

from collections.abc import Callable, Coroutine, Mapping
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, DeferredLock
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from twisted_rapi.agent import ceph
from twisted_rapi.agent.disks import DiskSteps
from twisted_rapi.agent.looking import Sight
from twisted_rapi.agent.machine import MachineSteps
from twisted_rapi.agent.networks import NetworkSteps
from twisted_rapi.agent.parts import Parts
from twisted_rapi.agent.term import TermKeeper, open_terms
from twisted_rapi.agent.transfers import APART, TransferSteps
from twisted_rapi.agent.watching import Seen, Watchers
from twisted_rapi.errors import RapiError, StaleTerm, StepFailed
from twisted_rapi.hypervisor.interface import IHypervisor
from twisted_rapi.model import steps
from twisted_rapi.model.seen import DomainChanged, DomainSeen
from twisted_rapi.model.steps import Outcome, Step
from twisted_rapi.rpc.interface import INodeAgent

Handler = Callable[[Any], Coroutine[Any, Any, Outcome]]

_APART = (
    steps.AwaitSync,
    steps.FenceNode,
    steps.RunAllocator,
    steps.ResolveName,
    steps.ProbeAddress,
    steps.ReadLog,
    *APART,
    *ceph.APART,
)


@implementer(INodeAgent)
class Node:
    """`INodeAgent` on the node itself."""

    _log = Logger()

    def __init__(self, parts: Parts, version: str) -> None:
        self._parts = parts
        self._terms: TermKeeper | None = None
        self._locks: dict[str, tuple[DeferredLock, list[Step]]] = {}
        self._sight = Sight(parts, version)
        self._watchers = Watchers(self._sight, parts.clock)
        self._ends: list[Callable[[], None]] = []
        self._disks = DiskSteps(parts.volumes, parts.clock)
        self._machine = MachineSteps(parts)
        self._networks = NetworkSteps(parts)
        self._handlers: Mapping[type[Step], Handler] = {
            **self._disks.handlers,
            **TransferSteps(parts, self._disks).handlers,
            **self._machine.handlers,
            **ceph.CephSteps(parts.ceph, parts.clock).handlers,
            **self._networks.handlers,
            steps.StartDomain: self._start_domain,
            steps.StopDomain: self._stop_domain,
            steps.SetMemory: self._set_memory,
            steps.AttachDisk: self._attach_disk,
            steps.DetachDisk: self._detach_disk,
            steps.AttachNic: self._attach_nic,
            steps.DetachNic: self._detach_nic,
            steps.ShowGrowth: self._show_growth,
            steps.MigrateDomain: self._migrate,
            steps.LookAtDomain: self._look_at_domain,
            steps.RunOs: self._run_os,
            steps.VerifyOs: self._verify_os,
            steps.RunAllocator: self._run_allocator,
            steps.RunHooks: self._run_hooks,
            steps.Delay: self._delay,
        }

    async def begin(self) -> None:
        """
        Begin to look after the node; steps are taken from now on.

        :raises ValueError: the file that keeps the term holds something else.
        :raises RapiError: the node cannot be looked at.
        """
        terms = await open_terms(self._parts.state_dir / "term", self._parts.in_thread)
        for kind, hypervisor in self._parts.hypervisors.items():
            self._ends.append(hypervisor.observe(self._domain_changed))
            await hypervisor.start_service()
            # Finding out may take a while, and a guest that is started meanwhile waits for it by itself.
            finding = Deferred.fromCoroutine(self._sight.find_acceleration(kind))
            finding.addErrback(self._not_found, kind)
        # Before guests that need them are started.
        await self._networks.begin()
        await self._sight.begin()
        if self._parts.hooks is not None:
            self._ends.append(self._parts.hooks.observe(self._watchers.look_again))
        if self._parts.networks is not None:
            self._ends.append(self._parts.networks.observe(self._networks_changed))
        self._watchers.begin()
        self._terms = terms

    def _not_found(self, failure: Failure, kind: str) -> None:
        self._log.failure("it is not known how {kind} runs guests", failure, kind=kind)

    async def end(self) -> None:
        """No longer tell anybody; machines run on."""
        for end in self._ends:
            end()
        self._ends.clear()
        self._machine.end()
        self._watchers.end()
        await self._networks.end()
        for hypervisor in self._parts.hypervisors.values():
            await hypervisor.stop_service()

    # Steps.

    async def perform(self, step: Step, term: int) -> Outcome:
        """See `INodeAgent.perform`."""
        await self._admit(term)
        work = Deferred.fromCoroutine(self._in_turn(step, term))
        # Looks at a Ceph that hangs would pile up, and new ones wait for those that nobody waits for.
        asked = isinstance(step, steps.LookAtCeph)
        answer: Deferred[Outcome] = Deferred((lambda _: work.cancel()) if asked else None)
        work.addBoth(lambda result: None if answer.called else answer.callback(result))
        return await answer

    async def _admit(self, term: int) -> None:
        if self._terms is None:
            raise StepFailed("the agent is still starting", "busy")
        await self._terms.admit(term)
        self._watchers.end_older(term)

    def _check(self, term: int) -> None:
        """A step that waited for its turn is not carried out for a master that is none any more."""
        assert self._terms is not None, "admitted before"
        if term < self._terms.highest:
            raise StaleTerm(term, self._terms.highest)

    async def _in_turn(self, step: Step, term: int) -> Outcome:
        # What changes nothing and takes long: nothing else waits for it.
        apart = isinstance(step, _APART)
        turn = f"apart {id(step)}" if apart else step.instance
        lock, queue = self._locks.setdefault(turn, (DeferredLock(), []))
        queue.append(step)
        try:
            async with lock:
                self._check(term)
                self._log.info(
                    "{step} of {instance} for term {term}",
                    step=type(step).__name__,
                    instance=step.instance,
                    term=term,
                )
                self._parts.failpoint(f"before {step.__struct_config__.tag}")
                outcome = await self._handlers[type(step)](step)
                if isinstance(step, (steps.FinishExport, steps.RemoveExport)):
                    await self._exports_changed()
                self._parts.failpoint(f"after {step.__struct_config__.tag}")
                return outcome
        except RapiError:
            raise
        except Exception as e:
            if isinstance(e, CancelledError) and isinstance(step, steps.LookAtCeph):
                raise
            self._log.failure(
                "{step} of {instance} met a bug", step=type(step).__name__, instance=step.instance
            )
            raise StepFailed(f"internal error of the agent: {e!r}", "internal") from e
        finally:
            queue.remove(step)
            if not queue:
                self._locks.pop(turn, None)

    def _hypervisor(self, kind: str) -> IHypervisor:
        hypervisor = self._parts.hypervisors.get(kind)
        if hypervisor is None:
            raise StepFailed(f"this node has no hypervisor {kind}", "hypervisor")
        return hypervisor

    async def _start_domain(self, step: steps.StartDomain) -> Outcome:
        paths = await self._disks.paths(step.domain.disks)
        hypervisor = self._hypervisor(step.domain.hypervisor)
        seen = await hypervisor.start(step.domain, paths, step.paused)
        self._domain_changed(seen.name, seen)
        return Outcome(boot=seen.boot, warnings=hypervisor.remarks(step.domain))

    async def _stop_domain(self, step: steps.StopDomain) -> Outcome:
        hypervisor = self._hypervisor(step.hypervisor)
        await hypervisor.stop(step.instance_uuid, step.timeout, step.force, step.boot)
        name = step.instance
        self._domain_changed(name, await self._sight.domain(name))
        return Outcome()

    async def _set_memory(self, step: steps.SetMemory) -> Outcome:
        await self._hypervisor(step.hypervisor).set_memory(step.instance_uuid, step.memory)
        name = step.instance
        self._domain_changed(name, await self._sight.domain(name))
        return Outcome()

    async def _attach_disk(self, step: steps.AttachDisk) -> Outcome:
        [path] = await self._disks.paths((step.disk,))
        await self._hypervisor(step.domain.hypervisor).attach(step.domain, step.disk, path)
        return Outcome()

    async def _detach_disk(self, step: steps.DetachDisk) -> Outcome:
        await self._hypervisor(step.domain.hypervisor).detach(step.domain, step.disk)
        return Outcome()

    async def _attach_nic(self, step: steps.AttachNic) -> Outcome:
        await self._hypervisor(step.domain.hypervisor).attach(step.domain, step.nic)
        return Outcome()

    async def _detach_nic(self, step: steps.DetachNic) -> Outcome:
        await self._hypervisor(step.domain.hypervisor).detach(step.domain, step.nic)
        return Outcome()

    async def _show_growth(self, step: steps.ShowGrowth) -> Outcome:
        await self._hypervisor(step.domain.hypervisor).show_growth(step.domain, step.disk)
        return Outcome()

    async def _migrate(self, step: steps.MigrateDomain) -> Outcome:
        await self._hypervisor(step.domain.hypervisor).migrate(step.domain, step.target)
        return Outcome()

    async def _look_at_domain(self, step: steps.LookAtDomain) -> Outcome:
        hypervisor = self._hypervisor(step.hypervisor)
        await hypervisor.await_migration(step.instance_uuid)
        found = await hypervisor.domains()
        seen = next((d for d in found.values() if d.uuid == step.instance_uuid and d.running), None)
        return Outcome() if seen is None else Outcome(text=seen.state, boot=seen.boot)

    async def _run_os(self, step: steps.RunOs) -> Outcome:
        await self._parts.os_runner.run(step, await self._disks.paths(step.domain.disks))
        return Outcome()

    async def _verify_os(self, step: steps.VerifyOs) -> Outcome:
        await self._parts.os_runner.verify(step.os, step.osparams)
        return Outcome()

    async def _delay(self, step: steps.Delay) -> Outcome:
        await deferLater(self._parts.clock, max(0.0, step.seconds))
        return Outcome()

    async def _run_allocator(self, step: steps.RunAllocator) -> Outcome:
        return Outcome(text=await self._parts.allocators.run(step))

    async def _run_hooks(self, step: steps.RunHooks) -> Outcome:
        hooks = self._parts.hooks
        return Outcome() if hooks is None else Outcome(hooks=await hooks.run(step))

    # What is seen.

    async def _exports_changed(self) -> None:
        await self._sight.find_exports()
        self._watchers.report()

    def _networks_changed(self) -> None:
        finding = Deferred.fromCoroutine(self._sight.find_networks())
        finding.addCallback(lambda _: self._watchers.report()).addErrback(self._networks_lost)

    def _networks_lost(self, failure: Failure) -> None:
        self._log.failure("bridges and leases could not be told", failure)

    async def watch(self, term: int, seen: Seen) -> None:
        """See `INodeAgent.watch`."""
        await self._admit(term)
        await self._watchers.look_first()
        await self._admit(term)
        await self._watchers.watch(term, seen)

    def _domain_changed(self, name: str, seen: DomainSeen | None) -> None:
        if self._sight.note(name, seen):
            self._watchers.tell(DomainChanged(name=name, seen=seen))
            if self._parts.simulated is not None:
                self._watchers.heartbeat()
