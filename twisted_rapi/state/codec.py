"""
How records are written: JSON with the version of the record, one value a key.

Values below fields of type ``Any`` come back as JSON types: a tuple put there is read as a list.
"""

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from twisted_rapi.errors import RecordTooNew, StoreError
from twisted_rapi.model.record_base import Record
from twisted_rapi.model.records import RECORDS

Upgrade = Callable[[dict[str, Any]], dict[str, Any]]

KINDS: Mapping[str, type[Record]] = {cls.KIND: cls for cls in RECORDS}

UPGRADES: Mapping[tuple[str, int], Upgrade] = {}
"""From a kind and an old version to what makes the next version of its fields."""


class _Envelope(msgspec.Struct, frozen=True):
    v: int
    r: msgspec.Raw


_ENVELOPE = msgspec.json.Decoder(_Envelope)
_DECODERS = {kind: msgspec.json.Decoder(cls) for kind, cls in KINDS.items()}
_ENCODER = msgspec.json.Encoder()


def encode(record: Record) -> bytes:
    """The stored form of a record."""
    return b'{"v":%d,"r":%b}' % (record.VERSION, _ENCODER.encode(record))


def decode(key: str, value: bytes) -> Record:
    """
    The record under a key; older versions are brought up to date.

    :raises RecordTooNew: a newer version of this program wrote it.
    :raises StoreError: it cannot be read at all.
    """
    kind = key.partition("/")[0]
    try:
        envelope = _ENVELOPE.decode(value)
        current = KINDS[kind].VERSION
        if envelope.v > current:
            raise RecordTooNew(f"{key} is of version {envelope.v}, this program knows {current}")
        if envelope.v == current:
            return _DECODERS[kind].decode(envelope.r)
        fields = msgspec.json.decode(envelope.r)
        for version in range(envelope.v, current):
            fields = UPGRADES[kind, version](fields)
        return _DECODERS[kind].decode(_ENCODER.encode(fields))
    except (KeyError, msgspec.DecodeError) as e:
        raise StoreError(f"{key} cannot be read: {e}") from e
