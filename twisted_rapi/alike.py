"""
What all candidates have alike, because each may be master next: settings, users, tokens, fencing.

Each candidate shows digests of these beside its sign of life, so that others can tell what differs without
seeing it.
"""

import hashlib
import json
from collections.abc import Mapping
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

from twisted_rapi.config import Config, listen_address
from twisted_rapi.sharing import TOKENS
from twisted_rapi.web.auth import parse_users

Settings = dict[str, dict[str, Any]]
"""Values of rapi.toml by section and name."""

ALIKE: Mapping[str, tuple[str, ...]] = {
    "api": ("require_authentication",),
    "store": ("kind", "endpoints", "prefix", "lease"),
    "jobs": ("archive_age",),
    "address": ("mode", "ip", "redirect"),
    "dns": ("listen", "transfer"),
    "death": ("silence", "restart", "recover", "fence", "fence_after", "fence_interval", "fence_most"),
    "pvc": ("enabled", "authentication", "dialect"),
    "watchdog": ("enabled", "wait", "starts"),
}
"""The settings that are the cluster's; all others are a machine's."""

_LISTENERS = ("api", "proxy", "metrics")
_COST, _BLOCK, _BYTES = 2**14, 8, 16


def settings_alike(config: Config, address: str) -> Settings:
    """
    What of a candidate's settings all others have, too.

    :param address: of its node, by which others reach what it reaches on its loopback.
    """
    found = {name: {key: getattr(getattr(config, name), key) for key in keys} for name, keys in ALIKE.items()}
    found["store"]["endpoints"] = sorted(_from_outside(e, address) for e in config.store.endpoints)
    return found


def settings_of_further(config: Config, address: str, further: str) -> Settings:
    """
    The settings that a further candidate begins with, on a node that is reached at `further`.

    It asks the member of etcd on its own machine first, and listens where this one does: everywhere, on the
    loopback, or at its own address.
    """
    found = settings_alike(config, address)
    found["store"]["endpoints"].sort(key=lambda endpoint: urlsplit(endpoint).hostname != further)
    found["address"]["interface"] = config.address.interface
    for name in _LISTENERS:
        listen = getattr(config, name).listen
        found.setdefault(name, {})["listen"] = _moved(listen, further) if listen else ""
    return found


def _from_outside(endpoint: str, address: str) -> str:
    url = urlsplit(endpoint)
    if not _on_loopback(url.hostname or ""):
        return endpoint
    host = f"[{address}]" if ":" in address else address
    return f"https://{host}:{url.port}"


def _moved(listen: str, address: str) -> str:
    host, port = listen_address(listen, "listen")
    if host in ("", "::", "0.0.0.0") or _on_loopback(host):  # noqa: S104 -- looked at
        return listen
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def _on_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def digests(
    config: Config, address: str, users: str, others: Mapping[str, str], cluster: str
) -> dict[str, str]:
    """
    A digest of each thing that is to be alike, by what an operator calls it; takes a tenth of a second.

    Those of files are as costly as those of passwords, of which they may have some in clear text.

    :param users: the text of the users file; lines that are no users do not count.
    :param others: the texts of the other files that are alike, by name.
    :param cluster: uuid of the cluster.
    """
    found = {}
    for section, values in settings_alike(config, address).items():
        text = json.dumps(values, sort_keys=True)
        found[f"[{section}]"] = hashlib.sha256(text.encode()).hexdigest()[: 2 * _BYTES]
    known = sorted((u.name, u.secret, sorted(u.options)) for u in parse_users(users).values())
    found["users"] = _of_secrets(known, cluster)
    found["tokens"] = _of_secrets(sorted(others.get(TOKENS, "").splitlines()), cluster)
    found["fencing"] = _of_secrets(sorted(each for each in others.items() if each[0] != TOKENS), cluster)
    return found


def _of_secrets(content: Any, cluster: str) -> str:
    secret = json.dumps(content).encode()
    key = hashlib.scrypt(secret, salt=cluster.encode(), n=_COST, r=_BLOCK, p=1, dklen=_BYTES)
    return key.hex() if content else ""


def unlike(here: Mapping[str, str], there: Mapping[str, str]) -> list[str]:
    """What differs of two candidates' digests; what only one of them tells of is left out."""
    return sorted(name for name in here.keys() & there.keys() if here[name] != there[name])
