"""``/2/join-tokens`` and ``/2/join``: how a new node becomes one of the cluster's.  An extension of RAPI."""

import re
from collections.abc import Awaitable, Callable
from ipaddress import IPv6Address, ip_address
from pathlib import Path
from typing import Any

import attrs

from twisted_rapi.cluster.joining import Joining
from twisted_rapi.config import Config
from twisted_rapi.errors import BadRequest, OpPrereqError, ServiceUnavailable
from twisted_rapi.rpc.authority import fingerprint
from twisted_rapi.state.interface import IStateStore
from twisted_rapi.web.call import Call, Endpoint, Route
from twisted_rapi.web.doc import TEXT, Body, Doc, Schema
from twisted_rapi.web.reply import Reply, success

InThread = Callable[..., Awaitable[Any]]
_TEXT = re.compile(r"[\x20-\x7e\n]{1,20000}")


def text_of(body: dict[str, Any], name: str) -> str:
    """
    A text of a body.

    :raises BadRequest: there is none, or it cannot be meant.
    """
    value = body.get(name)
    if not isinstance(value, str) or not _TEXT.fullmatch(value):
        raise BadRequest(f"'{name}' is needed, as text")
    return value


@attrs.frozen
class Desk:
    """Where new nodes are taken in: the store, and the authority that certifies them."""

    config: Config
    store: IStateStore | None
    term: Callable[[], int | None]
    in_thread: InThread

    async def new_token(self, call: Call) -> Reply:
        """``POST /2/join-tokens``."""
        seconds = call.fields().get("seconds", 3600)
        if isinstance(seconds, bool) or not isinstance(seconds, (int, float)):
            raise BadRequest("'seconds' must be a number")
        joining = await self.joining(call)
        return success({"token": await joining.new_token(seconds)})

    async def join(self, call: Call) -> Reply:
        """``POST /2/join``; its right is the token."""
        body = call.fields()
        address, port, group = place_of(body)
        joining = await self.joining(call)
        token, name, request = (text_of(body, key) for key in ("token", "name", "request"))
        try:
            return success(await joining.join(token, name, address, port, request.encode(), group))
        except OpPrereqError as e:
            raise BadRequest(e.text) from e

    async def joining(self, call: Call) -> Joining:
        """
        What joining works with.

        :raises ServiceUnavailable: there is no term, or no authority here.
        """
        current = self.term()
        if self.store is None or current is None:
            raise ServiceUnavailable("There is no master at present")
        authority, key = await self._authority()
        return Joining(
            store=self.store,
            snapshot=call.api.cluster.snapshot,
            term=current,
            now=call.api.now,
            in_thread=self.in_thread,
            authority=authority,
            authority_key=key,
            fingerprint=fingerprint(authority),
        )

    async def _authority(self) -> tuple[bytes, bytes]:
        """Its certificate and key."""
        try:
            certificate = await self.in_thread(Path(self.config.rpc.authority).read_bytes)
            return certificate, await self.in_thread(Path(self.config.authority.key).read_bytes)
        except OSError as e:
            raise ServiceUnavailable(
                "This master cannot issue certificates: its authority is not there"
            ) from e


def place_of(body: dict[str, Any]) -> tuple[str, int, str | None]:
    """
    Address, port and group of a new node.

    :raises BadRequest: one of them cannot be meant.
    """
    address, port, group = text_of(body, "address"), body.get("port", 1811), body.get("group")
    if isinstance(port, bool) or not isinstance(port, int) or not 0 < port < 65536:
        raise BadRequest("'port' must be the number of a port")
    if group is not None and not isinstance(group, str):
        raise BadRequest("'group' must be text")
    try:
        parsed = ip_address(address)
    except ValueError as e:
        raise BadRequest("'address' must be an IP address") from e
    if isinstance(parsed, IPv6Address) and parsed.scope_id is not None:
        raise BadRequest("'address' must be an IP address without a zone")
    return address, port, group


PLACE: Schema = {
    "token": {**TEXT, "description": "A token that was made for it"},
    "name": {**TEXT, "description": "Its name"},
    "address": {**TEXT, "description": "Its IP address"},
    "port": {
        "type": "integer",
        "minimum": 1,
        "maximum": 65535,
        "default": 1811,
        "description": "The port its agent listens on",
    },
    "group": {"type": ["string", "null"], "description": "The group it comes into"},
}
"""What is told of every machine that joins."""

_NEW_TOKEN = Doc(
    summary="Make a token with which one node may join; an extension.",
    answer="The token",
    schema={"type": "object", "properties": {"token": TEXT}, "required": ["token"]},
    body=Body(
        "How long it is good for",
        {
            "type": "object",
            "properties": {
                "seconds": {
                    "type": "number",
                    "minimum": 1,
                    "maximum": 7 * 86400,
                    "default": 3600,
                    "description": "How long, from now on",
                }
            },
        },
    ),
)
_JOIN = Doc(
    summary="Take a node into the cluster; its right is the token.  An extension.",
    answer="The node's certificate, and what it needs to know of the cluster",
    schema={"type": "object"},
    body=Body(
        "The new node",
        {
            "type": "object",
            "properties": {
                **PLACE,
                "request": {**TEXT, "description": "Its certificate signing request, as PEM"},
            },
            "required": ["token", "name", "address", "request"],
        },
        required=True,
    ),
)


def node_routes(desk: Desk) -> tuple[Route, ...]:
    """The routes of a desk by which nodes join."""
    return (
        Route("/2/join-tokens", {"POST": Endpoint(desk.new_token, "writer", doc=_NEW_TOKEN)}),
        Route("/2/join", {"POST": Endpoint(desk.join, doc=_JOIN)}),
    )
