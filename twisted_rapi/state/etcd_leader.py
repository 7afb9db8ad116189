"""
Keeping etcd's leader away from the cluster's master.

When a machine is lost that has both, etcd has to elect a leader first, and a new leader lets all leases go on
for their whole time: the next master begins seconds later than it could.
"""

from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

from twisted_rapi.errors import StoreError
from twisted_rapi.state.etcd_asking import Asker
from twisted_rapi.state.etcd_gateway import IGateway
from twisted_rapi.state.etcd_wire import number

Local = Callable[[str], bool]
"""Whether a URL of a member is one of the machine that it is to leave."""


def of_hosts(*hosts: str) -> Local:
    """URLs whose host is one of these addresses or names."""
    return lambda url: urlsplit(url).hostname in hosts


def _urls(member: Mapping[str, Any]) -> list[str]:
    return [*member.get("clientURLs", ()), *member.get("peerURLs", ())]


async def move_leader(asker: Asker, local: Local) -> bool:
    """
    Have a member of another machine lead etcd, if one of this machine does; answers whether it was moved.

    :raises StoreError: etcd did not do it; nobody else could lead, or it did not answer.
    """
    gateway, seconds = asker.gateway, asker.patience
    found = await asker.insist("cluster/member/list", {})
    members = {number(member, "ID"): member for member in found.get("members", ())}
    leader = number(await asker.insist("maintenance/status", {}), "leader")
    if leader not in members or not any(map(local, _urls(members[leader]))):
        return False
    others = [n for n, m in members.items() if not any(map(local, _urls(m))) and not m.get("isLearner")]
    endpoint = next(iter(members[leader].get("clientURLs", ())), None)
    failed: StoreError | None = None
    for other in sorted(others):
        try:
            await _answering(gateway, members[other], seconds)
            await gateway.call("maintenance/transfer-leadership", {"targetID": str(other)}, seconds, endpoint)
            return True
        except StoreError as e:
            failed = e
    if failed is not None:
        raise failed
    return False


async def _answering(gateway: IGateway, member: Mapping[str, Any], seconds: float) -> None:
    """Ask a member for its status: one that does not answer is not to lead."""
    endpoint = next(iter(member.get("clientURLs", ())), None)
    await gateway.call("maintenance/status", {}, seconds, endpoint)
