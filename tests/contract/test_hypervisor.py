"""The contract of `IHypervisor` on the simulated one, and what is its own."""

import os
from pathlib import Path
from random import Random

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import TestCase

from tests.contract.test_volumes import at_once
from twisted_rapi.hypervisor.interface import IHypervisor
from twisted_rapi.hypervisor.simulated import SimulatedHypervisor
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

    async def test_crash(self) -> None:
        """A crash is told, and a start boots it anew."""
        started = await self.simulated.start(self.spec, [])
        await self.simulated.crash(UUID)
        last = self.told[-1][1]
        assert last is not None
        self.assertEqual((last.state, last.running), ("crashed", False))
        self.assertNotEqual((await self.simulated.start(self.spec, [])).boot, started.boot)

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
