"""RAPI as a whole, in memory."""

import json
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.unit.web.http import Browser
from twisted_rapi.jobs.readers import Readers
from twisted_rapi.plan.locks import Lock
from twisted_rapi.web.rapi.routes import ROUTES
from twisted_rapi.web.rapi1.routes import ROUTES as ROUTES_OF_1_2

CREATION: dict[str, Any] = {
    "__version__": 1,
    "mode": "create",
    "instance_name": "web1.example.com",
    "disk_template": "file",
    "disks": [{"size": 64}],
    "nics": [{}],
    "os_type": "noop+default",
    "pnode": "node1.example.com",
}
FIELDS_OF_INSTANCE = 37


class ApiCase(SynchronousTestCase):
    """Has a browser."""

    def setUp(self) -> None:
        self.browser = Browser(Path(self.mktemp()))
        self.addCleanup(self.browser.cluster.stop)

    def error(self, status: int, message: str, *request: Any, **more: Any) -> None:
        """The request is refused with this status and, after unescaping nothing, this message."""
        answer = self.browser.ask(*request, **more)
        found = answer.json()
        self.assertEqual((answer.status, found["code"], found["message"]), (status, status, message))
        self.assertEqual(sorted(found), ["code", "explain", "message"])
        self.assertEqual(answer.headers["content-type"], "application/json")


class ReadTests(ApiCase):
    """What reading answers."""

    def test_constants(self) -> None:
        """The resources that never change, to the byte."""
        body: bytes
        for path, body in (("/", b"null\n"), ("/2", b"null\n"), ("/version", b"2\n")):
            answer = self.browser.ask("GET", path, user=None)
            self.assertEqual((answer.status, answer.body), (200, body))

    def test_lists(self) -> None:
        """Short lists name and locate each object; bulk lists have them whole."""
        nodes = self.browser.ask("GET", "/2/nodes").json()
        self.assertEqual(nodes[0], {"id": "node1.example.com", "uri": "/2/nodes/node1.example.com"})
        self.assertEqual(len(self.browser.ask("GET", "/2/nodes?bulk=1").json()), 3)
        groups = self.browser.ask("GET", "/2/groups").json()
        self.assertEqual(groups, [{"name": "default", "uri": "/2/groups/default"}])
        self.assertEqual(self.browser.ask("GET", "/2/instances").json(), [])

    def test_info(self) -> None:
        """It names the master, and is one line of ASCII with a newline."""
        answer = self.browser.ask("GET", "/2/info")
        self.assertEqual(answer.json()["master"], "node1.example.com")
        self.assertTrue(answer.body.endswith(b"}\n"))
        self.assertIn(b'"software_version": "3.0.2", "protocol_version": 3000000', answer.body)

    def test_kept_answers_change(self) -> None:
        """An answer that was kept is made anew when something it depends on changes."""
        before = self.browser.ask("GET", "/2/tags", user=None).json()
        self.browser.done("PUT", "/2/tags?tag=new")
        after = self.browser.ask("GET", "/2/tags", user=None).json()
        self.assertEqual((before, after), ([], ["new"]))

    def test_kept_queries(self) -> None:
        """Answers to arguments that anybody may invent are not kept."""
        api = self.browser.resource.api
        assert api is not None
        for uri, kept in (
            *(
                ("/2/tags", True),
                ("/2/nodes?bulk=1", True),
                ("/2/nodes?bulk=1&x=y", False),
                ("/2/tags?x", False),
            ),
            *(("/2/nodes?bulk=01", False), ("/2/query/node/fields?fields=name", False)),
            *(("/nodes?bulk=1", True), ("/nodes?bulk=2", False)),
        ):
            self.assertEqual(self.browser.ask("GET", uri, user=None).status, 200)
            self.assertEqual(api.answers.kept(uri.encode()) is not None, kept, uri)

    def test_info_of_instances(self) -> None:
        """Reads that are jobs: equal ones that have not begun are one."""
        executor = self.browser.cluster.executor
        self.browser.done("POST", "/2/instances", CREATION)
        executor.locks.request(900, 0, 900, frozenset({Lock("instance", "web1.example.com")}))
        first = self.browser.ask("GET", "/2/instances/web1.example.com/info", user=None).json()
        self.assertEqual(self.browser.ask("GET", "/2/instances/web1.example.com/info").json(), first)
        other = self.browser.ask("GET", "/2/instances/web1.example.com/info?static=1", user=None).json()
        self.assertNotEqual(other, first)
        executor.release(900)
        again = self.browser.ask("GET", "/2/instances/web1.example.com/info", user=None).json()
        self.assertNotIn(again, (first, other))

    def test_info_without_end(self) -> None:
        """Who only reads cannot fill the queue; when jobs are archived there is room again."""
        cluster = self.browser.cluster.cluster
        cluster._readers = Readers(self.browser.cluster.table, 20)
        asked = [self.browser.ask("GET", f"/2/instances/x{n}/info", user=None) for n in range(15)]
        self.assertEqual([answer.status for answer in asked], [200] * 10 + [503] * 5)
        self.assertIn("only read", asked[-1].json()["message"])
        self.browser.done("PUT", "/2/tags?tag=new")
        self.browser.cluster.clock.advance(7 * 3600)
        self.assertEqual(self.browser.ask("GET", "/2/instances/x/info", user=None).status, 200)

    def test_instance(self) -> None:
        """An instance has all fields, and short names and uuids find it too."""
        self.browser.done("POST", "/2/instances", CREATION)
        one = self.browser.ask("GET", "/2/instances/web1.example.com").json()
        self.assertEqual((one["status"], one["disk.sizes"], one["nic.links"]), ("running", [64], ["br0"]))
        self.assertEqual(len(one), FIELDS_OF_INSTANCE - 2)
        for name in ("web1", one["uuid"]):
            self.assertEqual(self.browser.ask("GET", f"/2/instances/{name}").json(), one)
        self.assertEqual(self.browser.ask("GET", "/2/instances?bulk=1").json(), [one])

    def test_unknown(self) -> None:
        """Unknown objects and URIs are not found."""
        for path in (
            *("/2/nodes/nosuch", "/2/instances/nosuch", "/2/groups/nosuch", "/2/jobs/99", "/2/jobs/99/wait"),
            *("/2/instances/nosuch/tags", "/2/instances/nosuch/console", "/2/nodes/nosuch/role"),
            *(
                "/2/",
                "/version/",
                "//version",
                "/3",
                "/2/jobs/-1",
                "/2/jobs/1.0",
                "/2/nodes/node1%2Eexample.com",
            ),
            *(
                "/2/instances/a%20b",
                "/2/instances/%2e%2e",
                "/2/instances/a%00",
                "/favicon.ico",
                "/2/instances/a/b/c",
            ),
        ):
            body: Any = {"fields": [], "previous_job_info": None, "previous_log_serial": None}
            self.error(404, "Not Found", "GET", path, body if path.endswith("wait") else None)

    def test_flags(self) -> None:
        """Arguments that mean yes or no are integers."""
        self.error(400, "Invalid value for the &#x27;bulk&#x27; parameter", "GET", "/2/nodes?bulk=true")
        for query in ("bulk=0", "bulk=", "bulk=0&bulk=1", "other=1"):
            self.assertIn("uri", self.browser.ask("GET", f"/2/nodes?{query}").json()[0])
        for query in ("bulk=1", "bulk=-1", "bulk=+1"):
            self.assertNotIn("uri", self.browser.ask("GET", f"/2/nodes?{query}").json()[0])

    def test_1_2(self) -> None:
        """The old API's resources, and its errors as pages."""
        self.browser.done("POST", "/2/instances", CREATION)
        self.assertEqual(
            self.browser.ask("GET", "/instances", user=None).json(),
            [{"name": "web1.example.com", "uri": "/instances/web1.example.com"}],
        )
        one = self.browser.ask("GET", "/instances/web1.example.com", user=None).json()
        self.assertEqual((one["admin_state"], one["sda_size"], one["sdb_size"]), (True, 64, None))
        self.assertEqual(self.browser.ask("GET", "/info").json()["protocol_version"], 12)
        self.assertEqual(self.browser.ask("GET", "/instances?bulk=1", user=None).json(), [one])
        nodes = self.browser.ask("GET", "/nodes?bulk=1", user=None).json()
        self.assertEqual([node["name"] for node in nodes], [f"node{n}.example.com" for n in (1, 2, 3)])
        missing = self.browser.ask("GET", "/instances/nosuch")
        self.assertEqual((missing.status, missing.headers["content-type"]), (404, "text/html"))
        self.assertEqual(self.browser.ask("POST", "/instances").status, 400)


class OrderTests(ApiCase):
    """Checks come in the order of behaviour.md §1.2."""

    def test_order(self) -> None:
        """URI, method, credentials, rights, media type, JSON, contents."""
        self.error(404, "Not Found", "PUT", "/2/nosuch", user=None)
        unsupported = "Method PUT is unsupported for path /2/instances"
        self.error(501, unsupported, "PUT", "/2/instances", user=None)
        self.error(401, "Unauthorized", "POST", "/2/instances", user=None, data=b"x", media_type="text/plain")
        self.error(
            403, "Forbidden", "POST", "/2/instances", user="viewer", data=b"x", media_type="text/plain"
        )
        self.error(415, "Unsupported Media Type", "POST", "/2/instances", data=b"x", media_type="text/plain")
        self.error(415, "Unsupported Media Type", "POST", "/2/instances", data=b"{}", media_type=None)
        self.error(400, "Unable to parse JSON data", "POST", "/2/instances", data=b"x")

    def test_challenge(self) -> None:
        """401 says how to log in."""
        answer = self.browser.ask("POST", "/2/instances", user=None)
        self.assertEqual(answer.headers["www-authenticate"], 'Basic realm="Ganeti Remote API"')

    def test_wrong_credentials(self) -> None:
        """Wrong ones are refused even where none are needed, later each time."""
        header: Any = {"Authorization": "Basic YWRtaW46d3Jvbmc="}
        self.assertEqual(self.browser.ask("GET", "/2/info", user=None, **header).status, 401)
        sent = self.browser.raw(
            b"GET /2/info HTTP/1.1\r\nHost: x\r\nAuthorization: Basic YWRtaW46d3Jvbmc=\r\n\r\n"
        )
        self.assertEqual(sent, b"", "the second wrong one has to wait")

    def test_schemes(self) -> None:
        """Only Basic with data is understood."""
        for value, status in (
            ("Basic", 400),
            ("Bearer x", 401),
            ("Basic %%%", 401),
            ("Basic YQ==", 401),
            ("", 401),
        ):
            answer = self.browser.ask("GET", "/2/info", user=None, Authorization=value)
            self.assertEqual(answer.status, status, value)

    def test_require(self) -> None:
        """Where a user is always needed, that comes first."""
        browser = Browser(Path(self.mktemp()), self.browser.cluster, require=True)
        self.assertEqual(browser.ask("GET", "/nosuch", user=None).status, 401)
        self.assertEqual(browser.ask("GET", "/nosuch", user="nobody").status, 404)
        self.assertEqual(browser.ask("GET", "/2/info", user="nobody").status, 200)

    def test_rights(self) -> None:
        """Consoles need read or write, waiting needs write."""
        self.browser.done("POST", "/2/instances", CREATION)
        path = "/2/instances/web1.example.com/console"
        statuses = [self.browser.ask("GET", path, user=u).status for u in (None, "nobody", "viewer", "admin")]
        self.assertEqual(statuses, [401, 403, 200, 200])


class BadBodyTests(ApiCase):
    """Bad input is refused in the field's words and changes nothing."""

    def tearDown(self) -> None:
        self.assertEqual(self.browser.ask("GET", "/2/jobs").json(), [])

    def refuse(self, message: str, body: Any, path: str = "/2/instances", method: str = "POST") -> None:
        """It is a 400 with this message."""
        self.error(400, message, method, path, body)

    def test_shapes(self) -> None:
        """A body is an object of known parameters with values of their types."""
        listed = "Body contents: Type is &#x27;list&#x27;, but &#x27;dict&#x27; is expected"
        self.refuse(listed, ["a"])
        self.refuse(
            "Invalid body parameters: Object OpInstanceCreate doesn&#x27;t support the parameter &#x27;foo&#x27;",  # noqa: E501
            {**CREATION, "foo": 1, "zoo": 2},
        )
        wrong = "Invalid body parameters: (&quot;Parameter &#x27;OP_INSTANCE_CREATE.{}&#x27; fails validation&quot;, &#x27;wrong_input&#x27;)"  # noqa: E501
        for name, value in (
            *(
                ("mode", 1),
                ("mode", "x"),
                ("disks", {}),
                ("disks", [1]),
                ("disks", [{"size": []}]),
                ("nics", [{"x": "y"}]),
            ),
            *(
                ("start", 1),
                ("start", "yes"),
                ("pnode", ""),
                ("beparams", []),
                ("source_shutdown_timeout", -1),
            ),
            *(
                ("priority", 5),
                ("depends", [[1]]),
                ("depends", [["x", []]]),
                ("depends", [[1, ["odd"]]]),
                ("tags", [1]),
            ),
            *(("source_shutdown_timeout", 2**70), ("instance_name", None)),
        ):
            self.refuse(wrong.format(name), {**CREATION, name: value})
        missing = {k: v for k, v in CREATION.items() if k != "mode"}
        self.refuse(wrong.format("mode"), missing)

    def test_static(self) -> None:
        """What the server sets must not be in the body; renamed parameters are given once."""
        self.refuse("Can&#x27;t overwrite static parameters {&#x27;reason&#x27;}", {**CREATION, "reason": []})
        self.refuse(
            "Parameter &#x27;os&#x27; was renamed to &#x27;os_type&#x27;, but both are specified",
            {**CREATION, "os": "noop"},
        )
        self.refuse("Instance creation request version 0 is no longer supported", {"name": "x"})
        self.refuse("Unsupported request data version 2", {**CREATION, "__version__": 2})

    def test_json(self) -> None:
        """What is not JSON that can be held is no JSON."""
        for data in (
            *(
                b"{",
                b"NaN",
                b'{"a": NaN}',
                b"Infinity",
                b"1e999",
                b"\xff",
                b'"\\ud800"',
                b"[" * 100_000,
                b"{}{}",
            ),
            *(b"'a'", b"1" * 6000, b'{"a" 1}', b"\x00"),
        ):
            self.error(400, "Unable to parse JSON data", "POST", "/2/instances", data=data)

    def test_deep(self) -> None:
        """A value nested so deeply that it cannot be handled is refused, one way or another."""
        deep = b'{"__version__": 1, "beparams": ' + b'{"a":' * 900 + b"1" + b"}" * 901
        self.assertEqual(self.browser.ask("POST", "/2/instances", data=deep).status, 400)

    def test_large(self) -> None:
        """A body of 11 MiB is refused, by its length and without one."""
        large = b'"' + b"x" * (11 * 1024 * 1024) + b'"'
        self.assertEqual(self.browser.ask("POST", "/2/instances", data=large).status, 413)
        chunked = b"%x\r\n%b\r\n0\r\n\r\n" % (len(large), large)
        head = b"POST /2/instances HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n"
        auth = b"Authorization: Basic YWRtaW46c2VjcmV0\r\nContent-Type: application/json\r\n\r\n"
        self.assertIn(b"413", self.browser.raw(head + auth + chunked).split(b"\r\n")[0])

    def test_large_job(self) -> None:
        """A job that is too large is refused, however it is submitted; so is what the store does not take."""
        comment = "c" * 2_200_000
        body = {"__version__": 1, **CREATION, "comment": comment}
        asked: tuple[tuple[str, str, Any], ...] = (
            ("POST", "/2/instances", body),
            ("POST", "/2/jobs", [{"OP_ID": "OP_CLUSTER_VERIFY", "comment": comment}]),
            ("PUT", "/2/tags", ["t" * 120] * 20_000),
            ("PUT", "/2/instances/web1/modify", {"comment": comment}),
            ("POST", "/2/instances-multi-alloc", {"instances": [], "comment": comment}),
        )
        for method, path, given_ in asked:
            answer = self.browser.ask(method, path, given_)
            self.assertEqual((answer.status, path), (413, path), answer.body[:500])
            self.assertEqual(sorted(answer.json()), ["code", "explain", "message"])
        self.assertEqual(list(self.browser.cluster.table), [])
        store: Any = self.browser.cluster.store
        store.refused = 100_000
        rule = {"priority": 1, "predicates": [["jobid", [">", "id", 1]]], "action": "ACCEPT"}
        reason = [["x", "r" * 200_000, 1]]
        self.assertEqual(self.browser.ask("POST", "/2/filters", {**rule, "reason": reason}).status, 413)

    def test_media_type(self) -> None:
        """A character set of UTF-8 is accepted with the media type, others are not."""
        for kind, status in (
            *(("application/json", 400), ("APPLICATION/JSON", 400), ("application/json; charset=utf-8", 400)),
            *(
                ("application/json;charset=UTF-8", 400),
                ("application/json; charset=latin-1", 415),
                ("text/json", 415),
            ),
        ):
            answer = self.browser.ask("POST", "/2/instances", data=b"[]", media_type=kind)
            self.assertEqual(answer.status, status, kind)

    def test_wait(self) -> None:
        """Waiting needs to know the fields, and lists where they belong."""
        self.refuse("Required parameter &#x27;fields&#x27; is missing", {}, "/2/jobs/1/wait", "GET")
        self.error(400, "Required parameter &#x27;fields&#x27; is missing", "GET", "/2/jobs/1/wait")
        body = {"fields": ["status"], "previous_job_info": "x"}
        message = "The &#x27;previous_job_info&#x27; parameter should be a list"
        self.refuse(message, body, "/2/jobs/1/wait", "GET")


class JobTests(ApiCase):
    """Jobs as clients see them."""

    def test_document(self) -> None:
        """A job has its fields in order; the opcode its parameters with defaults."""
        job = self.browser.done("POST", "/2/instances?reason=because", CREATION)
        fields = "id ops status summary opstatus received_ts start_ts end_ts oplog opresult"
        self.assertEqual(list(job), fields.split())
        self.assertEqual((job["status"], job["summary"]), ("success", ["INSTANCE_CREATE(web1.example.com)"]))
        self.assertEqual(job["opresult"], [["node1.example.com"]])
        [op] = job["ops"]
        self.assertEqual((op["OP_ID"], op["start"], "snode" in op), ("OP_INSTANCE_CREATE", True, False))
        self.assertEqual(op["reason"][0][:2], ["gnt:user", "because"])
        self.assertEqual(op["reason"][1][0], "gnt:library:rlib2:instances")
        self.assertEqual(op["reason"][2][:2], ["gnt:opcode:instance_create", f"job={job['id']};index=0"])

    def test_failures(self) -> None:
        """What depends on the cluster's state fails in the job, in the field's words."""
        for change, error in (
            ({"os_type": "nosuch"}, "Directory for OS nosuch not found in search path"),
            ({"os_type": "noop+nope"}, "OS 'noop' does not support variant 'nope'"),
            ({"pnode": "nosuch"}, "Node 'nosuch' not known"),
            ({"instance_name": "a b"}, "Invalid hostname 'a b'"),
            ({"instance_name": "a/b"}, "Invalid hostname 'a/b'"),
            ({"instance_name": "a\r\nb"}, "Invalid hostname"),
            ({"beparams": {"foo": 1}}, "Unknown parameter 'foo'"),
            ({"beparams": {"vcpus": "many"}}, "'vcpus' (value many) is not a valid integer"),
            ({"nics": [{"mac": "zz"}]}, "Invalid MAC address 'zz'"),
            ({"nics": [{"link": "nosuch"}]}, "Missing bridges"),
            ({"disks": [{"size": "many"}]}, "Invalid disk size"),
            ({"disk_template": "plain"}, "Disk template 'plain' is not enabled in cluster"),
            ({"hypervisor": "kvm"}, "Selected hypervisor (kvm) not enabled"),
            ({"iallocator": "hail"}, "Do not specify both, iallocator and node"),
            ({"beparams": {"memory": "10T"}}, "violates policy"),
        ):
            job = self.browser.done("POST", "/2/instances", {**CREATION, **change})
            self.assertEqual(job["status"], "error", change)
            self.assertIn(error, json.dumps(job["opresult"]), change)
        self.assertEqual(self.browser.ask("GET", "/2/instances").json(), [])

    def test_secrets(self) -> None:
        """Private and secret OS parameters are not shown."""
        body = {**CREATION, "osparams_private": {"dhcp": "hidden"}, "osparams_secret": {}}
        job = self.browser.done("POST", "/2/instances", body)
        self.assertEqual(job["ops"][0]["osparams_private"], {"dhcp": None})
        body = {**CREATION, "instance_name": "web2.example.com", "osparams_secret": {"dhcp": "hidden-one"}}
        job = self.browser.done("POST", "/2/instances", body)
        self.assertEqual((job["status"], job["ops"][0]["osparams_secret"]), ("success", {"dhcp": None}))
        stored = [entry.value for entry in self.browser.cluster.store._entries.values()]  # type: ignore[attr-defined]
        self.assertEqual([value for value in stored if b"hidden-one" in value], [])

    def test_dry_run(self) -> None:
        """A dry run judges and changes nothing."""
        job = self.browser.done("POST", "/2/instances?dry-run=1", CREATION)
        self.assertEqual(job["status"], "success")
        self.assertIn("dry-run mode requested", json.dumps(job["oplog"]))
        self.assertEqual(self.browser.ask("GET", "/2/instances").json(), [])

    def test_reinstall(self) -> None:
        """Three opcodes in one job; both forms at once are refused."""
        self.browser.done("POST", "/2/instances", CREATION)
        job = self.browser.done("POST", "/2/instances/web1/reinstall?os=noop%2Balt")
        self.assertEqual((job["status"], len(job["ops"])), ("success", 3))
        self.assertEqual(self.browser.ask("GET", "/2/instances/web1").json()["os"], "noop+alt")
        combined = "Can&#x27;t combine query and body parameters"
        self.error(400, combined, "POST", "/2/instances/web1/reinstall?os=x", {"os": "noop"})

    def test_wait(self) -> None:
        """Waiting on what changed answers at once; on a job that runs, when it changes."""
        self.browser.cluster.nodes.hold()
        job = self.browser.ask("POST", "/2/instances", CREATION).json()
        asked = {"fields": ["status"], "previous_job_info": None, "previous_log_serial": None}
        path = f"/2/jobs/{job}/wait"
        self.assertEqual(self.browser.ask("GET", path, asked).json()["job_info"], ["running"])
        asked["previous_job_info"] = ["running"]
        asked["previous_log_serial"] = 100  # type: ignore[assignment]
        self.browser.cluster.nodes.release()
        self.assertEqual(self.browser.ask("GET", path, asked).json()["job_info"], ["success"])

    def test_cancel(self) -> None:
        """A job that waits for a lock is cancelled; one that has ended or never was is not."""
        self.browser.cluster.nodes.hold()
        first = self.browser.ask("POST", "/2/instances", CREATION).json()
        second = self.browser.ask("DELETE", "/2/instances/web1.example.com").json()
        self.assertEqual(
            self.browser.ask("DELETE", f"/2/jobs/{second}").json(), [True, "Job successfully cancelled"]
        )
        running = self.browser.ask("DELETE", f"/2/jobs/{first}").json()
        self.assertEqual(running, [False, "Job no longer waiting, can't cancel (informed it anyway)"])
        self.browser.cluster.nodes.release()
        self.assertEqual(self.browser.ask("GET", f"/2/jobs/{second}").json()["status"], "canceled")
        self.assertEqual(
            self.browser.ask("DELETE", "/2/jobs/99").json(), [False, "Job 99 not found in queue"]
        )


PATHS = sorted({route.pattern for route in (*ROUTES, *ROUTES_OF_1_2)})
names = st.sampled_from(["web1.example.com", "node1.example.com", "default", "nosuch", "1", "99"])
scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False)
    | st.text(max_size=8)
)
keys = st.sampled_from(
    [
        "mode",
        "disks",
        "nics",
        "instance_name",
        "os_type",
        "beparams",
        "hvparams",
        "start",
        "tags",
        "new_name",
        "osparams",
        "fields",
        "size",
        "mac",
        "previous_job_info",
        "previous_log_serial",
        "__version__",
        "pnode",
        "disk_template",
        "timeout",
        "dry_run",
        "depends",
        "os",
    ]
) | st.text(max_size=5)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=4),
    max_leaves=12,
)
queries = st.lists(
    st.tuples(
        st.sampled_from(
            ["bulk", "tag", "dry-run", "force", "type", "os", "nostartup", "static", "lock", "reason"]
        ),
        st.sampled_from(["", "0", "1", "-1", "x", "%ff", "a b".replace(" ", "+"), "9" * 60]),
    ),
    max_size=3,
).map(lambda pairs: "&".join(f"{k}={v}" for k, v in pairs))


class GeneratedRequestTests(SynchronousTestCase):
    """Whatever is asked, the answer is never a 500."""

    def setUp(self) -> None:
        self.browser = Browser(Path(self.mktemp()))
        self.addCleanup(self.browser.cluster.stop)
        self.browser.done("POST", "/2/instances", CREATION)

    @settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck))
    @given(
        st.sampled_from(["GET", "PUT", "POST", "DELETE", "HEAD", "PATCH", "get"]),
        st.sampled_from(PATHS),
        names,
        queries,
        values
        | st.fixed_dictionaries({"mode": st.just("create")}, optional={"disks": values, "nics": values}),
        st.sampled_from(["admin", "admin", "admin", "viewer", None]),
    )
    def test_never_500(
        self, method: str, path: str, name: str, query: str, body: Any, user: str | None
    ) -> None:
        """Every answer is a success or a 4xx or 501 or 503; a refused request leaves no job."""
        for part in ("[instance_name]", "[node_name]", "[group_name]", "[job_id]", "[name]"):
            path = path.replace(part, name)
        if path.startswith("/2/instances") and isinstance(body, dict) and method == "POST":
            body = {"__version__": 1, **CREATION, **body}
        before = len(list(self.browser.cluster.table))
        answer = self.browser.ask(method, f"{path}?{query}", body, user=user)
        self.assertIn(answer.status, (200, 400, 401, 403, 404, 413, 415, 501, 503), answer.body)
        if answer.status != 200:
            self.assertEqual(len(list(self.browser.cluster.table)), before)
        for job in self.browser.cluster.table:
            self.assertNotIn("Internal error", json.dumps([op.result for op in job.ops]), job)
