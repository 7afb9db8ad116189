"""kill -9 of the master and of agents at random moments, under load, and of agents in the middle of steps."""

import http.client
import json
import random
import ssl
import threading
import time
from base64 import b64encode
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from twisted_rapi.testing.local import LocalCluster
from twisted_rapi.testing.nursery import Nursery
from twisted_rapi.testing.processes import await_true

SEED = 20261121
WEB1 = "/2/instances/web1.example.com"


class Api:
    """A client that lives through the death of the master: what was not answered was not acknowledged."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._context = ssl._create_unverified_context()
        credentials = b64encode(b"demo:secret").decode()
        self._headers = {"Authorization": f"Basic {credentials}", "Content-Type": "application/json"}

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        """The decoded answer; OSError or HTTPException when there is none."""
        connection = http.client.HTTPSConnection("127.0.0.1", self._port, timeout=15, context=self._context)
        try:
            connection.request(method, path, None if body is None else json.dumps(body), self._headers)
            response = connection.getresponse()
            data = response.read()
        finally:
            connection.close()
        if response.status == 503:
            raise ConnectionError(data)
        assert response.status == 200, (method, path, response.status, data)
        return json.loads(data)

    def tried(self, method: str, path: str, body: Any = None) -> Any:
        """The answer, or ``None`` when the master died meanwhile."""
        try:
            return self.ask(method, path, body)
        except (OSError, http.client.HTTPException):
            return None


def creation(name: str) -> dict[str, Any]:
    """The body that creates an instance with a disk."""
    return {
        "__version__": 1,
        "mode": "create",
        "instance_name": name,
        "disk_template": "file",
        "disks": [{"size": 8}],
        "nics": [{}],
        "os_type": "noop+default",
        "beparams": {"memory": 64},
    }


class CrashCase(SynchronousTestCase):
    """A cluster, and what must hold of it after any crash."""

    NODES = 2

    def setUp(self) -> None:
        self.cluster = LocalCluster(Path(self.mktemp()).resolve(), nodes=self.NODES, nursery=Nursery())
        self.addCleanup(self.cluster.remove)
        self.cluster.set_up()
        (self.cluster.config / "users").write_text("demo secret write\n")
        self.api = Api(self.cluster.port)

    def all_ended(self) -> list[dict[str, Any]]:
        jobs: list[dict[str, Any]] = []

        def ended() -> bool:
            jobs[:] = self.api.ask("GET", "/2/jobs?bulk=1")
            return all(j["status"] in ("success", "error", "canceled") for j in jobs)

        await_true("all jobs have ended", ended, 60)
        return jobs

    def _nodes_answer(self) -> bool:
        return all(n["mtotal"] for n in self.api.ask("GET", "/2/nodes?bulk=1"))

    def check_consistent(self) -> None:
        """Every instance has its disks and its domain where it should, and there is nothing else."""
        await_true("all nodes answer", self._nodes_answer)
        instances = self.api.ask("GET", "/2/instances?bulk=1")
        folder = self.cluster.directory
        disks = {p.parent.name for p in (folder / "file-storage").glob("*/*") if p.is_file()}
        self.assertEqual(disks, {i["name"] for i in instances if i["disk.sizes"]})
        files = [p for p in (folder / "file-storage").glob("*/*") if p.is_file()]
        self.assertEqual(len(files), sum(len(i["disk.sizes"]) for i in instances), files)
        domains = [json.loads(p.read_text()) for p in folder.glob("node*/state/fake/*.json")]
        running = sorted(d["name"] for d in domains if d["state"] == "running")
        self.assertEqual(running, sorted(i["name"] for i in instances if i["admin_state"] == "up"))
        for instance in instances:
            self.assertIn(instance["status"], ("running", "ADMIN_down"), instance["name"])


class RandomMomentTests(CrashCase):
    """The master and the agents die at random moments while clients work."""

    KILLS = 50

    def test_under_load(self) -> None:
        """Nothing acknowledged is lost or done twice, no disk or domain is orphaned, every job ends."""
        chance = random.Random(SEED)
        self.cluster.start()
        acknowledged: list[int] = []
        stop = threading.Event()
        workers = [
            threading.Thread(target=self._work, args=(n, random.Random(SEED + n), acknowledged, stop))
            for n in range(4)
        ]
        for worker in workers:
            worker.start()
        try:
            for kill in range(self.KILLS):
                time.sleep(chance.uniform(0.05, 0.5))
                victim = self.cluster.master if kill % 5 else chance.choice(self.cluster.agents)
                victim.kill()
                victim.start()
        finally:
            stop.set()
            for worker in workers:
                worker.join()
        jobs = {j["id"]: j for j in self.all_ended()}
        self.assertGreater(len(acknowledged), 20)
        self.assertEqual(len(set(acknowledged)), len(acknowledged), "an id was given twice")
        lost = [number for number in acknowledged if number not in jobs]
        self.assertEqual(lost, [])
        self.assertEqual(sorted(jobs), sorted(set(jobs)))
        self.check_consistent()

    def _work(self, n: int, chance: random.Random, acknowledged: list[int], stop: threading.Event) -> None:
        """Create, start, modify, rename and remove instances of one's own, without waiting long."""
        names = [f"w{n}-{i}.example.com" for i in range(3)]
        while not stop.is_set():
            name, other = chance.choice(names), chance.choice(names)
            uri = f"/2/instances/{name}"
            method, path, body = chance.choice(
                [
                    ("POST", "/2/instances", creation(name)),
                    ("POST", "/2/instances", creation(other)),
                    ("PUT", f"{uri}/startup", None),
                    ("PUT", f"{uri}/shutdown", None),
                    ("PUT", f"{uri}/modify", {"beparams": {"vcpus": chance.randint(1, 4)}}),
                    ("PUT", f"{uri}/rename", {"new_name": other}),
                    ("DELETE", uri, None),
                ]
            )
            job = self.api.tried(method, path, body)
            if isinstance(job, int):
                acknowledged.append(job)
            time.sleep(chance.uniform(0.0, 0.1))


SLOW_AGENT = """
[simulated]
memory = 65536
cpus = 16
disk = 1048576
bridges = ["br0"]
boot_time = 1.5
shutdown_time = 1.5
"""


class AgentDeathTests(CrashCase):
    """The agent dies in the middle of each kind of step that takes a while."""

    def setUp(self) -> None:
        self.cluster = LocalCluster(
            Path(self.mktemp()).resolve(), nodes=1, more=SLOW_AGENT, nursery=Nursery()
        )
        self.addCleanup(self.cluster.remove)
        self.cluster.set_up()
        (self.cluster.config / "users").write_text("demo secret write\n")
        self.scripts = self.cluster.directory / "os"
        self._write_slow_definition()
        settings = self.cluster.directory / "node1/agent.toml"
        text = settings.read_text().replace("os_search_path = []", f'os_search_path = ["{self.scripts}"]')
        settings.write_text(text)
        self.api = Api(self.cluster.port)
        self.cluster.start()
        self.agent = self.cluster.agents[0]

    def _write_slow_definition(self) -> None:
        folder = self.scripts / "slow"
        folder.mkdir(parents=True)
        (folder / "ganeti_api_version").write_text("10\n")
        for name in ("create", "import", "export", "rename"):
            script = folder / name
            script.write_text(
                f"#!/bin/sh\ncd {self.scripts}\necho $$ >> pids\nsleep 3 &\nwait\necho {name} >> ran\n"
            )
            script.chmod(0o755)

    def _job_through_death(
        self, method: str, path: str, body: Any = None, delay: float = 0.7
    ) -> dict[str, Any]:
        """Submit, kill the agent in the middle, start it again, and give the job once it has ended."""
        job = self.api.ask(method, path, body)
        time.sleep(delay)
        self.assertEqual(self.api.ask("GET", f"/2/jobs/{job}")["status"], "running")
        self.agent.kill()
        time.sleep(0.3)
        self.agent.start()
        self.all_ended()
        found: dict[str, Any] = self.api.ask("GET", f"/2/jobs/{job}")
        return found

    def test_each_step(self) -> None:
        """The job goes on when the agent is back and ends well; no script of the dead agent goes on."""
        slow = {**creation("web1.example.com"), "os_type": "slow", "start": False}
        made = self._job_through_death("POST", "/2/instances", slow, delay=1.5)
        self.assertEqual(made["status"], "success", made)
        pids = (self.scripts / "pids").read_text().split()
        self.assertEqual(len(pids), 2, "the script was run again")
        self.assertEqual((self.scripts / "ran").read_text().split(), ["create"], "the first run was ended")
        self.assertEqual([p for p in pids if Path(f"/proc/{p}").exists()], [])
        uri = "/2/instances/web1.example.com"
        for method, path, body in (
            ("PUT", f"{uri}/startup", None),
            ("POST", f"{uri}/reboot?type=soft", None),
            ("PUT", f"{uri}/shutdown", None),
        ):
            found = self._job_through_death(method, path, body)
            self.assertEqual(found["status"], "success", found)
            self.check_consistent()
        self.api.ask("DELETE", uri)
        self.all_ended()
        self.check_consistent()

    def test_stays_dead(self) -> None:
        """
        When the agent does not come back the jobs end with a clear error, and others are not held up; what
        they have half made is removed once it is back after all.
        """
        self.api.ask("POST", "/2/instances", creation("web1.example.com"))
        self.all_ended()
        jobs = [
            self.api.ask("PUT", "/2/instances/web1.example.com/shutdown"),
            self.api.ask("POST", "/2/instances", creation("web2.example.com")),
        ]
        disks = self.cluster.directory / "file-storage/web2.example.com"
        await_true("it is half made", disks.exists)
        self.agent.kill()
        tagged = self.api.ask("PUT", "/2/tags?tag=meanwhile")
        await_true(
            "the other job ends", lambda: self.api.ask("GET", f"/2/jobs/{tagged}")["status"] == "success", 5
        )
        await_true(
            "the node shows as down",
            lambda: self.api.ask("GET", "/2/nodes/node1.example.com")["mtotal"] is None,
            5,
        )
        self.all_ended()
        for job in jobs:
            found = self.api.ask("GET", f"/2/jobs/{job}")
            self.assertEqual(found["status"], "error")
            self.assertIn("did not answer", json.dumps(found["opresult"]))
        self.assertEqual(self.api.ask("GET", "/2/instances"), [{"id": "web1.example.com", "uri": WEB1}])
        self.agent.start()
        await_true("nothing is left", lambda: not disks.exists())
        self.all_ended()
        self.api.ask("PUT", f"{WEB1}/shutdown")
        self.all_ended()
        self.check_consistent()
