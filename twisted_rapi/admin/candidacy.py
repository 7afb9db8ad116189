"""The new machine's end of becoming a further master candidate."""

import json
import socket
import ssl
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from twisted_rapi.admin.certifying import certify_api
from twisted_rapi.admin.files import Undo, refuse_existing
from twisted_rapi.admin.founding import check_node
from twisted_rapi.admin.joining import Found, Newcomer, find_master, request_of
from twisted_rapi.alike import Settings
from twisted_rapi.config import load
from twisted_rapi.errors import ConfigurationError
from twisted_rapi.rpc.authority import fingerprint, issued, new_key, new_request
from twisted_rapi.sharing import SharedFiles, noted

URI = "/2/join-candidate"
PATIENCE = 5.0  # seconds for a member of etcd
_OWN = ("rapi.toml", "master.pem", "master.key", "api.pem", "api.key", "ca.key", "users")
_NODE = ("node.key", "node.pem", "ca.pem", "agent.toml")
_CLIENT = ("etcd-client.pem", "etcd-client.key")


def join_candidate(
    master: str, token: str, new: Newcomer, state: Path, endpoints: Sequence[str] = ()
) -> list[str]:
    """
    Make this machine a master candidate: all its files below its directory, and a node if it is none yet.

    Keys of its own never leave it.  Files for etcd that are there already are kept.

    :param state: folder for state; `endpoints`: members of etcd, those of the master unless there are some.
    :returns: why members of etcd cannot be reached from here, where only some of them can.
    :raises ConfigurationError: there is a configuration already, the master is not the token's, or refuses,
        or etcd cannot be reached; nothing was made then, and the token is good still unless it is said to
        have been used.
    """
    check_node(new.node, new.address, new.port)
    directory = new.directory
    is_node = (directory / "agent.toml").exists()
    refuse_existing(directory / name for name in (_OWN if is_node else (*_OWN, *_NODE)))
    wanted = _client_files(directory)
    found = find_master(master, token)
    if is_node:
        _same_cluster(directory / "ca.pem", found)
    keys = {"master.key": new_key()} | ({} if is_node else {"node.key": new_key()})
    body = _request(found.token, new, keys)
    with Undo() as undo:
        undo.folder(directory)
        silent = _look(undo, found, body, new, state, endpoints)
        for name, key in keys.items():
            undo.private(directory / name, key)
        if not is_node:
            undo.public(directory / "ca.pem", found.authority.encode())
        # What can fail here has failed before the token is used up.
        answer = found.ask(URI, body)
        try:
            _write(undo, new, answer, (*wanted, "ca.key", "users"))
        except (ConfigurationError, OSError) as e:
            raise ConfigurationError(f"{e}; the token is used up: repeat this with a new one") from e
        undo.keep()
    return silent


def _client_files(directory: Path) -> tuple[str, ...]:
    """The files of a client of etcd that are wanted: none where both are there."""
    there = [name for name in _CLIENT if (directory / name).exists()]
    if len(there) == 1:
        raise ConfigurationError(f"{directory} has {there[0]} only, of {' and '.join(_CLIENT)}")
    return () if there else _CLIENT


def _write_shared(undo: Undo, files: SharedFiles, answer: Mapping[str, Any]) -> None:
    """Note what the users are as of; write what else all candidates have alike and is not here yet."""
    note = f"{float(answer['distributed'])!r}\n".encode()
    undo.private(noted(files.users), note)
    for file, text in files.places(answer.get("shared", {})):
        if not file.exists():
            undo.folder(file.parent, 0o700)
            undo.private(file, text.encode())
            undo.private(noted(file), note)


def _same_cluster(authority: Path, found: Found) -> None:
    try:
        same = fingerprint(authority.read_bytes()) == fingerprint(found.authority.encode())
    except (OSError, ValueError) as e:
        raise ConfigurationError(f"this machine is a node, but its authority cannot be read: {e}") from e
    if not same:
        raise ConfigurationError("this machine is a node of another cluster than the token's")


def _request(token: str, new: Newcomer, keys: Mapping[str, bytes]) -> dict[str, Any]:
    body = request_of(token, new, keys.get("node.key"))
    return {**body, "master_request": new_request(keys["master.key"], new.node).decode()}


def _look(
    undo: Undo, found: Found, body: Mapping[str, Any], new: Newcomer, state: Path, endpoints: Sequence[str]
) -> list[str]:
    """Write the configuration that the master proposes, and try it as far as can be without keys."""
    shown = found.ask(URI, {**body, "look": True})
    settings: Settings = shown["settings"]
    settings["store"]["path"] = str(state / "state.db")
    if endpoints:
        settings["store"]["endpoints"] = list(endpoints)
    file, authority = new.directory / "rapi.toml", new.directory / "etcd-ca.pem"
    undo.public(file, as_toml(new.node, settings).encode())
    if not authority.exists():
        undo.public(authority, shown["etcd_authority"].encode())
    members = load(file).store.endpoints
    silent = [why for endpoint in members if (why := unreachable(endpoint, authority))]
    if 2 * len(silent) >= len(members):
        raise ConfigurationError(f"too few members of etcd can be reached from here: {'; '.join(silent)}")
    return silent


def as_toml(node: str, settings: Settings) -> str:
    """The text of ``rapi.toml``; values are written as JSON has them, which TOML understands."""
    lines = [f"node = {json.dumps(node)}"]
    for section, values in settings.items():
        lines += ["", f"[{section}]"]
        lines += [f"{name} = {json.dumps(value, ensure_ascii=False)}" for name, value in values.items()]
    return "\n".join(lines) + "\n"


def unreachable(endpoint: str, authority: Path) -> str:
    """Why there is no member of etcd with a certificate of this authority; "" where there is."""
    url = urlsplit(endpoint)
    try:
        context = ssl.create_default_context(cafile=str(authority))
        with (
            socket.create_connection((url.hostname or "", url.port or 0), timeout=PATIENCE) as plain,
            context.wrap_socket(plain, server_hostname=url.hostname),
        ):
            return ""
    except ssl.SSLCertVerificationError as e:
        return f"{endpoint}: {e.verify_message}"
    except ssl.SSLError as e:
        # A member that knew us well enough to want a certificate of ours is there.
        return "" if "alert" in str(e).lower() else f"{endpoint}: {e}"
    except (OSError, ValueError) as e:
        return f"{endpoint}: {e}"


def _write(undo: Undo, new: Newcomer, answer: Mapping[str, Any], files: Sequence[str]) -> None:
    """Write what came with the token."""
    directory, certificate = new.directory, answer["master_certificate"].encode()
    undo.public(directory / "master.pem", certificate)
    for name in files:
        content = answer["files"][name].encode()
        (undo.public if name.endswith(".pem") else undo.private)(directory / name, content)
    _write_shared(undo, SharedFiles.below(directory), answer)
    for name in ("api.key", "api.pem"):
        undo.other(directory / name)
    # The master's clock is what other certificates go by.
    certify_api(load(directory / "rapi.toml"), [new.address], issued(certificate))
    if "certificate" in answer:
        undo.public(directory / "node.pem", answer["certificate"].encode())
        undo.public(directory / "agent.toml", new.settings.encode())
