"""
Proof that another cluster has the same secret: hashes, handshakes, signed certificates (behaviour.md §6).

Every proof is the hash of a salt and a text under the secret, so that nobody without it can make one.
"""

import hmac
import re
from typing import Any

import attrs
from cryptography import x509

from twisted_rapi.plan.view import View

HANDSHAKE_VERSION = 0
HANDSHAKE = f"{HANDSHAKE_VERSION}:Hi, I'm Ganeti"
SKEW = 150.0  # seconds the clocks of two clusters may differ

_SIGNATURE = re.compile(r"^X-Ganeti-Signature:\s*([^/\s]+)/([0-9a-fA-F]+)\s*$", re.MULTILINE)
_PEM = re.compile(r"-----BEGIN CERTIFICATE-----\n.+?\n-----END CERTIFICATE-----", re.DOTALL)
_MOST = 64 * 1024  # characters of a signed certificate


class Unproven(Exception):
    """What was given does not prove what it should; the text says why."""


def digest(secret: str, text: str, salt: str) -> str:
    """The proof that who knows `secret` says `text`."""
    return hmac.new(secret.encode(), (salt + text).encode(), "sha1").hexdigest()


def new_salt(view: View) -> str:
    """A salt nobody can foresee."""
    return f"{view.chance.getrandbits(64):016x}"


def check(secret: str, text: str, salt: str, given: str, why: str) -> None:
    """
    Whether `given` is the proof of `text`.

    :raises Unproven: it is not, with `why`; without a secret nothing is.
    """
    if not secret or not hmac.compare_digest(digest(secret, text, salt).encode(), given.encode()):
        raise Unproven(why)


def _texts(values: list[Any], count: int, what: str) -> list[Any]:
    if len(values) != count:
        raise Unproven(f"{what} has {len(values)} parts, not {count}")
    if not all(isinstance(v, str) for v in values[-2:]):
        raise Unproven("hash and salt are texts")
    return values


# The handshake.


def handshake(secret: str, salt: str) -> list[Any]:
    """What tells another cluster that this one has the same secret."""
    return [HANDSHAKE_VERSION, digest(secret, HANDSHAKE, salt), salt]


def check_handshake(secret: str, given: list[Any]) -> None:
    """
    Whether who says this has the secret.

    :raises Unproven: not as far as this tells.
    """
    version, proof, salt = _texts(given, 3, "a handshake")
    if version != HANDSHAKE_VERSION or isinstance(version, bool):
        raise Unproven(f"its version is {version}, ours is {HANDSHAKE_VERSION}")
    check(secret, HANDSHAKE, salt, proof, "the hash is wrong: the clusters do not share one domain secret")


# Names of keys.


def key_name(secret: str, name: str, salt: str) -> list[Any]:
    """The name of a key, so that another than what was answered is not taken."""
    return [name, digest(secret, name, salt), salt]


def key_name_of(secret: str, given: list[Any]) -> str:
    """
    The name of a key that was given out before.

    :raises Unproven: it was not.
    """
    name, proof, salt = _texts(given, 3, "the name of a key")
    if not isinstance(name, str):
        raise Unproven("the name of a key is a text")
    check(secret, name, salt, proof, "the hash is wrong")
    return name


# Certificates.


def signed(secret: str, certificate: str, salt: str) -> str:
    """A certificate (PEM) with its proof before it."""
    return f"X-Ganeti-Signature: {salt}/{digest(secret, certificate, salt)}\n\n{certificate}"


def certificate_of(secret: str, given: str, now: float) -> str:
    """
    The certificate (PEM) in one that was `signed`.

    :raises Unproven: it is none, its proof is wrong, or it is not valid `now`.
    """
    text = given.replace("\r\n", "\n")
    found, head = _PEM.search(text[:_MOST]), _SIGNATURE.search(text[:_MOST])
    if found is None or head is None or head.start() > found.start():
        raise Unproven("it is no certificate with a signature")
    pem = f"{found.group()}\n"
    salt, proof = head.groups()
    check(secret, pem, salt, proof.lower(), "its signature is wrong")
    try:
        certificate = x509.load_pem_x509_certificate(pem.encode())
        begins, ends = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    except (ValueError, x509.InvalidVersion) as e:
        raise Unproven("it cannot be read") from e
    if now + SKEW < begins.timestamp():
        raise Unproven(f"it is not valid before {begins:%Y-%m-%d %H:%M:%S} UTC")
    if now > ends.timestamp():
        raise Unproven(f"it is no longer valid since {ends:%Y-%m-%d %H:%M:%S} UTC")
    return pem


# Where a disk is to be sent.


@attrs.frozen
class Destination:
    """Where another cluster waits for a disk, and the magic value it knows the sender by."""

    host: str
    port: int
    magic: str


def _told(index: int, where: Destination) -> str:
    return f"{index}:{where.host}:{where.port}:{where.magic}"


def destination(secret: str, index: int, where: Destination, salt: str) -> list[Any]:
    """A destination as it is told to the cluster that sends disk `index`."""
    return [where.host, where.port, where.magic, digest(secret, _told(index, where), salt), salt]


def destination_of(secret: str, index: int, given: Any) -> Destination:
    """
    The destination that was told for disk `index`.

    :raises Unproven: it was not.
    """
    if not isinstance(given, list):
        raise Unproven("it is no list")
    host, port, magic, proof, salt = _texts(given, 5, "it")
    if isinstance(port, str) and port.isascii() and port.isdigit():
        port = int(port)
    if not isinstance(host, str) or not isinstance(magic, str) or not host or not magic:
        raise Unproven("host and magic value are texts")
    if not isinstance(port, int) or not 0 < port < 65536:
        raise Unproven("the port is a number below 65536")
    where = Destination(host, port, magic)
    check(secret, _told(index, where), salt, proof, "the hash is wrong")
    return where
