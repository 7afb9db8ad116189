"""The contract of `IHypervisor` on libvirt's built-in test driver, which has no guests."""

from twisted.internet import reactor
from twisted.trial.unittest import TestCase

from tests.requirements import missing
from twisted_rapi.errors import StepFailed
from twisted_rapi.hypervisor.interface import IHypervisor
from twisted_rapi.testing.contracts.hypervisor import HypervisorContract


class TestDriverTests(HypervisorContract, TestCase):
    """Real QEMU is in the acceptance suite (`tests.acceptance.test_real_guest`)."""

    skip = missing("module:libvirt")

    async def make(self) -> IHypervisor:
        from twisted_rapi.hypervisor.libvirt import LibvirtHypervisor

        return LibvirtHypervisor("test:///default", reactor)

    async def test_paused(self) -> None:
        """The test driver cannot start paused: that is told, and nothing is left defined."""
        try:
            await self.hypervisor.start(self.spec, [], paused=True)
        except StepFailed as e:
            self.assertEqual(e.kind, "hypervisor")
            self.assertIsNone(await self.seen())
        else:
            raise self.failureException("it started")

    async def test_devices(self) -> None:
        """The test driver has no devices; `tests.functional.test_qemu` has."""
