"""What every `IHypervisor` does."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace
from twisted.internet.defer import Deferred
from twisted.trial.unittest import TestCase
from zope.interface.verify import verifyObject

from twisted_rapi.errors import StepFailed
from twisted_rapi.hypervisor.interface import IHypervisor
from twisted_rapi.model.seen import DomainSeen
from twisted_rapi.model.steps import DiskSpec, DomainSpec, MigrationTarget, NicSpec

UUID = "5a1e6a0e-94a2-4b2c-8d6f-0d6f6f6b1c11"

if TYPE_CHECKING:
    _Base = TestCase
else:
    _Base = object


class HypervisorContract(_Base):
    """Mixed into a test case that makes the hypervisor with `make`.  Stops are forced: guests may be deaf."""

    spec = DomainSpec(
        name="inst1.example", instance_uuid=UUID, hypervisor="kvm", memory=128, minmem=128, vcpus=1
    )

    async def make(self) -> IHypervisor:
        """A hypervisor that has no domain called like `spec`; the test case cleans up behind it."""
        raise NotImplementedError

    async def setUp(self) -> None:  # type: ignore[override]
        """Start the hypervisor, and collect what observers are told."""
        self.hypervisor = await self.make()
        await self.hypervisor.start_service()
        self.addCleanup(lambda: Deferred.fromCoroutine(self.hypervisor.stop_service()))
        self.addCleanup(lambda: Deferred.fromCoroutine(self.hypervisor.stop(self.spec.instance_uuid, 0)))
        self.told: list[tuple[str, DomainSeen | None]] = []
        self.addCleanup(self.hypervisor.observe(lambda name, seen: self.told.append((name, seen))))

    async def seen(self) -> DomainSeen | None:
        """The domain now."""
        return (await self.hypervisor.domains()).get(self.spec.name)

    async def test_interface(self) -> None:
        """It provides the interface and says what it is."""
        verifyObject(IHypervisor, self.hypervisor)
        self.assertTrue(await self.hypervisor.version())
        self.assertRegex(await self.hypervisor.acceleration(), r"^(kvm|tcg: .+|simulated)$")

    async def test_start(self) -> None:
        """A started domain runs with its name, uuid, memory and processors, and has a boot."""
        started = await self.hypervisor.start(self.spec, [])
        found = await self.seen()
        assert found is not None
        self.assertTrue(found.running)
        self.assertEqual((found.uuid, found.memory, found.vcpus), (UUID, 128, 1))
        self.assertEqual((found.boot, bool(found.boot)), (started.boot, True))

    async def test_start_twice(self) -> None:
        """One that runs is left as it is, whatever it would be."""
        first = await self.hypervisor.start(self.spec, [])
        second = await self.hypervisor.start(replace(self.spec, memory=64, minmem=64), [])
        self.assertEqual((first.boot, second.memory), (second.boot, 128))

    async def test_paused(self) -> None:
        """A domain can be started without its guest being let go."""
        self.assertEqual((await self.hypervisor.start(self.spec, [], paused=True)).state, "paused")

    async def test_stop(self) -> None:
        """A stopped domain is gone, definition and all; stopping it again is well."""
        await self.hypervisor.start(self.spec, [])
        for _ in range(2):
            await self.hypervisor.stop(UUID, 60, force=True)
            self.assertIsNone(await self.seen())

    async def test_boots_differ(self) -> None:
        """A domain that was stopped and started has another boot, left alone by a stop of the old."""
        first = await self.hypervisor.start(self.spec, [])
        await self.hypervisor.stop(UUID, 0)
        second = await self.hypervisor.start(self.spec, [])
        self.assertNotEqual(first.boot, second.boot)
        await self.hypervisor.stop(UUID, 0, boot=first.boot)
        self.assertEqual((await self.hypervisor.domains())[self.spec.name].boot, second.boot)
        await self.hypervisor.stop(UUID, 0, boot=second.boot)
        self.assertIsNone(await self.seen())

    async def test_paths_missing(self) -> None:
        """Each disk needs a path; otherwise nothing is started."""
        error = await self._failure(self.hypervisor.start(self.spec, ["/one/too/many"]))
        self.assertEqual(error.kind, "hypervisor")
        self.assertIsNone(await self.seen())

    async def test_devices(self) -> None:
        """A running guest is given a NIC and a disk, is told that the disk has grown, and shows both."""
        nic = NicSpec(uuid=UUID, mac="52:54:00:00:00:07", mode="routed")
        disk = DiskSpec(uuid=UUID, index=0, template="file", size=1)
        await self.hypervisor.start(self.spec, [])
        path = self.mktemp()
        Path(path).write_bytes(bytes(1024 * 1024))
        for _ in range(2):
            await self.hypervisor.attach(self.spec, nic)
            await self.hypervisor.attach(self.spec, disk, str(Path(path).resolve()))
        await self.hypervisor.show_growth(self.spec, replace(disk, size=2))
        await self.hypervisor.connect(["br-of-nobody"])
        found = await self.seen()
        assert found is not None
        self.assertEqual(sorted(found.devices), sorted((UUID[:20], nic.mac)))

    async def test_devices_of_none(self) -> None:
        """A guest that does not run has no devices and cannot migrate; what is not there is gone."""
        nic = NicSpec(uuid=UUID, mac="52:54:00:00:00:07", mode="routed")
        disk = DiskSpec(uuid=UUID, index=0, template="file", size=1)
        target = MigrationTarget(uri="/nowhere")
        for work in (
            self.hypervisor.attach(self.spec, nic),
            self.hypervisor.detach(self.spec, nic),
            self.hypervisor.show_growth(self.spec, disk),
            self.hypervisor.migrate(self.spec, target),
        ):
            self.assertEqual((await self._failure(work)).kind, "hypervisor")
        await self.hypervisor.start(self.spec, [])
        await self.hypervisor.detach(self.spec, nic)
        self.assertEqual(
            (await self._failure(self.hypervisor.show_growth(self.spec, disk))).kind, "hypervisor"
        )
        self.assertEqual((await self._failure(self.hypervisor.migrate(self.spec, target))).kind, "hypervisor")
        found = await self.seen()
        assert found is not None
        self.assertTrue(found.running)

    async def test_await_migration(self) -> None:
        """A guest that is not on its way elsewhere, or is not here, is not waited for."""
        await self.hypervisor.await_migration(UUID)
        await self.hypervisor.start(self.spec, [])
        await self.hypervisor.await_migration(UUID)
        found = await self.seen()
        assert found is not None
        self.assertTrue(found.running)

    async def test_memory_of_none(self) -> None:
        """Only a running domain's memory can be set."""
        self.assertEqual((await self._failure(self.hypervisor.set_memory(UUID, 64))).kind, "hypervisor")

    async def _failure(self, work: Any) -> StepFailed:
        try:
            await work
        except StepFailed as e:
            return e
        self.fail("it did not fail")
        raise AssertionError

    async def test_observed(self) -> None:
        """Observers are told of a start and of the end."""
        await self.hypervisor.start(self.spec, [])
        await self.settled()
        self.assertTrue(any(n == self.spec.name and s is not None and s.running for n, s in self.told))
        await self.hypervisor.stop(UUID, 0)
        await self.settled()
        self.assertEqual(self.told[-1], (self.spec.name, None))

    async def test_observer_twice(self) -> None:
        """An observer that was removed is told no more; removing it again is well."""
        told: list[str] = []
        end = self.hypervisor.observe(lambda name, _: told.append(name))
        end()
        end()
        await self.hypervisor.start(self.spec, [])
        self.assertEqual(told, [])

    async def settled(self) -> None:
        """Wait until events under way have been told; at once by default."""
