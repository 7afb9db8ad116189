"""``rapi-admin`` with a real etcd: certificates, founding, checking, moving; and the daemon."""

import base64
import json
import re
import shutil
import ssl
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from cryptography import x509
from twisted.trial.unittest import TestCase

from tests.requirements import missing
from twisted_rapi.admin.certifying import certify_etcd
from twisted_rapi.admin.files import set_user
from twisted_rapi.config import load
from twisted_rapi.errors import ConfigurationError
from twisted_rapi.model.mastership import ElectionRecord
from twisted_rapi.model.records import CounterRecord
from twisted_rapi.rpc.authority import Role, role_of
from twisted_rapi.state.codec import decode, encode
from twisted_rapi.state.database import Database
from twisted_rapi.state.interface import Commit
from twisted_rapi.testing.etcd import EtcdCluster
from twisted_rapi.testing.forked_admin import ForkedAdmin
from twisted_rapi.testing.local import LocalCluster
from twisted_rapi.testing.nursery import Nursery
from twisted_rapi.testing.processes import Daemon, await_true, free_port, port_open, twistd


class CertificatesTests(TestCase):
    """What etcd's TLS needs."""

    def test_made(self) -> None:
        """Each file is there, for its role; nothing is overwritten; a bad name makes nothing."""
        folder = Path(self.mktemp())
        certify_etcd(folder, ["n1=n1.example.com,192.0.2.1", "n2=192.0.2.2"], time.time())
        roles = {file.name: role_of(file.read_bytes()) for file in folder.glob("*.pem")}
        self.assertEqual(
            roles,
            {
                "etcd-ca.pem": None,
                "etcd-client.pem": Role.MASTER,
                "etcd-n1.pem": Role.ETCD,
                "etcd-n2.pem": Role.ETCD,
            },
        )
        self.assertEqual({f.stat().st_mode & 0o777 for f in folder.glob("*.key")}, {0o600})
        self.assertRaises(ConfigurationError, certify_etcd, folder, ["n3=192.0.2.3"], time.time())
        made = certify_etcd(folder, ["n3=192.0.2.3"], time.time(), further=True)
        self.assertEqual({file.name for file in made}, {"etcd-n3.pem", "etcd-n3.key"})
        ca = x509.load_pem_x509_certificate((folder / "etcd-ca.pem").read_bytes())
        x509.load_pem_x509_certificate(made[0].read_bytes()).verify_directly_issued_by(ca)
        other = Path(self.mktemp())
        self.assertRaises(ConfigurationError, certify_etcd, other, ["n3=192.0.2.3"], time.time(), True)
        for wrong in ("n1", "=x", "n1=", "n1=not a host", "../x=h"):
            self.assertRaises(ConfigurationError, certify_etcd, other, [wrong], time.time())
        self.assertFalse(other.exists())


class EtcdCase(TestCase):
    """A test with a real etcd."""

    skip = missing("etcd")
    timeout = 300
    size = 3  # members of etcd

    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).resolve()
        self.folder.mkdir()
        self.etcd = EtcdCluster(self.folder / "etcd", size=self.size)
        self.addCleanup(self.etcd.remove)
        self.etcd.set_up()
        self.etcd.start()
        self.said: list[str] = []
        self.loaded: ForkedAdmin | None = None

    def admin(self, *arguments: str) -> int:
        """Run ``rapi-admin``; what it says is in `said`."""
        if self.loaded is None:
            self.loaded = ForkedAdmin()
            self.addCleanup(self.loaded.end)
        status, told = self.loaded.run(arguments, self.folder / "told")
        self.said += told
        return status

    def give_keys(self, folder: Path) -> None:
        """Put etcd's certificates where the configuration looks for them."""
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in (
            ("etcd-ca.pem", self.etcd.keys.authority),
            ("etcd-client.pem", self.etcd.keys.certificate),
            ("etcd-client.key", self.etcd.keys.key),
        ):
            (folder / name).write_bytes(content)
            (folder / name).chmod(0o600)

    def in_etcd(self) -> LocalCluster:
        """A cluster of two nodes that was moved to etcd, not started."""
        cluster = LocalCluster(self.folder / "cluster", nodes=2, nursery=Nursery())
        self.addCleanup(cluster.stop)
        cluster.set_up()
        cluster.add_user("op", "secret")
        config = cluster.config / "rapi.toml"
        self.give_keys(cluster.config)
        endpoints = ", ".join(f'"{endpoint}"' for endpoint in self.etcd.endpoints)
        settings = f'[store]\nkind = "etcd"\nendpoints = [{endpoints}]\n'
        config.write_text(config.read_text().replace("[store]\n", settings))
        self.assertEqual(self.admin("store", "copy", "--config", str(config), "sqlite", "etcd"), 0, self.said)
        return cluster

    def second(self, cluster: LocalCluster) -> tuple[Daemon, int]:
        """Another candidate, on the second node, and its port."""
        folder, port, metrics = cluster.directory / "master2", free_port(), free_port()
        shutil.copytree(cluster.config, folder)
        text = (folder / "rapi.toml").read_text().replace('node = "node1', 'node = "node2')
        text = text.replace(f"127.0.0.1:{cluster.port}", f"127.0.0.1:{port}")
        text = re.sub(r'(metrics\]\nlisten = "127.0.0.1:)\d+', rf"\g<1>{metrics}", text)
        (folder / "rapi.toml").write_text(text)
        command = twistd("rapi", folder / "rapi.toml", folder)
        daemon = Daemon("rapi2", command, folder / "twistd.log", lambda: port_open(port))
        self.addCleanup(daemon.kill)
        return daemon, port

    def proxied(self, config: Path) -> None:
        """Give a candidate an internal listener of its own."""
        text = config.read_text()
        config.write_text(re.sub(r'(proxy\]\nlisten = )"[^"]*"', rf'\g<1>"127.0.0.1:{free_port()}"', text))

    def presence(self, port: int) -> list[bool]:
        """Which candidates are there."""
        return [candidate["present"] for candidate in ask(port, "/2/master")["candidates"]]


class AdminTests(EtcdCase):
    """A cluster in etcd, from founding to moving it away."""

    def kind(self, kind: str) -> None:
        """Change the configuration."""
        file = self.folder / "etc/rapi.toml"
        file.write_text(re.sub(r'kind = "\w+"', f'kind = "{kind}"', file.read_text()))

    def test_whole(self) -> None:
        """Founded in etcd, checked, moved to SQLite and back; term and ids go on; the rest is refused."""
        etc = self.folder / "etc"
        self.give_keys(etc)
        founded = self.admin(
            *("init", "--cluster", "c.example.com", "--node", "n1.example.com", "--address", "127.0.0.1"),
            *("--directory", str(etc), "--state-dir", str(self.folder / "state"), "--hypervisor", "fake"),
            *("--etcd", ",".join(self.etcd.endpoints)),
        )
        self.assertEqual(founded, 0, self.said)
        config = load(etc / "rapi.toml")
        path = Path(config.store.path)
        self.assertEqual((config.store.kind, path.exists()), ("etcd", False))
        set_user(etc / "users", "op", "secret", "write")
        self.said.clear()
        self.admin("check", "--directory", str(etc))
        wrong = [line for line in self.said if "PROBLEM" in line]
        self.assertEqual(wrong, [])
        self.assertEqual(len([line for line in self.said if "version 3" in line]), 3)
        move = ("store", "copy", "--config", str(etc / "rapi.toml"))
        self.assertEqual(self.admin(*move, "sqlite", "etcd"), 1)
        self.assertEqual(self.admin(*move, "etcd", "etcd"), 1)
        self.assertEqual(self.admin(*move, "etcd", "sqlite"), 0, self.said)
        self.assertEqual(self.admin(*move, "etcd", "sqlite"), 1)
        database = Database(path)
        database.commit(
            [
                Commit(
                    puts={
                        "election": encode(ElectionRecord(term=40, node="n")),
                        "counter/job": encode(CounterRecord(value=7)),
                    }
                )
            ]
        )
        # A master has it open: refused.
        self.assertEqual(self.admin(*move, "sqlite", "etcd"), 1)
        self.assertIn("stop it first", self.said[-1])
        database.close()
        self.assertEqual(self.admin(*move, "sqlite", "etcd"), 0, self.said)
        self.assertEqual(self.admin(*move, "etcd", "sqlite"), 0, self.said)
        database = Database(path)
        found = database.get(["election", "counter/job", "cluster", "seat", "moved/cluster"])
        database.close()
        self.assertEqual(set(found), {"election", "counter/job", "cluster"})
        election = decode("election", found["election"].value)
        assert isinstance(election, ElectionRecord)
        self.assertGreaterEqual(election.term, 40)
        self.assertEqual(decode("counter/job", found["counter/job"].value), CounterRecord(value=7))

    def test_two_candidates(self) -> None:
        """One of two answers; the other one does at once when it is stopped, and soon when it is killed."""
        cluster = self.in_etcd()
        daemon, port = self.second(cluster)
        first = cluster.port
        cluster.start()
        cluster.await_nodes()
        daemon.start()
        self.assertIsNone(master_of(port))
        self.assertEqual(master_of(first), "node1.example.com")
        cluster.master.stop()
        await_true("the second is master", lambda: master_of(port) == "node2.example.com", 20)
        cluster.master.start(wait=False)
        await_true("the first waits", lambda: port_open(first))
        daemon.kill()
        await_true("the first is master again", lambda: master_of(first) == "node1.example.com", 15)

    def test_failover(self) -> None:
        """The mastership is handed over and back, by command and by request; what cannot be is refused."""
        cluster = self.in_etcd()
        daemon, port = self.second(cluster)
        first = cluster.port
        cluster.start()
        cluster.await_nodes()
        failover = ("failover", "--config", str(cluster.config / "rapi.toml"))
        self.assertEqual(self.admin(*failover), 1)
        self.assertIn("no other master candidate", self.said[-1])
        daemon.start()
        await_true("the second is there", lambda: self.presence(first) == [True, True])
        for wrong in ("nosuch.example.com", "node1.example.com"):
            self.assertEqual(self.admin(*failover, wrong), 1)
        self.assertEqual(self.admin(*failover, "node2.example.com"), 0, self.said)
        self.assertIn("node2.example.com is master now", self.said[-1])
        await_true("the second answers", lambda: master_of(port) == "node2.example.com")
        answer = ask(port, "/2/master", {"node": "node1.example.com"})
        self.assertEqual(answer["target"], "node1.example.com")
        await_true("the first answers", lambda: master_of(first) == "node1.example.com")

    def test_daemon(self) -> None:
        """A whole cluster works over etcd, and survives the death of etcd's leader and its own."""
        cluster = self.in_etcd()
        config = cluster.config / "rapi.toml"
        cluster.start()
        cluster.await_nodes()
        # A master runs: the cluster cannot be moved away under it.
        self.assertEqual(self.admin("store", "copy", "--config", str(config), "etcd", "sqlite"), 1)
        self.assertIn("a master runs", self.said[-1])
        self.etcd.leader().kill()
        await_true("it answers without etcd's leader", cluster.ready)
        cluster.master.kill()
        cluster.master.start(wait=False)
        cluster.master.await_ready()
        cluster.await_nodes()


def ask(port: int, path: str, body: Any = None, method: str = "", user: str = "op") -> Any:
    """Ask as a user who may write; with a body it is a PUT unless another method is named."""
    credentials = base64.b64encode(f"{user}:secret".encode()).decode()
    headers = {"Authorization": f"Basic {credentials}", "Content-Type": "application/json"}
    data = None if body is None else json.dumps(body).encode()
    method = method or ("GET" if body is None else "PUT")
    request = urllib.request.Request(f"https://127.0.0.1:{port}{path}", data, headers, method=method)
    context = ssl._create_unverified_context()
    with urllib.request.urlopen(request, timeout=60, context=context) as answer:
        return json.load(answer)


def master_of(port: int) -> str | None:
    """The master by what a candidate answers; ``None`` when it is not the master."""
    context = ssl._create_unverified_context()
    try:
        with urllib.request.urlopen(f"https://127.0.0.1:{port}/2/info", timeout=2, context=context) as answer:
            return str(json.load(answer)["master"])
    except (urllib.error.URLError, OSError, ValueError):
        return None
