"""What sessions of the API are signed with."""

import secrets

from twisted_rapi.errors import Conflict
from twisted_rapi.model.session import SessionKeyRecord
from twisted_rapi.state.interface import IStateStore
from twisted_rapi.state.snapshot import Snapshot
from twisted_rapi.state.writer import commit_of


class SessionKeys:
    """The cluster's key for sessions, for one term; made when it is needed first."""

    def __init__(self, store: IStateStore, snapshot: Snapshot, term: int) -> None:
        self._store, self._snapshot, self._term = store, snapshot, term

    async def get(self) -> bytes:
        """See `twisted_rapi.cluster.interface.ICluster.session_key`."""
        known = self._snapshot.session_key
        while known is None:
            new = SessionKeyRecord(key=secrets.token_hex(32))
            change = commit_of([new], revision_of=lambda _: 0, term=self._term)
            try:
                await self._snapshot.reached(await self._store.commit(change))
            except Conflict:
                # Somebody else has made one.
                await self._snapshot.catch_up([SessionKeyRecord.KIND])
            known = self._snapshot.session_key
        return bytes.fromhex(known.key)
