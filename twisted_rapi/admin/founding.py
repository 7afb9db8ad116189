"""Founding a cluster: its authority, its first nodes, its users, its store and its configuration."""

import os
import time
from collections.abc import Iterator, Sequence
from ipaddress import ip_address
from pathlib import Path
from uuid import uuid4

import attrs

from twisted_rapi.admin.certifying import api_hosts
from twisted_rapi.admin.files import Undo, refuse_existing
from twisted_rapi.errors import ConfigurationError, OpPrereqError
from twisted_rapi.model.mastership import ElectionRecord
from twisted_rapi.model.record_base import Record
from twisted_rapi.model.records import ClusterRecord, GroupRecord, NodeRecord, name_key
from twisted_rapi.plan.naming import host_name
from twisted_rapi.rpc.authority import Role, issue, new_authority, new_key, new_request
from twisted_rapi.state.database import Database
from twisted_rapi.state.writer import commit_of

# A policy that admits small machines too, as clusters are set up in the field.
_IPOLICY = {
    "minmax": [
        {
            "min": {
                "memory-size": 4,
                "disk-size": 4,
                "disk-count": 0,
                "cpu-count": 1,
                "nic-count": 0,
                "spindle-use": 0,
            },
            "max": {
                "memory-size": 1048576,
                "disk-size": 16777216,
                "disk-count": 16,
                "cpu-count": 256,
                "nic-count": 8,
                "spindle-use": 12,
            },
        }
    ],
    "disk-templates": ["file", "sharedfile", "diskless"],
}


@attrs.frozen(kw_only=True)
class NodePlan:
    """A node to found the cluster with; `directory` gets its configuration and certificate."""

    name: str
    address: str
    port: int
    directory: Path
    settings: str  # of agent.toml, after the certificates


@attrs.frozen(kw_only=True)
class ClusterPlan:
    """
    A cluster to found.

    :ivar directory: gets the configuration; `store`: the database.
    :ivar nodes: the first is the one the master is on.
    :ivar settings: of rapi.toml, after the name of the node.
    :ivar floating: the floating address; empty for none.
    """

    name: str
    directory: Path
    store: Path
    nodes: Sequence[NodePlan]
    settings: str
    floating: str = ""
    hypervisor: str = "kvm"
    bridge: str = "br0"
    file_storage_dir: str = "/var/lib/twisted_rapi/file-storage"
    shared_file_storage_dir: str = "/var/lib/twisted_rapi/shared-file-storage"


def found(plan: ClusterPlan, now: float | None = None) -> None:
    """
    Make all of it; what was made is removed again when something fails.

    :raises ConfigurationError: something of it is there already, or a name, address or port is none.
    """
    check_name(plan.name)
    for node in plan.nodes:
        check_node(node.name, node.address, node.port)
    refuse_existing(_files(plan))
    with Undo() as undo:
        _write(plan, time.time() if now is None else now, undo)
        undo.keep()


def check_name(name: str) -> None:
    """
    Whether a cluster or a node may be called so.

    :raises ConfigurationError: it is no host's name in its one form, or an address.
    """
    try:
        form = host_name(name)
    except OpPrereqError as e:
        raise ConfigurationError(e.text) from e
    if form != name or _is_address(name):
        raise ConfigurationError(f"{name!r} is not a name: lower case, no dot at the end, not an address")


def check_node(name: str, address: str, port: int) -> None:
    """
    Whether a node may be called and reached so.

    :raises ConfigurationError: which of these cannot be, and why.
    """
    check_name(name)
    if not _is_address(address):
        raise ConfigurationError(f"{address!r} is not an IP address")
    if not 0 < port < 65536:
        raise ConfigurationError(f"{port} is not the number of a port")


def _is_address(text: str) -> bool:
    """Whether it is one that a certificate can have: without a zone."""
    try:
        ip_address(text)
    except ValueError:
        return False
    return "%" not in text


def _files(plan: ClusterPlan) -> Iterator[Path]:
    """All that will be made, but folders and the users file, which is kept when it is there."""
    for name in ("ca.pem", "ca.key", "master.pem", "master.key", "api.pem", "api.key", "rapi.toml"):
        yield plan.directory / name
    for node in plan.nodes:
        for name in ("ca.pem", "node.pem", "node.key", "agent.toml"):
            yield node.directory / name
    yield from _store_files(plan)


def _store_files(plan: ClusterPlan) -> Iterator[Path]:
    for suffix in ("", ".lock", "-wal", "-shm"):
        yield Path(f"{plan.store}{suffix}")


def _write(plan: ClusterPlan, now: float, undo: Undo) -> None:
    directory, first = undo.folder(plan.directory), plan.nodes[0]
    ca, ca_key = new_authority(plan.name, now)

    def certified(role: Role, name: str, hosts: Sequence[str]) -> tuple[bytes, bytes]:
        key = new_key()
        return issue(ca, ca_key, role, name, hosts, new_request(key, name), now), key

    undo.public(directory / "ca.pem", ca)
    undo.private(directory / "ca.key", ca_key)
    master, master_key = certified(Role.MASTER, first.name, [first.name])
    undo.public(directory / "master.pem", master)
    undo.private(directory / "master.key", master_key)
    names = api_hosts(plan.name, first.name, [first.address], plan.floating)
    api, api_key = certified(Role.API, plan.name, names)
    undo.public(directory / "api.pem", api + ca)
    undo.private(directory / "api.key", api_key)
    if not (directory / "users").exists():
        undo.private(directory / "users", b"# name password [read,write]; see rapi-admin user add\n")
    for node in plan.nodes:
        folder = undo.folder(node.directory)
        certificate, key = certified(Role.NODE, node.name, [node.name, node.address])
        if folder != directory:
            undo.public(folder / "ca.pem", ca)
        undo.public(folder / "node.pem", certificate)
        undo.private(folder / "node.key", key)
        undo.public(folder / "agent.toml", node.settings.encode())
    # QEMU, who is someone else, has to pass through it to the disks; what is secret in it has its own mode.
    undo.folder(plan.store.parent, 0o711)
    for path in _store_files(plan):
        undo.other(path)
    _fill(plan, now)
    config = f'node = "{first.name}"\n\n{plan.settings}'
    undo.public(directory / "rapi.toml", config.encode())


_POOL = 10  # how many master candidates a cluster wants at first (constants.json)


def _node(node: NodePlan, group: str, candidate: bool, now: float) -> NodeRecord:
    return NodeRecord(
        uuid=str(uuid4()),
        name=node.name,
        ctime=now,
        mtime=now,
        group=group,
        primary_ip=node.address,
        secondary_ip=node.address,
        agent_host=node.address,
        agent_port=node.port,
        master_candidate=candidate,
    )


def _records(plan: ClusterPlan, now: float) -> tuple[GroupRecord, list[NodeRecord], ClusterRecord]:
    group = GroupRecord(uuid=str(uuid4()), name="default", ctime=now, mtime=now)
    nodes = [_node(node, group.uuid, n < _POOL, now) for n, node in enumerate(plan.nodes)]
    cluster = ClusterRecord(
        uuid=str(uuid4()),
        name=plan.name,
        ctime=now,
        mtime=now,
        master_node=nodes[0].uuid,
        candidate_pool_size=_POOL,
        default_hypervisor=plan.hypervisor,
        enabled_hypervisors=(plan.hypervisor,),
        hvparams={"kvm": {"kernel_path": "", "vnc_bind_address": "127.0.0.1", "serial_console": True}},
        nicparams={"link": plan.bridge},
        ipolicy=_IPOLICY,
        file_storage_dir=plan.file_storage_dir,
        shared_file_storage_dir=plan.shared_file_storage_dir,
    )
    return group, nodes, cluster


def _fill(plan: ClusterPlan, now: float) -> None:
    group, nodes, cluster = _records(plan, now)
    election = ElectionRecord(term=0, node=nodes[0].uuid)
    records: list[Record] = [cluster, group, *nodes, election]
    names = {name_key("group", group.name): group.uuid}
    names |= {name_key("node", node.name): node.uuid for node in nodes}
    database = Database(plan.store)
    try:
        [result] = database.commit([commit_of(records, names=names, revision_of=lambda _: 0)])
        if isinstance(result, Exception):
            raise result
    finally:
        database.close()
    os.chmod(plan.store, 0o600)
