"""What a view will be once a stage is committed."""

from typing import Any

import attrs

from twisted_rapi.model.record_base import Record
from twisted_rapi.plan.stage import Change, DryRun, Finish, Stage
from twisted_rapi.plan.view import View

_TABLES = {"instance": "instances", "node": "nodes", "group": "groups", "network": "networks"}


def following(view: View, stage: Stage, only_new: bool = False) -> View:
    """
    The view with the records the stage commits, by uuid and name; who has which instance is as before.

    :param only_new: with the objects the stage adds, all others as they are.
    """
    if isinstance(stage, DryRun):
        stage = stage.then
    if not isinstance(stage, (Change, Finish)):
        return view
    changes: dict[str, Any] = {"names": {kind: dict(found) for kind, found in view.names.items()}}
    for record in () if only_new else stage.deletes:
        _take(changes, view, record)
    for record in stage.puts:
        if only_new and not _is_new(view, record):
            continue
        if record.KIND == "cluster":
            changes["cluster"] = record
        elif record.KIND in _TABLES:
            _take(changes, view, record)
            _table(changes, view, record)[_uuid(record)] = record
            changes["names"][record.KIND][_name(record)] = _uuid(record)
    return attrs.evolve(view, **changes)


def _is_new(view: View, record: Record) -> bool:
    return record.KIND in _TABLES and _uuid(record) not in getattr(view, _TABLES[record.KIND])


def _uuid(record: Any) -> str:
    uuid: str = record.uuid
    return uuid


def _name(record: Any) -> str:
    name: str = record.name
    return name


def _table(changes: dict[str, Any], view: View, record: Record) -> dict[str, Any]:
    attribute = _TABLES[record.KIND]
    found: dict[str, Any] = changes.setdefault(attribute, dict(getattr(view, attribute)))
    return found


def _take(changes: dict[str, Any], view: View, record: Record) -> None:
    if record.KIND not in _TABLES:
        return
    old = _table(changes, view, record).pop(_uuid(record), None)
    if old is not None:
        changes["names"][record.KIND].pop(_name(old), None)
