"""
Every parameter of constants.json ("newest"): its type, its default, and how it is inherited.

Where a real cluster's answers differ (observations.md) they count; the default bridge is this project's own.
"""

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from twisted.trial.unittest import SynchronousTestCase

from twisted_rapi.errors import TypeEnforcementError
from twisted_rapi.model import group_params, params
from twisted_rapi.model import param_tables as tables
from twisted_rapi.model.records import GroupRecord, InstanceRecord, NicRecord, NodeRecord
from twisted_rapi.testing.cluster import founding

# Family, what it is of, name, type, default.
DOCUMENTED = """
hv fake migration_mode string "live"
hv kvm acpi bool true
hv kvm boot_order string "disk"
hv kvm cdrom2_image_path string ""
hv kvm cdrom_disk_type string ""
hv kvm cdrom_image_path string ""
hv kvm cpu_cores int 0
hv kvm cpu_mask string "all"
hv kvm cpu_sockets int 0
hv kvm cpu_threads int 0
hv kvm cpu_type string ""
hv kvm disk_aio string "threads"
hv kvm disk_cache string "default"
hv kvm disk_discard string "default"
hv kvm disk_type string "paravirtual"
hv kvm floppy_image_path string ""
hv kvm initrd_path string ""
hv kvm kernel_args string "ro"
hv kvm kernel_path string "/boot/vmlinuz-3-kvmU"
hv kvm keymap string ""
hv kvm kvm_extra string ""
hv kvm kvm_flag string ""
hv kvm kvm_path string "/usr/bin/kvm"
hv kvm kvm_pci_reservations int 12
hv kvm machine_version string ""
hv kvm mem_path string ""
hv kvm migration_bandwidth int 32
hv kvm migration_caps string ""
hv kvm migration_downtime int 30
hv kvm migration_mode string "live"
hv kvm migration_port int 8102
hv kvm nic_type string "paravirtual"
hv kvm reboot_behavior string "reboot"
hv kvm root_path maybe-string "/dev/vda1"
hv kvm scsi_controller_type string "lsi"
hv kvm security_domain string ""
hv kvm security_model string "none"
hv kvm serial_console bool true
hv kvm serial_speed int 38400
hv kvm soundhw string ""
hv kvm spice_bind string ""
hv kvm spice_image_compression string ""
hv kvm spice_ip_version int 0
hv kvm spice_jpeg_wan_compression string ""
hv kvm spice_password_file string ""
hv kvm spice_playback_compression bool true
hv kvm spice_streaming_video string ""
hv kvm spice_tls_ciphers string "HIGH:-DES:-3DES:-EXPORT:-DH"
hv kvm spice_use_tls bool false
hv kvm spice_use_vdagent bool true
hv kvm spice_zlib_glz_wan_compression string ""
hv kvm usb_devices string ""
hv kvm usb_mouse string ""
hv kvm use_chroot bool false
hv kvm use_guest_agent bool false
hv kvm use_localtime bool false
hv kvm user_shutdown bool false
hv kvm vga string ""
hv kvm vhost_net bool false
hv kvm virtio_net_queues int 1
hv kvm vnc_bind_address string ""
hv kvm vnc_password_file string ""
hv kvm vnc_tls bool false
hv kvm vnc_x509_path string ""
hv kvm vnc_x509_verify bool false
hv kvm vnet_hdr bool true
hv chroot init_script string "/ganeti-chroot"
hv lxc cpu_mask string ""
hv lxc devices string "c 1:3 rw,c 1:5 rw,\
c 1:7 rw,c 1:8 rw,c 1:9 rw,c 1:10 rw,c 5:0 rw,c 5:1 rw,c 5:2 rw,c 136:* rw"
hv lxc drop_capabilities string "mac_override,sys_boot,sys_module,sys_time,sys_admin"
hv lxc extra_cgroups string ""
hv lxc extra_config string ""
hv lxc num_ttys int 6
hv lxc startup_timeout int 30
hv xen-hvm acpi bool true
hv xen-hvm blockdev_prefix string "hd"
hv xen-hvm boot_order string "cd"
hv xen-hvm cdrom_image_path string ""
hv xen-hvm cpu_cap int 0
hv xen-hvm cpu_mask string "all"
hv xen-hvm cpu_weight int 256
hv xen-hvm cpuid string ""
hv xen-hvm device_model string "/usr/lib/xen/bin/qemu-dm"
hv xen-hvm disk_type string "paravirtual"
hv xen-hvm kernel_path string "/usr/lib/xen/boot/hvmloader"
hv xen-hvm migration_mode string "non-live"
hv xen-hvm migration_port int 8002
hv xen-hvm nic_type string "rtl8139"
hv xen-hvm pae bool true
hv xen-hvm pci_pass string ""
hv xen-hvm reboot_behavior string "reboot"
hv xen-hvm soundhw string ""
hv xen-hvm use_localtime bool false
hv xen-hvm vif_script string ""
hv xen-hvm vif_type string "ioemu"
hv xen-hvm viridian bool false
hv xen-hvm vnc_bind_address string "0.0.0.0"
hv xen-hvm vnc_password_file string "/etc/ganeti/vnc-cluster-password"
hv xen-pvm blockdev_prefix string "sd"
hv xen-pvm bootloader_args string ""
hv xen-pvm bootloader_path string ""
hv xen-pvm cpu_cap int 0
hv xen-pvm cpu_mask string "all"
hv xen-pvm cpu_weight int 256
hv xen-pvm cpuid string ""
hv xen-pvm initrd_path string ""
hv xen-pvm kernel_args string "ro"
hv xen-pvm kernel_path string "/boot/vmlinuz-3-xenU"
hv xen-pvm migration_mode string "live"
hv xen-pvm migration_port int 8002
hv xen-pvm reboot_behavior string "reboot"
hv xen-pvm root_path maybe-string "/dev/xvda1"
hv xen-pvm soundhw string ""
hv xen-pvm use_bootloader bool false
hv xen-pvm vif_script string ""
be - always_failover bool false
be - auto_balance bool true
be - maxmem size 128
be - minmem size 128
be - spindle_use int 1
be - vcpus int 1
nd - cpu_speed float 1.0
nd - exclusive_storage bool false
nd - oob_program string ""
nd - ovs bool false
nd - ovs_link maybe-string ""
nd - ovs_name maybe-string "switch1"
nd - spindle_count int 1
nd - ssh_port int 22
nic - link string "br0"
nic - mode string "bridged"
nic - vlan string ""
disk drbd c-delay-target int 1
disk drbd c-fill-target int 0
disk drbd c-max-rate int 61440
disk drbd c-min-rate int 4096
disk drbd c-plan-ahead int 20
disk drbd data-stripes int 1
disk drbd disk-barriers string "n"
disk drbd disk-custom string ""
disk drbd dynamic-resync bool false
disk drbd meta-barriers bool false
disk drbd meta-stripes int 1
disk drbd metavg string "xenvg"
disk drbd net-custom string ""
disk drbd protocol string "C"
disk drbd resync-rate int 61440
disk ext access string "kernelspace"
disk gluster access string "kernelspace"
disk gluster host string "127.0.0.1"
disk gluster port int 24007
disk gluster volume string "gv0"
disk plain stripes int 1
disk rbd access string "kernelspace"
disk rbd pool string "rbd"
"""
ROWS: list[tuple[str, str, str, str, Any]] = [
    (family, of, name, kind, json.loads(default))
    for family, of, name, kind, default in (line.split(" ", 4) for line in DOCUMENTED.strip().splitlines())
]

# By type, what a client may give and what is kept, and what is refused.
GOOD: dict[str, tuple[Any, Any]] = {
    "bool": ("true", True),
    "int": ("7", 7),
    "size": ("1g", 1024),
    "string": ("text", "text"),
    "maybe-string": ("text", "text"),
    "float": (2, 2),
}
BAD: dict[str, Any] = {
    "bool": "perhaps",
    "int": "many",
    "size": "large",
    "string": ["x"],
    "maybe-string": ["x"],
    "float": "x",
}
UNCHECKED = {"hv", "disk", "nic"}  # text of these may have to be one of several words


def of(family: str, what: str) -> dict[str, tuple[str, Any]]:
    """The documented parameters: type and default by name."""
    return {name: (kind, default) for f, w, name, kind, default in ROWS if (f, w) == (family, what)}


class TableTests(SynchronousTestCase):
    """Names, types and defaults."""

    def test_hypervisors(self) -> None:
        """Each hypervisor has the documented parameters with their defaults, and their types."""
        for hypervisor, defaults in tables.HV_DEFAULTS.items():
            documented = of("hv", hypervisor)
            own = {"xen_cmd"} if hypervisor.startswith("xen-") else set()  # shown by a real cluster
            self.assertEqual(set(defaults) - own, set(documented), hypervisor)
            for name, (kind, default) in documented.items():
                self.assertEqual((tables.HV_TYPES[name], defaults[name]), (kind, default), name)

    def test_others(self) -> None:
        """So have instances, nodes and NICs."""
        for family, types, defaults in (
            ("be", tables.BE_TYPES, tables.BE_DEFAULTS),
            ("nd", tables.ND_TYPES, tables.ND_DEFAULTS),
            ("nic", dict.fromkeys(tables.NIC_DEFAULTS, "string"), tables.NIC_DEFAULTS),
        ):
            found = {name: (types[name], default) for name, default in defaults.items()}
            self.assertEqual(found, of(family, "-"), family)

    def test_disks(self) -> None:
        """So have the disk templates; those without parameters are known, too."""
        for template, defaults in tables.DISKPARAMS_DEFAULTS.items():
            found = {name: (tables.DISK_TYPES[name], default) for name, default in defaults.items()}
            self.assertEqual(found, of("disk", template), template)
        templates = {"blockdev", "diskless", "drbd", "ext", "file", "gluster", "plain", "rbd", "sharedfile"}
        self.assertEqual(set(tables.DISKPARAMS_DEFAULTS), templates)


def check(family: str, what: str, values: dict[str, Any]) -> Any:
    """What is kept of values a client gives."""
    match family:
        case "hv":
            return params.check_hv(what, values, whole=True)
        case "be":
            return params.check_be(values)
        case "nd":
            return group_params.check_nd(values)
        case "disk":
            return group_params.check_disk({what: values})[what]
    raise AssertionError(family)


class TypeTests(SynchronousTestCase):
    """Values of every parameter in its type."""

    def test_good(self) -> None:
        """What can be meant is kept in the parameter's type; the default is, too."""
        for family, what, name, kind, default in ROWS:
            if family == "nic":
                continue
            value, wanted = GOOD[kind]
            if family in UNCHECKED and kind == "string":
                value = wanted = default
            self.assertEqual(check(family, what, {name: value}), {name: wanted}, f"{family} {what} {name}")
            self.assertEqual(check(family, what, {name: default}), {name: default}, f"{family} {what} {name}")

    def test_bad(self) -> None:
        """What cannot be of the type is refused."""
        for family, what, name, kind, _ in ROWS:
            if family != "nic":
                with self.assertRaises(TypeEnforcementError, msg=f"{family} {what} {name}"):
                    check(family, what, {name: BAD[kind]})

    def test_unknown(self) -> None:
        """Unknown names are refused by every family."""
        for family, what in {(family, what) for family, what, *_ in ROWS if family != "nic"}:
            with self.assertRaises(TypeEnforcementError):
                check(family, what, {"no_such_parameter": 1})


class InheritanceTests(SynchronousTestCase):
    """Own values before the group's, before the cluster's, before the defaults; for every parameter."""

    def setUp(self) -> None:
        records, _ = founding()
        self.cluster: Any = records[0]

    @given(st.sampled_from([row for row in ROWS if row[0] == "hv"]), st.integers(0, 3))
    def test_hv(self, row: tuple[str, str, str, str, Any], own: int) -> None:
        """Hypervisor parameters: cluster, OS, instance; global ones are the cluster's alone."""
        _, hypervisor, name, _, default = row
        values = [{name: f"layer{n}"} if n < own else {} for n in range(3)]
        cluster = replace(
            self.cluster, hvparams={hypervisor: values[0]}, os_hvp={"noop": {hypervisor: values[1]}}
        )
        web = InstanceRecord(
            uuid="i",
            name="web",
            hypervisor=hypervisor,
            disk_template="file",
            primary_node="n",
            os="noop+default",
            hvparams=values[2],
        )
        wanted = default if own == 0 else f"layer{own - 1}"
        filled = params.hvparams(cluster, web)
        self.assertEqual(filled.get(name), None if name in tables.HV_GLOBAL else wanted)
        of_cluster = params.cluster_hvparams(cluster, hypervisor)[name]
        self.assertEqual(of_cluster, default if own == 0 else "layer0")

    @given(st.sampled_from([row for row in ROWS if row[0] == "be"]), st.integers(0, 2))
    def test_be(self, row: tuple[str, str, str, str, Any], own: int) -> None:
        """Backend parameters: cluster, instance."""
        name, default = row[2], row[4]
        values = [{name: f"layer{n}"} if n < own else {} for n in range(2)]
        cluster = replace(self.cluster, beparams=values[0])
        web = InstanceRecord(
            uuid="i",
            name="web",
            hypervisor="fake",
            disk_template="file",
            primary_node="n",
            beparams=values[1],
        )
        wanted = default if own == 0 else f"layer{own - 1}"
        self.assertEqual(params.beparams(cluster, web)[name], wanted)

    @given(st.sampled_from([row for row in ROWS if row[0] == "nd"]), st.integers(0, 3))
    def test_nd(self, row: tuple[str, str, str, str, Any], own: int) -> None:
        """Node parameters: cluster, group, node."""
        name, default = row[2], row[4]
        values = [{name: f"layer{n}"} if n < own else {} for n in range(3)]
        cluster = replace(self.cluster, ndparams=values[0])
        group = GroupRecord(uuid="g", name="g", ndparams=values[1])
        node = NodeRecord(
            uuid="n",
            name="n",
            group="g",
            primary_ip="",
            secondary_ip="",
            agent_host="",
            agent_port=1,
            ndparams=values[2],
        )
        wanted = default if own == 0 else f"layer{own - 1}"
        self.assertEqual(params.ndparams(cluster, group, node)[name], wanted)

    @given(st.sampled_from([row for row in ROWS if row[0] == "nic"]), st.integers(0, 2))
    def test_nic(self, row: tuple[str, str, str, str, Any], own: int) -> None:
        """NIC parameters: cluster, NIC."""
        name, default = row[2], row[4]
        values = [{name: f"layer{n}"} if n < own else {} for n in range(2)]
        cluster = replace(self.cluster, nicparams=values[0])
        nic = NicRecord(uuid="n", mac="aa:00:00:00:00:01", params=values[1])
        wanted = default if own == 0 else f"layer{own - 1}"
        self.assertEqual(params.nicparams(cluster, nic)[name], wanted)

    @given(st.sampled_from([row for row in ROWS if row[0] == "disk"]), st.integers(0, 2))
    def test_disk(self, row: tuple[str, str, str, str, Any], own: int) -> None:
        """Disk parameters: cluster, group, each template its own."""
        _, template, name, _, default = row
        values = [{template: {name: f"layer{n}"}} if n < own else {} for n in range(2)]
        cluster = replace(self.cluster, diskparams=values[0])
        group = GroupRecord(uuid="g", name="g", diskparams=values[1])
        filled = params.diskparams(cluster, group)
        wanted = default if own == 0 else f"layer{own - 1}"
        self.assertEqual(filled[template][name], wanted)
        others = {t: v for t, v in filled.items() if t != template}
        self.assertEqual(others, {t: v for t, v in tables.DISKPARAMS_DEFAULTS.items() if t != template})
