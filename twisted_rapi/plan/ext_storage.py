"""``OP_EXT_STORAGE_DIAGNOSE``: providers of external storage, as nodes have found them."""

from twisted_rapi.errors import prereq
from twisted_rapi.model.opcodes.cluster import ExtStorageDiagnose
from twisted_rapi.plan.fields.base import Missing
from twisted_rapi.plan.fields.resources import RESOURCES
from twisted_rapi.plan.fields.seen import provider_rows
from twisted_rapi.plan.stage import Finish, Progress, Stage
from twisted_rapi.plan.view import View


def plan_ext_storage_diagnose(op: ExtStorageDiagnose, progress: Progress, view: View) -> Stage:
    """A row for each provider that any node has, with the fields asked for in their order."""
    fields = RESOURCES["extstorage"].fields
    unknown = [name for name in op.output_fields if name not in fields]
    if unknown:
        raise prereq(f"Unknown output fields selected: {', '.join(unknown)}")
    rows = []
    for row in provider_rows(view):
        if not op.names or row.name in op.names:
            values = [fields[name].get(view, row) for name in op.output_fields]
            rows.append([None if isinstance(value, Missing) else value for value in values])
    return Finish(result=rows)
