"""Steps on guests that run: devices come and go, disks grow, guests migrate, remarks are told."""

from pathlib import Path
from random import Random
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from twisted_rapi.errors import StepFailed
from twisted_rapi.hypervisor.simulated import SimulatedHypervisor
from twisted_rapi.model import steps
from twisted_rapi.model.seen import DomainChanged, DomainSeen
from twisted_rapi.model.steps import DiskSpec, DomainSpec, MigrationTarget, NicSpec, Outcome
from twisted_rapi.testing.agents import at_once, make_node

NAME = "i1"
DISK = DiskSpec(uuid="5a1e6a0e-94a2-4b2c-8d6f-0d6f6f6b1c11", index=0, template="file", size=4,
                logical_id=("loop", "/volumes/x"))  # fmt: skip
NIC = NicSpec(uuid="n", mac="52:54:00:00:00:07")
DOMAIN = DomainSpec(name=NAME, instance_uuid="u", hypervisor="fake", memory=64, minmem=64, vcpus=1)


class Remarking(SimulatedHypervisor):
    """One that has something to say."""

    def remarks(self, domain: DomainSpec) -> tuple[str, ...]:
        """See `IHypervisor.remarks`."""
        return (f"something about {domain.name}",)


class RunningGuestTests(SynchronousTestCase):
    """`Node.perform` with one guest that runs."""

    def setUp(self) -> None:
        folder = Path(self.mktemp())
        self.other = folder / "other"
        self.other.mkdir(parents=True)
        self.clock = Clock()
        hypervisor = Remarking(folder / "fake", self.clock, at_once, Random(1))
        self.node = make_node(folder, self.clock, hypervisors={"fake": hypervisor})
        self.done(self.node.begin())
        self.seen: list[Any] = []
        watching = Deferred.fromCoroutine(self.node.watch(1, self.seen.append))
        watching.addErrback(lambda f: f.trap(CancelledError))
        self.addCleanup(watching.cancel)
        self.perform(steps.CreateVolume(instance=NAME, disk=DISK))
        self.started = self.perform(steps.StartDomain(instance=NAME, domain=DOMAIN))

    def done(self, work: Any) -> Any:
        return self.successResultOf(Deferred.fromCoroutine(work))

    def perform(self, step: steps.Step) -> Outcome:
        outcome: Outcome = self.done(self.node.perform(step, 1))
        return outcome

    def last(self) -> DomainSeen | None:
        """The guest as it was told last."""
        told: list[DomainChanged] = [s for s in self.seen if isinstance(s, DomainChanged)]
        return told[-1].seen

    def devices(self) -> tuple[str, ...]:
        seen = self.last()
        assert seen is not None
        return seen.devices

    def test_remarks(self) -> None:
        """What an operator has to know comes with the start."""
        self.assertEqual(self.started.warnings, (f"something about {NAME}",))

    def test_devices(self) -> None:
        """Each step may be sent twice; the master is told of devices that come and go."""
        both = (DISK.uuid[:20], NIC.mac)
        for _ in range(2):
            self.perform(steps.AttachDisk(instance=NAME, domain=DOMAIN, disk=DISK))
        for _ in range(2):
            self.perform(steps.AttachNic(instance=NAME, domain=DOMAIN, nic=NIC))
        self.assertEqual(self.devices(), both)
        self.perform(steps.ShowGrowth(instance=NAME, domain=DOMAIN, disk=DISK))
        for _ in range(2):
            self.perform(steps.DetachDisk(instance=NAME, domain=DOMAIN, disk=DISK))
        self.assertEqual(self.devices(), both[1:])
        for _ in range(2):
            self.perform(steps.DetachNic(instance=NAME, domain=DOMAIN, nic=NIC))
        self.assertEqual(self.devices(), ())

    def test_migrate(self) -> None:
        """The guest is gone here and runs there; sent again, the step fails and does no harm."""
        step = steps.MigrateDomain(instance=NAME, domain=DOMAIN, target=MigrationTarget(uri=str(self.other)))
        self.perform(step)
        self.assertIsNone(self.last())
        self.assertEqual(len(list(self.other.iterdir())), 1)
        self.failureResultOf(Deferred.fromCoroutine(self.node.perform(step, 1)), StepFailed)
        self.assertEqual(len(list(self.other.iterdir())), 1)

    def test_waited_for(self) -> None:
        """Where the guest is, is said once no migration of it is under way, whoever began that."""
        gone: Deferred[None] = Deferred()

        class Leaving(SimulatedHypervisor):
            """Its guest is on its way."""

            async def await_migration(self, uuid: str) -> None:
                await gone

        node = make_node(
            Path(self.mktemp()),
            self.clock,
            hypervisors={"fake": Leaving(self.other, self.clock, at_once, Random(1))},
        )
        self.successResultOf(Deferred.fromCoroutine(node.begin()))
        self.addCleanup(lambda: Deferred.fromCoroutine(node.end()))
        look = steps.LookAtDomain(instance=NAME, hypervisor="fake", instance_uuid=DOMAIN.instance_uuid)
        d = Deferred.fromCoroutine(node.perform(look, 1))
        self.assertNoResult(d)
        gone.callback(None)
        self.assertEqual(self.successResultOf(d), steps.Outcome())

    def test_deadlines(self) -> None:
        """A migration may take long; its step travels as it is."""
        step = steps.MigrateDomain(instance=NAME, domain=DOMAIN, target=MigrationTarget(uri="x"))
        self.assertGreater(steps.deadline(step), 3600)
