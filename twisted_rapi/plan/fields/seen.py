"""Fields of what nodes have: exports, OS definitions, providers of external storage (fields.json)."""

from collections.abc import Iterator
from typing import Any

import attrs

from twisted_rapi.model.records import NodeRecord
from twisted_rapi.plan.fields.base import Field, Missing, natural
from twisted_rapi.plan.fields.node import report_of
from twisted_rapi.plan.info import os_row, usable_oses
from twisted_rapi.plan.view import View

# Exports.


@attrs.frozen
class ExportRow:
    """An export on a node; where the node does not tell, why."""

    node: str
    export: str | Missing


def export_rows(view: View) -> Iterator[ExportRow]:
    """All exports, by node and name; a node that does not answer has one row that says so."""
    for node in sorted(view.nodes.values(), key=lambda n: natural(n.name)):
        report = report_of(view, node)
        if isinstance(report, Missing):
            yield ExportRow(node.name, report)
        else:
            yield from (ExportRow(node.name, name) for name in sorted(report.exports, key=natural))


EXPORTS = (
    Field("node", "Node", "text", "Node that keeps it", lambda v, e: e.node, "host"),
    Field("export", "Export", "text", "Name of the instance", lambda v, e: e.export),
)

# OS definitions.


def os_rows(view: View) -> Iterator[dict[str, Any]]:
    """All OS definitions that any node has, by name."""
    names = {o.name for report in view.reports.values() for o in report.oses}
    usable = usable_oses(view)
    return (os_row(view, name, usable.get(name)) for name in sorted(names, key=natural))


OSES = (
    Field("name", "Name", "text", "Name", lambda v, o: o["name"]),
    Field("valid", "Valid", "bool", "Whether it can be used on all nodes", lambda v, o: o["valid"]),
    Field("hidden", "Hidden", "bool", "Whether it is not listed", lambda v, o: o["hidden"]),
    Field("blacklisted", "Blacklisted", "bool", "Whether it may not be used", lambda v, o: o["blacklisted"]),
    Field("variants", "Variants", "other", "Variants that all nodes have", lambda v, o: o["variants"]),
    Field("api_versions", "ApiVersions", "other", "Versions of its interface that all nodes have", lambda v, o: o["api_versions"]),
    Field("parameters", "Parameters", "other", "Names and descriptions of its parameters", lambda v, o: o["parameters"]),
    Field("node_status", "NodeStatus", "other", "By node: path, whether it is valid, why not, variants, parameters, versions", lambda v, o: o["node_status"]),
    Field("trusted", "Trusted", "bool", "Whether its scripts may run on the nodes themselves", lambda v, o: o["trusted"]),
)  # fmt: skip

# Providers of external storage.


@attrs.frozen
class ProviderRow:
    """A provider, and by node what is found of it there; ``None`` for nothing."""

    name: str
    found: dict[str, Any]


def _capable(view: View) -> list[NodeRecord]:
    nodes = [n for n in view.nodes.values() if n.vm_capable and n.uuid in view.reports and not n.offline]
    return sorted(nodes, key=lambda n: natural(n.name))


def provider_rows(view: View) -> Iterator[ProviderRow]:
    """All providers that any node has, by name."""
    nodes = _capable(view)
    by_node = {n.name: {p.name: p for p in view.reports[n.uuid].providers} for n in nodes}
    for name in sorted({name for found in by_node.values() for name in found}, key=natural):
        yield ProviderRow(name, {node: found.get(name) for node, found in by_node.items()})


def _node_status(view: View, row: ProviderRow) -> dict[str, Any]:
    return {
        node: [] if p is None else [[p.path, not p.invalid, p.invalid, [list(x) for x in p.parameters]]]
        for node, p in row.found.items()
    }


def _group_status(view: View, row: ProviderRow) -> dict[str, bool]:
    """By group, whether all of its nodes can use it."""
    usable: dict[str, bool] = {}
    for node in _capable(view):
        provider = row.found.get(node.name)
        group = view.groups[node.group].name
        usable[group] = usable.get(group, True) and provider is not None and not provider.invalid
    return usable


def _parameters(view: View, row: ProviderRow) -> list[list[str]]:
    valid = [p for p in row.found.values() if p is not None and not p.invalid]
    shared = set.intersection(*({tuple(x) for x in p.parameters} for p in valid)) if valid else set()
    return sorted(list(x) for x in shared)


PROVIDERS = (
    Field("name", "Name", "text", "Name", lambda v, p: p.name),
    Field("node_status", "NodeStatus", "other", "By node: path, whether it is valid, why not, parameters", _node_status),
    Field("nodegroup_status", "NodegroupStatus", "other", "By group, whether all of its nodes can use it", _group_status),
    Field("parameters", "Parameters", "other", "Names and descriptions of its parameters", _parameters),
)  # fmt: skip
