"""Tests of `twisted_rapi.web.pvc.defining`: machines that PVC's API and RAPI have in common."""

from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from xml.etree import ElementTree as ET

from msgspec.structs import replace
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from tests.unit.plan.definitions import UUID, definition
from tests.unit.web.http import parse
from tests.unit.web.pvc.http import FORM, PvcBrowser
from tests.unit.web.test_api import CREATION
from twisted_rapi.model.steps import StartDomain
from twisted_rapi.state.writer import commit_of
from twisted_rapi.testing.cluster import NODES

V0_6, V1_0 = "pvc/0.6", "pvc/1.0"
ADDED = f"Added new VM with Name 'new1' and UUID '{UUID}' to database."


class DefiningTests(SynchronousTestCase):
    """Machines are made from libvirt's definitions, and are RAPI's as well."""

    def setUp(self) -> None:
        self.browser = PvcBrowser(Path(self.mktemp()))
        self.cluster = self.browser.cluster
        self.addCleanup(self.cluster.stop)
        snapshot = self.cluster.snapshot
        templates = ("file", "diskless", "rbd")
        policy = {**snapshot.cluster.ipolicy, "disk-templates": list(templates)}
        enabled = replace(snapshot.cluster, enabled_disk_templates=templates, ipolicy=policy)
        change = commit_of([enabled], revision_of=snapshot.revision_of)
        Deferred.fromCoroutine(self.cluster.store.commit(change))
        network = {"vni": "100", "description": "net100", "nettype": "bridged"}
        self.assertEqual(self.ask("POST", "/network", **network)[0], 200)
        self.cluster.nodes.shared.shelves["rbd"].write("vms/new1_sda", {"size": 1024})

    def ask(self, method: str, path: str, agent: str = V1_0, **values: str) -> tuple[int, Any]:
        """Status and message of a change; what it asks for is done."""
        data = urlencode(values).encode()
        sent = self.browser.waited(method, f"/api/v1{path}", data, FORM, 40, User_Agent=agent)
        self.cluster.clock.pump([1] * 5)
        found = parse(sent)
        return found.status, found.json()["message"]

    def shown(self, name: str = "new1", agent: str = V0_6) -> Any:
        """A machine as PVC shows it."""
        return self.browser.ask("GET", f"/vm/{name}", User_Agent=agent).json()

    def xml(self, name: str = "new1") -> ET.Element:
        """Its definition."""
        return ET.fromstring(self.browser.ask("GET", f"/vm/{name}/dump").body)

    def done(self, method: str, path: str, body: Any = None) -> Any:
        """A job of RAPI that ends well."""
        found = self.browser.rapi.done(method, path, body)
        self.assertEqual(found["status"], "success", found["opresult"])
        return found

    # What PVC asks for.

    def test_defined(self) -> None:
        """It is shown as it was defined, in every form, and is stopped."""
        self.assertEqual(
            self.ask("POST", "/vm", "pvc/0.5", xml=definition(), node="node2.example.com"), (200, ADDED)
        )
        found = self.shown()
        self.assertEqual(
            [found[k] for k in ("uuid", "state", "node", "memory", "vcpu", "vcpu_topology", "description")],
            [UUID, "stop", "node2.example.com", 512, 2, "1/2/1", "A machine"],
        )
        self.assertEqual(
            found["disks"][0], {"type": "rbd", "name": "vms/new1_sda", "dev": "sda", "bus": "scsi"}
        )
        self.assertEqual(found["networks"][0]["source"], "vmbr100")
        self.assertIn("<watchdog model='i6300esb' action='reset'/>", found["xml"])
        self.assertEqual(self.shown(agent=V1_0)[0]["networks"][0]["vni"], "100")

    def test_settings(self) -> None:
        """What is kept beside is given with the definition, shown, and changed."""
        given = {
            "limit": "node1.example.com",
            "selector": "vcpus",
            "autostart": "true",
            "migration_method": "shutdown",
            "migration_max_downtime": "500",
            "user_tags": "web,prod",
            "protected_tags": "prod",
        }
        self.assertEqual(self.ask("POST", "/vm/new1", xml=definition(), **given), (200, ADDED))
        [found] = self.shown(agent=V1_0)
        self.assertEqual(found["tags"][0], {"name": "prod", "type": "user", "protected": True})
        meta = {
            "name": "new1",
            "node_limit": ["node1.example.com"],
            "node_selector": "vcpus",
            "node_autostart": "True",
            "migration_method": "shutdown",
            "migration_max_downtime": 500,
        }
        self.assertEqual(self.browser.ask("GET", "/vm/new1/meta", User_Agent=V1_0).json(), meta)
        changed = "Successfully modified PVC metadata of VM 'new1'."
        self.assertEqual(
            self.ask("POST", "/vm/new1/meta", limit="", selector="none", autostart="no", profile="p"),
            (200, changed),
        )
        meta = {"name": "new1", "node_limit": None, "node_selector": "mem", "node_autostart": False}
        self.assertEqual(self.browser.ask("GET", "/vm/new1/meta", User_Agent=V0_6).json(), meta)
        self.assertEqual(self.shown()["profile"], "p")
        self.assertEqual(self.ask("POST", "/vm/new1/meta", V0_6), (200, changed))

    def test_refused(self) -> None:
        """Each thing that is wrong is told, and nothing is made."""
        self.assertEqual(
            self.ask("POST", "/vm", "pvc/0.5"), (400, "ERROR: A Libvirt XML document must be specified.")
        )
        why = "mismatched tag, line 2, column 6"
        bad = "<domain>\n<a></domain>"
        self.assertEqual(
            self.ask("POST", "/vm", V0_6, xml=bad), (400, f"Error: XML is malformed or incorrect: {why}")
        )
        self.assertEqual(
            self.ask("POST", "/vm", "pvc/0.5", xml=bad), (400, f"ERROR: Failed to parse XML data: {why}")
        )
        for values, text in (
            ({"node": "nope"}, "ERROR: Specified node 'nope' is invalid."),
            ({"limit": "node1.example.com,nope"}, "ERROR: Specified node 'nope' is invalid."),
            ({"selector": "best"}, {"selector": "A valid selector must be specified"}),
            ({"migration_method": "x"}, {"migration_method": "A valid migration_method must be specified"}),
            ({"user_tags": "a b"}, "ERROR: Tag contains invalid characters"),
        ):
            self.assertEqual(self.ask("POST", "/vm", xml=definition(), **values), (400, text))
        for downtime in ("x", "0", "9" * 30):
            self.assertIn(
                "downtime", self.ask("POST", "/vm", xml=definition(), migration_max_downtime=downtime)[1]
            )
        self.assertIn("'new1', not 'other'", self.ask("POST", "/vm/other", xml=definition())[1])
        self.assertIn("at most", self.ask("POST", "/vm", xml=definition(more=" " * 200_000))[1])
        self.assertEqual(dict(self.cluster.snapshot.instances), {})
        self.ask("POST", "/vm", xml=definition())
        self.assertIn("matches an existing VM", self.ask("POST", "/vm", xml=definition())[1])
        self.assertEqual(
            self.ask("PUT", "/vm/nope", V0_6, xml=definition()),
            (400, "ERROR: Could not find VM 'nope' in the cluster!"),
        )
        self.assertIn("to be renamed first", self.ask("PUT", "/vm/new1", xml=definition("new2"))[1])
        self.assertEqual(self.ask("DELETE", "/vm/nope")[0], 400)

    def test_modified(self) -> None:
        """A definition is replaced, given as a value or as the body itself; it may be restarted with it."""
        self.ask("POST", "/vm", xml=definition())
        text = definition(memory="<memory unit='MiB'>700</memory>")
        done = "Successfully modified configuration of VM 'new1'."
        self.assertEqual(self.ask("PUT", "/vm/new1", xml=text), (200, done))
        self.assertEqual(self.shown()["memory"], 700)
        self.done("PUT", "/2/instances/new1/startup")
        raw = definition(memory="<memory unit='MiB'>800</memory>").encode()
        sent = self.browser.waited("PUT", "/api/v1/vm/new1?restart=1", raw, "text/xml", 40)
        self.cluster.clock.pump([1] * 20)
        self.assertEqual((parse(sent).status, parse(sent).json()), (200, {"message": ""}))
        started = [s for n in self.cluster.nodes.nodes.values() for s in n.done if isinstance(s, StartDomain)]
        self.assertEqual([s.domain.memory for s in started], [700, 800])
        self.assertIn("i6300esb", started[-1].domain.base)

    def test_undefined(self) -> None:
        """It is forgotten, with its disks where that is asked for."""
        shelf = self.cluster.nodes.shared.shelves["rbd"]
        for values, text, left in (
            ({}, "Undefined VM 'new1' from the cluster.", ["vms/new1_sda"]),
            ({"delete_disks": "yes"}, "Removed VM 'new1' and its disks from the cluster.", []),
        ):
            self.ask("POST", "/vm", xml=definition())
            self.done("PUT", "/2/instances/new1/startup")
            self.assertEqual(self.ask("DELETE", "/vm/new1", **values), (200, text))
            self.assertEqual((list(shelf.values), dict(self.cluster.snapshot.machines)), (left, {}))
            self.assertEqual(self.cluster.nodes.nodes[NODES[0]].domains, {})

    def test_undefined_twice(self) -> None:
        """Who asks again for a machine to go never has another one go whose name begins so."""
        other = "77777777-7777-4777-8777-777777777777"
        self.ask("POST", "/vm", xml=definition())
        self.ask("POST", "/vm", xml=definition("new1.example.com", other, devices=""))
        self.cluster.nodes.hold()
        for _ in range(2):
            self.browser.waited("DELETE", "/api/v1/vm/new1", b"", "", 0)
        self.cluster.nodes.release()
        self.cluster.clock.pump([1] * 5)
        self.assertEqual(list(self.cluster.snapshot.instances), [other])

    def test_goes_on(self) -> None:
        """What has not ended in time is never told to be done."""
        self.ask("POST", "/vm", xml=definition())
        self.cluster.nodes.hold()
        self.browser.waited("DELETE", "/api/v1/vm/new1", b"", "", 0)
        again = definition("new2", "77777777-7777-4777-8777-777777777777", devices="")
        for method, path, values in (
            ("DELETE", "/vm/new1", {}),
            ("POST", "/vm", {"xml": again, "node": "node1.example.com"}),
            ("PUT", "/vm/new1", {"xml": definition()}),
            ("POST", "/vm/new1/meta", {"profile": "p"}),
            ("POST", "/vm/new1/tags", {"action": "add", "tag": "t"}),
        ):
            data = urlencode(values).encode()
            sent = self.browser.waited(method, f"/api/v1{path}", data, FORM, 310, User_Agent=V1_0)
            self.assertIn(b" 202 ", sent.partition(b"\r\n")[0], path)
        self.cluster.nodes.release()
        self.cluster.clock.pump([1] * 5)
        self.assertEqual(list(self.cluster.snapshot.instances), ["77777777-7777-4777-8777-777777777777"])

    def test_renamed(self) -> None:
        """It is renamed while it is stopped; its definition follows."""
        self.ask("POST", "/vm", xml=definition())
        self.done("PUT", "/2/instances/new1/startup")
        status, text = self.ask("POST", "/vm/new1/rename", new_name="new2")
        self.assertEqual((status, "is not in stopped state" in text), (400, True))
        self.done("PUT", "/2/instances/new1/shutdown")
        self.assertEqual(
            self.ask("POST", "/vm/new1/rename", new_name="new2"),
            (200, "Successfully renamed VM 'new1' to 'new2'."),
        )
        self.assertEqual(self.xml("new2").findtext("name"), "new2")
        self.assertEqual(self.ask("POST", "/vm/new2/rename", new_name="a b")[0], 400)

    # What both do.

    def test_made_here(self) -> None:
        """Made here, tagged and changed by RAPI, migrated here, listed by both, removed by RAPI."""
        self.ask("POST", "/vm", xml=definition(), node="node1.example.com")
        rapi = self.browser.rapi
        self.done("PUT", "/2/instances/new1/tags?tag=web")
        self.done("PUT", "/2/instances/new1/modify", {"beparams": {"memory": 2048, "vcpus": 4}})
        self.done("PUT", "/2/instances/new1/modify", {"hvparams": {}, "nics": [["add", {"link": "br0"}]]})
        self.done("PUT", "/2/instances/new1/modify", {"disks": [["add", {"size": 512}]]})
        root = self.xml()
        self.assertEqual(root.findtext("memory"), "2048")
        self.assertEqual(root.findtext("vcpu"), "4")
        bridges = [node.get("bridge") for node in root.findall("devices/interface/source")]
        self.assertEqual(bridges, ["vmbr100", "br0"])
        images = [node.get("name") for node in root.findall("devices/disk/source[@protocol='rbd']")]
        self.assertEqual((len(images), images[0]), (2, "vms/new1_sda"))
        self.assertIsNotNone(root.find("devices/rng"))
        self.migrate()
        [found] = self.shown(agent=V1_0)
        self.assertEqual((found["memory"], found["vcpu"], found["tags"][0]["name"]), (2048, 4, "web"))
        listed = rapi.ask("GET", "/2/instances?bulk=1").json()
        self.assertEqual([(i["name"], i["beparams"]["maxmem"]) for i in listed], [("new1", 2048)])
        self.done("PUT", "/2/instances/new1/shutdown")
        self.done("PUT", "/2/instances/new1/modify", {"disks": [["remove", 0, {}]]})
        self.assertNotIn("vms/new1_sda", self.shown()["xml"])
        self.done("DELETE", "/2/instances/new1")
        self.assertEqual(self.browser.ask("GET", "/vm", User_Agent=V0_6).status, 404)
        self.assertEqual(dict(self.cluster.snapshot.machines), {})

    def migrate(self) -> None:
        """The machine runs, and PVC moves it; both show where it is, and no other node has it."""
        nodes = [(self.cluster.snapshot.nodes[uuid].name, self.cluster.nodes.nodes[uuid]) for uuid in NODES]
        (first, _), (second, _), _ = nodes
        self.assertEqual(self.ask("POST", "/vm/new1/state", V0_6, state="start")[0], 200)
        told = self.ask("POST", "/vm/new1/node", V0_6, action="migrate", node=second, wait="true")
        self.assertEqual(told, (200, f"Migrated VM 'new1' to node '{second}'."))
        place = {"name": "new1", "node": second, "last_node": first}
        self.assertEqual(self.browser.ask("GET", "/vm/new1/node", User_Agent=V0_6).json(), place)
        shown = self.shown()
        self.assertEqual((shown["node"], shown["last_node"], shown["state"]), (second, first, "start"))
        found = self.browser.rapi.ask("GET", "/2/instances/new1").json()
        self.assertEqual((found["pnode"], found["status"], found["tags"]), (second, "running", ["web"]))
        self.assertEqual([name for name, node in nodes if "new1" in node.domains], [second])

    def test_made_by_rapi(self) -> None:
        """Made by RAPI, replaced here by what is shown with more in it, changed by RAPI, removed here."""
        self.done("POST", "/2/instances", {**CREATION, "instance_name": "old1.example.com", "start": False})
        name = "old1.example.com"
        before = self.cluster.snapshot.instances[self.shown(name)["uuid"]]
        dumped = self.browser.ask("GET", f"/vm/{name}/dump").body.decode()
        text = dumped.replace("</devices>", "<watchdog model='i6300esb'/></devices>")
        self.assertEqual(self.ask("PUT", f"/vm/{name}", V0_6, xml=text), (200, ""))
        after = self.cluster.snapshot.instances[before.uuid]
        self.assertEqual((after.disks, after.nics), (before.disks, before.nics))
        self.assertEqual(after.disk_template, before.disk_template)
        self.done("PUT", f"/2/instances/{name}/modify", {"beparams": {"memory": 333}})
        self.assertEqual(self.xml(name).findtext("memory"), "333")
        self.assertIsNotNone(self.xml(name).find("devices/watchdog"))
        self.assertEqual(self.ask("DELETE", f"/vm/{name}", V0_6, delete_disks="true")[0], 200)
        self.assertEqual(self.browser.rapi.ask("GET", "/2/instances").json(), [])
