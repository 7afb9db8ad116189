"""``rapi-admin`` against real files and a real master."""

import io
import os
import subprocess
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from twisted_rapi.admin import joining
from twisted_rapi.admin.check import check_all
from twisted_rapi.admin.command import run
from twisted_rapi.admin.files import users
from twisted_rapi.agent.settings import load as load_agent
from twisted_rapi.config import load
from twisted_rapi.state.database import integrity
from twisted_rapi.testing.local import LocalCluster


class AdminTests(SynchronousTestCase):
    """Founding, users, checks and backup on one machine."""

    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).resolve()
        self.told: list[str] = []

    def admin(self, *arguments: str) -> int:
        return run(arguments, self.told.append)

    def init(self) -> int:
        return self.admin(
            *(
                "init",
                "--cluster",
                "vms.example.com",
                "--node",
                "node1.example.com",
                "--address",
                "127.0.0.1",
            ),
            *("--directory", str(self.folder / "etc"), "--state-dir", str(self.folder / "var")),
            *("--hypervisor", "fake"),
        )

    def test_init(self) -> None:
        """It writes what the daemons can read, keys for their owner alone."""
        self.assertEqual(self.init(), 0, self.told)
        config = load(self.folder / "etc/rapi.toml")
        self.assertEqual(config.node, "node1.example.com")
        self.assertEqual(load_agent(self.folder / "etc/agent.toml").hypervisors, ("fake",))
        for name in ("ca.key", "master.key", "api.key", "node.key", "users"):
            self.assertEqual((self.folder / "etc" / name).stat().st_mode & 0o777, 0o600, name)
        self.assertEqual(integrity(Path(config.store.path)), [])

    def test_init_twice(self) -> None:
        """A second one is refused and changes nothing."""
        self.init()
        before = {p: p.read_bytes() for p in (self.folder / "etc").iterdir()}
        self.assertEqual(self.init(), 1)
        self.assertIn("there already", self.told[-1])
        self.assertEqual({p: p.read_bytes() for p in (self.folder / "etc").iterdir()}, before)

    def test_init_fails(self) -> None:
        """One that fails leaves nothing."""
        (self.folder / "var").mkdir(parents=True)
        (self.folder / "var/state.db.lock").mkdir()
        self.assertEqual(self.init(), 1)
        self.assertFalse((self.folder / "etc").exists())

    def test_users(self) -> None:
        """Users are added with a hash, changed, listed and removed; other lines stay."""
        self.init()
        file = self.folder / "etc/users"
        config = str(self.folder / "etc/rapi.toml")
        self.patch(__import__("sys"), "stdin", io.StringIO("secret\nother\n"))
        self.assertEqual(self.admin("user", "add", "-c", config, "--write", "--password-stdin", "anna"), 0)
        self.assertEqual(self.admin("user", "add", "-c", config, "--password-stdin", "ben"), 0)
        self.assertEqual(users(file), {"anna": "write", "ben": ""})
        self.assertNotIn("secret", file.read_text())
        self.assertIn("# name password", file.read_text())
        self.assertEqual(self.admin("user", "remove", "-c", config, "anna"), 0)
        self.assertEqual(self.admin("user", "remove", "-c", config, "anna"), 1)
        self.assertEqual(users(file), {"ben": ""})

    def test_check(self) -> None:
        """A new cluster lacks only a user; what is broken later is found."""
        self.init()
        bad = [f.what for f in check_all(self.folder / "etc") if not f.good]
        self.assertEqual(bad, ["users"])
        (self.folder / "etc/master.key").chmod(0o644)
        (self.folder / "var/state.db").write_bytes(b"broken" * 1000)
        bad = [f.what for f in check_all(self.folder / "etc") if not f.good]
        self.assertEqual(bad, ["key of the master's certificate", "store", "users"])

    def test_backup(self) -> None:
        """A backup is a store."""
        self.init()
        target = self.folder / "copy.db"
        self.assertEqual(self.admin("backup", "-c", str(self.folder / "etc/rapi.toml"), str(target)), 0)
        self.assertEqual(integrity(target), [])

    def test_usage(self) -> None:
        """What is missing is named."""
        self.assertEqual(self.admin("init", "--cluster", "x"), 2)
        self.assertIn("--node is needed", self.told[-1])
        self.assertEqual(self.admin(), 2)

    def test_installed(self) -> None:
        """The console script is there."""
        found = subprocess.run(["rapi-admin", "--help"], capture_output=True, text=True, env=_with_venv())
        self.assertIn("join-token", found.stdout)


def _with_venv() -> dict[str, str]:
    import sys

    return {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}


class JoiningTests(SynchronousTestCase):
    """A node joins a running cluster, once per token."""

    def test_join(self) -> None:
        """The new node has a certificate, is listed, and its token is used up."""
        folder = Path(self.mktemp()).resolve()
        cluster = LocalCluster(folder, nodes=1)
        self.addCleanup(cluster.remove)
        cluster.set_up()
        cluster.add_user("demo", "secret")
        cluster.start()
        config = load(cluster.config / "rapi.toml")
        token = joining.new_token(config, "demo", "secret", 60)
        told: list[str] = []

        def join(node: str, token: str) -> int:
            where = folder / node
            arguments = ["join", "--master", f"127.0.0.1:{cluster.port}", "--token", token, "--node", node]
            arguments += [
                "--address",
                "127.0.0.1",
                "--directory",
                str(where),
                "--state-dir",
                str(where / "var"),
            ]
            return run([*arguments, "--hypervisor", "fake"], told.append)

        self.assertEqual(join("node9.example.com", token), 0, told)
        self.assertEqual((folder / "node9.example.com/node.key").stat().st_mode & 0o777, 0o600)
        self.assertEqual(join("node8.example.com", token), 1)
        self.assertIn("refused", told[-1])
        self.assertFalse((folder / "node8.example.com").exists())
        wrong = f"{token.partition('.')[0]}.{'0' * 64}"
        self.assertEqual(join("node7.example.com", wrong), 1)
        self.assertIn("not the master", told[-1])
        listed = subprocess.run(
            ["curl", "-sk", f"{cluster.url}/2/nodes"], capture_output=True, text=True, timeout=10
        )
        self.assertIn("node9.example.com", listed.stdout)
        self.assertNotIn("node8", listed.stdout)
