"""
``rapi-admin etcd-certificates``: an authority of etcd's own, its members, and its client.

``rapi-admin api-certificate``: what a candidate shows to clients.
"""

from collections.abc import Sequence
from ipaddress import ip_address, ip_interface
from pathlib import Path

from cryptography import x509
from cryptography.x509.oid import NameOID

from twisted_rapi.admin.files import Undo, refuse_existing, write_private, write_public
from twisted_rapi.config import Config
from twisted_rapi.errors import BadRequest, ConfigurationError
from twisted_rapi.rpc.authority import Role, issue, new_authority, new_key, new_request


def certify_etcd(directory: Path, members: Sequence[str], now: float, further: bool = False) -> list[Path]:
    """
    Make what etcd needs to speak TLS, and what candidates need to be let in.

    The authority is not the cluster's: that one certifies nodes, too, and a node must not get at the store.

    :param members: each as ``NAME=HOST[,HOST…]``, by which names and addresses it is reached.
    :param further: whether the authority is in the directory, and these members come to others of its.
    :returns: the files that were made.
    :raises ConfigurationError: a member is none, a file is there already, or the authority is not; nothing
        was made then.
    """
    wanted = dict(map(_member, members))
    common = [] if further else ["etcd-ca", "etcd-client"]
    names = [*common, *(f"etcd-{name}" for name in wanted)]
    files = [directory / f"{name}.{kind}" for name in names for kind in ("pem", "key")]
    refuse_existing(files)
    ca, ca_key = _authority_in(directory) if further else new_authority("etcd", now)
    with Undo() as undo:
        undo.folder(directory)
        if not further:
            undo.public(directory / "etcd-ca.pem", ca)
            undo.private(directory / "etcd-ca.key", ca_key)
        holders = [] if further else [("etcd-client", Role.MASTER, list[str]())]
        holders += [(f"etcd-{name}", Role.ETCD, hosts) for name, hosts in wanted.items()]
        for name, role, hosts in holders:
            key = new_key()
            try:
                certificate = issue(ca, ca_key, role, name, hosts, new_request(key, name), now)
            except (BadRequest, ValueError) as e:
                raise ConfigurationError(f"{name}: {e}") from e
            undo.public(directory / f"{name}.pem", certificate)
            undo.private(directory / f"{name}.key", key)
        undo.keep()
    return files


def _authority_in(directory: Path) -> tuple[bytes, bytes]:
    """Etcd's authority, and its key."""
    try:
        return (directory / "etcd-ca.pem").read_bytes(), (directory / "etcd-ca.key").read_bytes()
    except OSError as e:
        raise ConfigurationError(f"{e.filename}: {e.strerror}") from e


def _member(text: str) -> tuple[str, list[str]]:
    name, _, hosts = text.partition("=")
    found = [host for host in hosts.split(",") if host]
    if not found or not name.replace("-", "").replace(".", "").isalnum() or name in ("ca", "client"):
        raise ConfigurationError(f"{text!r} is not of the form NAME=HOST[,HOST…]")
    return name, found


def api_hosts(cluster: str, node: str, addresses: Sequence[str], floating: str) -> list[str]:
    """
    The names and addresses that a candidate's API is reached by.

    :param floating: the floating address; empty for none.
    """
    names = [cluster, node, *addresses, floating, "localhost", "127.0.0.1", "::1"]
    return [name for name in dict.fromkeys(names) if name]


def certify_api(config: Config, addresses: Sequence[str], now: float) -> list[str]:
    """
    Issue this candidate a new key and certificate for its API, in the place of the one it has.

    :returns: what it is good for.
    :raises ConfigurationError: the authority is not here or cannot be used, or an address is none.
    """
    floating = "" if config.address.mode == "none" else str(ip_interface(config.address.ip).ip)
    try:
        ca, ca_key = (Path(f).read_bytes() for f in (config.rpc.authority, config.authority.key))
        [cluster] = x509.load_pem_x509_certificate(ca).subject.get_attributes_for_oid(NameOID.COMMON_NAME)
        addresses = [str(ip_address(address)) for address in addresses]
        name, key = str(cluster.value), new_key()
        hosts = api_hosts(name, config.node, addresses, floating)
        certificate = issue(ca, ca_key, Role.API, name, hosts, new_request(key, name), now)
    except (OSError, ValueError, BadRequest) as e:
        raise ConfigurationError(f"no certificate can be issued here: {e}") from e
    # A daemon reads both when it starts; that they do not fit for a moment is noticed then.
    write_private(Path(config.api.key), key)
    write_public(Path(config.api.certificate), certificate + ca)
    return hosts
