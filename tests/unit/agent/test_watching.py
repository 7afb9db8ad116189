"""What masters are told of a node when things hang, fail and change, on a clock that is held."""

from collections.abc import Mapping
from pathlib import Path
from random import Random
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from twisted_rapi.agent.exports import Exports
from twisted_rapi.agent.node import Node
from twisted_rapi.errors import StaleTerm, StepFailed
from twisted_rapi.hypervisor.simulated import SimulatedHypervisor
from twisted_rapi.model.seen import DomainChanged, DomainSeen, FullReport, Heartbeat, OsSeen, Sighting
from twisted_rapi.model.steps import DomainSpec, StartDomain, StopDomain
from twisted_rapi.testing.agents import at_once, make_node
from twisted_rapi.testing.allocators import FakeAllocators
from twisted_rapi.testing.hook_runner import FakeHookRunner
from twisted_rapi.testing.os_runner import FakeOsRunner
from twisted_rapi.testing.volumes import MemoryVolumes


class SlowHypervisor(SimulatedHypervisor):
    """
    One whose listing can be held.

    :ivar held: listings that wait, once `hold` is set; each reads before it waits.
    :ivar error: what listings fail with.
    """

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.hold = False
        self.held: list[Deferred[None]] = []
        self.error: Exception | None = None

    async def domains(self) -> Mapping[str, DomainSeen]:
        """See `IHypervisor.domains`."""
        if self.error is not None:
            raise self.error
        found = await super().domains()
        if self.hold:
            waiting: Deferred[None] = Deferred()
            self.held.append(waiting)
            await waiting
        return found


class HangingVolumes(MemoryVolumes):
    """
    Volumes whose sizes can hang.

    :ivar asked: how often they were asked for while they hang; `error` is what they fail with otherwise.
    """

    hang = False
    asked = 0
    error: Exception | None = None

    async def space(self) -> tuple[int, int]:
        """See `IVolumeDriver.space`."""
        if self.hang:
            self.asked += 1
            await Deferred()
        if self.error is not None:
            raise self.error
        return await super().space()


class Hanging:
    """
    Files of which reading can hang.

    :ivar asked: how often they were read while they hang.
    """

    def __init__(self) -> None:
        self.hang = False
        self.asked = 0

    async def wait(self) -> None:
        """For ever, if they hang."""
        if self.hang:
            self.asked += 1
            await Deferred()

    async def thread(self, work: Any, *args: Any) -> Any:
        """As a thread that reads them."""
        await self.wait()
        return await at_once(work, *args)


class HangingOses(FakeOsRunner):
    """OS definitions in such files."""

    def __init__(self, files: Hanging) -> None:
        super().__init__()
        self.files = files

    async def discover(self) -> tuple[OsSeen, ...]:
        """See `IOsRunner.discover`."""
        await self.files.wait()
        return await super().discover()


class HangingAllocators(FakeAllocators):
    """Allocators in such files."""

    def __init__(self, files: Hanging) -> None:
        super().__init__()
        self.files = files

    async def names(self) -> tuple[str, ...]:
        """See `IAllocators.names`."""
        await self.files.wait()
        return await super().names()


class HangingHooks(FakeHookRunner):
    """Hooks in such files."""

    def __init__(self, files: Hanging) -> None:
        super().__init__()
        self.files = files

    async def folders(self) -> tuple[str, ...]:
        """See `IHookRunner.folders`."""
        await self.files.wait()
        return await super().folders()


class WatchingTests(SynchronousTestCase):
    """A node with a hypervisor and volumes that can be held."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.folder = Path(self.mktemp())
        self.hypervisor = SlowHypervisor(self.folder / "fake", self.clock, at_once, Random(1))
        self.volumes = HangingVolumes()
        self.node = self.make()

    def make(self) -> Node:
        node = make_node(
            self.folder,
            self.clock,
            hypervisors={"fake": self.hypervisor},
            volumes={"file": self.volumes},
        )
        self.done(node.begin())
        return node

    def done(self, work: Any) -> Any:
        return self.successResultOf(Deferred.fromCoroutine(work))

    def watch(self, term: int = 1) -> tuple[list[Sighting], Deferred[None]]:
        seen: list[Sighting] = []
        return seen, Deferred.fromCoroutine(self.node.watch(term, seen.append))

    def start(self, name: str = "i1") -> StartDomain:
        domain = DomainSpec(
            name=name, instance_uuid=f"u-{name}", hypervisor="fake", memory=64, minmem=64, vcpus=1
        )
        return StartDomain(instance=name, domain=domain)

    def stop(self, name: str = "i1") -> StopDomain:
        return StopDomain(instance=name, hypervisor="fake", instance_uuid=f"u-{name}", timeout=0)

    def beats(self, seen: list[Sighting]) -> int:
        return sum(isinstance(s, Heartbeat) for s in seen)

    def reports(self, seen: list[Sighting]) -> list[set[str]]:
        return [set(s.report.domains) for s in seen if isinstance(s, FullReport)]

    def test_slow_first_look(self) -> None:
        """A look that takes long keeps a master from watching for a second only; what it finds is told."""
        self.done(self.node.perform(self.start("old"), 1))
        self.hypervisor.hold = True
        seen, _ = self.watch()
        self.clock.advance(0.9)
        self.assertEqual(seen, [])
        self.clock.advance(0.2)
        self.assertEqual(self.reports(seen), [{"old"}])
        self.clock.pump([1.0] * 3)
        self.assertEqual(self.beats(seen), 3)
        self.hypervisor.held[0].callback(None)
        self.assertEqual(self.reports(seen), [{"old"}, {"old"}])

    def test_one_look(self) -> None:
        """However many masters begin to watch, a hypervisor that hangs is asked once."""
        self.hypervisor.hold = True
        watches = [self.watch() for _ in range(5)]
        self.clock.pump([1.0] * 40)
        self.assertEqual(len(self.hypervisor.held), 1)
        for seen, watching in watches:
            self.assertNoResult(watching)
            self.assertGreater(self.beats(seen), 35)

    def test_changed_meanwhile(self) -> None:
        """What changes while a look is under way is newer than what the look read."""
        self.done(self.node.perform(self.start("goes"), 1))
        self.hypervisor.hold = True
        seen, _ = self.watch()
        self.clock.advance(1.0)
        self.hypervisor.hold = False
        self.done(self.node.perform(self.start("comes"), 1))
        self.done(self.node.perform(self.stop("goes"), 1))
        self.hypervisor.held[0].callback(None)
        self.assertEqual(self.reports(seen)[-1], {"comes"})

    def test_hanging_disk(self) -> None:
        """A disk that hangs stops neither heartbeats nor reports nor new watches, and is asked once."""
        seen, _ = self.watch()
        self.volumes.hang = True
        self.clock.pump([1.0] * 65)
        self.assertEqual(self.beats(seen), 65)
        self.assertEqual(len(self.reports(seen)), 3)
        another, _ = self.watch()
        self.clock.advance(1.0)
        self.assertEqual(len(self.reports(another)), 1)
        self.assertEqual(self.volumes.asked, 1)

    def test_hanging_disk_at_first(self) -> None:
        """A node begins although its disk hangs."""
        self.volumes.hang = True
        other = make_node(self.folder / "other", self.clock, volumes={"file": self.volumes})
        began = Deferred.fromCoroutine(other.begin())
        self.clock.advance(20.0)
        self.successResultOf(began)

    def test_hanging_files(self) -> None:
        """Files that hang, whatever is read of them, keep no report from being made, and are asked once."""
        parts: tuple[Any, ...] = (
            ("os_runner", HangingOses),
            ("allocators", HangingAllocators),
            ("hooks", HangingHooks),
            ("exports", lambda hanging: Exports(self.folder / "exports", hanging.thread)),
        )
        for part, make in parts:
            hanging = Hanging()
            node = make_node(self.folder / part, self.clock, **{part: make(hanging)})
            self.done(node.begin())
            hanging.hang = True
            seen: list[Sighting] = []
            watching = Deferred.fromCoroutine(node.watch(1, seen.append))
            self.clock.pump([0.5] * 140)
            self.assertEqual((len(self.reports(seen)), hanging.asked), (3, 1), part)
            watching.cancel()
            self.failureResultOf(watching, CancelledError)
            self.done(node.end())

    def test_hanging_groups(self) -> None:
        """The size of the disk is told although that of the volume groups hangs, and the other way round."""
        for well, hangs in (("file", "plain"), ("plain", "file")):
            volumes = {"file": HangingVolumes(total=500), "plain": HangingVolumes(total=500)}
            volumes[hangs].hang = True
            node = make_node(
                self.folder / hangs, self.clock, volumes={well: volumes[well], hangs: volumes[hangs]}
            )
            began = Deferred.fromCoroutine(node.begin())
            self.clock.advance(30)
            self.successResultOf(began)
            seen: list[Sighting] = []
            Deferred.fromCoroutine(node.watch(1, seen.append))
            self.clock.advance(2)
            assert isinstance(seen[0], FullReport)
            groups = seen[0].report.volume_groups["xenvg"]
            self.assertEqual((seen[0].report.disk_free > 0, groups[0] > 0), (True, well == "plain"))

    def test_failing_disk(self) -> None:
        """A disk that cannot be measured, be it for a bug, ends no heartbeats; a bug is logged."""
        seen, _ = self.watch()
        for error in (StepFailed("no disk", "storage"), OSError("no disk"), ValueError("a bug")):
            self.volumes.error = error
            self.clock.pump([1.0] * 2)
        self.assertEqual(self.beats(seen), 6)
        self.assertEqual(len(self.flushLoggedErrors(OSError, ValueError)), 4)

    def test_bug_in_look(self) -> None:
        """A look that meets a bug ends no reports: the next ones tell what is known."""
        self.done(self.node.perform(self.start(), 1))
        seen, watching = self.watch()
        self.hypervisor.error = ValueError("a bug")
        self.clock.pump([1.0] * 61)
        self.assertEqual(self.reports(seen), [{"i1"}] * 3)
        self.assertNoResult(watching)
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 2)

    def test_hypervisor_away(self) -> None:
        """Machines of a hypervisor that does not answer are as they were, and its version is gone."""
        self.done(self.node.perform(self.start(), 1))
        self.hypervisor.error = StepFailed("no connection", "hypervisor")
        seen, _ = self.watch()
        assert isinstance(seen[0], FullReport)
        self.assertEqual((set(seen[0].report.domains), seen[0].report.hypervisors), ({"i1"}, {}))

    def test_newer_term(self) -> None:
        """A step of a newer master ends the watches of older ones, not its own."""
        _, old = self.watch(1)
        _, new = self.watch(2)
        error = self.failureResultOf(old, StaleTerm).value
        self.assertEqual((error.term, error.newest), (1, 2))
        self.done(self.node.perform(self.stop(), 2))
        self.assertNoResult(new)

    def test_newer_term_meanwhile(self) -> None:
        """A master whose successor comes while it waits for its first look does not watch."""
        self.hypervisor.hold = True
        seen, old = self.watch(1)
        self.hypervisor.hold = False
        self.done(self.node.perform(self.stop(), 2))
        self.hypervisor.held[0].callback(None)
        self.failureResultOf(old, StaleTerm)
        self.assertEqual(seen, [])

    def test_failing_watcher(self) -> None:
        """A master that cannot be told ends its own watch only."""
        seen, watching = self.watch()

        def cannot(sighting: Sighting) -> None:
            if isinstance(sighting, Heartbeat):
                raise ValueError("a bug")

        broken = Deferred.fromCoroutine(self.node.watch(1, cannot))
        self.clock.pump([1.0] * 5)
        self.failureResultOf(broken, ValueError)
        self.assertEqual(self.beats(seen), 5)
        self.assertNoResult(watching)

    def test_told_once(self) -> None:
        """A change is told when it is one."""
        seen, _ = self.watch()
        for _ in range(2):
            self.done(self.node.perform(self.start(), 1))
        self.assertEqual(sum(isinstance(s, DomainChanged) for s in seen), 1)

    def test_end(self) -> None:
        """A node that ends tells nobody more, and leaves no timer."""
        seen, watching = self.watch()
        self.done(self.node.end())
        watching.addErrback(lambda _: None)
        self.successResultOf(watching)
        del seen[:]
        self.clock.pump([1.0] * 40)
        self.assertEqual((seen, self.clock.getDelayedCalls()), ([], []))

    def test_bug_in_step(self) -> None:
        """A bug met by a step is told as an internal failure, and the next step of its instance is done."""
        self.hypervisor.error = ValueError("a bug")
        error = self.failureResultOf(
            Deferred.fromCoroutine(self.node.perform(self.stop(), 1)), StepFailed
        ).value
        self.assertEqual(error.kind, "internal")
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)
        self.hypervisor.error = None
        self.done(self.node.perform(self.stop(), 1))

    def test_not_begun(self) -> None:
        """A node that has not begun takes no step and no watch."""
        other = make_node(self.folder / "other", self.clock)
        for work in (other.perform(self.stop(), 1), other.watch(1, self.fail)):
            error = self.failureResultOf(Deferred.fromCoroutine(work), StepFailed).value
            self.assertEqual(error.kind, "busy")
