"""For each URI and method of resources.json: a request that is well, and one that is refused."""

from collections.abc import Mapping
from typing import Any

import attrs

UUID = "11111111-2222-3333-4444-555555555555"
DETACHED = "DETACHED"
"""Stands in a path for the UUID of the detached disk that there is."""
INSTANCE = "/2/instances/web1.example.com"
NODE = "/2/nodes/node3.example.com"
MADE: tuple[tuple[str, str, Any], ...] = (
    (
        "POST",
        "/2/instances",
        {
            "__version__": 1,
            "mode": "create",
            "instance_name": "web1.example.com",
            "disk_template": "sharedfile",
            "disks": [{"size": 64}],
            "nics": [{}],
            "os_type": "noop+default",
            "pnode": "node1.example.com",
        },
    ),
    ("POST", "/2/groups", {"group_name": "spare"}),
    ("POST", "/2/networks", {"network_name": "front", "network": "10.55.0.0/29"}),
    ("PUT", f"/2/filters/{UUID}", {"predicates": [["jobid", ["<", "id", 0]]], "action": "REJECT"}),
)
"""What there is before each request."""

Ask = tuple[str, Any]
STOP: tuple[str, str, Any] = ("PUT", f"{INSTANCE}/shutdown", None)
JOIN = {"group_name": "default", "network_mode": "bridged", "network_link": "br0"}
CONNECT: tuple[str, str, Any] = ("PUT", "/2/networks/front/connect", JOIN)


@attrs.frozen(kw_only=True)
class Row:
    """
    What is asked of a method.

    :ivar good: path and body of a request that is well; a job it submits ends in success.
    :ivar bad: path and body of one that is refused with this `status`.
    :ivar before: what has to be done before the good one; `lost`: the nodes then lose all volumes;
        `candidate`: another daemon is there to take over; `silent`: node3 then answers nobody.
    :ivar user: who asks the bad one.
    """

    good: Ask
    bad: Ask
    status: int = 400
    before: tuple[tuple[str, str, Any], ...] = ()
    lost: bool = False
    candidate: bool = False
    silent: bool = False
    user: str = "admin"


def _read(path: str, missing: str = "", query: str = "") -> Row:
    """A read: one of what is missing, or with an argument that is none, is refused."""
    if missing:
        return Row(good=(path, None), bad=(missing, None), status=404)
    return Row(good=(path + query, None), bad=(f"{path}?bulk=x", None))


def _open(path: str) -> Row:
    """A read nothing can be wrong with but the credentials."""
    return Row(good=(path, None), bad=(path, None), status=401, user="stranger")


def _job(path: str, query: str = "", body: Any = None, wrong: Any = 7, **more: Any) -> Row:
    """A job; a body that is no object is refused."""
    return Row(good=(path + query, body), bad=(path + query, wrong), **more)


def _argued(path: str, query: str, wrong: str, **more: Any) -> Row:
    """A job that has nothing but arguments; a wrong one is refused."""
    return Row(good=(path + query, None), bad=(path + wrong, None), **more)


def _tags(path: str, pattern: str) -> dict[str, Row]:
    missing = path.replace("web1.example.com", "nosuch").replace("node3.example.com", "nosuch")
    missing = missing.replace("groups/default", "groups/nosuch").replace("front", "nosuch")
    get = _open(path) if missing == path else _read(path, missing)
    return {
        f"GET {pattern}": get,
        f"PUT {pattern}": _argued(path, "?tag=a&tag=b", ""),
        f"DELETE {pattern}": _argued(path, "?tag=a", "", before=(("PUT", f"{path}?tag=a", None),)),
    }


def _objects(kind: str, name: str, key: str) -> dict[str, Row]:
    return {
        f"GET /2/{kind}": _read(f"/2/{kind}", query="?bulk=1"),
        f"GET /2/{kind}/[{key}]": _read(f"/2/{kind}/{name}", f"/2/{kind}/nosuch"),
    }


_OF_1_2: Mapping[str, Row] = {
    "GET /info": _open("/info"),
    "GET /instances": Row(good=("/instances?bulk=1", None), bad=("/instances/", None), status=404),
    "GET /instances/[name]": _read("/instances/web1.example.com", "/instances/nosuch"),
    "GET /instances/[name]/tags": _read("/instances/web1.example.com/tags", "/instances/nosuch/tags"),
    "GET /nodes": Row(good=("/nodes?bulk=1", None), bad=("/nodes/", None), status=404),
    "GET /nodes/[name]": _read("/nodes/node3.example.com", "/nodes/nosuch"),
    "GET /nodes/[name]/tags": _read("/nodes/node3.example.com/tags", "/nodes/nosuch/tags"),
    "GET /os": _open("/os"),
    "GET /tags": _open("/tags"),
}

_CLUSTER: Mapping[str, Row] = {
    "GET /": _open("/"),
    "GET /2/master": _open("/2/master"),
    "GET /2/events": Row(good=("/2/events?kinds=job,master", None), bad=("/2/events?kinds=x", None)),
    "PUT /2/master": _job("/2/master", body={"node": "node2.example.com"}, candidate=True),
    "GET /2/nodes/[node_name]/fate": _read(f"{NODE}/fate", "/2/nodes/nosuch/fate"),
    "PUT /2/nodes/[node_name]/fate": Row(
        good=(f"{NODE}/fate", {"dead": True}), bad=(f"{NODE}/fate", {"dead": True}), silent=True
    ),
    "GET /2/watchdog": _open("/2/watchdog"),
    "PUT /2/watchdog": _job("/2/watchdog", body={"pause": 60}, wrong={"pause": -1}),
    "GET /version": _open("/version"),
    "GET /2": _open("/2"),
    "GET /2/info": Row(good=("/2/info", None), bad=("/2/info?lock=1", None)),
    "GET /2/features": _open("/2/features"),
    "GET /2/os": _open("/2/os"),
    "PUT /2/redistribute-config": _job("/2/redistribute-config"),
    "PUT /2/modify": _job("/2/modify", body={"candidate_pool_size": 2}),
    **_tags("/2/tags", "/2/tags"),
}

_GROUP = "/2/groups/[group_name]"
_GROUPS: Mapping[str, Row] = {
    **_objects("groups", "default", "group_name"),
    "POST /2/groups": _job("/2/groups", body={"group_name": "rack2"}, wrong={"group_name": 1}),
    f"DELETE {_GROUP}": _argued("/2/groups/spare", "", "?dry-run=x"),
    f"PUT {_GROUP}/modify": _job("/2/groups/default/modify", body={"alloc_policy": "last_resort"}),
    f"PUT {_GROUP}/rename": _job("/2/groups/spare/rename", body={"new_name": "other"}, wrong={}),
    f"PUT {_GROUP}/assign-nodes": _job(
        "/2/groups/spare/assign-nodes", body={"nodes": ["node3.example.com"]}, wrong={"nodes": "node3"}
    ),
    **_tags("/2/groups/default/tags", f"{_GROUP}/tags"),
}

_ONE = "/2/instances/[instance_name]"
_PLACED = {
    "name": "web2.example.com",
    "mode": "create",
    "disk_template": "diskless",
    "disks": [],
    "nics": [],
    "os_type": "noop+default",
    "pnode": "node2.example.com",
}
TWIN: tuple[tuple[str, str, Any], ...] = (
    (
        "PUT",
        "/2/modify",
        {
            "enabled_disk_templates": ["drbd", "sharedfile"],
            "vg_name": "xenvg",
            "ipolicy": {"disk-templates": ["drbd", "sharedfile"]},
        },
    ),
    (
        "POST",
        "/2/instances",
        {
            **_PLACED,
            "__version__": 1,
            "name": "twin.example.com",
            "disk_template": "drbd",
            "disks": [{"size": 64}],
            "snode": "node3.example.com",
            "start": False,
        },
    ),
)
"""An instance whose disks are on two nodes."""

_INSTANCES: Mapping[str, Row] = {
    **_objects("instances", "web1.example.com", "instance_name"),
    "POST /2/instances": _job("/2/instances", body={"__version__": 1, **_PLACED}, wrong={"__version__": 0}),
    "POST /2/instances-multi-alloc": _job(
        "/2/instances-multi-alloc", body={"instances": [_PLACED]}, wrong={"instances": [{}]}
    ),
    f"DELETE {_ONE}": _job(INSTANCE, body={"shutdown_timeout": 0}),
    f"GET {_ONE}/info": _argued(f"{INSTANCE}/info", "?static=1", "?static=x"),
    f"POST {_ONE}/reboot": _argued(f"{INSTANCE}/reboot", "?type=soft", "?type=loud"),
    f"PUT {_ONE}/shutdown": _job(f"{INSTANCE}/shutdown", body={"timeout": 0}),
    f"PUT {_ONE}/startup": _argued(f"{INSTANCE}/startup", "", "?force=x", before=(STOP,)),
    f"POST {_ONE}/reinstall": _job(f"{INSTANCE}/reinstall", body={"os": "noop+alt", "start": False}),
    f"POST {_ONE}/replace-disks": _job(
        "/2/instances/twin/replace-disks",
        body={"mode": "replace_on_secondary", "disks": "0"},
        wrong={"mode": "replace_all"},
        before=TWIN,
    ),
    f"PUT {_ONE}/activate-disks": _argued(f"{INSTANCE}/activate-disks", "", "?ignore_size=x"),
    f"PUT {_ONE}/deactivate-disks": _argued(f"{INSTANCE}/deactivate-disks", "", "?force=x", before=(STOP,)),
    f"POST {_ONE}/recreate-disks": _job(
        "/2/instances/twin/recreate-disks",
        body={"disks": [0]},
        wrong={"disks": ["x"]},
        before=TWIN,
        lost=True,
    ),
    f"POST {_ONE}/disk/[disk_index]/grow": _job(
        f"{INSTANCE}/disk/0/grow", body={"amount": 16}, wrong={"amount": -1}
    ),
    f"PUT {_ONE}/prepare-export": _argued(f"{INSTANCE}/prepare-export", "?mode=local", "?mode=loud"),
    f"PUT {_ONE}/export": _job(
        f"{INSTANCE}/export", body={"destination": "node2.example.com", "shutdown": True}, wrong={}
    ),
    f"DELETE {_ONE}/export": _job(
        f"{INSTANCE}/export",
        before=(("PUT", f"{INSTANCE}/export", {"destination": "node2.example.com", "shutdown": True}),),
    ),
    f"PUT {_ONE}/migrate": _job(f"{INSTANCE}/migrate", body={"target_node": "node2.example.com"}),
    f"PUT {_ONE}/failover": _job(f"{INSTANCE}/failover", body={"target_node": "node2.example.com"}),
    f"PUT {_ONE}/rename": _job(
        f"{INSTANCE}/rename", body={"new_name": "web9.example.com"}, wrong={}, before=(STOP,)
    ),
    f"PUT {_ONE}/modify": _job(f"{INSTANCE}/modify", body={"beparams": {"vcpus": 2}}),
    f"GET {_ONE}/console": _read(f"{INSTANCE}/console", "/2/instances/nosuch/console"),
    **_tags(f"{INSTANCE}/tags", f"{_ONE}/tags"),
}

_JOBS: Mapping[str, Row] = {
    "GET /2/jobs": _read("/2/jobs", query="?bulk=1"),
    "POST /2/jobs": _job("/2/jobs", body=[{"OP_ID": "OP_TAGS_SET", "kind": "cluster", "tags": ["a"]}]),
    "GET /2/jobs/[job_id]": _read("/2/jobs/1", "/2/jobs/99999"),
    "DELETE /2/jobs/[job_id]": Row(good=("/2/jobs/1", None), bad=("/2/jobs/x", None), status=404),
    "GET /2/jobs/[job_id]/wait": Row(
        good=(
            "/2/jobs/1/wait",
            {"fields": ["status", "ops"], "previous_job_info": None, "previous_log_serial": None},
        ),
        bad=("/2/jobs/1/wait", {"fields": "status"}),
    ),
}

_A_NODE = "/2/nodes/[node_name]"
_GROUP_OF_VOLUMES = "?storage_type=lvm-vg&name=xenvg"
_DEVICE = "?storage_type=lvm-pv&name=/dev/sim0"
LVM: tuple[str, str, Any] = (
    "PUT",
    "/2/modify",
    {"enabled_disk_templates": ["sharedfile", "plain"], "vg_name": "xenvg"},
)
_NODES: Mapping[str, Row] = {
    **_objects("nodes", "node3.example.com", "node_name"),
    f"POST {_A_NODE}/powercycle": _argued(f"{NODE}/powercycle", "", "?force=x"),
    f"POST {_A_NODE}/evacuate": _job(f"{NODE}/evacuate", body={"mode": "all"}, wrong={}),
    f"POST {_A_NODE}/migrate": _job(f"{NODE}/migrate", body={}, wrong={"mode": "fast"}),
    f"GET {_A_NODE}/role": _read(f"{NODE}/role", "/2/nodes/nosuch/role"),
    f"PUT {_A_NODE}/role": _job(f"{NODE}/role", body="offline", wrong="master"),
    f"POST {_A_NODE}/modify": _job(f"{NODE}/modify", body={"drained": True}),
    f"GET {_A_NODE}/storage": _argued(
        f"{NODE}/storage", "?storage_type=file&output_fields=name,free", "?storage_type=file"
    ),
    f"PUT {_A_NODE}/storage/modify": _argued(
        f"{NODE}/storage/modify", f"{_DEVICE}&allocatable=1", f"{_DEVICE}&allocatable=x", before=(LVM,)
    ),
    f"PUT {_A_NODE}/storage/repair": _argued(
        f"{NODE}/storage/repair", _GROUP_OF_VOLUMES, "?storage_type=lvm-vg", before=(LVM,)
    ),
    **_tags(f"{NODE}/tags", f"{_A_NODE}/tags"),
}

_NET = "/2/networks/[network_name]"
_NETWORKS: Mapping[str, Row] = {
    **_objects("networks", "front", "network_name"),
    "POST /2/networks": _job(
        "/2/networks", body={"name": "back", "network": "10.66.0.0/24"}, wrong={"name": "back"}
    ),
    f"DELETE {_NET}": _job("/2/networks/front"),
    f"PUT {_NET}/connect": _job("/2/networks/front/connect", body=JOIN, wrong={}),
    f"PUT {_NET}/disconnect": _job(
        "/2/networks/front/disconnect", body={"group_name": "default"}, wrong={}, before=(CONNECT,)
    ),
    f"PUT {_NET}/modify": _job("/2/networks/front/modify", body={"gateway": "10.55.0.1"}),
    f"PUT {_NET}/rename": _job("/2/networks/front/rename", body={"new_name": "back"}, wrong={}),
    **_tags("/2/networks/front/tags", f"{_NET}/tags"),
}

_QUERY = "/2/query/[resource]"
_QUERIES: Mapping[str, Row] = {
    f"GET {_QUERY}": Row(good=("/2/query/node?fields=name,role,nosuch", None), bad=("/2/query/node", None)),
    f"PUT {_QUERY}": Row(
        good=("/2/query/instance", {"fields": ["name", "console"], "qfilter": ["=", "name", "web1"]}),
        bad=("/2/query/instance", {}),
    ),
    f"GET {_QUERY}/fields": Row(
        good=("/2/query/instance/fields", None), bad=("/2/query/nosuch/fields", None), status=502
    ),
}

_FILTERS: Mapping[str, Row] = {
    "GET /2/filters": _read("/2/filters", query="?bulk=1"),
    "POST /2/filters": _job("/2/filters", body={"action": "ACCEPT"}),
    "GET /2/filters/[filter_uuid]": _read(f"/2/filters/{UUID}", "/2/filters/nosuch"),
    "PUT /2/filters/[filter_uuid]": _job(f"/2/filters/{UUID}", body={"priority": 3}),
    "DELETE /2/filters/[filter_uuid]": Row(
        good=(f"/2/filters/{UUID}", {}), bad=("/2/filters/nosuch", {}), status=404
    ),
}

_DETACH: tuple[str, str, Any] = ("PUT", f"{INSTANCE}/modify", {"disks": [["detach", 0, {}]]})
_DISK = f"/2/disks/{DETACHED}"

_DETACHED: Mapping[str, Row] = {
    "GET /2/disks": _read("/2/disks", query="?bulk=1"),
    "GET /2/disks/[disk_uuid]": Row(
        good=(_DISK, None), bad=("/2/disks/nosuch", None), status=404, before=(STOP, _DETACH)
    ),
    "DELETE /2/disks/[disk_uuid]": _job(_DISK, before=(STOP, _DETACH)),
}

ROWS: Mapping[str, Row] = {
    **_OF_1_2,
    **_CLUSTER,
    **_GROUPS,
    **_INSTANCES,
    **_JOBS,
    **_NODES,
    **_NETWORKS,
    **_QUERIES,
    **_FILTERS,
    **_DETACHED,
}
"""By method and URI pattern."""
