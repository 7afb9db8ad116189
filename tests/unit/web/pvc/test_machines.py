"""Tests of `twisted_rapi.web.pvc.machines`, `status` and `definitions`, and of `twisted_rapi.plan.pvc`."""

from pathlib import Path
from typing import Any

from msgspec.structs import replace
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from tests.unit.web.pvc.http import PvcBrowser
from tests.unit.web.test_api import CREATION
from twisted_rapi.model.records import DiskRecord, InstanceRecord
from twisted_rapi.plan.pvc.definition import read
from twisted_rapi.state.writer import commit_of
from twisted_rapi.testing.cluster import NODES
from twisted_rapi.web.pvc.definitions import path_of

FIRST, SECOND = "node1.example.com", "node2.example.com"
OTHER = {
    **CREATION,
    "instance_name": "db1.example.com",
    "pnode": SECOND,
    "start": False,
    "beparams": {"memory": 512, "vcpus": 3},
    "tags": ["prod"],
}
AGENTS = ("", "pvc/0.6", "pvc/1.0")

XML = """<domain type="kvm"><name>n</name><description>What it is</description>
<cpu><topology sockets="1" cores="2" threads="3"/></cpu><os><type arch="x86_64" machine="pc">hvm</type></os>
<features><acpi/><pae/></features><devices><emulator>/bin/q</emulator><console type="tcp"/>
<disk type="network"><source protocol="rbd" name="vms/a"/><target dev="sda" bus="scsi"/></disk>
<disk type="block"><source dev="/dev/x"/><target dev="vda" bus="virtio"/></disk><disk type="file"/>
<interface type="bridge"><mac address="52:54:00:00:00:01"/><source bridge="vmbr7"/>
<model type="virtio"/></interface>
<controller type="usb"/><controller type="scsi" model="virtio-scsi"/></devices></domain>"""


class MachineTests(SynchronousTestCase):
    """Machines as PVC shows them."""

    def setUp(self) -> None:
        """A machine that runs on the first node, and one that is down on the second."""
        self.browser = PvcBrowser(Path(self.mktemp()))
        self.cluster = self.browser.cluster
        self.addCleanup(self.cluster.stop)
        for body in (CREATION, OTHER):
            job = self.browser.rapi.done("POST", "/2/instances", body)
            self.assertEqual(job["status"], "success", job["opresult"])

    def get(self, path: str, query: dict[str, str] | None = None, agent: str = "") -> Any:
        """The answer's value, or its status and value where it is refused."""
        found = self.browser.ask("GET", path, query, User_Agent=agent)
        return found.json() if found.status == 200 else (found.status, found.json())

    def names(self, query: dict[str, str], agent: str = "") -> Any:
        """The names of a list."""
        found = self.get("/vm", query, agent)
        return [one["name"] for one in found] if isinstance(found, list) else found

    def put(self, *records: Any) -> None:
        """Change records."""
        self.successResultOf(Deferred.fromCoroutine(self.cluster.store.commit(commit_of(records))))

    def instance(self, name: str) -> InstanceRecord:
        """A machine's record."""
        snapshot = self.cluster.snapshot
        return snapshot.instances[snapshot.names["instance"][name]]

    def test_oldest(self) -> None:
        """All of it, of a machine made through RAPI."""
        [found] = self.get("/vm/db1.example.com")
        record = self.instance("db1.example.com")
        xml = found.pop("xml")
        self.assertTrue(xml.startswith("<domain") and '"' not in xml and record.uuid in xml)
        wanted = {
            "name": record.name,
            "uuid": record.uuid,
            "state": "stop",
            "node": SECOND,
            "last_node": "",
            "migrated": "no",
            "failed_reason": "",
            "description": "N/A",
            "memory": 512,
            "vcpu": "3",
            "vcpu_topology": "N/A",
            "networks": [{"type": "bridge", "mac": record.nics[0].mac, "source": "br0", "model": "virtio"}],
            "type": "hvm",
            "arch": "x86_64",
            "machine": "",
            "console": "pty",
            "emulator": "/usr/bin/kvm",
            "features": ["acpi"],
            "disks": [{"type": "file", "name": record.disks[0].logical_id[1], "dev": "vda", "bus": "virtio"}],
            "controllers": [],
        }
        self.assertEqual(found, wanted)

    def test_later(self) -> None:
        """Later forms know more; one has an object for one machine."""
        found = self.get("/vm/db1.example.com", agent="pvc/0.6")
        self.assertEqual((found["vcpu"], found["profile"], found["node_selector"]), (3, "", "mem"))
        [found] = self.get("/vm/db1.example.com", agent="pvc/1.0")
        self.assertEqual(found["tags"], [{"name": "prod", "type": "user", "protected": False}])
        self.assertEqual(found["disks"][0]["rd_req"], 0)
        self.assertEqual((found["networks"][0]["vni"], found["networks"][0]["wr_drops"]), ("0", 0))
        found = self.get("/vm/db1.example.com/tags", agent="pvc/1.0")
        self.assertEqual(found["tags"][0]["name"], "prod")

    def test_found(self) -> None:
        """By name or uuid, in any of its forms, exactly."""
        uuid = self.instance("web1.example.com").uuid
        for name in (uuid, uuid.upper(), uuid.replace("-", ""), "web1.example.com"):
            [found] = self.get(f"/vm/{name}")
            self.assertEqual(found["uuid"], uuid)
        for name in ("web1", "web.*", uuid[:-1], "nosuch"):
            for path in ("", "/state", "/node", "/dump"):
                self.assertEqual(self.get(f"/vm/{name}{path}"), (404, {"message": "VM not found."}))

    def test_parts(self) -> None:
        """State, place and definition alone."""
        path = "/vm/web1.example.com"
        self.assertEqual(self.get(f"{path}/state"), {"name": "web1.example.com", "state": "start"})
        wanted = {"name": "web1.example.com", "node": FIRST, "last_node": ""}
        self.assertEqual(self.get(f"{path}/node"), wanted)
        found = self.browser.ask("GET", f"{path}/dump")
        self.assertEqual(found.headers["content-type"], "application/xml; charset=utf-8")
        self.assertIn(b"<name>web1.example.com</name>", found.body)

    def test_lists(self) -> None:
        """By pattern of name or uuid, by node and state: either in older forms, both in the newest."""
        both = ["db1.example.com", "web1.example.com"]
        uuid = self.instance("web1.example.com").uuid
        for agent in AGENTS:
            self.assertEqual(self.names({}, agent), both)
            self.assertEqual(self.names({"limit": "b1"}, agent), both)
            self.assertEqual(self.names({"limit": "^web"}, agent), both[1:])
            self.assertEqual(self.names({"limit": uuid}, agent), both[1:])
            self.assertEqual(self.names({"state": "stop"}, agent), both[:1])
            self.assertEqual(self.names({"node": FIRST}, agent), both[1:])
        self.assertEqual(self.names({"node": FIRST, "state": "stop"}), both)
        none = 404, {"message": "VM not found."}
        self.assertEqual(self.names({"node": FIRST, "state": "stop"}, "pvc/1.0"), none)
        self.assertEqual(self.names({"tag": "prod"}), both[:1])
        self.assertEqual(self.names({"tag": "prod", "negate": "true"}), both[1:])
        self.assertEqual(self.names({"limit": "zzz"}, "pvc/0.6"), none)
        self.assertEqual(self.names({"limit": "zzz"}), [])

    def test_wrong(self) -> None:
        """Unknown nodes and states are told, in each form's way."""
        for value, text in (
            ({"node": "nope"}, 'Specified node "nope" is invalid.'),
            ({"state": "running"}, 'VM state "running" is not valid.'),
        ):
            self.assertEqual(self.names(value), (400, text))
            self.assertEqual(self.names(value, "pvc/1.0"), (400, {"message": text}))

    def test_states(self) -> None:
        """A machine that may not be started is disabled, and stopped in the oldest form."""
        self.put(replace(self.instance("db1.example.com"), admin_state="offline"))
        states = [self.get("/vm/db1.example.com/state", agent=agent)["state"] for agent in AGENTS]
        self.assertEqual(states, ["stop", "disable", "disable"])

    def test_moving(self) -> None:
        """While a job works on it its state says so, and is not kept."""
        self.cluster.nodes.hold()
        self.browser.rapi.ask("PUT", "/2/instances/web1.example.com/shutdown")
        path = "/vm/web1.example.com/state"
        self.assertEqual(self.get(path)["state"], "shutdown")
        self.cluster.nodes.release()
        self.cluster.clock.pump([1] * 5)
        self.assertEqual(self.get(path)["state"], "stop")

    def test_changed(self) -> None:
        """A definition is made anew when its machine has changed."""
        self.assertEqual(self.get("/vm/web1.example.com")[0]["memory"], 128)
        self.put(replace(self.instance("web1.example.com"), beparams={"maxmem": 256, "minmem": 256}))
        [found] = self.get("/vm/web1.example.com")
        self.assertEqual(found["memory"], 256)
        self.assertIn("256</memory>", found["xml"])

    def test_inexpressible(self) -> None:
        """A machine that no definition can express is shown all the same."""
        record = self.instance("web1.example.com")
        self.put(replace(record, hvparams={"disk_type": "nosuch"}))
        [found] = self.get("/vm/web1.example.com")
        self.assertIn("<name>web1.example.com</name>", found["xml"])

    def test_status(self) -> None:
        """The cluster: healthy, without a node, and in maintenance."""
        found = self.get("/status", agent="pvc/0.6")
        self.assertEqual((found["health"], found["primary_node"]), ("Optimal", FIRST))
        self.assertEqual(found["nodes"], {"total": 3, "run,ready": 3})
        self.assertEqual(found["vms"], {"total": 2, "start": 1, "stop": 1})
        found = self.get("/status", agent="pvc/1.0")
        self.assertEqual(found["cluster_health"], {"health": 100, "messages": []})
        self.assertEqual(found["resources"]["cpu"]["total"], 48)
        self.assertEqual(found["resources"]["memory"]["provisioned"], 128 + 512)
        self.cluster.nodes.nodes[NODES[2]].down = True
        self.cluster.nodes.changed(NODES[2])
        self.assertEqual(self.get("/status", agent="pvc/0.6")["health"], "Degraded")
        self.cluster.clock.pump([5.0] * 24)
        found = self.get("/status", agent="pvc/1.0")
        self.assertEqual(found["cluster_health"]["health"], 50)
        self.assertEqual(found["node_health"]["node3.example.com"]["health"], "")
        pause = self.cluster.now() + 60
        self.put(replace(self.cluster.snapshot.cluster, watcher_pause=pause))
        self.assertEqual(self.get("/status", agent="pvc/0.6")["health"], "Maintenance")
        self.assertEqual(self.get("/status", agent="pvc/1.0")["maintenance"], "true")
        self.assertEqual(self.get("/status/primary_node"), {"primary_node": FIRST})

    def test_maintenance(self) -> None:
        """Maintenance pauses the watchdog, and ends that; each form has its words for a wrong state."""
        for state, word, paused in (("true", "maintenance", True), ("false", "normal", False)):
            found = self.browser.ask("POST", "/status", form={"state": state})
            text = f"Successfully set cluster in {word} mode"
            self.assertEqual((found.status, found.json()), (200, {"message": text}))
            self.assertEqual(self.cluster.snapshot.cluster.watcher_pause > self.cluster.now(), paused)
        for agent, text in (
            ("pvc/0.6", "maybe is not a valid choice"),
            ("pvc/1.0", "A valid state must be specified."),
        ):
            found = self.browser.ask("POST", "/status", form={"state": "maybe"}, User_Agent=agent)
            self.assertEqual((found.status, found.json()), (400, {"message": {"state": text}}))


class DefinitionTests(SynchronousTestCase):
    """What is read of a definition."""

    def test_read(self) -> None:
        """Every part, and those that are missing."""
        found = read(XML)
        self.assertEqual((found.description, found.topology), ("What it is", "1/2/3"))
        self.assertEqual((found.type, found.arch, found.machine), ("hvm", "x86_64", "pc"))
        self.assertEqual((found.console, found.emulator, found.features), ("tcp", "/bin/q", ("acpi", "pae")))
        disks = [(d["type"], d["name"], d["dev"], d["bus"]) for d in found.disks]
        wanted = [("rbd", "vms/a", "sda", "scsi"), ("block", "/dev/x", "vda", "virtio"), ("file", "", "", "")]
        self.assertEqual(disks, wanted)
        self.assertEqual(found.networks[0]["source"], "vmbr7")
        models = [each["model"] for each in found.controllers]
        self.assertEqual(models, [None, "virtio-scsi"])
        self.assertEqual(read("<domain/>").features, ())

    def test_volumes(self) -> None:
        """Images of RBD are named as such, however the node reaches them."""
        disk = DiskRecord(uuid="u", size=1, dev_type="rbd", logical_id=("vms", "a"))
        self.assertEqual(path_of(disk), "rbd:vms/a")
        for kind, address, path in (
            ("plain", ("vg", "lv"), "/dev/vg/lv"),
            ("file", ("loop", "/f"), "/f"),
            ("ext", ("prov", "x"), "/dev/disk/by-id/u"),
        ):
            self.assertEqual(path_of(DiskRecord(uuid="u", size=1, dev_type=kind, logical_id=address)), path)
