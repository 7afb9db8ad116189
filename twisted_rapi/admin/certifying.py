"""``rapi-admin etcd-certificates``: an authority of etcd's own, its members, and its client."""

from collections.abc import Sequence
from pathlib import Path

from twisted_rapi.admin.files import Undo, refuse_existing
from twisted_rapi.errors import BadRequest, ConfigurationError
from twisted_rapi.rpc.authority import Role, issue, new_authority, new_key, new_request


def certify_etcd(directory: Path, members: Sequence[str], now: float) -> list[Path]:
    """
    Make what etcd needs to speak TLS, and what candidates need to be let in.

    The authority is not the cluster's: that one certifies nodes, too, and a node must not get at the store.

    :param members: each as ``NAME=HOST[,HOST…]``, by which names and addresses it is reached.
    :returns: the files that were made.
    :raises ConfigurationError: a member is none, or a file is there already; nothing was made then.
    """
    wanted = dict(map(_member, members))
    names = ["etcd-ca", "etcd-client", *(f"etcd-{name}" for name in wanted)]
    files = [directory / f"{name}.{kind}" for name in names for kind in ("pem", "key")]
    refuse_existing(files)
    ca, ca_key = new_authority("etcd", now)
    with Undo() as undo:
        undo.folder(directory)
        undo.public(directory / "etcd-ca.pem", ca)
        undo.private(directory / "etcd-ca.key", ca_key)
        holders = [("etcd-client", Role.MASTER, list[str]())]
        holders += [(f"etcd-{name}", Role.ETCD, hosts) for name, hosts in wanted.items()]
        for name, role, hosts in holders:
            key = new_key()
            try:
                certificate = issue(ca, ca_key, role, name, hosts, new_request(key, name), now)
            except BadRequest as e:
                raise ConfigurationError(f"{name}: {e}") from e
            undo.public(directory / f"{name}.pem", certificate)
            undo.private(directory / f"{name}.key", key)
        undo.keep()
    return files


def _member(text: str) -> tuple[str, list[str]]:
    name, _, hosts = text.partition("=")
    found = [host for host in hosts.split(",") if host]
    if not found or not name.replace("-", "").replace(".", "").isalnum() or name in ("ca", "client"):
        raise ConfigurationError(f"{text!r} is not of the form NAME=HOST[,HOST…]")
    return name, found
