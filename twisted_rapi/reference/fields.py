"""The page of fields: what queries can ask for, and what objects are shown with."""

from twisted_rapi.cluster.answers import BULK
from twisted_rapi.plan.fields import cluster, job, node, rule
from twisted_rapi.plan.fields.base import Field
from twisted_rapi.plan.fields.resources import RESOURCES
from twisted_rapi.reference.rst import bullets, code, heading, page, table, title

_ABOUT = """\
``/2/query/KIND`` answers any of these fields, each as a pair of a status and a value, and filters may name
them.  What the resources of a kind show without being asked for fields is marked."""
_STATUSES = (
    "0: there is a value",
    "1: there is no such field",
    "2: who would know does not answer",
    "3: this object has no such thing",
    "4: who would know is marked offline",
)
SHOWN: dict[str, tuple[Field, ...]] = {
    **BULK,
    "node": node.SINGLE,
    "cluster": cluster.FIELDS,
    "job": job.FIELDS,
    "filter": rule.TABLE,
}
"""What objects of a kind are shown with."""


def fields() -> str:
    """All fields of all kinds of objects."""
    blocks = []
    for name, resource in RESOURCES.items():
        shown = {field.name for field in SHOWN.get(name, ())}
        rows = [
            (code(f.name), f.title, f.kind, "yes" if f.name in shown else "", f.doc)
            for f in resource.fields.values()
        ]
        blocks += [heading(name, "="), table(("Field", "Title", "Kind", "Shown", "Meaning"), rows)]
    return page(title("Fields"), _ABOUT, "Statuses:", bullets(_STATUSES), *blocks)
