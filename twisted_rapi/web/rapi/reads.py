"""What all RAPI resources that read have in common: from memory, without waiting."""

from typing import Any

from twisted_rapi.errors import BadRequest, NotFound
from twisted_rapi.model.records import InstanceRecord
from twisted_rapi.plan.fields.resources import RESOURCES
from twisted_rapi.plan.view import View
from twisted_rapi.web.call import Call, Handler
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


def listing(kind: str, plural: str, id_key: str) -> Handler:
    """``GET`` of all objects of a kind: names and URIs, or with ``bulk`` everything about them."""

    async def handler(call: Call) -> Reply:
        no_locks(call)
        if call.flag("bulk"):
            return ready_list(await call.api.answers.bulk(kind))
        view, resource = call.api.answers.view(), RESOURCES[kind]
        records = (resource.get(view, uuid) for uuid in resource.ids(view))
        names = sorted(record.name for record in records if record is not None)
        return success([{id_key: name, "uri": f"/2/{plural}/{name}"} for name in names])

    return handler


def single(kind: str, name: str) -> Handler:
    """``GET`` of one object; `name` stands for it in the URI."""

    def handler(call: Call) -> Reply:
        no_locks(call)
        view = call.api.answers.view()
        return ready(call.api.answers.single(kind, view, found(view, kind, call.names[name])))

    return handler


def tags_of(kind: str, name: str = "") -> Handler:
    """``GET`` of the tags of one object; those of the cluster without a kind."""

    def handler(call: Call) -> Reply:
        view = call.api.answers.view()
        record = found(view, kind, call.names[name]) if name else view.cluster
        return success(sorted(record.tags))

    return handler
