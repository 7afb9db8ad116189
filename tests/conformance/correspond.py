"""
Whether an answer is the same as the recorded one.

Values that a cluster draws by chance (UUIDs, MAC addresses, job ids) have to correspond one to one; values
that depend on the moment or the machine have to be of the same shape; everything else is equal.
"""

import html
import re
from collections.abc import Iterator
from typing import Any

import attrs

_UUID = re.compile(r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b")
_MAC = re.compile(r"\b[0-9a-f]{2}(?::[0-9a-f]{2}){5}\b")
_JOB = re.compile(r"(?<=job=)\d+|(?<=[Jj]ob )\d+")
_DRAWN = re.compile(f"{_UUID.pattern}|{_MAC.pattern}|{_JOB.pattern}")

# Keys whose value depends on the moment or the machine: same type, or null in both.
MOMENTS = frozenset(
    {
        "serial_no",
        *(
            "ctime",
            "mtime",
            "received_ts",
            "start_ts",
            "end_ts",
            "dtotal",
            "dfree",
            "mtotal",
            "mnode",
            "mfree",
        ),
        *("handshake", "x509_key_name", "x509_ca"),  # keys and salts
        *("ctotal", "cnos", "cnodes", "csockets", "vcs_version", "watermark", "job_queue_ids"),
    }
)


@attrs.define
class Correspondence:
    """
    What of the recording is what here.

    :ivar here: from recorded UUIDs, MAC addresses and job ids to those of this cluster.
    :ivar places: parts of texts that are of this machine, and what the recording has for them.
    """

    places: dict[str, str] = attrs.field(factory=dict)
    here: dict[str, str] = attrs.field(factory=dict)
    _there: dict[str, str] = attrs.field(factory=dict)

    def note(self, recorded: Any, ours: Any) -> bool:
        """Whether two drawn values can be the same thing; they are from now on."""
        a, b = str(recorded), str(ours)
        known = self.here.setdefault(a, b)
        back = self._there.setdefault(b, a)
        return known == b and back == a

    def translated(self, text: str) -> str:
        """A recorded request with this cluster's values."""
        return _DRAWN.sub(lambda m: self.here.get(m.group(), m.group()), text)

    # Comparing.

    def differences(self, recorded: Any, ours: Any, at: str = "") -> Iterator[str]:
        """Where two decoded answers differ, in words."""
        key = at.rpartition(".")[2]
        if key in MOMENTS or (key == "doc" and ".fields[" in at):
            yield from _shape(recorded, ours, at)
        elif isinstance(recorded, dict) and isinstance(ours, dict):
            yield from self._objects(recorded, ours, at)
        elif isinstance(recorded, list) and isinstance(ours, list):
            yield from self._lists(recorded, ours, at)
        elif isinstance(recorded, str) and isinstance(ours, str):
            if not self._same_text(recorded, ours):
                yield f"{at}: {ours!r} instead of {recorded!r}"
        elif key == "id" and isinstance(recorded, int) and isinstance(ours, int):
            if not self.note(recorded, ours):
                yield f"{at}: job {ours} instead of {recorded}"
        elif not _equal(recorded, ours):
            yield f"{at}: {ours!r} instead of {recorded!r}"

    def _objects(self, recorded: dict[str, Any], ours: dict[str, Any], at: str) -> Iterator[str]:
        if "opstatus" in recorded and "opstatus" in ours:
            recorded, ours = _judged(recorded), _judged(ours)
        if set(recorded) == set(ours) == _FIELD:
            recorded, ours = _undescribed(recorded), _undescribed(ours)
        if set(recorded) == set(ours) == {"data", "fields"}:
            recorded, ours = _queried(recorded), _queried(ours)
        mine = {self.translated(key): key for key in recorded}
        for key, value in recorded.items():
            here = self.translated(key)
            if here not in ours:
                yield f"{at}.{key}: missing (recorded {value!r:.80})"
            else:
                yield from self.differences(value, ours[here], f"{at}.{key}")
        for key in ours:
            if key not in mine:
                yield f"{at}.{key}: not in the recording ({ours[key]!r:.80})"
        if list(map(self.translated, recorded)) != list(ours) and set(mine) == set(ours):
            yield f"{at}: keys in the order {list(ours)} instead of {list(recorded)}"

    def _lists(self, recorded: list[Any], ours: list[Any], at: str) -> Iterator[str]:
        if at.rpartition(".")[2] in _UNORDERED:
            recorded, ours = sorted(recorded, key=str), sorted(ours, key=str)
        if len(recorded) != len(ours):
            yield f"{at}: {len(ours)} items instead of {len(recorded)}: {ours!r:.200} / {recorded!r:.200}"
            return
        if at.endswith("jobs") and all(map(_accepted, recorded)) and all(map(_accepted, ours)):
            for (_, there), (_, here) in zip(recorded, ours, strict=True):
                self.note(there, here)
            return
        if _moment(recorded) and _moment(ours):
            return
        if _dependency(recorded) and _dependency(ours) and self.note(recorded[0], ours[0]):
            recorded, ours = recorded[1:], ours[1:]
        if _reason(recorded) and _reason(ours):
            recorded, ours = [*recorded[:2], "ns"], [*ours[:2], "ns"]
        if _entry(recorded) and _entry(ours):
            recorded, ours = [recorded[0], "ts", *recorded[2:]], [ours[0], "ts", *ours[2:]]
        for n, (a, b) in enumerate(zip(recorded, ours, strict=True)):
            yield from self.differences(a, b, f"{at}[{n}]")

    def _same_text(self, recorded: str, ours: str) -> bool:
        for place, there in self.places.items():
            ours = ours.replace(place, there)
        if recorded == ours:
            return True
        a, b = _DRAWN.findall(recorded), _DRAWN.findall(ours)
        if len(a) != len(b) or _DRAWN.sub("*", recorded) != _DRAWN.sub("*", ours):
            return False
        if sorted(self.here.get(x, "") for x in a) == sorted(b):
            return True  # a list of objects in a text: their order goes by what was drawn
        # The name of a file is drawn for itself in the recording, and is the disk's own uuid here.
        kind = "file " if "/" in recorded else ""
        return all(self.note(kind + x, kind + y) for x, y in zip(a, b, strict=True))


# What is filled into an opcode while it is judged: how far that came is not told of one that failed.
_FILLED = frozenset(
    {
        *("instance_uuid", "node_uuid", "pnode_uuid", "target_node_uuid", "debug_level", "pnode"),
        *("osparams", "osparams_private", "osparams_secret", "file_driver"),
        *("helper_startup_timeout", "helper_shutdown_timeout", "hypervisor", "disk_template"),
    }
)


def _judged(job: dict[str, Any]) -> dict[str, Any]:
    """A job without what was filled into opcodes that failed."""
    if not isinstance(job["ops"], list):
        return job
    if job["summary"] == ["NODE_QUERY_STORAGE"] and job["status"] == "success":
        job = {**job, "opresult": [[[_measured(v) for v in row] for row in job["opresult"][0]]]}
    ops = [
        op if status != "error" else {k: v for k, v in op.items() if k not in _FILLED}
        for op, status in zip(job["ops"], job["opstatus"], strict=True)
    ]
    return {**job, "ops": ops}


# The words for a field are this project's own (docs/compatibility.rst).
_FIELD = {"name", "title", "kind", "doc"}


def _undescribed(field: dict[str, Any]) -> dict[str, Any]:
    return {**field, "doc": bool(field["doc"])}


def _queried(answer: dict[str, Any]) -> dict[str, Any]:
    """A query's answer with its values by name, as they depend on the moment or not by that."""
    names = [field["name"] for field in answer["fields"]]
    rows = [dict(zip(names, [value for _, value in row], strict=True)) for row in answer["data"]]
    statuses = [[status for status, _ in row] for row in answer["data"]]
    return {"data": rows, "statuses": statuses, "fields": answer["fields"]}


def _measured(value: Any) -> Any:
    """What is measured in MiB differs from machine to machine."""
    return "MiB" if isinstance(value, int) and not isinstance(value, bool) and value > 100 else value


_UNORDERED = frozenset({"node_list", "features", "tags"})


def _dependency(value: list[Any]) -> bool:
    """A job that another one depends on, and how it has to end."""
    return len(value) == 2 and isinstance(value[0], int) and isinstance(value[1], list)


def _moment(value: list[Any]) -> bool:
    """Seconds and microseconds."""
    return len(value) == 2 and all(isinstance(v, int) for v in value) and value[0] > 1_700_000_000


def _reason(value: list[Any]) -> bool:
    return len(value) == 3 and isinstance(value[0], str) and value[0].startswith(("gnt:", "luxid"))


def _accepted(value: Any) -> bool:
    """A job that another one submitted."""
    return isinstance(value, list) and len(value) == 2 and value[0] is True and isinstance(value[1], int)


def _entry(value: list[Any]) -> bool:
    """A line of a job's log."""
    return len(value) == 4 and isinstance(value[0], int) and isinstance(value[1], list)


def _equal(a: Any, b: Any) -> bool:
    if isinstance(a, bool) or isinstance(b, bool):
        return a is b
    return bool(a == b)


def _shape(recorded: Any, ours: Any, at: str) -> Iterator[str]:
    numbers = isinstance(recorded, (int, float)) and isinstance(ours, (int, float))
    if not numbers and type(recorded) is not type(ours):
        yield f"{at}: {ours!r} is not of the type of {recorded!r}"


def plain(message: str) -> str:
    """An error's message without HTML escapes."""
    return html.unescape(message)
