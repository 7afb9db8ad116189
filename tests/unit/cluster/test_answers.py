"""Tests of `twisted_rapi.cluster.answers`."""

import json
from collections.abc import Sequence
from random import Random
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from twisted_rapi.cluster.answers import MOST_BYTES, Answers
from twisted_rapi.model.record_base import Record
from twisted_rapi.model.records import InstanceRecord, NodeRecord
from twisted_rapi.model.seen import DomainSeen, NodeReport
from twisted_rapi.state.interface import Commit
from twisted_rapi.state.writer import commit_of
from twisted_rapi.testing.cluster import GROUP, NODES, make_cluster
from twisted_rapi.testing.nodes import FakeNode, FakeNodes


class Steady(FakeNodes):
    """Nodes whose reports are the same objects until they change, as those of real nodes."""

    def __init__(self) -> None:
        super().__init__(NODES)
        self._made: dict[str, NodeReport] = {}

    @property
    def reports(self) -> dict[str, NodeReport]:
        """What was told last."""
        return self._made

    def changed(self, node: str) -> None:
        """Report anew."""
        found: FakeNode = self.nodes[node]
        self._made.pop(node, None)
        if not found.down:
            self._made[node] = found.report()
        super().changed(node)


UUIDS = tuple(f"00000000-0000-4000-8000-0000000001{n:02}" for n in range(4))
INDEX = st.integers(0, 3)
NODE = st.sampled_from(NODES)
ACT = st.one_of(
    st.tuples(
        st.just("instance"), INDEX, st.sampled_from(["web10", "web9", "db"]), NODE, NODE, st.booleans()
    ),
    st.tuples(st.just("delete"), INDEX),
    st.tuples(st.just("domain"), INDEX, NODE, st.booleans()),
    st.tuples(st.just("down"), NODE, st.booleans()),
    st.tuples(st.just("node"), NODE, st.booleans()),
    st.tuples(st.just("group"), st.integers(1, 3)),
    st.tuples(st.just("cluster"), NODE),
)


class AnswersTests(SynchronousTestCase):
    """What is kept is never old."""

    def setUp(self) -> None:
        self.nodes = Steady()
        for node in NODES:
            self.nodes.changed(node)
        self.fake = make_cluster(nodes=self.nodes)
        self.addCleanup(self.fake.stop)
        self.answers = self.fresh()

    def fresh(self) -> Answers:
        return Answers(self.fake.snapshot, self.nodes, self.fake.now, Random(0))

    def put(self, *records: Record, gone: frozenset[str] = frozenset()) -> None:
        """Commit records."""
        change = commit_of(records)
        done = self.fake.store.commit(Commit(puts=change.puts, deletes=gone))
        self.successResultOf(Deferred.fromCoroutine(done))

    def act(self, what: str, *args: Any) -> None:
        """Change something that answers depend on."""
        snapshot = self.fake.snapshot
        if what == "instance":
            index, name, primary, secondary, pending = args
            self.put(instance(index, f"{name}-{index}", primary, secondary, pending))
        elif what == "delete":
            self.put(gone=frozenset([f"instance/{UUIDS[args[0]]}"]))
        elif what == "domain":
            self.seen(*args)
        elif what == "down":
            self.nodes.nodes[args[0]].down = args[1]
            self.nodes.changed(args[0])
        elif what == "node":
            self.put(replace(snapshot.nodes[args[0]], offline=args[1], tags=("t",) * args[1]))
        elif what == "group":
            self.put(replace(snapshot.groups[GROUP], ndparams={"spindle_count": args[0]}))
        else:
            self.put(replace(snapshot.cluster, master_node=args[0]))

    def seen(self, index: int, node: str, running: bool) -> None:
        """A domain appears on a node."""
        record = self.fake.snapshot.instances.get(UUIDS[index])
        name = f"x{index}" if record is None else record.name
        self.nodes.nodes[node].domains[name] = DomainSeen(
            name=name,
            uuid=UUIDS[index],
            hypervisor="fake",
            state="running" if running else "paused",
            memory=64 + index,
            vcpus=1,
            boot="b",
        )
        self.nodes.changed(node)

    def all(self, answers: Answers) -> list[bytes]:
        """The bulk answers, and every single one."""
        view = answers.view()
        singles = [answers.single("instance", view, record) for record in view.instances.values()]
        singles += [answers.single("node", view, view.nodes[node]) for node in NODES]
        lists = [self.listed(kind, answers) for kind in ("node", "instance", "group", "network")]
        return [*(text for texts in lists for text in texts), *singles]

    def listed(self, kind: str, answers: Answers | None = None) -> Sequence[bytes]:
        """A bulk list."""
        done = Deferred.fromCoroutine((answers or self.answers).bulk(kind))
        found: Sequence[bytes] = self.successResultOf(done)
        return found

    def test_never_old(self) -> None:
        """After any changes the answers are those that would be made anew."""
        self.check()

    @settings(max_examples=60, deadline=None)
    @given(st.lists(st.lists(ACT, min_size=1, max_size=3), max_size=8))
    def check(self, acts: list[list[tuple[Any, ...]]]) -> None:
        self.setUp()
        for several in acts:
            for act in several:
                self.act(*act)
            self.assertEqual(self.all(self.answers), self.all(self.fresh()))
        self.fake.stop()

    def test_order(self) -> None:
        """Instances are listed as people sort names; those being made are not; nodes list theirs."""
        for act in (
            ("instance", 0, "web10", NODES[0], NODES[1], False),
            ("instance", 1, "web9", NODES[0], NODES[1], False),
            ("instance", 2, "db", NODES[0], NODES[1], True),
        ):
            self.act(*act)
        names = [json.loads(i)["name"] for i in self.listed("instance")]
        self.assertEqual(names, ["web9-1", "web10-0"])
        first, second, _ = map(json.loads, self.listed("node"))
        self.assertEqual((first["pinst_cnt"], first["pinst_list"], first["sinst_cnt"]), (2, names, 0))
        self.assertEqual((second["sinst_cnt"], second["sinst_list"], second["pinst_cnt"]), (2, names, 0))

    def test_strays(self) -> None:
        """An instance that runs where it should not says so in a listing as in its own answer."""
        self.act("instance", 0, "web10", NODES[0], NODES[0], False)
        self.seen(0, NODES[1], True)
        view = self.answers.view()
        [listed] = map(json.loads, self.listed("instance"))
        alone = json.loads(self.fresh().single("instance", view, view.instances[UUIDS[0]]))
        self.assertEqual((listed["status"], alone["status"]), ("ERROR_wrongnode", "ERROR_wrongnode"))

    def test_only_what_changed(self) -> None:
        """A change of one node costs that node: the others' encoded answers stay."""
        self.all(self.answers)
        before = dict(self.answers._texts["node"])
        self.seen(0, NODES[1], True)
        self.all(self.answers)
        same = [node for node in NODES if self.answers._texts["node"][node] is before[node]]
        self.assertEqual(same, [NODES[0], NODES[2]])

    def test_whole(self) -> None:
        """Whole answers are kept until a record or a report changes, and not without end."""
        self.answers.keep("a", 1, self.answers.changes, 1)
        self.assertEqual(self.answers.kept("a"), 1)
        self.nodes.changed(NODES[0])
        self.assertIsNone(self.answers.kept("a"))
        self.answers.keep("a", 1, self.answers.changes - 1, 1)
        self.assertIsNone(self.answers.kept("a"))
        self.answers.keep("huge", 1, self.answers.changes, MOST_BYTES + 1)
        self.assertIsNone(self.answers.kept("huge"))
        for n in range(5):
            self.answers.keep(n, n, self.answers.changes, MOST_BYTES // 4)
            self.answers.keep(n, "again", self.answers.changes, MOST_BYTES // 4)
        self.assertEqual([self.answers.kept(n) for n in range(5)], [None, None, None, 3, 4])
        many = MOST_BYTES // 1000 + 10
        for n in range(many):
            self.answers.keep(n, n, self.answers.changes, 0)
        self.assertLess(sum(self.answers.kept(n) is not None for n in range(many)), many)

    def test_close(self) -> None:
        """Closed, they look at nothing any more."""
        watching = len(self.fake.snapshot._observers), len(self.nodes._observers)
        self.answers.close()
        now = len(self.fake.snapshot._observers), len(self.nodes._observers)
        self.assertEqual(now, (watching[0] - 1, watching[1] - 1))

    def test_forgotten(self) -> None:
        """What was encoded of nodes and instances that are gone is forgotten."""
        extra = NodeRecord(
            uuid="n4",
            name="node4.example.com",
            group=GROUP,
            primary_ip="192.0.2.4",
            secondary_ip="192.0.2.4",
            agent_host="192.0.2.4",
            agent_port=1811,
        )
        self.put(extra)
        self.all(self.answers)
        self.put(gone=frozenset(["node/n4"]))
        self.all(self.answers)
        self.assertEqual(sorted(self.answers._texts["node"]), sorted(NODES))


def instance(index: int, name: str, primary: str, secondary: str, pending: bool) -> InstanceRecord:
    """An instance without disks."""
    return InstanceRecord(
        uuid=UUIDS[index],
        name=name,
        os="noop+default",
        hypervisor="fake",
        primary_node=primary,
        secondary_nodes=() if secondary == primary else (secondary,),
        disk_template="diskless",
        pending=7 if pending else None,
    )
