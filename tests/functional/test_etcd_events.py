"""``/2/events`` of two daemons over a real etcd: a reader goes on at the next master."""

import base64
import http.client
import json
import ssl
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

from tests.functional.test_etcd_admin import EtcdCase
from twisted_rapi.testing.processes import await_true

READ = 30.0  # seconds a stream may be silent: twice as long as it ever is


class _Reader:
    """
    A client that comes back whenever its stream breaks, to whichever daemon answers.

    :ivar told: what it was told, as id, kind and data, but for events without an id.
    """

    def __init__(self, ports: list[int]) -> None:
        self.told: list[tuple[str, str, Any]] = []
        self.ports = ports
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def start(self) -> None:
        """Begin to read."""
        self._thread.start()

    def stop(self) -> None:
        """No longer read."""
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        while not self._ended.is_set():
            for port in self.ports:
                try:
                    self._read(port)
                except (urllib.error.URLError, OSError, ValueError, http.client.HTTPException):
                    self._ended.wait(0.1)

    def _read(self, port: int) -> None:
        headers = {"Last-Event-ID": self.told[-1][0]} if self.told else {}
        context = ssl._create_unverified_context()
        request = urllib.request.Request(f"https://127.0.0.1:{port}/2/events", headers=headers)
        with urllib.request.urlopen(request, timeout=READ, context=context) as answer:
            for fields in _blocks(answer):
                if "id" in fields and "data" in fields:
                    self.told.append((fields["id"], fields["event"], json.loads(fields["data"])))
                if self._ended.is_set():
                    return


def _blocks(lines: Any) -> Iterator[dict[str, str]]:
    """The events of a stream, by field; one that is broken off is none."""
    fields: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.decode().rstrip("\n").partition(": ")
        if name and colon:
            fields[name] = value
        elif not name:
            yield fields
            fields = {}


class EventsTests(EtcdCase):
    """Two candidates and a reader."""

    timeout = 240

    def submit(self, ports: list[int]) -> int:
        """Have a job accepted by whoever is master; asked once at each until one has."""
        credentials = base64.b64encode(b"op:secret").decode()
        headers = {"Authorization": f"Basic {credentials}", "Content-Type": "application/json"}
        body = json.dumps([{"OP_ID": "OP_TEST_DELAY", "duration": 0}]).encode()
        found: list[int] = []

        def accepted() -> bool:
            for port in ports:
                request = urllib.request.Request(
                    f"https://127.0.0.1:{port}/2/jobs", body, headers, method="POST"
                )
                context = ssl._create_unverified_context()
                try:
                    with urllib.request.urlopen(request, timeout=5, context=context) as answer:
                        found.append(int(json.load(answer)))
                        return True
                except (urllib.error.URLError, OSError, ValueError):
                    continue
            return False

        await_true("a job is accepted", accepted, 60)
        return found[-1]

    def test_failover(self) -> None:
        """
        The master is killed: the reader is told all there is to tell, once, of jobs at both masters.

        It asks the same daemon all the time, which first hands it on and then is master itself.  Started anew
        that tells another one all of it, too, though it has followed nothing of it.
        """
        cluster = self.in_etcd()
        daemon, port = self.second(cluster)
        for config in (cluster.config / "rapi.toml", cluster.directory / "master2/rapi.toml"):
            self.proxied(config)
        cluster.start()
        cluster.await_nodes()
        daemon.start()
        reader, witness = _Reader([port]), _Reader([port])
        self.addCleanup(reader.stop)
        self.addCleanup(witness.stop)
        for each in (daemon, cluster.master):  # before: who reads is told by the end of the stream
            self.addCleanup(each.kill)
        reader.start()
        await_true("the stream has begun", lambda: bool(reader.told))
        jobs = [self.submit([cluster.port]) for _ in range(5)]
        cluster.master.kill()
        jobs += [self.submit([port]) for _ in range(5)]

        def ended(told: list[tuple[str, str, Any]]) -> set[int]:
            return {e[2]["id"] for e in list(told) if e[1] == "job" and e[2].get("status") == "success"}

        await_true("all jobs have ended", lambda: ended(reader.told) >= set(jobs), 60)
        kinds = [kind for _, kind, _ in reader.told]
        self.assertEqual((kinds[0], kinds.count("hello"), kinds.count("reset")), ("hello", 1, 0))
        self.assertIn("master", kinds)
        # Another one, who begins where this one did, is told the very same by a master that was not there.
        count = len(reader.told)
        daemon.stop()
        daemon.start()
        witness.told = reader.told[:1]
        witness.start()
        await_true("the witness has it all", lambda: len(witness.told) >= count)
        self.assertEqual(witness.told[:count], reader.told[:count])
        self.assertEqual(len({e[0] for e in reader.told}), len(reader.told))
