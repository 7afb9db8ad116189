"""What every `INodeAgent` does."""

from typing import TYPE_CHECKING, Any

from twisted.internet.defer import CancelledError, Deferred, ensureDeferred
from twisted.trial.unittest import TestCase
from zope.interface.verify import verifyObject

from twisted_rapi.errors import NodeError, StaleTerm, StepFailed
from twisted_rapi.model.seen import DomainChanged, FullReport, Heartbeat, OsSeen, Sighting
from twisted_rapi.model.steps import (
    CreateVolume,
    DeleteVolume,
    DiskSpec,
    DomainSpec,
    InspectDisks,
    RunOs,
    SetMemory,
    StartDomain,
    StopDomain,
)
from twisted_rapi.rpc.interface import INodeAgent
from twisted_rapi.testing.os_runner import FakeOs, FakeOsRunner

if TYPE_CHECKING:
    _Base = TestCase
else:
    _Base = object


class NodeAgentContract(_Base):
    """Mixed into a test case that makes the agent with `make`."""

    async def make(self, runner: FakeOsRunner) -> INodeAgent:
        """The agent of a node with simulated machines, file volumes below `base`, and `runner`."""
        raise NotImplementedError

    async def passes(self, seconds: float) -> None:
        """Let time pass."""
        raise NotImplementedError

    base = "/volumes"

    async def setUp(self) -> None:  # type: ignore[override]
        """Make the agent."""
        self.runner = FakeOsRunner(FakeOs(seen=OsSeen(name="good", path="/os/good", api_versions=(15,))))
        self.agent = await self.make(self.runner)
        self.addCleanup(self.runner.release)

    def disk(self, template: str = "file") -> DiskSpec:
        """A disk of 4 MiB."""
        path = f"{self.base}/i1/disk0"
        return DiskSpec(uuid="d", index=0, template=template, size=4, logical_id=("loop", path))

    def domain(self, name: str = "i1", hypervisor: str = "fake") -> DomainSpec:
        """A machine without disks."""
        return DomainSpec(
            name=name,
            instance_uuid=f"uuid-{name}",
            hypervisor=hypervisor,
            memory=64,
            minmem=64,
            vcpus=1,
            os="good",
        )

    def start(self, name: str = "i1") -> StartDomain:
        """A step that starts a machine."""
        return StartDomain(instance=name, domain=self.domain(name))

    def stop(self, name: str = "i1") -> StopDomain:
        """A step that ends a machine."""
        return StopDomain(instance=name, hypervisor="fake", instance_uuid=f"uuid-{name}", timeout=0)

    async def fails(self, kind: type[Exception], work: Any) -> Any:
        """The error of this kind that `work` raises."""
        return await self.assertFailure(ensureDeferred(work), kind)

    async def until(self, holds: Any, seconds: float = 5.0) -> None:
        """Let time pass until something holds."""
        for _ in range(int(seconds / 0.05)):
            if holds():
                return
            await self.passes(0.05)
        raise self.failureException("it did not come to that in time")

    def watched(self, term: int = 1) -> tuple[list[Sighting], Deferred[None], list[Any]]:
        """A watch: what is seen, the watch, and how it ended."""
        seen: list[Sighting] = []
        ended: list[Any] = []
        watching = Deferred.fromCoroutine(self.agent.watch(term, seen.append))
        watching.addBoth(ended.append)

        async def end() -> None:
            watching.cancel()
            await self.passes(0.05)

        self.addCleanup(lambda: Deferred.fromCoroutine(end()))
        return seen, watching, ended

    def test_interface(self) -> None:
        """It provides the interface."""
        verifyObject(INodeAgent, self.agent)

    async def test_volume(self) -> None:
        """A volume is made, seen and removed; doing so again changes nothing."""
        inspect = InspectDisks(instance="i1", disks=(self.disk(),))
        self.assertEqual((await self.agent.perform(inspect, 1)).disks, (None,))
        for _ in range(2):
            outcome = await self.agent.perform(CreateVolume(instance="i1", disk=self.disk()), 1)
            self.assertEqual(outcome.path, f"{self.base}/i1/disk0")
        [found] = (await self.agent.perform(inspect, 1)).disks
        assert found is not None
        self.assertEqual(found["size"], 4)
        for _ in range(2):
            await self.agent.perform(DeleteVolume(instance="i1", disk=self.disk()), 1)
        self.assertEqual((await self.agent.perform(inspect, 1)).disks, (None,))

    async def test_domain(self) -> None:
        """A machine that runs is left alone; one that was stopped has another boot."""
        first = await self.agent.perform(self.start(), 1)
        again = await self.agent.perform(self.start(), 1)
        for _ in range(2):
            await self.agent.perform(self.stop(), 1)
        anew = await self.agent.perform(self.start(), 1)
        self.assertEqual((first.boot, bool(first.boot)), (again.boot, True))
        self.assertNotEqual(anew.boot, first.boot)

    async def test_failures(self) -> None:
        """A step that fails does so with its kind and reason, and hinders no further one."""
        broken = [
            (CreateVolume(instance="i1", disk=self.disk("drbd")), "storage", "drbd"),
            (StartDomain(instance="i1", domain=self.domain(hypervisor="xen")), "hypervisor", "xen"),
            (
                SetMemory(instance="i1", hypervisor="fake", instance_uuid="none", memory=1),
                "hypervisor",
                "run",
            ),
        ]
        for step, kind, word in broken:
            error = await self.fails(StepFailed, self.agent.perform(step, 1))
            self.assertEqual(error.kind, kind)
            self.assertIn(word, error.text)
        await self.agent.perform(self.start(), 1)

    async def test_older_term(self) -> None:
        """A master of an older term does and sees nothing; the terms are named."""
        await self.agent.perform(self.stop("other"), 5)
        for work in (self.agent.perform(self.start(), 4), self.agent.watch(4, self.fail)):
            error = await self.fails(StaleTerm, work)
            self.assertEqual((error.term, error.newest), (4, 5))
        seen, _, _ = self.watched(5)
        await self.until(lambda: seen)
        assert isinstance(seen[0], FullReport)
        self.assertEqual(seen[0].report.domains, {})

    async def test_watch(self) -> None:
        """First there is a full report, then changes as they happen, then heartbeats."""
        await self.agent.perform(self.start("before"), 1)
        seen, _, ended = self.watched()
        await self.until(lambda: seen)
        assert isinstance(seen[0], FullReport)
        self.assertEqual(list(seen[0].report.domains), ["before"])
        await self.agent.perform(self.start(), 1)
        await self.agent.perform(self.stop(), 1)
        await self.until(lambda: sum(isinstance(s, DomainChanged) for s in seen) == 2)
        changes = [(s.name, s.seen is not None) for s in seen if isinstance(s, DomainChanged)]
        self.assertEqual(changes, [("i1", True), ("i1", False)])
        del seen[:]
        await self.until(lambda: any(isinstance(s, Heartbeat) for s in seen), 1.5)
        self.assertEqual(ended, [])

    async def test_watch_ends(self) -> None:
        """A watch that is cancelled ends, and nothing more is told."""
        seen, watching, ended = self.watched()
        await self.until(lambda: seen)
        watching.cancel()
        await self.until(lambda: ended)
        self.assertTrue(ended[0].check(CancelledError))
        del seen[:]
        await self.agent.perform(self.start(), 1)
        await self.passes(1.2)
        self.assertEqual(seen, [])

    async def test_newer_master(self) -> None:
        """The watch of a master ends when there is a newer one, which is named."""
        seen, _, ended = self.watched(1)
        await self.until(lambda: seen)
        newer, _, _ = self.watched(2)
        await self.until(lambda: ended and newer)
        self.assertTrue(ended[0].check(StaleTerm), ended[0])
        self.assertEqual((ended[0].value.term, ended[0].value.newest), (1, 2))

    async def test_in_turn(self) -> None:
        """Steps of one instance wait for each other, those of another one do not."""
        run = await self._held()
        following = Deferred.fromCoroutine(self.agent.perform(self.stop(), 1))
        await self.agent.perform(self.start("other"), 1)
        await self.passes(0.1)
        self.assertNoResult(following)
        self.runner.release()
        await run
        await following
        self.assertEqual(self.runner.ran, [("create", "good", "i1")])

    async def test_caller_gone(self) -> None:
        """A step goes on when who asked has gone."""
        run = await self._held()
        run.cancel()
        run.addErrback(lambda failure: failure.trap(CancelledError, NodeError))
        await self.passes(0.1)
        following = Deferred.fromCoroutine(self.agent.perform(self.stop(), 1))
        await self.passes(0.1)
        self.assertNoResult(following)
        self.runner.release()
        await following
        self.assertEqual(self.runner.ran, [("create", "good", "i1")])

    async def test_waited_too_long(self) -> None:
        """A step that waited for its turn is not carried out for a master that is none any more."""
        run = await self._held()
        following = Deferred.fromCoroutine(self.agent.perform(self.start(), 1))
        await self.passes(0.1)
        await self.agent.perform(self.stop("other"), 2)
        self.runner.release()
        await run
        await self.fails(StaleTerm, following)
        seen, _, _ = self.watched(2)
        await self.until(lambda: seen)
        assert isinstance(seen[0], FullReport)
        self.assertEqual(seen[0].report.domains, {})

    async def _held(self) -> Deferred[Any]:
        """A script that runs until it is released."""
        self.runner.hold()
        step = RunOs(instance="i1", action="create", domain=self.domain())
        run = Deferred.fromCoroutine(self.agent.perform(step, 1))
        await self.until(lambda: self.runner.held)
        return run
