"""Tests of `twisted_rapi.model.opcodes`; texts as observed."""

import json
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.unit.model.test_params import json_values
from tests.unit.plan.programs import opcodes
from twisted_rapi.errors import BadRequest
from twisted_rapi.model.opcodes import OPCODES, Opcode, decode, from_wire, summary, to_wire
from twisted_rapi.model.opcodes.instance import InstanceCreate, InstanceSetParams

CREATE = {"instance_name": "inst", "mode": "create", "disks": [{"size": 1}], "nics": [{}]}


def fails(op_id: str, name: str) -> str:
    """What is told of a parameter that is missing or not of its type."""
    return f"Invalid body parameters: (\"Parameter '{op_id}.{name}' fails validation\", 'wrong_input')"


class DecodeTests(SynchronousTestCase):
    """From parameters to opcodes."""

    def test_defaults(self) -> None:
        """What is not given has its documented default."""
        op = decode(InstanceCreate, CREATE)
        self.assertEqual((op.start, op.source_shutdown_timeout, op.compress), (True, 120, "none"))
        self.assertEqual((op.priority, op.depends, op.reason), (0, None, []))

    def test_forms(self) -> None:
        """Documented forms of a parameter are all taken."""
        for values in (
            {"disks": [{"size": 1}, {"size": "1G", "mode": "ro", "name": "x"}]},
            {"nics": [{"mac": "auto", "ip": None, "mode": "bridged", "link": "br0", "network": None}]},
            {"depends": [[1, ["success"]], ["12", []], [-1, ["error", "canceled"]]]},
            {"priority": -10, "comment": "why", "dry_run": True, "debug_level": 1},
            {"osparams_secret": {"a": "b"}, "beparams": {"memory": "1G"}, "hvparams": {}},
        ):
            self.assertIsInstance(decode(InstanceCreate, {**CREATE, **values}), InstanceCreate)
        for edits in ([["add", {}]], [[0, {}]], [["add", -1, {}]], [["remove", "uuid", {}]]):
            self.assertEqual(decode(InstanceSetParams, {"instance_name": "i", "nics": edits}).nics, edits)

    def test_disks_to_recreate(self) -> None:
        """Disks to be made anew are indexes, alone or each with what is to be changed; others are refused."""
        cls = OPCODES["OP_INSTANCE_RECREATE_DISKS"]
        op = decode(cls, {"instance_name": "i", "disks": [0, [1, {"size": 3}]]})
        self.assertEqual(to_wire(op)["disks"], [0, (1, {"size": 3})])
        for disks in ([-1], [16], [[16, {}]], [True], [[1]], ["0"], [2**70]):
            error = self.assertRaises(BadRequest, decode, cls, {"instance_name": "i", "disks": disks})
            self.assertEqual(error.message, fails("OP_INSTANCE_RECREATE_DISKS", "disks"), repr(disks))

    def test_repeats(self) -> None:
        """How often a trial is repeated has a bound: the steps of all are planned at once."""
        cls = OPCODES["OP_TEST_DELAY"]
        self.assertEqual(to_wire(decode(cls, {"duration": 0, "repeat": 1000}))["repeat"], 1000)
        for repeat in (1001, 2**40, -1):
            self.assertRaises(BadRequest, decode, cls, {"duration": 0, "repeat": repeat})

    def test_long_repeats(self) -> None:
        """All repetitions of a trial together have a bound."""
        cls = OPCODES["OP_TEST_DELAY"]
        for duration, repeat in ((86400, 0), (86400, 1), (86.4, 1000), (43200, 2)):
            decode(cls, {"duration": duration, "repeat": repeat})
        for duration, repeat in ((86400, 2), (87, 1000), (43201, 2)):
            error = self.assertRaises(BadRequest, decode, cls, {"duration": duration, "repeat": repeat})
            self.assertEqual(error.message, fails("OP_TEST_DELAY", "repeat"))

    def test_missing(self) -> None:
        """A parameter that has to be there and is not fails as a wrong one does."""
        for name in CREATE:
            values = {k: v for k, v in CREATE.items() if k != name}
            error = self.assertRaises(BadRequest, decode, InstanceCreate, values)
            self.assertEqual(error.message, fails("OP_INSTANCE_CREATE", name))

    def test_wrong(self) -> None:
        """Values of another type, out of bounds or none of the choices."""
        for name, value in (
            ("instance_name", 1),
            ("mode", "copy"),
            ("disks", {}),
            ("disks", [{"size": 1.5}]),
            ("disks", [{"size": ""}]),
            ("nics", [{"colour": "red"}]),
            ("nics", [{"mac": 1}]),
            ("start", "yes"),
            ("disk_template", "floppy"),
            ("hypervisor", "vmware"),
            ("file_driver", "nbd"),
            ("source_shutdown_timeout", -1),
            ("source_shutdown_timeout", 2**64),
            ("tags", [""]),
            ("os_type", ""),
            ("priority", 5),
            ("depends", [[1]]),
            ("depends", [["x", []]]),
            ("depends", [[1, ["queued"]]]),
            ("debug_level", -1),
            ("beparams", []),
        ):
            error = self.assertRaises(BadRequest, decode, InstanceCreate, {**CREATE, name: value})
            self.assertEqual(error.message, fails("OP_INSTANCE_CREATE", name), repr(value))

    def test_order(self) -> None:
        """Unknown parameters are told before wrong ones, and of those the first as declared."""
        values = {**CREATE, "start": 1, "mode": 1, "foo": 1}
        error = self.assertRaises(BadRequest, decode, InstanceCreate, values)
        self.assertEqual(
            error.message,
            "Invalid body parameters: Object OpInstanceCreate doesn't support the parameter 'foo'",
        )
        del values["foo"]
        error = self.assertRaises(BadRequest, decode, InstanceCreate, values)
        self.assertEqual(error.message, fails("OP_INSTANCE_CREATE", "mode"))

    def test_deep(self) -> None:
        """Values nested deeper than can be read are wrong ones."""
        deep: list[Any] = []
        for _ in range(100_000):
            deep = [deep]
        error = self.assertRaises(BadRequest, decode, InstanceCreate, {**CREATE, "disks": deep})
        self.assertEqual(error.message, fails("OP_INSTANCE_CREATE", "disks"))

    @given(st.sampled_from(sorted(OPCODES)), st.data())
    def test_anything(self, op_id: str, data: st.DataObject) -> None:
        """Whatever is given for whatever parameter is taken or refused in the field's words."""
        cls = OPCODES[op_id]
        names = [f.name for f in msgspec.structs.fields(cls)]
        values = data.draw(st.dictionaries(st.sampled_from(names), json_values, max_size=4))
        try:
            op = decode(cls, values)
        except BadRequest as e:
            self.assertIn(e.message, [fails(op_id, name) for name in names])
        else:
            self.assertIsInstance(op, cls)


class WireTests(SynchronousTestCase):
    """The wire form, which is also what is stored."""

    def test_order(self) -> None:
        """Parameters of all opcodes first, then the name, then its own; those without a value left out."""
        wire = to_wire(decode(InstanceCreate, CREATE))
        names = list(wire)
        self.assertEqual(names[:5], ["priority", "depends", "comment", "reason", "OP_ID"])
        self.assertEqual(names[5], "instance_name")
        for name in ("dry_run", "debug_level", "pnode", "osparams_private"):
            self.assertNotIn(name, wire)
        self.assertEqual(next(iter(to_wire(decode(InstanceCreate, {**CREATE, "dry_run": True})))), "dry_run")

    def test_unknown(self) -> None:
        """A wire form that names no opcode, or one that does not exist, is refused."""
        wires: tuple[dict[str, Any], ...] = ({}, {"OP_ID": "OP_NOSUCH"}, {"OP_ID": []}, {"OP_ID": None})
        for wire in wires:
            self.assertRaises(BadRequest, from_wire, wire)

    @settings(max_examples=60)
    @given(opcodes)
    def test_round_trip(self, op: Opcode) -> None:
        """An opcode is read as it was written, also by way of JSON."""
        self.assertEqual(from_wire(to_wire(op)), op)
        self.assertEqual(to_wire(from_wire(json.loads(json.dumps(to_wire(op))))), to_wire(op))

    def test_declared(self) -> None:
        """Every opcode is listed under its own name, and its summary names a parameter it has."""
        for op_id, cls in OPCODES.items():
            self.assertEqual(cls.OP_ID, op_id)
            self.assertTrue(op_id.startswith("OP_"))
            if cls.SUMMARY is not None:
                self.assertIn(cls.SUMMARY, cls.__struct_fields__)


class SummaryTests(SynchronousTestCase):
    """How a job's summary names opcodes."""

    def test_summaries(self) -> None:
        """The name, and the value of what it is about where there is such a thing."""
        self.assertEqual(summary(decode(InstanceCreate, CREATE)), "INSTANCE_CREATE(inst)")
        self.assertEqual(summary(from_wire({"OP_ID": "OP_INSTANCE_QUERY_DATA"})), "INSTANCE_QUERY_DATA")
