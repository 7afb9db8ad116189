"""The contract of `IHypervisor` on the simulated one, and what is its own."""

import os
from pathlib import Path
from random import Random

from msgspec.structs import replace
from twisted.internet import reactor
from twisted.internet.defer import Deferred, DeferredQueue
from twisted.internet.task import Clock
from twisted.trial.unittest import TestCase

from tests.contract.test_volumes import at_once
from twisted_rapi.hypervisor.folder import watch_with
from twisted_rapi.hypervisor.interface import IHypervisor
from twisted_rapi.hypervisor.simulated import SimulatedHypervisor
from twisted_rapi.model.seen import DomainSeen
from twisted_rapi.model.steps import MigrationTarget, NicSpec
from twisted_rapi.testing.contracts.hypervisor import UUID, HypervisorContract


class SimulatedTests(HypervisorContract, TestCase):
    """The simulated one."""

    async def make(self) -> IHypervisor:
        self.clock = Clock()
        self.chance = Random(1)
        self.directory = self.mktemp()
        self.simulated = self.another()
        return self.simulated

    def another(self) -> SimulatedHypervisor:
        """One with the same domains, as after a restart of the agent."""
        return SimulatedHypervisor(Path(self.directory), self.clock, at_once, self.chance, shutdown_time=2.0)

    async def test_restart(self) -> None:
        """Another agent finds the same boot running."""
        started = await self.simulated.start(self.spec, [])
        self.assertEqual(await self.another().domains(), {self.spec.name: started})

    async def test_shutdown_takes_time(self) -> None:
        """A guest that listens is gone after its shutdown time."""
        await self.simulated.start(self.spec, [])
        stopping = Deferred.fromCoroutine(self.simulated.stop(UUID, 60))
        self.clock.advance(1.9)
        self.assertIsNotNone(await self.seen())
        self.clock.advance(0.2)
        self.successResultOf(stopping)
        self.assertIsNone(await self.seen())

    async def test_deaf(self) -> None:
        """A deaf guest is ended at the timeout."""
        self.simulated.deaf.add(UUID)
        await self.simulated.start(self.spec, [])
        stopping = Deferred.fromCoroutine(self.simulated.stop(UUID, 60))
        self.clock.advance(59)
        self.assertNoResult(stopping)
        self.clock.advance(1)
        self.successResultOf(stopping)
        self.assertIsNone(await self.seen())

    async def test_migrate(self) -> None:
        """A guest goes to another folder with its devices, as another boot; observers here see it go."""
        nic = NicSpec(uuid=UUID, mac="52:54:00:00:00:07")
        first = await self.simulated.start(replace(self.spec, nics=(nic,)), [])
        folder = self.mktemp()
        other = SimulatedHypervisor(Path(folder), self.clock, at_once, self.chance)
        await other.start_service()
        await self.simulated.migrate(self.spec, MigrationTarget(uri=folder))
        self.assertEqual(self.told[-1], (self.spec.name, None))
        [moved] = (await other.domains()).values()
        self.assertEqual(moved, replace(first, boot=moved.boot))
        self.assertNotEqual(moved.boot, first.boot)

    async def test_detach(self) -> None:
        """A device that is taken away is told."""
        nic = NicSpec(uuid=UUID, mac="52:54:00:00:00:07")
        await self.simulated.start(replace(self.spec, nics=(nic,)), [])
        await self.simulated.detach(self.spec, nic)
        last = self.told[-1][1]
        assert last is not None
        self.assertEqual(last.devices, ())

    async def test_crash(self) -> None:
        """A crash is told, and a start boots it anew."""
        started = await self.simulated.start(self.spec, [])
        await self.simulated.crash(UUID)
        last = self.told[-1][1]
        assert last is not None
        self.assertEqual((last.state, last.running), ("crashed", False))
        self.assertNotEqual((await self.simulated.start(self.spec, [])).boot, started.boot)

    async def test_restarted_meanwhile(self) -> None:
        """A guest that was started anew while its stop waited is left alone by a stop of the old boot."""
        first = await self.simulated.start(self.spec, [])
        stopping = Deferred.fromCoroutine(self.simulated.stop(UUID, 60, boot=first.boot))
        self.clock.advance(1)
        await self.simulated.stop(UUID, 0)
        second = await self.simulated.start(self.spec, [])
        self.clock.advance(1)
        self.successResultOf(stopping)
        self.assertEqual(await self.simulated.domains(), {self.spec.name: second})

    async def test_removed_by_hand(self) -> None:
        """A domain whose file was removed is gone, and a broken file is no domain."""
        await self.simulated.start(self.spec, [])
        os.unlink(Path(self.directory) / f"{UUID}.json")
        (Path(self.directory) / "broken.json").write_text("{")
        self.assertEqual(await self.simulated.domains(), {})

    async def test_memory(self) -> None:
        """The guest has the memory it was given."""
        await self.simulated.start(self.spec, [])
        await self.simulated.set_memory(UUID, 64)
        self.assertEqual((await self.simulated.domains())[self.spec.name].memory, 64)


class WatchedTests(TestCase):
    """The simulated one with the kernel's word on changes that others make."""

    async def setUp(self) -> None:  # type: ignore[override]
        folder = Path(self.mktemp())
        one, other = (
            SimulatedHypervisor(folder, reactor, at_once, Random(n), watch=watch_with(reactor))
            for n in range(2)
        )
        self.folder, self.one, self.other = folder, one, other
        self.told: DeferredQueue[tuple[str, DomainSeen | None]] = DeferredQueue()
        for hypervisor in (one, other):
            await hypervisor.start_service()
            self.addCleanup(self.end, hypervisor)
        self.addCleanup(self.other.observe(lambda name, seen: self.told.put((name, seen))))

    def end(self, hypervisor: SimulatedHypervisor) -> "Deferred[None]":
        return Deferred.fromCoroutine(hypervisor.stop_service())

    async def test_by_hand(self) -> None:
        """A machine that is made, changed and removed behind the agent's back is told each time."""
        spec = HypervisorContract.spec
        started = await self.one.start(spec, [])
        self.assertEqual(await self.told.get(), (spec.name, started))
        file = self.folder / f"{UUID}.json"
        file.write_bytes(file.read_bytes().replace(b'"running"', b'"crashed"'))
        told: DomainSeen | None = started
        while told is not None and told.state != "crashed":  # a file that is half written is none
            told = (await self.told.get())[1]
        file.unlink()
        self.assertEqual(await self.told.get(), (spec.name, None))
