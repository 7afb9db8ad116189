"""What ``rapi-admin check`` asks of etcd."""

from collections.abc import Iterator, Sequence
from typing import Any

import attrs

from twisted_rapi.admin.check_address import Line
from twisted_rapi.config import StoreSection
from twisted_rapi.errors import RapiError
from twisted_rapi.ha.leased import SEAT
from twisted_rapi.model.mastership import CandidateRecord
from twisted_rapi.model.record_base import Record
from twisted_rapi.model.records import ClusterRecord, NodeRecord
from twisted_rapi.opening import open_etcd_of, read_keys
from twisted_rapi.state.codec import decode
from twisted_rapi.state.etcd_gateway import Keys, connect
from twisted_rapi.state.etcd_wire import Document, number, range_of, transaction

PATIENCE = 3.0  # seconds until a member counts as silent
OPERATIONS = 5000
"""So many keys may have to be written at once, by what evacuates a large node."""


@attrs.frozen
class Looked:
    """
    What was found.

    :ivar silent: why a member does not answer, by endpoint; `versions`: of those that do.
    :ivar wrong: why the store cannot be used; empty when it can.
    :ivar small: why commits may be refused for their size; empty when they are not.
    :ivar nodes: the cluster's; `candidates`: those whose daemon runs.
    :ivar cluster: its uuid; `master`: the master's uuid, "" for none.
    :ivar alarms: what members complain of; `strange`: members that are missing in the configuration, or
        were added and never began.
    """

    silent: dict[str, str]
    versions: dict[str, str]
    wrong: str = ""
    small: str = ""
    nodes: Sequence[NodeRecord] = ()
    candidates: Sequence[CandidateRecord] = ()
    cluster: str = ""
    master: str = ""
    alarms: Sequence[str] = ()
    strange: Sequence[str] = ()

    def members(self) -> Iterator[Line]:
        """A line for each member: what, whether it is well, text."""
        for endpoint, why in self.silent.items():
            yield f"etcd at {endpoint}", False, f"{why}; see docs/etcd.rst"
        for endpoint, version in self.versions.items():
            yield f"etcd at {endpoint}", True, f"version {version}"
        if len(set(self.versions.values())) > 1:
            text = f"{', '.join(sorted(set(self.versions.values())))}: bring all members to the same one"
            yield "versions of etcd", False, text
        for alarm in self.alarms:
            yield "etcd's alarms", False, f"{alarm}; see docs/etcd.rst, Full disks and space"
        for why in self.strange:
            yield "etcd's members", False, why


async def look_at_etcd(section: StoreSection, reactor: Any) -> Looked:
    """Ask each member, then the store; keys that cannot be used are among what is wrong."""
    looked = Looked({}, {})
    try:
        keys = read_keys(section)
        for endpoint in section.endpoints:
            await _ask_member(endpoint, keys, reactor, looked)
        looked = await _ask_members(section, keys, reactor, looked)
        return await _ask_store(section, keys, reactor, looked)
    except RapiError as e:
        return attrs.evolve(looked, wrong=str(e))


async def _ask_member(endpoint: str, keys: Keys, reactor: Any, looked: Looked) -> None:
    gateway, end = connect(reactor, [endpoint], keys)
    try:
        status = await gateway.call("maintenance/status", {}, PATIENCE)
        if number(status, "leader"):
            looked.versions[endpoint] = str(status.get("version", "unknown"))
        else:
            looked.silent[endpoint] = "it knows no leader: too few members can reach each other"
    except RapiError as e:
        looked.silent[endpoint] = str(e)
    finally:
        await end()


async def _ask_members(section: StoreSection, keys: Keys, reactor: Any, looked: Looked) -> Looked:
    """What etcd says of itself as a whole."""
    gateway, end = connect(reactor, section.endpoints, keys)
    try:
        listed = await gateway.call("cluster/member/list", {}, PATIENCE)
        told = await gateway.call("maintenance/alarm", {"action": "GET"}, PATIENCE)
    finally:
        await end()
    members = listed.get("members", ())
    names = {number(member, "ID"): str(member.get("name", "")) for member in members}
    alarms = [
        f"{names.get(number(a, 'memberID'), 'a member')}: {a.get('alarm')}" for a in told.get("alarms", ())
    ]
    return attrs.evolve(looked, alarms=alarms, strange=[*strange_members(members, section.endpoints)])


def strange_members(members: Sequence[Document], endpoints: Sequence[str]) -> Iterator[str]:
    """What is odd about etcd's list of its members, for who asks these endpoints."""
    for member in members:
        if not member.get("name"):
            yield f"{', '.join(member.get('peerURLs', ()))} was added and never began: start it, or remove it"
    known = {url for member in members for url in member.get("clientURLs", ())}
    # An endpoint that is no URL of a member's is another way to one, such as over the loopback.
    others = len(set(endpoints) - known)
    unknown = [
        str(member.get("name"))
        for member in members
        if member.get("clientURLs") and not set(member["clientURLs"]) & set(endpoints)
    ]
    if len(unknown) > others:
        yield f"{', '.join(sorted(unknown))} not in 'endpoints' of [store]: add it, and restart rapi"
    if len(members) < 3:
        yield f"there are {len(members)}: with three, one can be lost"


async def _ask_store(section: StoreSection, keys: Keys, reactor: Any, looked: Looked) -> Looked:
    store = await open_etcd_of(section, reactor, keys)
    records: list[Record] = []
    try:
        for prefix in (f"{NodeRecord.KIND}/", f"{CandidateRecord.KIND}/"):
            after: str | None = ""
            while after is not None:
                page = await store.list(prefix, after)
                records += [decode(key, entry.value) for key, entry in page.entries.items()]
                after = page.more
        found = await store.get([ClusterRecord.KIND, SEAT])
    finally:
        await store.close()
    entry, seat = found.get(ClusterRecord.KIND), found.get(SEAT)
    cluster = None if entry is None else decode(ClusterRecord.KIND, entry.value)
    wrong = "" if cluster else f"there is no cluster below {section.prefix}; run rapi-admin init --etcd"
    return attrs.evolve(
        looked,
        nodes=[record for record in records if isinstance(record, NodeRecord)],
        candidates=[record for record in records if isinstance(record, CandidateRecord)],
        cluster=cluster.uuid if isinstance(cluster, ClusterRecord) else "",
        master="" if seat is None else seat.value.decode(),
        wrong=wrong,
        small=await _small(section, keys, reactor),
    )


async def _small(section: StoreSection, keys: Keys, reactor: Any) -> str:
    """Try a transaction of as many operations, which only looks."""
    gateway, end = connect(reactor, section.endpoints, keys)
    look = {"request_range": range_of(section.prefix.encode() + b"/base", keys_only=True)}
    try:
        await gateway.call("kv/txn", transaction([], [look] * OPERATIONS, []), PATIENCE)
    except RapiError as e:
        return f"{e}: start every member with --max-txn-ops=10000 (etc/etcd.yml)"
    finally:
        await end()
    return ""
