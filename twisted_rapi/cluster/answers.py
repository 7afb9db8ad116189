"""
Ready answers: what is read often is encoded once and kept until something it could depend on changes.

Note [Two levels].  Whole answers are dropped whenever any record or report changes; what they are joined from
(the encoded instances and nodes) stays as long as what it was made of stays, so that a change costs what has
changed and not the whole cluster.
"""

import json
from collections import Counter
from collections.abc import Callable, Hashable, Iterable
from random import Random
from typing import Any

from twisted_rapi.model.records import InstanceRecord, NodeRecord, Record, key_of
from twisted_rapi.model.seen import NodeReport
from twisted_rapi.plan.fields import cluster as cluster_fields
from twisted_rapi.plan.fields import instance as instance_fields
from twisted_rapi.plan.fields import network as network_fields
from twisted_rapi.plan.fields import node as node_fields
from twisted_rapi.plan.fields.base import natural, shown
from twisted_rapi.plan.view import View
from twisted_rapi.rpc.interface import INodes
from twisted_rapi.state.snapshot import Observed, Snapshot

MOST_ANSWERS = 2000

_encoder = json.JSONEncoder(separators=(", ", ": "), allow_nan=False)


def encode(value: Any) -> bytes:
    """JSON as the field's servers write it: one line, ASCII (observations.md), without a newline."""
    return _encoder.encode(value).encode("ascii")


class Answers:
    """Encoded answers about the cluster's objects, for as long as the term lasts."""

    def __init__(self, snapshot: Snapshot, nodes: INodes, now: Callable[[], float], chance: Random) -> None:
        self._snapshot, self._nodes, self._now, self._chance = snapshot, nodes, now, chance
        self._whole: dict[Hashable, Any] = {}
        self._instances: dict[str, tuple[Hashable, bytes]] = {}
        self._nodes_kept: dict[str, tuple[tuple[Hashable, ...], NodeReport | None, bytes]] = {}
        self._moves: Counter[str] = Counter()  # per node, how often which instances it has has changed
        self._order: list[str] | None = None  # uuids of all instances, by name
        self._ends = [snapshot.observe(self._changed), nodes.observe(lambda _: self._whole.clear())]

    def _changed(self, changes: Observed) -> None:
        self._whole.clear()
        for _, before, after in changes:
            if not isinstance(before or after, InstanceRecord):
                continue
            was, now = _residence(before), _residence(after)
            if was != now:
                self._order = None
                self._moves.update({*was[2:], *now[2:]})

    def close(self) -> None:
        """No longer follow changes."""
        for end in self._ends:
            end()

    def view(self) -> View:
        """The cluster as of now."""
        return self._snapshot.view(self._nodes.reports, self._now(), self._chance)

    def kept(self, key: Hashable) -> Any:
        """What was kept under a key and is still true; ``None`` for nothing."""
        return self._whole.get(key)

    def keep(self, key: Hashable, answer: Any) -> None:
        """Keep an answer until something changes."""
        if len(self._whole) >= MOST_ANSWERS:
            self._whole.clear()
        self._whole[key] = answer

    def info(self, view: View) -> bytes:
        """The cluster."""
        return encode(shown(cluster_fields.FIELDS, view, view.cluster))

    def node(self, view: View, uuid: str) -> bytes:
        """One node."""
        return encode(shown(node_fields.SINGLE_NODE_FIELDS, view, view.nodes[uuid]))

    def nodes(self, view: View) -> bytes:
        """All nodes, joined from what is encoded already."""
        records = sorted(view.nodes.values(), key=lambda n: natural(n.name))
        if len(self._nodes_kept) > len(records):
            self._nodes_kept = {u: v for u, v in self._nodes_kept.items() if u in view.nodes}
        return _joined(self._node(view, record) for record in records)

    def _node(self, view: View, record: NodeRecord) -> bytes:
        revision_of = self._snapshot.revision_of
        keys = (key_of(record), "cluster", f"group/{record.group}")
        token = (*map(revision_of, keys), self._moves[record.uuid])
        report = view.reports.get(record.uuid)
        known = self._nodes_kept.get(record.uuid)
        if known is not None and known[0] == token and known[1] is report:
            return known[2]
        text = encode(shown(node_fields.NODE_FIELDS, view, record))
        self._nodes_kept[record.uuid] = (token, report, text)
        return text

    def group(self, view: View, uuid: str) -> bytes:
        """One group."""
        return encode(shown(node_fields.GROUP_FIELDS, view, view.groups[uuid]))

    def groups(self, view: View) -> bytes:
        """All groups."""
        records = sorted(view.groups.values(), key=lambda g: natural(g.name))
        return encode([shown(node_fields.GROUP_FIELDS, view, record) for record in records])

    def network(self, view: View, uuid: str) -> bytes:
        """One network."""
        return encode(shown(network_fields.FIELDS, view, view.networks[uuid]))

    def networks(self, view: View) -> bytes:
        """All networks."""
        records = sorted(view.networks.values(), key=lambda n: natural(n.name))
        return encode([shown(network_fields.FIELDS, view, record) for record in records])

    def instance(self, view: View, record: InstanceRecord) -> bytes:
        """One instance."""
        token = self._token(view, record)
        known = self._instances.get(record.uuid)
        if known is not None and known[0] == token:
            return known[1]
        text = encode(shown(instance_fields.FIELDS, view, record))
        self._instances[record.uuid] = (token, text)
        return text

    def _token(self, view: View, record: InstanceRecord) -> Hashable:
        """What the instance's answer depends on."""
        revision_of = self._snapshot.revision_of
        report = view.reports.get(record.primary_node)
        return (
            revision_of(key_of(record)),
            revision_of("cluster"),
            revision_of(f"node/{record.primary_node}"),
            *(revision_of(f"network/{nic.network}") for nic in record.nics if nic.network),
            report is None,
            None if report is None else report.domains.get(record.name),
            # Where it runs on another node matters only if it does not run on its own.
            instance_fields.status(view, record),
        )

    def instances(self, view: View) -> bytes:
        """All instances, joined from what is encoded already."""
        if self._order is None:
            self._order = sorted(view.instances, key=lambda uuid: natural(view.instances[uuid].name))
        if len(self._instances) > 2 * len(view.instances) + 100:
            self._instances = {u: v for u, v in self._instances.items() if u in view.instances}
        view = instance_fields.with_strays(view)
        records = (view.instances[uuid] for uuid in self._order)
        return _joined(self.instance(view, record) for record in records if record.pending is None)


def _joined(parts: Iterable[bytes]) -> bytes:
    return b"[" + b", ".join(parts) + b"]"


def _residence(record: Record | None) -> tuple[str, ...]:
    """What lists of instances and nodes show of an instance, and its nodes from the third place on."""
    if not isinstance(record, InstanceRecord):
        return ("", "")
    pending = "" if record.pending is None else "pending"
    return (record.name, pending, record.primary_node, *record.secondary_nodes)
