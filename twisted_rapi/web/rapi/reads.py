"""RAPI resources that read: from memory, without waiting."""

from typing import Any

from twisted_rapi.cluster.answers import Answers
from twisted_rapi.cluster.fields import job as job_fields
from twisted_rapi.cluster.fields.base import natural
from twisted_rapi.cluster.fields.node import ROLES, role
from twisted_rapi.errors import BadRequest, NotFound, ServiceUnavailable
from twisted_rapi.model import params
from twisted_rapi.model.records import InstanceRecord, ObjectRecord
from twisted_rapi.plan.info import shared_variants, usable_oses
from twisted_rapi.plan.view import View
from twisted_rapi.web.call import Call
from twisted_rapi.web.reply import Reply, ready, success

FEATURES = ("instance-create-reqv1", "instance-reinstall-reqv1", "node-migrate-reqv1", "node-evac-res1")
WAIT = 10.0  # seconds, constants.json wait_for_job_change_rapi_s


def nothing(call: Call) -> Reply:
    """``GET /`` and ``GET /2``."""
    return ready(b"null")


def version(call: Call) -> Reply:
    """``GET /version``."""
    return ready(b"2")


def features(call: Call) -> Reply:
    """``GET /2/features``."""
    return success(list(FEATURES))


def info(call: Call) -> Reply:
    """``GET /2/info``."""
    _no_locks(call)
    return ready(call.api.answers.info(call.api.answers.view()))


def _no_locks(call: Call) -> None:
    if call.flag("lock"):
        raise BadRequest("Sync queries are not allowed")


def found(view: View, kind: str, name: str) -> Any:
    """
    The object of this kind that a URI names.

    :raises NotFound: there is none.
    """
    uuid = view.find(kind, name)
    tables: dict[str, Any] = {"instance": view.instances, "node": view.nodes, "group": view.groups}
    record = None if uuid is None else tables[kind][uuid]
    if record is None or (isinstance(record, InstanceRecord) and record.pending is not None):
        raise NotFound
    return record


def _listing(call: Call, kind: str, plural: str, id_key: str, bulk: Any) -> Reply:
    _no_locks(call)
    view = call.api.answers.view()
    if call.flag("bulk"):
        return ready(bulk(call.api.answers, view))
    names = sorted(view.names[kind], key=natural)
    if kind == "instance":
        names = [name for name in names if view.instances[view.names[kind][name]].pending is None]
    return success([{id_key: name, "uri": f"/2/{plural}/{name}"} for name in names])


def instances(call: Call) -> Reply:
    """``GET /2/instances``."""
    return _listing(call, "instance", "instances", "id", Answers.instances)


def nodes(call: Call) -> Reply:
    """``GET /2/nodes``."""
    return _listing(call, "node", "nodes", "id", Answers.nodes)


def groups(call: Call) -> Reply:
    """``GET /2/groups``."""
    return _listing(call, "group", "groups", "name", Answers.groups)


def instance(call: Call) -> Reply:
    """``GET /2/instances/N``."""
    _no_locks(call)
    view = call.api.answers.view()
    return ready(call.api.answers.instance(view, found(view, "instance", call.names["instance_name"])))


def node(call: Call) -> Reply:
    """``GET /2/nodes/N``."""
    _no_locks(call)
    view = call.api.answers.view()
    return ready(call.api.answers.node(view, found(view, "node", call.names["node_name"]).uuid))


def group(call: Call) -> Reply:
    """``GET /2/groups/N``."""
    _no_locks(call)
    view = call.api.answers.view()
    return ready(call.api.answers.group(view, found(view, "group", call.names["group_name"]).uuid))


def node_role(call: Call) -> Reply:
    """``GET /2/nodes/N/role``."""
    view = call.api.answers.view()
    return success(ROLES[role(view, found(view, "node", call.names["node_name"]))])


def cluster_tags(call: Call) -> Reply:
    """``GET /2/tags``."""
    return _tags(call.api.answers.view().cluster)


def instance_tags(call: Call) -> Reply:
    """``GET /2/instances/N/tags``."""
    return _tags(found(call.api.answers.view(), "instance", call.names["instance_name"]))


def node_tags(call: Call) -> Reply:
    """``GET /2/nodes/N/tags``."""
    return _tags(found(call.api.answers.view(), "node", call.names["node_name"]))


def group_tags(call: Call) -> Reply:
    """``GET /2/groups/N/tags``."""
    return _tags(found(call.api.answers.view(), "group", call.names["group_name"]))


def _tags(record: ObjectRecord) -> Reply:
    return success(sorted(record.tags))


def os_names(view: View) -> list[str]:
    """The OS definitions that can be used on all nodes and are not hidden, by name and variant."""
    names = []
    kept_back = {*view.cluster.hidden_os, *view.cluster.blacklisted_os}
    for name, definitions in usable_oses(view).items():
        if name in kept_back:
            continue
        variants = shared_variants(definitions)
        if definitions[0].variants:
            names += [full for v in variants if (full := f"{name}+{v}") not in kept_back]
        else:
            names.append(name)
    return names


def oses(call: Call) -> Reply:
    """``GET /2/os``; from the nodes' reports, no job is needed."""
    return success(os_names(call.api.answers.view()))


# Jobs.


def jobs(call: Call) -> Reply:
    """``GET /2/jobs``."""
    if call.flag("bulk"):
        return success([job_fields.document(job, job_fields.BULK_FIELDS) for job in call.api.cluster.jobs()])
    return success([{"id": job.id, "uri": f"/2/jobs/{job.id}"} for job in call.api.cluster.jobs()])


async def job(call: Call) -> Reply:
    """``GET /2/jobs/N``."""
    record = await call.api.cluster.job(int(call.names["job_id"]))
    if record is None:
        raise NotFound
    return success(job_fields.document(record))


async def cancel(call: Call) -> Reply:
    """``DELETE /2/jobs/N``."""
    return success(list(await call.api.cluster.cancel(int(call.names["job_id"]))))


def _wanted(call: Call) -> tuple[list[str], list[Any] | None, int]:
    body = call.fields()
    for name in ("fields", "previous_job_info", "previous_log_serial"):
        if name not in body:
            raise BadRequest(f"Missing the required '{name}' parameter")
    fields, before, serial = body["fields"], body["previous_job_info"], body["previous_log_serial"]
    if not isinstance(fields, list) or not all(isinstance(f, str) for f in fields):
        raise BadRequest("The 'fields' parameter must be a list of field names")
    if before is not None and not isinstance(before, list):
        raise BadRequest("The 'previous_job_info' parameter must be a list or null")
    if serial is not None and (not isinstance(serial, int) or isinstance(serial, bool)):
        raise BadRequest("The 'previous_log_serial' parameter must be a number or null")
    return fields, before, -1 if serial is None else serial


async def wait(call: Call) -> Reply:
    """``GET /2/jobs/N/wait`` (behaviour.md §3.3)."""
    fields, before, serial = _wanted(call)

    def values(record: Any) -> list[Any]:
        # As they are after their way over the wire: a client sends back what it has received.
        return [_plain(job_fields.value(record, name)) for name in fields]

    def entries(record: Any) -> list[Any]:
        return [_plain(e) for op in record.ops for e in op.log if e[0] > serial]

    def unchanged(record: Any) -> bool:
        return before is not None and values(record) == before and not entries(record)

    record = await call.api.cluster.wait(int(call.names["job_id"]), unchanged, WAIT)
    if record is None:
        raise NotFound
    final = job_fields.value(record, "status") in ("success", "error", "canceled")
    if unchanged(record) and not final:
        return ready(b"null")
    return success({"job_info": values(record), "log_entries": entries(record)})


def _plain(value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    return {k: _plain(v) for k, v in value.items()} if isinstance(value, dict) else value


# Consoles.


def console(call: Call) -> Reply:
    """``GET /2/instances/N/console`` (behaviour.md §4)."""
    view = call.api.answers.view()
    record = found(view, "instance", call.names["instance_name"])
    return success(console_of(view, record))


def console_of(view: View, record: InstanceRecord) -> dict[str, Any]:
    """
    How to reach the instance's console; only keys that have a value.

    :raises ServiceUnavailable: it does not run.
    """
    domain = view.domain(record)
    if domain is None or not domain.running:
        raise ServiceUnavailable("Instance console unavailable")
    host = view.nodes[record.primary_node]
    if record.hypervisor == "fake":
        text = "Console not available for fake hypervisor"
        return {"instance": record.name, "kind": "msg", "message": text}
    filled = params.hvparams(view.cluster, record)
    if filled["vnc_bind_address"] and domain.vnc_port > 5900:
        everywhere = filled["vnc_bind_address"] in ("0.0.0.0", "::")  # noqa: S104 -- compared, not bound
        address = host.name if everywhere else filled["vnc_bind_address"]
        port = domain.vnc_port
        return {"instance": record.name, "kind": "vnc", "host": address, "port": port, "display": port - 5900}
    if filled["serial_console"]:
        command = ["virsh", "console", record.name]
        return {"instance": record.name, "kind": "ssh", "host": host.name, "user": "root", "command": command}
    text = "No console was set up: neither serial_console nor vnc_bind_address"
    return {"instance": record.name, "kind": "msg", "message": text}
