"""The cluster of the recordings: real daemons, three simulated nodes of the same names and sizes."""

import base64
import hashlib
import http.client
import json
import shutil
import socket
import ssl
import time
from pathlib import Path
from typing import Any

import attrs
from msgspec.structs import replace

from twisted_rapi.agent.daemon import SHIPPED
from twisted_rapi.model.records import ClusterRecord, NodeRecord
from twisted_rapi.state.codec import decode, encode
from twisted_rapi.state.database import Database
from twisted_rapi.state.interface import Commit
from twisted_rapi.testing.local import LocalCluster
from twisted_rapi.testing.nursery import Nursery
from twisted_rapi.testing.processes import await_true

FINAL = ("success", "error", "canceled")
_SETTINGS = """
[simulated]
memory = 24105
cpus = 2
disk = 258019
bridges = ["br0"]

[simulated.hosts]
"inst1.gnt.example" = "10.77.1.1"
"inst2.gnt.example" = "10.77.1.2"
"inst3.gnt.example" = "10.77.1.3"
"inst4.gnt.example" = "10.77.1.4"
"""
USERS = """\
admin adminpw write
rw rwpw read,write
ro ropw read
plain plainpw
ha1 {HA1}%s write
clear {CLEARTEXT}clearpw write
"""


@attrs.frozen
class Answer:
    """An answer; `status` is ``None`` when the connection was closed without one."""

    status: int | None
    headers: dict[str, str]
    body: str


@attrs.define
class World:
    """The cluster and a connection to it."""

    directory: Path
    local: LocalCluster = attrs.field(init=False)

    def set_up(self) -> None:
        """Found it and start it."""
        self.local = LocalCluster(self.directory, more=_SETTINGS, domain="gnt.example", nursery=Nursery())
        self.local.set_up()
        self._as_recorded()
        self._lenient_os()
        hashed = hashlib.md5(b"ha1:Ganeti Remote API:ha1pw", usedforsecurity=False).hexdigest()
        (self.local.config / "users").write_text(USERS % hashed, encoding="utf-8")
        self.local.start()
        self.local.await_nodes()

    def _as_recorded(self) -> None:
        """What an operator had set before the recordings began."""
        database = Database(self.directory / "state.db")
        try:
            puts: dict[str, bytes] = {}
            for prefix in ("cluster", "node/"):
                for key, entry in database.page(prefix, "", 100).entries.items():
                    puts[key] = encode(_recorded(decode(key, entry.value)))
            [result] = database.commit([Commit(puts=puts)])
            if isinstance(result, Exception):
                raise result
        finally:
            database.close()

    def _lenient_os(self) -> None:
        """The recorded OS definition ``noop`` takes any value of its parameters."""
        noop = self.directory / "os" / "noop"
        shutil.copytree(SHIPPED / "noop", noop)
        (noop / "verify").write_text("#!/bin/sh\nexit 0\n", encoding="utf-8")
        for n in range(1, self.local.nodes + 1):
            file = self.directory / f"node{n}" / "agent.toml"
            text = file.read_text(encoding="utf-8")
            found = f'os_search_path = ["{noop.parent}"]'
            file.write_text(text.replace("os_search_path = []", found), encoding="utf-8")

    def tear_down(self) -> None:
        """End it and leave nothing."""
        self.local.remove()

    def require_authentication(self, wanted: bool) -> None:
        """Start the master again, with or without the setting."""
        file = self.local.config / "rapi.toml"
        before, after = ("[api]\n", "[api]\nrequire_authentication = true\n")
        if not wanted:
            before, after = after, before
        file.write_text(file.read_text(encoding="utf-8").replace(before, after), encoding="utf-8")
        self.local.master.stop()
        self.local.master.start(wait=False)
        await_true("the master answers", lambda: self._nodes_known(3))

    def stop_node(self, n: int) -> None:
        """End the agent of a node, and wait until the master knows."""
        self.local.agents[n - 1].stop()
        await_true("the node is missed", lambda: self._nodes_known(2))

    def start_node(self, n: int) -> None:
        """Start it again."""
        self.local.agents[n - 1].start()
        await_true("the node is back", lambda: self._nodes_known(3))

    def _nodes_known(self, count: int) -> bool:
        try:
            nodes = self.read("/2/nodes?bulk=1")
        except (OSError, ValueError):
            return False
        if not isinstance(nodes, list):
            return False  # no master yet
        return sum(node["mtotal"] is not None for node in nodes) == count

    # Asking.

    def connect(self) -> ssl.SSLSocket:
        """A TLS connection to the API."""
        context = ssl._create_unverified_context()
        plain = socket.create_connection(("127.0.0.1", self.local.port), timeout=30)
        return context.wrap_socket(plain)

    def raw(self, data: bytes, method: str = "GET", patience: float = 3.0) -> Answer:
        """The first answer to these bytes."""
        with self.connect() as connection:
            connection.settimeout(patience)
            connection.sendall(data)
            response = http.client.HTTPResponse(connection, method=method)
            try:
                response.begin()
                body = response.read().decode()
            except (TimeoutError, http.client.HTTPException, OSError):
                return Answer(None, {}, "")
            headers = {name.lower(): value for name, value in response.getheaders()}
            return Answer(response.status, headers, body)

    def ask(self, method: str, uri: str, headers: dict[str, str], body: bytes | None) -> Answer:
        """The answer to one request."""
        context = ssl._create_unverified_context()
        connection = http.client.HTTPSConnection("127.0.0.1", self.local.port, timeout=30, context=context)
        try:
            connection.putrequest(method, uri, skip_accept_encoding=True)
            for name, value in headers.items():
                if name.lower() not in ("host", "content-length"):
                    connection.putheader(name, value)
            if body is not None:
                connection.putheader("Content-Length", str(len(body)))
            connection.endheaders(body)
            response = connection.getresponse()
            found = {name.lower(): value for name, value in response.getheaders()}
            return Answer(response.status, found, response.read().decode())
        finally:
            connection.close()

    def read(self, path: str) -> Any:
        """What the administrator gets there."""
        token = base64.b64encode(b"admin:adminpw").decode()
        return json.loads(self.ask("GET", path, {"Authorization": f"Basic {token}"}, None).body)

    def post_job(self, ops: list[dict[str, Any]]) -> int | None:
        """Submit a job of these opcodes; ``None`` when it is refused."""
        token = base64.b64encode(b"admin:adminpw").decode()
        headers = {"Authorization": f"Basic {token}", "Content-Type": "application/json"}
        answer = self.ask("POST", "/2/jobs", headers, json.dumps(ops).encode())
        return int(answer.body) if answer.status == 200 else None

    def remove_tags(self, path: str, tags: list[str]) -> None:
        """Remove tags."""
        token = base64.b64encode(b"admin:adminpw").decode()
        headers = {"Authorization": f"Basic {token}", "Content-Type": "application/json"}
        self.await_job(int(self.ask("DELETE", path, headers, json.dumps(tags).encode()).body))

    def await_status(self, job: int, *statuses: str, seconds: float = 5.0) -> None:
        """Wait until a job has one of these, or for so long."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline and self.read(f"/2/jobs/{job}").get("status") not in statuses:
            time.sleep(0.02)

    def gather(self, instances: tuple[str, ...], node: str) -> None:
        """Have these run on one node, once all jobs have ended."""
        for job in self.read("/2/jobs"):
            self.await_job(job["id"])
        for name in instances:
            if self.read(f"/2/instances/{name}")["pnode"] != node:
                go = {"OP_ID": "OP_INSTANCE_MIGRATE", "instance_name": name, "target_node": node}
                job = self.post_job([{**go, "allow_failover": True}])
                assert job is not None
                self.await_job(job)

    def await_job(self, job: int, seconds: float = 30.0) -> None:
        """Wait until a job has ended, or for so long."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if self.read(f"/2/jobs/{job}").get("status") in FINAL:
                return
            time.sleep(0.02)

    def submitted_by(self, job: int) -> list[int]:
        """The jobs that a job has submitted."""
        results = self.read(f"/2/jobs/{job}").get("opresult") or []
        lists = [result["jobs"] for result in results if isinstance(result, dict) and "jobs" in result]
        return [number for each in lists for well, number in each if well]


def _recorded(record: Any) -> Any:
    if isinstance(record, NodeRecord):
        address = f"10.77.0.1{record.name[4]}"
        return replace(record, primary_ip=address, secondary_ip=address, master_candidate=True)
    assert isinstance(record, ClusterRecord)
    low = {
        "memory-size": 4,
        "disk-size": 4,
        "disk-count": 0,
        "cpu-count": 1,
        "nic-count": 0,
        "spindle-use": 0,
    }
    high = {
        "memory-size": 1048576,
        "disk-size": 1048576,
        "disk-count": 16,
        "cpu-count": 64,
        "nic-count": 8,
        "spindle-use": 12,
    }
    return replace(
        record,
        beparams={"minmem": 16, "maxmem": 32},
        hvparams={},
        ipolicy={
            "minmax": [{"min": low, "max": high}],
            "vcpu-ratio": 10000,
            "spindle-ratio": 10000,
            "disk-templates": ["file", "sharedfile", "diskless"],
        },
        nicparams={"link": "br0"},
        master_netdev="br0",
        gluster_storage_dir="/var/run/ganeti/gluster",
        default_iallocator="hail",
    )
