"""``rapi-admin check``: what is wrong with this machine's set-up, and how to mend it."""

import contextlib
import errno
import socket
import sqlite3
import ssl
import stat
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import attrs
from cryptography import x509
from cryptography.exceptions import InvalidSignature

from twisted_rapi.admin.check_address import check_address, effective
from twisted_rapi.admin.check_candidates import check_candidates
from twisted_rapi.admin.check_etcd import Looked
from twisted_rapi.admin.check_fencing import check_fencing
from twisted_rapi.admin.clocks import MOST_APART, ask_clocks, other_nodes, others
from twisted_rapi.admin.files import users
from twisted_rapi.agent.os_definitions import discover
from twisted_rapi.agent.settings import AgentSettings
from twisted_rapi.agent.settings import load as load_agent
from twisted_rapi.alike import digests
from twisted_rapi.config import Config, StoreSection, listen_address, load
from twisted_rapi.errors import ConfigurationError, RapiError
from twisted_rapi.model.records import NodeRecord, name_key
from twisted_rapi.net.kernel import Kernel
from twisted_rapi.rpc.authority import Role, expires, role_of
from twisted_rapi.sharing import SharedFiles
from twisted_rapi.state.database import integrity

SOON = 30 * 86400.0


@attrs.frozen
class Finding:
    """One thing that was looked at."""

    what: str
    good: bool
    text: str


def etcd_of(directory: Path) -> StoreSection | None:
    """Where etcd is, when the cluster is kept there: that is looked at before anything else."""
    try:
        store = load(directory / "rapi.toml").store
    except ConfigurationError:
        return None  # `check_all` tells
    return store if store.kind == "etcd" else None


def check_all(directory: Path, looked: Looked | None = None) -> Iterator[Finding]:
    """
    Look at everything the configurations in this folder speak of.

    :param looked: what was found of etcd, where the cluster is kept there.
    """
    master, agent = directory / "rapi.toml", directory / "agent.toml"
    if not master.exists() and not agent.exists():
        yield Finding("configuration", False, f"none in {directory}; run rapi-admin init or join")
    if master.exists():
        yield from _master(master, looked)
    if agent.exists():
        yield from _agent(agent)


def _master(path: Path, looked: Looked | None) -> Iterator[Finding]:
    try:
        config = load(path)
    except ConfigurationError as e:
        yield Finding("configuration", False, str(e))
        return
    yield Finding("configuration", True, str(path))
    rpc, api = config.rpc, config.api
    yield from _certificate("master's certificate", rpc.authority, rpc.certificate, rpc.key, Role.MASTER)
    yield from _certificate("API's certificate", rpc.authority, api.certificate, api.key, Role.API)
    yield _secret("authority's key", config.authority.key)
    nodes = []
    if looked is not None:
        yield from _etcd(config, looked)
        nodes = others(looked.nodes, config.node)
    else:
        yield from _store(config)
        with contextlib.suppress(OSError, sqlite3.Error, ValueError, RapiError):  # has been told
            nodes = other_nodes(Path(config.store.path), config.node)
    yield from _users(config)
    yield _clock()
    yield from _clocks(config, nodes)
    for line in check_address(config, Kernel(), effective()):
        yield Finding(*line)
    yield _port("API", api.listen, Role.API)
    if config.proxy.listen and config.store.kind == "etcd":
        yield _port("candidates' listener", config.proxy.listen, Role.MASTER)
    if config.metrics.listen:
        yield _port("metrics", config.metrics.listen, None)


def _agent(path: Path) -> Iterator[Finding]:
    try:
        settings = load_agent(path)
    except ConfigurationError as e:
        yield Finding("agent's configuration", False, str(e))
        return
    yield Finding("agent's configuration", True, str(path))
    yield from _certificate(
        "node's certificate", settings.authority, settings.certificate, settings.key, Role.NODE
    )
    if "kvm" in settings.hypervisors:
        yield _libvirt(settings)
        yield _acceleration()
    for line in check_fencing(Path(settings.fencing)):
        yield Finding(*line)
    for found in discover([*map(Path, settings.os_search_path)]):
        text = found.invalid or f"in {found.path}"
        yield Finding(f"OS definition {found.name}", not found.invalid, text)
    yield _port("agent", settings.listen, Role.NODE)


def _secret(what: str, file: str) -> Finding:
    try:
        mode = stat.S_IMODE(Path(file).stat().st_mode)
    except OSError as e:
        return Finding(what, False, f"{file}: {e.strerror}")
    if mode & 0o077:
        return Finding(what, False, f"others may read {file}; mend it with chmod 600")
    return Finding(what, True, file)


def _certificate(what: str, authority: str, certificate: str, key: str, role: Role) -> Iterator[Finding]:
    yield _secret(f"key of the {what}", key)
    try:
        pem = Path(certificate).read_bytes()
        ends = expires(pem)
        # Whether the key belongs to it is what loading both says.
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        issuer = x509.load_pem_x509_certificate(Path(authority).read_bytes())
        ours = _issued(x509.load_pem_x509_certificate(pem), issuer)
    except (OSError, ValueError) as e:
        yield Finding(what, False, f"{certificate}: {e}")
        return
    if not ours:
        yield Finding(what, False, f"{certificate} was not issued by the authority in {authority}")
        return
    left = (ends - time.time()) / 86400
    if role_of(pem) is not role:
        yield Finding(what, False, f"{certificate} was not issued for the role {role.value}")
    elif left <= 0:
        yield Finding(what, False, f"{certificate} ended {-left:.0f} days ago; issue a new one")
    elif left * 86400 < SOON:
        yield Finding(what, False, f"{certificate} ends in {left:.0f} days; issue a new one")
    else:
        yield Finding(what, True, f"good for {left:.0f} days")


def _issued(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(issuer)
    except (InvalidSignature, ValueError, TypeError):
        return False
    return True


def _store(config: Config) -> Iterator[Finding]:
    path = Path(config.store.path)
    if not path.exists():
        yield Finding("store", False, f"{path} is missing; restore a backup or run rapi-admin init")
        return
    problems = integrity(path)
    yield Finding("store", not problems, "; ".join(problems) or str(path))
    if not problems:
        yield _node(config, path)
    if stat.S_IMODE(path.stat().st_mode) & 0o077:
        yield Finding("store's mode", False, f"others may read {path}; mend it with chmod 600")


def _etcd(config: Config, looked: Looked) -> Iterator[Finding]:
    store = config.store
    yield _secret("key for etcd", store.key)
    for member in looked.members():
        yield Finding(*member)
    yield Finding("store", not looked.wrong, looked.wrong or f"etcd, below {store.prefix}")
    if not looked.wrong:
        known = any(node.name == config.node for node in looked.nodes)
        text = config.node if known else f"the cluster has no node {config.node}; mend 'node' in rapi.toml"
        yield Finding("node", known, text)
        yield Finding("size of commits", not looked.small, looked.small or "enough")
        for line in check_candidates(config.node, looked, _alike(config, looked)):
            yield Finding(*line)


def _alike(config: Config, looked: Looked) -> Mapping[str, str]:
    """Digests of what this machine has; of settings only where a file cannot be read (told elsewhere)."""
    address = next((node.primary_ip for node in looked.nodes if node.name == config.node), "")
    files = SharedFiles.of(config)
    with contextlib.suppress(OSError, UnicodeDecodeError):
        return digests(config, address, files.read_users(), files.read_others(), looked.cluster)
    bare = digests(config, address, "", {}, looked.cluster)
    return {name: digest for name, digest in bare.items() if name.startswith("[")}


def _node(config: Config, path: Path) -> Finding:
    """Whether the cluster has the node that the configuration names."""
    with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as db:
        key = name_key("node", config.node)
        [known] = db.execute("SELECT count(*) FROM entries WHERE key = ?", (key,)).fetchone()
    text = config.node if known else f"the cluster has no node {config.node}; mend 'node' in rapi.toml"
    return Finding("node", bool(known), text)


def _users(config: Config) -> Iterator[Finding]:
    file = Path(config.api.users)
    try:
        found = users(file)
    except (OSError, UnicodeDecodeError) as e:
        yield Finding("users", False, str(e))
        return
    if file.exists():
        secret = _secret("users file", str(file))
        if not secret.good:
            yield secret
    if any("write" in options.split(",") for options in found.values()):
        yield Finding("users", True, f"{len(found)}")
    else:
        yield Finding("users", False, "nobody may change anything; run rapi-admin user add --write NAME")


def _clock() -> Finding:
    """A clock that is before this program was written makes certificates invalid."""
    now = time.time()
    good = now > 1_790_000_000
    text = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(now))
    return Finding("clock", good, text if good else f"{text} cannot be; set the time, and keep it by NTP")


def _clocks(config: Config, nodes: Sequence[NodeRecord]) -> Iterator[Finding]:
    """Whether the other nodes have the same time; certificates and the times of jobs depend on it."""
    try:
        clocks = ask_clocks(config, nodes)
    except (OSError, ValueError):
        return  # what is wrong with the certificates has been told
    for clock in clocks:
        subject = f"clock of {clock.node}"
        if clock.ahead is None:
            mend = f"start rapi-agent there, or mark the node offline ({clock.silent})"
            yield Finding(subject, False, f"the node does not answer; {mend}")
        elif abs(clock.ahead) > MOST_APART:
            way = "ahead of" if clock.ahead > 0 else "behind"
            apart = f"{abs(clock.ahead):.0f} s {way} this machine's"
            yield Finding(subject, False, f"{apart}; have NTP keep both (timedatectl set-ntp true)")
        else:
            yield Finding(subject, True, "as this machine's")


def _port(what: str, listen: str, role: Role | None) -> Finding:
    """Whether a listener is free, or held by whom it is for; `role` is what that one shows."""
    subject = f"port of the {what}"
    host, port = listen_address(listen, what)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_STREAM) as s:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            s.bind((host, port))
    except OSError as e:
        if e.errno != errno.EADDRINUSE:
            return Finding(subject, False, f"{listen} cannot be listened on: {e.strerror}; mend 'listen'")
    else:
        return Finding(subject, True, f"{listen} is free: it does not run at present")
    if role is None or _shown(host, port) is role:
        return Finding(subject, True, f"{listen} is in use: it runs")
    return Finding(subject, False, f"{listen} is in use by another program; stop that or mend 'listen'")


def _shown(host: str, port: int) -> Role | None:
    """The role of who answers there by TLS."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    here = {"": "127.0.0.1", "::": "::1", "0.0.0.0": "127.0.0.1"}.get(host, host)  # noqa: S104 -- looked up
    try:
        with (
            socket.create_connection((here, port), timeout=5) as plain,
            context.wrap_socket(plain) as connection,
        ):
            der = connection.getpeercert(binary_form=True)
        return role_of(ssl.DER_cert_to_PEM_cert(der).encode()) if der else None
    except (OSError, ValueError):
        return None


def _acceleration() -> Finding:
    """Not a problem either way: guests run, but slowly without KVM."""
    if Path("/dev/kvm").exists():
        return Finding(
            "KVM", True, "/dev/kvm is there; whether a guest runs under it the agent tries and logs"
        )
    return Finding("KVM", True, "there is no /dev/kvm: guests run under TCG, slowly")


def _libvirt(settings: AgentSettings) -> Finding:
    try:
        import libvirt
    except ImportError:
        text = "libvirt-python is not installed: pip install 'twisted_rapi[libvirt]'"
        return Finding("libvirt", False, text)
    try:
        connection = libvirt.openReadOnly(settings.libvirt_uri)
        version = connection.getLibVersion()
        connection.close()
    except libvirt.libvirtError as e:
        return Finding("libvirt", False, f"{settings.libvirt_uri}: {e}; is libvirtd running?")
    return Finding("libvirt", True, f"version {version} at {settings.libvirt_uri}")
