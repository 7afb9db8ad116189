"""Founding a cluster: its authority, its first nodes, its users, its store and its configuration."""

import os
import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from uuid import uuid4

import attrs

from twisted_rapi.admin.files import write_private, write_public
from twisted_rapi.errors import ConfigurationError
from twisted_rapi.model.records import (
    ClusterRecord,
    ElectionRecord,
    GroupRecord,
    NodeRecord,
    Record,
    name_key,
)
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
    """

    name: str
    directory: Path
    store: Path
    nodes: Sequence[NodePlan]
    settings: str
    hypervisor: str = "kvm"
    bridge: str = "br0"
    file_storage_dir: str = "/var/lib/twisted_rapi/file-storage"
    shared_file_storage_dir: str = "/var/lib/twisted_rapi/shared-file-storage"


def found(plan: ClusterPlan, now: float | None = None) -> None:
    """
    Make all of it; what was made is removed again when something fails.

    :raises ConfigurationError: something of it is there already.
    """
    made = [plan.directory / "rapi.toml", plan.store, *(n.directory / "agent.toml" for n in plan.nodes)]
    there = [path for path in made if path.exists()]
    if there:
        raise ConfigurationError(f"{there[0]} is there already; nothing was changed")
    with _Undo() as undo:
        _write(plan, time.time() if now is None else now, undo)
        undo.keep()


class _Undo:
    """Removes the files and folders that were made, unless they are to be kept."""

    def __init__(self) -> None:
        self._paths: list[Path] = []

    def __enter__(self) -> "_Undo":
        return self

    def __exit__(self, *_: object) -> None:
        for path in reversed(self._paths):
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)

    def keep(self) -> None:
        """Everything is well."""
        self._paths.clear()

    def folder(self, path: Path) -> Path:
        """Make a folder."""
        if not path.exists():
            self.folder(path.parent)
            path.mkdir(mode=0o750)
            self._paths.append(path)
        return path

    def private(self, path: Path, content: bytes) -> None:
        """Write a file that only its owner may read."""
        self._paths.append(path)
        write_private(path, content)

    def public(self, path: Path, content: bytes) -> None:
        """Write a file that anybody may read."""
        self._paths.append(path)
        write_public(path, content)

    def other(self, path: Path) -> None:
        """Someone else is about to write it."""
        self._paths.append(path)


def _write(plan: ClusterPlan, now: float, undo: _Undo) -> None:
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
    names = [plan.name, first.name, first.address, "localhost", "127.0.0.1", "::1"]
    api, api_key = certified(Role.API, plan.name, list(dict.fromkeys(names)))
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
    undo.folder(plan.store.parent)
    for suffix in ("", ".lock", "-wal", "-shm"):
        undo.other(Path(f"{plan.store}{suffix}"))
    _fill(plan, now)
    config = f'node = "{first.name}"\n\n{plan.settings}'
    undo.public(directory / "rapi.toml", config.encode())


def _fill(plan: ClusterPlan, now: float) -> None:
    group = GroupRecord(uuid=str(uuid4()), name="default", ctime=now, mtime=now)
    nodes = [
        NodeRecord(
            uuid=str(uuid4()),
            name=node.name,
            ctime=now,
            mtime=now,
            group=group.uuid,
            primary_ip=node.address,
            secondary_ip=node.address,
            agent_host=node.address,
            agent_port=node.port,
            master_candidate=n == 0,
        )
        for n, node in enumerate(plan.nodes)
    ]
    cluster = ClusterRecord(
        uuid=str(uuid4()),
        name=plan.name,
        ctime=now,
        mtime=now,
        master_node=nodes[0].uuid,
        default_hypervisor=plan.hypervisor,
        enabled_hypervisors=(plan.hypervisor,),
        hvparams={"kvm": {"kernel_path": "", "vnc_bind_address": "127.0.0.1", "serial_console": True}},
        nicparams={"link": plan.bridge},
        ipolicy=_IPOLICY,
        file_storage_dir=plan.file_storage_dir,
        shared_file_storage_dir=plan.shared_file_storage_dir,
    )
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
