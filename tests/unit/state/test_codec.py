"""Tests of `twisted_rapi.state.codec`."""

import json
from pathlib import Path

import msgspec
from twisted.trial.unittest import SynchronousTestCase

from twisted_rapi.errors import RecordTooNew, StoreError
from twisted_rapi.model.records import RECORDS, InstanceRecord
from twisted_rapi.state.codec import KINDS, decode, encode

SAMPLES = Path(__file__).with_name("samples")


class CodecTests(SynchronousTestCase):
    """Records are read as they were written, also those of older versions."""

    def test_samples(self) -> None:
        """There is a stored sample of every record in every version, and each can be read."""
        for record in RECORDS:
            for version in range(1, record.VERSION + 1):
                file = SAMPLES / f"{record.KIND}-{version}.json"
                found = decode(f"{record.KIND}/x", file.read_bytes())
                self.assertIsInstance(found, record)
                if version == record.VERSION:
                    self.assertEqual(json.loads(encode(found)), json.loads(file.read_bytes()), file.name)

    def test_kinds(self) -> None:
        """Every record has a kind of its own."""
        self.assertEqual(len(KINDS), len(RECORDS))

    def test_too_new(self) -> None:
        """A record of a later version is not guessed at."""
        value = b'{"v":99,"r":{}}'
        self.assertRaises(RecordTooNew, decode, "instance/x", value)

    def test_unreadable(self) -> None:
        """What is no record is told with its key."""
        for value in (b"", b"{}", b"\xff", b'{"v":1,"r":{"uuid":1}}'):
            error = self.assertRaises(StoreError, decode, "instance/x", value)
            self.assertIn("instance/x", str(error))
        self.assertRaises(StoreError, decode, "nosuch/x", b'{"v":1,"r":{}}')

    def test_values(self) -> None:
        """Tuples below untyped fields come back as lists; the rest as it was."""
        record = InstanceRecord(
            uuid="u",
            name="n",
            hypervisor="fake",
            primary_node="p",
            disk_template="diskless",
            hvparams={"a": (1, 2)},
        )
        found = decode("instance/u", encode(record))
        assert isinstance(found, InstanceRecord)
        self.assertEqual(found.hvparams, {"a": [1, 2]})
        self.assertEqual(msgspec.structs.replace(found, hvparams=record.hvparams), record)
