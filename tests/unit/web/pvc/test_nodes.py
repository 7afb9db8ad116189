"""Tests of `twisted_rapi.web.pvc.nodes` and `twisted_rapi.plan.pvc.node`."""

from pathlib import Path
from typing import Any

from msgspec.structs import replace
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from tests.unit.web.pvc.http import PvcBrowser
from tests.unit.web.test_api import CREATION
from twisted_rapi.model.fate import NodeFateRecord
from twisted_rapi.model.mastership import SwitchRecord
from twisted_rapi.state.writer import commit_of
from twisted_rapi.testing.cluster import NODES

FIRST, SECOND, THIRD = (f"node{n}.example.com" for n in (1, 2, 3))
MACHINE = {**CREATION, "beparams": {"memory": 512, "vcpus": 2}}


class NodeTests(SynchronousTestCase):
    """Nodes as PVC shows them."""

    def setUp(self) -> None:
        """Three nodes and a machine that runs on the first."""
        self.browser = PvcBrowser(Path(self.mktemp()))
        self.cluster = self.browser.cluster
        self.addCleanup(self.cluster.stop)
        self.assertEqual(self.browser.rapi.done("POST", "/2/instances", MACHINE)["status"], "success")

    def shown(self, agent: str = "", name: str = FIRST) -> Any:
        """A node."""
        found = self.browser.ask("GET", f"/node/{name}", User_Agent=agent).json()
        return found[0] if isinstance(found, list) else found

    def put(self, *records: Any) -> None:
        """Change records."""
        self.successResultOf(Deferred.fromCoroutine(self.cluster.store.commit(commit_of(records))))

    def test_oldest(self) -> None:
        """Numbers are texts, machines are named by uuid, keys are sorted."""
        node = self.shown()
        [running] = node["running_domains"]
        self.assertIn(running, self.cluster.snapshot.instances)
        self.assertEqual(list(node), sorted(node))
        wanted = {
            "name": FIRST,
            "daemon_state": "run",
            "coordinator_state": "primary",
            "domain_state": "ready",
            "cpu_count": "16",
            "kernel": "6.1.0",
            "os": "GNU/Linux",
            "arch": "x86_64",
            "load": "0.00",
            "domains_count": "1",
            "running_domains": [running],
            "vcpu": {"total": "16", "allocated": "2"},
            "memory": {"total": 32768, "allocated": 512, "used": 512, "free": 32256},
        }
        self.assertEqual(node, wanted)

    def test_later(self) -> None:
        """Numbers are numbers; the newest form also has health and what machines may take."""
        node = self.shown("pvc/0.6")
        self.assertEqual((node["cpu_count"], node["load"], node["domains_count"]), (16, 0.0, 1))
        self.assertEqual(node["vcpu"], {"total": 16, "allocated": 2})
        node = self.shown("pvc/1.0")
        self.assertEqual((node["health"], node["health_plugins"]), (100, ["load"]))
        self.assertEqual(node["memory"]["provisioned"], 512)
        self.assertEqual(node["running_domains"], ["web1.example.com"])

    def test_shapes(self) -> None:
        """A collection is a list; an element is a list of one, or in one form an object."""
        for agent, kind in (("", list), ("pvc/0.6", dict), ("pvc/1.0", list)):
            self.assertIsInstance(self.browser.ask("GET", f"/node/{FIRST}", User_Agent=agent).json(), kind)
            found = self.browser.ask("GET", "/node", {"limit": f"{FIRST}$"}, User_Agent=agent).json()
            self.assertEqual([node["name"] for node in found], [FIRST])

    def test_limit(self) -> None:
        """Anywhere in the name, or its beginning in one form; none found and bad patterns as each has it."""

        def names(agent: str, limit: str) -> Any:
            found = self.browser.ask("GET", "/node", {"limit": limit}, User_Agent=agent)
            return [n["name"] for n in found.json()] if found.status == 200 else (found.status, found.json())

        self.assertEqual(names("", "de[12]"), [FIRST, SECOND])
        self.assertEqual(names("pvc/1.0", "de[12]"), [FIRST, SECOND])
        none = 404, {"message": "Node not found."}
        self.assertEqual(names("pvc/0.6", "de[12]"), none)
        self.assertEqual(names("pvc/0.6", "node[12]"), [FIRST, SECOND])
        self.assertEqual(names("", "zzz"), [])
        self.assertEqual(names("pvc/1.0", "zzz"), none)
        self.assertEqual(names("", ""), [FIRST, SECOND, THIRD])
        text = "Regex Error: unterminated character set at position 2"
        self.assertEqual(names("", "["), (400, text))
        self.assertEqual(names("pvc/1.0", "["), (400, {"message": text}))

    def test_unknown(self) -> None:
        """An element is not looked for by a pattern."""
        for name in ("node1", "node.*", FIRST.upper()):
            found = self.browser.ask("GET", f"/node/{name}")
            self.assertEqual((found.status, found.json()), (200, []))
            found = self.browser.ask("GET", f"/node/{name}", User_Agent="pvc/0.6")
            self.assertEqual((found.status, found.json()), (404, {"message": "Node not found."}))
            self.assertEqual(self.browser.ask("GET", f"/node/{name}/coordinator-state").status, 404)

    def test_states(self) -> None:
        """Each state alone, and lists of those in one state or another."""
        for name, state in (("daemon", "run"), ("coordinator", "primary"), ("domain", "ready")):
            found = self.browser.ask("GET", f"/node/{FIRST}/{name}-state").json()
            self.assertEqual(found, {"name": FIRST, f"{name}_state": state})
        self.cluster.add_candidate(NODES[1])
        found = self.browser.ask("GET", "/node", {"coordinator_state": "secondary"}).json()
        self.assertEqual([node["name"] for node in found], [SECOND])
        query = {"coordinator_state": "secondary", "daemon_state": "stop"}
        self.put(replace(self.cluster.snapshot.nodes[NODES[2]], offline=True))
        found = self.browser.ask("GET", "/node", query).json()
        self.assertEqual([node["name"] for node in found], [SECOND, THIRD])

    def test_down(self) -> None:
        """Silent, suspected, dead beyond doubt, or marked offline: with figures of zero."""
        self.cluster.nodes.nodes[NODES[0]].down = True
        self.cluster.nodes.changed(NODES[0])
        node = self.shown()
        self.assertEqual(
            (node["daemon_state"], node["cpu_count"], node["running_domains"]), ("dead", "0", [])
        )
        self.assertEqual(self.shown("pvc/1.0")["health"], "N/A")
        for fate, agent, state in (
            ("suspect", "", "dead"),
            ("fenced", "pvc/0.6", "dead"),
            ("fenced", "pvc/1.0", "fenced"),
        ):
            self.put(NodeFateRecord(uuid=NODES[0], fate=fate, since=0.0))  # type: ignore[arg-type]
            self.assertEqual(self.shown(agent)["daemon_state"], state)
        self.put(replace(self.cluster.snapshot.nodes[NODES[1]], offline=True))
        node = self.shown(name=SECOND)
        self.assertEqual((node["daemon_state"], node["domain_state"]), ("stop", "flushed"))

    def test_drained(self) -> None:
        """A node that gets no machines is being flushed until none runs there."""
        for n, state in ((0, "flush"), (1, "flushed")):
            self.put(replace(self.cluster.snapshot.nodes[NODES[n]], drained=True))
            self.assertEqual(self.shown(name=f"node{n + 1}.example.com")["domain_state"], state)

    def test_switching(self) -> None:
        """In the newest form it shows that the master hands over."""
        self.cluster.add_candidate(NODES[1])
        self.put(SwitchRecord(term=1, target=NODES[1], asked=0.0, who="me"))
        states = [self.shown("pvc/1.0", name)["coordinator_state"] for name in (FIRST, SECOND, THIRD)]
        self.assertEqual(states, ["relinquish", "takeover", "client"])
        self.assertEqual(self.shown()["coordinator_state"], "primary")

    def test_kept(self) -> None:
        """What is kept is of the dialect that was asked in, and lasts until something changes."""
        first = self.browser.ask("GET", "/node").body
        self.assertEqual(self.browser.ask("GET", "/node").body, first)
        self.assertNotEqual(self.browser.ask("GET", "/node", User_Agent="pvc/0.6").body, first)
        self.assertNotEqual(self.browser.ask("GET", "/node", form={"limit": "node1"}).body, first)
        self.put(replace(self.cluster.snapshot.nodes[NODES[1]], offline=True))
        self.assertNotEqual(self.browser.ask("GET", "/node").body, first)
