"""Domain XML says what was asked for."""

from xml.etree import ElementTree as ET

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from twisted_rapi.errors import StepFailed
from twisted_rapi.hypervisor.domain_xml import DomainRead, from_xml, to_xml
from twisted_rapi.model.records import Params
from twisted_rapi.model.steps import DiskSpec, DomainSpec, NicSpec

UUID = "5a1e6a0e-94a2-4b2c-8d6f-0d6f6f6b1c11"
NAMES = st.text("abc<&'\"é/.-", min_size=1, max_size=12).map(lambda s: f"x{s}x")
DISKS = st.lists(st.tuples(NAMES, st.sampled_from(["rw", "ro"])), max_size=30)
NICS = st.lists(st.tuples(st.from_regex(r"\A[0-9a-f]{2}(:[0-9a-f]{2}){5}\Z"), NAMES), max_size=8)


def spec(**hvparams: object) -> DomainSpec:
    """A machine without devices."""
    params: Params = dict(hvparams)
    return DomainSpec(
        name="i", instance_uuid=UUID, hypervisor="kvm", memory=64, minmem=64, vcpus=1, hvparams=params
    )


class DomainXmlTests(SynchronousTestCase):
    """`to_xml` and `from_xml`."""

    @given(NAMES, st.integers(1, 1 << 20), st.integers(1, 64), DISKS, NICS)
    def test_round_trip(
        self, name: str, memory: int, vcpus: int, disks: list[tuple[str, str]], nics: list[tuple[str, str]]
    ) -> None:
        """What is written is read, whatever characters are in it."""
        domain = DomainSpec(
            name=name,
            instance_uuid=UUID,
            hypervisor="kvm",
            memory=memory,
            minmem=memory,
            vcpus=vcpus,
            beparams={"maxmem": memory * 2},
            disks=tuple(
                DiskSpec(uuid=UUID, index=n, template="file", size=1, mode="ro" if mode == "ro" else "rw")
                for n, (_, mode) in enumerate(disks)
            ),
            nics=tuple(NicSpec(uuid=UUID, mac=mac, link=link) for mac, link in nics),
        )
        expected = DomainRead(
            name=name,
            uuid=UUID,
            memory=memory,
            maxmem=memory * 2,
            vcpus=vcpus,
            kernel="",
            disks=tuple((path, mode, UUID[:20]) for path, mode in disks),
            nics=tuple((mac, "bridged", link) for mac, link in nics),
        )
        self.assertEqual(from_xml(to_xml(domain, [path for path, _ in disks], "kvm")), expected)

    def test_kernel(self) -> None:
        """A kernel of the node is started with its root, arguments and console."""
        root = ET.fromstring(
            to_xml(
                spec(kernel_path="/k", initrd_path="/i", root_path="/dev/vda1", kernel_args="ro"), [], "qemu"
            )
        )
        self.assertEqual(root.get("type"), "qemu")
        self.assertEqual(
            [root.findtext(f"os/{tag}") for tag in ("kernel", "initrd", "cmdline")],
            ["/k", "/i", "root=/dev/vda1 ro console=ttyS0"],
        )
        self.assertIsNone(root.find("os/boot"))

    def test_serial(self) -> None:
        """Serial output goes to a file of the instance's name, or to a pty."""
        to_file = ET.fromstring(to_xml(spec(), [], "kvm", serial_dir="/log")).find("devices/serial/source")
        assert to_file is not None
        self.assertEqual(to_file.get("path"), "/log/i.log")
        self.assertIsNotNone(ET.fromstring(to_xml(spec(), [], "kvm")).find("devices/serial[@type='pty']"))

    def test_refused(self) -> None:
        """What cannot be expressed fails, and so does text that is no domain."""
        self.assertRaises(StepFailed, to_xml, spec(boot_order="floppy"), [], "kvm")
        self.assertRaises(StepFailed, to_xml, spec(vnc_password_file="/secret"), [], "kvm")
        self.assertRaises(StepFailed, to_xml, spec(), ["/x"], "kvm")
        self.assertRaises(StepFailed, from_xml, "<domain>")
        self.assertRaises(StepFailed, from_xml, "<domain><vcpu>x</vcpu></domain>")
