"""Founding the lab's cluster: certificates, configurations, and the state in etcd."""

import json
import secrets
import shutil
import sys
import time
from pathlib import Path

from twisted_rapi.admin.certifying import certify_etcd
from twisted_rapi.admin.files import write_private
from twisted_rapi.admin.founding import ClusterPlan, NodePlan, found
from twisted_rapi.testing.lab.commands import inside, run
from twisted_rapi.testing.lab.layout import AGENT, API, ETCD, METRICS, PEER, Layout, Place

USER = "lab"
CLUSTER = "cluster.example.com"
_ADMIN = "from twisted_rapi.admin.command import main; main()"

_MASTER = """\
[api]
listen = "[::]:{api}"

[store]
kind = "etcd"
path = "{state}"
endpoints = [{endpoints}]
lease = {lease}

[metrics]
listen = "127.0.0.1:{metrics}"

[pvc]
enabled = true
dialect = "1.0"
authentication = false

[log]
file = "{log}"
"""

_ADDRESS = """\
[address]
mode = "own"
ip = "{ip}/24"
interface = "eth0"

[dns]
listen = "{ip}:53"
transfer = ["{client}"]

"""

_DEATH = """\
[death]
silence = 5
fence = true
fence_after = 6
fence_interval = 1
fence_most = 3

"""

_AGENT = """\
listen = "{address}:{agent}"
state_dir = "{folder}/state"
log_dir = "{folder}/os-log"
hypervisors = ["{hypervisor}"]
file_storage_dir = "{files}"
shared_file_storage_dir = "{shared}"
export_dir = "{folder}/export"
hooks_dir = "{folder}/hooks"
networks_dir = "{folder}/networks"
os_search_path = []
log_file = "{folder}/agent.log"
"""

_SIMULATED = """
[simulated]
memory = 65536
cpus = 16
disk = 1048576
bridges = ["br0"]
boot_time = {boot_time}
shutdown_time = {boot_time}
shared_dir = "{shared}/volumes"
"""

_GUESTS = """
libvirt_uri = "{uri}"
serial_dir = "{folder}/serial"
"""


def libvirt_sockets(node: Place) -> Path:
    """Where a node's libvirtd is reached."""
    return node.folder / "lv"


def keys(layout: Layout) -> Path:
    """The folder of etcd's certificates."""
    return layout.directory / "keys"


def password_of(layout: Layout) -> str:
    """The password of `USER`."""
    return (layout.directory / "password").read_text().strip()


def etcd_command(layout: Layout, node: Place) -> tuple[str, ...]:
    """What a node's member of etcd is started with."""
    peers = ",".join(f"{other.short}=https://{other.address}:{PEER}" for other in layout.nodes)
    own, folder = f"https://{node.address}", keys(layout)
    options: dict[str, object] = {
        "name": node.short,
        "data-dir": node.folder / "etcd",
        "listen-client-urls": f"{own}:{ETCD},https://127.0.0.1:{ETCD}",
        "advertise-client-urls": f"{own}:{ETCD}",
        "listen-peer-urls": f"{own}:{PEER}",
        "initial-advertise-peer-urls": f"{own}:{PEER}",
        "initial-cluster": peers,
        "initial-cluster-state": "new",
        "max-txn-ops": 10000,
        "max-request-bytes": 10485760,
        "logger": "zap",
    }
    for side in ("", "peer-"):
        options[f"{side}trusted-ca-file"] = folder / "etcd-ca.pem"
        options[f"{side}cert-file"] = folder / f"etcd-{node.short}.pem"
        options[f"{side}key-file"] = folder / f"etcd-{node.short}.key"
    told = [part for option, value in options.items() for part in (f"--{option}", str(value))]
    return ("etcd", *told, "--pre-vote", "--client-cert-auth", "--peer-client-cert-auth")


def found_lab(layout: Layout) -> None:
    """Make the files of a cluster that has not been started; its state is in a file yet."""
    members = [f"{node.short}={node.address},127.0.0.1" for node in layout.nodes]
    certify_etcd(keys(layout), members, time.time())
    write_private(layout.directory / "password", f"{secrets.token_urlsafe(9)}\n".encode())
    founding = layout.directory / "founding"
    (layout.directory / "shared").mkdir()
    for node in layout.nodes:
        (node.folder / "serial").mkdir(parents=True)
    found(
        ClusterPlan(
            name=CLUSTER,
            directory=founding,
            store=_state(layout),
            nodes=[_node(layout, node) for node in layout.nodes],
            settings=_settings(layout, layout.nodes[0]),
            hypervisor="kvm" if layout.guests else "fake",
            file_storage_dir=str(layout.directory / "files"),
            shared_file_storage_dir=str(layout.directory / "shared"),
        )
    )
    (founding / "users").write_text(f"{USER} {password_of(layout)} write\n")
    for node in layout.nodes:
        _make_candidate(layout, node, founding)


def _state(layout: Layout) -> Path:
    return layout.directory / "founding" / "state.db"


def _node(layout: Layout, node: Place) -> NodePlan:
    more = _GUESTS if layout.guests else _SIMULATED
    shared = layout.directory / "shared"
    text = (_AGENT + more).format(
        address=node.address,
        agent=AGENT,
        folder=node.folder,
        shared=shared,
        files=layout.directory / "files",
        hypervisor="kvm" if layout.guests else "fake",
        boot_time=layout.boot_time,
        uri=f"qemu+unix:///system?socket={libvirt_sockets(node) / 'libvirt-sock'}",
    )
    return NodePlan(
        name=node.name, address=node.address, port=AGENT, directory=node.folder / "etc", settings=text
    )


def _settings(layout: Layout, node: Place) -> str:
    others = [other for other in layout.nodes if other != node]
    endpoints = [f"https://127.0.0.1:{ETCD}", *(f"https://{other.address}:{ETCD}" for other in others)]
    places = {"ip": layout.floating_address, "client": layout.client.address}
    address = _ADDRESS.format(**places) if layout.floating else ""
    death = _DEATH if layout.fencing else ""
    return (
        address
        + death
        + _MASTER.format(
            api=API,
            state=_state(layout),
            endpoints=", ".join(map(json.dumps, endpoints)),
            lease=layout.lease,
            metrics=METRICS,
            log=node.folder / "rapi.log",
        )
    )


_CANDIDATES = ("ca.key", "master.pem", "master.key", "api.pem", "api.key", "users")


def _make_candidate(layout: Layout, node: Place, founding: Path) -> None:
    etc = node.folder / "etc"
    for name in _CANDIDATES:
        shutil.copy(founding / name, etc / name)
    for name in ("etcd-ca.pem", "etcd-client.pem", "etcd-client.key"):
        shutil.copy(keys(layout) / name, etc / name)
    (etc / "rapi.toml").write_text(f'node = "{node.name}"\n\n{_settings(layout, node)}')


def move_to_etcd(layout: Layout) -> None:
    """Put the state into etcd, which runs."""
    node = layout.nodes[0]
    admin(node, "store", "copy", "--config", str(config_of(node)), "sqlite", "etcd")


def config_of(node: Place) -> Path:
    """The configuration of a node's ``rapi``."""
    return node.folder / "etc" / "rapi.toml"


def admin(node: Place, *told: str) -> str:
    """
    What ``rapi-admin`` says on a node.

    :raises LabError: it fails.
    """
    return run(*inside(node.namespace), sys.executable, "-c", _ADMIN, *told)
