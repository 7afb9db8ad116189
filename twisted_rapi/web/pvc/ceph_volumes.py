"""PVC's endpoints of volumes."""

from collections.abc import Sequence

from twisted_rapi.errors import BadRequest, NotFound
from twisted_rapi.model.ceph import Subject
from twisted_rapi.model.sizes import human_size
from twisted_rapi.plan.pvc import ceph as pvc
from twisted_rapi.plan.pvc.dialect import LATER, NEWEST, SEED, Dialect
from twisted_rapi.plan.pvc.limit import Unanswerable, matcher
from twisted_rapi.web.pvc.ceph import missing_pool
from twisted_rapi.web.pvc.ceph_changes import (
    CEPH,
    V0_6,
    change,
    check_seed,
    check_seed_pool,
    done,
    needed,
    size_of,
    value_of,
)
from twisted_rapi.web.pvc.endpoints import Endpoint, PvcCall, Value
from twisted_rapi.web.pvc.replies import answer
from twisted_rapi.web.reply import Reply

NONE = "Volume not found."
FEW = 8  # volumes that are rather opened one by one than all with them
_NOTHING = "At least one modification must be specified"


def place(call: PvcCall, pool: str) -> str:
    """Where something was done."""
    return f"in pool '{pool}'" if call.dialect is Dialect.V1_0 else f"on pool '{pool}'"


def missing_volume(call: PvcCall, pool: str, volume: str) -> str:
    """What is told of a volume that is not there."""
    quoted = f"'{pool}'" if call.dialect is Dialect.V1_0 else pool
    return f"ERROR: No volume with name '{volume}' is present in pool {quoted}."


async def of_pool(call: PvcCall, subject: Subject, none: str) -> Sequence[pvc.Seen]:
    """
    What there is in the pool that is asked about, or in all.

    :param none: what the newest dialect tells where there is no such pool.
    :raises RequestError: there is none.
    """
    pool = call.text("pool")
    found = await call.ceph.look(call.api, subject, pool)
    if found is None:
        if call.dialect is Dialect.V1_0:
            raise NotFound(none)
        raise Unanswerable(missing_pool(pool, '"'))
    return found


async def listing(call: PvcCall) -> Reply:
    """``GET /storage/ceph/volume``."""
    wanted = matcher(call.text("limit"), "fuzzy")
    if call.text("limit"):
        found = pvc.wanted(await of_pool(call, "volumes", NONE), call.dialect, wanted)
        if len(found) <= FEW:
            return _listed(call, [one for each in found for one in await _opened(call, each)])
    return _listed(call, pvc.wanted(await of_pool(call, "images", NONE), call.dialect, wanted))


async def _opened(call: PvcCall, seen: pvc.Seen) -> Sequence[pvc.Seen]:
    """A volume with all about it; none when it has gone."""
    return await call.ceph.look(call.api, "volumes", str(seen["pool"]), str(seen["name"])) or ()


def _listed(call: PvcCall, seen: Sequence[pvc.Seen]) -> Reply:
    if not seen and call.dialect is not Dialect.SEED:
        raise NotFound(NONE)
    return answer(call.dialect, [pvc.volume(one) for one in seen])


async def single(call: PvcCall) -> Reply:
    """``GET /storage/ceph/volume/P/V``: a list of one, or an object."""
    seen = await call.ceph.look(call.api, "volumes", call.names["pool"], call.names["volume"])
    if not seen and call.dialect is not Dialect.SEED:
        raise NotFound(NONE)
    found = [pvc.volume(one) for one in seen or ()]
    return answer(call.dialect, found[0] if call.dialect is Dialect.V0_6 else found)


async def _check_room(call: PvcCall, pool: str, size: int) -> None:
    """:raises BadRequest: the newest dialect does not want to fill a pool."""
    if call.dialect is not Dialect.V1_0:
        return
    for seen in await call.ceph.look(call.api, "pools") or ():
        why = pvc.no_room(seen, size, call.flag("force")) if seen["name"] == pool else ""
        if why:
            raise BadRequest(f"ERROR: {why}")


async def add(call: PvcCall) -> Reply:
    """``POST /storage/ceph/volume``, and in later dialects ``POST /storage/ceph/volume/P/V``."""
    check_seed(call, ("volume", "A volume name"))
    check_seed_pool(call)
    check_seed(call, ("size", "A volume size in bytes (or with an M/G/T suffix)"))
    pool, volume, given = value_of(call, "pool"), value_of(call, "volume"), call.text("size")
    size = size_of(call, given)
    op = change("volume.add", pool=pool, volume=volume, size=size)
    await _check_room(call, pool, size)
    told = {
        "unknown_entity": missing_pool(pool),
        "already_exists": f"ERROR: A volume with name '{volume}' is present in pool '{pool}' already.",
    }
    new = "" if call.dialect is Dialect.V1_0 else "new "
    shown = human_size(size) if call.dialect is Dialect.V1_0 else given
    text = f"Created {new}RBD volume '{volume}' of size '{shown}' {place(call, pool)}."
    return await done(call, op, text, "create new volume", told)


async def modify(call: PvcCall) -> Reply:
    """``PUT /storage/ceph/volume/P/V``: another size or another name, not both at once."""
    size = call.text("new_size") or call.text("size")
    name = call.text("name" if call.dialect is Dialect.SEED else "new_name")
    if bool(size) == bool(name):
        if call.dialect is Dialect.SEED:
            raise BadRequest("ERROR: No name or size specified, or both specified; not changing anything.")
        raise BadRequest(
            "Can only perform one modification at once"
            if size
            else "At least one modification must be specified"
        )
    return await (_resize(call, size) if size else _rename(call, name))


async def _resize(call: PvcCall, given: str) -> Reply:
    pool, volume = call.names["pool"], call.names["volume"]
    size = size_of(call, given)
    op = change("volume.resize", pool=pool, volume=volume, size=size)
    shown = human_size(size) if call.dialect is Dialect.V1_0 else given
    text = f"Resized RBD volume '{volume}' to size '{shown}' {place(call, pool)}."
    told = {"unknown_entity": missing_volume(call, pool, volume)}
    return await done(call, op, text, "resize volume", told)


async def _rename(call: PvcCall, name: str) -> Reply:
    pool, volume = call.names["pool"], call.names["volume"]
    op = change("volume.rename", pool=pool, volume=volume, name=name)
    text = f"Renamed RBD volume '{volume}' to '{name}' {place(call, pool)}."
    told = {"unknown_entity": missing_volume(call, pool, volume)}
    return await done(call, op, text, f"rename volume {volume} to {name}", told)


async def clone(call: PvcCall) -> Reply:
    """``POST /storage/ceph/volume/P/V/clone``: a copy of its own, without snapshots."""
    pool, volume, name = call.names["pool"], call.names["volume"], call.text("new_volume")
    op = change("volume.copy", pool=pool, volume=volume, name=name)
    text = f"Cloned RBD volume '{volume}' to '{name}' {place(call, pool)}."
    told = {"unknown_entity": missing_volume(call, pool, volume)}
    return await done(call, op, text, f"clone volume {volume} to {name}", told)


async def remove(call: PvcCall) -> Reply:
    """``DELETE /storage/ceph/volume/P/V``; not one that is a disk of a machine."""
    pool, volume = call.names["pool"], call.names["volume"]
    text = f"Removed RBD volume '{volume}' in pool '{pool}'."
    told = {"unknown_entity": missing_volume(call, pool, volume)}
    return await done(call, change("volume.remove", pool=pool, volume=volume), text, "remove volume", told)


POOL = Value(name="pool", doc="Only what is in this pool")
_SIZE = (
    *needed(
        "size",
        "Its bytes, such as 1073741824, 4096M, 20G, 1.5TiB",
        "A volume size in bytes (B implied or with SI suffix k/M/G/T) must be specified.",
    ),
    Value(name="force", kind="flag", doc="Whether the pool may become fuller than 80 %", dialects=NEWEST),
)
_VOLUME = f"{CEPH}/volume"
_ONE = f"{_VOLUME}/<pool>/<volume>"

ENDPOINTS = (
    Endpoint(
        path=_VOLUME,
        method="GET",
        handler=listing,
        doc="List the volumes.",
        values=(POOL, Value(name="limit", doc="A regular expression that names match")),
    ),
    Endpoint(
        path=_VOLUME,
        method="POST",
        handler=add,
        doc="Make a volume.",
        values=(
            *needed("volume", "What it is called", "A volume name must be specified."),
            *needed("pool", "The pool it is in", "A valid pool name must be specified."),
            *_SIZE,
        ),
    ),
    Endpoint(path=_ONE, method="GET", handler=single, doc="Show one volume."),
    Endpoint(
        path=_ONE,
        method="POST",
        handler=add,
        doc="Make a volume of this name.",
        values=_SIZE,
        dialects=LATER,
    ),
    Endpoint(
        path=_ONE,
        method="PUT",
        handler=modify,
        doc="Have a volume grow, or call it otherwise.  One that is a disk of a machine grows as that.",
        values=(
            Value(name="size", doc="How large it is to be", dialects=SEED | V0_6),
            Value(name="new_size", doc="How large it is to be", dialects=LATER),
            Value(name="name", doc="What it is to be called", dialects=SEED),
            Value(name="new_name", doc="What it is to be called", dialects=LATER),
        ),
    ),
    Endpoint(path=_ONE, method="DELETE", handler=remove, doc="Remove a volume with its snapshots."),
    Endpoint(
        path=f"{_ONE}/clone",
        method="POST",
        handler=clone,
        doc="Copy a volume.",
        values=needed("new_volume", "What the copy is called", "A new volume name must be specified."),
        dialects=LATER,
    ),
)
