"""From records to a commit."""

from collections.abc import Callable, Iterable, Mapping

from twisted_rapi.model.record_base import Record
from twisted_rapi.model.records import NameRecord, key_of
from twisted_rapi.state.codec import encode
from twisted_rapi.state.interface import Commit


def commit_of(
    puts: Iterable[Record] = (),
    deletes: Iterable[Record] = (),
    names: Mapping[str, str] | None = None,
    free: Iterable[str] = (),
    revision_of: Callable[[str], int] | None = None,
    term: int | None = None,
    blind: Mapping[str, bytes] | None = None,
) -> Commit:
    """
    A commit that puts and deletes records, reserves names and frees others.

    :param names: name keys (`twisted_rapi.model.records.name_key`) to reserve, each for a uuid; a name that
        is reserved already makes the commit a conflict.
    :param revision_of: what revision a key was seen at; every record put or deleted is expected to have it
        still.  ``None``: nothing is expected of them.
    :param blind: further values that are put without expecting anything.
    """
    put = {key_of(record): encode(record) for record in puts}
    gone = {key_of(record) for record in deletes}
    expect = {} if revision_of is None else {key: revision_of(key) for key in {*put, *gone}}
    for key, uuid in (names or {}).items():
        put[key] = encode(NameRecord(uuid=uuid))
        expect[key] = 0
    freed = frozenset(free) - frozenset(put)
    return Commit(expect=expect, puts={**put, **(blind or {})}, deletes=frozenset(gone) | freed, term=term)
