"""Queries over HTTP, in memory (fields.json ``query2``; requests and texts as observed)."""

import json
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from tests.unit.web.http import Browser
from twisted_rapi.cluster.queries import rows_of
from twisted_rapi.errors import BadRequest
from twisted_rapi.model.query import MOST_LEVELS, MOST_PARTS, OPERATORS
from twisted_rapi.model.record_base import Record
from twisted_rapi.model.records import ArchivedJobRecord, FilterRecord, InstanceRecord, OpRecord
from twisted_rapi.model.seen import DomainSeen
from twisted_rapi.plan.fields.resources import RESOURCES
from twisted_rapi.plan.locks import Lock
from twisted_rapi.plan.query import prepare
from twisted_rapi.state.writer import commit_of
from twisted_rapi.testing.cluster import NODES

WHAT = sorted(RESOURCES)


def instance(n: int, node: str, **more: Any) -> InstanceRecord:
    """An instance without disks and NICs."""
    return InstanceRecord(
        uuid=f"00000000-0000-4000-8000-00000000010{n}",
        name=f"web{n}.example.com",
        os="noop",
        hypervisor="fake",
        primary_node=node,
        disk_template="diskless",
        **more,
    )


class QueryCase(SynchronousTestCase):
    """A cluster with three nodes and three instances, one of which runs."""

    def setUp(self) -> None:
        self.browser = Browser(Path(self.mktemp()))
        self.fake = self.browser.cluster
        self.addCleanup(self.fake.stop)
        self.put(
            instance(1, NODES[0], admin_state="up", tags=("x",)),
            instance(2, NODES[1]),
            instance(10, NODES[1], tags=("x", "y")),
            instance(3, NODES[0], pending=7),
        )
        running = DomainSeen(
            name="web1.example.com",
            uuid=f"{instance(1, '').uuid}",
            hypervisor="fake",
            state="running",
            memory=512,
        )
        self.fake.nodes.nodes[NODES[0]].domains[running.name] = running

    def put(self, *records: Record) -> None:
        """Commit records."""
        self.successResultOf(Deferred.fromCoroutine(self.fake.store.commit(commit_of(records))))

    def rows(self, what: str, fields: list[str], given_: Any = None) -> list[list[Any]]:
        """The rows of a query that succeeds."""
        answer = self.browser.ask("PUT", f"/2/query/{what}", {"fields": fields, "qfilter": given_})
        self.assertEqual(answer.status, 200, answer.body)
        found = answer.json()
        self.assertEqual(list(found), ["data", "fields"])
        self.assertEqual([field["name"] for field in found["fields"]], fields)
        rows: list[list[Any]] = found["data"]
        return rows

    def values(self, what: str, field: str, given_: Any = None) -> list[Any]:
        """The values of one field, all of which are known."""
        rows = self.rows(what, [field], given_)
        self.assertEqual([row[0][0] for row in rows], [0] * len(rows))
        return [row[0][1] for row in rows]

    def refused(self, status: int, text: str, method: str, path: str, body: Any = None, **more: Any) -> None:
        """A request is refused with a text."""
        answer = self.browser.ask(method, path, body, **more)
        self.assertEqual((answer.status, answer.json()["code"]), (status, status), answer.body)
        message = answer.json()["message"].replace("&#x27;", "'").replace("&quot;", '"')
        self.assertIn(text, message)


class RightsTests(SynchronousTestCase):
    """Who may ask (behaviour.md §2)."""

    def test_rights(self) -> None:
        """Reading or writing users query; what fields there are anybody is told."""
        browser = Browser(Path(self.mktemp()))
        self.addCleanup(browser.cluster.stop)
        body = {"fields": ["name"]}
        for user, expected in (("viewer", 200), ("admin", 200), ("nobody", 403), (None, 401)):
            self.assertEqual(browser.ask("GET", "/2/query/node?fields=name", user=user).status, expected)
            self.assertEqual(browser.ask("PUT", "/2/query/node", body, user=user).status, expected)
            self.assertEqual(browser.ask("GET", "/2/query/node/fields", user=user).status, 200)
        for method, path in (("POST", "/2/query/node"), ("PUT", "/2/query/node/fields")):
            self.assertEqual(browser.ask(method, path).status, 501)
        self.assertEqual(browser.ask("GET", "/2/query").status, 404)


class FieldsTests(QueryCase):
    """``GET /2/query/R/fields``."""

    def test_all(self) -> None:
        """All fields are told, by name; each has a title without blanks and a line of words."""
        for what in WHAT:
            fields = self.browser.ask("GET", f"/2/query/{what}/fields", user=None).json()["fields"]
            names = [field["name"] for field in fields]
            self.assertEqual(names, list(RESOURCES[what].fields), what)
            for field in fields:
                self.assertEqual(list(field), ["name", "title", "kind", "doc"])
                self.assertNotIn(" ", field["title"])
                self.assertRegex(field["doc"], r"\A[^\n]+[^\n.]\Z")

    def test_chosen(self) -> None:
        """Those asked for, in their order; blanks do not count, an empty argument asks for all."""
        answer = self.browser.ask("GET", "/2/query/node/fields?fields=name,%20nope,mfree,name").json()
        self.assertEqual([f["name"] for f in answer["fields"]], ["name", "nope", "mfree", "name"])
        unknown = {"name": "nope", "title": "nope", "kind": "unknown", "doc": "Unknown field 'nope'"}
        self.assertEqual(answer["fields"][1], unknown)
        everything = self.browser.ask("GET", "/2/query/node/fields?fields=").json()["fields"]
        self.assertEqual(len(everything), len(RESOURCES["node"].fields))
        names = [field["name"] for field in everything]
        self.assertEqual((names[:-1], names[-1]), (sorted(names[:-1]), "fate"))

    def test_unknown(self) -> None:
        """An unknown resource, in the words observed."""
        text = """Failed to parse request: Cannot convert value '["nope", null]', error: """
        text += "Can't parse value 'nope' as neitherQueryTypeLuxi nor QueryTypeOp"
        self.refused(502, text, "GET", "/2/query/nope/fields")


class FormTests(QueryCase):
    """Arguments and bodies, and how wrong ones are refused."""

    def test_argument(self) -> None:
        """``fields`` in the query, for GET and for a body without any."""
        answer = self.browser.ask("GET", "/2/query/node?fields=name,role").json()
        self.assertEqual(answer["data"][0], [[0, "node1.example.com"], [0, "M"]])
        self.assertEqual(self.browser.ask("PUT", "/2/query/node?fields=name,role", {}).json(), answer)
        self.refused(400, "Missing 'fields' query argument", "GET", "/2/query/node")
        self.refused(400, "Missing 'fields' query argument", "GET", "/2/query/node?fields=")
        self.refused(400, "Missing 'fields' query argument", "PUT", "/2/query/node", {})

    def test_older_key(self) -> None:
        """``filter`` counts where ``qfilter`` is absent or null."""
        one, other = ["=", "name", "node1"], ["=", "name", "node2"]
        for body, expected in (
            ({"filter": one}, "node1.example.com"),
            ({"qfilter": None, "filter": one}, "node1.example.com"),
            ({"qfilter": other, "filter": one}, "node2.example.com"),
        ):
            found = self.browser.ask("PUT", "/2/query/node", {"fields": ["name"], **body}).json()["data"]
            self.assertEqual(found, [[[0, expected]]])

    def test_bodies(self) -> None:
        """What is no object, or has no list of names, is told."""
        for body, name in ((None, "NoneType"), (["name"], "list"), ("x", "str"), (1, "int")):
            text = f"Body contents: Type is '{name}', but 'dict' is expected"
            self.refused(400, text, "PUT", "/2/query/node", body)
        request = """Failed to parse request: Cannot convert value '["node", "name", null]', error: """
        self.refused(502, request + "Unable to read list", "PUT", "/2/query/node", {"fields": "name"})
        self.refused(502, "error: Unable to read String", "PUT", "/2/query/node", {"fields": [1]})
        self.refused(400, "may ask for 1000", "PUT", "/2/query/node", {"fields": ["name"] * 1001})

    def test_unknown_resource(self) -> None:
        """An unknown resource, in the words observed; a missing field list comes first."""
        text = (
            """Cannot convert value '["nope", ["name"], null]', error: Can't parse value 'nope' as neither"""
        )
        self.refused(502, text, "GET", "/2/query/nope?fields=name")
        self.refused(400, "Missing 'fields'", "GET", "/2/query/nope")

    def test_filters(self) -> None:
        """Wrong filters: in their form as observed, in their meaning 400."""
        start = "Failed to parse request: Cannot convert value "
        no_filter = """'["node", ["name"], "name"]', error: Cannot deserialise filter: expected array """
        no_pair = """'["node", ["name"], ["=", "name"]]', error: Cannot deserialise field/value pair, """
        forms: tuple[tuple[Any, str], ...] = (
            ("name", no_filter + '[string, args], got "name"'),
            (["=", "name"], no_pair + 'expected [fieldname, value] but got ["name"]'),
        )
        for given_, text in forms:
            self.refused(502, start + text, "PUT", "/2/query/node", {"fields": ["name"], "qfilter": given_})
        deep: Any = ["?", "offline"]
        for _ in range(MOST_LEVELS):
            deep = ["!", deep]
        meanings: tuple[tuple[Any, str], ...] = (
            (["=", "mtotal", "x"], """trying to compare 32768 with 'QuotedString "x"'"""),
            (["=", "nope", "x"], "Unknown field 'nope' in filter"),
            (["~", "name", "x"], "Unknown filter operator '~'"),
            (["=~", "name", "("], "Bad regular expression '('"),
            (deep, "levels"),
            (["|", *[["?", "offline"]] * MOST_PARTS], "parts"),
        )
        for given_, text in meanings:
            self.refused(400, text, "PUT", "/2/query/node", {"fields": ["name"], "qfilter": given_})

    def test_long_refusal(self) -> None:
        """A refusal repeats no more than the beginning of a long request."""
        body = {"fields": ["name"], "qfilter": "x" * 100_000}
        self.assertLess(len(self.browser.ask("PUT", "/2/query/node", body).body), 5000)


class AnswerTests(QueryCase):
    """What is answered."""

    def test_filters(self) -> None:
        """The filters of the recordings, on nodes."""
        for given_, expected in (
            (None, [1, 2, 3]),
            (["=", "name", "node1.example.com"], [1]),
            (["==", "name", "node1.example.com"], [1]),
            (["=", "name", "node1"], [1]),
            (["!=", "name", "node1.example.com"], [2, 3]),
            (["|", ["=", "name", "node2.example.com"], ["=", "name", "node1.example.com"]], [2, 1]),
            (["&", ["=", "name", "node1.example.com"], ["=", "role", "M"]], [1]),
            (["!", ["=", "name", "node1.example.com"]], [2, 3]),
            (["?", "offline"], []),
            (["?", "master"], [1]),
            (["=~", "name", "^node[12]"], [1, 2]),
            (["=[]", "tags", "x"], []),
            (["<", "mtotal", 1000000], [1, 2, 3]),
            ([">", "ctotal", 0], [1, 2, 3]),
            ([">=", "name", "node2"], [2, 3]),
            (["|"], []),
            (["=", "uuid", NODES[2]], [3]),
            (["=", "uuid", "nope"], []),
            (["|", ["=", "name", "nope"], ["=", "name", "node3"]], [3]),
        ):
            names = self.values("node", "name", given_)
            self.assertEqual(names, [f"node{n}.example.com" for n in expected], given_)

    def test_instances(self) -> None:
        """In natural order, without those being made; by status, by group, by tag."""
        names = [f"web{n}.example.com" for n in (1, 2, 10)]
        self.assertEqual(self.values("instance", "name"), names)
        for given_, expected in (
            (["=", "status", "running"], names[:1]),
            (["?", "oper_state"], names[:1]),
            (["=", "pnode.group", "default"], names),
            (["=", "pnode", "node2"], names[1:]),
            (["=[]", "tags", "x"], [names[0], names[2]]),
            (["|", *(["=", "name", names[n]] for n in (2, 0, 2))], [names[2], names[0]]),
            (["=", "name", "web3.example.com"], []),
        ):  # fmt: skip
            self.assertEqual(self.values("instance", "name", given_), expected, given_)

    def test_statuses(self) -> None:
        """Each value says whether it is known, and why not."""
        self.fake.nodes.nodes[NODES[1]].down = True
        self.put(replace(self.fake.snapshot.nodes[NODES[2]], offline=True))
        fields = ["name", "mfree", "nope", "hv_state"]
        first, second, third = self.rows("node", fields)
        self.assertEqual(first, [[0, "node1.example.com"], [0, 32768 - 512], [1, None], [3, None]])
        self.assertEqual(second[1:], [[2, None], [1, None], [3, None]])
        self.assertEqual(third[1:], [[4, None], [1, None], [3, None]])
        rows = self.rows("instance", ["oper_ram", "oper_state", "disk.size/0", "status"])
        self.assertEqual(rows[0], [[0, 512], [0, True], [3, None], [0, "running"]])
        self.assertEqual(rows[1], [[2, None], [2, None], [3, None], [0, "ERROR_nodedown"]])
        # Nothing is known against what is not known.
        self.assertEqual(len(self.values("node", "name", [">", "mfree", 10**9])), 2)

    def test_locks(self) -> None:
        """Locks with who has them and who waits."""
        locks = self.fake.executor.locks
        locks.request(5, 0, 5, frozenset([Lock("cluster", "BGL", shared=True), Lock("node", "n1")]))
        locks.request(6, 0, 6, frozenset([Lock("cluster", "BGL", shared=True), Lock("node", "n1")]))
        rows = self.rows("lock", ["name", "mode", "owner", "pending"])
        expected = [
            ["cluster/BGL", "shared", ["5"], [["shared", ["6"]]]],
            ["node/n1", "exclusive", ["5"], [["exclusive", ["6"]]]],
        ]
        self.assertEqual([[value for _, value in row] for row in rows], expected)
        locks.release(5)
        locks.release(6)
        self.assertEqual(self.rows("lock", ["name"]), [])

    def test_jobs(self) -> None:
        """Jobs by id; the archive where it is asked for; points in time by their seconds."""
        self.browser.done("PUT", "/2/tags?tag=a")
        self.browser.done("PUT", "/2/instances/nosuch/tags?tag=b")
        first, second = self.values("job", "id")
        old = ArchivedJobRecord(
            id=0, ops=(OpRecord(input={}, summary="OLD", status="success"),), received_ts=(5, 0)
        )
        self.put(old)
        self.assertEqual(self.rows("job", ["id", "archived"]), [
            [[0, 0], [0, True]], [[0, first], [0, False]], [[0, second], [0, False]],
        ])  # fmt: skip
        for given_, expected in (
            (None, [first, second]),
            (["=", "status", "success"], [first]),
            (["=", "id", 0], [0]),
            (["|", ["=", "id", second], ["=", "id", 99], ["=", "id", 0]], [second, 0]),
            (["?", "archived"], [0]),
            ([">=", "id", 0], [first, second]),
            (["<", "received_ts", 100], []),
            ([">", "received_ts", 100], [first, second]),
        ):
            self.assertEqual(self.values("job", "id", given_), expected, given_)
        [row] = self.rows("job", ["opstart", "opexec", "opend", "oppriority", "priority"], ["=", "id", first])
        for _, value in row[:3]:
            self.assertEqual([len(stamp) for stamp in value], [2])
        self.assertEqual(row[3:], [[0, [0]], [0, 0]])
        self.refused(
            400, "Invalid types", "PUT", "/2/query/job", {"fields": ["id"], "qfilter": ["=", "id", "1"]}
        )

    def test_large(self) -> None:
        """An answer that would not fit into memory is refused, before all of the archive was read."""
        for n in range(30):
            done = OpRecord(input={}, summary="OLD", status="success", result="x" * 100)
            self.put(ArchivedJobRecord(id=n, ops=(done,), received_ts=(5, 0)))
        api = self.browser.resource.api
        assert api is not None
        for most, kind in ((2000, BadRequest), (5000, None)):
            query = prepare("job", ["opresult"], ["?", "archived"])
            asked = Deferred.fromCoroutine(rows_of(query, api.answers, api.cluster, most))
            if kind is None:
                self.assertEqual(len(self.successResultOf(asked)), 30)
            else:
                self.assertIn("ask for less", str(self.failureResultOf(asked, kind).value))

    def test_filters_of_jobs(self) -> None:
        """Job filters in the order they count."""
        for n, priority in ((1, 5), (2, 0)):
            uuid = f"00000000-0000-4000-8000-00000000020{n}"
            self.put(
                FilterRecord(uuid=uuid, watermark=n, priority=priority, predicates=(["jobid", ["?", "id"]],))
            )
        self.assertEqual(self.values("filter", "watermark"), [2, 1])
        self.assertEqual(self.values("filter", "priority", ["=", "priority", 5]), [5])

    def test_os(self) -> None:
        """OS definitions, which releases up to 2.6 let be queried."""
        self.assertEqual(self.rows("os", ["name", "valid", "variants"]), [
            [[0, "noop"], [0, True], [0, ["default", "alt"]]],
        ])  # fmt: skip
        [status] = self.values("os", "node_status")
        self.assertEqual(sorted(status), [f"node{n}.example.com" for n in (1, 2, 3)])

    def test_cluster(self) -> None:
        """The cluster is one object."""
        fields = ["cluster_name", "master_node", "drain_flag", "watcher_pause"]
        expected = [[0, "cluster.example.com"], [0, "node1.example.com"], [0, False], [3, None]]
        self.assertEqual(self.rows("cluster", fields), [expected])

    def test_as_listed(self) -> None:
        """Queries and bulk lists tell the same values."""
        for what, plural in (("instance", "instances"), ("node", "nodes"), ("group", "groups")):
            listed = self.browser.ask("GET", f"/2/{plural}?bulk=1").json()
            fields = [name for name in listed[0] if name in RESOURCES[what].fields]
            self.assertEqual(fields, list(listed[0]))
            rows = [[value for _, value in row] for row in self.rows(what, fields)]
            self.assertEqual(rows, [list(item.values()) for item in listed])

    def test_not_kept(self) -> None:
        """What changed is seen at once."""
        self.assertEqual(len(self.values("instance", "name")), 3)
        self.put(replace(self.fake.snapshot.instances[instance(3, "").uuid], pending=None))
        self.assertEqual(len(self.values("instance", "name")), 4)


scalars = st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.text(max_size=8)
anything = st.recursive(
    scalars | st.sampled_from([*OPERATORS, "name", "status", "mfree", "tags", "id"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=12,
)
operators = st.sampled_from(OPERATORS)
fields = st.sampled_from([*sorted({name for what in RESOURCES.values() for name in what.fields}), "nope"])
terms = st.tuples(operators, fields, scalars).map(list) | st.tuples(st.just("?"), fields).map(list)
filters = st.recursive(
    terms,
    lambda inner: st.tuples(st.sampled_from("|&!"), inner, inner).map(list),
    max_leaves=6,
)


class GeneratedQueryTests(QueryCase):
    """Whatever is queried, the answer is never a 500."""

    @settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
    @given(
        st.sampled_from([*WHAT, "nope"]),
        st.lists(fields | st.text(max_size=3), max_size=5) | anything,
        filters | anything,
    )
    def test_never_500(self, what: str, names: Any, given_: Any) -> None:
        """A success whose rows are as wide as what was asked for, or a refusal."""
        answer = self.browser.ask("PUT", f"/2/query/{what}", {"fields": names, "qfilter": given_})
        self.assertIn(answer.status, (200, 400, 502), answer.body)
        found = json.loads(answer.body)
        if answer.status == 200:
            self.assertEqual([len(row) for row in found["data"]], [len(names)] * len(found["data"]))
