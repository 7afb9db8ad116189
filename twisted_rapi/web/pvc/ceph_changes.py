"""Requests of PVC's API that change Ceph, as jobs."""

from typing import Any

from twisted_rapi.errors import BadRequest
from twisted_rapi.model import rbd
from twisted_rapi.model.opcodes import Opcode, decode
from twisted_rapi.model.opcodes.ceph import CephChange
from twisted_rapi.plan.pvc import ceph as pvc
from twisted_rapi.plan.pvc.dialect import LATER, NEWEST, SEED, Dialect
from twisted_rapi.web.pvc.endpoints import FLAGS, PvcCall, Value
from twisted_rapi.web.pvc.jobs import JobFailed, ended, goes_on, submitted
from twisted_rapi.web.pvc.replies import BadValue, message
from twisted_rapi.web.reply import Reply

CEPH = "/storage/ceph"
V0_6 = LATER - NEWEST
SURE = "yes_i_really_mean_it"
LATER_SURE = "yes-i-really-mean-it"
_DIGITS = 10
_UNSURE = (
    "ERROR: This command can have unintended consequences and should not be automated; if you're sure you "
    "know what you're doing, resend with the argument 'yes_i_really_mean_it'."
)
_PLEASE = "Please confirm that 'yes-i-really-mean-it'."
CONFIRMED = (
    Value(name=SURE, doc="That you really mean it", kind="presence", dialects=SEED),
    Value(name=LATER_SURE, doc="That you really mean it", dialects=V0_6, required=True),
    Value(
        name=LATER_SURE,
        doc="That you really mean it",
        dialects=NEWEST,
        required=True,
        text=_PLEASE,
    ),
)


def needed(name: str, doc: str, text: str, choices: tuple[str, ...] = ()) -> tuple[Value, ...]:
    """
    A value that a change needs; the oldest dialect has a way of its own to say so, see `check_seed`.

    :param text: what the newest one says.
    """
    return (
        Value(name=name, doc=doc, dialects=SEED),
        Value(name=name, doc=doc, dialects=V0_6, required=True, choices=choices),
        Value(name=name, doc=doc, dialects=NEWEST, required=True, choices=choices, text=text),
    )


def check_seed(call: PvcCall, *values: tuple[str, str]) -> None:
    """
    Whether the oldest dialect was told all that is needed; its clients know each by a text.

    :raises BadRequest: something is missing.
    """
    for name, what in values:
        if call.dialect is Dialect.SEED and not call.text(name):
            raise BadRequest(f"ERROR: {what} must be specified.")


def check_seed_pool(call: PvcCall) -> None:
    """Likewise of a pool that something is to be in."""
    if call.dialect is Dialect.SEED and not call.text("pool"):
        raise BadRequest("ERROR: A pool name must be spcified.")  # as its clients know it


def check_sure(call: PvcCall) -> None:
    """:raises BadRequest: the oldest dialect was not told that it is really meant, or another was told no."""
    if call.dialect is Dialect.SEED and not call.flag(SURE):
        raise BadRequest(_UNSURE)
    if FLAGS.get(call.text(LATER_SURE).lower()) is False:
        raise BadValue(LATER_SURE, _PLEASE)


def value_of(call: PvcCall, name: str) -> str:
    """What stands in the path, or else is a value."""
    return call.names.get(name) or call.text(name)


def number(text: str, what: str) -> int:
    """:raises BadRequest: it is no number, or nothing, or much too large."""
    found = int(text) if text.isascii() and text.isdecimal() and len(text) < _DIGITS else 0
    if not found:
        raise BadRequest(f"ERROR: '{text[:60]}' is no {what}.")
    return found


def size_of(call: PvcCall, text: str) -> int:
    """:raises BadRequest: it is no size."""
    try:
        return pvc.size(text)
    except ValueError as e:
        if call.dialect is Dialect.V1_0:
            told = f"Requested volume size '{text[:60]}' does not have a valid SI unit"
            raise BadRequest(f"ERROR: {told}") from e
        raise BadRequest(f"ERROR: {e}") from e


def change(kind: str, **values: Any) -> CephChange:
    """
    The opcode of a change.

    :raises BadRequest: a name, or a number, cannot be meant.
    """
    for name in ("pool", "volume", "snapshot", "name"):
        word = values.get(name)
        if kind != "option" and word is not None and not rbd.NAME.fullmatch(word):
            what = kind.partition(".")[0] if name == "name" else name
            raise BadRequest(f"ERROR: '{word[:60]}' is no name for a {what}.")
    try:
        return decode(CephChange, {"change": kind, **values})
    except BadRequest as e:
        raise BadRequest(f"ERROR: {e.message}.") from e


async def done(
    call: PvcCall, op: Opcode, text: str, doing: str, told: dict[str, str] | None = None, as_is: bool = False
) -> Reply:
    """
    The answer once a job has ended, or that it goes on where that takes very long.

    :param text: what is told when it has ended well.
    :param doing: what was tried, such as ``create new pool``; `told`: what is said instead of some errors, by
        their codes.
    :param as_is: whether `text` keeps its double quotes.
    :raises BadRequest: it has failed.
    """
    job = await submitted(call, [op], "ceph")
    try:
        found = await ended(call, job)
    except JobFailed as e:
        instead = (told or {}).get(e.code)
        raise BadRequest((instead or f"ERROR: Failed to {doing}: {e.why}").replace('"', "'")) from e
    call.counts.forget()
    if found is None:
        return goes_on(call, job)
    return message(call.dialect, text) if as_is else call.told(text)
