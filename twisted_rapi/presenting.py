"""What a candidate shows of its files beside its sign of life."""

from collections.abc import Awaitable, Callable
from typing import Any

from msgspec.structs import replace
from twisted.internet.defer import Deferred
from twisted.logger import Logger

from twisted_rapi.alike import digests
from twisted_rapi.config import Config
from twisted_rapi.ha.presence import Presence
from twisted_rapi.web.auth import Users

_log = Logger()


def show_alike(
    presence: Presence,
    users: Users,
    config: Config,
    address: str,
    cluster: str,
    in_thread: Callable[..., Awaitable[Any]],
) -> None:
    """
    Show digests of what candidates have alike, now and whenever the users change.

    :param address: of this candidate's node; `cluster`: the cluster's uuid.
    :param in_thread: computes them elsewhere.
    """

    async def show(text: str) -> None:
        found = await in_thread(digests, config, address, text, cluster)
        if text == users.text:  # or they have changed once more
            presence.update(replace(presence.record, alike=found))

    def changed(text: str) -> None:
        shown = Deferred.fromCoroutine(show(text))
        shown.addErrback(lambda f: _log.failure("other candidates cannot compare their files", f))

    users.told = changed
    changed(users.text)
