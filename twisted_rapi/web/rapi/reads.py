"""What all RAPI resources that read have in common: from memory, without waiting."""

from collections.abc import Callable
from typing import Any

from twisted_rapi.cluster.answers import Answers
from twisted_rapi.errors import BadRequest, NotFound
from twisted_rapi.model.records import InstanceRecord
from twisted_rapi.plan.fields.base import natural
from twisted_rapi.plan.view import View
from twisted_rapi.web.call import Call, Handler
from twisted_rapi.web.reply import Reply, ready, success


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


def listing(kind: str, plural: str, id_key: str, bulk: Callable[[Answers, View], bytes]) -> Handler:
    """``GET`` of all objects of a kind: names and URIs, or with ``bulk`` everything about them."""

    def handler(call: Call) -> Reply:
        no_locks(call)
        view = call.api.answers.view()
        if call.flag("bulk"):
            return ready(bulk(call.api.answers, view))
        names = sorted(view.names[kind], key=natural)
        if kind == "instance":
            names = [name for name in names if view.instances[view.names[kind][name]].pending is None]
        return success([{id_key: name, "uri": f"/2/{plural}/{name}"} for name in names])

    return handler


def single(kind: str, name: str, answer: Callable[[Answers, View, Any], bytes]) -> Handler:
    """``GET`` of one object; `name` stands for it in the URI."""

    def handler(call: Call) -> Reply:
        no_locks(call)
        view = call.api.answers.view()
        return ready(answer(call.api.answers, view, found(view, kind, call.names[name])))

    return handler


def tags_of(kind: str, name: str = "") -> Handler:
    """``GET`` of the tags of one object; those of the cluster without a kind."""

    def handler(call: Call) -> Reply:
        view = call.api.answers.view()
        record = found(view, kind, call.names[name]) if name else view.cluster
        return success(sorted(record.tags))

    return handler
