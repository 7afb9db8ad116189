"""
What is said to etcd and what it answers, as JSON documents of its v3 gateway.

Keys and values go in base64, whole numbers as text; what is zero, empty or false is left out of answers.
"""

import json
from base64 import b64decode, b64encode
from collections.abc import Mapping, Sequence
from typing import Any

import attrs

Document = Mapping[str, Any]


def packed(data: bytes) -> str:
    """A key or a value as it goes into a document."""
    return b64encode(data).decode("ascii")


def unpacked(text: str) -> bytes:
    """A key or a value out of a document."""
    return b64decode(text)


def number(document: Document, name: str) -> int:
    """A whole number of a document; 0 when it was left out."""
    return int(document.get(name, 0))


def revision_of(answer: Document) -> int:
    """The store's revision as of an answer."""
    return number(answer["header"], "revision")


@attrs.frozen
class Pair:
    """A key with its value, and the revision it was written at."""

    key: bytes
    value: bytes
    revision: int
    created: int
    lease: int


def pairs(answer: Document) -> list[Pair]:
    """What a range answered."""
    return [pair(found) for found in answer.get("kvs", ())]


def pair(found: Document) -> Pair:
    """One key of an answer."""
    return Pair(
        unpacked(found["key"]),
        unpacked(found.get("value", "")),
        number(found, "mod_revision"),
        number(found, "create_revision"),
        number(found, "lease"),
    )


def after_all(prefix: bytes) -> bytes:
    """The least key above all that begin with a prefix, which is not all 0xff."""
    kept = prefix.rstrip(b"\xff")
    return kept[:-1] + bytes([kept[-1] + 1])


def range_of(
    key: bytes, end: bytes = b"", limit: int = 0, keys_only: bool = False, revision: int = 0
) -> dict[str, Any]:
    """
    A question for one key, or for those from `key` up to below `end`, in order.

    :param revision: as of which of etcd's revisions; 0 for the newest.
    """
    asked: dict[str, Any] = {"key": packed(key)}
    if end:
        asked["range_end"] = packed(end)
    if limit:
        asked["limit"] = str(limit)
    if keys_only:
        asked["keys_only"] = True
    if revision:
        asked["revision"] = str(revision)
    return asked


def put_of(key: bytes, value: bytes, lease: int = 0) -> dict[str, Any]:
    """A put inside of a transaction."""
    put: dict[str, Any] = {"key": packed(key), "value": packed(value)}
    if lease:
        put["lease"] = str(lease)
    return {"request_put": put}


def delete_of(key: bytes) -> dict[str, Any]:
    """A deletion inside of a transaction."""
    return {"request_delete_range": {"key": packed(key)}}


def written_at(key: bytes, revision: int) -> dict[str, Any]:
    """A comparison: the key was written last at this revision; 0: there is none."""
    return {"target": "MOD", "result": "EQUAL", "key": packed(key), "mod_revision": str(revision)}


def transaction(
    compare: Sequence[Document], success: Sequence[Document], failure: Sequence[Document]
) -> dict[str, Any]:
    """All of `success` if all comparisons hold, else all of `failure`."""
    return {"compare": compare, "success": success, "failure": failure}


def ranges(answer: Document) -> list[list[Pair]]:
    """What the ranges of a transaction answered, in order."""
    return [pairs(response.get("response_range", {})) for response in answer.get("responses", ())]


@attrs.frozen
class Space:
    """
    The part of etcd's keys that is one cluster's.

    :ivar prefix: what all its keys begin with; ends with a slash.
    """

    prefix: bytes

    @classmethod
    def of(cls, prefix: str) -> "Space":
        """From what is configured, with or without a slash at the end."""
        return cls(prefix.rstrip("/").encode() + b"/")

    @property
    def end(self) -> bytes:
        """Above all keys of the cluster."""
        return after_all(self.prefix)

    @property
    def base(self) -> bytes:
        """The key whose creation is the store's beginning: its revision is our 0."""
        return self.prefix + b"base"

    def entry(self, key: str) -> bytes:
        """Where the store keeps a key."""
        return self.prefix + b"s/" + key.encode()

    def after(self, prefix: str) -> bytes:
        """Above all places of keys that begin with `prefix`."""
        return after_all(self.entry(prefix))

    def key(self, kept: bytes) -> str | None:
        """The store's key, if this is where one is kept."""
        inner = kept.removeprefix(self.prefix)
        return inner[2:].decode() if inner.startswith(b"s/") else None

    def mark(self, writer: str) -> bytes:
        """Where a writer notes which of its transactions was made last."""
        return self.prefix + f"m/{writer}".encode()

    def is_mark(self, kept: bytes) -> bool:
        """Whether it is such a note."""
        return kept.startswith(self.prefix + b"m/")


def mark_value(writer: str, number: int, removed: Sequence[str]) -> bytes:
    """What a commit notes: which it is, and the keys it removes, there or not."""
    return json.dumps({"id": f"{writer}/{number}", "removed": sorted(removed)}).encode()


def removed_by(mark: bytes) -> Sequence[str]:
    """The keys that the commit which left this note removed."""
    removed: Sequence[str] = json.loads(mark)["removed"]
    return removed
