"""Each URI and method of resources.json: what is well and what is refused, both as the document promises."""

from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.unit.web.http import Browser
from tests.unit.web.resource_rows import DETACHED, MADE, ROWS, Row
from tests.unit.web.schemas import schemas
from twisted_rapi.testing.cluster import NODES
from twisted_rapi.web.openapi.route import PATTERN
from twisted_rapi.web.rapi.routes import ROUTES
from twisted_rapi.web.rapi1.routes import ROUTES as ROUTES_OF_1_2

EXTENSIONS = frozenset(
    [
        *("POST /2/jobs", "GET /2/master", "PUT /2/master", "GET /2/events"),
        *("GET /2/watchdog", "PUT /2/watchdog"),
        *("GET /2/nodes/[node_name]/fate", "PUT /2/nodes/[node_name]/fate"),
        *("GET /2/disks", "GET /2/disks/[disk_uuid]", "DELETE /2/disks/[disk_uuid]"),
    ]
)
"""What resources.json does not have."""

OF_RESOURCES = """
    GET /, GET /info, GET /instances, GET /instances/[name], GET /instances/[name]/tags, GET /nodes,
    GET /nodes/[name], GET /nodes/[name]/tags, GET /os, GET /tags, GET /version, GET /2, GET /2/info,
    PUT /2/redistribute-config, GET /2/features, PUT /2/modify, GET /2/groups, POST /2/groups,
    GET /2/groups/[group_name], DELETE /2/groups/[group_name], PUT /2/groups/[group_name]/modify,
    PUT /2/groups/[group_name]/rename, PUT /2/groups/[group_name]/assign-nodes,
    GET /2/groups/[group_name]/tags, PUT /2/groups/[group_name]/tags, DELETE /2/groups/[group_name]/tags,
    GET /2/instances, POST /2/instances, POST /2/instances-multi-alloc, GET /2/instances/[instance_name],
    DELETE /2/instances/[instance_name], GET /2/instances/[instance_name]/info,
    POST /2/instances/[instance_name]/reboot, PUT /2/instances/[instance_name]/shutdown,
    PUT /2/instances/[instance_name]/startup, POST /2/instances/[instance_name]/reinstall,
    POST /2/instances/[instance_name]/replace-disks, PUT /2/instances/[instance_name]/activate-disks,
    PUT /2/instances/[instance_name]/deactivate-disks, POST /2/instances/[instance_name]/recreate-disks,
    POST /2/instances/[instance_name]/disk/[disk_index]/grow,
    PUT /2/instances/[instance_name]/prepare-export, PUT /2/instances/[instance_name]/export,
    DELETE /2/instances/[instance_name]/export, PUT /2/instances/[instance_name]/migrate,
    PUT /2/instances/[instance_name]/failover, PUT /2/instances/[instance_name]/rename,
    PUT /2/instances/[instance_name]/modify, GET /2/instances/[instance_name]/console,
    GET /2/instances/[instance_name]/tags, PUT /2/instances/[instance_name]/tags,
    DELETE /2/instances/[instance_name]/tags, GET /2/jobs, GET /2/jobs/[job_id], DELETE /2/jobs/[job_id],
    GET /2/jobs/[job_id]/wait, GET /2/nodes, GET /2/nodes/[node_name], POST /2/nodes/[node_name]/powercycle,
    POST /2/nodes/[node_name]/evacuate, POST /2/nodes/[node_name]/migrate, GET /2/nodes/[node_name]/role,
    PUT /2/nodes/[node_name]/role, POST /2/nodes/[node_name]/modify, GET /2/nodes/[node_name]/storage,
    PUT /2/nodes/[node_name]/storage/modify, PUT /2/nodes/[node_name]/storage/repair,
    GET /2/nodes/[node_name]/tags, PUT /2/nodes/[node_name]/tags, DELETE /2/nodes/[node_name]/tags,
    GET /2/networks, POST /2/networks, GET /2/networks/[network_name], DELETE /2/networks/[network_name],
    PUT /2/networks/[network_name]/connect, PUT /2/networks/[network_name]/disconnect,
    PUT /2/networks/[network_name]/modify, PUT /2/networks/[network_name]/rename,
    GET /2/networks/[network_name]/tags, PUT /2/networks/[network_name]/tags,
    DELETE /2/networks/[network_name]/tags, GET /2/query/[resource], PUT /2/query/[resource],
    GET /2/query/[resource]/fields, GET /2/os, GET /2/tags, PUT /2/tags, DELETE /2/tags, GET /2/filters,
    POST /2/filters, GET /2/filters/[filter_uuid], PUT /2/filters/[filter_uuid],
    DELETE /2/filters/[filter_uuid]
"""
"""The URIs and methods of resources.json."""


def served() -> set[str]:
    """Every method and URI pattern there is a handler for."""
    routes = (*ROUTES, *ROUTES_OF_1_2)
    return {f"{method} {route.pattern}" for route in routes for method in route.methods}


class TableTests(SynchronousTestCase):
    """Nothing is forgotten."""

    def test_rows(self) -> None:
        """There is a row for each URI and method of resources.json, and for nothing else."""
        self.assertEqual(set(ROWS), {*(x.strip() for x in OF_RESOURCES.split(",")), *EXTENSIONS})

    def test_served(self) -> None:
        """All of them are served, and nothing else is."""
        self.assertEqual(served() ^ set(ROWS), set())


class EveryResourceTests(SynchronousTestCase):
    """A test a row; those of a row share nothing with the others."""

    def setUp(self) -> None:
        self.browser = Browser(Path(self.mktemp()))
        self.addCleanup(self.browser.cluster.stop)
        for request in MADE:
            self.make(*request)

    def make(self, method: str, path: str, body: Any) -> None:
        """Do something that a row needs."""
        answer = self.browser.ask(method, path, body)
        self.assertEqual(answer.status, 200, answer.body)
        if isinstance(answer.json(), int):
            self.ended_well(answer.json())

    def ended_well(self, job: int) -> None:
        """The job has succeeded, by now or when a little time has gone by."""
        for _ in range(100):
            found = self.browser.ask("GET", f"/2/jobs/{job}").json()
            if found["status"] in ("success", "error", "canceled"):
                break
            self.browser.cluster.clock.advance(1)
        self.assertEqual(found["status"], "success", found["opresult"])

    def lose_volumes(self) -> None:
        """No node has any volume left."""
        nodes = self.browser.cluster.nodes
        for node in nodes.nodes.values():
            node.shelf.values.clear()
        nodes.shared.mirrored.values.clear()

    def well(self, name: str, row: Row) -> None:
        """What is well is answered, and its job succeeds."""
        method, pattern = name.split(" ")
        for request in row.before:
            self.make(*request)
        if row.lost:
            self.lose_volumes()
        if row.candidate:
            self.browser.cluster.add_candidate(NODES[1])
        if row.silent:
            self.browser.cluster.nodes.nodes[NODES[2]].down = True
        path, body = row.good
        if DETACHED in path:
            [disk] = self.browser.ask("GET", "/2/disks").json()
            path = path.replace(DETACHED, disk["uuid"])
        answer = self.browser.ask(method, path, body)
        self.assertEqual(answer.status, 200, answer.body)
        if schemas().is_job(method, pattern):
            self.ended_well(answer.json())

    def refused(self, name: str, row: Row) -> None:
        """What is not is refused, and no job is made."""
        method, _ = name.split(" ")
        path, body = row.bad
        jobs = self.browser.ask("GET", "/2/jobs").json()
        answer = self.browser.ask(method, path, body, user=row.user)
        self.assertEqual(answer.status, row.status, answer.body)
        self.assertEqual(self.browser.ask("GET", "/2/jobs").json(), jobs)


def _tests(name: str, row: Row) -> dict[str, Any]:
    def well(self: EveryResourceTests) -> None:
        self.well(name, row)

    def refused(self: EveryResourceTests) -> None:
        self.refused(name, row)

    well.__doc__, refused.__doc__ = f"{name} does what it is for.", f"{name} refuses what is wrong."
    word = "".join(c if c.isalnum() else "_" for c in name.lower())
    return {f"test_{word}_well": well, f"test_{word}_refused": refused}


for _name, _row in ROWS.items():
    for _word, _test in _tests(_name, _row).items():
        setattr(EveryResourceTests, _word, _test)


class DocumentTests(SynchronousTestCase):
    """``/2/openapi.json`` itself."""

    def test_served(self) -> None:
        """Anyone may have it; it has every URI and method."""
        browser = Browser(Path(self.mktemp()))
        self.addCleanup(browser.cluster.stop)
        found = browser.ask("GET", PATTERN, user=None).json()
        wanted = {*served(), f"GET {PATTERN}"}
        have = {
            f"{method.upper()} {path}"
            for path, item in found["paths"].items()
            for method in item
            if method != "parameters"
        }
        self.assertEqual(have, {name.replace("[", "{").replace("]", "}") for name in wanted})
        self.assertEqual(found["openapi"], "3.1.0")

    def test_bodies(self) -> None:
        """What is well by the table is well by the document."""
        for name, row in ROWS.items():
            method, pattern = name.split(" ")
            given = row.good[1]
            if given is not None and schemas().has_body(method, pattern):
                self.assertTrue(schemas().body_fits(method, pattern, given), name)
