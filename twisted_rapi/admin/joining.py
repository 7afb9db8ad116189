"""The new node's and the operator's end of joining."""

import base64
import json
import socket
import ssl
from http.client import HTTPException, HTTPSConnection
from pathlib import Path
from typing import Any

import attrs

from twisted_rapi.admin.files import Undo, refuse_existing
from twisted_rapi.admin.founding import check_node
from twisted_rapi.cluster.joining import new_secret
from twisted_rapi.config import Config, listen_address
from twisted_rapi.errors import ConfigurationError, StoreLocked
from twisted_rapi.model.records import ClusterRecord
from twisted_rapi.opening import open_etcd_of, read_keys
from twisted_rapi.rpc.authority import Role, fingerprint, new_key, new_request, role_of
from twisted_rapi.state.database import Database
from twisted_rapi.state.writer import commit_of

_SETTINGS = """\
# See etc/agent.toml for what else can be said here.
listen = {listen}
state_dir = {agent}
log_dir = {log}
hypervisors = [{hypervisor}]
file_storage_dir = {files}
shared_file_storage_dir = {shared}
"""


def agent_settings(address: str, port: int, state: Path, hypervisor: str) -> str:
    """The text of ``agent.toml`` for a node."""
    host = f"[{address}]" if ":" in address else address
    return _SETTINGS.format(
        listen=quoted(f"{host}:{port}"),
        agent=quoted(state / "agent"),
        log=quoted(state / "os-log"),
        hypervisor=quoted(hypervisor),
        files=quoted(state / "file-storage"),
        shared=quoted(state / "shared-file-storage"),
    )


def quoted(value: object) -> str:
    """A text or path as a string of TOML, which writes it as JSON does."""
    return json.dumps(str(value), ensure_ascii=False)


def ask(
    host: str,
    port: int,
    context: ssl.SSLContext,
    path: str,
    body: Any,
    headers: dict[str, str] | None = None,
    method: str = "POST",
) -> Any:
    """
    What the master answers to a request.

    :raises ConfigurationError: it does not answer, is not the master, or refuses.
    """
    connection = HTTPSConnection(host, port, context=context, timeout=30)
    try:
        connection.connect()
        # The authority certifies nodes, too; a node must not pass for the master.
        tls: Any = connection.sock
        shown: bytes = tls.getpeercert(binary_form=True)
        if role_of(ssl.DER_cert_to_PEM_cert(shown).encode()) is not Role.API:
            raise ConfigurationError(f"whoever answers at {host}:{port} is not the master")
        sent = {"Content-Type": "application/json", **(headers or {})}
        connection.request(method, path, None if body is None else json.dumps(body), sent)
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
    token: str = ask(here, port, context, "/2/join-tokens", {"seconds": seconds}, headers)["token"]
    return token


def stored_token(config: Config, seconds: float, now: float) -> str:
    """
    A token put into the SQLite store of a master that does not run.

    :raises ConfigurationError: it runs, or there is no cluster in the store.
    """
    path = Path(config.store.path)
    if not path.exists():
        raise ConfigurationError(f"{path} is missing; run rapi-admin init")
    record, token = new_secret(now, seconds, fingerprint(Path(config.rpc.authority).read_bytes()))
    try:
        database = Database(path)
    except StoreLocked as e:
        raise ConfigurationError("the master runs: name a user with write access by --user") from e
    try:
        [result] = database.commit([commit_of([record])])
    finally:
        database.close()
    if isinstance(result, Exception):
        raise result
    return token


async def token_in_etcd(config: Config, seconds: float, candidate: bool, now: float, reactor: Any) -> str:
    """
    A token put into etcd, which only who has a candidate's key for it can do.

    :param candidate: whether it is for a master candidate.
    :raises ConfigurationError: there is no cluster in etcd, or no key.
    :raises StoreError: etcd cannot be used.
    """
    authority = Path(config.rpc.authority).read_bytes()
    record, token = new_secret(now, seconds, fingerprint(authority), candidate)
    store = await open_etcd_of(config.store, reactor, read_keys(config.store))
    try:
        if not await store.get([ClusterRecord.KIND]):
            raise ConfigurationError(f"there is no cluster below {config.store.prefix} in etcd")
        await store.commit(commit_of([record]))
    finally:
        await store.close()
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


@attrs.frozen
class Found:
    """A master that is known by a token; `authority` is PEM."""

    host: str
    port: int
    token: str
    authority: str

    def ask(self, path: str, body: Any) -> Any:
        """See `ask`."""
        context = ssl.create_default_context(cadata=self.authority)
        # The authority is the token's; the name it certifies may be another than the one typed here.
        context.check_hostname = False
        return ask(self.host, self.port, context, path, body)


def find_master(master: str, token: str) -> Found:
    """
    The master at an address, which has to be the token's.

    :raises ConfigurationError: it is not, or cannot be reached, or the token is not whole.
    """
    host, port = master_address(master)
    token = token.strip()
    secret, _, wanted = token.partition(".")
    if not secret or len(wanted) != 64:
        raise ConfigurationError("the token is not whole")
    return Found(host, port, token, _authority(host, port, wanted))


@attrs.frozen(kw_only=True)
class Newcomer:
    """
    A machine that is to become a node; `directory` gets its configuration.

    :ivar settings: of agent.toml.
    """

    node: str
    address: str
    port: int
    group: str | None
    directory: Path
    settings: str


def join(master: str, token: str, new: Newcomer) -> None:
    """
    Make this machine a node: key, certificate and configuration below its directory.

    :raises ConfigurationError: there is a configuration already, or the master is not the token's,
        or refuses; nothing was made then.
    """
    check_node(new.node, new.address, new.port)
    refuse_existing(new.directory / name for name in ("node.key", "node.pem", "ca.pem", "agent.toml"))
    found = find_master(master, token)
    key = new_key()
    with Undo() as undo:
        # What can fail here fails before the token is used up.
        undo.private(undo.folder(new.directory) / "node.key", key)
        undo.public(new.directory / "ca.pem", found.authority.encode())
        answer = found.ask("/2/join", request_of(found.token, new, key))
        undo.public(new.directory / "node.pem", answer["certificate"].encode())
        undo.public(new.directory / "agent.toml", new.settings.encode())
        undo.keep()


def request_of(token: str, new: Newcomer, key: bytes | None) -> dict[str, Any]:
    """What the master is told of a machine that joins; `key`: the node's, unless that has a certificate."""
    return {
        "token": token,
        "name": new.node,
        "address": new.address,
        "port": new.port,
        "group": new.group,
        "request": None if key is None else new_request(key, new.node).decode(),
    }


def master_address(text: str) -> tuple[str, int]:
    """
    Host and port of ``HOST``, ``HOST:PORT``, ``[ADDRESS]:PORT`` or an address; 5080 where no port is said.

    :raises ConfigurationError: it is none of these.
    """
    if text.count(":") > 1 and not text.startswith("["):
        return text, 5080
    whole = text if ":" in text and not text.endswith("]") else f"{text}:5080"
    return listen_address(whole, "--master")
