"""TLS within a cluster: both ends show certificates of its authority, each for its role."""

from collections.abc import Callable
from typing import Any

import attrs
from OpenSSL import SSL, crypto
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator, IOpenSSLServerConnectionCreator
from twisted.internet.ssl import (
    Certificate,
    CertificateOptions,
    PrivateCertificate,
    TLSVersion,
    optionsForClientTLS,
)
from twisted.web.iweb import IPolicyForHTTPS
from zope.interface import implementer

from twisted_rapi.rpc.authority import Role, issued, role_of


@attrs.frozen
class Identity:
    """A certificate with its key, and the authority's certificate; all PEM."""

    authority: bytes
    certificate: bytes
    key: bytes

    def private(self) -> PrivateCertificate:
        """As Twisted wants it."""
        private: PrivateCertificate = PrivateCertificate.loadPEM(self.certificate.rstrip() + b"\n" + self.key)
        return private

    def trusted(self) -> Certificate:
        """The authority's certificate, as Twisted wants it."""
        return Certificate.loadPEM(self.authority)


def agent_tls(identity: Identity) -> CertificateOptions:
    """What an agent's listener uses: a client certificate of the cluster's authority is demanded."""
    private = identity.private()
    return CertificateOptions(
        privateKey=private.privateKey.original,
        certificate=private.original,
        trustRoot=identity.trusted(),
        raiseMinimumTo=TLSVersion.TLSv1_2,
    )


@implementer(IPolicyForHTTPS)
class MasterTLS:
    """
    What the master's client uses: agents are known by the cluster's authority and the name they have.

    Note [Removed nodes].  A node that was removed keeps its certificate, which is good for its name and
    address.  Nobody takes it: agents obey masters only, and the master speaks only to nodes that are
    registered.  Where another node has the name or the address by now, a certificate from before that was
    registered is not its own.

    :param since: when the node that listens there was registered, in seconds since the epoch.
    """

    def __init__(
        self, identity: Identity, since: Callable[[str, int], float] = lambda _host, _port: 0.0
    ) -> None:
        self._trusted = identity.trusted()
        self._private = identity.private()
        self._since = since

    def creatorForNetloc(self, hostname: bytes, port: int) -> IOpenSSLClientConnectionCreator:
        """See `IPolicyForHTTPS`."""
        host = hostname.decode("ascii")
        inner: IOpenSSLClientConnectionCreator = optionsForClientTLS(
            host, trustRoot=self._trusted, clientCertificate=self._private
        )
        return _OnlyNodes(inner, self._since(host, port))


@implementer(IOpenSSLClientConnectionCreator)
@attrs.frozen
class _OnlyNodes:
    """Connections that come about only with who has a node's certificate, issued `since` or later."""

    _inner: IOpenSSLClientConnectionCreator
    _since: float

    def clientConnectionForTLS(self, tlsProtocol: Any) -> SSL.Connection:
        """See `IOpenSSLClientConnectionCreator`."""
        connection: SSL.Connection = self._inner.clientConnectionForTLS(tlsProtocol)
        connection.set_verify(SSL.VERIFY_PEER, self._is_node)
        return connection

    def _is_node(
        self, _connection: SSL.Connection, certificate: crypto.X509, _error: int, depth: int, valid: int
    ) -> bool:
        """Whether a certificate of a chain is as it has to be: valid, and the first one the node's."""
        if not valid or depth:
            return bool(valid)
        pem = crypto.dump_certificate(crypto.FILETYPE_PEM, certificate)
        # Certificates have whole seconds.
        return role_of(pem) is Role.NODE and issued(pem) > self._since - 1


@implementer(IPolicyForHTTPS, IOpenSSLClientConnectionCreator, IOpenSSLServerConnectionCreator)
class PeerTLS:
    """
    What candidates use to each other, at both ends: whoever is there has to show a master's certificate.

    Which of them it is is not asked: all candidates may do the same.  Whether a certificate is in time, and
    made for that end of a connection, OpenSSL says.
    """

    def __init__(self, identity: Identity) -> None:
        self._options = agent_tls(identity)

    def creatorForNetloc(self, hostname: bytes, port: int) -> IOpenSSLClientConnectionCreator:
        """See `IPolicyForHTTPS`."""
        return self

    def clientConnectionForTLS(self, tlsProtocol: Any) -> SSL.Connection:
        """See `IOpenSSLClientConnectionCreator`."""
        return self._connection(tlsProtocol)

    def serverConnectionForTLS(self, tlsProtocol: Any) -> SSL.Connection:
        """See `IOpenSSLServerConnectionCreator`."""
        return self._connection(tlsProtocol)

    def _connection(self, protocol: Any) -> SSL.Connection:
        connection = SSL.Connection(self._options.getContext(), None)
        connection.set_app_data(protocol)
        connection.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT, _is_master)
        return connection


def _is_master(
    _connection: SSL.Connection, certificate: crypto.X509, _error: int, depth: int, valid: int
) -> bool:
    """Whether a certificate of a chain is as it has to be: valid, and the first one a master's."""
    if not valid or depth:
        return bool(valid)
    return role_of(crypto.dump_certificate(crypto.FILETYPE_PEM, certificate)) is Role.MASTER


def peer_role(connection: SSL.Connection | None) -> Role | None:
    """The role of who is at the other end of a TLS connection; ``None`` for nobody known."""
    certificate = None if connection is None else connection.get_peer_certificate()
    if certificate is None:
        return None
    return role_of(crypto.dump_certificate(crypto.FILETYPE_PEM, certificate))


def server_options(certificate: bytes, key: bytes) -> CertificateOptions:
    """What the API's listener uses; `certificate` may be followed by the certificates above it."""
    chain = Certificate.loadPEM(certificate)
    parts = certificate.split(b"-----END CERTIFICATE-----\n")
    above = [Certificate.loadPEM(p + b"-----END CERTIFICATE-----\n").original for p in parts[1:] if p.strip()]
    private = PrivateCertificate.loadPEM(chain.dumpPEM().rstrip() + b"\n" + key)
    return CertificateOptions(
        privateKey=private.privateKey.original,
        certificate=private.original,
        extraCertChain=above,
        raiseMinimumTo=TLSVersion.TLSv1_2,
    )
