"""Two daemons over a real etcd: whichever is asked, the master answers."""

import base64
import http.client
import json
import signal
import ssl
import threading
import time
from typing import Any

from tests.functional.test_etcd_admin import EtcdCase
from twisted_rapi.testing.processes import Daemon, await_true

Answer = tuple[int, dict[str, str], Any]


def ask(port: int, method: str, path: str, body: Any = None) -> Answer:
    """Status, headers (names in small letters) and decoded body of one answer."""
    connection = http.client.HTTPSConnection(
        "127.0.0.1", port, timeout=40, context=ssl._create_unverified_context()
    )
    credentials = base64.b64encode(b"op:secret").decode()
    headers = {"Authorization": f"Basic {credentials}", "Content-Type": "application/json"}
    try:
        connection.request(method, path, None if body is None else json.dumps(body), headers)
        answer = connection.getresponse()
        return answer.status, {n.lower(): v for n, v in answer.getheaders()}, json.loads(answer.read())
    finally:
        connection.close()


class Stream:
    """Asks a daemon for the cluster again and again until it is ended; keeps what was no success."""

    def __init__(self, port: int) -> None:
        self.wrong: list[Any] = []
        self.count = 0
        self._port, self._going = port, True
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        while self._going:
            try:
                status, headers, _ = ask(self._port, "GET", "/2/info")
                if status != 200:
                    self.wrong.append((status, headers))
            except OSError as e:
                self.wrong.append(e)
            self.count += 1
            time.sleep(0.05)

    def end(self) -> None:
        """Ask no more."""
        self._going = False
        self._thread.join()


class ProxyTests(EtcdCase):
    """What is asked of the one that is not master."""

    timeout = 240

    def test_proxied(self) -> None:
        """
        Reads, a job and waiting for it are the master's, and so is what is large; a planned switch fails no
        read; a master that hangs is left, and none when it goes on; without a quorum reads say how old they
        are.
        """
        cluster = self.in_etcd()
        config = cluster.config / "rapi.toml"
        daemon, port = self.second(cluster)
        for each in (config, cluster.directory / "master2/rapi.toml"):
            self.proxied(each)
        first = cluster.port
        cluster.start()
        cluster.await_nodes()
        daemon.start()
        await_true("the second is there", lambda: self.presence(first) == [True, True])
        self.assertEqual(ask(port, "GET", "/2/info")[2]["master"], "node1.example.com")
        status, _, job = ask(port, "PUT", "/2/tags?tag=proxied", None)
        self.assertEqual(status, 200, job)
        await_true("the job ends", lambda: ask(port, "GET", f"/2/jobs/{job}")[2]["status"] == "success", 30)
        waited = ask(port, "GET", f"/2/jobs/{job}/wait", {"fields": ["status"], "previous_job_info": None})
        self.assertEqual(waited[2]["job_info"], ["success"])
        self.assertEqual(ask(port, "GET", "/2/nosuch")[0], 404)
        for large in (("GET", "/2/openapi.json"), ("POST", "/2/jobs", "x" * 9_000_000)):
            direct, handed_on = (ask(each, *large) for each in (first, port))
            self.assertEqual((direct[0], direct[2]), (handed_on[0], handed_on[2]))
        self._switched(config, first, port)
        self._hung(daemon, first, port)
        daemon.kill()
        self._no_quorum(first)

    def _hung(self, daemon: Daemon, first: int, port: int) -> None:
        """The second is master, and is stopped."""
        daemon.signal(signal.SIGSTOP)
        try:
            status, headers, _ = ask(first, "GET", "/2/info")
            self.assertTrue(status == 200 or (status, headers["retry-after"]) == (503, "1"), status)
            self.assertNotIn("x-no-master", headers)
            await_true("the first is master again", lambda: _master(first) == "node1.example.com", 60)
        finally:
            daemon.signal(signal.SIGCONT)
        await_true("the second knows that", lambda: _master(port) == "node1.example.com", 60)

    def _switched(self, config: Any, first: int, port: int) -> None:
        # A busy machine may have replaced the master before.
        if _master(first) != "node1.example.com":
            self.admin("failover", "--config", str(config), "node1.example.com")
        streams = [Stream(first), Stream(port)]
        try:
            switched = self.admin("failover", "--config", str(config), "node2.example.com")
            time.sleep(1)
        finally:
            for stream in streams:
                stream.end()
        self.assertEqual(switched, 0, self.said)
        self.assertEqual([stream.wrong for stream in streams], [[], []])
        self.assertTrue(all(stream.count for stream in streams))
        self.assertEqual(ask(first, "GET", "/2/info")[2]["master"], "node2.example.com")

    def _no_quorum(self, port: int) -> None:
        for member in self.etcd.members[:2]:
            member.kill()
        await_true("reads are old", lambda: "age" in ask(port, "GET", "/2/info")[1], 60)
        status, headers, nodes = ask(port, "GET", "/2/nodes?bulk=1")
        self.assertEqual((status, headers["warning"][:3]), (200, "110"))
        self.assertEqual({node["mfree"] for node in nodes}, {None})
        status, headers, _ = ask(port, "PUT", "/2/tags?tag=x", None)
        self.assertEqual((status, headers["retry-after"]), (503, "1"))


def _master(port: int) -> Any:
    """Who is master, by what one daemon answers."""
    status, _, answer = ask(port, "GET", "/2/info")
    return answer["master"] if status == 200 else None
