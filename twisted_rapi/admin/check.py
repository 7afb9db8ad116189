"""``rapi-admin check``: what is wrong with this machine's set-up, and how to mend it."""

import socket
import ssl
import stat
import time
from collections.abc import Iterator
from pathlib import Path

import attrs

from twisted_rapi.admin.files import users
from twisted_rapi.agent.os_definitions import discover
from twisted_rapi.agent.settings import AgentSettings
from twisted_rapi.agent.settings import load as load_agent
from twisted_rapi.config import Config, listen_address, load
from twisted_rapi.errors import ConfigurationError
from twisted_rapi.rpc.authority import Role, expires, role_of
from twisted_rapi.state.database import integrity

SOON = 30 * 86400.0


@attrs.frozen
class Finding:
    """One thing that was looked at."""

    what: str
    good: bool
    text: str


def check_all(directory: Path) -> Iterator[Finding]:
    """Look at everything the configurations in this folder speak of."""
    master, agent = directory / "rapi.toml", directory / "agent.toml"
    if not master.exists() and not agent.exists():
        yield Finding("configuration", False, f"none in {directory}; run rapi-admin init or join")
    if master.exists():
        yield from _master(master)
    if agent.exists():
        yield from _agent(agent)


def _master(path: Path) -> Iterator[Finding]:
    try:
        config = load(path)
    except ConfigurationError as e:
        yield Finding("configuration", False, str(e))
        return
    yield Finding("configuration", True, str(path))
    rpc, api = config.rpc, config.api
    yield from _certificate("master's certificate", rpc.authority, rpc.certificate, rpc.key, Role.MASTER)
    yield from _certificate("API's certificate", rpc.authority, api.certificate, api.key, None)
    yield _secret("authority's key", config.authority.key)
    yield from _store(config)
    yield _users(config)
    yield _clock()
    yield _port("API", api.listen)


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
    for found in discover([*map(Path, settings.os_search_path)]):
        text = found.invalid or f"in {found.path}"
        yield Finding(f"OS definition {found.name}", not found.invalid, text)
    yield _port("agent", settings.listen)


def _secret(what: str, file: str) -> Finding:
    try:
        mode = stat.S_IMODE(Path(file).stat().st_mode)
    except OSError as e:
        return Finding(what, False, f"{file}: {e.strerror}")
    if mode & 0o077:
        return Finding(what, False, f"others may read {file}; mend it with chmod 600")
    return Finding(what, True, file)


def _certificate(
    what: str, authority: str, certificate: str, key: str, role: Role | None
) -> Iterator[Finding]:
    yield _secret(f"key of the {what}", key)
    try:
        pem = Path(certificate).read_bytes()
        ends = expires(pem)
        # Whether the key belongs to it is what loading both says.
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        context.load_verify_locations(authority)
    except (OSError, ValueError) as e:
        yield Finding(what, False, f"{certificate}: {e}")
        return
    left = (ends - time.time()) / 86400
    if role is not None and role_of(pem) is not role:
        yield Finding(what, False, f"{certificate} was not issued for the role {role.value}")
    elif left * 86400 < SOON:
        yield Finding(what, False, f"{certificate} ends in {left:.0f} days; issue a new one")
    else:
        yield Finding(what, True, f"good for {left:.0f} days")


def _store(config: Config) -> Iterator[Finding]:
    path = Path(config.store.path)
    if not path.exists():
        yield Finding("store", False, f"{path} is missing; restore a backup or run rapi-admin init")
        return
    problems = integrity(path)
    yield Finding("store", not problems, "; ".join(problems) or str(path))
    if stat.S_IMODE(path.stat().st_mode) & 0o077:
        yield Finding("store's mode", False, f"others may read {path}; mend it with chmod 600")


def _users(config: Config) -> Finding:
    try:
        found = users(Path(config.api.users))
    except (OSError, UnicodeDecodeError) as e:
        return Finding("users", False, str(e))
    if not any("write" in options.split(",") for options in found.values()):
        return Finding("users", False, "nobody may change anything; run rapi-admin user add --write NAME")
    return Finding("users", True, f"{len(found)}")


def _clock() -> Finding:
    """A clock that is before this program was written makes certificates invalid."""
    now = time.time()
    good = now > 1_790_000_000
    text = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(now))
    return Finding("clock", good, text if good else f"{text} cannot be; set the time, and keep it by NTP")


def _port(what: str, listen: str) -> Finding:
    host, port = listen_address(listen, what)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            s.bind((host, port))
        except OSError as e:
            return Finding(
                f"port of the {what}", True, f"{listen} is in use ({e.strerror}): it runs, it seems"
            )
    return Finding(f"port of the {what}", True, f"{listen} is free: it does not run at present")


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
