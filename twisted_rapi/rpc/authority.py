"""
The cluster's certificate authority: who is who between master, nodes and the API.

All of it computes or blocks for milliseconds and is called from threads or commands.
"""

import datetime
import hashlib
import re
from collections.abc import Sequence
from enum import Enum
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from twisted_rapi.errors import BadRequest
from twisted_rapi.model.seen import CertificateSeen

DAY = datetime.timedelta(days=1)
AUTHORITY_DAYS = 3650
LEAF_DAYS = 1825


_HOST = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_.-]{0,252})")


class Role(Enum):
    """What the holder of a certificate may be; also its subject's organisational unit."""

    MASTER = "master"
    NODE = "node"
    API = "api"
    ETCD = "etcd"


_USAGE = {
    # Candidates hand requests on to each other: one of two is a server then.
    Role.MASTER: [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH],
    # Nodes send disks to each other: one of two is a client then.
    Role.NODE: [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH],
    Role.API: [ExtendedKeyUsageOID.SERVER_AUTH],
    # Members of etcd call one another with what they show to clients.
    Role.ETCD: [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH],
}


def new_key() -> bytes:
    """A new private key as PEM."""
    return ec.generate_private_key(ec.SECP256R1()).private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def _key(pem: bytes) -> ec.EllipticCurvePrivateKey:
    key = serialization.load_pem_private_key(pem, None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise ValueError("not an elliptic curve key")
    return key


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _subject(name: str, role: str) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, role),
            x509.NameAttribute(NameOID.COMMON_NAME, name[:64]),
        ]
    )


def _time(seconds: float) -> datetime.datetime:
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC)


def new_authority(name: str, now: float) -> tuple[bytes, bytes]:
    """
    A new authority for the cluster `name`: certificate and key as PEM.

    :param now: seconds since the epoch.
    """
    pem = new_key()
    key = _key(pem)
    subject = _subject(name, "authority")
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(_time(now) - DAY)
        .not_valid_after(_time(now) + AUTHORITY_DAYS * DAY)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(signs=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    return _pem(certificate), pem


def _key_usage(signs: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=signs,
        crl_sign=signs,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _alternative(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(host))
    except ValueError:
        if not _HOST.fullmatch(host):
            raise BadRequest(f"{host!r} is neither a DNS name nor an address") from None
        return x509.DNSName(host)


def new_request(key_pem: bytes, name: str) -> bytes:
    """A request for a certificate for this key, as PEM."""
    request = x509.CertificateSigningRequestBuilder().subject_name(_subject(name, "request"))
    return request.sign(_key(key_pem), hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def issue(
    authority_pem: bytes,
    authority_key_pem: bytes,
    role: Role,
    name: str,
    hosts: Sequence[str],
    request_pem: bytes,
    now: float,
    days: int = LEAF_DAYS,
) -> bytes:
    """
    A certificate as PEM for the key of a request; of the request nothing but its key is taken.

    :param hosts: DNS names and addresses it is good for.
    :raises BadRequest: the request is not one, or not signed by its key; or a host is none.
    """
    public = _requested(request_pem)
    authority = x509.load_pem_x509_certificate(authority_pem)
    key = _key(authority_key_pem)
    builder = (
        x509.CertificateBuilder()
        .subject_name(_subject(name, role.value))
        .issuer_name(authority.subject)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(_time(now) - DAY)
        .not_valid_after(min(_time(now) + days * DAY, authority.not_valid_after_utc))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(signs=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage(_USAGE[role]), critical=True)
        # Strict verifiers (RFC 5280, Python from 3.13 on) want to be told the keys on both sides.
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key()), critical=False)
    )
    if hosts:
        names = x509.SubjectAlternativeName([_alternative(h) for h in hosts])
        builder = builder.add_extension(names, critical=False)
    return _pem(builder.sign(key, hashes.SHA256()))


def _requested(request_pem: bytes) -> ec.EllipticCurvePublicKey:
    """The key a certificate is requested for."""
    try:
        request = x509.load_pem_x509_csr(request_pem)
        if not request.is_signature_valid:
            raise ValueError("it is not signed by its key")
        public = request.public_key()
        if not isinstance(public, ec.EllipticCurvePublicKey):
            raise ValueError("its key is not one of an elliptic curve")
    except (ValueError, InvalidSignature) as e:
        raise BadRequest(f"The certificate request cannot be used: {e}") from e
    return public


def fingerprint(certificate_pem: bytes) -> str:
    """SHA-256 of a certificate in hex."""
    der = x509.load_pem_x509_certificate(certificate_pem).public_bytes(serialization.Encoding.DER)
    return hashlib.sha256(der).hexdigest()


def expires(certificate_pem: bytes) -> float:
    """When a certificate ends, in seconds since the epoch."""
    return x509.load_pem_x509_certificate(certificate_pem).not_valid_after_utc.timestamp()


def issued(certificate_pem: bytes) -> float:
    """When `issue` made a certificate, in whole seconds since the epoch; it is good from a day before."""
    return (x509.load_pem_x509_certificate(certificate_pem).not_valid_before_utc + DAY).timestamp()


def role_of(certificate_pem: bytes) -> Role | None:
    """The role a certificate was issued for; ``None`` for any other certificate."""
    subject = x509.load_pem_x509_certificate(certificate_pem).subject
    units = subject.get_attributes_for_oid(NameOID.ORGANIZATIONAL_UNIT_NAME)
    values = {role.value: role for role in Role}
    return values.get(str(units[0].value)) if len(units) == 1 else None


def seen(role: str, path: Path) -> CertificateSeen:
    """A certificate in a file, with the reason where it cannot be read; reads it."""
    try:
        return CertificateSeen(role=role, path=str(path), expires=expires(path.read_bytes()))
    except (OSError, ValueError) as e:
        return CertificateSeen(role=role, path=str(path), invalid=str(e))
