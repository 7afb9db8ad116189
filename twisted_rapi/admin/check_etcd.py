"""What ``rapi-admin check`` asks of etcd."""

from collections.abc import Iterator, Sequence
from typing import Any

import attrs

from twisted_rapi.config import StoreSection
from twisted_rapi.errors import RapiError
from twisted_rapi.model.records import ClusterRecord, NodeRecord
from twisted_rapi.opening import open_etcd_of, read_keys
from twisted_rapi.state.codec import decode
from twisted_rapi.state.etcd_gateway import Keys, connect
from twisted_rapi.state.etcd_wire import number, range_of, transaction

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
    :ivar nodes: the cluster's.
    """

    silent: dict[str, str]
    versions: dict[str, str]
    wrong: str = ""
    small: str = ""
    nodes: Sequence[NodeRecord] = ()

    def members(self) -> Iterator[tuple[str, bool, str]]:
        """A line for each member: what, whether it is well, text."""
        for endpoint, why in self.silent.items():
            yield f"etcd at {endpoint}", False, f"{why}; see docs/etcd.rst"
        for endpoint, version in self.versions.items():
            yield f"etcd at {endpoint}", True, f"version {version}"


async def look_at_etcd(section: StoreSection, reactor: Any) -> Looked:
    """Ask each member, then the store; keys that cannot be used are among what is wrong."""
    looked = Looked({}, {})
    try:
        keys = read_keys(section)
        for endpoint in section.endpoints:
            await _ask_member(endpoint, keys, reactor, looked)
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


async def _ask_store(section: StoreSection, keys: Keys, reactor: Any, looked: Looked) -> Looked:
    store = await open_etcd_of(section, reactor, keys)
    try:
        nodes: list[NodeRecord] = []
        after: str | None = ""
        while after is not None:
            page = await store.list("node/", after)
            records = [decode(key, entry.value) for key, entry in page.entries.items()]
            nodes += [record for record in records if isinstance(record, NodeRecord)]
            after = page.more
        cluster = await store.get([ClusterRecord.KIND])
    finally:
        await store.close()
    wrong = "" if cluster else f"there is no cluster below {section.prefix}; run rapi-admin init --etcd"
    return attrs.evolve(looked, nodes=nodes, wrong=wrong, small=await _small(section, keys, reactor))


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
