"""Tests of `twisted_rapi.hypervisor.xml_onto` and `xml_graft`: machines on the base they were made with."""

from typing import Any
from xml.etree import ElementTree as ET

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from twisted.trial.unittest import SynchronousTestCase

from tests.unit.plan.definitions import DISK, MORE, NIC, definition
from twisted_rapi.errors import StepFailed
from twisted_rapi.hypervisor.domain_xml import from_xml, to_xml
from twisted_rapi.model.machine_xml import BOOT, disk_of, mark, read, root_of
from twisted_rapi.model.param_tables import HV_DEFAULTS
from twisted_rapi.model.safe_xml import parse, write
from twisted_rapi.model.steps import DiskSpec, DomainSpec, NicSpec

MAC = "52:54:00:00:06:01"
UUIDS = [f"{n:08x}-1111-4111-8111-111111111111" for n in range(4)]


def machine(text: str, **more: Any) -> DomainSpec:
    """The machine that a definition is of, with all disks in the common model that can be."""
    root = root_of(text)
    found = read(root)
    disks: list[DiskSpec] = []
    for node, uuid in zip(root.findall("devices/disk"), UUIDS, strict=False):
        each = disk_of(node)
        if each.kind == "rbd":
            mark(node, uuid)
            place = tuple(each.place.split("/"))
            disks.append(DiskSpec(uuid=uuid, index=len(disks), template="rbd", size=1, logical_id=place))
    values: dict[str, Any] = {
        "name": found.name,
        "instance_uuid": found.uuid,
        "hypervisor": "kvm",
        "memory": found.memory,
        "minmem": found.memory,
        "vcpus": found.vcpus,
        "hvparams": {**HV_DEFAULTS["kvm"], **found.hvparams},
        "disks": tuple(disks),
        "nics": tuple(NicSpec(uuid=n.mac, mac=n.mac, mode=n.mode, link=n.link) for n in found.nics),
        "base": write(root),
        **more,
    }
    return DomainSpec(**{**values, "beparams": {"maxmem": values["memory"], "vcpus": values["vcpus"]}})


def shown(spec: DomainSpec, kind: Any = "kvm", serial_dir: str = "") -> str:
    """Its definition; its images are reached as a node would."""
    return to_xml(spec, [f"rbd:{'/'.join(d.logical_id)}" for d in spec.disks], kind, serial_dir)


def bare(text: str) -> str:
    """A definition without our notes in it."""
    return write(root_of(text))


class BaseTests(SynchronousTestCase):
    """What both APIs know of a machine is said on the definition it was made with; the rest stays."""

    def setUp(self) -> None:
        self.spec = machine(definition())

    def with_hv(self, **values: Any) -> ET.Element:
        """The definition with other hypervisor parameters."""
        return parse(shown(replace(self.spec, hvparams={**self.spec.hvparams, **values})))

    def test_nothing(self) -> None:
        """A machine that is as its definition says is defined by just that, and a note."""
        text = shown(self.spec)
        self.assertEqual(bare(text), self.spec.base)
        read_back = from_xml(text)
        self.assertEqual((read_back.name, read_back.uuid), (self.spec.name, self.spec.instance_uuid))
        self.assertEqual([nic.mode for nic in read_back.nics], ["bridged"])

    def test_size(self) -> None:
        """Another size is written; what was said of the size there was no longer holds."""
        spec = replace(self.spec, memory=2048, vcpus=6, beparams={"maxmem": 2048, "vcpus": 6})
        root = parse(shown(spec))
        self.assertEqual((read(root).memory, read(root).vcpus), (2048, 6))
        self.assertIsNone(root.find("cpu/topology"))
        self.assertEqual(root.findtext("currentMemory"), "2048")
        self.assertIsNotNone(root.find("devices/watchdog"))

    def test_units(self) -> None:
        """A size in another unit is left as it is written while it is that size."""
        text = definition(memory="<memory unit='GB'>2</memory><currentMemory unit='KiB'>9999</currentMemory>")
        spec = machine(text)
        self.assertEqual(spec.memory, 1908)
        self.assertEqual(bare(shown(spec)), spec.base)

    def test_parameters(self) -> None:
        """Parameters change what they are about, and nothing else."""
        root = self.with_hv(boot_order="network", acpi=False, vnc_bind_address="192.0.2.1", cpu_cores=0)
        self.assertEqual([b.get("dev") for b in root.findall("os/boot")], ["network"])
        self.assertEqual([f.tag for f in root.findall("features/*")], ["apic"])
        self.assertEqual(root.find("devices/graphics").get("listen"), "192.0.2.1")  # type: ignore[union-attr]
        root = self.with_hv(cpu_sockets=2)
        self.assertEqual((root.findtext("vcpu"), root.find("vcpu").get("current")), ("4", "2"))  # type: ignore[union-attr]
        root = self.with_hv(kernel_path="/k", kernel_args="quiet", machine_version="q35")
        self.assertEqual(root.findtext("os/kernel"), "/k")
        self.assertEqual(root.find("os/type").get("machine"), "q35")  # type: ignore[union-attr]
        self.assertIsNone(root.find("os/boot"))
        root = self.with_hv(cdrom_image_path="/x.iso", serial_console=False, soundhw="ac97")
        drives = root.findall("devices/disk[@device='cdrom']")
        self.assertEqual([d.find("target").get("dev") for d in drives], ["hda", "sdb"])  # type: ignore[union-attr]
        self.assertIsNone(root.find("devices/console"))
        self.assertIsNotNone(root.find("devices/sound"))

    def test_boot_order_of_devices(self) -> None:
        """An order of devices gives way to one of the whole machine, as libvirt has only one of them."""
        text = (
            definition().replace('<boot dev="hd"/>', "").replace("/></disk>", '/><boot order="1"/></disk>', 1)
        )
        spec = machine(text)
        self.assertEqual(bare(shown(spec)), spec.base)
        root = parse(shown(replace(spec, hvparams={**spec.hvparams, "boot_order": "network"})))
        self.assertEqual((len(root.findall("devices/disk/boot")), len(root.findall("os/boot"))), (0, 1))

    def test_disks(self) -> None:
        """Disks come and go; those that stay, and those that are only in the definition, are as they were."""
        more = DiskSpec(uuid=UUIDS[3], index=1, template="rbd", size=1, logical_id=("vms", "more"))
        root = parse(shown(replace(self.spec, disks=(*self.spec.disks, more))))
        sources = [disk_of(node) for node in root.findall("devices/disk")]
        self.assertEqual([s.place for s in sources], ["vms/new1_sda", "/iso/a.iso", "vms/more"])
        self.assertEqual(sources[2].target, "vda")
        self.assertIsNotNone(root.find("devices/disk/source/host"))
        root = parse(shown(replace(self.spec, disks=())))
        self.assertEqual([disk_of(node).place for node in root.findall("devices/disk")], ["/iso/a.iso"])

    def test_more_than_a_text(self) -> None:
        """A name is the one of the common model, whatever else stands there; no number of a place is one."""
        text = definition().replace("<name>new1", "<name>new1<b>x</b>").replace('sockets="1"', 'sockets=""')
        root = parse(shown(replace(machine(text), vcpus=3)))
        self.assertEqual("".join(root.find("name").itertext()), "new1")  # type: ignore[union-attr]
        self.assertEqual(root.findtext("vcpu"), "3")

    def test_renamed_image(self) -> None:
        """An image that has another name now is the same disk at the same place."""
        [disk] = self.spec.disks
        root = parse(shown(replace(self.spec, disks=(replace(disk, logical_id=("vms", "new")),))))
        found = disk_of(root.findall("devices/disk")[0])
        self.assertEqual((found.place, found.target, found.bus), ("vms/new", "sda", "scsi"))

    def test_reached(self) -> None:
        """Where a definition does not say how its images are reached, the node does."""
        text = definition().replace('<host name="mon1" port="6789"/>', "")
        spec = machine(text)
        there = to_xml(spec, ["rbd:vms/new1_sda:mon_host=192.0.2.7"], "kvm")
        self.assertEqual(parse(there).find("devices/disk/source/host").get("name"), "192.0.2.7")  # type: ignore[union-attr]
        self.assertIn('name="mon1"', to_xml(self.spec, ["rbd:vms/new1_sda:mon_host=192.0.2.7"], "kvm"))

    def test_file(self) -> None:
        """What else is said of where a file is stays while it is that file."""
        text = definition(devices='<disk type="file"><source file="/f/a" startupPolicy="optional"/></disk>')
        disk = DiskSpec(uuid=UUIDS[0], index=0, template="file", size=1, logical_id=("loop", "/f/a"))
        spec = replace(machine(text), disks=(disk,))
        source = parse(to_xml(spec, ["/f/a"], "kvm")).find("devices/disk/source")
        self.assertEqual(
            {} if source is None else source.attrib, {"file": "/f/a", "startupPolicy": "optional"}
        )
        source = parse(to_xml(spec, ["/f/b"], "kvm")).find("devices/disk/source")
        self.assertEqual({} if source is None else source.attrib, {"file": "/f/b"})

    def test_own_serial(self) -> None:
        """A disk with a serial number of its own keeps it, and is known by an alias."""
        text = definition().replace('bus="scsi"/>', 'bus="scsi"/><serial>mine</serial>')
        spec = machine(text)
        root = parse(shown(spec))
        self.assertEqual(root.findtext("devices/disk/serial"), "mine")
        self.assertEqual(len(parse(shown(replace(spec, disks=()))).findall("devices/disk")), 1)

    def test_nics(self) -> None:
        """NICs come and go, and go elsewhere; what else is said of them stays."""
        [nic] = self.spec.nics
        other = NicSpec(uuid="o", mac="aa:00:00:00:00:02", link="br1")
        root = parse(shown(replace(self.spec, nics=(replace(nic, link="br9"), other))))
        interfaces = root.findall("devices/interface")
        self.assertEqual([i.find("source").get("bridge") for i in interfaces], ["br9", "br1"])  # type: ignore[union-attr]
        self.assertEqual(interfaces[0].find("model").get("type"), "virtio")  # type: ignore[union-attr]
        left = parse(shown(replace(self.spec, nics=(other,)))).findall("devices/interface/mac")
        self.assertEqual([mac.get("address") for mac in left], ["aa:00:00:00:00:02"])

    def test_log(self) -> None:
        """The serial console writes its log where the node wants it."""
        root = parse(shown(self.spec, serial_dir="/logs"))
        self.assertEqual(root.find("devices/serial/log").get("file"), "/logs/new1.log")  # type: ignore[union-attr]
        self.assertEqual(len(root.findall("devices/console")), 1)
        text = definition(more='<serial type="pty"><log file="/x" append="off"/></serial>')
        root = parse(shown(machine(text), serial_dir="/logs"))
        self.assertEqual([log.get("file") for log in root.findall("devices/serial/log")], ["/logs/new1.log"])

    def test_without_kvm(self) -> None:
        """A node that cannot run KVM is asked for nothing that only KVM has."""
        text = definition().replace("<cpu>", "<cpu mode='host-passthrough' check='none'>")
        root = parse(shown(machine(text), "qemu"))
        self.assertEqual(root.get("type"), "qemu")
        self.assertEqual(root.find("cpu").attrib, {"mode": "maximum"})  # type: ignore[union-attr]
        self.assertIsNone(root.find("devices/emulator"))

    def test_bad_base(self) -> None:
        """A base that is none is told of."""
        self.assertRaises(StepFailed, shown, replace(self.spec, base="<a"))

    @settings(max_examples=40, deadline=None)
    @given(
        st.integers(1, 9000),
        st.integers(1, 9),
        st.lists(st.sampled_from(UUIDS), unique=True),
        st.lists(st.integers(0, 4), unique=True),
        st.fixed_dictionaries(
            {},
            optional={
                "boot_order": st.sampled_from(sorted(BOOT)),
                "acpi": st.booleans(),
                "use_localtime": st.booleans(),
                "machine_version": st.sampled_from(["", "q35"]),
                "kernel_path": st.sampled_from(["", "/k"]),
                "kernel_args": st.sampled_from(["", "ro quiet"]),
                "vnc_bind_address": st.sampled_from(["", "192.0.2.1", "::"]),
                "serial_console": st.booleans(),
                "cdrom_image_path": st.sampled_from(["", "/x.iso"]),
                "cpu_sockets": st.sampled_from([0, 1]),
                "kvm_flag": st.sampled_from(["", "disabled"]),
            },
        ),
        st.sampled_from([MORE, "", "<serial type='pty'/>", DISK.format("vms/other", "sdc")]),
    )
    def test_properties(
        self, memory: int, vcpus: int, uuids: list[str], nics: list[int], hv: dict[str, Any], more: str
    ) -> None:
        """What is written says what was meant; to write it on itself, or again, changes nothing."""
        spec = machine(definition(devices=DISK.format("vms/a", "sda") + NIC.format(MAC, "vmbr1"), more=more))
        spec = replace(
            spec,
            memory=memory,
            vcpus=vcpus,
            beparams={"maxmem": memory, "vcpus": vcpus},
            hvparams={**spec.hvparams, **hv},
            disks=tuple(
                DiskSpec(uuid=uuid, index=n, template="rbd", size=1, logical_id=("vms", uuid))
                for n, uuid in enumerate(uuids)
            ),
            nics=tuple(NicSpec(uuid=str(n), mac=f"52:54:00:00:06:0{n}", link=f"br{n}") for n in nics),
        )
        text = shown(spec)
        found = read(root_of(text))
        self.assertEqual((found.memory, found.vcpus), (memory, vcpus))
        own = {disk.place: disk.uuid for disk in found.disks if disk.uuid}
        self.assertEqual(own, {f"vms/{uuid}": uuid[:20] for uuid in uuids})
        self.assertEqual({n.mac: n.link for n in found.nics}, {n.mac: n.link for n in spec.nics})
        told = {k: v for k, v in hv.items() if k not in ("cpu_sockets", "boot_order", "kernel_args")}
        self.assertEqual({k: found.hvparams[k] for k in told}, told)
        read_back = {**spec.hvparams, **found.hvparams}
        self.assertEqual(shown(replace(spec, base=text, hvparams=read_back)), text)
        again = machine(text)
        again = replace(again, disks=spec.disks, nics=spec.nics)
        self.assertEqual(bare(shown(again)), bare(text))
