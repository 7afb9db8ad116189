"""The new node's and the operator's end of joining."""

import base64
import json
import socket
import ssl
from http.client import HTTPException, HTTPSConnection
from pathlib import Path
from typing import Any

from twisted_rapi.admin.files import write_private, write_public
from twisted_rapi.config import Config, listen_address
from twisted_rapi.errors import ConfigurationError
from twisted_rapi.rpc.authority import fingerprint, new_key, new_request

_SETTINGS = """\
# See etc/agent.toml for what else can be said here.
listen = "{listen}"
state_dir = "{state}/agent"
log_dir = "{state}/os-log"
hypervisors = ["{hypervisor}"]
file_storage_dir = "{state}/file-storage"
shared_file_storage_dir = "{state}/shared-file-storage"
"""


def agent_settings(address: str, port: int, state: Path, hypervisor: str) -> str:
    """The text of ``agent.toml`` for a node."""
    host = f"[{address}]" if ":" in address else address
    return _SETTINGS.format(listen=f"{host}:{port}", state=state, hypervisor=hypervisor)


def _ask(
    host: str, port: int, context: ssl.SSLContext, path: str, body: Any, headers: dict[str, str] | None = None
) -> Any:
    connection = HTTPSConnection(host, port, context=context, timeout=30)
    try:
        sent = {"Content-Type": "application/json", **(headers or {})}
        connection.request("POST", path, json.dumps(body), sent)
        response = connection.getresponse()
        data = response.read()
    except (OSError, HTTPException) as e:
        raise ConfigurationError(f"the master at {host}:{port} does not answer: {e}") from e
    finally:
        connection.close()
    try:
        answer = json.loads(data)
    except ValueError as e:
        raise ConfigurationError(
            f"the master at {host}:{port} answered {response.status} without JSON"
        ) from e
    if response.status != 200:
        raise ConfigurationError(f"the master refused: {answer.get('message', response.status)}")
    return answer


def new_token(config: Config, user: str, password: str, seconds: int) -> str:
    """
    A token from the master that runs with this configuration.

    :raises ConfigurationError: it does not run, or refuses.
    """
    host, port = listen_address(config.api.listen, "api.listen")
    here = {"": "localhost", "::": "localhost", "0.0.0.0": "127.0.0.1"}.get(host, host)  # noqa: S104 -- looked up
    context = ssl.create_default_context(cafile=config.rpc.authority)
    credentials = base64.b64encode(f"{user}:{password}".encode()).decode()
    headers = {"Authorization": f"Basic {credentials}"}
    token: str = _ask(here, port, context, "/2/join-tokens", {"seconds": seconds}, headers)["token"]
    return token


def _authority(host: str, port: int, wanted: str) -> str:
    """
    The authority's certificate as PEM, from what the master shows; known by its fingerprint.

    :raises ConfigurationError: none that the master shows has it.
    """
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    try:
        with socket.create_connection((host, port), timeout=30) as plain, context.wrap_socket(plain) as shown:
            chain = _chain(shown)
    except OSError as e:
        raise ConfigurationError(f"the master at {host}:{port} cannot be reached: {e}") from e
    for pem in chain:
        if fingerprint(pem.encode()) == wanted:
            return pem
    raise ConfigurationError(f"whoever answers at {host}:{port} is not the master the token is from")


def _chain(shown: ssl.SSLSocket) -> list[str]:
    # SSLSocket has a public method for this from Python 3.13 on; before, its inner object has it.
    certificates: Any = getattr(shown, "_sslobj").get_unverified_chain()  # noqa: B009
    return [
        ssl.DER_cert_to_PEM_cert(c if isinstance(c, bytes) else c.public_bytes(_DER))
        for c in certificates or ()
    ]


_DER = 2  # _ssl.ENCODING_DER


def join(
    *,
    master: str,
    token: str,
    node: str,
    address: str,
    port: int,
    group: str | None,
    directory: Path,
    settings: str,
) -> None:
    """
    Make this machine a node: key, certificate and configuration below `directory`.

    :raises ConfigurationError: there is a configuration already, or the master is not the token's,
        or refuses.
    """
    if (directory / "agent.toml").exists():
        raise ConfigurationError(f"{directory / 'agent.toml'} is there already; nothing was changed")
    host, _, given = (
        master.rpartition(":") if ":" in master and not master.endswith("]") else (master, "", "5080")
    )
    host = host.strip("[]")
    if not given.isdigit():
        raise ConfigurationError(f"{master!r} is not of the form HOST:PORT")
    secret, _, wanted = token.partition(".")
    if not secret or len(wanted) != 64:
        raise ConfigurationError("the token is not whole")
    authority = _authority(host, int(given), wanted)
    context = ssl.create_default_context(cadata=authority)
    # The authority is the token's; the name it certifies may be another than the one typed here.
    context.check_hostname = False
    key = new_key()
    body = {
        "token": token,
        "name": node,
        "address": address,
        "port": port,
        "group": group,
        "request": new_request(key, node).decode(),
    }
    answer = _ask(host, int(given), context, "/2/join", body)
    directory.mkdir(mode=0o750, parents=True, exist_ok=True)
    write_private(directory / "node.key", key)
    write_public(directory / "node.pem", answer["certificate"].encode())
    write_public(directory / "ca.pem", answer["authority"].encode())
    write_public(directory / "agent.toml", settings.encode())
