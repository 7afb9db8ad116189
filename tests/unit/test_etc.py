"""The files of ``etc/`` are what the daemons read."""

import shutil
import subprocess
from pathlib import Path

import msgspec
from twisted.trial.unittest import SynchronousTestCase

from tests.requirements import missing
from twisted_rapi import config
from twisted_rapi.agent import settings
from twisted_rapi.web.auth import parse_users

ETC = Path(__file__).parents[2] / "etc"


class SampleTests(SynchronousTestCase):
    """Samples say what holds without them."""

    def test_master(self) -> None:
        """rapi.toml can be read and names every setting with its default."""
        found = msgspec.toml.decode((ETC / "rapi.toml").read_bytes())
        default = msgspec.to_builtins(config.Config(node="node1.example.com"))
        default["store"]["endpoints"] = default["dns"]["transfer"] = []
        self.assertEqual(found, default)
        config.load(ETC / "rapi.toml")

    def test_agent(self) -> None:
        """agent.toml can be read and names every setting with its default."""
        found = msgspec.toml.decode((ETC / "agent.toml").read_bytes())
        default = msgspec.to_builtins(settings.AgentSettings())
        del default["simulated"], default["ceph"]
        for name, value in default.items():
            if isinstance(value, tuple):
                default[name] = list(value)
        self.assertEqual(found, default)
        settings.load(ETC / "agent.toml")

    def test_users(self) -> None:
        """The sample has nobody in it who could come in."""
        self.assertEqual(parse_users((ETC / "users.sample").read_text()), {})


class UnitTests(SynchronousTestCase):
    """systemd takes the units."""

    skip = missing("systemd-analyze")

    def test_verify(self) -> None:
        """``systemd-analyze verify`` has nothing to say, but that the program is not installed there."""
        folder = Path(self.mktemp())
        folder.mkdir()
        services = ("rapi.service", "rapi-agent.service", "rapi-etcd.service", "rapi-backup.service")
        for name in (*services, "rapi-backup.timer"):
            text = (ETC / name).read_text()
            for program in ("/opt/twisted_rapi/bin/twistd", "/usr/bin/etcd"):
                text = text.replace(program, shutil.which("true") or "")
            (folder / name).write_text(text)
            ran = subprocess.run(
                ["systemd-analyze", "verify", "--man=no", str(folder / name)], capture_output=True, text=True
            )
            said = [line for line in ran.stderr.splitlines() if name in line]
            self.assertEqual((ran.returncode, said), (0, []), ran.stderr)
