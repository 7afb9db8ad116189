"""
How a new node becomes one of the cluster's, by a token that is good once.

A token is ``SECRET.FINGERPRINT``: the secret is known to the store only as a digest, and the fingerprint of
the authority's certificate lets the new node know the master it talks to.
"""

import hashlib
import hmac
import secrets
from collections.abc import Awaitable, Callable
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Any
from uuid import uuid4

import attrs

from twisted_rapi.errors import BadRequest, Conflict, Forbidden
from twisted_rapi.model.records import GroupRecord, JoinTokenRecord, NodeRecord, name_key
from twisted_rapi.plan.naming import host_name
from twisted_rapi.rpc.authority import Role, issue
from twisted_rapi.state.interface import IStateStore
from twisted_rapi.state.snapshot import Snapshot
from twisted_rapi.state.writer import commit_of

InThread = Callable[..., Awaitable[Any]]
LONGEST = 7 * 86400.0


@attrs.frozen(kw_only=True)
class Joining:
    """What joining works with; `authority` and `authority_key` are PEM."""

    store: IStateStore
    snapshot: Snapshot
    term: int
    now: Callable[[], float]
    in_thread: InThread
    authority: bytes
    authority_key: bytes
    fingerprint: str

    async def new_token(self, seconds: float) -> str:
        """
        A token that is good once within so many seconds.

        :raises BadRequest: no time, or more than a week.
        """
        record, token = new_secret(self.now(), seconds, self.fingerprint)
        old = [t for t in self.snapshot.join_tokens.values() if t.expires < self.now()]
        await self.commit(puts=(record,), deletes=tuple(old))
        return token

    async def join(
        self, token: str, name: str, address: str, port: int, request: bytes, group: str | None
    ) -> dict[str, str]:
        """
        Make a node of who has the token; answers its certificate and the authority's, as PEM.

        :raises Forbidden: the token is none, was used, or is too old.
        :raises BadRequest: the name or the address is taken or none, the group is unknown, the request
            is malformed.
        :raises OpPrereqError: the name cannot be one of a host.
        """
        full = host_name(name)
        now = self.now()
        self._may_join(token, full, address, port, group)
        certificate = await self.in_thread(
            issue, self.authority, self.authority_key, Role.NODE, full, [full, address], request, now
        )
        # Meanwhile another may have used the token or taken the name: what is committed is what holds now.
        record, home = self._may_join(token, full, address, port, group)
        wanted = self._candidates() < self.snapshot.cluster.candidate_pool_size
        node = new_node(full, address, port, home, wanted, now)
        names = {name_key("node", full): node.uuid}
        try:
            await self.commit(puts=(node,), deletes=(record,), names=names)
        except Conflict as e:
            raise Forbidden("The token was used, or the name taken, a moment ago") from e
        return {"certificate": certificate.decode(), "authority": self.authority.decode(), "uuid": node.uuid}

    def _candidates(self) -> int:
        return sum(1 for node in self.snapshot.nodes.values() if node.master_candidate)

    def _may_join(
        self, token: str, name: str, address: str, port: int, group: str | None
    ) -> tuple[JoinTokenRecord, GroupRecord]:
        record = self.token_of(token, candidate=False)
        self.check_free(name, address, port)
        return record, self.group_named(group)

    def check_free(self, name: str, address: str, port: int) -> None:
        """
        A certificate is good for a name and an address, so neither may be somebody else's.

        :raises BadRequest: one is taken, or none.
        """
        if name in self.snapshot.names["node"] or name == self.snapshot.cluster.name:
            raise BadRequest(f"There is a node or cluster {name} already")
        if parsed(name) is not None:
            raise BadRequest(f"{name} is an address, not a name")
        here = parsed(address)
        if here is None:
            raise BadRequest(f"{address!r} is not an IP address")
        for node in self.snapshot.nodes.values():
            taken = here in map(parsed, (node.agent_host, node.primary_ip, node.secondary_ip))
            # Several agents on one machine, for trials, are told apart by their ports.
            if taken and (port == node.agent_port or not here.is_loopback):
                raise BadRequest(f"{address} is the address of {node.name}")

    def token_of(self, token: str, candidate: bool) -> JoinTokenRecord:
        """
        What the store knows of a token.

        :param candidate: whether it has to be one for a master candidate; otherwise it has to be for a node.
        :raises Forbidden: it is none, was used, is too old, or for the other.
        """
        wanted = digest(token.partition(".")[0])
        for record in self.snapshot.join_tokens.values():
            if hmac.compare_digest(record.digest, wanted) and record.expires > self.now():
                if record.candidate != candidate:
                    raise Forbidden(_OTHER[record.candidate])
                return record
        raise Forbidden("The token is not known, was used, or is too old")

    def group_named(self, name: str | None) -> GroupRecord:
        """
        The group of this name, or the default one.

        :raises BadRequest: there is none.
        """
        groups = self.snapshot.groups
        if name is None:
            return min(groups.values(), key=lambda g: (g.name != "default", g.name))
        uuid = self.snapshot.names["group"].get(name)
        if uuid is None:
            raise BadRequest(f"There is no group {name}")
        return groups[uuid]

    async def commit(self, **what: Any) -> None:
        """
        Commit in this term what `commit_of` takes, and wait until it shows.

        :raises Conflict: something of it has changed.
        """
        change = commit_of(**what, revision_of=self.snapshot.revision_of, term=self.term)
        await self.snapshot.reached(await self.store.commit(change))


_OTHER = {
    False: "The token is for a node: one for a master candidate comes from rapi-admin join-token --candidate",
    True: "The token is for a master candidate: use it with rapi-admin join --candidate",
}


def new_node(
    name: str, address: str, port: int, group: GroupRecord, candidate: bool, now: float
) -> NodeRecord:
    """The record of a node that joins."""
    return NodeRecord(
        uuid=str(uuid4()),
        name=name,
        ctime=now,
        mtime=now,
        group=group.uuid,
        primary_ip=address,
        secondary_ip=address,
        agent_host=address,
        agent_port=port,
        master_candidate=candidate,
    )


def new_secret(
    now: float, seconds: float, fingerprint: str, candidate: bool = False
) -> tuple[JoinTokenRecord, str]:
    """
    A new token: what the store knows of it, and the token itself.

    :param candidate: whether it is for a master candidate.
    :raises BadRequest: no time, or more than a week.
    """
    if not 1 <= seconds <= LONGEST:
        raise BadRequest("A token is good for at least a second and at most a week")
    secret = secrets.token_urlsafe(24)
    record = JoinTokenRecord(digest=digest(secret), expires=now + seconds, candidate=candidate)
    return record, f"{secret}.{fingerprint}"


def parsed(text: str) -> IPv4Address | IPv6Address | None:
    """An address; ``None`` for what is none."""
    try:
        return ip_address(text)
    except ValueError:
        return None


def digest(secret: str) -> str:
    """What the store knows of a token's secret."""
    return hashlib.sha256(secret.encode()).hexdigest()
