"""
How a machine becomes a further master candidate, by a token that is good once.

Such a token is made by who can write to the store, not by a user of the API: who has it is handed all that a
master has to know.
"""

import attrs
from msgspec.structs import replace

from twisted_rapi.cluster.joining import Joining, new_node, parsed
from twisted_rapi.errors import BadRequest, Conflict, Forbidden
from twisted_rapi.model.records import JoinTokenRecord, NodeRecord, name_key
from twisted_rapi.plan.naming import host_name
from twisted_rapi.rpc.authority import Role, issue


@attrs.frozen(kw_only=True)
class Applicant:
    """
    Who wants to be a master candidate.

    :ivar request: for a node's certificate; empty for a machine that is a node and has one.
    :ivar master_request: for a master's certificate.
    """

    name: str
    address: str
    port: int
    group: str | None
    request: bytes
    master_request: bytes


def judge(joining: Joining, token: str, who: Applicant, now: float) -> tuple[JoinTokenRecord, NodeRecord]:
    """
    The token, and the node's record as it is to be.

    A node that is registered at this address already may be the same machine once more, whose first attempt
    did not end; with another certificate it is registered anew, and the one before is good for nothing.

    :raises Forbidden: the token is not good for this.
    :raises BadRequest: the name or the address is taken or none, the group is unknown, or the node is in no
        state to be a candidate.
    :raises OpPrereqError: the name cannot be one of a host.
    """
    record, name = joining.token_of(token, candidate=True), host_name(who.name)
    uuid = joining.snapshot.names["node"].get(name)
    if uuid is not None:
        return record, _promoted(joining, joining.snapshot.nodes[uuid], who, now)
    if not who.request:
        raise BadRequest(f"There is no node {name} in this cluster, though this machine is configured as one")
    joining.check_free(name, who.address, who.port)
    group = joining.group_named(who.group)
    return record, new_node(name, who.address, who.port, group, candidate=True, now=now)


def _promoted(joining: Joining, node: NodeRecord, who: Applicant, now: float) -> NodeRecord:
    """A registered node as a candidate."""
    there = (parsed(node.agent_host) or node.agent_host, node.agent_port)
    if there != (parsed(who.address), who.port):
        raise BadRequest(f"There is a node {node.name} already, at {node.agent_host} port {node.agent_port}")
    if node.offline or node.drained:
        raise BadRequest(f"{node.name} is offline or drained, so it cannot be a master candidate")
    if node.uuid in joining.snapshot.candidates:
        raise BadRequest(f"rapi runs on {node.name}: it is a master candidate already")
    begun = now if who.request else node.ctime
    changes = {"ctime": begun, "mtime": now, "serial_no": node.serial_no + 1}
    return replace(node, **changes, master_candidate=True, master_capable=True)


async def accept(joining: Joining, token: str, who: Applicant) -> dict[str, str]:
    """
    Make a master candidate of who has the token; answers its certificates and its node's uuid.

    All of them are as new as the node's registration.

    :raises: what `judge` raises, and `BadRequest` for a malformed certificate request.
    """
    now = joining.now()
    _, node = judge(joining, token, who, now)
    answer = {"master_certificate": await _issued(joining, Role.MASTER, node, who.master_request, now)}
    if who.request:
        answer["certificate"] = await _issued(joining, Role.NODE, node, who.request, now)
    # Meanwhile another may have used the token or taken the name: what is committed is what holds now.
    record, node = judge(joining, token, who, now)
    key = name_key("node", node.name)
    names = {} if node.name in joining.snapshot.names["node"] else {key: node.uuid}
    try:
        await joining.commit(puts=(node,), deletes=(record,), names=names)
    except Conflict as e:
        raise Forbidden("The token was used, or the node changed, a moment ago") from e
    return {**answer, "authority": joining.authority.decode(), "uuid": node.uuid}


async def _issued(joining: Joining, role: Role, node: NodeRecord, request: bytes, now: float) -> str:
    hosts = [node.name, node.agent_host] if role is Role.NODE else [node.name]
    ca, key = joining.authority, joining.authority_key
    certificate: bytes = await joining.in_thread(issue, ca, key, role, node.name, hosts, request, now)
    return certificate.decode()
