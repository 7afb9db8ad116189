"""Real machines: a libvirtd of the test's own, QEMU without KVM; guests have nothing to boot."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from msgspec.structs import replace
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.trial.reporter import TestResult
from twisted.trial.runner import TestLoader
from twisted.trial.unittest import SynchronousTestCase, TestCase

from tests.requirements import missing
from tests.unit.hypervisor.test_domain_xml import CHANGES, UUID, spec
from tests.unit.hypervisor.test_xml_onto import machine
from tests.unit.plan.definitions import definition
from twisted_rapi.errors import StepFailed
from twisted_rapi.hypervisor.domain_xml import from_xml, to_xml
from twisted_rapi.hypervisor.interface import IHypervisor
from twisted_rapi.hypervisor.xml_base import Found
from twisted_rapi.hypervisor.xml_nics import tap_name
from twisted_rapi.model.param_tables import HV_DEFAULTS
from twisted_rapi.model.records import Params
from twisted_rapi.model.steps import DiskSpec, DomainSpec, MigrationTarget, NicSpec
from twisted_rapi.testing.contracts.hypervisor import HypervisorContract
from twisted_rapi.testing.libvirtd import LibvirtDaemon

NEEDS = ("libvirtd", "virsh", "qemu-system-x86_64", "unshare", "module:libvirt", "ip")
MAC = "52:54:00:11:22:33"
# As an agent asks for it, slowly.
_MIGRATE = """
import sys
import libvirt
here, uuid, there = sys.argv[1:]
flags = libvirt.VIR_MIGRATE_PEER2PEER | libvirt.VIR_MIGRATE_LIVE | libvirt.VIR_MIGRATE_UNSAFE
flags |= libvirt.VIR_MIGRATE_PERSIST_DEST | libvirt.VIR_MIGRATE_UNDEFINE_SOURCE
values = {libvirt.VIR_MIGRATE_PARAM_URI: "tcp://127.0.0.1", libvirt.VIR_MIGRATE_PARAM_BANDWIDTH: 1}
libvirt.open(here).lookupByUUIDString(uuid).migrateToURI3(there, values, flags)
"""
BASE = (
    definition()
    .replace("pc-i440fx-2.7", "pc")
    .replace('<source file="/iso/a.iso"/><target dev="hda" bus="ide"/>', '<target dev="sdz" bus="sata"/>')
)
NIC = NicSpec(uuid=UUID, mac=MAC, link="br0")


def small(**more: Any) -> DomainSpec:
    """A machine that takes little."""
    return replace(HypervisorContract.spec, memory=32, minmem=32, **more)


def contract_of(uri: str) -> type[TestCase]:
    """The contract's tests against this libvirt."""
    from twisted_rapi.hypervisor.libvirt import LibvirtHypervisor

    class QemuContractTests(HypervisorContract, TestCase):
        async def make(self) -> IHypervisor:
            return LibvirtHypervisor(uri, reactor)

        async def settled(self) -> None:
            await self.hypervisor.domains()
            await deferLater(reactor, 0.3)  # libvirt's own thread brings events

    return QemuContractTests


class ContractTests(SynchronousTestCase):
    """All of the contract with one daemon, which takes seconds to start; its tests spin the reactor."""

    skip = missing(*NEEDS)

    def test_contract(self) -> None:
        """`IHypervisor`'s contract holds for QEMU through libvirt."""
        self.patch(os, "environ", {**os.environ, "RAPI_ACCELERATION": "tcg"})
        daemon = LibvirtDaemon(Path(self.mktemp()).resolve())
        self.addCleanup(daemon.stop)
        daemon.start()
        result = TestResult()
        TestLoader().loadClass(contract_of(daemon.uri)).run(result)
        bad = [f"{case.id()}: {error}" for case, error in (*result.failures, *result.errors)]
        self.assertEqual("\n".join(bad), "")
        self.assertGreaterEqual(result.successes, 10)
        self.assertEqual(daemon.domains(), [])


class QemuTests(TestCase):
    """What is particular to real machines."""

    skip = missing(*NEEDS)
    timeout = 120

    async def setUp(self) -> None:  # type: ignore[override]
        from twisted_rapi.hypervisor.libvirt import LibvirtHypervisor

        self.patch(os, "environ", {**os.environ, "RAPI_ACCELERATION": "tcg"})
        self.daemon = LibvirtDaemon(Path(self.mktemp()).resolve(), "one")
        self.addCleanup(self.daemon.stop)
        self.daemon.start()
        self.hypervisor = LibvirtHypervisor(self.daemon.uri, reactor)
        await self.hypervisor.start_service()
        self.addCleanup(lambda: Deferred.fromCoroutine(self.hypervisor.stop_service()))

    async def stop(self) -> None:
        await self.hypervisor.stop(UUID, 0)

    def test_definitions(self) -> None:
        """libvirt takes what is written for each parameter, by its schema and itself, and keeps it."""
        import libvirt

        connection = libvirt.open(self.daemon.uri)
        self.addCleanup(connection.close)
        found = Found(
            passwords={"vnc_password_file": "p", "spice_password_file": "p"},
            addresses={"eth0": ("::1", "127.0.0.1")},
        )
        of_host = {
            "kvm_path",
            "spice_use_tls",
            "spice_tls_ciphers",
        }  # they need a file, or a daemon's setting
        resolved = {"cpu_type", "machine_version"}  # to what this QEMU has
        for name, (value, beside) in CHANGES.items():
            values: Params = {**HV_DEFAULTS["kvm"], "kernel_path": "", **beside, name: value}
            text = to_xml(spec((NIC,), 1, **values), ["/d"], "qemu", "", found)
            if name in of_host:
                continue
            try:
                domain = connection.defineXMLFlags(text, libvirt.VIR_DOMAIN_DEFINE_VALIDATE)
            except libvirt.libvirtError as e:
                raise self.failureException(f"{name}: {e}") from e
            kept, written = from_xml(domain.XMLDesc(0)), from_xml(text)
            domain.undefine()
            self.assertEqual(
                (kept.nics, kept.disks, kept.vcpus), (written.nics, written.disks, written.vcpus)
            )
            if name in written.hvparams and name not in resolved:
                self.assertEqual(kept.hvparams.get(name), written.hvparams[name], name)
            self.check_base(connection, name, {**beside, name: value}, found)

    def check_base(self, connection: Any, name: str, values: Params, found: Found) -> None:
        """libvirt takes the parameter on a definition that somebody wrote, too, and keeps the rest."""
        import libvirt

        domain = machine(BASE)
        domain = replace(
            domain, hvparams={**domain.hvparams, "kernel_path": "", **values}, console_port=11000
        )
        text = to_xml(domain, ["rbd:vms/new1_sda"], "qemu", "", found)
        try:
            defined = connection.defineXMLFlags(text, libvirt.VIR_DOMAIN_DEFINE_VALIDATE)
        except libvirt.libvirtError as e:
            raise self.failureException(f"{name} on a base: {e}") from e
        self.assertIn("i6300esb", defined.XMLDesc(0))
        defined.undefine()

    async def test_base(self) -> None:
        """A guest runs with what only its definition says, and with what has changed since."""
        domain = replace(machine(BASE), memory=32, minmem=32, beparams={"maxmem": 32}, disks=(), nics=())
        await self.hypervisor.start(domain, [])
        self.addCleanup(lambda: Deferred.fromCoroutine(self.hypervisor.stop(domain.instance_uuid, 0)))
        [pid] = self.daemon.qemu_pids()
        words = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
        for wanted in ("i6300esb", "virtio-rng-pci", "sockets=1,dies=1,cores=2,threads=1", "-m 32"):
            self.assertIn(wanted, words.replace("-m size=32768k", "-m 32"))
        seen = (await self.hypervisor.domains())[domain.name]
        self.assertEqual((seen.memory, seen.vcpus, seen.uuid), (32, 2, domain.instance_uuid))

    async def test_routed(self) -> None:
        """A routed NIC's address is in the routing table of its link while the guest runs."""
        nic = replace(NIC, mode="routed", link="7077", ip="198.51.100.77")
        self.addCleanup(subprocess.run, ["ip", "rule", "del", "iif", tap_name(nic)], capture_output=True)
        domain = small(nics=(nic,))
        for _ in range(2):  # whoever starts it again finds it done
            await self.hypervisor.start(domain, [])
        self.assertIn(f"198.51.100.77 dev {tap_name(nic)}", self.shown("route", "show", "table", "7077"))
        self.assertEqual(self.shown("rule").count(f"iif {tap_name(nic)} lookup 7077"), 1)
        [read] = from_xml(self.daemon.virsh("dumpxml", domain.name)).nics
        self.assertEqual((read.mode, read.link, read.ip), ("routed", "7077", "198.51.100.77"))
        await self.stop()
        self.assertNotIn("198.51.100.77", self.shown("route", "show", "table", "7077"))
        with self.assertRaisesRegex(StepFailed, "no-such-table"):
            await self.hypervisor.start(small(nics=(replace(nic, link="no-such-table"),)), [])
        self.assertEqual((self.daemon.domains(), self.daemon.qemu_pids()), ([], []))

    def shown(self, *arguments: str) -> str:
        return subprocess.run(["ip", *arguments], capture_output=True, text=True, check=False).stdout

    async def test_displays(self) -> None:
        """VNC by QEMU's TLS and SPICE with a password listen where they are said to."""
        file = Path(self.mktemp())
        file.write_text("xyzzy\n")
        port = 15901
        for values in (
            {"vnc_bind_address": "lo", "vnc_tls": True},
            {"vnc_bind_address": "127.0.0.1", "vnc_password_file": str(file)},
            {"spice_bind": "lo", "spice_ip_version": 4, "spice_password_file": str(file), "soundhw": "ac97"},
        ):
            seen = await self.hypervisor.start(small(hvparams=values, console_port=port), [])
            self.assertEqual(seen.vnc_port, port if "vnc_bind_address" in values else 0)
            self.assertIn(
                f"127.0.0.1:{port}", subprocess.run(["ss", "-ltn"], capture_output=True, text=True).stdout
            )
            await self.stop()

    async def test_kept_device(self) -> None:
        """A guest that does not let go of a device keeps it, and the operator is told."""
        await self.hypervisor.start(small(), [])
        nic = replace(NIC, mode="routed", uuid="00000000" + UUID[8:])
        await self.hypervisor.attach(small(), nic)
        with self.assertRaisesRegex(StepFailed, "does not let go"):
            await self.hypervisor.detach(small(), nic)
        [seen] = (await self.hypervisor.domains()).values()
        self.assertEqual(seen.devices, (MAC,))
        await self.stop()

    async def other(self) -> tuple[LibvirtDaemon, Any]:
        """Another daemon, where guests may go, and a hypervisor on it."""
        from twisted_rapi.hypervisor.libvirt import LibvirtHypervisor

        daemon = LibvirtDaemon(Path(self.mktemp()).resolve(), "other")
        self.addCleanup(daemon.stop)
        daemon.start()
        hypervisor = LibvirtHypervisor(daemon.uri, reactor)
        await hypervisor.start_service()
        self.addCleanup(lambda: Deferred.fromCoroutine(hypervisor.stop_service()))
        return daemon, hypervisor

    async def test_migration_taken_over(self) -> None:
        """A migration whose agent was killed goes on, and is waited for by the one after it."""
        import libvirt

        from twisted_rapi.hypervisor.libvirt_devices import is_leaving

        other_daemon, other = await self.other()
        domain = small()
        await self.hypervisor.start(domain, [])
        mine = libvirt.open(self.daemon.uri)
        self.addCleanup(mine.close)
        self.assertFalse(is_leaving(mine, UUID))
        command = (sys.executable, "-c", _MIGRATE, self.daemon.uri, UUID, other_daemon.uri)
        agent = subprocess.Popen(command)
        self.addCleanup(agent.wait)
        while not is_leaving(mine, UUID) and self.daemon.domains():
            await deferLater(reactor, 0.05)
        agent.kill()
        target = MigrationTarget(uri=other_daemon.uri, address="127.0.0.1")
        with self.assertRaisesRegex(StepFailed, "does not run"):
            await self.hypervisor.migrate(domain, target)
        await self.hypervisor.await_migration(UUID)
        [seen] = (await other.domains()).values()
        self.assertEqual((await self.hypervisor.domains(), seen.state), ({}, "running"))
        await other.stop(UUID, 0)

    async def test_migrate(self) -> None:
        """A guest runs on under the other daemon, with its disk, definition and all; here nothing is left."""
        image = Path(self.mktemp()).resolve()
        image.write_bytes(bytes(1024 * 1024))
        other_daemon, other = await self.other()
        domain = small(disks=(DiskSpec(uuid=UUID, index=0, template="sharedfile", size=1),))
        await self.hypervisor.start(domain, [str(image)])
        target = MigrationTarget(
            uri=other_daemon.uri,
            address="127.0.0.1",
            bandwidth=100,
            downtime=200,
            capabilities=("auto-converge",),
        )
        with self.assertRaisesRegex(StepFailed, "no-such"):
            await self.hypervisor.migrate(domain, replace(target, capabilities=("no-such",)))
        await self.hypervisor.migrate(domain, target)
        self.assertEqual(await self.hypervisor.domains(), {})
        [seen] = (await other.domains()).values()
        self.assertEqual((seen.state, seen.uuid, seen.devices), ("running", UUID, (UUID[:20],)))
        self.assertEqual((self.daemon.domains(), other_daemon.domains()), ([], [domain.name]))
        self.assertRegex(other_daemon.virsh("dominfo", domain.name), r"Persistent: +yes")
        await other.stop(UUID, 0)
