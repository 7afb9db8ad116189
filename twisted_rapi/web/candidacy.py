"""``/2/join-candidate``: how a machine becomes a further master candidate.  An extension of RAPI."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs

from twisted_rapi.alike import settings_of_further
from twisted_rapi.cluster.candidacy import Applicant, accept, judge
from twisted_rapi.cluster.joining import Joining
from twisted_rapi.config import Config
from twisted_rapi.errors import BadRequest, OpPrereqError, ServiceUnavailable
from twisted_rapi.model.mastership import DistributionRecord
from twisted_rapi.sharing import SharedFiles
from twisted_rapi.state.interface import IStateStore
from twisted_rapi.web.call import Call, Endpoint, Route
from twisted_rapi.web.doc import TEXT, Body, Doc
from twisted_rapi.web.join import PLACE, Desk, InThread, node_routes, place_of, text_of
from twisted_rapi.web.reply import Reply, success

URI = "/2/join-candidate"


@attrs.frozen
class _CandidatesDesk:
    """Where further candidates are taken in."""

    desk: Desk

    async def join(self, call: Call) -> Reply:
        """``POST /2/join-candidate``; its right is the token."""
        config, body = self.desk.config, call.fields()
        if config.store.kind != "etcd":
            raise BadRequest("The store is SQLite, with which there is one master candidate only")
        who, token = _applicant(body), text_of(body, "token")
        joining = await self.desk.joining(call)
        try:
            if body.get("look"):
                judge(joining, token, who, joining.now())
                return success(await self._shown(joining, who))
            # What can fail fails before the token is used up.
            told = {**await self._shown(joining, who), "files": await self._files()}
            told["shared"] = await self._shared()
            told["distributed"] = _distributed(joining.snapshot.distribution)
            return success({**told, **await accept(joining, token, who)})
        except OpPrereqError as e:
            raise BadRequest(e.text) from e

    async def _shown(self, joining: Joining, who: Applicant) -> dict[str, Any]:
        """What is no secret, and the applicant may try before its token is used up."""
        config, snapshot = self.desk.config, joining.snapshot
        here = snapshot.nodes[snapshot.names["node"][config.node]].primary_ip
        authority = await self._read(config.store.authority)
        settings = settings_of_further(config, here, who.address)
        return {"settings": settings, "etcd_authority": authority.decode()}

    async def _files(self) -> dict[str, str]:
        """What is the same on all candidates, by the name it has in a folder that ``init`` makes."""
        store = self.desk.config.store
        files = {"ca.key": self.desk.config.authority.key, "users": self.desk.config.api.users}
        files |= {"etcd-client.pem": store.certificate, "etcd-client.key": store.key}
        return {name: (await self._read(file)).decode() for name, file in files.items()}

    async def _shared(self) -> dict[str, str]:
        """What else is the same on all, if it is there."""
        try:
            found: dict[str, str] = await self.desk.in_thread(SharedFiles.of(self.desk.config).read_others)
        except (OSError, UnicodeDecodeError) as e:
            raise ServiceUnavailable(f"This master cannot make candidates: {e}") from e
        return found

    async def _read(self, file: str) -> bytes:
        try:
            content: bytes = await self.desk.in_thread(Path(file).read_bytes)
        except OSError as e:
            raise ServiceUnavailable(f"This master cannot make candidates: {file}: {e.strerror}") from e
        return content


def _distributed(record: DistributionRecord | None) -> float:
    """When the users that are handed out were distributed; those that are on their way come later."""
    return 0.0 if record is None or record.users is None else record.at


def _applicant(body: dict[str, Any]) -> Applicant:
    address, port, group = place_of(body)
    request = "" if body.get("request") is None else text_of(body, "request")
    return Applicant(
        name=text_of(body, "name"),
        address=address,
        port=port,
        group=group,
        request=request.encode(),
        master_request=text_of(body, "master_request").encode(),
    )


_REQUEST = "Certificate signing request for a master's certificate, as PEM"
_DOC = Doc(
    summary="Make a machine a further master candidate; its right is the token.  An extension.",
    answer="What a candidate needs: settings, and unless it only looks certificates, keys and users",
    schema={"type": "object"},
    body=Body(
        "The new candidate",
        {
            "type": "object",
            "properties": {
                **PLACE,
                "request": {
                    "type": ["string", "null"],
                    "description": "Its certificate signing request, as PEM; none when it is a node already",
                },
                "master_request": {**TEXT, "description": _REQUEST},
                "look": {
                    "type": "boolean",
                    "default": False,
                    "description": "Whether the token is to stay good, and nothing to be changed",
                },
            },
            "required": ["token", "name", "address", "master_request"],
        },
        required=True,
    ),
)


def joining_routes(
    config: Config, store: IStateStore | None, term: Callable[[], int | None], in_thread: InThread
) -> tuple[Route, ...]:
    """All routes by which machines join, for a store and an authority."""
    desk = Desk(config, store, term, in_thread)
    return *node_routes(desk), Route(URI, {"POST": Endpoint(_CandidatesDesk(desk).join, doc=_DOC)})
