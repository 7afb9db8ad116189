"""Tests of `twisted_rapi.config`, and of what the documentation says of it."""

import json
import re
from pathlib import Path
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from twisted_rapi.agent.fencing_settings import FencingSettings, Ipmi
from twisted_rapi.agent.settings import AgentSettings, CephSettings, Simulated
from twisted_rapi.agent.settings import load as load_agent
from twisted_rapi.config import Config, listen_address, load
from twisted_rapi.errors import ConfigurationError

DOCS = Path(__file__).parents[2] / "docs" / "configuration.rst"


class LoadTests(SynchronousTestCase):
    """A file is a configuration, or an error that says where and why not."""

    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).resolve()
        self.folder.mkdir()
        self.file = self.folder / "rapi.toml"

    def load(self, text: str) -> Config:
        self.file.write_text(text)
        return load(self.file)

    def test_paths(self) -> None:
        """Relative paths are below the file's folder; absolute and empty ones stay."""
        found = self.load('node = "n"\n[api]\nkey = "keys/api.key"\n[store]\npath = "/s.db"\n')
        self.assertEqual(found.api.key, str(self.folder / "keys/api.key"))
        self.assertEqual(found.api.users, str(self.folder / "users"))
        self.assertEqual(found.store.path, "/s.db")
        self.assertEqual(found.log.file, "")

    def test_refused(self) -> None:
        """Each error names the file, the key or line, and the reason."""
        node = 'node = "n"\n'
        cases = {
            "": "node",
            'node = ""': "node:",
            "node = 5": "$.node",
            node + "nonsense\nx = 1": "line 2",
            node + "[api]\nlisten = 5080": "$.api.listen",
            node + '[api]\nlisten = "5080"': "api.listen",
            node + '[api]\nlisten = "[::]:0"': "api.listen",
            node + '[api]\nlisten = "h:²"': "api.listen",
            node + '[api]\nlisten = "h:65536"': "api.listen",
            node + '[api]\nuser = "x"': "user",
            node + '[api]\nrequire_authentication = "no"': "$.api.require_authentication",
            node + "[jobs]\narchive_age = -1": "jobs.archive_age",
            node + "[jobs]\narchive_age = nan": "jobs.archive_age",
            node + '[log]\nlevel = "loud"': "log.level",
            node + "[death]\nsilence = 1": "death.silence",
            node + "[watchdog]\nwait = 0": "watchdog.wait",
            node + "[watchdog]\nstarts = 0": "watchdog.starts",
            node + '[metrics]\nlisten = "x"': "metrics.listen",
            node + '[dns]\nlisten = "0.0.0.0:53"': "dns.listen",
            node + '[dns]\nlisten = "names:53"': "dns.listen",
            node + '[dns]\nlisten = "192.0.2.1:53"\ntransfer = ["192.0.2.1/24"]': "dns.transfer",
            node + '[store]\nkind = "file"': "$.store.kind",
            node + '[store]\nkind = "etcd"': "store.endpoints",
            node + '[store]\nkind = "etcd"\nendpoints = ["http://h:2379"]': "https://host:port",
            node + '[store]\nendpoints = ["https://h"]': "https://host:port",
            node + '[store]\nendpoints = ["https://h:99999"]': "https://host:port",
            node + '[store]\nendpoints = ["https://h:2379/v3"]': "https://host:port",
            node + '[store]\nprefix = "no slash"': "store.prefix",
            node + "[store]\nlease = 1": "store.lease",
            node + '[address]\nmode = "away"': "address.mode",
            node + '[address]\nmode = "own"': "address.ip",
            node + '[address]\nmode = "own"\nip = "192.0.2.1/33"\ninterface = "e"': "address.ip",
            node + '[address]\nmode = "own"\nip = "192.0.2.1/24"': "address.interface",
            node + '[address]\nmode = "own"\nip = "192.0.2.1/24"\ninterface = "a/b"': "address.interface",
            node + '[address]\nmode = "own"\nip = "192.0.2.1/24"\ninterface = "a234567890123456"': "name",
            node + '[address]\nmode = "follow"\nip = "fe80::1%eth0/64"': "address.ip",
            node + '[address]\nmode = "follow"\nip = "127.0.0.2/8"': "address.ip",
            node + "[what]": "what",
        }
        for text, where in cases.items():
            error = self.assertRaises(ConfigurationError, self.load, text)
            self.assertIn(str(self.file), str(error), text)
            self.assertIn(where, str(error), text)

    def test_unreadable(self) -> None:
        """No file, and one that is no text."""
        self.assertRaises(ConfigurationError, load, self.folder / "none.toml")
        self.file.write_bytes(b"node = \xff")
        self.assertRaises(ConfigurationError, load, self.file)

    def test_ceph(self) -> None:
        """An agent's ``[ceph]`` has paths below the file's folder, users that are no options, and uuids."""
        self.file.write_text('[ceph]\nconf = "c.conf"\ntools_path = ["bin", "/opt/ceph"]\n')
        found = load_agent(self.file).ceph
        assert found is not None
        self.assertEqual(found.tools_path, (str(self.folder / "bin"), "/opt/ceph"))
        self.assertEqual((found.conf, found.user), (str(self.folder / "c.conf"), ""))
        secret = 'secrets = { "%s" = "%s" }'
        uuid = "b8b0a3a4-6d0c-4f6e-9df2-1d2f6f7a1c11"
        for text in ('user = "--id"', secret % ("a b", uuid), secret % ("kvm", "secret")):
            self.file.write_text(f"[ceph]\n{text}\n")
            error = self.assertRaises(ConfigurationError, load_agent, self.file)
            self.assertIn(f"{self.file}: ceph", str(error))

    @given(st.sampled_from(["h", "192.0.2.1", "[::1]", "::"]), st.integers(1, 65535))
    def test_listen(self, host: str, port: int) -> None:
        """Host and port come back; brackets are not the host's."""
        self.assertEqual(listen_address(f"{host}:{port}", "x"), (host.strip("[]"), port))

    @given(st.text())
    def test_any_listen(self, text: str) -> None:
        """Any text is an address or a refusal, nothing else."""
        try:
            _, port = listen_address(text, "x")
        except ConfigurationError:
            return
        self.assertTrue(0 < port < 65536)


class DocumentationTests(SynchronousTestCase):
    """``docs/configuration.rst`` has every setting with its default."""

    def documented(self) -> dict[str, dict[str, str]]:
        """Setting and default by section; the agent's settings are under ``agent``."""
        found: dict[str, dict[str, str]] = {}
        section = ""
        for line in DOCS.read_text().splitlines():
            if match := re.fullmatch(r"``(?:\[(\w+)\]|(agent|fencing)\.toml)``", line):
                section = match[1] or match[2]
            if match := re.fullmatch(r"``(\w+)``, ``(.*)``", line):
                found.setdefault(section, {})[match[1]] = match[2]
        return found

    def written(self, values: Any) -> dict[str, str]:
        """Defaults as they would stand in the file."""
        return {k: json.dumps(v, ensure_ascii=False) for k, v in msgspec.to_builtins(values).items()}

    def test_all(self) -> None:
        """No setting is missing, none is made up, and the defaults are right."""
        expected = {}
        for name, section in msgspec.structs.asdict(Config(node="")).items():
            if name != "node":
                expected[name] = self.written(section)
        agent = AgentSettings()
        expected["agent"] = self.written(agent)
        del expected["agent"]["simulated"]
        del expected["agent"]["ceph"]
        expected["ceph"] = self.written(CephSettings())
        board = self.written(Ipmi(address="", user="", password_file=""))
        program = self.written(FencingSettings())["ipmitool"]
        kept = {name: board[name] for name in ("port", "interface", "privilege")}
        expected["fencing"] = {"ipmitool": program, **kept}
        expected["simulated"] = self.written(Simulated())
        self.assertEqual(self.documented(), expected)
