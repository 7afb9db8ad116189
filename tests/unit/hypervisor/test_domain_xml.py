"""Domain XML says what was asked for."""

import shlex
from xml.etree import ElementTree as ET

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from twisted_rapi.errors import StepFailed
from twisted_rapi.hypervisor.domain_xml import DomainRead, console_port, from_xml, to_xml
from twisted_rapi.hypervisor.xml_base import NAMESPACE, QEMU, Found
from twisted_rapi.hypervisor.xml_devices import letters
from twisted_rapi.hypervisor.xml_display import named_files, named_interfaces
from twisted_rapi.hypervisor.xml_nics import NicRead, ports, tap_name
from twisted_rapi.model.kvm_limits import UNSUPPORTED, remarks
from twisted_rapi.model.param_tables import HV_DEFAULTS
from twisted_rapi.model.records import Params
from twisted_rapi.model.steps import DiskSpec, DomainSpec, NicSpec

UUID = "5a1e6a0e-94a2-4b2c-8d6f-0d6f6f6b1c11"
NAMES = st.text("abc<&'\"é/.-", min_size=1, max_size=12).map(lambda s: f"x{s}x")
DISKS = st.lists(st.tuples(NAMES, st.sampled_from(["rw", "ro"])), max_size=30)
MACS = st.from_regex(r"\A[0-9a-f]{2}(:[0-9a-f]{2}){5}\Z")
NICS = st.lists(st.tuples(MACS, NAMES), max_size=8)


def disk(index: int = 0, mode: str = "rw") -> DiskSpec:
    """A disk."""
    return DiskSpec(uuid=UUID, index=index, template="file", size=1, mode="ro" if mode == "ro" else "rw")


def spec(
    nics: tuple[NicSpec, ...] = (),
    disks: int = 0,
    port: int | None = 11000,
    vcpus: int = 1,
    **hvparams: object,
) -> DomainSpec:
    """A machine with these parameters."""
    params: Params = dict(hvparams)
    return DomainSpec(
        name="i",
        instance_uuid=UUID,
        hypervisor="kvm",
        memory=64,
        minmem=64,
        vcpus=vcpus,
        hvparams=params,
        nics=nics,
        disks=tuple(disk(n) for n in range(disks)),
        console_port=port,
    )


def made(domain: DomainSpec, kind: str = "kvm", found: Found | None = None, path: str = "/d") -> ET.Element:
    """Its XML."""
    paths = [f"{path}{n}" for n in range(len(domain.disks))]
    return ET.fromstring(to_xml(domain, paths, "kvm" if kind == "kvm" else "qemu", "", found or Found()))


def attributes(root: ET.Element, path: str) -> dict[str, str]:
    """Those of the one node at the path."""
    [node] = root.findall(path)
    return dict(node.attrib)


def command(root: ET.Element) -> list[str | None]:
    """What is added to QEMU's command line."""
    return [node.get("value") for node in root.findall(f"{{{QEMU}}}commandline/{{{QEMU}}}arg")]


PATHS = st.from_regex(r"\A/[A-Za-z0-9_./,&<-]{0,20}x\Z")
WORDS = st.from_regex(r"\A[A-Za-z0-9_.=<&-]{1,12}\Z")
MASK = st.from_regex(r"\A[0-9]{1,2}(-[0-9]{1,2})?(,[0-9]{1,2}){0,2}\Z")
FEATURES = st.lists(st.from_regex(r"\A[+-][a-z0-9_]{1,6}\Z"), max_size=3)
IMAGES = PATHS | st.from_regex(r"\Ahttps?://host(:8[0-9]{3})?/[a-z0-9./]{0,8}x(\?[a-z=]{1,6})?\Z")
PLATFORM = st.fixed_dictionaries(
    {},
    optional={
        "acpi": st.just(False),
        "machine_version": st.sampled_from(["pc", "q35", "pc-i440fx-7.2"]),
        "use_localtime": st.just(True),
        "reboot_behavior": st.just("exit"),
        "kvm_path": PATHS,
        "cpu_sockets": st.integers(1, 4),
        "cpu_cores": st.integers(1, 4),
        "cpu_threads": st.integers(1, 2),
        "cpu_mask": MASK | st.tuples(MASK, st.just("all") | MASK).map(":".join).filter(lambda m: m != "all"),
        "cpu_type": st.builds(
            lambda model, features: ",".join([model, *features]),
            st.sampled_from(["host", "max", "qemu64", "Haswell"]),
            FEATURES,
        ),
        "kvm_extra": st.lists(WORDS, min_size=1, max_size=4).map(shlex.join),
        "mem_path": st.just("hugepages"),
    },
)
KERNEL = st.fixed_dictionaries(
    {"kernel_path": PATHS},
    optional={
        "initrd_path": PATHS,
        "kernel_args": st.lists(WORDS.filter(lambda w: "=" not in w), min_size=1).map(" ".join),
        "root_path": PATHS,
        "serial_speed": st.integers(1, 115200),
    },
)
BOOT = st.fixed_dictionaries({}, optional={"boot_order": st.sampled_from(["cdrom", "network", "floppy"])})
DEVICES = st.fixed_dictionaries(
    {},
    optional={
        "disk_type": st.sampled_from(["ide", "scsi-hd"]),
        "disk_cache": st.sampled_from(["none", "writeback", "writethrough"]),
        "disk_aio": st.just("io_uring"),
        "disk_discard": st.just("unmap"),
        "floppy_image_path": PATHS,
        "nic_type": st.sampled_from(["e1000", "rtl8139", "pcnet"]),
        "usb_mouse": st.sampled_from(["mouse", "tablet"]),
        "use_guest_agent": st.just(True),
        "usb_devices": st.lists(
            st.from_regex(r"\Ahost:([0-9a-f]{4}:[0-9a-f]{4}|[0-9]\.[0-9]{1,2})\Z"), min_size=1, max_size=3
        ).map(",".join),
    },
)
CDROMS = st.fixed_dictionaries(
    {"cdrom_image_path": IMAGES, "cdrom_disk_type": st.sampled_from(["ide", "scsi"])},
    optional={"cdrom2_image_path": IMAGES},
)
VNC = st.fixed_dictionaries(
    {"vnc_bind_address": st.sampled_from(["127.0.0.1", "0.0.0.0", "::1", "/run/vnc"])},
    optional={
        "keymap": st.sampled_from(["de", "en-us"]),
        "vga": st.sampled_from(["std", "cirrus", "virtio"]),
    },
)
VNC_TLS = st.fixed_dictionaries(
    {
        "vnc_bind_address": st.sampled_from(["127.0.0.1", "::1"]),
        "vnc_tls": st.just(True),
        "vga": st.just("cirrus"),
    },
    optional={"vnc_x509_path": PATHS, "keymap": st.just("fr")},
)
SPICE = st.fixed_dictionaries(
    {"spice_bind": st.sampled_from(["127.0.0.1", "::1"]), "vga": st.just("qxl")},
    optional={
        "keymap": st.just("de"),
        "soundhw": st.lists(st.sampled_from(["ac97", "hda", "sb16"]), min_size=1).map(",".join),
        "spice_image_compression": st.sampled_from(["auto_glz", "lz", "off"]),
        "spice_jpeg_wan_compression": st.sampled_from(["auto", "never"]),
        "spice_zlib_glz_wan_compression": st.sampled_from(["auto", "always"]),
        "spice_streaming_video": st.sampled_from(["all", "filter", "off"]),
        "spice_playback_compression": st.just(False),
        "spice_use_vdagent": st.just(False),
        "spice_use_tls": st.just(True),
    },
)


class RoundTripTests(SynchronousTestCase):
    """What is written is read."""

    @given(NAMES, st.integers(1, 1 << 20), st.integers(1, 64), DISKS, NICS)
    def test_machine(
        self, name: str, memory: int, vcpus: int, disks: list[tuple[str, str]], nics: list[tuple[str, str]]
    ) -> None:
        """Name, sizes and devices, whatever characters are in them."""
        domain = DomainSpec(
            name=name,
            instance_uuid=UUID,
            hypervisor="kvm",
            memory=memory,
            minmem=memory,
            vcpus=vcpus,
            beparams={"maxmem": memory * 2},
            disks=tuple(disk(n, mode) for n, (_, mode) in enumerate(disks)),
            nics=tuple(NicSpec(uuid=UUID, mac=mac, link=link) for mac, link in nics),
        )
        expected = DomainRead(
            name=name,
            uuid=UUID,
            memory=memory,
            maxmem=memory * 2,
            vcpus=vcpus,
            disks=tuple((path, mode, UUID[:20]) for path, mode in disks),
            nics=tuple(NicRead(mac=mac, mode="bridged", link=link) for mac, link in nics),
            hvparams={},
        )
        self.assertEqual(from_xml(to_xml(domain, [path for path, _ in disks], "kvm")), expected)

    def same(self, values: Params, usual: Params | None = None) -> None:
        nic = NicSpec(uuid=UUID, mac="aa:00:00:11:22:33", link="br0")
        domain = spec((nic,), disks=1, vcpus=2, **{**values, **(usual or {})})
        read = from_xml(to_xml(domain, ["/d"], "kvm"))
        self.assertEqual((read.hvparams, read.vcpus), (values, 2))

    @given(PLATFORM, KERNEL | BOOT)
    def test_platform(self, values: Params, boot: Params) -> None:
        """Processors, firmware and what is booted."""
        places = [values.get(f"cpu_{n}", 0) for n in ("sockets", "cores", "threads")]
        if any(places):
            # What is left open is written, too.
            sockets, cores, threads = places
            cores = cores or -(-2 // ((sockets or 1) * (threads or 1)))
            sockets = sockets or -(-2 // (cores * (threads or 1)))
            threads = threads or -(-2 // (sockets * cores))
            values |= {"cpu_sockets": sockets, "cpu_cores": cores, "cpu_threads": threads}
            if sockets * cores * threads < 2:
                self.assertRaises(StepFailed, to_xml, spec(vcpus=2, **values), [], "kvm")
                return
        self.same({**values, **boot})

    @given(DEVICES, CDROMS | st.just({}))
    def test_devices(self, values: Params, cdroms: Params) -> None:
        """Disks, drives, NICs and what is plugged in."""
        self.same({**values, **cdroms})

    @given(VNC | VNC_TLS | SPICE)
    def test_displays(self, values: Params) -> None:
        """VNC, SPICE, video and sound."""
        self.same(values)

    @given(
        st.sampled_from(["routed", "openvswitch", "bridged", "ext"]),
        NAMES,
        st.sampled_from(["", ".5", ":5:6", ".4:5:6"]),
        st.sampled_from([None, "10.0.0.5", "2001:db8::5"]),
    )
    def test_nics(self, mode: str, link: str, vlan: str, ip: str | None) -> None:
        """A NIC of any mode, with its routing table or switch."""
        vlan = vlan if mode == "openvswitch" else ""
        nic = NicSpec(uuid=UUID, mac="aa:00:00:11:22:33", mode=mode, link=link, vlan=vlan, ip=ip)
        read = from_xml(to_xml(spec((nic,)), [], "kvm"))
        self.assertEqual(read.nics, (NicRead(mac=nic.mac, mode=mode, link=link, vlan=vlan, ip=ip),))

    @given(st.text())
    def test_any_text(self, text: str) -> None:
        """Text that XML cannot hold fails, and nothing else happens."""
        try:
            read = from_xml(to_xml(spec(kernel_path="/k", initrd_path=f"/{text}"), [], "kvm"))
        except StepFailed:
            return
        self.assertEqual(
            ET.canonicalize(f"<a>{_escaped('/' + text)}</a>"),
            ET.canonicalize(f"<a>{_escaped(read.hvparams['initrd_path'])}</a>"),
        )


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


class PlatformTests(SynchronousTestCase):
    """The machine itself."""

    def test_kernel(self) -> None:
        """A kernel of the node is started with its root, arguments and console with its speed."""
        given_: Params = {
            "kernel_path": "/k",
            "initrd_path": "/i",
            "root_path": "/dev/vda1",
            "kernel_args": "ro",
        }
        root = made(spec(**given_), "qemu")
        self.assertEqual(root.get("type"), "qemu")
        self.assertEqual(
            [root.findtext(f"os/{tag}") for tag in ("kernel", "initrd", "cmdline")],
            ["/k", "/i", "root=/dev/vda1 ro console=ttyS0"],
        )
        self.assertIsNone(root.find("os/boot"))
        speed = made(spec(**given_, serial_speed=38400)).findtext("os/cmdline")
        self.assertEqual(speed, "root=/dev/vda1 ro console=ttyS0,38400")

    def test_kvm_flag(self) -> None:
        """KVM can be switched off, and asked for where there is some."""
        self.assertEqual(made(spec(kvm_flag="disabled")).get("type"), "qemu")
        self.assertEqual(made(spec(kvm_flag="enabled")).get("type"), "kvm")
        self.assertRaises(StepFailed, made, spec(kvm_flag="enabled"), "qemu")

    def test_host_processor(self) -> None:
        """``host`` without KVM is all that is emulated."""
        self.assertEqual(made(spec(cpu_type="host")).findtext("cpu/model"), None)
        modes = [attributes(made(spec(cpu_type="host"), kind), "cpu") for kind in ("kvm", "qemu")]
        self.assertEqual(modes, [{"mode": "host-passthrough"}, {"mode": "maximum"}])
        self.assertRaises(StepFailed, made, spec(cpu_type="host,hv_time"))

    def test_topology(self) -> None:
        """What is left open fits the processors; more places than processors are for later."""
        root = made(spec(vcpus=6, cpu_sockets=2))
        self.assertEqual(attributes(root, "cpu/topology"), {"sockets": "2", "cores": "3", "threads": "1"})
        root = made(spec(vcpus=2, cpu_sockets=2, cpu_cores=2, cpu_threads=1))
        self.assertEqual((root.findtext("vcpu"), attributes(root, "vcpu")), ("4", {"current": "2"}))
        small: Params = {"cpu_sockets": 1, "cpu_cores": 1, "cpu_threads": 1}
        for wrong in (small, {"cpu_cores": -1}):
            self.assertRaises(StepFailed, made, spec(vcpus=2, **wrong))

    def test_pinning(self) -> None:
        """One mask is for all processors, several are for one each, ``all`` is for none."""
        self.assertEqual(attributes(made(spec(cpu_mask="0-1,3")), "vcpu"), {"cpuset": "0-1,3"})
        self.assertEqual(attributes(made(spec(cpu_mask="all")), "vcpu"), {})
        root = made(spec(vcpus=3, cpu_mask="0:all:1-2"))
        self.assertEqual(
            [dict(pin.attrib) for pin in root.findall("cputune/vcpupin")],
            [{"vcpu": "0", "cpuset": "0"}, {"vcpu": "2", "cpuset": "1-2"}],
        )
        for wrong in ("0:1:2", "a", "1-"):
            self.assertRaises(StepFailed, made, spec(vcpus=2, cpu_mask=wrong))

    def test_user(self) -> None:
        """Guests can run as a user of their own."""
        root = made(spec(security_model="user", security_domain="vm1"))
        self.assertEqual(root.findtext("seclabel[@model='dac']/label"), "vm1:vm1")
        self.assertEqual(from_xml(ET.tostring(root, "unicode")).hvparams["security_domain"], "vm1")
        self.assertRaises(StepFailed, made, spec(security_model="user", security_domain="a b"))

    def test_extra(self) -> None:
        """Further arguments are split as a shell would, and come last."""
        self.assertEqual(command(made(spec(kvm_extra="-device 'a b'"))), ["-device", "a b"])
        self.assertRaises(StepFailed, made, spec(kvm_extra="'"))


class DeviceTests(SynchronousTestCase):
    """What is plugged in."""

    def test_letters(self) -> None:
        """Disks are counted as kernels do."""
        self.assertEqual([letters(n) for n in (0, 25, 26, 701, 702)], ["a", "z", "aa", "zz", "aaa"])

    def test_serial(self) -> None:
        """Serial output goes to a file of the instance's name, or to a pty, or nowhere."""
        to_file = ET.fromstring(to_xml(spec(), [], "kvm", serial_dir="/log")).find("devices/serial/source")
        assert to_file is not None
        self.assertEqual(to_file.get("path"), "/log/i.log")
        self.assertIsNotNone(made(spec()).find("devices/serial[@type='pty']"))
        self.assertIsNone(made(spec(serial_console=False)).find("devices/serial"))

    def test_disk_types(self) -> None:
        """Each type of disk has its bus; what needs a device does not take a file."""
        cases = {
            "paravirtual": ("virtio", "vda", "disk"),
            "ide": ("ide", "hda", "disk"),
            "scsi": ("scsi", "sda", "disk"),
            "scsi-hd": ("scsi", "sda", "disk"),
            "scsi-cd": ("scsi", "sda", "cdrom"),
        }
        for kind, (bus, name, device) in cases.items():
            root = made(spec(disks=1, disk_type=kind))
            self.assertEqual(attributes(root, "devices/disk/target"), {"bus": bus, "dev": name})
            self.assertEqual(attributes(root, "devices/disk")["device"], device)
        for kind in ("scsi-block", "scsi-generic"):
            self.assertRaises(StepFailed, made, spec(disks=1, disk_type=kind))
            root = made(spec(disks=1, disk_type=kind), path="/dev/d")
            self.assertEqual(attributes(root, "devices/disk"), {"type": "block", "device": "lun"})
            self.assertEqual(from_xml(ET.tostring(root, "unicode")).disks, (("/dev/d0", "rw", ""),))
        for kind in ("mtd", "pflash", "sd"):
            self.assertRaises(StepFailed, made, spec(disks=1, disk_type=kind))

    def test_native(self) -> None:
        """Native asynchronous access bypasses the host's cache, whatever was asked for."""
        driver = attributes(
            made(spec(disks=1, disk_aio="native", disk_cache="writeback")), "devices/disk/driver"
        )
        self.assertEqual(driver, {"name": "qemu", "type": "raw", "cache": "none", "io": "native"})

    def test_controller(self) -> None:
        """SCSI disks have the controller that was chosen; others have none."""
        models = {
            "lsi": "lsilogic",
            "megasas": "lsisas1078",
            "virtio-scsi-pci": "virtio-scsi",
            "dc390": "dc390",
        }
        for kind, model in models.items():
            root = made(spec(disks=1, disk_type="scsi", scsi_controller_type=kind))
            self.assertEqual(attributes(root, "devices/controller")["model"], model)
            self.assertEqual(from_xml(ET.tostring(root, "unicode")).hvparams["scsi_controller_type"], kind)
        self.assertIsNone(made(spec(disks=1, scsi_controller_type="lsi")).find("devices/controller"))

    def test_drives(self) -> None:
        """Two CD-ROMs, by file or URL, and a floppy, each with a name of its own."""
        root = made(
            spec(
                disks=2,
                disk_type="scsi",
                cdrom_image_path="http://host:81/a/b.iso?c=d",
                cdrom2_image_path="/b.iso",
                floppy_image_path="/f",
            )
        )
        names = [attribute.get("dev") for attribute in root.findall("devices/disk/target")]
        self.assertEqual(names, ["sda", "sdb", "sdc", "sdd", "fda"])
        source = attributes(root, "devices/disk[@type='network']/source")
        self.assertEqual(source, {"protocol": "http", "name": "a/b.iso", "query": "c=d"})
        self.assertEqual(
            attributes(root, "devices/disk[@type='network']/source/host"), {"name": "host", "port": "81"}
        )
        for wrong in ("http://host:x/a", "http:///a"):
            self.assertRaises(StepFailed, made, spec(cdrom_image_path=wrong))

    def test_ports(self) -> None:
        """The interfaces of a running guest that belong on bridges, of those that are asked about only."""
        text = """<domain><devices>
            <interface type='bridge'><source bridge='vmbr1'/><target dev='vnet0'/></interface>
            <interface type='bridge'><source bridge='br0'/><target dev='vnet1'/></interface>
            <interface type='bridge'><source bridge='vmbr1'/><target dev='vnet2'/>
                <virtualport type='openvswitch'/></interface>
            <interface type='bridge'><source bridge='vmbr1'/></interface>
            <interface type='ethernet'><target dev='rt1'/></interface>
        </devices></domain>"""
        self.assertEqual(ports(ET.fromstring(text), {"vmbr1", "vmbr2"}), (("vnet0", "vmbr1"),))

    def test_virtio_net(self) -> None:
        """Queues are for vhost, which can be switched off; both are for paravirtual NICs."""
        nic = NicSpec(uuid=UUID, mac="aa:00:00:11:22:33", link="br0")
        root = made(spec((nic,), virtio_net_queues=4))
        self.assertEqual(attributes(root, "devices/interface/driver"), {"queues": "4"})
        root = made(spec((nic,), virtio_net_queues=4, vhost_net=False))
        self.assertEqual(attributes(root, "devices/interface/driver"), {"name": "qemu"})
        self.assertIsNone(
            made(spec((nic,), nic_type="e1000", vhost_net=False)).find("devices/interface/driver")
        )

    def test_routed(self) -> None:
        """A routed NIC has an interface with a name of its own; its table and address are noted."""
        nic = NicSpec(uuid=UUID, mac="aa:00:00:11:22:33", mode="routed", link="100", ip="10.1.2.3")
        root = made(spec((nic,)))
        self.assertEqual(attributes(root, "devices/interface"), {"type": "ethernet"})
        self.assertEqual(attributes(root, "devices/interface/target"), {"dev": tap_name(nic)})
        self.assertLess(len(tap_name(nic)), 16)
        [note] = root.iter(f"{{{NAMESPACE}}}nic")
        self.assertEqual((note.get("link"), note.get("ip")), ("100", "10.1.2.3"))

    def test_refused(self) -> None:
        """Modes and VLANs that do not exist, and devices nobody knows."""
        for mode, vlan in (("pool", ""), ("bridged", "5"), ("openvswitch", ":x")):
            nic = NicSpec(uuid=UUID, mac="aa:00:00:11:22:33", link="br0", mode=mode, vlan=vlan)
            self.assertRaises(StepFailed, made, spec((nic,)))
        self.assertRaises(StepFailed, made, spec(usb_devices="disk:/x"))
        self.assertRaises(StepFailed, made, spec(cdrom_disk_type="mtd"))
        self.assertRaises(StepFailed, made, spec(boot_order="tape"))
        self.assertRaises(StepFailed, to_xml, spec(), ["/x"], "kvm")
        self.assertRaises(StepFailed, from_xml, "<domain>")
        self.assertRaises(StepFailed, from_xml, "<domain><vcpu>x</vcpu></domain>")


class DisplayTests(SynchronousTestCase):
    """What is seen and heard."""

    def test_vnc(self) -> None:
        """VNC has the instance's port, or one of libvirt's, or a socket."""
        root = made(spec(vnc_bind_address="127.0.0.1"))
        expected = {"type": "vnc", "listen": "127.0.0.1", "port": "11000", "autoport": "no"}
        self.assertEqual(attributes(root, "devices/graphics"), expected)
        self.assertEqual(console_port(ET.tostring(root, "unicode")), 11000)
        root = made(spec(vnc_bind_address="127.0.0.1", port=None))
        self.assertEqual(attributes(root, "devices/graphics")["autoport"], "yes")
        root = made(spec(vnc_bind_address="/run/vnc/"))
        listen = attributes(root, "devices/graphics/listen")
        self.assertEqual(listen, {"type": "socket", "socket": "/run/vnc/i.vnc"})

    def test_passwords(self) -> None:
        """A console with a password file has its password; without a password it is not opened."""
        for bind, name in (("vnc_bind_address", "vnc_password_file"), ("spice_bind", "spice_password_file")):
            values: Params = {bind: "127.0.0.1", name: "/secret"}
            domain = spec(**values)
            self.assertEqual(named_files(domain.hvparams), {name: "/secret"})
            root = made(domain, found=Found(passwords={name: "xyzzy"}))
            self.assertEqual(attributes(root, "devices/graphics")["passwd"], "xyzzy")
            self.assertRaises(StepFailed, made, domain)
            self.assertEqual(named_files({name: "/secret"}), {})

    def test_interfaces(self) -> None:
        """An interface stands for its address, of the IP version that was asked for."""
        found = Found(addresses={"eth0": ("2001:db8::1", "192.0.2.10", "192.0.2.9")})
        for version, address in ((0, "192.0.2.9"), (4, "192.0.2.9"), (6, "2001:db8::1")):
            domain = spec(spice_bind="eth0", spice_ip_version=version)
            self.assertEqual(named_interfaces(domain.hvparams), ("eth0",))
            self.assertEqual(attributes(made(domain, found=found), "devices/graphics")["listen"], address)
        self.assertRaises(StepFailed, made, spec(spice_bind="eth1"), found=found)
        self.assertRaises(StepFailed, made, spec(spice_bind="127.0.0.1", spice_ip_version=6))
        self.assertEqual(named_interfaces({"vnc_bind_address": "/run", "spice_bind": "::1"}), ())

    def test_vnc_tls(self) -> None:
        """TLS for VNC is QEMU's, on the instance's port, with certificates or without."""
        domain = spec(vnc_bind_address="::1", vnc_tls=True, vnc_x509_path="/a,b", vnc_x509_verify=True)
        root = made(domain)
        self.assertEqual(
            command(root),
            [
                "-object",
                "tls-creds-x509,verify-peer=on,dir=/a,,b,id=rapi-vnc-tls,endpoint=server",
                "-vnc",
                "[::1]:5100,tls-creds=rapi-vnc-tls",
            ],
        )
        text = ET.tostring(root, "unicode")
        self.assertEqual(console_port(text), 11000)
        self.assertEqual(from_xml(text).hvparams["vnc_x509_verify"], True)
        self.assertEqual(attributes(root, "devices/video/model"), {"type": "vga"})
        for wrong in ({"vnc_password_file": "/p"}, {"port": 80}, {"vnc_x509_verify": True}):
            values: Params = {"vnc_bind_address": "127.0.0.1", "vnc_tls": True, **wrong}
            self.assertRaises(StepFailed, made, spec(**values))

    def test_spice(self) -> None:
        """SPICE has the instance's port, secured when asked; beside VNC it has one of libvirt's."""
        root = made(spec(spice_bind="127.0.0.1", spice_use_tls=True, spice_tls_ciphers="HIGH:-DES"))
        graphics = attributes(root, "devices/graphics")
        self.assertEqual((graphics["tlsPort"], graphics["defaultMode"]), ("11000", "secure"))
        self.assertNotIn("port", graphics)
        self.assertEqual(command(root), ["-spice", "tls-ciphers=HIGH:-DES"])
        self.assertEqual(from_xml(ET.tostring(root, "unicode")).hvparams["spice_tls_ciphers"], "HIGH:-DES")
        root = made(spec(spice_bind="127.0.0.1", vnc_bind_address="127.0.0.1"))
        self.assertEqual(attributes(root, "devices/graphics[@type='spice']")["autoport"], "yes")
        self.assertEqual(attributes(root, "devices/graphics[@type='vnc']")["port"], "11000")


class LimitTests(SynchronousTestCase):
    """What has no effect is said."""

    def test_usual(self) -> None:
        """About a machine that is as usual there is nothing to say."""
        self.assertEqual(remarks("kvm", HV_DEFAULTS["kvm"]), ())

    def test_each(self) -> None:
        """Every parameter that is not supported is a parameter, and is named when it is set."""
        for name in UNSUPPORTED:
            usual = HV_DEFAULTS["kvm"][name]
            other = {bool: not usual, int: 1, str: "pool"}[type(usual)]
            [remark] = remarks("kvm", {name: other})
            self.assertIn(name, remark)
            self.assertEqual(remarks("fake", {name: other}), ())

    def test_complete(self) -> None:
        """Every other parameter changes the definition, or is one of migrations."""
        nic = NicSpec(uuid=UUID, mac="aa:00:00:11:22:33", link="br0")
        found = Found(
            passwords={"vnc_password_file": "p", "spice_password_file": "p"},
            addresses={"eth0": ("::1", "127.0.0.1")},
        )
        for name, usual in HV_DEFAULTS["kvm"].items():
            if name in UNSUPPORTED or name.startswith("migration_"):
                continue
            value, beside = CHANGES[name]
            before: Params = {**HV_DEFAULTS["kvm"], "kernel_path": "", name: usual, **beside}
            texts = {
                to_xml(spec((nic,), 1, **params), ["/d"], "kvm", "", found)
                for params in (before, {**before, name: value})
            }
            self.assertEqual(len(texts), 2, f"{name} has no effect")


_KERNEL: Params = {"kernel_path": "/k"}
_VNC: Params = {"vnc_bind_address": "::1"}
_SPICE: Params = {"spice_bind": "::1"}
# Per parameter: another value than usual, and what it is about.
CHANGES: dict[str, tuple[object, Params]] = {
    "acpi": (False, {}),
    "boot_order": ("cdrom", {}),
    "cdrom2_image_path": ("/c", {}),
    "cdrom_disk_type": ("ide", {"cdrom_image_path": "/c"}),
    "cdrom_image_path": ("/c", {}),
    "cpu_cores": (2, {}),
    "cpu_mask": ("0", {}),
    "cpu_sockets": (2, {}),
    "cpu_threads": (2, {}),
    "cpu_type": ("host", {}),
    "disk_aio": ("native", {}),
    "disk_cache": ("none", {}),
    "disk_discard": ("unmap", {}),
    "disk_type": ("scsi", {}),
    "floppy_image_path": ("/f", {}),
    "initrd_path": ("/i", _KERNEL),
    "kernel_args": ("rw", _KERNEL),
    "kernel_path": ("/k", {}),
    "keymap": ("de", _VNC),
    "kvm_extra": ("-x", {}),
    "kvm_flag": ("disabled", {}),
    "kvm_path": ("/q", {}),
    "machine_version": ("q35", {}),
    "nic_type": ("e1000", {}),
    "reboot_behavior": ("exit", {}),
    "root_path": ("/dev/sda", _KERNEL),
    "scsi_controller_type": ("megasas", {"disk_type": "scsi"}),
    "security_domain": ("two", {"security_model": "user", "security_domain": "one"}),
    "serial_console": (False, {}),
    "serial_speed": (9600, _KERNEL),
    "soundhw": ("ac97", {}),
    "spice_bind": ("::1", {}),
    "spice_image_compression": ("lz", _SPICE),
    "spice_ip_version": (6, {"spice_bind": "eth0"}),
    "spice_jpeg_wan_compression": ("auto", _SPICE),
    "spice_password_file": ("/p", _SPICE),
    "spice_playback_compression": (False, _SPICE),
    "spice_streaming_video": ("all", _SPICE),
    "spice_tls_ciphers": ("HIGH", {**_SPICE, "spice_use_tls": True}),
    "spice_use_tls": (True, _SPICE),
    "spice_use_vdagent": (False, _SPICE),
    "spice_zlib_glz_wan_compression": ("auto", _SPICE),
    "usb_devices": ("tablet", {}),
    "usb_mouse": ("mouse", {}),
    "use_guest_agent": (True, {}),
    "use_localtime": (True, {}),
    "vga": ("std", {}),
    "vhost_net": (not HV_DEFAULTS["kvm"]["vhost_net"], {}),
    "virtio_net_queues": (2, {"vhost_net": True}),
    "vnc_bind_address": ("::1", {}),
    "vnc_password_file": ("/p", _VNC),
    "vnc_tls": (True, _VNC),
    "vnc_x509_path": ("/x", {**_VNC, "vnc_tls": True}),
    "vnc_x509_verify": (True, {**_VNC, "vnc_tls": True, "vnc_x509_path": "/x"}),
}
