"""The read-only remote API of version 1.2 (behaviour.md §13)."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from twisted_rapi.cluster.answers import encode
from twisted_rapi.model import params
from twisted_rapi.model.records import InstanceRecord, NodeRecord
from twisted_rapi.plan.fields.base import natural
from twisted_rapi.plan.fields.instance import oper_state, status
from twisted_rapi.plan.fields.node import primary_count, secondary_count
from twisted_rapi.plan.view import View
from twisted_rapi.web.call import Call, Endpoint, Handler, Route
from twisted_rapi.web.doc import Doc
from twisted_rapi.web.rapi.cluster import os_names
from twisted_rapi.web.rapi.reads import found
from twisted_rapi.web.rapi1 import described
from twisted_rapi.web.reply import Reply, ready_list, success

# Parameters that 1.2 shows under names of its own, and what stands there when they are not set.
_HVM = {
    "hvm_boot_order": ("boot_order", "-"),
    "hvm_acpi": ("acpi", "-"),
    "hvm_pae": ("pae", "-"),
    "hvm_cdrom_image_path": ("cdrom_image_path", "-"),
    "hvm_nic_type": ("nic_type", "default"),
    "hvm_disk_type": ("disk_type", "default"),
    "kernel_path": ("kernel_path", "default"),
    "initrd_path": ("initrd_path", "default"),
    "vnc_bind_address": ("vnc_bind_address", "-"),
}


def _status(view: View, record: InstanceRecord) -> str:
    """In the words of 1.2, which has no others."""
    found_status = status(view, record)
    return {
        "ADMIN_offline": "ADMIN_down",
        "ERROR_nodeoffline": "ERROR_nodedown",
        "ERROR_wrongnode": "ERROR_down",
    }.get(found_status, found_status)


def _instance(view: View, record: InstanceRecord) -> dict[str, Any]:
    backend = params.beparams(view.cluster, record)
    filled = params.hvparams(view.cluster, record)
    nic = record.nics[0] if record.nics else None
    nic_filled = params.nicparams(view.cluster, nic) if nic is not None else {}
    sizes = [disk.size for disk in record.disks]
    return {
        "name": record.name,
        "os": record.os,
        "pnode": view.nodes[record.primary_node].name,
        "snodes": [view.nodes[n].name for n in record.secondary_nodes],
        "admin_state": record.admin_state == "up",
        "admin_ram": backend["maxmem"],
        "disk_template": record.disk_template,
        "ip": nic.ip if nic is not None else None,
        "mac": nic.mac if nic is not None else None,
        "bridge": nic_filled.get("link") if nic_filled.get("mode") == "bridged" else None,
        "sda_size": sizes[0] if sizes else None,
        "sdb_size": sizes[1] if len(sizes) > 1 else None,
        "vcpus": backend["vcpus"],
        "oper_state": oper_state(view, record),
        "status": _status(view, record),
        "tags": sorted(record.tags),
        "auto_balance": backend["auto_balance"],
        "network_port": record.network_port,
        **{
            name: value if (value := filled.get(key)) not in (None, "") else unset
            for name, (key, unset) in _HVM.items()
        },
    }


def _node(view: View, record: NodeRecord) -> dict[str, Any]:
    report = None if record.offline else view.reports.get(record.uuid)

    def live(name: str) -> Any:
        return None if report is None else getattr(report, name)

    return {
        "name": record.name,
        "dtotal": live("disk_total"),
        "dfree": live("disk_free"),
        "mtotal": live("memory_total"),
        "mnode": live("memory_node"),
        "mfree": live("memory_free"),
        "pinst_cnt": primary_count(view, record),
        "sinst_cnt": secondary_count(view, record),
        "tags": sorted(record.tags),
        "ctotal": live("cpu_total"),
        "cnodes": live("cpu_nodes"),
        "csockets": live("cpu_sockets"),
    }


def _info(call: Call) -> Reply:
    view = call.api.answers.view()
    cluster = view.cluster
    return success(
        {
            "name": cluster.name,
            "software_version": "1.2.9",
            "protocol_version": 12,
            "config_version": 3,
            "os_api_version": 5,
            "export_version": 0,
            "master": view.nodes[cluster.master_node].name,
            "architecture": ["64bit", "x86_64"],
            "hypervisor_type": cluster.default_hypervisor,
        }
    )


def _listing(kind: str, plural: str, document: Callable[[View, Any], Any]) -> Handler:
    async def handler(call: Call) -> Reply:
        view = call.api.answers.view()
        records = _records(view, kind)
        if call.argument("bulk") is not None:
            return ready_list(await _bulk(call, kind, document, [r.uuid for r in records]))
        return success([{"name": r.name, "uri": f"/{plural}/{r.name}"} for r in records])

    return handler


def _table(view: View, kind: str) -> Mapping[str, Any]:
    return view.instances if kind == "instance" else view.nodes


def _records(view: View, kind: str) -> list[Any]:
    """Those that are shown, in natural order."""
    records = [r for r in _table(view, kind).values() if getattr(r, "pending", None) is None]
    return sorted(records, key=lambda r: natural(r.name))


async def _bulk(
    call: Call, kind: str, document: Callable[[View, Any], Any], uuids: Sequence[str]
) -> Sequence[bytes]:
    """The encoded documents of those that are there still, made in slices."""
    answers, found = call.api.answers, []
    slices, view = answers.slices(), answers.wide_view()
    for uuid in uuids:
        if await slices.pause():
            view = answers.wide_view()
        record = _table(view, kind).get(uuid)
        if record is not None:
            found.append(encode(document(view, record)))
    return found


def _one(kind: str, document: Callable[[View, Any], Any]) -> Callable[[Call], Reply]:
    def handler(call: Call) -> Reply:
        view = call.api.answers.view()
        return success(document(view, found(view, kind, call.names["name"])))

    return handler


def _tags(kind: str) -> Callable[[Call], Reply]:
    def handler(call: Call) -> Reply:
        view = call.api.answers.view()
        record = view.cluster if kind == "cluster" else found(view, kind, call.names["name"])
        return success(sorted(record.tags))

    return handler


def _oses(call: Call) -> Reply:
    names = os_names(call.api.answers.view())
    return success(sorted({name.partition("+")[0] for name in names}))


def _get(pattern: str, handler: Handler, doc: Doc) -> Route:
    return Route(pattern, {"GET": Endpoint(handler, kept=True, doc=doc)}, html=True)


ROUTES = (
    _get("/info", _info, described.INFO),
    _get("/instances", _listing("instance", "instances", _instance), described.INSTANCES),
    _get("/instances/[name]", _one("instance", _instance), described.INSTANCE),
    _get("/instances/[name]/tags", _tags("instance"), described.TAGS),
    _get("/nodes", _listing("node", "nodes", _node), described.NODES),
    _get("/nodes/[name]", _one("node", _node), described.NODE),
    _get("/nodes/[name]/tags", _tags("node"), described.TAGS),
    _get("/os", _oses, described.OSES),
    _get("/tags", _tags("cluster"), described.TAGS),
)
