"""``/2/events``: what happens is told once, in order, whatever happens to the reader."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import attrs
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from tests.unit.web.http import Browser
from twisted_rapi.cluster.events import (
    AGAIN,
    KEEP_ALIVE,
    MOST_READERS,
    MOST_WAITING,
    PATIENCE,
    Events,
)
from twisted_rapi.model.mastership import ElectionRecord
from twisted_rapi.model.record_base import Record
from twisted_rapi.state.writer import commit_of
from twisted_rapi.testing.cluster import NODES, FakeCluster, make_cluster
from twisted_rapi.testing.memory_store import MemoryStore
from twisted_rapi.web.channel import IDLE

JOB = [{"OP_ID": "OP_TAGS_SET", "kind": "cluster", "tags": ["a"]}]
INSTANCE = {
    "__version__": 1,
    "mode": "create",
    "instance_name": "web1.example.com",
    "disk_template": "diskless",
    "disks": [],
    "nics": [{}],
    "os_type": "noop+default",
    "pnode": "node1.example.com",
}


@attrs.frozen
class Told:
    """An event as a client reads it."""

    id: str
    kind: str
    data: Any


@attrs.define(eq=False)
class Stream:
    """A client's connection, and what it has read."""

    protocol: Any
    transport: Any

    @property
    def text(self) -> str:
        """The body, chunks put together."""
        _, _, rest = self.transport.value().partition(b"\r\n\r\n")
        found = b""
        while rest:
            size, _, rest = rest.partition(b"\r\n")
            found, rest = found + rest[: int(size, 16)], rest[int(size, 16) + 2 :]
        return found.decode()

    @property
    def events(self) -> list[Told]:
        """What a client makes of it (HTML standard §9.2.6)."""
        found = []
        for block in self.text.split("\n\n"):
            fields = dict(line.split(": ", 1) for line in block.split("\n") if line and line[0] != ":")
            if "data" in fields:
                found.append(Told(fields.get("id", ""), fields["event"], json.loads(fields["data"])))
        return found

    @property
    def stored(self) -> list[Told]:
        """Those with an id, but for the first one's greeting."""
        return [e for e in self.events if e.id and e.kind not in ("hello", "reset")]

    @property
    def ended(self) -> bool:
        """Whether the server has ended the body."""
        return bool(self.transport.value().endswith(b"0\r\n\r\n"))

    def leave(self) -> None:
        """The client goes."""
        self.protocol.connectionLost(Failure(ConnectionDone()))


class EventsCase(SynchronousTestCase):
    """A cluster, and clients that read its events."""

    def setUp(self) -> None:
        self.browser = self.browse()

    @property
    def term(self) -> Events:
        """What tells the daemon's readers."""
        assert self.browser.resource.api is not None
        return self.browser.resource.api.events

    def browse(self, cluster: FakeCluster | None = None) -> Browser:
        """A daemon."""
        browser = Browser(Path(self.mktemp()), cluster)
        self.addCleanup(browser.cluster.stop)
        return browser

    def read(self, query: str = "", last: str = "", browser: Browser | None = None) -> Stream:
        """Begin to read."""
        transport: Any = StringTransport()
        protocol: Any = (browser or self.browser).site.buildProtocol(None)
        protocol.makeConnection(transport)
        header = f"Last-Event-ID: {last}\r\n" if last else ""
        protocol.dataReceived(f"GET /2/events{query} HTTP/1.1\r\nHost: x\r\n{header}\r\n".encode())
        return Stream(protocol, transport)

    def made(self, method: str, path: str, body: Any = None, browser: Browser | None = None) -> Any:
        """Something was done by a job, which has succeeded."""
        browser = browser or self.browser
        job = browser.ask(method, path, body).json()
        for _ in range(100):
            found = browser.ask("GET", f"/2/jobs/{job}").json()
            if found["status"] in ("success", "error", "canceled"):
                break
            browser.cluster.clock.advance(1)
        self.assertEqual(found["status"], "success", found["opresult"])
        return found

    def changed(self, n: int) -> None:
        """A commit that two events come of."""
        snapshot = self.browser.cluster.snapshot
        nodes = [snapshot.nodes[uuid] for uuid in NODES[:2]]
        records = [replace(node, serial_no=node.serial_no + 1, drained=bool(n % 2)) for node in nodes]
        self.commit(records)

    def commit(self, records: Sequence[Record]) -> None:
        """Write records."""
        commit = self.browser.cluster.store.commit(commit_of(records))
        self.successResultOf(Deferred.fromCoroutine(commit))


class ContentTests(EventsCase):
    """What is told."""

    def test_hello(self) -> None:
        """A stream begins with the term and the revision it is as of, and is no answer that may be kept."""
        stream = self.read()
        [hello] = stream.events
        revision = self.browser.cluster.store.revision
        self.assertEqual(hello, Told(str(revision), "hello", {"term": 1, "revision": revision}))
        head = stream.transport.value().partition(b"\r\n\r\n")[0].lower()
        self.assertIn(b"content-type: text/event-stream", head)
        self.assertIn(b"cache-control: no-store", head)
        self.assertNotIn(b"content-length", head)
        self.assertIn(f"retry: {AGAIN}\n", stream.text)

    def test_job(self) -> None:
        """A job is told from its being accepted to its end; how far it has come between has no id."""
        stream = self.read()
        job = self.made("POST", "/2/jobs", JOB)
        jobs = [e for e in stream.events if e.kind == "job"]
        self.assertEqual({e.data["id"] for e in jobs}, {job["id"]})
        self.assertEqual(jobs[0].data["status"], "queued")
        self.assertEqual(jobs[-1].data["status"], "success")
        self.assertTrue(jobs[0].id and jobs[-1].id)
        self.assertIn("", [e.id for e in jobs])
        ids = [int(e.id) for e in jobs if e.id]
        self.assertEqual(ids, sorted(set(ids)))

    def test_instance(self) -> None:
        """An instance comes, changes, runs and goes."""
        stream = self.read("?instance=web1.example.com")
        self.made("POST", "/2/instances", INSTANCE)
        jobs = len([e for e in stream.stored if e.kind == "job"])
        self.made("PUT", "/2/instances/web1/shutdown", {"timeout": 0})
        self.assertGreater(len([e for e in stream.stored if e.kind == "job"]), jobs)
        others = self.read("?instance=web1.example.co")
        self.made("DELETE", "/2/instances/web1.example.com", {"shutdown_timeout": 0})
        self.assertEqual([e.kind for e in others.events], ["hello"])
        told = [e for e in stream.events if e.kind == "instance"]
        changes = [e.data["change"] for e in told if e.id]
        self.assertEqual((changes[0], changes[-1]), ("added", "removed"))
        self.assertIn("changed", changes)
        self.assertEqual({e.data["name"] for e in told}, {"web1.example.com"})
        self.assertEqual(len({e.data["uuid"] for e in told}), 1)
        self.assertIn("job", {e.kind for e in stream.events})

    def test_secrets(self) -> None:
        """What may not be read of a job is not told of it."""
        stream = self.read()
        body = {**INSTANCE, "osparams_private": {"password": "verysecret"}}
        self.assertEqual(self.browser.ask("POST", "/2/instances", body).status, 200)
        self.assertIn("INSTANCE_CREATE(web1.example.com)", stream.text)
        self.assertNotIn("verysecret", stream.text)

    def test_guest(self) -> None:
        """What a guest does by itself is told, without an id."""
        self.made("POST", "/2/instances", INSTANCE)
        cluster = self.browser.cluster
        cluster.nodes.changed(NODES[0])
        stream = self.read("?kinds=instance")
        cluster.nodes.nodes[NODES[0]].domains.clear()
        cluster.nodes.changed(NODES[0])
        [event] = [e for e in stream.events if e.data.get("change") == "state"]
        self.assertEqual(
            (event.id, event.data["name"], event.data["status"]), ("", "web1.example.com", "ERROR_down")
        )

    def test_nodes(self) -> None:
        """A node that falls silent and answers again; records of nodes that change."""
        stream = self.read("?kinds=node")
        for down in (True, False):
            self.browser.cluster.nodes.nodes[NODES[2]].down = down
            self.browser.cluster.nodes.changed(NODES[2])
        self.changed(1)
        self.assertEqual(
            [e.data["change"] for e in stream.events[1:]], ["silent", "answering", "changed", "changed"]
        )
        revision = self.browser.cluster.store.revision
        self.assertEqual([e.id for e in stream.events[1:]], ["", "", f"{revision}:0", str(revision)])

    def test_kinds(self) -> None:
        """Only what is wanted is told; a kind that there is not is refused."""
        stream = self.read("?kinds=group,network")
        self.made("POST", "/2/groups", {"group_name": "spare"})
        self.made("POST", "/2/networks", {"network_name": "front", "network": "10.55.0.0/29"})
        self.made("DELETE", "/2/groups/spare")
        found = [(e.kind, e.data["change"], e.data["name"]) for e in stream.stored]
        self.assertEqual(
            found, [("group", "added", "spare"), ("network", "added", "front"), ("group", "removed", "spare")]
        )
        self.assertEqual(self.browser.ask("GET", "/2/events?kinds=job,x").status, 400)


class PlaceTests(EventsCase):
    """Where a stream goes on."""

    def test_cut_anywhere(self) -> None:
        """Whatever event is the last one a reader has, the next stream has all that came after, once."""
        whole = self.read()
        for n in range(4):
            self.changed(n)
            self.made("POST", "/2/jobs", JOB)
        told = whole.stored
        self.assertGreater(len(told), 15)

        @settings(max_examples=40, deadline=None)
        @given(
            st.lists(st.integers(0, len(told)), max_size=4),
            st.sampled_from(["job,node", "job", "node", "group"]),
            st.booleans(),
        )
        def check(cuts: list[int], kinds: str, header: bool) -> None:
            found: list[Told] = []
            expected = [e for e in told if e.kind in kinds.split(",")]
            for end in [*sorted(min(cut, len(expected)) for cut in cuts), len(expected)]:
                last = found[-1].id if found else whole.events[0].id
                argument = "" if header else f"&last_event_id={last}"
                stream = self.read(f"?kinds={kinds}{argument}", last if header else "")
                self.assertEqual([e.kind for e in stream.events if e.kind in ("hello", "reset")], [])
                found += stream.stored[: end - len(found)]
                stream.leave()
            self.assertEqual(found, expected)

        check()

    def test_other_master(self) -> None:
        """A reader goes on at the next master: it is told who that is, and what happened meanwhile."""
        stream = self.read()
        self.made("POST", "/2/jobs", JOB)
        last = stream.stored[-1].id
        self.changed(1)
        lost = stream.stored[-2:]
        store = self.browser.cluster.store
        self.term.close()
        self.assertTrue(stream.ended)
        self.browser.cluster.stop()
        self.commit([ElectionRecord(term=1, node=NODES[1])])
        browser = Browser(Path(self.mktemp()), make_cluster(store))
        self.addCleanup(browser.cluster.stop)
        found = self.read(last=last, browser=browser).stored
        self.assertEqual(found[:2], lost)
        self.assertEqual(found[2].kind, "master")
        self.assertEqual(found[2].data, {"term": 1, "uuid": NODES[1], "name": "node2.example.com"})

    def test_reset(self) -> None:
        """Who was told something that is not known, or no longer, is told so, and goes on from now."""
        for n in range(10):
            self.changed(n)
        for last in ("999999", "x", "-1", "0:0", "1:2:3", "9" * 30, "1 or 2"):
            stream = self.read(last=last)
            self.assertEqual([e.kind for e in stream.events], ["reset"], last)
            self.assertEqual(stream.events[0].data["revision"], self.browser.cluster.store.revision)
            self.assertEqual(stream.events[0].data["after"], 999999 if last == "999999" else None)
            self.changed(0)
            self.assertEqual(len(stream.stored), 2)

    def test_forgotten(self) -> None:
        """The same for an event that the store no longer has the followers of."""
        store = self.browser.cluster.store
        assert isinstance(store, MemoryStore)
        store._history._length = 3
        for n in range(10):
            self.changed(n)
        found = [(e.kind, e.data["after"]) for e in self.read(last="2:0").events]
        self.assertEqual(found, [("reset", 1)])
        last = str(store.revision - 3)
        self.assertEqual([e.kind for e in self.read(last=last).events], ["node"] * 6)


class FlowTests(EventsCase):
    """Slow readers, many readers, and those that have nothing to read."""

    def test_keep_alive(self) -> None:
        """A stream that has nothing to tell shows that it is there, for longer than a connection may idle."""
        stream = self.read("?kinds=network")
        self.changed(1)
        revision = self.browser.cluster.store.revision
        for _ in range(int(3 * IDLE / KEEP_ALIVE)):
            self.browser.cluster.clock.advance(KEEP_ALIVE)
        self.assertFalse(stream.transport.disconnecting)
        self.assertEqual(stream.text.count(": here\n"), 3 * IDLE / KEEP_ALIVE)
        self.assertTrue(stream.text.endswith(f"id: {revision}\n\n"))
        self.assertEqual([e.kind for e in stream.events], ["hello"])

    def fill(self, stream: Stream) -> None:
        """So much happens that a reader has more before it than it may."""
        for n in range(2000):
            self.changed(n)

    def test_slow(self) -> None:
        """Who takes nothing gets no more than a bounded amount, is cut, and goes on where it was."""
        slow, quick = self.read(), self.read()
        slow.protocol.pauseProducing()
        self.fill(slow)
        reader = next(iter(self.term._readers))
        self.assertLess(reader._sink.waiting, 2 * MOST_WAITING)
        self.browser.cluster.clock.advance(PATIENCE + 1)
        self.assertEqual(slow.events[-1].kind, "overflow")
        self.assertTrue(slow.ended)
        self.assertFalse(quick.ended)
        last = slow.stored[-1].id if slow.stored else slow.events[0].id
        again = self.read(last=last).stored
        self.assertEqual([*slow.stored, *again], quick.stored)
        self.assertEqual(len(quick.stored), 4000)

    def test_paused(self) -> None:
        """Who takes it in time is told all of it."""
        stream = self.read()
        stream.protocol.pauseProducing()
        self.fill(stream)
        self.assertEqual(stream.stored, [])
        self.browser.cluster.clock.advance(PATIENCE / 2)
        stream.protocol.resumeProducing()
        self.browser.cluster.clock.advance(PATIENCE)
        self.assertEqual(len(stream.stored), 4000)
        self.assertFalse(stream.ended)

    def test_many(self) -> None:
        """There are only so many; one that leaves makes room, and nothing of it stays."""
        streams = [self.read() for _ in range(MOST_READERS)]
        refused = self.browser.ask("GET", "/2/events")
        self.assertEqual(refused.status, 503)
        for stream in streams:
            stream.leave()
        self.assertEqual(len(self.term._readers), 0)
        self.assertEqual([e.kind for e in self.read().events], ["hello"])

    def test_term(self) -> None:
        """Streams keep nobody from giving up the mastership, and end with the term."""
        stream = self.read()
        self.successResultOf(Deferred.fromCoroutine(self.browser.resource.quiet()))
        self.term.close()
        self.assertTrue(stream.ended)
        self.assertEqual(self.browser.ask("GET", "/2/events").status, 503)
