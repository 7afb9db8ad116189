"""Tests of PVC's endpoints of Ceph."""

from pathlib import Path
from typing import Any

import attrs
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from tests.unit.web.http import Answer, parse
from tests.unit.web.pvc.http import PvcBrowser
from tests.unit.web.test_api import CREATION
from twisted_rapi.errors import StepFailed
from twisted_rapi.model import rbd
from twisted_rapi.model.sizes import human_size, parse_size
from twisted_rapi.model.steps import ChangeCeph, LookAtCeph
from twisted_rapi.plan.pvc.ceph import short
from twisted_rapi.storage.simulated_ceph import CephNotes
from twisted_rapi.web.pvc.ceph_counts import CephCounts
from twisted_rapi.web.pvc.ceph_looks import CephLooks

GIB = 1 << 30
SEED, V0_6, V1_0 = "pvc/0.1", "pvc/0.6", "pvc/1.0"
CEPH = "/storage/ceph"
VOLUME = {"pool": "rbd", "volume": "v", "size": "1G"}


class CephCase(SynchronousTestCase):
    """Nodes that reach a Ceph with a pool ``rbd`` and an OSD, and a volume in it."""

    def setUp(self) -> None:
        self.browser = PvcBrowser(Path(self.mktemp()))
        self.addCleanup(self.browser.cluster.stop)
        for n in (1, 2):
            self.ask("POST", "/osd", {"node": f"node{n}", "device": "/dev/sdb", "weight": "1"}, agent=SEED)
        self.ask("POST", "/volume", VOLUME)

    def ask(
        self,
        method: str,
        path: str,
        form: dict[str, str] | None = None,
        agent: str = SEED,
        query: dict[str, str] | None = None,
    ) -> Answer:
        """An answer about Ceph."""
        return self.browser.ask(method, f"{CEPH}{path}", query, form, User_Agent=agent)

    def told(self, method: str, path: str, form: dict[str, str] | None = None, agent: str = SEED) -> Any:
        """The message, of a success."""
        answer = self.ask(method, path, form, agent)
        self.assertEqual(answer.status, 200, answer.body)
        return answer.json()["message"]

    def refused(
        self, method: str, path: str, form: dict[str, str] | None = None, agent: str = SEED, status: int = 400
    ) -> Any:
        """The message, or what there is instead, of a failure."""
        answer = self.ask(method, path, form, agent)
        self.assertEqual(answer.status, status, answer.body)
        found = answer.json()
        return found["message"] if isinstance(found, dict) else found

    @property
    def nodes(self) -> Any:
        """Those in memory."""
        return self.browser.cluster.nodes

    def seen(self, subject: Any, pool: str = "", volume: str = "") -> tuple[dict[str, Any], ...]:
        """What there is."""
        shared = self.nodes.shared
        return CephNotes(shared.ceph, shared.shelves["rbd"]).look(subject, pool, volume)

    def names(self, subject: Any, pool: str = "rbd", volume: str = "") -> set[str]:
        """What there is of a kind."""
        return {one["name"] for one in self.seen(subject, pool, volume)}


class ReadTests(CephCase):
    """Looks, which are of now."""

    def test_whole(self) -> None:
        """The texts of Ceph's own tools, where each form has them."""
        for path, agent, kind in (
            ("", SEED, "status"),
            ("/status", SEED, "status"),
            ("/df", SEED, "utilization"),
            ("/status", V1_0, "status"),
            ("/utilization", V0_6, "utilization"),
        ):
            found = self.ask("GET", path, agent=agent).json()
            self.assertEqual((found["type"], found["primary_node"]), (kind, "node1.example.com"))
            self.assertIn("osd:" if kind == "status" else "total_used", found["ceph_data"])
        self.assertIsNone(self.ask("GET", "", agent=V0_6).json())

    def test_osds(self) -> None:
        """OSDs are called by their numbers, as texts, and their nodes as the cluster calls them."""
        found = self.ask("GET", "/osd", agent=V1_0).json()
        shown = [(osd["id"], osd["node"], osd["device"], osd["stats"]["up"]) for osd in found]
        wanted = [(str(n), f"node{n + 1}.example.com", "/dev/sdb", 1) for n in (0, 1)]
        self.assertEqual(shown, wanted)
        for agent in (SEED, V0_6, V1_0):
            [one] = self.ask("GET", "/osd/1", agent=agent).json()
            self.assertEqual(one["id"], "1")
            state = self.ask("GET", "/osd/1/state", agent=agent).json()
            self.assertEqual(state, {"id": "1", "in": 1, "up": 1})
            self.assertEqual(self.refused("GET", "/osd/01/state", agent=agent, status=404), "OSD not found.")

    def test_none(self) -> None:
        """What is not there is an empty list in the oldest form, later it is not found."""
        for path, what in (
            ("/osd/9", "OSD"),
            ("/pool/none", "Pool"),
            ("/volume/rbd/none", "Volume"),
            ("/volume/none/v", "Volume"),
        ):
            self.assertEqual(self.ask("GET", path, agent=SEED).json(), [])
            for agent in (V0_6, V1_0):
                text = self.refused("GET", path, agent=agent, status=404)
                self.assertEqual(text, f"{what} not found.")

    def test_pool_of_a_listing(self) -> None:
        """A listing of a pool that is not there says so, as each form does."""
        for path in ("/volume", "/volume/snapshot"):
            answer = self.ask("GET", path, agent=SEED, query={"pool": "zz"})
            text = 'ERROR: No pool with name "zz" is present in the cluster.'
            self.assertEqual((answer.status, answer.json()), (400, text))
        for path, what in (("/volume", "Volume"), ("/snapshot", "Volume snapshot")):
            answer = self.ask("GET", path, agent=V1_0, query={"pool": "zz"})
            self.assertEqual((answer.status, answer.json()), (404, {"message": f"{what} not found."}))

    def test_patterns(self) -> None:
        """Patterns of the oldest form are for whole names, later ones for a volume's own."""
        for agent, limit, count in (
            (SEED, "^rbd/v$", 1),
            (V1_0, "^rbd/v$", 0),
            (V1_0, "^v$", 1),
            (SEED, "^v", 0),
        ):
            answer = self.ask("GET", "/volume", agent=agent, query={"limit": limit})
            found = answer.json() if answer.status == 200 else []
            self.assertEqual(len(found), count, (agent, limit))
        self.assertIn("Regex Error", self.ask("GET", "/pool", query={"limit": "["}).json())

    def test_unreachable(self) -> None:
        """Where Ceph cannot be asked there is a reason, in each form."""
        self.nodes.nodes[min(self.nodes.nodes)].faults[LookAtCeph] = [
            StepFailed("ceph: timed out", "storage")
        ]
        self.assertEqual(self.refused("GET", "/osd"), "ERROR: ceph: timed out")
        for node in self.nodes.nodes.values():
            node.ceph = False
        for agent in (SEED, V0_6, V1_0):
            told = self.refused("GET", "/volume", agent=agent)
            self.assertEqual(told, "ERROR: No node reaches a Ceph cluster at present")
        self.assertIn("No node reaches", self.refused("DELETE", "/volume/rbd/v"))

    def test_in_time(self) -> None:
        """Nobody waits for ever for a Ceph that says nothing."""
        self.nodes.hold()
        sent = self.browser.waited("GET", f"/api/v1{CEPH}/status", b"", "", 130)
        self.assertIn(b"Ceph does not answer at present", sent)


class ChangeTests(CephCase):
    """Changes, each told once its job has ended."""

    def test_options(self) -> None:
        """Flags are set and taken away."""
        told = self.told("POST", "/cluster-option", {"action": "set", "option": "noout"})
        self.assertEqual(told, "Set OSD property noout on the cluster.")
        self.assertEqual(self.names("options"), {"noout"})
        told = self.told("POST", "/option", {"action": "unset", "option": "noout"}, V1_0)
        self.assertEqual((told, self.names("options")), ("Unset OSD property 'noout'.", set()))
        self.assertIn("no option", self.refused("POST", "/cluster-option", {"action": "set", "option": "-h"}))

    def test_volumes(self) -> None:
        """A volume grows, is copied, renamed and removed; a failure says why."""
        self.assertIn("already", self.refused("POST", "/volume", VOLUME))
        told = self.told("PUT", "/volume/rbd/v", {"new_size": "2.5GiB"}, V1_0)
        self.assertEqual(told, "Resized RBD volume 'v' to size '2560M' in pool 'rbd'.")
        self.told("POST", "/volume/rbd/v/clone", {"new_volume": "c"}, V0_6)
        self.told("PUT", "/volume/rbd/c", {"name": "d"})
        self.assertEqual(self.names("volumes"), {"v", "d"})
        self.told("DELETE", "/volume/rbd/d")
        self.assertEqual({v["name"]: v["size"] for v in self.seen("volumes", "rbd")}, {"v": 5 * GIB // 2})
        self.assertIn("smaller", self.refused("PUT", "/volume/rbd/v", {"size": "1M"}))
        told = self.refused("DELETE", "/volume/rbd/zz", agent=V1_0)
        self.assertEqual(told, "ERROR: No volume with name 'zz' is present in pool 'rbd'.")
        told = self.refused("POST", "/volume", {**VOLUME, "pool": "zz"})
        self.assertEqual(told, "ERROR: No pool with name 'zz' is present in the cluster.")

    def test_room(self) -> None:
        """The newest form keeps a fifth of a pool free, unless it is told not to."""
        [pool] = self.seen("pools")
        size = str(pool["free"] * 9 // 10)
        big = {"pool": "rbd", "volume": "big", "size": size}
        self.assertIn("80 %", self.refused("POST", "/volume", big, V1_0))
        self.assertIn(
            "greater than", self.refused("POST", "/volume", {**big, "size": "1P", "force": "1"}, V1_0)
        )
        self.told("POST", "/volume", {**big, "force": "true"}, V1_0)

    def test_snapshots(self) -> None:
        """A snapshot is taken, renamed, gone back to and forgotten."""
        self.told("POST", "/volume/snapshot", {"pool": "rbd", "volume": "v", "snapshot": "s"})
        self.assertEqual(self.ask("GET", "/volume/snapshot").json(), ["rbd/v@s"])
        self.told("PUT", "/snapshot/rbd/v/s", {"new_name": "t"}, V0_6)
        found = self.ask("GET", "/snapshot/rbd/v/t", agent=V0_6).json()
        self.assertEqual(found, {"pool": "rbd", "volume": "v", "snapshot": "t"})
        told = self.told("POST", "/snapshot/rbd/v/t/rollback", agent=V1_0)
        self.assertEqual(told, "Rolled back RBD volume 'v' in pool 'rbd' to snapshot 't'.")
        self.told("DELETE", "/snapshot/rbd/v/t", agent=V1_0)
        told = self.refused("DELETE", "/volume/snapshot/rbd/v/t")
        self.assertEqual(told, "ERROR: No snapshot with name 't' is present of volume v on pool rbd.")

    def test_pools(self) -> None:
        """A pool is made as is asked for, and is removed only where that is meant."""
        replcfg = {"pgs": "8", "replcfg": "copies=2,mincopies=1"}
        self.told("POST", "/pool/p", {**replcfg, "tier": "nvme"}, V1_0)
        found = self.ask("GET", "/pool/p", agent=V0_6).json()
        self.assertEqual((found["name"], found["stats"]["num_objects"]), ("p", 0))
        [shown] = self.ask("GET", "/pool/p", agent=V1_0).json()
        self.assertEqual([shown[k] for k in ("tier", "pgs", "volume_count")], ["nvme", "8", 0])
        self.told("PUT", "/pool/p", {"pgs": "16"}, V1_0)
        for replication in ("copies=0x2", "copies=1,copies=1", "mincopies=", "x=1", "copies=2,mincopies=3"):
            wrong = {**replcfg, "replcfg": replication}
            self.assertIn("ERROR: ", self.refused("POST", "/pool/q", wrong, V1_0))
        self.assertIn("resend with the argument", self.refused("DELETE", "/pool/p"))
        self.refused("DELETE", "/pool/p", agent=V0_6)
        told = self.refused("DELETE", "/pool/p", {"yes-i-really-mean-it": "No"}, V1_0)
        self.assertEqual(told, {"yes-i-really-mean-it": "Please confirm that 'yes-i-really-mean-it'."})
        self.told("DELETE", "/pool/p", {"yes-i-really-mean-it": ""}, V1_0)
        self.assertEqual(self.names("pools"), {"rbd"})

    def test_osds(self) -> None:
        """An OSD goes out and in, and is drained away; the newest form tells of a task."""
        self.assertEqual(
            self.told("POST", "/osd/1/state", {"state": "out"}), "Set OSD 1 offline in the cluster."
        )
        self.assertEqual(self.ask("GET", "/osd/1/state").json()["in"], 0)
        self.told("POST", "/osd/1/state", {"state": "in"}, V1_0)
        answer = self.ask("DELETE", "/osd/1", {"yes-i-really-mean-it": "yes"}, V1_0)
        self.assertEqual((answer.status, answer.json()["run_on"]), (202, "node2.example.com"))
        task = self.browser.ask("GET", answer.headers["location"].removeprefix("/api/v1"))
        self.assertEqual(task.json()["state"], "SUCCESS")
        self.assertEqual([osd["id"] for osd in self.seen("osds")], [0])
        self.assertIn("No OSD with ID '7'", self.refused("DELETE", "/osd/7", {"yes_i_really_mean_it": ""}))
        wrong = {"node": "node1", "device": "/dev/sdc", "weight": "nan"}
        self.assertIn("no weight", self.refused("POST", "/osd", wrong))
        self.assertIn("no device", self.refused("POST", "/osd", {**wrong, "weight": "1", "device": "-x"}))
        told = self.refused("POST", "/osd", {**wrong, "weight": "1", "node": "zz"})
        self.assertEqual(told, "ERROR: No node named 'zz' is present in the cluster.")

    def test_replaced(self) -> None:
        """An OSD is drained away, and another device of its node takes its place."""
        values = {"new_device": "/dev/sdc", "yes-i-really-mean-it": "yes"}
        answer = self.ask("POST", "/osd/1", values, V1_0)
        self.assertEqual((answer.status, answer.json()["task_name"]), (202, "osd.replace"))
        found = {osd["id"]: (osd["node"], osd["device"], osd["weight"]) for osd in self.seen("osds")}
        self.assertEqual(found, {0: ("node1", "/dev/sdb", 1.0), 1: ("node2", "/dev/sdc", 1.0)})
        self.assertIn("No OSD", self.refused("POST", "/osd/7", values, V1_0))

    def test_goes_on(self) -> None:
        """What takes very long is told to go on; nobody else waits for it."""
        self.told("POST", "/osd/0/state", {"state": "out"})
        path = f"/api/v1{CEPH}/osd/1?yes_i_really_mean_it="
        sent = self.browser.waited("DELETE", path, b"", "", 310, User_Agent=SEED)
        self.assertIn(b" 202 ", sent.partition(b"\r\n")[0])
        self.assertIn(b"goes on as job", sent)
        self.assertEqual(
            self.told("POST", "/osd/0/state", {"state": "in"}), "Set OSD 0 online in the cluster."
        )
        self.assertEqual([osd["id"] for osd in self.seen("osds")], [0])


class MachineTests(CephCase):
    """Volumes that machines made through RAPI have as disks."""

    def setUp(self) -> None:
        super().setUp()
        rapi, templates = self.browser.rapi, ["file", "rbd"]
        self.name = CREATION["instance_name"]
        made = {"disk_template": "rbd", "disks": [{"size": 1024}], "start": False}
        policy = {"ipolicy": {"disk-templates": templates}, "enabled_disk_templates": templates}
        for job in (
            rapi.done("PUT", "/2/modify", policy),
            rapi.done("POST", "/2/instances", {**CREATION, **made}),
        ):
            self.assertEqual(job["status"], "success", job["opresult"])
        [found] = self.browser.cluster.snapshot.instances.values()
        _, self.volume = found.disks[0].logical_id

    def test_same(self) -> None:
        """They are listed, are not taken away, and grow in both APIs at once."""
        path = f"/volume/rbd/{self.volume}"
        [shown] = self.ask("GET", path).json()
        self.assertEqual(shown["stats"]["size"], "1024M")
        for method, form in (("DELETE", {}), ("PUT", {"name": "w"})):
            self.assertIn(f"used by instance {self.name}", self.refused(method, path, form))
        self.told("PUT", path, {"size": "2G"})
        found = self.browser.rapi.ask("GET", f"/2/instances/{self.name}").json()
        self.assertEqual(found["disk.sizes"], [2048])
        self.browser.rapi.done("POST", f"/2/instances/{self.name}/disk/0/grow", {"amount": 1024})
        [shown] = self.ask("GET", path).json()
        self.assertEqual(shown["stats"]["size"], "3072M")

    def test_locks(self) -> None:
        """Locks are flushed of a machine that does not run, by a job."""
        path = f"/vm/{self.name}/locks"
        told = self.browser.ask("POST", path, User_Agent=V0_6)
        self.assertEqual(told.json(), {"message": f"Flushed locks on VM '{self.name}'"})
        answer = self.browser.ask("POST", path, User_Agent=V1_0)
        self.assertEqual((answer.status, answer.json()["task_name"]), (202, "vm.flush_locks"))
        self.browser.rapi.done("PUT", f"/2/instances/{self.name}/startup")
        answer = self.browser.ask("POST", path, User_Agent=V0_6)
        self.assertEqual(answer.status, 400)
        self.assertIn("marked to be up", answer.json()["message"])


@attrs.frozen
class Strange(CephLooks):
    """Says nothing that could be meant."""

    async def look(self, *_: object, **__: object) -> tuple[Any, ...]:
        """One thing without anything."""
        return ({},)


class StatusTests(CephCase):
    """What the state of the cluster tells of Ceph."""

    def status(self, agent: str = V1_0, most: int = 0) -> Any:
        """It, within so many half seconds."""
        return parse(self.browser.waited("GET", "/api/v1/status", b"", "", most, User_Agent=agent)).json()

    def looks(self) -> int:
        """How often Ceph was looked at."""
        nodes = self.nodes.nodes.values()
        return sum(isinstance(step, LookAtCeph) for node in nodes for step in node.done)

    def test_counted(self) -> None:
        """Everything is counted, as of the last change."""
        names = ("osds", "pools", "volumes", "snapshots")
        wanted = [{"total": 2, "up,in": 2}, 1, 1, 0]
        self.assertEqual([self.status()[name] for name in names], wanted)
        self.told("POST", "/volume/snapshot", {"pool": "rbd", "volume": "v", "snapshot": "s"})
        self.told("POST", "/osd/1/state", {"state": "out"})
        found = self.status()
        wanted = [{"total": 2, "up,in": 1, "up,out": 1}, 1, 1, 1]
        self.assertEqual([found[name] for name in names], wanted)
        self.assertEqual(found["detail"]["osd"][1], {"id": "1", "up": "up", "in": "out"})
        self.assertEqual(found["resources"]["disk"]["total"], 100 * GIB // 1024)
        self.assertEqual(self.status(V0_6)["health"], "Degraded")

    def test_once(self) -> None:
        """Many who ask at once are answered from one look."""
        self.status()
        before = self.looks()
        for _ in range(20):
            self.status()
        self.assertEqual(self.looks(), before)
        self.browser.cluster.clock.advance(2.5)
        self.status()
        self.assertEqual(self.looks(), before + 5)

    def test_unwell(self) -> None:
        """What Ceph complains of takes something from the cluster's health."""
        self.told("POST", "/option", {"action": "set", "option": "noout"}, V1_0)
        found = self.status()["cluster_health"]
        message = {"id": "CEPH_HEALTH_WARN", "health_delta": 10, "text": "Ceph is in HEALTH_WARN"}
        self.assertEqual(found, {"health": 90, "messages": [message]})

    def test_silent(self) -> None:
        """One that says nothing is not waited for long; what was known just now is better than nothing."""
        self.assertEqual(self.status()["volumes"], 1)
        self.browser.cluster.clock.advance(10)
        self.nodes.hold()
        self.assertEqual(self.status(most=3)["volumes"], 1)
        self.browser.cluster.clock.advance(60)
        found = self.status(most=11)
        self.assertEqual((found["volumes"], found["cluster_health"]["messages"][0]["id"]), (0, "CEPH_SILENT"))
        self.nodes.release()
        self.browser.cluster.clock.advance(3)
        self.assertEqual(self.status()["volumes"], 1)

    def test_strange(self) -> None:
        """What makes no sense is told as silence, and does not keep the next look from being begun."""
        counts = CephCounts(Strange(self.browser.cluster.clock))
        for _ in range(2):
            api: Any = self.browser.rapi.resource.api
            asked = Deferred.fromCoroutine(counts.get(api))
            self.assertTrue(self.successResultOf(asked).silent)
            self.assertEqual(len(self.flushLoggedErrors(KeyError)), 1)
            self.browser.cluster.clock.advance(3)

    def test_none(self) -> None:
        """A cluster without Ceph has nothing of it, and lacks nothing."""
        for node in self.nodes.nodes.values():
            node.ceph = False
        self.nodes.changed(min(self.nodes.nodes))
        found = self.status()
        self.assertEqual((found["osds"], found["cluster_health"]["health"]), ({"total": 0}, 100))


WORDS = st.text(max_size=20) | st.sampled_from(
    ["-x", "--help", "a b", "..", "a;b", "$(a)", "`a`", "a@b", "a/b", "\n", "%2e%2e", "v", "rbd"]
)
SIZES = st.text(max_size=12) | st.from_regex(
    r"[0-9]{1,30}(\.[0-9]{0,5})?[KMGTPkmgtp]?(iB|B|b)?", fullmatch=True
)


class GeneratedTests(CephCase):
    """Names and sizes of any kind."""

    @settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
    @given(WORDS, WORDS, WORDS, SIZES, st.sampled_from([SEED, V0_6, V1_0]))
    def test_names(self, pool: str, volume: str, name: str, size: str, agent: str) -> None:
        """Nothing but names and numbers comes to a node, and there is always an answer."""
        for method, path, form in (
            ("POST", "/volume", {"pool": pool, "volume": volume, "size": size}),
            ("PUT", "/volume/rbd/v", {"new_name": name}),
            ("POST", "/volume/rbd/v/clone", {"new_volume": name}),
            ("POST", "/snapshot", {"pool": pool, "volume": volume, "snapshot": name}),
            ("POST", "/pool", {"pool": name, "pgs": size, "replcfg": name}),
            ("POST", "/osd", {"node": pool, "device": name, "weight": size}),
        ):
            self.assertIn(self.ask(method, path, form, agent).status, (200, 202, 400, 404, 405))
        for node in self.nodes.nodes.values():
            for step in node.done:
                if isinstance(step, ChangeCeph):
                    names = (
                        getattr(step.change, key, None) for key in ("pool", "volume", "name", "snapshot")
                    )
                    self.assertTrue(all(n is None or rbd.NAME.fullmatch(n) for n in names), step.change)

    @settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
    @given(SIZES)
    def test_sizes(self, text: str) -> None:
        """A size that can be read is what a volume gets, and any other is refused."""
        try:
            wanted = parse_size(text)
        except ValueError:
            wanted = 0
        answer = self.ask("POST", "/volume", {"pool": "rbd", "volume": "new", "size": text})
        self.assertEqual(answer.status, 200 if wanted else 400, text)
        if wanted:
            [found] = self.seen("volumes", "rbd", "new")
            self.assertEqual(found["size"], wanted)
            self.told("DELETE", "/volume/rbd/new")


class ShortTests(SynchronousTestCase):
    """Numbers as Ceph's own listings have them."""

    def test_recorded(self) -> None:
        """As recorded."""
        for number, k, text in (
            (10905190 << 10, 1024, "10.4G"),
            (965376410 << 10, 1024, "920G"),
            (24576, 1024, "24.0k"),
            (4096, 1024, "4096"),
            (3, 1000, "3"),
        ):
            self.assertEqual(short(number, k), text)

    @given(st.integers(0, 1 << 62), st.sampled_from([1000, 1024]))
    def test_width(self, number: int, k: int) -> None:
        """Never more than four characters and a unit."""
        self.assertLessEqual(len(short(number, k)), 5)
        self.assertTrue(human_size(number))
