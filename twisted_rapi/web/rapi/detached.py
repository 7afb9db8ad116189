"""RAPI resources of disks that no instance has: this project's own."""

import attrs

from twisted_rapi.errors import NotFound
from twisted_rapi.model.opcodes.disk import DiskRemove
from twisted_rapi.plan import detached
from twisted_rapi.plan.fields.base import shown
from twisted_rapi.plan.fields.detached import TABLE
from twisted_rapi.web.call import Call, Route
from twisted_rapi.web.doc import BULK, TEXT, Doc, ref
from twisted_rapi.web.rapi.rows import Submission, read, write
from twisted_rapi.web.reply import Reply, success

_DISK = "/2/disks/[disk_uuid]"
_LINK = {"type": "object", "properties": {"uuid": TEXT, "uri": TEXT}, "required": ["uuid", "uri"]}


@attrs.frozen
class Detached:
    """``GET /2/disks``, in the order they were detached."""

    doc = Doc(
        summary="List the disks that were detached from their instances.",
        answer="UUID and URI of each; with bulk all about each, as GET /2/disks/UUID has it",
        schema={"type": "array", "items": {"anyOf": [_LINK, ref("DetachedDisk")]}},
        query=(BULK,),
    )

    def __call__(self, call: Call) -> Reply:
        """From memory."""
        view = call.api.answers.view()
        records = detached.seen(view)
        if call.flag("bulk"):
            return success([shown(TABLE, view, record) for record in records])
        return success([{"uuid": r.uuid, "uri": f"/2/disks/{r.uuid}"} for r in records])


@attrs.frozen
class Single:
    """``GET /2/disks/UUID``."""

    doc = Doc(
        summary="Show one disk that was detached from its instance.",
        answer="All about the disk",
        schema=ref("DetachedDisk"),
    )

    def __call__(self, call: Call) -> Reply:
        """From memory."""
        view = call.api.answers.view()
        record = view.detached.get(call.names["disk_uuid"])
        if record is None:
            raise NotFound
        return success(shown(TABLE, view, record))


REMOVE = Submission(opcode=DiskRemove, handler="disks_uuid", names={"disk_uuid": "disk_uuid"}, dry_run=True)

ROUTES = (
    Route("/2/disks", {"GET": read(Detached())}),
    Route(_DISK, {"GET": read(Single()), "DELETE": write(REMOVE)}),
)
