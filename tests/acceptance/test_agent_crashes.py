"""kill -9 of an agent right before and right after each kind of step: nothing half made is left."""

import importlib
import json
import pkgutil
from typing import Any

import attrs
from twisted.trial.unittest import SynchronousTestCase

from tests.acceptance.planted import PlantedCase, Request
from tests.acceptance.test_crashes import creation
from twisted_rapi import plan
from twisted_rapi.model.steps import RunHooks, Step

NAME = "web1.example.com"
WEB1, WEB2 = f"/2/instances/{NAME}", "/2/instances/web2.example.com"
ONE, TWO, THREE = (f"node{n}.example.com" for n in (1, 2, 3))
UNIT = "storage_type=lvm-pv&name=/dev/sim0"


def made(template: str, **more: Any) -> Request:
    """An instance with two NICs and two disks, one if they are mirrored, on the first node."""
    count = 1 if template == "drbd" else 2
    given = {
        "disk_template": template,
        "disks": [{"size": 8}] * count,
        "nics": [{}, {}],
        "os_type": "whole",
        "beparams": {"minmem": 32, "maxmem": 64},
        "pnode": ONE,
        **({"snode": TWO} if template == "drbd" else {}),
    }
    return ("POST", "/2/instances", {**creation(NAME), **given, **more})


def about(method: str, what: str, **body: Any) -> Request:
    """A request about the instance."""
    return (method, f"{WEB1}/{what}", body or None)


def job(op_id: str, **parameters: Any) -> Request:
    """An opcode that has no resource."""
    return ("POST", "/2/jobs", [{"OP_ID": f"OP_{op_id}", **parameters}])


@attrs.frozen
class Row:
    """
    A job that comes to some kinds of steps.

    :ivar steps: their tags, in the order in which it first comes to them.
    :ivar patient: the master waits for a node that dies meanwhile, and the job ends well.  Where it does not,
        or where what was under way is lost, the job may fail, clearly, and is to succeed when repeated.
    :ivar again: what has to be done before it can be repeated.
    """

    steps: tuple[str, ...]
    job: Request
    patient: bool = True
    again: tuple[Request, ...] = ()


REMOVE: Request = ("DELETE", WEB1, None)
PLUG = about(
    "PUT",
    "modify",
    disks=[["remove", 1, {}], ["add", -1, {"size": 8}]],
    nics=[["remove", 1, {}], ["add", -1, {}]],
    hotplug=True,
)
PLAIN = about("PUT", "modify", disk_template="plain")
MIRRORED = about("PUT", "modify", disk_template="drbd", remote_node=TWO)
ROLE = "/2/nodes/node3.example.com/role"
IMPORT = ("POST", "/2/instances", {**made("plain")[2], "mode": "import", "src_path": NAME, "pnode": THREE})
EVACUATE: Request = (
    "POST",
    f"/2/nodes/{THREE}/evacuate",
    {"mode": "primary-only", "iallocator": "delaying"},
)

# Each row finds the cluster as the one before has left it, and the last of them leaves nothing.
ROWS = (
    Row(("name.resolve", "address.probe"), made("file", name_check=True, ip_check=True)),
    Row(("volume.delete",), REMOVE),
    Row(("os.verify", "volume.create", "os.run", "domain.start"), made("file")),
    Row(("volume.inspect",), about("GET", "info"), patient=False),
    Row(("domain.memory",), about("PUT", "modify", runtime_mem=48)),
    Row(("domain.disk.detach", "domain.nic.detach"), PLUG),
    Row(("domain.disk.attach",), PLUG, patient=False),
    Row(("domain.nic.attach",), PLUG, patient=False),
    Row(("volume.grow",), about("POST", "disk/0/grow", amount=8)),
    Row(("domain.disk.grow",), about("POST", "disk/0/grow", amount=8), patient=False),
    Row(("hooks.run",), about("POST", "reboot"), patient=False),
    Row(("domain.stop",), about("PUT", "shutdown")),
    Row(("volume.activate",), about("PUT", "activate-disks")),
    Row(("volume.deactivate",), about("PUT", "deactivate-disks")),
    Row(("volume.move",), about("PUT", "rename", new_name="web2.example.com")),
    Row(("volume.delete",), ("DELETE", WEB2, None)),
    Row(("allocator.run",), made("plain", pnode=None, iallocator="first", start=False)),
    Row(("export.begin", "stream.open"), about("PUT", "export", destination=TWO, shutdown=True)),
    Row(("stream.send",), about("PUT", "export", destination=TWO, shutdown=True), patient=False),
    Row(("stream.await",), about("PUT", "export", destination=TWO, shutdown=True), patient=False),
    Row(("stream.end", "export.finish"), about("PUT", "export", destination=TWO, shutdown=True)),
    Row(("volume.delete",), REMOVE),
    Row(("export.read",), IMPORT, again=(REMOVE,)),
    Row(("certificate.create",), about("PUT", "prepare-export?mode=remote")),
    Row(("export.remove",), ("DELETE", f"{WEB1}/export", None)),
    Row(("delay",), EVACUATE, patient=False),
    Row(("volume.delete",), REMOVE),
    Row(("volume.create",), made("plain", start=False)),
    Row(("volume.release",), PLAIN, patient=False, again=(MIRRORED,)),
    Row(("volume.adopt", "volume.sync"), MIRRORED),
    Row(("volume.renew",), about("POST", "replace-disks", mode="replace_on_secondary")),
    Row(("domain.start",), about("PUT", "startup")),
    Row(("domain.look", "domain.migrate"), about("PUT", "migrate")),
    Row(("domain.stop",), about("PUT", "shutdown")),
    Row(("volume.delete",), REMOVE),
    Row(
        ("node.ping",),
        ("PUT", f"{ROLE}?force=1", "regular"),
        patient=False,
        again=(("PUT", f"{ROLE}?force=1&auto-promote=1", "offline"),),
    ),
    Row(("node.powercycle",), ("POST", f"/2/nodes/{THREE}/powercycle?force=1", None), patient=False),
    Row(
        ("storage.list",),
        ("GET", f"/2/nodes/{TWO}/storage?storage_type=lvm-vg&output_fields=name", None),
        patient=False,
    ),
    Row(
        ("storage.volumes",),
        job("NODE_QUERYVOLS", nodes=[TWO], output_fields=["name"]),
        patient=False,
    ),
    Row(
        ("storage.change",),
        ("PUT", f"/2/nodes/{TWO}/storage/modify?{UNIT}&allocatable=1", None),
        patient=False,
    ),
    Row(
        ("storage.repair",),
        ("PUT", f"/2/nodes/{TWO}/storage/repair?storage_type=lvm-vg&name=xenvg", None),
        patient=False,
    ),
    Row(("ceph.look", "ceph.change"), job("CEPH_OSD_ADD", node_name=TWO, device="/dev/sdb")),
    Row(("ceph.drained",), job("CEPH_OSD_REMOVE", osd=0)),
)


def asked_for() -> set[str]:
    """The tags of the steps that any plan knows, and those of hooks."""
    names = [m.name for m in pkgutil.walk_packages(plan.__path__, f"{plan.__name__}.")]
    known = [value for name in names for value in vars(importlib.import_module(name)).values()]
    kinds: list[type[Step]] = [
        k for k in known if isinstance(k, type) and issubclass(k, Step) and k is not Step
    ]
    kinds.append(RunHooks)
    return {str(kind.__struct_config__.tag) for kind in kinds}


# What only moves between clusters come to: see `tests.acceptance.test_two_clusters`.
ABROAD = {"stream.confirm", "certificate.remove"}


class TableTests(SynchronousTestCase):
    """The table itself."""

    def test_whole(self) -> None:
        """It has every kind of step that any plan knows."""
        self.assertEqual(asked_for() - {step for row in ROWS for step in row.steps}, ABROAD)


class AgentCrashTests(PlantedCase):
    """One cluster goes through a table of step kinds."""

    def setUp(self) -> None:
        super().setUp()
        answer = json.dumps({"success": True, "info": "", "result": [ONE]})
        self.script("allocators/first", f"echo '{answer}'")
        job = [{"OP_ID": "OP_TEST_DELAY", "duration": 0.1, "on_nodes": [TWO], "on_master": False}]
        answer = json.dumps({"success": True, "info": "", "result": [[[NAME, "default", [TWO]]], [], [job]]})
        self.script("allocators/delaying", f"echo '{answer}'")
        self.script("hooks/instance-reboot-pre.d/10-looks", "exit 0")

    def test_each_step(self) -> None:
        """
        The job ends well once the agent is back, or says clearly why it cannot go on and does when repeated;
        in the end the cluster is as if nothing had been.
        """
        before = self.things()
        for row in ROWS:
            if row.patient:
                self._through(row)
            else:
                for when in ("before", "after"):
                    for step in row.steps:
                        self._at(row, f"{when} {step}")
        self.assertEqual(self.things(), before)
        self.assertEqual(self.api.ask("GET", "/2/instances"), [])

    def _through(self, row: Row) -> None:
        """One job dies before and after each of its steps."""
        places = [f"{when} {step}" for step in row.steps for when in ("before", "after")]
        self.plant(*(f"{place}:1" for place in places))
        found = self.ended(self.api.ask(*row.job))
        self.assertEqual(self.died(), places, f"the job never came there: {found}")
        self.assertEqual(found["status"], "success", (row.steps, found))
        self.check_sound()

    def _at(self, row: Row, place: str) -> None:
        """The job dies at one place, and is repeated where it failed."""
        for request in row.again:
            self.done(request)
        self.plant(f"{place}:1")
        found = self.ended(self.api.ask(*row.job))
        self.assertEqual(self.died(), [place], f"the job never came there: {found}")
        self.check_sound()
        if found["status"] != "success":
            self.assertRegex(
                json.dumps(found["opresult"]),
                "did not answer|Connection refused|nothing is received|did not say that it has stored",
                place,
            )
            self.done(row.job)
        self.check_sound()
