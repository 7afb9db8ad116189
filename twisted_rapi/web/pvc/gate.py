"""Who may use PVC's API: tokens and sessions (behaviour.md of PVC §2)."""

import attrs
from twisted.internet.interfaces import IReactorTime

from twisted_rapi.errors import Unauthorized
from twisted_rapi.plan.pvc.dialect import Dialect
from twisted_rapi.web.call import Api
from twisted_rapi.web.pvc.session import open_session, token_of
from twisted_rapi.web.pvc.tokens import Tokens, find
from twisted_rapi.web.throttle import Throttle

_WHO = "token"  # whom attempts are counted for: tokens have no names

_TEXTS = {
    Dialect.SEED: ("Authentication required", "Authentication failed"),
    Dialect.V0_6: ("X-Api-Key Authentication required", "X-Api-Key Authentication failed"),
    Dialect.V1_0: ("X-Api-Key Authentication required.", "X-Api-Key Authentication failed."),
}


@attrs.frozen(kw_only=True)
class Shown:
    """
    What a client shows.

    :ivar session: its cookie, "" without; `key`: the header; `token`: the value of that name.
    """

    session: str = ""
    key: str | None = None
    token: str | None = None


class Gate:
    """
    Lets in who shows a token, or has a session.

    :param enabled: whether that is needed at all.
    """

    def __init__(self, tokens: Tokens, clock: IReactorTime, enabled: bool) -> None:
        self._tokens, self.enabled = tokens, enabled
        self._throttle = Throttle(clock)

    async def admit(self, shown: Shown, dialect: Dialect, address: str, api: Api) -> None:
        """
        Let a request pass.

        :raises Unauthorized: it may not.
        :raises ServiceUnavailable: too many try at once.
        """
        if not self.enabled or self._in_session(shown.session, api):
            return
        given = shown.key
        if given is None and dialect is Dialect.SEED:
            given = shown.token
        required, failed = _TEXTS[dialect]
        if given is None:
            raise Unauthorized(required)
        if not await self._right(given, address):
            raise Unauthorized(failed)

    def admits(self, shown: Shown, address: str, api: Api) -> bool:
        """Whether it is plain that a request may pass; for others there is `admit`."""
        if not self.enabled or self._in_session(shown.session, api):
            return True
        if shown.key is None or not self._throttle.trusted(_WHO, address):
            return False
        return bool(find(self._tokens.known, shown.key))

    async def login(self, token: str, address: str, api: Api) -> str:
        """
        The value of the cookie of a new session.

        :raises Unauthorized: that is no token.
        """
        found = await self._right(token, address)
        if not found:
            raise Unauthorized("Authentication failed")
        return open_session(await api.cluster.session_key(), found, api.now())

    def _in_session(self, value: str, api: Api) -> bool:
        record = api.cluster.snapshot.session_key
        if not value or record is None:
            return False
        return token_of(bytes.fromhex(record.key), value, api.now()) in self._tokens.known

    async def _right(self, given: str, address: str) -> str:
        """The id of the token, "" for none; see `twisted_rapi.web.throttle`, Note [Guessing]."""
        if self._throttle.trusted(_WHO, address):
            found = find(self._tokens.known, given)
            if found:
                return found

        async def right() -> bool:
            return bool(find(self._tokens.known, given))

        good = await self._throttle.judge(_WHO, address, right)
        return find(self._tokens.known, given) if good else ""
