"""What OS scripts are told (behaviour.md §8)."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from twisted.trial.unittest import SynchronousTestCase

from twisted_rapi.agent.os_environment import basic, for_disk, for_step
from twisted_rapi.model.seen import OsSeen
from twisted_rapi.model.steps import DiskSpec, DomainSpec, NicSpec, RunOs

OS = OsSeen(name="deb", path="/os/deb", api_versions=(10, 15, 20, 99), variants=("bookworm", "trixie"))
DOMAIN = DomainSpec(
    name="web1.example.com",
    instance_uuid="8ad8",
    hypervisor="kvm",
    memory=256,
    minmem=128,
    vcpus=2,
    disks=(
        DiskSpec(uuid="d0", index=0, template="file", size=64, logical_id=("loop", "/f/0"), name="root"),
        DiskSpec(uuid="d1", index=1, template="plain", size=8, logical_id=("vg", "lv"), mode="ro"),
    ),
    nics=(
        NicSpec(uuid="n0", mac="aa:00:00:00:00:01", link="br0", ip="192.0.2.9", name="up"),
        NicSpec(
            uuid="n1",
            mac="aa:00:00:00:00:02",
            mode="routed",
            link="100",
            network={"name": "net1", "subnet": "192.0.2.0/24", "gateway": None, "tags": ["a", "b"], "x": 1},
        ),
    ),
    hvparams={"disk_type": "paravirtual", "nic_type": "e1000", "acpi": True, "kernel_path": ""},
    beparams={"maxmem": 256, "always_failover": False, "odd": None},
    os="deb+trixie",
    osparams={"root-size": "8", "Marker": "a b"},
    primary_node="node1.example.com",
    secondary_nodes=("node2.example.com", "node3.example.com"),
    ctime=1.5,
    mtime=2.0,
)
CORE = {
    "PATH": "/sbin:/bin:/usr/sbin:/usr/bin",
    "OS_API_VERSION": "20",
    "OS_NAME": "deb",
    "OS_VARIANT": "trixie",
    "DEBUG_LEVEL": "0",
    "OSP_ROOT_SIZE": "8",
    "OSP_MARKER": "a b",
}
INSTANCE = CORE | {
    "INSTANCE_NAME": "web1.example.com",
    "INSTANCE_OS": "deb+trixie",
    "INSTANCE_UUID": "8ad8",
    "INSTANCE_CTIME": "1.5",
    "INSTANCE_MTIME": "2.0",
    "INSTANCE_PRIMARY_NODE": "node1.example.com",
    "INSTANCE_SECONDARY_NODES": "node2.example.com node3.example.com",
    "HYPERVISOR": "kvm",
    "DISK_COUNT": "2",
    "DISK_0_PATH": "/p0",
    "DISK_0_URI": "/p0",
    "DISK_0_ACCESS": "rw",
    "DISK_0_UUID": "d0",
    "DISK_0_SIZE": "64",
    "DISK_0_NAME": "root",
    "DISK_0_BACKEND_TYPE": "file:loop",
    "DISK_0_FRONTEND_TYPE": "paravirtual",
    "DISK_1_PATH": "/p1",
    "DISK_1_URI": "/p1",
    "DISK_1_ACCESS": "ro",
    "DISK_1_UUID": "d1",
    "DISK_1_SIZE": "8",
    "DISK_1_BACKEND_TYPE": "block",
    "DISK_1_FRONTEND_TYPE": "paravirtual",
    "NIC_COUNT": "2",
    "NIC_0_MAC": "aa:00:00:00:00:01",
    "NIC_0_IP": "192.0.2.9",
    "NIC_0_NAME": "up",
    "NIC_0_MODE": "bridged",
    "NIC_0_LINK": "br0",
    "NIC_0_BRIDGE": "br0",
    "NIC_0_UUID": "n0",
    "NIC_0_FRONTEND_TYPE": "e1000",
    "NIC_1_MAC": "aa:00:00:00:00:02",
    "NIC_1_MODE": "routed",
    "NIC_1_LINK": "100",
    "NIC_1_UUID": "n1",
    "NIC_1_FRONTEND_TYPE": "e1000",
    "NIC_1_NETWORK_NAME": "net1",
    "NIC_1_NETWORK_SUBNET": "192.0.2.0/24",
    "NIC_1_NETWORK_TAGS": "a b",
    "INSTANCE_BE_maxmem": "256",
    "INSTANCE_BE_always_failover": "False",
    "INSTANCE_BE_odd": "None",
    "INSTANCE_HV_disk_type": "paravirtual",
    "INSTANCE_HV_nic_type": "e1000",
    "INSTANCE_HV_acpi": "True",
    "INSTANCE_HV_kernel_path": "",
}
PATHS = ["/p0", "/p1"]

VALUES = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
PARAMS = st.dictionaries(st.from_regex(r"[a-z][a-z_]{0,8}", fullmatch=True), VALUES, max_size=4)


class EnvironmentTests(SynchronousTestCase):
    """The whole of it, variable by variable."""

    maxDiff = None

    def step(self, **more: Any) -> RunOs:
        return RunOs(instance=DOMAIN.name, action=more.pop("action", "create"), domain=DOMAIN, **more)

    def test_create(self) -> None:
        """Exactly these; reinstallation and debugging show."""
        self.assertEqual(for_step(self.step(), OS, PATHS), INSTANCE)
        more = INSTANCE | {"INSTANCE_REINSTALL": "1", "DEBUG_LEVEL": "1"}
        self.assertEqual(for_step(self.step(reinstall=True, debug=1), OS, PATHS), more)

    def test_rename(self) -> None:
        """The name it had."""
        found = for_step(self.step(action="rename", old_name="old"), OS, PATHS)
        self.assertEqual(found, INSTANCE | {"OLD_INSTANCE_NAME": "old"})

    def test_import_and_export(self) -> None:
        """Which disk it is about."""
        for direction in ("import", "export"):
            prefix = direction.upper()
            found = for_disk(direction, DOMAIN, OS, PATHS, 1)
            self.assertEqual(
                {key: value for key, value in found.items() if key not in INSTANCE},
                {
                    f"{prefix}_DEVICE": "/p1",
                    f"{prefix}_DISK_PATH": "/p1",
                    f"{prefix}_DISK_URI": "/p1",
                    f"{prefix}_INDEX": "1",
                },
            )

    def test_verify(self) -> None:
        """The core only."""
        self.assertEqual(basic(OS, "deb+trixie", DOMAIN.osparams), CORE)

    def test_variant(self) -> None:
        """The first where none is chosen, nothing where there are none."""
        self.assertEqual(basic(OS, "deb", {})["OS_VARIANT"], "bookworm")
        self.assertEqual(basic(replace(OS, variants=()), "deb", {})["OS_VARIANT"], "")

    @given(PARAMS, PARAMS, PARAMS)
    def test_any(self, hvparams: dict[str, Any], beparams: dict[str, Any], osparams: dict[str, Any]) -> None:
        """Whatever the parameters, all is text, none is lost, none takes another's place."""
        domain = replace(DOMAIN, hvparams=hvparams, beparams=beparams, osparams=osparams)
        found = for_step(RunOs(instance="i", action="create", domain=domain), OS, PATHS)
        self.assertEqual({type(value) for value in (*found, *found.values())}, {str})
        self.assertLessEqual({f"INSTANCE_HV_{key}" for key in hvparams}, set(found))
        self.assertLessEqual({f"INSTANCE_BE_{key}" for key in beparams}, set(found))
        self.assertLessEqual({f"OSP_{key.upper()}" for key in osparams}, set(found))
        self.assertEqual((found["PATH"], found["INSTANCE_NAME"]), (INSTANCE["PATH"], DOMAIN.name))
