"""What is kept of machines for later answers shows everything that changes."""

from pathlib import Path
from typing import Any

from msgspec.structs import replace
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from tests.unit.web.pvc.http import TOKEN, PvcBrowser
from tests.unit.web.test_api import CREATION
from twisted_rapi.model.machine import MachineRecord
from twisted_rapi.state.writer import commit_of
from twisted_rapi.testing.cluster import NODES
from twisted_rapi.web.pvc.definitions import Definitions

NAME = "web1.example.com"


class KeptTests(SynchronousTestCase):
    """Lists of machines, again and again."""

    def setUp(self) -> None:
        """Two machines, and lists in each form."""
        self.browser = PvcBrowser(Path(self.mktemp()))
        self.cluster = self.browser.cluster
        self.addCleanup(self.cluster.stop)
        for name in (NAME, "web2.example.com"):
            self.browser.rapi.done("POST", "/2/instances", {**CREATION, "instance_name": name})
        self.last = self.lists()

    def lists(self) -> list[bytes]:
        """The list in each form."""
        agents = ("", "pvc/0.6", "pvc/1.0")
        return [self.browser.ask("GET", "/vm", User_Agent=agent).body for agent in agents]

    def put(self, *records: Any) -> None:
        """Change records."""
        self.successResultOf(Deferred.fromCoroutine(self.cluster.store.commit(commit_of(records))))

    def changed(self, what: str) -> None:
        """The lists have changed, and are as if nothing had been kept."""
        found = self.lists()
        for before, now in zip(self.last, found, strict=True):
            self.assertNotEqual(before, now, what)
        self.side_anew()
        self.assertEqual(self.lists(), found, what)
        self.last = found

    def side_anew(self) -> None:
        """Forget what was kept."""
        side: Any = self.browser.side
        side._definitions = Definitions()

    def test_changes(self) -> None:
        """Every record that a machine is made from shows in it, however it was changed."""
        snapshot = self.cluster.snapshot
        uuid = snapshot.names["instance"][NAME]
        self.browser.rapi.done("PUT", f"/2/instances/{NAME}/modify", {"beparams": {"maxmem": 777}})
        self.changed("memory")
        cluster = snapshot.cluster
        self.put(replace(cluster, beparams={**cluster.beparams, "vcpus": 7}))
        self.changed("cluster")
        self.put(replace(snapshot.nodes[NODES[0]], name="other.example.com"))
        self.changed("node")
        self.put(replace(snapshot.instances[uuid], admin_state="down"))
        self.changed("state")
        self.put(replace(snapshot.instances[uuid], name="web9.example.com"))
        self.changed("name")

    def test_machine(self) -> None:
        """So does what only PVC knows of it."""
        uuid = self.cluster.snapshot.names["instance"][NAME]
        later = self.lists()[2]
        self.put(MachineRecord(uuid=uuid, protected_tags=("a",), node_autostart=True))
        self.put(replace(self.cluster.snapshot.instances[uuid], tags=("a",)))
        found = self.lists()[2]
        self.assertNotEqual(found, later)
        self.assertIn(b'"protected": true', found)

    def test_written(self) -> None:
        """What is kept is written as each form has it."""
        seed, later, _ = self.last
        self.assertTrue(seed.endswith(b"}]\n") and b'},{"arch":' in seed)
        self.assertTrue(later.endswith(b"}]\n") and b'}, {"name":' in later)


class KnownTests(SynchronousTestCase):
    """Requests that are known again are answered at once, and by nobody else's right."""

    def test_rights(self) -> None:
        """What is kept is told only to who may ask for it."""
        browser = PvcBrowser(Path(self.mktemp()), authentication=True)
        self.addCleanup(browser.cluster.stop)
        for _ in range(3):
            self.assertEqual(browser.ask("GET", "/node", X_Api_Key=TOKEN).status, 200)
        self.assertEqual(browser.ask("GET", "/node").status, 401)
        self.assertEqual(browser.ask("GET", "/node", Cookie="session=x").status, 401)
        self.assertEqual(browser.ask("GET", "/node", X_Api_Key=TOKEN[:-1]).status, 401)
        # Now there is reason to let that network wait, whatever it shows.
        uri = "/api/v1/node"
        self.assertEqual(browser.raw("GET", uri, X_Api_Key=TOKEN), b"")

    def test_forms(self) -> None:
        """Each form, query, body and method has its own answer."""
        browser = PvcBrowser(Path(self.mktemp()))
        self.addCleanup(browser.cluster.stop)
        for _ in range(2):
            self.assertEqual(len(browser.ask("GET", "/node").json()), 3)
            self.assertEqual(len(browser.ask("GET", "/node", {"limit": "node1"}).json()), 1)
            self.assertEqual(len(browser.ask("GET", "/node", form={"limit": "node1"}).json()), 1)
            self.assertIsInstance(browser.ask("GET", "/node/node1.example.com").json(), list)
            found = browser.ask("GET", "/node/node1.example.com", User_Agent="pvc/0.6").json()
            self.assertIsInstance(found, dict)
            self.assertEqual(browser.ask("HEAD", "/node").body, b"")
            self.assertEqual(browser.ask("DELETE", "/node").status, 405)

    def test_changes(self) -> None:
        """What changes is told at once."""
        browser = PvcBrowser(Path(self.mktemp()), dialect="1.0")
        cluster = browser.cluster
        self.addCleanup(cluster.stop)
        for _ in range(2):
            found = browser.ask("GET", "/node/node3.example.com/daemon-state").json()
            self.assertEqual(found["daemon_state"], "run")
        cluster.nodes.nodes[NODES[2]].down = True
        cluster.nodes.changed(NODES[2])
        found = browser.ask("GET", "/node/node3.example.com/daemon-state").json()
        self.assertEqual(found["daemon_state"], "dead")
