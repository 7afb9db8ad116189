"""Etcd's gateway in memory: what it answers, what it loses, and what arrives late, as a test says."""

from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

import attrs
from twisted.internet.defer import Deferred
from zope.interface import implementer

from twisted_rapi.errors import StoreUnreachable, Unanswered
from twisted_rapi.state.etcd_gateway import NOT_FOUND, IGateway, IStream, Refused
from twisted_rapi.state.etcd_wire import Document, number, packed, unpacked

ENDPOINT = "https://etcd"


@attrs.frozen
class _Kept:
    value: bytes
    written: int
    created: int
    lease: int


@implementer(IStream)
@attrs.define(eq=False)
class FakeStream:
    """A watch of everything."""

    told: Callable[[Document], None]
    endpoint: str = ENDPOINT
    ended: Deferred[None] = attrs.field(factory=Deferred)

    def close(self) -> None:
        """See `IStream.close`."""
        if not self.ended.called:
            self.ended.errback(StoreUnreachable("the watch was closed"))


@implementer(IGateway)
class FakeGateway:
    """
    `IGateway` over a dictionary.

    :ivar faults: what happens to the next calls, in order: ``unsent``; ``lost``: it is done, the answer is
        lost; ``late``: it is done when `arrive` is called, nobody is told; anything else: nothing.
    :ivar limit: how many operations a transaction may have.
    """

    def __init__(self) -> None:
        self.faults: deque[str] = deque()
        self.limit = 128
        self.revision = 1
        self._kept: dict[bytes, _Kept] = {}
        self._leases: set[int] = set()
        self._granted = 0
        self._late: list[Document] = []
        self._events: list[tuple[int, list[Any]]] = []
        self._compacted = 0
        self._streams: list[FakeStream] = []

    def member(self) -> str:
        """There is one."""
        return ENDPOINT

    async def call(
        self, method: str, body: Document, seconds: float, endpoint: str | None = None
    ) -> Mapping[str, Any]:
        """See `IGateway.call`."""
        fault = self.faults.popleft() if self.faults else ""
        if fault == "unsent":
            raise StoreUnreachable("it could not be sent")
        if fault == "late" and method == "kv/txn":
            self._late.append(body)
            raise Unanswered("no answer came")
        answer = self._answer(method, body)
        if fault == "lost":
            raise Unanswered("no answer came")
        return {"header": {"revision": str(self.revision), "raft_term": "2"}, **answer}

    def arrive(self) -> None:
        """What was late is done now, in any order that may be; who asked is not told."""
        late, self._late = self._late, []
        for body in reversed(late):
            try:
                self._txn(body)
            except Refused:
                continue

    def end_leases(self) -> None:
        """All leases end."""
        for lease in sorted(self._leases):
            self._revoke({"ID": lease})

    def _answer(self, method: str, body: Document) -> dict[str, Any]:
        answers: dict[str, Callable[[Document], dict[str, Any]]] = {
            "kv/txn": self._txn,
            "kv/range": self._range,
            "kv/compaction": self._compact,
            "lease/grant": self._grant,
            "lease/keepalive": self._renew,
            "lease/revoke": self._revoke,
        }
        return answers[method](body)

    def _txn(self, body: Document) -> dict[str, Any]:
        holds = all(self._holds(compare) for compare in body["compare"])
        operations = body["success" if holds else "failure"]
        if max(map(len, (body["compare"], body["success"], body["failure"]))) > self.limit:
            raise Refused("etcdserver: too many operations in txn request", 3)
        for operation in operations:
            lease = number(operation.get("request_put", {}), "lease")
            if lease and lease not in self._leases:
                raise Refused("etcdserver: requested lease not found", NOT_FOUND)
        events: list[Any] = []
        responses = [self._operate(operation, events) for operation in operations]
        self._tell(events)
        return {"succeeded": True, "responses": responses} if holds else {"responses": responses}

    def _holds(self, compare: Document) -> bool:
        kept = self._kept.get(unpacked(compare["key"]))
        return (kept.written if kept else 0) == number(compare, "mod_revision")

    def _operate(self, operation: Document, events: list[Any]) -> dict[str, Any]:
        [(kind, asked)] = operation.items()
        if kind == "request_range":
            return {"response_range": self._range(asked)}
        key, before = unpacked(asked["key"]), self._kept.get(unpacked(asked["key"]))
        now = self.revision + 1
        if kind == "request_put":
            created = before.created if before else now
            self._kept[key] = _Kept(unpacked(asked["value"]), now, created, number(asked, "lease"))
            events.append({"kv": self._shown(key)})
        elif self._kept.pop(key, None) is not None:
            events.append({"type": "DELETE", "kv": {"key": packed(key), "mod_revision": str(now)}})
        return {}

    def _tell(self, events: list[Any]) -> None:
        if not events:
            return
        self.revision += 1
        self._events.append((self.revision, events))
        for stream in self._streams:
            if not stream.ended.called:
                stream.told({"events": events})

    def _shown(self, key: bytes, keys_only: bool = False) -> dict[str, Any]:
        kept = self._kept[key]
        return {
            "key": packed(key),
            "mod_revision": str(kept.written),
            "create_revision": str(kept.created),
            **({} if keys_only or not kept.value else {"value": packed(kept.value)}),
            **({"lease": str(kept.lease)} if kept.lease else {}),
        }

    def _range(self, asked: Document) -> dict[str, Any]:
        first, end = unpacked(asked["key"]), unpacked(asked.get("range_end", ""))
        found = sorted(key for key in self._kept if (first <= key < end if end else key == first))
        limit = number(asked, "limit") or len(found)
        shown = [self._shown(key, asked.get("keys_only", False)) for key in found[:limit]]
        return {"kvs": shown, **({"more": True} if len(found) > limit else {})}

    def _compact(self, asked: Document) -> dict[str, Any]:
        self._compacted = number(asked, "revision")
        self._events = [event for event in self._events if event[0] >= self._compacted]
        return {}

    def _grant(self, asked: Document) -> dict[str, Any]:
        self._granted += 1
        self._leases.add(self._granted)
        return {"ID": str(self._granted), "TTL": asked["TTL"]}

    def _renew(self, asked: Document) -> dict[str, Any]:
        return {"ID": asked["ID"], "TTL": "3"} if number(asked, "ID") in self._leases else {"ID": asked["ID"]}

    def _revoke(self, asked: Document) -> dict[str, Any]:
        lease = number(asked, "ID")
        if lease not in self._leases:
            raise Refused("etcdserver: requested lease not found", NOT_FOUND)
        self._leases.remove(lease)
        events: list[Any] = []
        for key in [key for key, kept in self._kept.items() if kept.lease == lease]:
            self._operate({"request_delete_range": {"key": packed(key)}}, events)
        self._tell(events)
        return {}

    async def stream(
        self, method: str, body: Document, seconds: float, told: Callable[[Document], None]
    ) -> FakeStream:
        """See `IGateway.stream`."""
        first = number(body["create_request"], "start_revision")
        stream = FakeStream(told)
        if first < self._compacted:
            try:
                told({"canceled": True, "compact_revision": str(self._compacted)})
            except Exception as e:  # noqa: BLE001 -- as the real one's end
                stream.ended.errback(e)
            return stream
        for revision, events in self._events:
            if revision >= first:
                told({"events": events})
        self._streams.append(stream)
        return stream

    def break_streams(self) -> None:
        """The member that the streams are from dies."""
        streams, self._streams = self._streams, []
        for stream in streams:
            stream.close()
