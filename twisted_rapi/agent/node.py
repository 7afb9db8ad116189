"""A node's own end of the protocol: steps are carried out, changes are told."""

from collections.abc import Callable, Coroutine, Mapping
from pathlib import Path
from typing import Any

import attrs
from twisted.internet.defer import Deferred, DeferredLock, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from twisted_rapi.agent import facts
from twisted_rapi.agent.interface import IOsRunner
from twisted_rapi.agent.settings import Simulated
from twisted_rapi.agent.term import InThread, TermKeeper, open_terms
from twisted_rapi.errors import RapiError, StaleTerm, StepFailed
from twisted_rapi.hypervisor.interface import IHypervisor
from twisted_rapi.model import steps
from twisted_rapi.model.seen import (
    DomainChanged,
    DomainSeen,
    FullReport,
    Heartbeat,
    NodeReport,
    OsSeen,
    Sighting,
)
from twisted_rapi.model.steps import DiskSpec, Outcome, Step
from twisted_rapi.rpc.interface import INodeAgent
from twisted_rapi.rpc.protocol import HEARTBEAT
from twisted_rapi.storage.interface import IVolumeDriver

FULL_REPORT = 30.0  # seconds between full reports
FIRST_LOOK = 1.0  # seconds a new watch waits for a fresh look; then what is known already has to do
Seen = Callable[[Sighting], None]
Handler = Callable[[Any], Coroutine[Any, Any, Outcome]]


@attrs.frozen(kw_only=True)
class Parts:
    """
    What a node is made of.

    :ivar hypervisors: by kind; `volumes`: by disk template.
    :ivar simulated: sizes to report instead of the machine's own.
    :ivar failpoint: called before and after each step, with its tag, for crash tests.
    """

    hypervisors: Mapping[str, IHypervisor]
    volumes: Mapping[str, IVolumeDriver]
    os_runner: IOsRunner
    clock: IReactorTime
    now: Callable[[], float]
    in_thread: InThread
    state_dir: Path
    simulated: Simulated | None = None
    failpoint: Callable[[str], None] = lambda _: None


@attrs.define(eq=False)
class _Watcher:
    """A master that is told; `gone` ends that."""

    seen: Seen
    term: int
    gone: Deferred[None] = attrs.field(factory=Deferred)


@implementer(INodeAgent)
class Node:
    """`INodeAgent` on the node itself."""

    _log = Logger()

    def __init__(self, parts: Parts, version: str) -> None:
        self._parts = parts
        self._version = version
        self._terms: TermKeeper | None = None
        self._locks: dict[str, tuple[DeferredLock, list[Step]]] = {}
        self._watchers: list[_Watcher] = []
        self._looks: list[dict[str, DomainSeen | None]] = []  # per look under way: what changed meanwhile
        self._measuring = False
        self._known: dict[str, DomainSeen] = {}
        self._oses: tuple[OsSeen, ...] = ()
        self._acceleration: dict[str, str] = {}
        self._versions: dict[str, str] = {}
        self._space = (0, 0)
        self._facts: facts.Facts | None = None
        self._ends: list[Callable[[], None]] = []
        self._beat = LoopingCall(self._each_second)
        self._full = LoopingCall(self._report_all)
        self._beat.clock = self._full.clock = parts.clock
        self._handlers: Mapping[type[Step], Handler] = {
            steps.CreateVolume: self._create_volume,
            steps.DeleteVolume: self._delete_volume,
            steps.GrowVolume: self._grow_volume,
            steps.ActivateVolume: self._activate_volume,
            steps.DeactivateVolume: self._deactivate_volume,
            steps.MoveVolume: self._move_volume,
            steps.StartDomain: self._start_domain,
            steps.StopDomain: self._stop_domain,
            steps.SetMemory: self._set_memory,
            steps.RunOs: self._run_os,
            steps.VerifyOs: self._verify_os,
            steps.InspectDisks: self._inspect_disks,
        }

    async def begin(self) -> None:
        """
        Begin to look after the node; steps are taken from now on.

        :raises ValueError: the file that keeps the term holds something else.
        """
        self._terms = await open_terms(self._parts.state_dir / "term", self._parts.in_thread)
        for kind, hypervisor in self._parts.hypervisors.items():
            self._ends.append(hypervisor.observe(self._domain_changed))
            await hypervisor.start_service()
            # Finding out may take a while, and a guest that is started meanwhile waits for it by itself.
            Deferred.fromCoroutine(self._find_acceleration(kind)).addErrback(self._loop_failed)
        await self._look()
        self._beat.start(HEARTBEAT, now=False).addErrback(self._loop_failed)
        self._full.start(FULL_REPORT, now=False).addErrback(self._loop_failed)

    async def _find_acceleration(self, kind: str) -> None:
        self._acceleration[kind] = await self._parts.hypervisors[kind].acceleration()
        self._log.info("{kind} runs guests by {how}", kind=kind, how=self._acceleration[kind])

    async def end(self) -> None:
        """No longer tell anybody; machines run on."""
        for loop in (self._beat, self._full):
            if loop.running:
                loop.stop()
        for end in self._ends:
            end()
        for watcher in list(self._watchers):
            watcher.gone.cancel()
        for hypervisor in self._parts.hypervisors.values():
            await hypervisor.stop_service()

    def _loop_failed(self, failure: Failure) -> None:
        self._log.failure("reporting has ended", failure)

    # Steps.

    async def perform(self, step: Step, term: int) -> Outcome:
        """See `INodeAgent.perform`."""
        await self._admit(term)
        answer: Deferred[Outcome] = Deferred()
        work = Deferred.fromCoroutine(self._in_turn(step))
        work.addBoth(lambda result: None if answer.called else answer.callback(result))
        return await answer

    async def _admit(self, term: int) -> None:
        if self._terms is None:
            raise StepFailed("the agent is still starting", "busy")
        await self._terms.admit(term)
        for watcher in list(self._watchers):
            if watcher.term < term and not watcher.gone.called:
                watcher.gone.errback(StaleTerm(watcher.term, term))

    async def _in_turn(self, step: Step) -> Outcome:
        lock, queue = self._locks.setdefault(step.instance, (DeferredLock(), []))
        queue.append(step)
        try:
            async with lock:
                self._parts.failpoint(f"before {step.__struct_config__.tag}")
                outcome = await self._handlers[type(step)](step)
                self._parts.failpoint(f"after {step.__struct_config__.tag}")
                return outcome
        except RapiError:
            raise
        except Exception as e:
            self._log.failure(
                "{step} of {instance} met a bug", step=type(step).__name__, instance=step.instance
            )
            raise StepFailed(f"internal error of the agent: {e!r}", "internal") from e
        finally:
            queue.remove(step)
            if not queue:
                self._locks.pop(step.instance, None)

    def _driver(self, disk: DiskSpec) -> IVolumeDriver:
        driver = self._parts.volumes.get(disk.template)
        if driver is None:
            raise StepFailed(f"this node keeps no {disk.template} disks", "storage")
        return driver

    def _hypervisor(self, kind: str) -> IHypervisor:
        hypervisor = self._parts.hypervisors.get(kind)
        if hypervisor is None:
            raise StepFailed(f"this node has no hypervisor {kind}", "hypervisor")
        return hypervisor

    async def _create_volume(self, step: steps.CreateVolume) -> Outcome:
        return Outcome(path=await self._driver(step.disk).create(step.disk, step.fresh))

    async def _delete_volume(self, step: steps.DeleteVolume) -> Outcome:
        await self._driver(step.disk).delete(step.disk)
        return Outcome()

    async def _grow_volume(self, step: steps.GrowVolume) -> Outcome:
        await self._driver(step.disk).grow(step.disk)
        return Outcome()

    async def _activate_volume(self, step: steps.ActivateVolume) -> Outcome:
        return Outcome(path=await self._driver(step.disk).activate(step.disk, step.ignore_size))

    async def _deactivate_volume(self, step: steps.DeactivateVolume) -> Outcome:
        await self._driver(step.disk).deactivate(step.disk)
        return Outcome()

    async def _move_volume(self, step: steps.MoveVolume) -> Outcome:
        await self._driver(step.disk).move(step.disk, step.to)
        return Outcome()

    async def _paths(self, disks: tuple[DiskSpec, ...]) -> list[str]:
        return [await self._driver(disk).activate(disk) for disk in disks]

    async def _start_domain(self, step: steps.StartDomain) -> Outcome:
        paths = await self._paths(step.domain.disks)
        seen = await self._hypervisor(step.domain.hypervisor).start(step.domain, paths, step.paused)
        self._domain_changed(seen.name, seen)
        return Outcome(boot=seen.boot)

    async def _stop_domain(self, step: steps.StopDomain) -> Outcome:
        hypervisor = self._hypervisor(step.hypervisor)
        await hypervisor.stop(step.instance_uuid, step.timeout, step.force, step.boot)
        await self._look_again(step.instance)
        return Outcome()

    async def _set_memory(self, step: steps.SetMemory) -> Outcome:
        await self._hypervisor(step.hypervisor).set_memory(step.instance_uuid, step.memory)
        await self._look_again(step.instance)
        return Outcome()

    async def _run_os(self, step: steps.RunOs) -> Outcome:
        await self._parts.os_runner.run(step, await self._paths(step.domain.disks))
        return Outcome()

    async def _verify_os(self, step: steps.VerifyOs) -> Outcome:
        await self._parts.os_runner.verify(step.os, step.osparams)
        return Outcome()

    async def _inspect_disks(self, step: steps.InspectDisks) -> Outcome:
        return Outcome(disks=tuple([await self._driver(disk).inspect(disk) for disk in step.disks]))

    # What is seen.

    async def watch(self, term: int, seen: Seen) -> None:
        """See `INodeAgent.watch`."""
        await self._admit(term)
        await self._look_first()
        await self._admit(term)
        watcher = _Watcher(seen, term)
        self._watchers.append(watcher)
        try:
            seen(FullReport(report=self._report()))
            await watcher.gone
        finally:
            self._watchers.remove(watcher)

    async def _look_first(self) -> None:
        """Look; what takes too long is told when it is there, and keeps nobody from watching."""
        ready: Deferred[None] = Deferred()

        def let_go() -> None:
            if not ready.called:
                ready.callback(None)

        def looked(_: object) -> None:
            if ready.called:
                self._tell(FullReport(report=self._report()))
            let_go()

        Deferred.fromCoroutine(self._look_safely()).addCallback(looked)
        timer = self._parts.clock.callLater(FIRST_LOOK, let_go)
        try:
            await ready
        finally:
            if timer.active():
                timer.cancel()

    def _tell(self, sighting: Sighting) -> None:
        for watcher in list(self._watchers):
            watcher.seen(sighting)

    def _domain_changed(self, name: str, seen: DomainSeen | None) -> None:
        for changes in self._looks:
            changes[name] = seen
        if self._known.get(name) == seen:
            return
        if seen is None:
            self._known.pop(name, None)
        else:
            self._known[name] = seen
        self._tell(DomainChanged(name=name, seen=seen))
        if self._parts.simulated is not None:
            self._heartbeat()

    async def _look_again(self, name: str) -> None:
        for hypervisor in self._parts.hypervisors.values():
            found = await hypervisor.domains()
            if name in found:
                self._domain_changed(name, found[name])
                return
        self._domain_changed(name, None)

    async def _look(self) -> None:
        changes: dict[str, DomainSeen | None] = {}
        self._looks.append(changes)
        try:
            found = await self._domains()
        finally:
            self._looks = [look for look in self._looks if look is not changes]
        # What was told meanwhile may be newer than what was read.
        merged: dict[str, DomainSeen | None] = {**found, **changes}
        self._known = {name: seen for name, seen in merged.items() if seen is not None}
        self._oses = await self._parts.os_runner.discover()
        if self._parts.simulated is None:
            self._facts = await self._parts.in_thread(facts.read)
        await self._measure_disk()

    async def _domains(self) -> dict[str, DomainSeen]:
        """All there are; those of a hypervisor that does not answer are as they were."""
        domains: dict[str, DomainSeen] = {}
        for kind, hypervisor in self._parts.hypervisors.items():
            try:
                domains.update(await hypervisor.domains())
                self._versions[kind] = await hypervisor.version()
            except StepFailed as e:
                self._versions.pop(kind, None)
                domains.update({n: seen for n, seen in self._known.items() if seen.hypervisor == kind})
                self._log.warn("hypervisor {kind}: {reason}", kind=kind, reason=e.text)
        return domains

    async def _look_safely(self) -> None:
        try:
            await self._look()
        except RapiError as e:
            self._log.error("the node could not be looked at: {reason}", reason=str(e))
        except Exception:  # noqa: BLE001 -- a bug here must not end the reports
            self._log.failure("looking at the node met a bug")

    async def _measure_disk(self) -> None:
        for driver in self._parts.volumes.values():
            self._space = await driver.space()
            break

    async def _measure(self) -> None:
        """Bring up to date what heartbeats tell."""
        try:
            if self._facts is not None:
                total, free = await self._parts.in_thread(facts.memory)
                self._facts = attrs.evolve(self._facts, memory_total=total, memory_free=free)
            await self._measure_disk()
        except (RapiError, OSError) as e:
            self._log.warn("memory and disk could not be measured: {reason}", reason=str(e))
        finally:
            self._measuring = False

    def _current(self) -> facts.Facts:
        if self._parts.simulated is not None:
            used = sum(d.memory for d in self._known.values() if d.running)
            return facts.simulated(self._parts.simulated, used)
        assert self._facts is not None, "looked before"
        return self._facts

    def _disk(self) -> tuple[int, int]:
        if self._parts.simulated is None:
            return self._space
        return self._parts.simulated.disk, min(self._parts.simulated.disk, self._space[1])

    def _report(self) -> NodeReport:
        now, disk = self._current(), self._disk()
        guests = sum(d.memory for d in self._known.values() if d.running)
        return NodeReport(
            hypervisors=self._versions,
            acceleration="; ".join(f"{kind}: {text}" for kind, text in self._acceleration.items()),
            memory_total=now.memory_total,
            memory_free=now.memory_free,
            memory_node=max(0, now.memory_total - now.memory_free - guests),
            cpu_total=now.cpus,
            cpu_nodes=now.numa_nodes,
            cpu_sockets=now.sockets,
            disk_total=disk[0],
            disk_free=disk[1],
            bridges=now.bridges,
            templates=tuple(self._parts.volumes),
            oses=self._oses,
            domains=dict(self._known),
            software_version=self._version,
            clock=self._parts.now(),
        )

    def _heartbeat(self) -> None:
        self._tell(Heartbeat(memory_free=self._current().memory_free, disk_free=self._disk()[1]))

    def _each_second(self) -> None:
        self._heartbeat()
        # In the background: a disk that hangs does not make the node look dead.
        if self._watchers and not self._measuring:
            self._measuring = True
            Deferred.fromCoroutine(self._measure()).addErrback(self._loop_failed)

    def _report_all(self) -> Deferred[None]:
        if not self._watchers:
            return succeed(None)
        d = Deferred.fromCoroutine(self._look_safely())
        return d.addCallback(lambda _: self._tell(FullReport(report=self._report())))
