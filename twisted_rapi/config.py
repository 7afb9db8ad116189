"""The master's configuration, as ``rapi.toml`` holds it."""

import re
from ipaddress import ip_address, ip_interface, ip_network
from pathlib import Path
from typing import Literal, TypeVar
from urllib.parse import urlsplit

import msgspec
from msgspec import Struct, field
from msgspec.structs import replace

from twisted_rapi.errors import ConfigurationError

AnySettings = TypeVar("AnySettings", bound=Struct)


class Section(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A table of the file; relative paths are below the file's folder."""


class ApiSection(Section, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """
    ``[api]``: where clients are served.

    :ivar certificate: PEM, followed by what is above it up to the authority; `key`: its key.
    :ivar users: the users file (behaviour.md §2).
    """

    listen: str = "[::]:5080"
    certificate: str = "api.pem"
    key: str = "api.key"
    users: str = "users"
    require_authentication: bool = False


class ProxySection(Section, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """``[proxy]``: where other candidates hand on what they are asked; empty for nowhere."""

    listen: str = "[::]:5082"


class RpcSection(Section, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """``[rpc]``: how the master shows itself to agents."""

    authority: str = "ca.pem"
    certificate: str = "master.pem"
    key: str = "master.key"


class StoreSection(Section, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """
    ``[store]``: where the state is kept.

    :ivar kind: ``sqlite``: in the file `path`; ``etcd``: in the cluster of `endpoints`, below `prefix`.
    :ivar authority: PEM: what members of etcd are known by; `certificate`, `key`: what is shown to them.
    :ivar lease: seconds after which a master that is not heard of is replaced.
    """

    kind: Literal["sqlite", "etcd"] = "sqlite"
    path: str = "/var/lib/twisted_rapi/state.db"
    endpoints: tuple[str, ...] = ()
    prefix: str = "/twisted_rapi"
    authority: str = "etcd-ca.pem"
    certificate: str = "etcd-client.pem"
    key: str = "etcd-client.key"
    lease: int = 3


class AuthoritySection(Section, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """``[authority]``: what certificates of new nodes are issued with."""

    key: str = "ca.key"


class MetricsSection(Section, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """``[metrics]``: the listener for ``/metrics``, ``/healthy`` and ``/ready``; empty for none."""

    listen: str = "127.0.0.1:5081"


class JobsSection(Section, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """``[jobs]``: seconds after which an ended job is archived."""

    archive_age: float = 21600.0


class AddressSection(Section, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """
    ``[address]``: the floating address, which the master is reached by whoever it is.

    :ivar mode: ``own``: the master adds and removes it; ``follow``: others move it, and the master is where
        it is; ``none``: there is none.
    :ivar ip: with its prefix, such as ``192.0.2.10/24``; `interface`: what it is added to.
    :ivar redirect: whether candidates serve what still arrives for it where it has just been (``own``).
    """

    mode: Literal["none", "own", "follow"] = "none"
    ip: str = ""
    interface: str = ""
    redirect: bool = True


class DnsSection(Section, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """
    ``[dns]``: the authoritative name server for virtual networks.

    :ivar listen: where the master answers, usually the floating address; empty for nowhere.
    :ivar transfer: addresses, and networks in CIDR form, of who may have whole zones.
    """

    listen: str = ""
    transfer: tuple[str, ...] = ()


class DeathSection(Section, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """
    ``[death]``: nodes that fall silent.

    :ivar silence: seconds after which one is suspected to be dead.
    :ivar restart: which instances of a node that is known to be dead are started on others.
    :ivar fence: whether suspected nodes are switched off, after `fence_after` seconds of silence, at most
        `fence_most` of them within `fence_interval` seconds.
    :ivar recover: ``auto``: one that answers again is set online by itself.
    :ivar fencing: the file by which the agent here switches others off, for candidates to have it alike.
    """

    silence: float = 30.0
    restart: Literal["none", "tagged", "all"] = "tagged"
    fence: bool = False
    fence_after: float = 60.0
    fence_most: int = 1
    fence_interval: float = 3600.0
    recover: Literal["hand", "auto"] = "hand"
    fencing: str = "fencing.toml"


class PvcSection(Section, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """
    ``[pvc]``: PVC's API, beside RAPI at ``/api/v1``.

    :ivar dialect: of requests that do not tell theirs.
    :ivar authentication: whether a token is needed; without, whoever reaches the API may do everything.
    :ivar tokens: the file with the tokens' digests.
    """

    enabled: bool = False
    dialect: Literal["seed", "0.6", "1.0"] = "seed"
    authentication: bool = True
    tokens: str = "pvc-tokens"


class WatchdogSection(Section, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """
    ``[watchdog]``: instances that should run and do not are started again.

    :ivar wait: seconds an instance has to be down first.
    :ivar starts: how often within an hour; then it is left.
    """

    enabled: bool = True
    wait: float = 60.0
    starts: int = 3


class LogSection(Section, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """``[log]``: a file for the JSON log; empty for none but twistd's own."""

    file: str = ""
    level: str = "info"


class Config(Section, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """
    Everything the master needs to know before it starts.

    :ivar node: name of the node this candidate is on.
    """

    node: str
    api: ApiSection = field(default_factory=ApiSection)
    proxy: ProxySection = field(default_factory=ProxySection)
    rpc: RpcSection = field(default_factory=RpcSection)
    store: StoreSection = field(default_factory=StoreSection)
    authority: AuthoritySection = field(default_factory=AuthoritySection)
    metrics: MetricsSection = field(default_factory=MetricsSection)
    jobs: JobsSection = field(default_factory=JobsSection)
    address: AddressSection = field(default_factory=AddressSection)
    dns: DnsSection = field(default_factory=DnsSection)
    death: DeathSection = field(default_factory=DeathSection)
    watchdog: WatchdogSection = field(default_factory=WatchdogSection)
    pvc: PvcSection = field(default_factory=PvcSection)
    log: LogSection = field(default_factory=LogSection)


_PATHS = {
    "api": ("certificate", "key", "users"),
    "rpc": ("authority", "certificate", "key"),
    "store": ("path", "authority", "certificate", "key"),
    "authority": ("key",),
    "death": ("fencing",),
    "pvc": ("tokens",),
    "log": ("file",),
}


def read_toml(path: Path, kind: type[AnySettings]) -> AnySettings:
    """
    What a TOML file says.

    :raises ConfigurationError: it cannot be read, or is no such thing.
    """
    try:
        return msgspec.toml.decode(path.read_bytes(), type=kind)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError) as e:
        raise ConfigurationError(f"{path}: {e}") from e


def load(path: Path) -> Config:
    """
    The configuration in a TOML file, with all paths absolute.

    :raises ConfigurationError: it cannot be read, or says something that cannot be meant.
    """
    found = read_toml(path, Config)
    _check(found, path)
    folder = path.resolve().parent
    sections = {}
    for name, keys in _PATHS.items():
        section = getattr(found, name)
        values = {key: str(folder / value) for key in keys if (value := getattr(section, key))}
        sections[name] = replace(section, **values)
    return replace(found, **sections)


def _check(found: Config, path: Path) -> None:
    if not found.node:
        raise ConfigurationError(f"{path}: node: the name of this node is needed")
    listen_address(found.api.listen, f"{path}: api.listen")
    if found.proxy.listen:
        listen_address(found.proxy.listen, f"{path}: proxy.listen")
    if found.metrics.listen:
        listen_address(found.metrics.listen, f"{path}: metrics.listen")
    _check_store(found.store, f"{path}: store")
    check_address_section(found.address, f"{path}: address")
    _check_dns(found.dns, f"{path}: dns")
    if not 0 <= found.jobs.archive_age <= 10**9:
        raise ConfigurationError(f"{path}: jobs.archive_age: seconds, zero or more")
    _check_death(found.death, f"{path}: death")
    if not 1 <= found.watchdog.wait <= 10**6:
        raise ConfigurationError(f"{path}: watchdog.wait: seconds, 1 or more")
    if not 0 < found.watchdog.starts <= 1000:
        raise ConfigurationError(f"{path}: watchdog.starts: a number, 1 to 1000")
    if found.log.level not in ("debug", "info", "warn", "error", "critical"):
        raise ConfigurationError(f"{path}: log.level: one of debug, info, warn, error, critical")


def _check_death(death: DeathSection, where: str) -> None:
    if not 5 <= death.silence <= 10**6:
        raise ConfigurationError(f"{where}.silence: seconds, 5 or more")
    if not death.silence <= death.fence_after <= 10**6:
        raise ConfigurationError(f"{where}.fence_after: seconds, as many as death.silence or more")
    if not 1 <= death.fence_most <= 1000:
        raise ConfigurationError(f"{where}.fence_most: a number, 1 to 1000")
    if not 1 <= death.fence_interval <= 10**6:
        raise ConfigurationError(f"{where}.fence_interval: seconds, 1 or more")


def check_address_section(address: AddressSection, where: str) -> None:
    """
    Whether an address can be meant.

    :raises ConfigurationError: which of it cannot.
    """
    if address.mode == "none":
        return
    try:
        found = ip_interface(address.ip)
    except ValueError as e:
        raise ConfigurationError(f"{where}.ip: an address such as 192.0.2.10/24 is needed: {e}") from e
    odd = found.is_loopback or found.is_multicast or found.is_unspecified or found.is_link_local
    if odd or "%" in address.ip:
        raise ConfigurationError(f"{where}.ip: {address.ip} is not an address that hosts are reached by")
    if address.mode == "own" and not address.interface:
        raise ConfigurationError(f"{where}.interface: needed where the address is ours to add")
    if not all("!" <= c <= "~" and c not in "/:" for c in address.interface) or len(address.interface) > 15:
        raise ConfigurationError(f"{where}.interface: {address.interface!r} is no interface's name")


def _check_dns(dns: DnsSection, where: str) -> None:
    if not dns.listen:
        return
    host, _ = listen_address(dns.listen, f"{where}.listen")
    try:
        found = ip_address(host)
    except ValueError as e:
        raise ConfigurationError(f"{where}.listen: an address is needed: {e}") from e
    if found.is_unspecified or found.is_multicast or getattr(found, "scope_id", None):
        raise ConfigurationError(f"{where}.listen: the one address that is asked, such as the floating one")
    for text in dns.transfer:
        try:
            ip_network(text)
        except ValueError as e:
            raise ConfigurationError(f"{where}.transfer: {e}") from e


def _check_store(store: StoreSection, where: str) -> None:
    if not 2 <= store.lease <= 60:
        raise ConfigurationError(f"{where}.lease: seconds, 2 to 60")
    if not re.fullmatch(r"(/[A-Za-z0-9_.-]+)+", store.prefix):
        raise ConfigurationError(f"{where}.prefix: a path such as /twisted_rapi")
    if store.kind == "etcd" and not store.endpoints:
        raise ConfigurationError(f"{where}.endpoints: needed where the store is etcd")
    for endpoint in store.endpoints:
        if not _is_endpoint(endpoint):
            raise ConfigurationError(f"{where}.endpoints: {endpoint!r} is not of the form https://host:port")


def _is_endpoint(text: str) -> bool:
    try:
        url = urlsplit(text)
        port = url.port
    except ValueError:
        return False
    plain = not (url.path.strip("/") or url.query or url.fragment or url.username)
    return url.scheme == "https" and bool(url.hostname) and bool(port) and plain and text.isascii()


def listen_address(text: str, where: str) -> tuple[str, int]:
    """
    Host and port of ``host:port`` or ``[address]:port``.

    :raises ConfigurationError: it is neither.
    """
    host, colon, port = text.rpartition(":")
    if not colon or not (port.isascii() and port.isdigit()) or not 0 < int(port) < 65536:
        raise ConfigurationError(f"{where}: {text!r} is not of the form host:port")
    return host.strip("[]"), int(port)
