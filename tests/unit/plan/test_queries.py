"""Tests of `twisted_rapi.plan.families.queries` and `twisted_rapi.plan.query`."""

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.unit.plan.test_fields import view
from twisted_rapi.errors import OpPrereqError
from twisted_rapi.model.opcodes import Opcode, decode
from twisted_rapi.model.opcodes.query import ClusterQuery, Query, QueryFields, TagsGet, TagsSearch
from twisted_rapi.plan.fields.resources import RESOURCES
from twisted_rapi.plan.gathering import at_once
from twisted_rapi.plan.locks import Lock
from twisted_rapi.plan.query import prepare
from twisted_rapi.plan.stage import Finish, Gather, Progress
from twisted_rapi.plan.table import PLANS, locks_for


class QueryPlanTests(SynchronousTestCase):
    """Opcodes that only read end at once."""

    def setUp(self) -> None:
        self.view = view()

    def result(self, cls: type[Opcode], **values: Any) -> Any:
        """What the opcode ends with."""
        stage = PLANS[cls](decode(cls, values), Progress(), self.view)
        if isinstance(stage, Gather):
            stage = at_once(stage, self.view)
        assert isinstance(stage, Finish)
        self.assertEqual((stage.puts, stage.deletes, stage.names, stage.error), ((), (), {}, None))
        return stage.result

    def test_query(self) -> None:
        """Fields of what passes the filter."""
        found = self.result(Query, what="node", fields=["name", "nope"], qfilter=["=", "role", "M"])
        self.assertEqual(found["data"], [[[0, "node1.example.com"], [1, None]]])
        self.assertEqual([f["kind"] for f in found["fields"]], ["text", "unknown"])
        for what in RESOURCES:
            self.assertNotEqual(self.result(Query, what=what, fields=["name"])["data"], [], what)

    def test_wrong_query(self) -> None:
        """A filter that cannot be meant fails the opcode."""
        for filter_ in (["~"], ["=", "nope", 1], ["=", "name", 1]):
            error = self.assertRaises(
                OpPrereqError, self.result, Query, what="node", fields=["name"], qfilter=filter_
            )
            self.assertEqual(error.code, "wrong_input")

    def test_fields(self) -> None:
        """All fields, or those named."""
        everything = self.result(QueryFields, what="os")["fields"]
        self.assertEqual([f["name"] for f in everything], sorted(RESOURCES["os"].fields))
        some = self.result(QueryFields, what="os", fields=["valid", "name"])["fields"]
        self.assertEqual([f["name"] for f in some], ["valid", "name"])

    def test_cluster(self) -> None:
        """As ``/2/info``."""
        found = self.result(ClusterQuery)
        self.assertEqual((found["name"], found["master"]), ("cluster.example.com", "node1.example.com"))

    def test_tags(self) -> None:
        """Tags of one object, and a search in all."""
        self.assertEqual(self.result(TagsGet, kind="cluster"), ["a", "b"])
        for kind, name in (
            ("node", "node1"),
            ("instance", "web7"),
            ("nodegroup", "default"),
            ("network", "net"),
        ):
            self.assertEqual(self.result(TagsGet, kind=kind, name=name), [])
            self.assertRaises(OpPrereqError, self.result, TagsGet, kind=kind, name="nosuch")
        self.assertEqual(self.result(TagsSearch, pattern="^[bc]"), [["/cluster", "b"]])
        error = self.assertRaises(OpPrereqError, self.result, TagsSearch, pattern="(")
        self.assertIn("Invalid search pattern '('", str(error))

    def test_locks(self) -> None:
        """Only tags that are asked for with locking take the object's lock, shared."""
        everyone = Lock("cluster", "BGL", shared=True)
        for kind, name, lock in (
            ("node", "node1", Lock("node", "n1", shared=True)),
            ("instance", "web7", Lock("instance", "web7.example.com", shared=True)),
            ("nodegroup", "default", Lock("nodegroup", "g1", shared=True)),
            ("network", "net", Lock("network", "w1", shared=True)),
        ):
            op = decode(TagsGet, {"kind": kind, "name": name, "use_locking": True})
            self.assertEqual(locks_for(op, self.view), {everyone, lock})
            op = decode(TagsGet, {"kind": kind, "name": name})
            self.assertEqual(locks_for(op, self.view), {everyone})


class IndexTests(SynchronousTestCase):
    """Objects that a filter names are not sought among all."""

    def test_ids(self) -> None:
        """Names and uuids lead to their objects, in the order given; anything else to all."""
        found = view()
        for filter_, expected in (
            (["=", "name", "node3.example.com"], ["n3"]),
            (["|", ["=", "uuid", "n4"], ["=", "uuid", "n2"], ["=", "uuid", "n4"]], ["n4", "n2"]),
            (["&", ["?", "offline"], ["=", "name", "node3.example.com"]], ["n3"]),
            (["=", "name", "node3"], ["n1", "n2", "n3", "n4"]),
            (["?", "offline"], ["n1", "n2", "n3", "n4"]),
            (["=", "name", 5], ["n1", "n2", "n3", "n4"]),
        ):
            self.assertEqual(list(prepare("node", ["name"], filter_).ids(found)), expected, filter_)
        self.assertEqual(list(prepare("job", [], ["=", "id", 4]).ids(found)), [4])
        self.assertEqual(list(prepare("job", [], ["=", "id", 5]).ids(found)), [])
        self.assertEqual(list(prepare("network", [], ["=", "name", "ne"]).ids(found)), [])

    def test_unknown_resource(self) -> None:
        """There are no others."""
        self.assertRaises(KeyError, prepare, "nope", [], None)
