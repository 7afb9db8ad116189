"""Tests of `twisted_rapi.web.pvc.placing` and `domain_states`."""

from pathlib import Path
from typing import Any

from msgspec.structs import replace
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from tests.unit.web.http import parse
from tests.unit.web.pvc.http import FORM, PvcBrowser
from tests.unit.web.test_api import CREATION
from twisted_rapi.errors import StepFailed
from twisted_rapi.model.machine import MachineRecord
from twisted_rapi.model.steps import MigrateDomain, StopDomain
from twisted_rapi.state.writer import commit_of
from twisted_rapi.testing.cluster import NODES

NAME = "web1.example.com"
FIRST, SECOND, THIRD = (f"node{n}.example.com" for n in (1, 2, 3))
AGENTS = ("", "pvc/0.6", "pvc/1.0")


class PlaceCase(SynchronousTestCase):
    """A machine that can go anywhere, on the first node."""

    def setUp(self) -> None:
        self.browser = PvcBrowser(Path(self.mktemp()))
        self.cluster = self.browser.cluster
        self.addCleanup(self.cluster.stop)
        self.make(NAME, disk_template="diskless", disks=[])

    def make(self, name: str, **more: Any) -> None:
        """A machine on the first node."""
        job = self.browser.rapi.done(
            "POST", "/2/instances", {**CREATION, "instance_name": name, "pnode": FIRST, **more}
        )
        self.assertEqual(job["status"], "success", job["opresult"])

    def put(self, *records: Any) -> None:
        """Change records."""
        self.successResultOf(Deferred.fromCoroutine(self.cluster.store.commit(commit_of(records))))

    def uuid(self, name: str = NAME) -> str:
        """A machine's."""
        return self.cluster.snapshot.names["instance"][name]

    def post(self, path: str, values: str, agent: str = "") -> tuple[int, Any]:
        """Status and message of a change; what it asks for is done."""
        sent = self.browser.waited("POST", f"/api/v1{path}", values.encode(), FORM, 60, User_Agent=agent)
        self.cluster.clock.pump([0.5] * 20)
        found = parse(sent)
        return found.status, found.json()["message"]

    def get(self, path: str, agent: str = "pvc/0.6") -> Any:
        """What is shown."""
        return self.browser.ask("GET", path, User_Agent=agent).json()

    def place(self, name: str = NAME) -> tuple[str, str]:
        """Numbers of the node it is on, and of the one it was on."""
        found = self.get(f"/vm/{name}/node")
        return found["node"][4:5], found["last_node"][4:5]


class PlaceTests(PlaceCase):
    """A machine is moved."""

    def move(self, values: str, agent: str = "", name: str = NAME) -> tuple[int, Any]:
        """Status and message."""
        return self.post(f"/vm/{name}/node", values, agent)

    def test_around(self) -> None:
        """Away and back; where it was is shown, and it is not moved twice but by force."""
        text = f"Migrating VM '{NAME}' to node '{SECOND}'."
        self.assertEqual(self.move("action=migrate"), (200, text))
        self.assertEqual((self.place(), self.get(f"/vm/{NAME}")["migrated"]), (("2", "1"), f"from {FIRST}"))
        text = f"ERROR: VM '{NAME}' has been previously migrated."
        self.assertEqual(self.move(f"action=migrate&node={THIRD}", "pvc/1.0"), (400, text))
        self.assertEqual(self.move(f"action=migrate&node={THIRD}&force=1")[0], 200)
        self.assertEqual(self.place(), ("3", "1"))
        text = f"Unmigrating VM '{NAME}' back to node '{FIRST}'."
        self.assertEqual(self.move("action=unmigrate"), (200, text))
        self.assertEqual((self.place(), self.get(f"/vm/{NAME}")["migrated"]), (("1", ""), "no"))
        for agent in AGENTS:
            text = f"ERROR: VM '{NAME}' has not been previously migrated."
            self.assertEqual(self.move("action=unmigrate", agent), (400, text))

    def test_for_good(self) -> None:
        """Nothing is remembered of where it was; one that was migrated may be told to stay."""
        text = f"Permanently migrating VM '{NAME}' to node '{SECOND}'."
        self.assertEqual(self.move(f"action=migrate&permanent=1&node={SECOND}"), (200, text))
        self.assertEqual(self.place(), ("2", ""))
        self.assertEqual(self.move(f"action=move&node={FIRST}", "pvc/0.6")[0], 200)
        self.move(f"action=migrate&node={THIRD}")
        self.assertEqual(self.place(), ("3", "1"))
        self.assertEqual(self.move(f"action=move&node={THIRD}", "pvc/0.6")[0], 400)
        text = f"Making the migration of VM '{NAME}' to node '{THIRD}' permanent."
        self.assertEqual(self.move(f"action=move&node={THIRD}", "pvc/1.0"), (200, text))
        self.assertEqual(self.place(), ("3", ""))

    def test_waiting(self) -> None:
        """Who waits is told that it is done, or why it is not."""
        text = f"Migrated VM '{NAME}' to node '{SECOND}'."
        self.assertEqual(self.move("action=migrate&wait=true", "pvc/0.6"), (200, text))
        node = self.cluster.nodes.nodes[NODES[1]]
        node.faults[MigrateDomain] = [StepFailed("it is too busy")]
        values = "action=unmigrate&wait=true&force_live=true"
        self.assertEqual(self.move(values, "pvc/1.0"), (400, f"ERROR: Node {SECOND}: it is too busy"))
        self.assertEqual(self.place(), ("2", "1"))

    def test_moving(self) -> None:
        """While it is moved its state says so, unless it is down."""
        self.cluster.nodes.hold()
        self.move("action=migrate")
        self.assertEqual(self.get(f"/vm/{NAME}/state")["state"], "migrate")
        self.cluster.nodes.release()
        self.cluster.clock.pump([1] * 5)
        self.assertEqual(self.get(f"/vm/{NAME}/state")["state"], "start")
        self.post(f"/vm/{NAME}/state", "state=stop")
        self.cluster.nodes.hold()
        self.move("action=unmigrate")
        self.assertEqual(self.get(f"/vm/{NAME}/state")["state"], "stop")
        self.cluster.nodes.release()

    def test_refused(self) -> None:
        """What is not there, or cannot be."""
        for values, agent, text in (
            ("action=migrate&node=nope", "", "Specified node 'nope' is invalid."),
            ("action=migrate&node=nope", "pvc/1.0", "ERROR: Specified node 'nope' is invalid."),
            (f"action=migrate&node={FIRST}", "", f"ERROR: VM '{NAME}' is already running on node '{FIRST}'."),
            ("action=teleport", "pvc/1.0", {"action": "A valid action must be specified"}),
            ("action=migrate&selector=best", "", "selector: A valid selector must be specified"),
        ):
            self.assertEqual(self.move(values, agent), (400, text))
        text = "ERROR: Could not find VM 'nope' in the cluster!"
        self.assertEqual(self.move("action=migrate", name="nope"), (400, text))
        self.put(MachineRecord(uuid=self.uuid(), node_limit=(FIRST, THIRD)))
        text = f"ERROR: Specified node '{SECOND}' is not in the allowed list of nodes for VM '{NAME}'."
        self.assertEqual(self.move(f"action=migrate&node={SECOND}"), (400, text))
        self.cluster.nodes.nodes[NODES[2]].down = True
        self.cluster.nodes.changed(NODES[2])
        text = f"ERROR: Could not find a valid migration target for VM '{NAME}'."
        self.assertEqual(self.move("action=migrate"), (400, text))
        status, text = self.move(f"action=migrate&node={THIRD}")
        self.assertEqual((status, "does not answer" in text), (400, True), text)

    def test_local(self) -> None:
        """What has its disks on its node only stays there."""
        self.make("db1.example.com", disk_template="file")
        text = f"ERROR: VM 'db1.example.com' cannot be moved: its file disks are on node '{FIRST}' only."
        for values in ("action=migrate", f"action=migrate&node={SECOND}"):
            self.assertEqual(self.move(values, name="db1.example.com"), (400, text))


class DomainStateTests(PlaceCase):
    """Machines leave a node and come back."""

    def change(
        self, state: str, agent: str = "pvc/0.6", node: str = FIRST, more: str = ""
    ) -> tuple[int, Any]:
        """Status and message."""
        name = "state" if agent else "domain-state"
        return self.post(f"/node/{node}/domain-state", f"{name}={state}{more}", agent)

    def state(self, node: str = FIRST) -> str:
        """What is shown of a node."""
        found: str = self.get(f"/node/{node}/domain-state")["domain_state"]
        self.assertEqual(self.get(f"/node/{node}")["domain_state"], found)
        return found

    def test_around(self) -> None:
        """Flushed and made ready, in each form's words."""
        self.make("db1.example.com", disk_template="file")
        for agent, away, back in (
            (
                "",
                f"Flushing hypervisor {FIRST} of running VMs.",
                "Restoring hypervisor {} to active service.",
            ),
            (
                "pvc/1.0",
                f"Removing node {FIRST} from active service.",
                "Restoring node {} to active service.",
            ),
        ):
            self.assertEqual(self.change("flush", agent), (200, away))
            self.assertEqual((self.state(), self.place()), ("flushed", ("2", "1")))
            self.assertEqual(self.get("/vm/db1.example.com/state")["state"], "stop")
            self.assertEqual(self.change("ready", agent), (200, back.format(FIRST)))
            self.assertEqual((self.state(), self.place()), ("ready", ("1", "")))
            self.assertEqual(self.get("/vm/db1.example.com/state")["state"], "start")

    def test_waiting(self) -> None:
        """Who waits is told that all have left, or who has not."""
        text = f"Flushed hypervisor {FIRST} of running VMs."
        self.assertEqual(self.change("flush", more="&wait=yes"), (200, text))
        text = f"Restored node {FIRST} to active service."
        self.assertEqual(self.change("ready", "pvc/1.0", more="&wait=yes"), (200, text))
        self.make("db1.example.com", disk_template="file")
        self.cluster.nodes.nodes[NODES[0]].faults[StopDomain] = [StepFailed("it does not stop")]
        status, text = self.change("flush", more="&wait=yes")
        self.assertEqual((status, "db1.example.com" in text, self.state()), (400, True, "flush"), text)

    def test_under_way(self) -> None:
        """It is shown what is under way; the opposite ends it after the machine that is being moved."""
        self.make("web2.example.com", disk_template="diskless", disks=[])
        self.cluster.nodes.hold()
        self.change("flush")
        self.assertEqual((self.state(), self.get(f"/vm/{NAME}/state")["state"]), ("flush", "migrate"))
        self.assertEqual(self.get("/vm/web2.example.com/state")["state"], "start")
        self.change("ready")
        self.assertEqual(self.state(), "unflush")
        self.cluster.nodes.release()
        self.cluster.clock.pump([0.5] * 20)
        self.assertEqual((self.state(), self.place()), ("ready", ("1", "")))
        moved = self.cluster.nodes.nodes[NODES[0]].done
        self.assertEqual(len([step for step in moved if isinstance(step, MigrateDomain)]), 1)

    def test_stopping(self) -> None:
        """A machine that can go nowhere is shown as what is done to it."""
        self.post(f"/vm/{NAME}/state", "state=stop")
        self.make("db1.example.com", disk_template="file")
        shown = []
        for state in ("flush", "ready"):
            self.cluster.nodes.hold()
            self.change(state)
            shown.append(self.get("/vm/db1.example.com/state")["state"])
            self.cluster.nodes.release()
            self.cluster.clock.pump([0.5] * 20)
            shown.append(self.get("/vm/db1.example.com/state")["state"])
        self.assertEqual(shown, ["shutdown", "stop", "start", "start"])

    def test_already(self) -> None:
        """The newest form tells that it is so already."""
        self.assertEqual(self.change("ready", "pvc/1.0"), (200, f"Node {FIRST} is already ready."))
        self.change("flush", node=THIRD)
        text = f"Node {THIRD} is already flushed."
        self.assertEqual(self.change("flush", "pvc/1.0", THIRD), (200, text))

    def test_refused(self) -> None:
        """What is not there, and what cannot be ready."""
        for agent, name in (("", "'nope'"), ("pvc/1.0", "nope")):
            text = f"ERROR: No node named {name} is present in the cluster."
            self.assertEqual(self.change("flush", agent, "nope"), (400, text))
        self.assertEqual(self.change("gone")[0], 400)
        self.put(replace(self.cluster.snapshot.nodes[NODES[2]], offline=True))
        self.assertEqual(self.change("ready", node=THIRD), (400, f"ERROR: Node '{THIRD}' is not active"))

    def test_drained(self) -> None:
        """A node that is drained for RAPI is flushed, and made ready for both."""
        self.put(replace(self.cluster.snapshot.nodes[NODES[2]], drained=True))
        self.assertEqual(self.state(THIRD), "flushed")
        self.assertEqual(self.change("ready", "pvc/1.0", THIRD)[0], 200)
        self.assertEqual(self.state(THIRD), "ready")
        self.assertFalse(self.cluster.snapshot.nodes[NODES[2]].drained)

    def test_allocators(self) -> None:
        """RAPI puts nothing on a flushed node either, unless it is named."""
        for node in (SECOND, THIRD):
            self.change("flush", node=node)
        for name in ("a", "b"):
            body = {
                **CREATION,
                "instance_name": f"{name}.example.com",
                "disk_template": "diskless",
                "disks": [],
            }
            body.pop("pnode", None)
            job = self.browser.rapi.done("POST", "/2/instances", body)
            self.assertEqual(job["status"], "success", job["opresult"])
            self.assertEqual(self.place(f"{name}.example.com"), ("1", ""))
