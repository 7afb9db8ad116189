"""Many clients at once, against SQLite and real agents."""

import threading
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from bench.client import Client
from tests.acceptance.test_crashes import creation
from twisted_rapi.testing.local import LocalCluster

CLIENTS, EACH = 50, 10


class TagLoadTests(SynchronousTestCase):
    """Clients that all tag one object, as fast as they can."""

    def setUp(self) -> None:
        self.cluster = LocalCluster(Path(self.mktemp()).resolve(), nodes=1)
        self.addCleanup(self.cluster.remove)
        self.cluster.set_up()
        (self.cluster.config / "users").write_text("demo secret write\n")
        self.cluster.start()

    def client(self) -> Client:
        return Client(self.cluster.port, "demo", "secret")

    def _submit(self, path: str, first: int, submitted: list[int]) -> None:
        client = self.client()
        submitted.extend(client.ask("PUT", f"{path}?tag=t{n}") for n in range(first, first + EACH))

    def crowd(self, path: str) -> list[int]:
        """Submit all from threads of their own; answers the jobs' ids."""
        submitted: list[int] = []
        threads = [
            threading.Thread(target=self._submit, args=(path, n * EACH, submitted)) for n in range(CLIENTS)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return submitted

    def test_all_there(self) -> None:
        """All 500 jobs on the cluster, on one node and on one instance succeed, and every tag is there."""
        client = self.client()
        made = client.finish(client.ask("POST", "/2/instances", creation("web1.example.com")))
        self.assertEqual(made["status"], "success", made)
        tags = sorted(f"t{n}" for n in range(CLIENTS * EACH))
        for path in ("/2/tags", "/2/nodes/node1.example.com/tags", "/2/instances/web1.example.com/tags"):
            submitted = self.crowd(path)
            self.assertEqual(len(set(submitted)), CLIENTS * EACH)
            ended = [client.finish(number) for number in submitted]
            self.assertEqual([j for j in ended if j["status"] != "success"], [])
            self.assertEqual(sorted(client.ask("GET", path)), tags)
