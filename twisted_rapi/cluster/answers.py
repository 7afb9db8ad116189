"""
Ready answers: what is read often is encoded once and kept until something it could depend on changes.

Note [Two levels].  Whole answers are dropped whenever any record or report changes.  What lists are joined
from (the encoded instances and nodes) stays until something *it* shows changes, so that a change costs what
has changed and not the whole cluster.
"""

import json
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from random import Random
from typing import Any

from twisted_rapi.jobs.slices import Slices
from twisted_rapi.model.record_base import Record
from twisted_rapi.model.records import InstanceRecord, NodeRecord
from twisted_rapi.model.seen import DomainSeen
from twisted_rapi.plan.fields import cluster as cluster_fields
from twisted_rapi.plan.fields import group as group_fields
from twisted_rapi.plan.fields import instance as instance_fields
from twisted_rapi.plan.fields import network as network_fields
from twisted_rapi.plan.fields import node as node_fields
from twisted_rapi.plan.fields.base import Field, shown
from twisted_rapi.plan.fields.instance import with_strays
from twisted_rapi.plan.fields.resources import RESOURCES
from twisted_rapi.plan.view import View
from twisted_rapi.rpc.interface import INodes
from twisted_rapi.state.snapshot import Observed, Snapshot

MOST_BYTES = 64 * 1024 * 1024  # of whole answers
OVERHEAD = 1000  # bytes that an answer takes besides
MANY = 100  # instances for which strays are better looked for once

BULK: Mapping[str, tuple[Field, ...]] = {
    "instance": instance_fields.BULK,
    "node": node_fields.BULK,
    "group": group_fields.BULK,
    "network": network_fields.BULK,
}
"""The fields of bulk lists, by kind."""

_encoder = json.JSONEncoder(separators=(", ", ": "), allow_nan=False)


def encode(value: Any) -> bytes:
    """JSON as the field's servers write it: one line, ASCII (observations.md), without a newline."""
    return _encoder.encode(value).encode("ascii")


class Answers:
    """
    Encoded answers about the cluster's objects, for as long as the term lasts.

    :ivar changes: counts what has changed so far.
    """

    def __init__(self, snapshot: Snapshot, nodes: INodes, now: Callable[[], float], chance: Random) -> None:
        self._snapshot, self._nodes, self._now, self._chance = snapshot, nodes, now, chance
        self.changes = 0
        self._whole: dict[Hashable, Any] = {}
        self._size = 0
        self._texts: dict[str, dict[str, bytes]] = {"instance": {}, "node": {}}  # by uuid
        self._domains: dict[str, Mapping[str, DomainSeen]] = {
            uuid: report.domains for uuid, report in nodes.reports.items()
        }
        self._strays: frozenset[str] | None = None
        self._ends = [snapshot.observe(self._records_changed), nodes.observe(self._node_changed)]

    def close(self) -> None:
        """No longer follow changes."""
        for end in self._ends:
            end()

    def view(self, **more: Any) -> View:
        """The cluster as of now; `more` is what else of a `View` the caller knows."""
        return self._snapshot.view(self._nodes.reports, self._now(), self._chance, **more)

    def wide_view(self, **more: Any) -> View:
        """As `view`, for looking at many instances: those that run elsewhere were looked for once."""
        view = self.view(strays=self._strays, **more)
        if self._strays is None:
            view = with_strays(view)
            self._strays = view.strays
        return view

    def slices(self) -> Slices:
        """For long work that begins now."""
        return Slices(self._snapshot.clock)

    # Whole answers.

    def kept(self, key: Hashable) -> Any:
        """What was kept under a key and is still true; ``None`` for nothing."""
        return self._whole.get(key)

    def keep(self, key: Hashable, answer: Any, as_of: int, size: int) -> None:
        """
        Keep an answer of so many bytes until something changes, or there are too many.

        One that `changes` have come after is not kept, nor one that is there already.
        """
        if as_of != self.changes or key in self._whole or size > MOST_BYTES:
            return
        if self._size + size + OVERHEAD > MOST_BYTES:
            self._forget_whole()
        self._size += size + OVERHEAD
        self._whole[key] = answer

    def _forget_whole(self) -> None:
        self._whole.clear()
        self._size = 0

    # What changes.

    def _changed(self) -> None:
        self.changes += 1
        self._forget_whole()

    def _records_changed(self, told: Observed) -> None:
        self._changed()
        for _, before, after in told:
            match after or before:
                case InstanceRecord() as record:
                    self._strays = None
                    self._forget("instance", [record.uuid])
                    self._forget("node", {*_residence(before), *_residence(after)})
                case NodeRecord() as record:
                    self._forget("node", [record.uuid])
                    self._forget("instance", self._snapshot.primary(record.uuid))
                    self._forget("instance", self._snapshot.secondary(record.uuid))
                case _:  # the cluster's parameters, the groups' and the networks' show in all
                    for texts in self._texts.values():
                        texts.clear()

    def _node_changed(self, uuid: str) -> None:
        self._changed()
        self._forget("node", [uuid])
        report = self._nodes.reports.get(uuid)
        before = self._domains.pop(uuid, None)
        after = None if report is None else report.domains
        if after is not None:
            self._domains[uuid] = after
        if before is after:
            return
        self._strays = None
        if before is None or after is None:
            self._forget("instance", self._snapshot.primary(uuid))
        old, new = before or {}, after or {}
        names = self._snapshot.names["instance"]
        # Wherever a domain of this name comes or goes, it may be the instance's.
        changed = [name for name in old.keys() | new.keys() if old.get(name) != new.get(name)]
        self._forget("instance", (names[name] for name in changed if name in names))

    def _forget(self, kind: str, uuids: Iterable[str]) -> None:
        texts = self._texts[kind]
        for uuid in uuids:
            texts.pop(uuid, None)

    # Objects.

    def info(self, view: View) -> bytes:
        """The cluster."""
        return encode(shown(cluster_fields.FIELDS, view, view.cluster))

    def single(self, kind: str, view: View, record: Any) -> bytes:
        """One object, as a read of it alone answers."""
        if kind == "node":
            return encode(shown(node_fields.SINGLE, view, record))
        return self.listed(kind, view, record)

    def listed(self, kind: str, view: View, record: Any) -> bytes:
        """One object, as a bulk list has it."""
        texts = self._texts.get(kind)
        if texts is None:
            return encode(shown(BULK[kind], view, record))
        known = texts.get(record.uuid)
        if known is None:
            known = texts[record.uuid] = encode(shown(BULK[kind], view, record))
        return known

    async def bulk(self, kind: str) -> Sequence[bytes]:
        """All objects of a kind, in natural order; those that come while others are encoded are left out."""
        slices, resource = self.slices(), RESOURCES[kind]
        view = self.view()
        uuids = resource.ids(view)
        texts = self._texts.get(kind, {})
        look = self.wide_view if len(uuids) - len(texts) > MANY else self.view
        view = look()
        found = []
        for n, uuid in enumerate(uuids):
            text = texts.get(uuid)
            # Those that are encoded already take next to no time.
            if (text is None or n % MANY == 0) and await slices.pause():
                view = look()
                text = texts.get(uuid)
            if text is None and (record := resource.get(view, uuid)) is not None:
                text = self.listed(kind, view, record)
            if text is not None:
                found.append(text)
        return found


def _residence(record: Record | None) -> tuple[str, ...]:
    """The nodes that show an instance."""
    return (record.primary_node, *record.secondary_nodes) if isinstance(record, InstanceRecord) else ()
