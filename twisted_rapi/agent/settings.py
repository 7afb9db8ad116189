"""The agent's configuration, as ``agent.toml`` holds it."""

import re
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct, field

from twisted_rapi.config import listen_address, read_toml
from twisted_rapi.errors import ConfigurationError
from twisted_rapi.model import rbd

_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class Simulated(Struct, frozen=True, forbid_unknown_fields=True):
    """
    Sizes to report instead of the machine's own.  Memory and disk are MiB.

    :ivar shared_dir: where simulated storage is noted that all nodes have in common; agents of one trial
        cluster name the same folder.  Empty: below the agent's own state.
    :ivar host: what Ceph calls the node; empty: as the machine is called.
    :ivar volume_groups: what there is of LVM; they share `disk`.
    :ivar volumes: logical volumes that are there from the beginning, by ``group/name``.
    :ivar devices: block devices all nodes have, by path.
    :ivar hosts: what names stand for: addresses by full name.  No name server is asked.
    :ivar answering: addresses at which somebody answers.
    :ivar providers: of external storage, beside those that are found: by name the descriptions of their
        parameters.
    """

    memory: int = 16384
    cpus: int = 8
    disk: int = 102400
    bridges: tuple[str, ...] = ("br0",)
    boot_time: float = 0.0
    shutdown_time: float = 0.0
    shared_dir: str = ""
    host: str = ""
    volume_groups: tuple[str, ...] = ("xenvg",)
    volumes: dict[str, int] = field(default_factory=dict)
    devices: dict[str, int] = field(default_factory=dict)
    hosts: dict[str, str] = field(default_factory=dict)
    answering: tuple[str, ...] = ()
    providers: dict[str, dict[str, str]] = field(default_factory=dict)


class CephSettings(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """
    How the node reaches a Ceph cluster, with the tools ``rbd`` and ``ceph``.

    :ivar conf: its configuration; empty: ``/etc/ceph/ceph.conf``.
    :ivar user: who the tools are, and guests whose disks do not say; without ``client.``, empty: ``admin``.
    :ivar secrets: of guests' users: the uuid of the secret that this node's libvirt has for each.
    :ivar tools_path: folders in which tools are looked for first.
    """

    conf: str = ""
    user: str = ""
    secrets: dict[str, str] = field(default_factory=dict)
    tools_path: tuple[str, ...] = ()


class AgentSettings(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """
    What an agent needs to know; relative paths are below the configuration's folder.

    :ivar listen: host and port of the RPC listener.
    :ivar authority: PEM files of the cluster's authority, the node's certificate and its key.
    :ivar hooks_dir: where the folders of hooks are, ``PATH-pre.d`` and ``PATH-post.d``.
    :ivar hypervisors: ``kvm`` (libvirt) and ``fake`` (simulated).
    :ivar fencing: the file that says how other nodes are switched off; it need not exist.
    :ivar powercycle_command: restarts the machine whatever runs on it; without one it may not be restarted.
    :ivar ceph: what makes the template ``rbd`` a real one; ``None``: the node reaches no Ceph.
    :ivar networks_dir: gets the files of the DHCP servers of virtual networks; others than root have to get
        at it.
    :ivar network_device: the interface VLANs are on; empty: the one with the node's address.
    :ivar migration_uri: how the libvirt of other nodes reaches this one's; empty: by TLS at `listen`'s name.
    """

    listen: str = "[::]:1811"
    authority: str = "ca.pem"
    certificate: str = "node.pem"
    key: str = "node.key"
    state_dir: str = "/var/lib/twisted_rapi/agent"
    log_dir: str = "/var/log/twisted_rapi/os"
    hypervisors: tuple[str, ...] = ("kvm",)
    libvirt_uri: str = "qemu:///system"
    migration_uri: str = ""
    serial_dir: str = ""
    file_storage_dir: str = "/var/lib/twisted_rapi/file-storage"
    shared_file_storage_dir: str = "/var/lib/twisted_rapi/shared-file-storage"
    export_dir: str = "/var/lib/twisted_rapi/export"
    os_search_path: tuple[str, ...] = (
        "/srv/ganeti/os",
        "/usr/local/lib/ganeti/os",
        "/usr/lib/ganeti/os",
        "/usr/share/ganeti/os",
    )
    iallocator_search_path: tuple[str, ...] = (
        "/usr/local/lib/ganeti/iallocators",
        "/usr/lib/ganeti/iallocators",
    )
    extstorage_search_path: tuple[str, ...] = (
        "/srv/ganeti/extstorage",
        "/usr/local/lib/ganeti/extstorage",
        "/usr/lib/ganeti/extstorage",
        "/usr/share/ganeti/extstorage",
    )
    hooks_dir: str = "/etc/ganeti/hooks"
    log_file: str = ""
    fencing: str = "fencing.toml"
    powercycle_command: tuple[str, ...] = ()
    networks_dir: str = "/run/twisted_rapi/networks"
    network_device: str = ""
    simulated: Simulated | None = None
    ceph: CephSettings | None = None


def load(path: Path) -> AgentSettings:
    """
    The settings in a TOML file, with all paths absolute.

    :raises ConfigurationError: it cannot be read, or says something that cannot be meant.
    """
    found = read_toml(path, AgentSettings)
    if not found.hypervisors or set(found.hypervisors) - {"kvm", "fake"}:
        raise ConfigurationError(f"{path}: hypervisors: one or both of kvm and fake")
    listen_address(found.listen, f"{path}: listen")
    folder = path.resolve().parent
    folders = (
        "state_dir",
        "log_dir",
        "file_storage_dir",
        "shared_file_storage_dir",
        "export_dir",
        "hooks_dir",
        "networks_dir",
    )
    optional = ("serial_dir", "log_file")
    always = ("authority", "certificate", "key", "fencing", *folders)
    values: dict[str, Any] = {name: str(folder / getattr(found, name)) for name in always}
    values |= {name: str(folder / value) for name in optional if (value := getattr(found, name))}
    values |= {
        name: tuple(str(folder / p) for p in getattr(found, name))
        for name in ("os_search_path", "iallocator_search_path", "extstorage_search_path")
    }
    if found.simulated is not None and found.simulated.shared_dir:
        shared = str(folder / found.simulated.shared_dir)
        values["simulated"] = msgspec.structs.replace(found.simulated, shared_dir=shared)
    if found.ceph is not None:
        values["ceph"] = _ceph(found.ceph, folder, f"{path}: ceph")
    return msgspec.structs.replace(found, **values)


def _ceph(found: CephSettings, folder: Path, where: str) -> CephSettings:
    for user in (*found.secrets, *filter(None, (found.user,))):
        if not rbd.NAME.fullmatch(user):
            raise ConfigurationError(f"{where}: {user!r} is no user of Ceph (without 'client.')")
    for secret in found.secrets.values():
        if not _UUID.fullmatch(secret):
            raise ConfigurationError(f"{where}: secrets: {secret!r} is no uuid")
    conf = str(folder / found.conf) if found.conf else ""
    tools = tuple(str(folder / each) for each in found.tools_path)
    return msgspec.structs.replace(found, conf=conf, tools_path=tools)
