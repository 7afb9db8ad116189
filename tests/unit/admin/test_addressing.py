"""Tests of `twisted_rapi.admin.addressing` and of the certificates for the API."""

import stat
import time
import tomllib
from ipaddress import ip_address
from pathlib import Path

import msgspec
from cryptography import x509
from twisted.trial.unittest import SynchronousTestCase

from twisted_rapi.admin.addressing import address_settings
from twisted_rapi.admin.certifying import api_hosts, certify_api
from twisted_rapi.config import load
from twisted_rapi.errors import ConfigurationError
from twisted_rapi.rpc.authority import Role, new_authority, role_of


class SettingsTests(SynchronousTestCase):
    """`address_settings`."""

    def test_modes(self) -> None:
        """With an interface the address is ours, without one it is followed; the file can be read."""
        rows = (("192.0.2.10/24", "eth0", "own"), ("2001:db8::10/64", "", "follow"))
        for ip, interface, mode in rows:
            text, alone = address_settings(ip, interface)
            self.assertEqual(alone, ip.partition("/")[0])
            expected = {"mode": mode, "ip": ip, "interface": interface}
            self.assertEqual(tomllib.loads(text), {"address": expected})
            file = Path(self.mktemp())
            file.write_text(f'node = "node1"\n{text}')
            self.assertEqual(msgspec.to_builtins(load(file).address), {**expected, "redirect": True})

    def test_none(self) -> None:
        """Without an address nothing is said, and an interface is for nothing."""
        self.assertEqual(address_settings("", ""), ("", ""))
        self.assertRaises(ConfigurationError, address_settings, "", "eth0")

    def test_refused(self) -> None:
        """What cannot be a floating address is refused by the option's name."""
        for ip in ("here", "127.0.0.1/8", "192.0.2.1/99", "224.0.0.5", "fe80::1/64"):
            error = self.assertRaises(ConfigurationError, address_settings, ip, "eth0")
            self.assertIn("--floating", str(error))


class CertificateTests(SynchronousTestCase):
    """`certify_api`."""

    def setUp(self) -> None:
        """The folder of a candidate."""
        self.folder = Path(self.mktemp())
        self.folder.mkdir()
        certificate, key = new_authority("cluster.example.com", time.time())
        (self.folder / "ca.pem").write_bytes(certificate)
        (self.folder / "ca.key").write_bytes(key)
        self.file = self.folder / "rapi.toml"
        self.write('[address]\nmode = "follow"\nip = "192.0.2.10/24"\n')

    def write(self, more: str) -> None:
        """Its configuration."""
        self.file.write_text(f'node = "node2.example.com"\n{more}')

    def issued(self) -> x509.SubjectAlternativeName:
        """What the certificate that was issued is good for."""
        certify_api(load(self.file), ["192.0.2.2", "2001:db8::2"], time.time())
        pem = (self.folder / "api.pem").read_bytes()
        self.assertIs(role_of(pem), Role.API)
        return (
            x509.load_pem_x509_certificate(pem)
            .extensions.get_extension_for_class(x509.SubjectAlternativeName)
            .value
        )

    def test_names(self) -> None:
        """It is good for the cluster, the floating address, this node and this machine."""
        found = self.issued()
        names = found.get_values_for_type(x509.DNSName)
        self.assertEqual(names, ["cluster.example.com", "node2.example.com", "localhost"])
        addresses = ("192.0.2.2", "2001:db8::2", "192.0.2.10", "127.0.0.1", "::1")
        self.assertEqual(found.get_values_for_type(x509.IPAddress), [*map(ip_address, addresses)])

    def test_no_floating(self) -> None:
        """Without a floating address it is good for the rest, whatever was configured before."""
        self.write('[address]\nip = "192.0.2.10/24"\n')
        self.assertNotIn(ip_address("192.0.2.10"), self.issued().get_values_for_type(x509.IPAddress))

    def test_again(self) -> None:
        """It takes the place of the one before; the key is nobody else's to read."""
        self.issued()
        key = (self.folder / "api.key").read_bytes()
        self.issued()
        self.assertNotEqual((self.folder / "api.key").read_bytes(), key)
        self.assertEqual(stat.S_IMODE((self.folder / "api.key").stat().st_mode), 0o600)

    def test_refused(self) -> None:
        """Without the authority, or with what is no address, nothing is written."""
        config = load(self.file)
        self.assertRaises(ConfigurationError, certify_api, config, ["node2"], time.time())
        (self.folder / "ca.key").unlink()
        self.assertRaises(ConfigurationError, certify_api, config, ["192.0.2.2"], time.time())
        self.assertFalse((self.folder / "api.key").exists())

    def test_hosts(self) -> None:
        """Nothing is named twice or empty."""
        hosts = api_hosts("c", "c", ["127.0.0.1", "192.0.2.1"], "")
        self.assertEqual(hosts, ["c", "127.0.0.1", "192.0.2.1", "localhost", "::1"])
