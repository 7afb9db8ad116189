"""``rapi-admin`` against real files and a real master."""

import io
import os
import socket
import subprocess
import threading
import time
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from twisted_rapi.admin import joining
from twisted_rapi.admin.check import check_all
from twisted_rapi.admin.command import run
from twisted_rapi.admin.files import users
from twisted_rapi.agent.settings import load as load_agent
from twisted_rapi.config import load
from twisted_rapi.rpc.authority import Role, issue, new_authority, new_request
from twisted_rapi.state.database import Database, integrity
from twisted_rapi.testing.local import LocalCluster


class AdminTests(SynchronousTestCase):
    """Founding, users, checks and backup on one machine."""

    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).resolve()
        self.told: list[str] = []

    def admin(self, *arguments: str) -> int:
        status = run(arguments, self.told.append)
        assert isinstance(status, int)
        return status

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
        """One that fails leaves nothing of its own."""
        self.folder.mkdir(parents=True)
        (self.folder / "var").write_text("in the way")
        self.assertEqual(self.init(), 1)
        self.assertEqual([p.name for p in self.folder.iterdir()], ["var"])

    def test_init_keeps_what_is_there(self) -> None:
        """Any of its files that is there already makes it refuse, and stays as it was."""
        for name in ("etc/ca.key", "etc/node.key", "etc/api.pem", "var/state.db.lock", "var/state.db-wal"):
            file = self.folder / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text("precious")
            self.assertEqual(self.init(), 1, name)
            self.assertIn("there already", self.told[-1])
            self.assertEqual(file.read_text(), "precious")
            self.assertFalse((self.folder / "etc/rapi.toml").exists())
            file.unlink()
        self.assertEqual(self.init(), 0, self.told)

    def test_init_of_nonsense(self) -> None:
        """What cannot be a name, an address or a port is refused before anything is written."""
        good = {"cluster": "c.example.com", "node": "n.example.com", "address": "192.0.2.1", "port": "1811"}
        bad = [("node", 'a"b'), ("node", "192.0.2.7"), ("node", "N.example.com"), ("cluster", "a b")]
        bad += [("address", "n.example.com"), ("address", "fe80::1%eth0"), ("port", "0"), ("port", "65536")]
        for name, value in bad:
            pairs = {**good, name: value, "directory": str(self.folder), "state-dir": str(self.folder)}
            self.assertEqual(self.admin("init", *(f"--{k}={v}" for k, v in pairs.items())), 1, value)
            self.assertFalse(self.folder.exists())

    def test_init_of_odd_paths(self) -> None:
        """Folders whose names TOML would take for something else are written so that they are read back."""
        self.folder = self.folder / 'a "b" \\c ä'
        self.assertEqual(self.init(), 0, self.told)
        state = self.folder / "var"
        self.assertEqual(load(self.folder / "etc/rapi.toml").store.path, str(state / "state.db"))
        self.assertEqual(load_agent(self.folder / "etc/agent.toml").state_dir, str(state / "agent"))

    def test_init_lets_qemu_pass(self) -> None:
        """Others may pass through the state's folder to the disks, without reading what is in it."""
        self.init()
        self.assertEqual((self.folder / "var").stat().st_mode & 0o777, 0o711)
        self.assertEqual((self.folder / "var/state.db").stat().st_mode & 0o777, 0o600)

    def test_token_without_master(self) -> None:
        """A master that does not run has its token put into the store; one that runs is not gone round."""
        self.init()
        config = load(self.folder / "etc/rapi.toml")
        asked = ("join-token", "-c", str(self.folder / "etc/rapi.toml"))
        self.assertEqual(self.admin(*asked), 0, self.told)
        database = Database(Path(config.store.path))
        try:
            self.assertEqual(len(database.page("jointoken/", "", 10).entries), 1)
            self.assertEqual(self.admin(*asked), 1)
            self.assertIn("--user", self.told[-1])
        finally:
            database.close()
        for seconds in ("0", "-1", "99999999"):
            self.assertEqual(self.admin(*asked, "--seconds", seconds), 1)

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

    def problems(self) -> dict[str, str]:
        return {f.what: f.text for f in check_all(self.folder / "etc") if not f.good}

    def test_check_certificates(self) -> None:
        """One of another authority, one for another role and one of another key are told apart."""
        self.init()
        etc = self.folder / "etc"
        pem, key = new_authority("other.example.com", time.time())
        mine = (etc / "master.key").read_bytes()
        request = new_request(mine, "x")
        strange = issue(pem, key, Role.MASTER, "x", ["x"], request, time.time())
        (etc / "master.pem").write_bytes(strange)
        self.assertIn("not issued by", self.problems()["master's certificate"])
        ours = (etc / "ca.pem").read_bytes(), (etc / "ca.key").read_bytes()
        (etc / "master.pem").write_bytes(issue(*ours, Role.NODE, "x", ["x"], request, time.time()))
        self.assertIn("not issued for the role", self.problems()["master's certificate"])
        soon = issue(*ours, Role.MASTER, "x", ["x"], request, time.time(), days=7)
        (etc / "master.pem").write_bytes(soon)
        self.assertIn("ends in", self.problems()["master's certificate"])
        gone = issue(*ours, Role.MASTER, "x", ["x"], request, time.time() - 10 * 86400, days=7)
        (etc / "master.pem").write_bytes(gone)
        self.assertIn("ended 3 days ago", self.problems()["master's certificate"])
        (etc / "master.pem").write_bytes((etc / "node.pem").read_bytes())
        self.assertIn("master's certificate", self.problems())

    def test_check_names_and_ports(self) -> None:
        """A node that the cluster does not have, an address not of this machine, and a port another has."""
        self.init()
        file = self.folder / "etc/rapi.toml"
        with socket.socket() as other:
            other.bind(("127.0.0.1", 0))
            other.listen()
            port = other.getsockname()[1]
            text = file.read_text().replace("node1.", "node5.")
            text += f'\n[api]\nlisten = "127.0.0.1:{port}"\n[metrics]\nlisten = "192.0.2.200:5081"\n'
            file.write_text(text)
            threading.Thread(target=_answer_once, args=(other,)).start()
            found = self.problems()
        self.assertIn("no node node5", found["node"])
        self.assertIn("another program", found["port of the API"])
        self.assertIn("cannot be listened on", found["port of the metrics"])

    def test_check_users_mode(self) -> None:
        """A users file that others may read is found."""
        self.init()
        (self.folder / "etc/users").chmod(0o640)
        self.assertIn("chmod 600", self.problems()["users file"])

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


def _answer_once(listener: socket.socket) -> None:
    """Another program: it takes a connection and does not speak TLS."""
    connection, _ = listener.accept()
    connection.close()


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
            status = run([*arguments, "--hypervisor", "fake"], told.append)
            assert isinstance(status, int)
            return status

        self.assertEqual(join("node9.example.com", token), 0, told)
        self.assertEqual((folder / "node9.example.com/node.key").stat().st_mode & 0o777, 0o600)
        self.assertEqual(join("node8.example.com", token), 1)
        self.assertIn("refused", told[-1])
        self.assertFalse((folder / "node8.example.com").exists())
        wrong = f"{token.partition('.')[0]}.{'0' * 64}"
        self.assertEqual(join("node7.example.com", wrong), 1)
        self.assertIn("not the master", told[-1])
        self.assertFalse((folder / "node7.example.com").exists())
        running = [f for f in check_all(cluster.config) if f.what == "port of the API"]
        self.assertIn("it runs", running[0].text)
        listed = subprocess.run(
            ["curl", "-sk", f"{cluster.url}/2/nodes"], capture_output=True, text=True, timeout=10
        )
        self.assertIn("node9.example.com", listed.stdout)
        self.assertNotIn("node8", listed.stdout)
        # Nobody has started it: it can be confirmed to be dead.
        password = folder / "password"
        password.write_text("secret\n")
        asking = ["--config", str(cluster.config / "rapi.toml"), "--user", "demo"]
        asking += ["--password-file", str(password)]
        self.assertEqual(run(["node", "confirm-dead", *asking, "--yes", "node9.example.com"], told.append), 0)
        self.assertEqual(run(["node", "fate", *asking, "node9.example.com"], told.append), 0)
        self.assertEqual(run(["node", "confirm-dead", *asking, "--yes", "node1.example.com"], told.append), 1)
        self.assertIn("it is not dead", told[-1])
