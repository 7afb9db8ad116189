"""What all records of the store have in common."""

from typing import ClassVar

from msgspec import Struct


class Record(Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """
    Something the store keeps under one key.

    Records are trees, so they need no garbage collector; with many of them it would halt the process.

    :cvar KIND: the first part of the key.
    :cvar VERSION: the version that is written; older ones are upgraded on reading.
    """

    KIND: ClassVar[str]
    VERSION: ClassVar[int] = 1


class ObjectRecord(Record, frozen=True, kw_only=True, omit_defaults=True):
    """What cluster, groups, nodes and instances have in common."""

    uuid: str
    name: str
    ctime: float = 0.0
    mtime: float = 0.0
    serial_no: int = 1
    tags: tuple[str, ...] = ()


class SingleRecord(Record, frozen=True, kw_only=True, omit_defaults=True):
    """One of its kind in a cluster, kept under the kind alone."""
