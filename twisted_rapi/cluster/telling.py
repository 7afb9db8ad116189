"""
What is told of a commit: events, made of the commit alone.

Nothing else goes into an event that has an id, so every candidate tells the same of the same commit.  There
is nothing in it that may not be read by who may read jobs: names, identifiers and states.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import attrs

from twisted_rapi.cluster.answers import encode
from twisted_rapi.model.mastership import ElectionRecord
from twisted_rapi.model.record_base import ObjectRecord, Record
from twisted_rapi.model.records import GroupRecord, InstanceRecord, JobRecord, NetworkRecord, NodeRecord
from twisted_rapi.plan.fields import job as job_fields
from twisted_rapi.state.codec import decode
from twisted_rapi.state.interface import Changes

OBJECTS = tuple(cls.KIND for cls in (GroupRecord, InstanceRecord, NetworkRecord, NodeRecord))
MASTER = "master"
KINDS = (*OBJECTS, JobRecord.KIND, MASTER)
"""What events are about."""

PREFIXES = (
    *(f"{kind}/" for kind in (*OBJECTS, JobRecord.KIND)),
    *(f"name/{kind}/" for kind in OBJECTS),
    ElectionRecord.KIND,
)
"""The keys whose changes are told, and those that have the names of what is removed."""

_SHOWN: Mapping[str, tuple[str, ...]] = {
    "group": ("name", "uuid", "serial_no"),
    "network": ("name", "uuid", "serial_no"),
    "node": ("name", "uuid", "serial_no", "offline", "drained", "master_candidate"),
    "instance": ("name", "uuid", "serial_no", "admin_state", "forthcoming", "primary_node"),
}
_OF_JOBS = ("id", "status", "opstatus", "summary")
_PLACE = re.compile(r"([0-9]{1,18})(?::([0-9]{1,9}))?")


@attrs.frozen
class Event:
    """
    Something that happened.

    :ivar text: the event as server-sent events have it, with the empty line after it.
    :ivar instances: names of the instances it is about.
    """

    kind: str
    text: bytes
    instances: frozenset[str] = frozenset()


@attrs.frozen
class Wanted:
    """
    Which events a reader wants.

    :ivar instance: only those about this instance; "" for all.
    """

    kinds: frozenset[str] = frozenset(KINDS)
    instance: str = ""

    def has(self, event: Event) -> bool:
        """Whether this one is."""
        return event.kind in self.kinds and (not self.instance or any(map(self._is_wanted, event.instances)))

    def _is_wanted(self, name: str) -> bool:
        """Whether a name, which in a job may be the first labels of it, is the instance's."""
        return f"{self.instance}.".startswith(f"{name}.")


@attrs.frozen
class Place:
    """
    Between two events.

    :ivar after: the revision of the last commit that was told whole.
    :ivar seen: how many events of the next revision were told.
    """

    after: int
    seen: int = 0

    @property
    def newest(self) -> int:
        """The newest revision of which something was told."""
        return self.after + bool(self.seen)


def place_of(last: str) -> Place | None:
    """The place after the event with this id; ``None`` when there can be no such event."""
    found = _PLACE.fullmatch(last)
    if found is None or not last.isascii():
        return None
    revision = int(found[1])
    if found[2] is None:
        return Place(revision)
    return Place(revision - 1, int(found[2]) + 1) if revision else None


def written(kind: str, data: Mapping[str, Any], place: str = "") -> bytes:
    """An event as server-sent events have it (HTML standard §9.2); without a place it has no id."""
    head = f"id: {place}\n" if place else ""
    return f"{head}event: {kind}\ndata: ".encode("ascii") + encode(data) + b"\n\n"


def events_of(change: Changes, name_of: Callable[[str], str]) -> tuple[Event, ...]:
    """
    All that is told of a commit, in the order of its keys.

    The last event's id is the revision, those before it have their number after that.

    :param name_of: the name of the node with a uuid.
    :raises StoreError: a record cannot be read.
    """
    found = [event for key in sorted(change.values) for event in _told(key, change.values, name_of)]
    last = len(found) - 1
    return tuple(
        Event(kind, written(kind, data, _id(change.revision, n, last)), instances)
        for n, (kind, data, instances) in enumerate(found)
    )


def _id(revision: int, number: int, last: int) -> str:
    return str(revision) if number == last else f"{revision}:{number}"


_Told = tuple[str, Mapping[str, Any], frozenset[str]]


def _told(key: str, values: Mapping[str, bytes | None], name_of: Callable[[str], str]) -> Iterable[_Told]:
    kind, _, rest = key.partition("/")
    value = values[key]
    if kind == JobRecord.KIND and value is None:
        yield kind, {"id": int(rest), "archived": True}, frozenset()
    elif kind in OBJECTS and value is None:
        name = _removed(kind, values)
        data = {"change": "removed", "name": name, "uuid": rest}
        yield kind, data, _instances(kind, name)
    elif value is not None and (kind in OBJECTS or kind in (JobRecord.KIND, ElectionRecord.KIND)):
        yield from _shown(decode(key, value), name_of)


def _shown(record: Record, name_of: Callable[[str], str]) -> Iterable[_Told]:
    match record:
        case JobRecord():
            yield of_job(record)
        case ElectionRecord():
            data = {"term": record.term, "uuid": record.node, "name": name_of(record.node)}
            yield MASTER, data, frozenset()
        case InstanceRecord(pending=int()):
            pass  # no read shows it yet
        case ObjectRecord():
            change = "added" if record.serial_no == 1 else "changed"
            shown = {name: getattr(record, name) for name in _SHOWN[record.KIND]}
            yield record.KIND, {"change": change, **shown}, _instances(record.KIND, record.name)


def of_job(job: JobRecord) -> _Told:
    """What is told of a job that is not archived."""
    names = (op.input.get("instance_name") for op in job.ops)
    instances = frozenset(name for name in names if isinstance(name, str))
    data = {**{name: job_fields.value(job, name) for name in _OF_JOBS}, "archived": False}
    return JobRecord.KIND, data, instances


def _instances(kind: str, name: str | None) -> frozenset[str]:
    return frozenset([name]) if kind == InstanceRecord.KIND and name is not None else frozenset()


def _removed(kind: str, values: Mapping[str, bytes | None]) -> str | None:
    """The name of what was removed: that of the one name that was given up with it, if it was one."""
    prefix = f"name/{kind}/"
    names = [
        key.removeprefix(prefix) for key, value in values.items() if value is None and key.startswith(prefix)
    ]
    gone = [key for key, value in values.items() if value is None and key.startswith(f"{kind}/")]
    return names[0] if len(names) == len(gone) == 1 else None
