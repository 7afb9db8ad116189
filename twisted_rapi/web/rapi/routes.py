"""The URIs of RAPI 2 that this release serves (resources.json), as a table."""

from twisted_rapi.model.opcodes.cluster import TagsDel, TagsSet
from twisted_rapi.web.call import Endpoint, Handler, Route
from twisted_rapi.web.rapi import reads, submits
from twisted_rapi.web.rapi.submits import TagChange


def _read(handler: Handler, access: str = "anyone") -> Endpoint:
    return Endpoint(handler, access, kept=access == "anyone")  # type: ignore[arg-type]


def _live(handler: Handler) -> Endpoint:
    return Endpoint(handler, "anyone")


def _write(handler: Handler) -> Endpoint:
    return Endpoint(handler, "writer")


def _tags(pattern: str, get: Handler, kind: str, handler: str, name: str = "") -> Route:
    return Route(
        pattern,
        {
            "GET": _read(get),
            "PUT": _write(TagChange(TagsSet, kind, handler, name)),
            "DELETE": _write(TagChange(TagsDel, kind, handler, name)),
        },
    )


_INSTANCE = "/2/instances/[instance_name]"

ROUTES = (
    Route("/", {"GET": _read(reads.nothing)}),
    Route("/2", {"GET": _read(reads.nothing)}),
    Route("/version", {"GET": _read(reads.version)}),
    Route("/2/info", {"GET": _read(reads.info)}),
    Route("/2/features", {"GET": _read(reads.features)}),
    Route("/2/os", {"GET": _read(reads.oses)}),
    _tags("/2/tags", reads.cluster_tags, "cluster", "tags"),
    Route("/2/instances", {"GET": _read(reads.instances), "POST": _write(submits.create)}),
    Route(_INSTANCE, {"GET": _read(reads.instance), "DELETE": _write(submits.REMOVE)}),
    Route(f"{_INSTANCE}/info", {"GET": _live(submits.instance_info)}),
    Route(f"{_INSTANCE}/startup", {"PUT": _write(submits.STARTUP)}),
    Route(f"{_INSTANCE}/shutdown", {"PUT": _write(submits.SHUTDOWN)}),
    Route(f"{_INSTANCE}/reboot", {"POST": _write(submits.reboot)}),
    Route(f"{_INSTANCE}/reinstall", {"POST": _write(submits.reinstall)}),
    Route(f"{_INSTANCE}/rename", {"PUT": _write(submits.RENAME)}),
    Route(f"{_INSTANCE}/modify", {"PUT": _write(submits.MODIFY)}),
    Route(f"{_INSTANCE}/console", {"GET": _read(reads.console, "reader")}),
    Route(f"{_INSTANCE}/activate-disks", {"PUT": _write(submits.ACTIVATE)}),
    Route(f"{_INSTANCE}/deactivate-disks", {"PUT": _write(submits.DEACTIVATE)}),
    _tags(f"{_INSTANCE}/tags", reads.instance_tags, "instance", "instances_name_tags", "instance_name"),
    Route("/2/nodes", {"GET": _read(reads.nodes)}),
    Route("/2/nodes/[node_name]", {"GET": _read(reads.node)}),
    Route("/2/nodes/[node_name]/role", {"GET": _read(reads.node_role)}),
    _tags("/2/nodes/[node_name]/tags", reads.node_tags, "node", "nodes_name_tags", "node_name"),
    Route("/2/groups", {"GET": _read(reads.groups)}),
    Route("/2/groups/[group_name]", {"GET": _read(reads.group)}),
    _tags("/2/groups/[group_name]/tags", reads.group_tags, "nodegroup", "groups_name_tags", "group_name"),
    Route("/2/jobs", {"GET": _live(reads.jobs)}),
    Route("/2/jobs/[job_id]", {"GET": _live(reads.job), "DELETE": _write(reads.cancel)}),
    Route("/2/jobs/[job_id]/wait", {"GET": _write(reads.wait)}),
)
