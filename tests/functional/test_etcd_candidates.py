"""Further master candidates, with a real etcd: joining, having alike what has to be, replacing a dead one."""

import re
from pathlib import Path

from tests.functional.test_etcd_admin import EtcdCase, ask, master_of
from twisted_rapi.testing.processes import Daemon, await_true, free_port, port_open, twistd

FAKE = "\n[simulated]\nmemory = 1024\ncpus = 2\ndisk = 1024\nbridges = []\n"


class CandidatesTests(EtcdCase):
    """A machine becomes a candidate by a token alone."""

    timeout = 600

    def setUp(self) -> None:
        super().setUp()
        self.cluster = self.in_etcd()
        self.config = self.cluster.config / "rapi.toml"
        self.tokens = self.folder / "token"

    def token(self, *options: str) -> str:
        """A token from who has etcd's key."""
        self.assertEqual(self.admin("join-token", "-c", str(self.config), *options), 0, self.said)
        return self.said[-1]

    def join(self, node: str, token: str, *options: str, directory: Path | None = None) -> int:
        """Have a machine join; answers the exit status."""
        self.tokens.write_text(f"{token}\n")
        return self.admin(
            *("join", "--master", f"127.0.0.1:{self.cluster.port}", "--token-file", str(self.tokens)),
            *("--node", node, "--address", "127.0.0.1", "--port", str(free_port()), "--hypervisor", "fake"),
            *("--directory", str(directory or self.folder / node), "--state-dir", str(self.folder / node)),
            *options,
        )

    def begin(self, node: str) -> tuple[list[Daemon], int]:
        """Start a candidate's daemons at ports of its own; answers them and the port of its API."""
        folder, port = self.folder / node, free_port()
        file, agent = folder / "rapi.toml", folder / "agent.toml"
        text = file.read_text().replace(f"127.0.0.1:{self.cluster.port}", f"127.0.0.1:{port}")
        text = re.sub(r'(metrics\]\nlisten = )"[^"]*"', r'\1""', text)
        file.write_text(text)
        agent.write_text(agent.read_text() + FAKE)
        at = int(re.findall(r'listen = "127.0.0.1:(\d+)"', agent.read_text())[0])
        daemons = [
            Daemon(
                f"agent of {node}",
                twistd("rapi-agent", agent, folder),
                folder / "a.log",
                lambda: port_open(at),
            ),
            Daemon(
                f"rapi of {node}", twistd("rapi", file, folder), folder / "m.log", lambda: port_open(port)
            ),
        ]
        for daemon in daemons:
            self.addCleanup(daemon.kill)
            daemon.start(wait=False)
        for daemon in daemons:
            daemon.await_ready()
        return daemons, port

    def test_whole(self) -> None:
        """A new machine joins, and is master after a failover; tokens are good once, and for one purpose."""
        self.cluster.start()
        token, node = self.token("--candidate"), "node3.example.com"
        self.assertEqual(self.join(node, token), 1)
        self.assertIn("join --candidate", self.said[-1])
        self.assertEqual(self.join(node, token, "--candidate", "--etcd", "https://127.0.0.1:1"), 1)
        self.assertIn("too few members of etcd", self.said[-1])
        self.assertFalse((self.folder / node).exists())
        self.assertEqual(self.join(node, self.token(), "--candidate"), 1)
        self.assertIn("is for a node", self.said[-1])
        self.assertEqual(self.join(node, token, "--candidate"), 0, self.said)
        self.assertEqual(self.join("node4.example.com", token, "--candidate"), 1)
        self.assertIn("was used", self.said[-1])
        self.assertFalse((self.folder / "node4.example.com").exists())
        folder = self.folder / node
        open_ones = {f.name for f in folder.iterdir() if f.is_file() and f.stat().st_mode & 0o077}
        self.assertEqual(
            open_ones,
            {
                *("ca.pem", "node.pem", "agent.toml", "rapi.toml", "master.pem", "api.pem"),
                *("etcd-ca.pem", "etcd-client.pem"),
            },
        )
        daemons, port = self.begin(node)
        self.cluster.await_nodes()
        self.distribute(folder / "users")
        self.hand_over(node, port)
        self.assertEqual(ask(port, f"/2/nodes/{node}")["role"], "M")
        for user in ("second", "third"):
            self.assertGreater(int(ask(port, "/2/redistribute-config", {}, user=user)), 0)

        self.replace(node, daemons)

    def hand_over(self, node: str, port: int) -> None:
        """The mastership is handed to a node; a machine that stands still may have done so by itself."""

        def done() -> bool:
            return master_of(port) == node or self.admin("failover", "-c", str(self.config), node) == 0

        await_true(f"{node} is to be master", done, 60)
        await_true(f"{node} is master", lambda: master_of(port) == node, 60)

    def replace(self, node: str, daemons: list[Daemon]) -> None:
        """The master's machine is lost, with a member of etcd; another one takes the place of both."""
        dead, config = self.etcd.members[2], ("-c", str(self.config))
        for daemon in (*daemons, dead.daemon):
            daemon.kill()
        await_true("the first is master", lambda: master_of(self.cluster.port) == "node1.example.com", 60)
        self.assertEqual(self.admin("etcd", "add", *config, "etcd4", "https://127.0.0.1:1"), 1)
        self.assertIn("etcd3 does not answer", self.said[-1])
        self.assertEqual(self.admin("etcd", "remove", *config, "etcd2"), 1)
        self.assertIn("etcd2 answers", self.said[-1])
        self.assertEqual(self.admin("etcd", "remove", *config, "etcd3"), 0, self.said)
        job = int(ask(self.cluster.port, "/2/jobs", [{"OP_ID": "OP_NODE_REMOVE", "node_name": node}], "POST"))
        self.ended(job)
        self.etcd.replace(dead, "etcd4", self.added)
        endpoints, new = ",".join(self.etcd.endpoints), "node5.example.com"
        options = ("--candidate", "--etcd", endpoints)
        self.assertEqual(self.join(new, self.token("--candidate"), *options), 0, self.said)
        _, port = self.begin(new)
        self.said.clear()
        self.assertEqual(self.admin("etcd", "list", "-c", str(self.folder / new / "rapi.toml")), 0, self.said)
        self.assertEqual([line.split()[0] for line in self.said], ["etcd1", "etcd2", "etcd4"])
        self.assertEqual([line.split()[-1] for line in self.said], ["answers"] * 3)
        self.hand_over(new, port)
        self.assertNotIn(node, [found["id"] for found in ask(port, "/2/nodes")])

    def added(self, name: str, url: str) -> str:
        """Make a member known; answers its ``initial-cluster``."""
        self.assertEqual(self.admin("etcd", "add", "-c", str(self.config), name, url), 0, self.said)
        return self.said[-1].removeprefix("initial-cluster: ")

    def ended(self, job: int) -> None:
        """Wait until a job has ended well."""
        port, done = self.cluster.port, ("success", "error")
        await_true("the job ends", lambda: ask(port, f"/2/jobs/{job}")["status"] in done, 60)
        self.assertEqual(ask(port, f"/2/jobs/{job}")["status"], "success", ask(port, f"/2/jobs/{job}"))

    def distribute(self, other: Path) -> None:
        """Users of one candidate, and tokens, get to another one, by the API and by the command."""
        self.cluster.add_user("second", "secret")
        ask(self.cluster.port, "/2/redistribute-config", {})
        await_true("the other knows the second", lambda: "second" in other.read_text())
        self.cluster.add_user("third", "secret")
        tokens = other.with_name("pvc-tokens")
        self.config.with_name("pvc-tokens").write_text("of the first")
        self.assertEqual(self.admin("user", "distribute", "-c", str(self.config)), 0, self.said)
        await_true("the other knows the third", lambda: "third" in other.read_text())
        self.assertEqual(tokens.read_text(), "of the first")
        self.assertEqual(tokens.stat().st_mode & 0o777, 0o600)
