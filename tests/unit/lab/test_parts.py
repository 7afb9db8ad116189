"""The lab's parts that touch nothing: its layout, its rules, its wire, what it reads and what it asks for."""

import itertools
import json
import struct
from base64 import b64encode
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from twisted_rapi.model.mastership import ElectionRecord
from twisted_rapi.model.records import JobRecord, NodeRecord, OpRecord
from twisted_rapi.state.codec import encode
from twisted_rapi.testing.lab.addresses import address_of, messages
from twisted_rapi.testing.lab.cutting import EVERYONE, Cut, between, ruleset
from twisted_rapi.testing.lab.history import JobSeen
from twisted_rapi.testing.lab.layout import Layout
from twisted_rapi.testing.lab.load import submissions
from twisted_rapi.testing.lab.recorder import Reader, marks_of
from twisted_rapi.testing.lab.wire import Lane


class LayoutTests(SynchronousTestCase):
    """`Layout`."""

    def test_apart(self) -> None:
        """No two places share anything; names of devices are short; nodes are found by either name."""
        layout = Layout()
        for attribute in ("name", "namespace", "port", "address", "address6", "folder"):
            self.assertEqual(len({getattr(place, attribute) for place in layout.places}), 4)
        self.assertTrue(all(len(place.port) < 15 for place in layout.places))
        self.assertEqual(layout.node("node2"), layout.node("node2.example.com"))
        self.assertRaises(KeyError, layout.node, "client")
        self.assertNotIn(layout.floating_address, [place.address for place in layout.places])

    def test_addresses(self) -> None:
        """Clients ask at the floating address where there is one, and at all nodes where there is none."""
        self.assertEqual(len(Layout(floating=False).addresses), 3)
        self.assertEqual(Layout(floating=True).addresses, (Layout().floating_address,))


class CuttingTests(SynchronousTestCase):
    """`ruleset`."""

    def test_rules(self) -> None:
        """One direction, everyone, only some ports, only a share; both devices of a port are meant."""
        rules = ruleset([Cut("a", "b"), Cut("c", EVERYONE, (), 5), Cut(EVERYONE, "d", (1, 2))])
        found = [line.strip() for line in rules.splitlines() if line.endswith("drop")]
        self.assertEqual(
            found,
            [
                'oifname { "d", "dw" } meta l4proto tcp th sport { 1, 2 } drop',
                'oifname { "d", "dw" } meta l4proto tcp th dport { 1, 2 } drop',
                'iifname { "a", "aw" } oifname { "b", "bw" } drop',
                'iifname { "c", "cw" } numgen random mod 100 < 5 drop',
            ],
        )

    def test_share(self) -> None:
        """A share that is none is refused."""
        for share in (0, -1, 101):
            self.assertRaises(ValueError, Cut, "a", "b", (), share)

    def test_between(self) -> None:
        """Both ways between any two, and nobody is cut off from itself."""
        self.assertEqual(between(["a"], ["b"]), {Cut("a", "b"), Cut("b", "a")})
        self.assertEqual(len(between("abc", "abc")), 6)

    @given(st.sets(st.builds(Cut, st.sampled_from("abc"), st.sampled_from("abc*"))))
    def test_replaces(self, cuts: set[Cut]) -> None:
        """Whatever was in force before is removed in the same transaction; each cut has its rule."""
        rules = ruleset(cuts)
        self.assertLess(rules.index("delete table"), rules.rindex("table bridge lab {"))
        self.assertEqual(rules.count("drop"), len(cuts))
        self.assertEqual(rules.count("{"), rules.count("}"))


class LaneTests(SynchronousTestCase):
    """`Lane`."""

    @given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), max_size=20))
    def test_order(self, frames: list[tuple[float, float]]) -> None:
        """Frames leave in order, none before its time, all in the end."""
        left: list[tuple[float, int]] = []
        now, waits = 0.0, iter([wait for _, wait in frames])
        lane = Lane(lambda frame: left.append((now, frame[0])), lambda: next(waits))
        entered = []
        for number, (later, wait) in enumerate(frames):
            now += later
            lane.proceed(now)
            lane.enter(bytes([number]), now)
            entered.append(now + wait)
        while (due := lane.proceed(now)) is not None:
            now = max(now, due)
        self.assertEqual([number for _, number in left], list(range(len(frames))))
        self.assertTrue(all(at >= entered[number] for at, number in left))

    def test_lost(self) -> None:
        """What a device does not take is lost, and nothing else."""
        left: list[bytes] = []

        def leave(frame: bytes) -> None:
            if frame == b"2":
                raise BlockingIOError
            left.append(frame)

        lane = Lane(leave, lambda: 0.0)
        for frame in (b"1", b"2", b"3"):
            lane.enter(frame, 0.0)
        self.assertIsNone(lane.proceed(0.0))
        self.assertEqual(left, [b"1", b"3"])


class AddressTests(SynchronousTestCase):
    """The kernel's messages."""

    def test_parsed(self) -> None:
        """Messages of a datagram one by one, each padded; the local address counts, else the only one."""

        def attribute(kind: int, value: bytes) -> bytes:
            return struct.pack("=HH", 4 + len(value), kind) + value

        def message(kind: int, content: bytes) -> bytes:
            size = 16 + len(content)
            return struct.pack("=IHHII", size, kind, 0, 0, 0) + content + b"\0" * (-size % 4)

        head = struct.pack("=BBBBI", 2, 24, 0, 0, 1)
        peer, local = attribute(1, bytes([10, 0, 0, 1])), attribute(2, bytes([10, 0, 0, 2]))
        six = struct.pack("=BBBBI", 10, 64, 0, 0, 1) + attribute(1, bytes(15) + b"\1")
        data = (
            message(20, head + attribute(3, b"abc\0\0") + b"\0\0\0" + peer + local)
            + message(20, six)
            + message(3, b"")
        )
        found = list(messages(data))
        self.assertEqual([kind for kind, _ in found], [20, 20, 3])
        self.assertEqual([address_of(content) for _, content in found[:2]], ["10.0.0.2", "::1"])


def event(key: str, value: bytes = b"", revision: int = 1, kind: str = "PUT") -> dict[str, Any]:
    """As a watch of etcd tells it."""
    kv = {"key": b64encode(key.encode()).decode(), "mod_revision": str(revision)}
    if value:
        kv["value"] = b64encode(value).decode()
    return {"kv": kv} if kind == "PUT" else {"kv": kv, "type": kind}


def job(number: int, **op: Any) -> JobRecord:
    """A job with one opcode."""
    return JobRecord(id=number, ops=(OpRecord(input=op, summary="S", status="running"),), received_ts=(1, 0))


class ReaderTests(SynchronousTestCase):
    """`Reader`."""

    def test_commits(self) -> None:
        """One transaction a revision: its writer, its term by the node's name, its jobs, what it removed."""
        node = NodeRecord(
            uuid="u1",
            name="node1.example.com",
            group="g",
            primary_ip="10.0.0.1",
            secondary_ip="10.0.0.1",
            agent_host="10.0.0.1",
            agent_port=1811,
        )
        made = job(7, OP_ID="OP_TAGS_SET", tags=["load-1-2-3"])
        told = {
            "result": {
                "events": [
                    event("/p/s/node/u1", encode(node), 5),
                    event("/p/m/writer", b"{}", 5),
                    event("/p/s/seat", b"u1", 6),
                    event("/p/s/election", encode(ElectionRecord(term=3, node="u1")), 6),
                    event("/p/m/writer", b"{}", 6),
                    event("/p/s/job/7", encode(made), 7),
                    event("/p/s/job/5", b"", 8, "DELETE"),
                    event("/p/s/job/6", b"", 8, "DELETE"),
                    event("/p/s/archive/6", b"{}", 8),
                    event("/p/s/name/group/x", b"", 8),
                ]
            }
        }
        told["result"]["events"][8] = event("/p/s/archive/6", _archived(job(6, OP_ID="OP_X")), 8)
        first, second, third, fourth = Reader("/p").commits(told, 1.0)
        self.assertEqual((first.kinds, first.writer), (("node",), "writer"))
        self.assertEqual((second.term, second.node), (3, "node1.example.com"))
        self.assertEqual(second.kinds, ("election", "seat"))
        self.assertEqual(third.jobs, {7: JobSeen("running", ("OP_TAGS_SET load-1-2-3",))})
        self.assertEqual((fourth.gone, fourth.jobs), ((5,), {}))
        self.assertEqual(Reader("/p").commits({"result": {"created": True}}, 1.0), [])

    def test_marks(self) -> None:
        """A job is known by what the load called it, and by nothing else."""
        self.assertEqual(marks_of(job(1, OP_ID="OP_TAGS_SET", name="load-1-1-1.example.com", tags=["x"])), ())
        made = job(1, OP_ID="OP_INSTANCE_CREATE", instance_name="load-1-1-1.example.com")
        self.assertEqual(marks_of(made), ("OP_INSTANCE_CREATE load-1-1-1.example.com",))


def _archived(record: JobRecord) -> bytes:
    return json.dumps({"v": record.VERSION, "r": json.loads(encode(record))["r"]}).encode()


class SubmissionTests(SynchronousTestCase):
    """`submissions`."""

    def test_marks(self) -> None:
        """No two requests have the same mark, of whichever worker and run."""
        runs = [submissions(run, worker) for run in (1, 11) for worker in (1, 11)]
        marks = [wanted.mark for run in runs for wanted in itertools.islice(run, 100)]
        self.assertEqual(len(set(marks)), len(marks))
