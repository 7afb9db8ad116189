"""
A large cluster behind its real API, in a process of its own: ``python -m bench.scale``.

Asked by curl over loopback, without TLS.  A gap is how much later than meant a timer of 1 ms comes: how long
the reactor served nobody.
"""

import json
import tempfile
import time
from pathlib import Path
from random import Random
from typing import Any

from msgspec.structs import replace
from twisted.internet import reactor as global_reactor
from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThread
from twisted.internet.utils import getProcessOutput

from bench.records import instance
from twisted_rapi.cluster.answers import Answers
from twisted_rapi.cluster.events import Events
from twisted_rapi.config import PvcSection
from twisted_rapi.model.mastership import ElectionRecord
from twisted_rapi.model.records import NodeRecord
from twisted_rapi.model.seen import DomainSeen, NodeReport
from twisted_rapi.state.writer import commit_of
from twisted_rapi.testing.cluster import GROUP, NODES, FakeCluster, founding, make_cluster
from twisted_rapi.testing.file_watch import LookedAt
from twisted_rapi.testing.memory_store import MemoryStore
from twisted_rapi.testing.nodes import FakeNode, FakeNodes
from twisted_rapi.web.auth import Users
from twisted_rapi.web.call import Api
from twisted_rapi.web.pvc.making import make_side
from twisted_rapi.web.rapi.routes import ROUTES
from twisted_rapi.web.site import ApiResource, make_site

reactor: Any = global_reactor

HOSTS, INSTANCES = 200, 10_000
PASSWORD = "bench:secret"


class Reports(FakeNodes):
    """Nodes whose reports stay the same objects until they change, as those of real nodes do."""

    def __init__(self, uuids: list[str]) -> None:
        super().__init__(uuids)
        self.told: dict[str, NodeReport] = dict.fromkeys(uuids, FakeNode().report())

    @property
    def reports(self) -> dict[str, NodeReport]:
        """What was told last."""
        return self.told

    def tell(self, uuid: str, memory: int) -> None:
        """One node says something new."""
        self.told[uuid] = replace(self.told[uuid], memory_free=memory)
        self.changed(uuid)


def node(n: int) -> NodeRecord:
    """The n-th node."""
    return NodeRecord(
        uuid=f"node-{n}",
        name=f"large{n}.example.com",
        group=GROUP,
        primary_ip="192.0.2.1",
        secondary_ip="192.0.2.1",
        agent_host="192.0.2.1",
        agent_port=1811,
    )


def resident() -> float:
    """MiB this process has."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) / 1024
    raise ValueError("no VmRSS")


class Gaps:
    """The largest gap since it was last asked for."""

    def __init__(self) -> None:
        self._largest = 0.0
        self._meant = time.perf_counter()
        self._tick()

    def _tick(self) -> None:
        now = time.perf_counter()
        self._largest = max(self._largest, now - self._meant)
        self._meant = now + 0.001
        reactor.callLater(0.001, self._tick)

    def take(self) -> float:
        """Milliseconds."""
        largest, self._largest = self._largest, 0.0
        return largest * 1000


def cluster(hosts: int, instances: int) -> tuple[FakeCluster, Reports]:
    """A cluster of that size, half of whose instances run."""
    records, names = founding()
    nodes = [node(n) for n in range(hosts)]
    made = [
        replace(instance(n, nodes[n % hosts].uuid), admin_state="up" if n % 2 else "down")
        for n in range(instances)
    ]
    store = MemoryStore()
    change = commit_of([*records, *nodes, *made, ElectionRecord(term=1, node=NODES[0])], names=names)
    Deferred.fromCoroutine(store.commit(change))
    reports = Reports([*NODES, *(n.uuid for n in nodes)])
    for uuid in reports.told:
        running = {
            i.name: _domain(i.name, i.uuid) for i in made if i.primary_node == uuid and i.admin_state == "up"
        }
        reports.told[uuid] = replace(reports.told[uuid], domains=running)
    return make_cluster(store, reports, clock=reactor), reports


def _domain(name: str, uuid: str) -> DomainSeen:
    return DomainSeen(name=name, uuid=uuid, hypervisor="fake", state="running", memory=512, vcpus=1, boot="b")


def change(fake: FakeCluster) -> float:
    """Seconds until a change of one instance is committed, in the snapshot and told."""
    record = next(iter(fake.snapshot.instances.values()))
    took = []
    for n in range(200):
        record = replace(record, serial_no=n + 2)
        begun = time.perf_counter()
        Deferred.fromCoroutine(fake.store.commit(commit_of([record])))
        took.append(time.perf_counter() - begun)
    return sorted(took)[100]


async def ask(port: int, path: str, body: Any = None) -> tuple[float, bytes]:
    """Seconds a request takes curl, and the answer."""
    arguments = ["-s", "-u", PASSWORD, "-w", "\n%{time_total} %{http_code}", f"http://127.0.0.1:{port}{path}"]
    if body is not None:
        arguments += ["-X", "PUT", "-H", "Content-Type: application/json", "-d", json.dumps(body)]
    output = await getProcessOutput("/usr/bin/curl", arguments, reactor=reactor)
    answer, _, told = output.rpartition(b"\n")
    seconds, status = told.split()
    assert status == b"200", answer[:500]
    return float(seconds), answer


QUERIES = (
    ("all of 4 fields", {"fields": ["name", "status", "pnode", "be/maxmem"]}),
    ("status = running", {"fields": ["name", "status"], "qfilter": ["=", "status", "running"]}),
    ("name =~ ^inst99", {"fields": ["name", "status"], "qfilter": ["=~", "name", "^inst99"]}),
    ("name = inst9999.example.com", {"fields": ["name"], "qfilter": ["=", "name", "inst9999.example.com"]}),
    (
        "any of 1000 names",
        {"fields": ["name"], "qfilter": ["|", *(["=", "name", f"inst{n}.example.com"] for n in range(1000))]},
    ),
)


async def measure(folder: Path) -> None:
    """Say all figures."""
    small = change(cluster(3, 10)[0])
    before = resident()
    fake, reports = cluster(HOSTS, INSTANCES)
    answers = Answers(fake.snapshot, reports, fake.now, Random(0))
    (folder / "users").write_text(PASSWORD.replace(":", " ") + " write\n")
    users = Users(folder / "users", reactor, deferToThread, LookedAt())
    await Deferred.fromCoroutine(users.refresh())
    resource = ApiResource(ROUTES, users, reactor, Random(1))
    events = Events(fake.store, fake.snapshot, reports, fake.table, reactor, answers.view)
    resource.api = Api(fake.cluster, answers, events, fake.now)
    section = PvcSection(enabled=True, authentication=False, dialect="0.6")
    resource.beside, _ = make_side(section, reactor, deferToThread, LookedAt())
    port = reactor.listenTCP(0, make_site(resource, reactor), interface="127.0.0.1").getHost().port
    print(f"{HOSTS} nodes, {INSTANCES} instances: {resident() - before:.0f} MiB as records and reports")
    gaps = Gaps()

    async def asked(what: str, path: str, body: Any = None, goal: str = "") -> bytes:
        gaps.take()
        took, answer = await ask(port, path, body)
        size = f"{len(answer) / 1e6:.1f} MB"
        print(f"{what}: {took * 1000:.0f} ms{goal}, {size}, largest gap {gaps.take():.0f} ms (goal 50)")
        return answer

    node_uuid = list(reports.told)[5]
    bulk = "/2/instances?bulk=1"
    await asked("bulk list, first", bulk)
    await asked("bulk list, kept", bulk)
    reports.tell(node_uuid, 7)
    await asked("bulk list, after a node's report", bulk)
    change(fake)
    await asked("bulk list, after a change of one instance", bulk)
    await asked("PVC's list of machines, first", "/api/v1/vm")
    reports.tell(node_uuid, 8)
    await asked("PVC's list of machines, after a node's report", "/api/v1/vm")
    change(fake)
    await asked("PVC's list of machines, after a change of one", "/api/v1/vm")
    print(f"resident with every answer kept: {resident():.0f} MiB, {before:.0f} MiB without the cluster")
    for path in ("/2/nodes?bulk=1", "/2/instances", "/2/groups?bulk=1"):
        reports.tell(node_uuid, 8)
        await asked(path, path)
    for what, body in QUERIES:
        await asked(f"query of instances, {what}", "/2/query/instance", body, " (goal 300)")
    large = change(fake)
    print(f"a change of one of {INSTANCES}: {large * 1e6:.0f} us, of one of 10: {small * 1e6:.0f} us")


def main() -> None:
    """Measure, and end."""
    with tempfile.TemporaryDirectory(prefix="rapi-scale-") as name:
        failed: list[Any] = []

        def begin() -> None:
            d = Deferred.fromCoroutine(measure(Path(name)))
            d.addErrback(failed.append)
            d.addBoth(lambda _: reactor.stop())

        reactor.callWhenRunning(begin)
        reactor.run()
        if failed:
            failed[0].raiseException()


if __name__ == "__main__":
    main()
