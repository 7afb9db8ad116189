"""Names that node groups and networks get (texts as observed)."""

from typing import Literal

from twisted_rapi.errors import prereq
from twisted_rapi.model.records import GroupRecord, NetworkRecord, name_key
from twisted_rapi.plan.condition import changed
from twisted_rapi.plan.naming import object_name
from twisted_rapi.plan.stage import Finish
from twisted_rapi.plan.view import View

_TOLD = {"group": "node group", "network": "network"}


def new_name(kind: Literal["group", "network"], name: str, view: View) -> str:
    """
    The name of an object that is to be made.

    :raises OpPrereqError: ``wrong_input``: it is none; ``already_exists``.
    """
    taken = view.find(kind, object_name(name))
    if taken is not None:
        told = f"already exists as a {_TOLD[kind]} (UUID: {taken})"
        raise prereq(f"Desired {kind} name '{name}' {told}", "already_exists")
    return name


def renamed(record: GroupRecord | NetworkRecord, name: str, view: View) -> Finish:
    """
    The end of an opcode that gives an object another name, which it answers.

    :raises OpPrereqError: ``wrong_input``: it is none; ``already_exists``, also if it is its own.
    """
    kind = record.KIND
    taken = view.find(kind, object_name(name))
    if taken is not None:
        told = f"clashes with existing {_TOLD[kind]} (UUID: {taken})"
        raise prereq(f"Desired new name '{name}' {told}", "already_exists")
    return Finish(
        result=name,
        puts=(changed(record, view, name=name),),
        names={name_key(kind, name): record.uuid},
        free=(name_key(kind, record.name),),
    )
