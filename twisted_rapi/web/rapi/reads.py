"""What all RAPI resources that read have in common: from memory, without waiting."""

from typing import Any

import attrs

from twisted_rapi.errors import BadRequest, NotFound
from twisted_rapi.model.records import InstanceRecord
from twisted_rapi.plan.fields.resources import RESOURCES
from twisted_rapi.plan.view import View
from twisted_rapi.web.call import Call, Handler
from twisted_rapi.web.doc import BULK, LOCK, NAMES, TEXT, Doc, ref
from twisted_rapi.web.reply import Reply, ready, ready_list, success


def no_locks(call: Call) -> None:
    """
    The argument ``lock`` may not ask for anything.

    :raises BadRequest: it does.
    """
    if call.flag("lock"):
        raise BadRequest("Sync queries are not allowed")


def found(view: View, kind: str, name: str) -> Any:
    """
    The object of this kind that a URI names.

    :raises NotFound: there is none.
    """
    uuid = view.find(kind, name)
    tables: dict[str, Any] = {
        "instance": view.instances,
        "node": view.nodes,
        "group": view.groups,
        "network": view.networks,
    }
    record = None if uuid is None else tables[kind][uuid]
    if record is None or (isinstance(record, InstanceRecord) and record.pending is not None):
        raise NotFound
    return record


@attrs.frozen
class Listing:
    """``GET`` of all objects of a kind: names and URIs, or with ``bulk`` everything about them."""

    kind: str
    plural: str
    id_key: str

    @property
    def doc(self) -> Doc:
        """What is told of it."""
        link = {"type": "object", "properties": {self.id_key: TEXT, "uri": TEXT}}
        items = {"anyOf": [{**link, "required": [self.id_key, "uri"]}, ref(self.kind.capitalize())]}
        return Doc(
            summary=f"List the {self.plural}.",
            answer=f"Name and URI of each; with bulk all about each, as GET /2/{self.plural}/NAME has it",
            schema={"type": "array", "items": items},
            query=(BULK, LOCK),
        )

    async def __call__(self, call: Call) -> Reply:
        """From memory; `bulk` in slices."""
        no_locks(call)
        if call.flag("bulk"):
            return ready_list(await call.api.answers.bulk(self.kind))
        view, resource = call.api.answers.view(), RESOURCES[self.kind]
        records = (resource.get(view, uuid) for uuid in resource.ids(view))
        names = sorted(record.name for record in records if record is not None)
        return success([{self.id_key: name, "uri": f"/2/{self.plural}/{name}"} for name in names])


@attrs.frozen
class Single:
    """``GET`` of one object; `name` stands for it in the URI."""

    kind: str
    name: str

    @property
    def doc(self) -> Doc:
        """What is told of it."""
        return Doc(
            summary=f"Show one {self.kind}.",
            answer=f"All about the {self.kind}",
            schema=ref(self.kind.capitalize()),
            query=(LOCK,),
        )

    def __call__(self, call: Call) -> Reply:
        """From memory."""
        no_locks(call)
        view = call.api.answers.view()
        return ready(call.api.answers.single(self.kind, view, found(view, self.kind, call.names[self.name])))


@attrs.frozen
class TagsOf:
    """``GET`` of the tags of one object; those of the cluster without a name."""

    kind: str
    name: str = ""

    @property
    def doc(self) -> Doc:
        """What is told of it."""
        return Doc(summary="Show the tags.", answer="The tags, sorted", schema=NAMES)

    def __call__(self, call: Call) -> Reply:
        """From memory."""
        view = call.api.answers.view()
        record = found(view, self.kind, call.names[self.name]) if self.name else view.cluster
        return success(sorted(record.tags))


def listing(kind: str, plural: str, id_key: str) -> Handler:
    """``GET`` of all objects of a kind."""
    return Listing(kind, plural, id_key)


def single(kind: str, name: str) -> Handler:
    """``GET`` of one object; `name` stands for it in the URI."""
    return Single(kind, name)


def tags_of(kind: str, name: str = "") -> Handler:
    """``GET`` of the tags of one object; those of the cluster without a name."""
    return TagsOf(kind, name)
