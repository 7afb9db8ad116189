"""PVC's endpoints of snapshots of volumes."""

from collections.abc import Sequence

from twisted_rapi.errors import NotFound
from twisted_rapi.plan.pvc import ceph as pvc
from twisted_rapi.plan.pvc.dialect import LATER, NEWEST, SEED, Dialect
from twisted_rapi.plan.pvc.limit import Unanswerable, matcher
from twisted_rapi.web.pvc.ceph_changes import (
    CEPH,
    change,
    check_seed,
    check_seed_pool,
    done,
    needed,
    value_of,
)
from twisted_rapi.web.pvc.ceph_volumes import POOL, missing_volume, of_pool, place
from twisted_rapi.web.pvc.endpoints import Endpoint, PvcCall, Value
from twisted_rapi.web.pvc.replies import answer
from twisted_rapi.web.reply import Reply

NONE = "Volume snapshot not found."


async def _of_volume(call: PvcCall) -> Sequence[pvc.Seen]:
    """Those of the pool and of the volume that are asked about; without a pool, of all volumes so called."""
    pool, volume = call.text("pool"), call.text("volume")
    if pool and volume:
        found = await call.ceph.look(call.api, "snapshots", pool, volume)
        if found is None:
            if call.dialect is Dialect.V1_0:
                raise NotFound(NONE)
            raise Unanswerable(f'ERROR: No volume with name "{volume}" is present in the cluster.')
        return found
    seen = await of_pool(call, "snapshots", NONE)
    return [one for one in seen if volume in ("", one["volume"])]


async def listing(call: PvcCall) -> Reply:
    """``GET /storage/ceph/snapshot``, or ``volume/snapshot``."""
    wanted = matcher(call.text("limit"), "fuzzy")
    seen = pvc.wanted(await _of_volume(call), call.dialect, wanted)
    if not seen and call.dialect is not Dialect.SEED:
        raise NotFound(NONE)
    return answer(call.dialect, [pvc.snapshot(one, call.dialect) for one in seen])


async def single(call: PvcCall) -> Reply:
    """``GET /storage/ceph/snapshot/P/V/S``: a list of one, or an object."""
    seen = await call.ceph.look(call.api, "snapshots", call.names["pool"], call.names["volume"])
    found = [pvc.snapshot(s, call.dialect) for s in seen or () if s["name"] == call.names["snapshot"]]
    if not found and call.dialect is not Dialect.SEED:
        raise NotFound(NONE)
    return answer(call.dialect, found[0] if call.dialect is Dialect.V0_6 else found)


def _missing(call: PvcCall) -> dict[str, str]:
    """What is told where it is not there."""
    pool, volume, snapshot = (call.names[name] for name in ("pool", "volume", "snapshot"))
    quoted = f"'{volume}' {place(call, pool)}"
    where = quoted if call.dialect is Dialect.V1_0 else f"{volume} on pool {pool}"
    return {"unknown_entity": f"ERROR: No snapshot with name '{snapshot}' is present of volume {where}."}


async def add(call: PvcCall) -> Reply:
    """``POST /storage/ceph/snapshot``, and in later dialects ``POST /storage/ceph/snapshot/P/V/S``."""
    check_seed(call, ("snapshot", "A snapshot name"), ("volume", "A volume name"))
    check_seed_pool(call)
    pool, volume, snapshot = (value_of(call, name) for name in ("pool", "volume", "snapshot"))
    op = change("snapshot.add", pool=pool, volume=volume, snapshot=snapshot)
    new = "" if call.dialect is Dialect.V1_0 else "new "
    text = f"Created {new}RBD snapshot '{snapshot}' of volume '{volume}' {place(call, pool)}."
    told = {"unknown_entity": missing_volume(call, pool, volume)}
    return await done(call, op, text, "create new snapshot", told)


async def rename(call: PvcCall) -> Reply:
    """``PUT /storage/ceph/snapshot/P/V/S``."""
    check_seed(call, ("name", "A new name"))
    pool, volume, snapshot = (call.names[name] for name in ("pool", "volume", "snapshot"))
    name = call.text("name" if call.dialect is Dialect.SEED else "new_name")
    op = change("snapshot.rename", pool=pool, volume=volume, snapshot=snapshot, name=name)
    what = "snapshot" if call.dialect is Dialect.V1_0 else "volume snapshot"
    text = f"Renamed RBD {what} '{snapshot}' to '{name}' for volume '{volume}' {place(call, pool)}."
    return await done(call, op, text, f"rename snapshot {snapshot} to {name}", _missing(call))


async def remove(call: PvcCall) -> Reply:
    """``DELETE /storage/ceph/snapshot/P/V/S``."""
    pool, volume, snapshot = (call.names[name] for name in ("pool", "volume", "snapshot"))
    op = change("snapshot.remove", pool=pool, volume=volume, snapshot=snapshot)
    text = f"Removed RBD snapshot '{snapshot}' of volume '{volume}' in pool '{pool}'."
    return await done(call, op, text, "remove snapshot", _missing(call))


async def roll_back(call: PvcCall) -> Reply:
    """``POST /storage/ceph/snapshot/P/V/S/rollback``; not while a machine runs with it."""
    pool, volume, snapshot = (call.names[name] for name in ("pool", "volume", "snapshot"))
    op = change("volume.rollback", pool=pool, volume=volume, snapshot=snapshot)
    text = f"Rolled back RBD volume '{volume}' in pool '{pool}' to snapshot '{snapshot}'."
    return await done(call, op, text, "roll back volume", _missing(call))


_VALUES = (
    *needed("snapshot", "What it is called", "A snapshot name must be specified."),
    *needed("volume", "The volume it is of", "A volume name must be specified."),
    *needed("pool", "The pool of the volume", "A pool name must be specified."),
)
_FILTERS = (
    POOL,
    Value(name="volume", doc="Only those of this volume"),
    Value(name="limit", doc="A regular expression that names match"),
)
_NEW_NAME = (
    Value(name="name", doc="What it is to be called", dialects=SEED),
    Value(
        name="new_name",
        doc="What it is to be called",
        dialects=LATER,
        required=True,
        text="A new name must be specified.",
    ),
)


def _of_path(path: str, dialects: frozenset[Dialect]) -> tuple[Endpoint, ...]:
    one = f"{path}/<pool>/<volume>/<snapshot>"
    rows = (
        (path, "GET", listing, "List the snapshots.", _FILTERS),
        (path, "POST", add, "Keep how a volume is now.", _VALUES),
        (one, "GET", single, "Show one snapshot.", ()),
        (one, "PUT", rename, "Call a snapshot otherwise.", _NEW_NAME),
        (one, "DELETE", remove, "Forget a snapshot.", ()),
    )
    return tuple(
        Endpoint(path=where, method=method, handler=handler, doc=doc, values=values, dialects=dialects)
        for where, method, handler, doc, values in rows
    )


_SNAPSHOT = f"{CEPH}/snapshot"
_ONE = f"{_SNAPSHOT}/<pool>/<volume>/<snapshot>"

ENDPOINTS = (
    *_of_path(f"{CEPH}/volume/snapshot", SEED),
    *_of_path(_SNAPSHOT, LATER),
    Endpoint(
        path=_ONE, method="POST", handler=add, doc="Keep how a volume is now, by this name.", dialects=LATER
    ),
    Endpoint(
        path=f"{_ONE}/rollback",
        method="POST",
        handler=roll_back,
        doc="Have a volume be again as a snapshot is.",
        dialects=NEWEST,
    ),
)
