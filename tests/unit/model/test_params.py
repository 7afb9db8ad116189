"""Tests of `twisted_rapi.model.params`."""

import math
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from twisted_rapi.errors import HypervisorError, JobError, OpPrereqError, TypeEnforcementError
from twisted_rapi.model import param_tables as tables
from twisted_rapi.model import params
from twisted_rapi.model.records import (
    ClusterRecord,
    GroupRecord,
    InstanceRecord,
    NicRecord,
    NodeRecord,
)

CLUSTER = ClusterRecord(uuid="c", name="cluster", master_node="n")
GROUP = GroupRecord(uuid="g", name="default")
INSTANCE = InstanceRecord(
    uuid="i", name="inst", hypervisor="kvm", primary_node="n", disk_template="diskless", os="noop+alt"
)

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=2), inner, max_size=2),
    max_leaves=4,
)


class SizeTests(SynchronousTestCase):
    """Sizes in MiB."""

    def test_forms(self) -> None:
        """Numbers are MiB; text may have a unit and a fraction, which is rounded up."""
        for given_, size in (
            (512, 512),
            (0, 0),
            ("512", 512),
            ("512M", 512),
            ("512 mib", 512),
            ("1.5G", 1536),
            ("1g", 1024),
            ("2T", 2097152),
            ("0.0001M", 1),
            (" 7 ", 7),
        ):
            self.assertEqual(params.mebibytes(given_), size, repr(given_))

    def test_bad(self) -> None:
        """What is no size, negative, or too large to be one."""
        bad: tuple[Any, ...] = (
            True,
            None,
            1.5,
            -1,
            2**53 + 1,
            "",
            "x",
            "1X",
            "1.M",
            "-1",
            "1e3",
            "9" * 13,
            [],
            "٣",
        )
        for each in bad:
            self.assertRaises(ValueError, params.mebibytes, each)

    @given(st.integers(0, 10**9), st.sampled_from(["", "M", "G", "T"]))
    def test_units(self, number: int, unit: str) -> None:
        """A unit is a power of 1024 MiB."""
        scale = 1024 ** "MGT".find(unit or "M")
        self.assertEqual(params.mebibytes(f"{number}{unit}"), number * scale)


class EnforceTests(SynchronousTestCase):
    """Values in their types; texts as observed."""

    def test_good(self) -> None:
        """What each type takes, and what it makes of it."""
        for kind, value, result in (
            ("bool", True, True),
            ("bool", "True", True),
            ("bool", "false", False),
            ("int", 3, 3),
            ("int", "3", 3),
            ("int", " -3 ", -3),
            ("float", 1, 1),
            ("float", 1.5, 1.5),
            ("size", "1G", 1024),
            ("string", None, ""),
            ("string", "x", "x"),
            ("string", 7, "7"),
            ("string", False, ""),
            ("maybe-string", None, None),
            ("maybe-string", "none", None),
            ("maybe-string", "x", "x"),
        ):
            got = params.enforce({"p": value}, {"p": kind})
            self.assertEqual((got["p"], type(got["p"])), (result, type(result)), (kind, value))

    def test_bad(self) -> None:
        """What they do not take."""
        for kind, value, text in (
            ("bool", "yes", "'p' (value yes) is not a valid boolean"),
            ("bool", 1, "'p' (value 1) is not a valid boolean"),
            ("int", "x", "'p' (value x) is not a valid integer"),
            ("int", "1_0", "'p' (value 1_0) is not a valid integer"),
            ("int", "٣", "'p' (value ٣) is not a valid integer"),
            ("int", True, "'p' (value True) is not a valid integer"),
            ("int", None, "'p' (value None) is not a valid integer"),
            ("int", 2**53 + 1, "'p' (value 9007199254740993) is not a valid integer"),
            ("float", "1.5", "'p' (value 1.5) is not a valid float"),
            ("size", "big", "'p' (value big) is not a valid size: 'big' is not a size"),
            ("string", [], "'p' (value []) is not a valid string"),
            ("string", "a\x00b", "'p' (value 'a\\x00b') is not a valid string"),
        ):
            error = self.assertRaises(TypeEnforcementError, params.enforce, {"p": value}, {"p": kind})
            self.assertEqual(error.pair(), ["TypeEnforcementError", [text]])

    def test_unknown(self) -> None:
        """A name that no table has is an error before any value is looked at."""
        error = self.assertRaises(
            TypeEnforcementError, params.enforce, {"vcpus": "x", "foo": 1}, tables.BE_TYPES
        )
        self.assertEqual(error.pair(), ["TypeEnforcementError", ["Unknown parameter 'foo'"]])

    def test_default(self) -> None:
        """``default`` is a value only where custom values can be taken back."""
        self.assertEqual(
            params.enforce({"vcpus": "default"}, tables.BE_TYPES, allow_default=True), {"vcpus": "default"}
        )
        self.assertRaises(TypeEnforcementError, params.enforce, {"vcpus": "default"}, tables.BE_TYPES)

    @given(st.sampled_from(sorted(params._CHECKS)), json_values)
    def test_anything(self, kind: str, value: Any) -> None:
        """Whatever is given is taken in its type or refused, and what was taken is taken again."""
        try:
            got = params.enforce({"p": value}, {"p": kind})["p"]
        except TypeEnforcementError:
            return
        again = params.enforce({"p": got}, {"p": kind})["p"]
        self.assertTrue(again == got or (isinstance(got, float) and math.isnan(got)), (value, got, again))

    @given(
        st.dictionaries(st.sampled_from("abc"), st.integers(0, 3)),
        st.dictionaries(st.sampled_from("abc"), st.integers(0, 3) | st.just("default")),
    )
    def test_update(self, custom: dict[str, Any], change: dict[str, Any]) -> None:
        """Changes win over what was there; ``default`` takes it back."""
        got = params.update(custom, change)
        for name in "abc":
            wanted = change.get(name, custom.get(name))
            self.assertEqual(got.get(name), None if wanted == "default" else wanted)


class BackendTests(SynchronousTestCase):
    """Backend parameters."""

    def test_memory(self) -> None:
        """``memory`` stands for both bounds; a bound given besides it wins."""
        self.assertEqual(params.check_be({"memory": "1G"}), {"minmem": 1024, "maxmem": 1024})
        self.assertEqual(params.check_be({"memory": 512, "minmem": 128}), {"minmem": 128, "maxmem": 512})

    def test_bounds(self) -> None:
        """Memory bounds stand in order, and there is at least one of each."""
        for change, text in (
            ({"minmem": 256}, "Minimum memory (256) is larger than maximum memory (128)"),
            ({"vcpus": 0}, "Backend parameter 'vcpus' must be at least 1"),
            ({"minmem": 0}, "Backend parameter 'minmem' must be at least 1"),
        ):
            error = self.assertRaises(OpPrereqError, params.judge_be, {**tables.BE_DEFAULTS, **change})
            self.assertEqual(error.pair(), ["OpPrereqError", [text, "wrong_input"]])
        params.judge_be(tables.BE_DEFAULTS)


class HypervisorTests(SynchronousTestCase):
    """Hypervisor parameters."""

    def test_errors(self) -> None:
        """Unknown, of another hypervisor, the cluster's alone, or none of the choices."""
        for hypervisor, values, error in (
            ("kvm", {"foo": 1}, ["TypeEnforcementError", ["Unknown parameter 'foo'"]]),
            ("fake", {"usb_devices": "x"}, ["HypervisorError", ["Parameter 'usb_devices' is not supported"]]),
            (
                "kvm",
                {"migration_port": 1},
                [
                    "OpPrereqError",
                    [
                        "Hypervisor parameters of the whole cluster, not of an instance: migration_port",
                        "wrong_input",
                    ],
                ],
            ),
        ):
            raised = self.assertRaises(JobError, params.check_hv, hypervisor, values)
            self.assertEqual(raised.pair(), error)
        raised = self.assertRaises(HypervisorError, params.check_hv, "kvm", {"boot_order": "x"})
        self.assertEqual(
            raised.text,
            "Parameter 'boot_order' fails validation: x is not one of cdrom, disk, floppy, network",
        )

    def test_tables(self) -> None:
        """Every default has a type and is of it, and is among the choices where there are some."""
        for hypervisor, defaults in tables.HV_DEFAULTS.items():
            own = {name: value for name, value in defaults.items() if name not in tables.HV_GLOBAL}
            self.assertEqual(params.check_hv(hypervisor, own), own)
        self.assertEqual(params.enforce(tables.BE_DEFAULTS, tables.BE_TYPES), tables.BE_DEFAULTS)
        self.assertEqual(params.enforce(tables.ND_DEFAULTS, tables.ND_TYPES), tables.ND_DEFAULTS)

    def test_layers(self) -> None:
        """The instance's own values win over its OS's, those over the cluster's, those over the defaults."""
        cluster = ClusterRecord(
            uuid="c",
            name="c",
            master_node="n",
            hvparams={"kvm": {"vga": "cluster", "keymap": "cluster", "soundhw": "cluster"}},
            os_hvp={"noop": {"kvm": {"vga": "os", "keymap": "os"}}},
        )
        filled = params.hvparams(cluster, _instance(hvparams={"vga": "own"}))
        self.assertEqual(
            [filled[name] for name in ("vga", "keymap", "soundhw", "kernel_args")],
            ["own", "os", "cluster", "ro"],
        )
        self.assertFalse(tables.HV_GLOBAL & filled.keys())


def _instance(**values: Any) -> InstanceRecord:
    fields = {f: getattr(INSTANCE, f) for f in INSTANCE.__struct_fields__}
    return InstanceRecord(**{**fields, **values})


class LayerTests(SynchronousTestCase):
    """The other parameters, filled in."""

    def test_beparams(self) -> None:
        """Cluster values under an instance's own."""
        cluster = ClusterRecord(uuid="c", name="c", master_node="n", beparams={"vcpus": 2, "maxmem": 256})
        filled = params.beparams(cluster, _instance(beparams={"vcpus": 4}))
        self.assertEqual((filled["vcpus"], filled["maxmem"], filled["minmem"]), (4, 256, 128))

    def test_nicparams(self) -> None:
        """A NIC's own values over the cluster's."""
        cluster = ClusterRecord(uuid="c", name="c", master_node="n", nicparams={"link": "br7"})
        nic = NicRecord(uuid="x", mac="aa:00:00:00:00:01", params={"mode": "routed"})
        self.assertEqual(params.nicparams(cluster, nic), {"mode": "routed", "link": "br7", "vlan": ""})

    def test_osparams(self) -> None:
        """Those of the OS, then of its variant, then the instance's own."""
        cluster = ClusterRecord(
            uuid="c",
            name="c",
            master_node="n",
            osparams={"noop": {"a": "os", "b": "os", "c": "os"}, "noop+alt": {"b": "alt", "c": "alt"}},
        )
        filled = params.osparams(cluster, _instance(osparams={"c": "own"}))
        self.assertEqual(filled, {"a": "os", "b": "alt", "c": "own"})
        error = self.assertRaises(TypeEnforcementError, params.check_os, {"a": []})
        self.assertEqual(error.text, "'a' (value []) is not a valid string")

    def test_ndparams(self) -> None:
        """A node's own values over its group's over the cluster's."""
        cluster = ClusterRecord(
            uuid="c", name="c", master_node="n", ndparams={"ssh_port": 1, "ovs": True, "ovs_name": "c"}
        )
        group = GroupRecord(uuid="g", name="g", ndparams={"ssh_port": 2, "ovs_name": "g"})
        node = NodeRecord(
            uuid="n",
            name="n",
            group="g",
            primary_ip="192.0.2.1",
            secondary_ip="192.0.2.1",
            agent_host="192.0.2.1",
            agent_port=1811,
            ndparams={"ssh_port": 3},
        )
        filled = params.ndparams(cluster, group, node)
        self.assertEqual([filled[k] for k in ("ssh_port", "ovs_name", "ovs")], [3, "g", True])

    def test_ipolicy(self) -> None:
        """A group's own policy over the cluster's; it has no ``std`` of its own."""
        group = GroupRecord(uuid="g", name="g", ipolicy={"vcpu-ratio": 2.0, "std": {}})
        filled = params.ipolicy(CLUSTER, group)
        self.assertEqual((filled["vcpu-ratio"], filled["std"]), (2.0, tables.IPOLICY_DEFAULTS["std"]))
        self.assertEqual(params.ipolicy(CLUSTER, GROUP), tables.IPOLICY_DEFAULTS)

    def test_diskparams(self) -> None:
        """Per template, a group's over the cluster's."""
        cluster = ClusterRecord(
            uuid="c", name="c", master_node="n", diskparams={"rbd": {"pool": "a", "access": "userspace"}}
        )
        group = GroupRecord(uuid="g", name="g", diskparams={"rbd": {"pool": "b"}})
        filled = params.diskparams(cluster, group)
        self.assertEqual(filled["rbd"], {"pool": "b", "access": "userspace"})
        self.assertEqual(set(filled), set(tables.DISKPARAMS_DEFAULTS))
