"""kill -9 of the master at every commit boundary of jobs about instances, disks, nodes and the cluster."""

import json
import time
from typing import Any

import attrs

from tests.acceptance.planted import PlantedCase, Request
from tests.acceptance.test_crashes import creation

ONE, TWO, THREE = (f"node{n}.example.com" for n in (1, 2, 3))
A, B = "web1.example.com", "web2.example.com"
NETWORK = "/2/networks/net1"
CONNECTION = {"group_name": "default", "network_mode": "bridged", "network_link": "br0"}
BEFORE, AFTER = ("|".join(f"{when} {what}.*" for what in ("job", "stage")) for when in ("before", "after"))


def made(name: str, template: str, **more: Any) -> dict[str, Any]:
    """An instance with one disk on the first node, and the second if it is mirrored."""
    given = {
        "disk_template": template,
        "pnode": ONE,
        "os_type": "whole",
        **({"snode": TWO} if template == "drbd" else {}),
    }
    return {**creation(name), **given, **more}


def about(method: str, what: str, name: str = A, **body: Any) -> Request:
    """A request about an instance."""
    return (method, f"/2/instances/{name}/{what}", body or None)


@attrs.frozen
class Row:
    """
    A job the master dies in.

    :ivar submits: how many jobs it submits.
    :ivar loses: all disks are lost beforehand.
    :ivar then: jobs done afterwards, for the rows that follow.
    """

    job: Request
    submits: int = 0
    loses: bool = False
    then: tuple[Request, ...] = ()


SEVERAL = [
    {k: v for k, v in made(name, "sharedfile").items() if k not in ("__version__", "pnode")}
    for name in ("m1.example.com", "m2.example.com")
]

LIFE = (
    Row(("POST", "/2/instances", made(A, "file"))),
    Row(about("PUT", "modify", beparams={"vcpus": 2})),
    Row(about("PUT", "tags?tag=a")),
    Row(about("POST", "reboot")),
    Row(about("PUT", "shutdown")),
    Row(about("PUT", "rename", new_name=B)),
    Row(about("PUT", "modify", B, disks=[["add", {"size": 8}]])),
    Row(about("PUT", "startup", B)),
    Row(("DELETE", f"/2/instances/{B}", None)),
)
DISKS = (
    Row(("POST", "/2/instances", made(A, "drbd"))),
    Row(about("POST", "disk/0/grow", amount=8)),
    Row(about("POST", "replace-disks", mode="replace_on_secondary")),
    Row(about("POST", "replace-disks", mode="replace_new_secondary", remote_node=THREE)),
    Row(about("PUT", "migrate")),
    Row(about("PUT", "failover"), then=(about("PUT", "shutdown"),)),
    Row(about("POST", "recreate-disks", nodes=[ONE, TWO]), loses=True),
    Row(about("PUT", "modify", disk_template="plain")),
)
MOVES = (
    # Moves are asked for by allocators only.
    Row(("POST", f"/2/nodes/{ONE}/evacuate", {"mode": "primary-only", "iallocator": "moving"}), submits=1),
    Row(
        about("PUT", "export", destination=TWO, shutdown=True), then=(("DELETE", f"/2/instances/{A}", None),)
    ),
    Row(("POST", "/2/instances", made(A, "plain", mode="import", src_path=A, start=False))),
    Row(("DELETE", f"/2/instances/{A}/export", None)),
)
SUBMITTING = (
    Row(
        ("POST", f"/2/nodes/{ONE}/evacuate", {"mode": "primary-only"}),
        submits=2,
        then=(("DELETE", f"/2/instances/{A}", None), ("DELETE", f"/2/instances/{B}", None)),
    ),
    Row(
        ("POST", "/2/instances-multi-alloc", {"instances": SEVERAL}),
        submits=2,
        then=tuple(("DELETE", f"/2/instances/{each['instance_name']}", None) for each in SEVERAL),
    ),
)
CLUSTER = (
    Row(("PUT", f"/2/nodes/{THREE}/role?force=1", "drained")),
    Row(("PUT", f"/2/nodes/{THREE}/role", "regular")),
    Row(("POST", "/2/networks", {"network_name": "net1", "network": "198.51.100.0/24"})),
    Row(("PUT", f"{NETWORK}/connect", CONNECTION)),
    Row(("PUT", f"{NETWORK}/disconnect", {"group_name": "default"})),
    Row(("DELETE", NETWORK, None)),
    Row(("PUT", "/2/modify", {"candidate_pool_size": 2})),
)


class CommitBoundaryTests(PlantedCase):
    """One job after the other is survived by no master for longer than to its next boundary."""

    def test_life(self) -> None:
        """An instance is made, changed, stopped, renamed, started and removed."""
        self._live(LIFE)
        self.assertEqual(self.api.ask("GET", "/2/instances"), [])

    def test_disks(self) -> None:
        """Disks grow, are renewed, recreated and converted; guests go to where they are."""
        self._live(DISKS)
        self.assertEqual(self.api.ask("GET", f"/2/instances/{A}")["disk.sizes"], [16])

    def test_data(self) -> None:
        """Exports, imports, and moves of data."""
        move = [{"OP_ID": "OP_INSTANCE_MOVE", "instance_name": A, "target_node": THREE}]
        result = [[[A, "default", [THREE]]], [], [move]]
        answer = json.dumps({"success": True, "info": "", "result": result})
        self.script("allocators/moving", f"echo '{answer}'")
        self.done(("POST", "/2/instances", made(A, "plain")))
        self._live(MOVES)

    def test_submitting(self) -> None:
        """Jobs that submit jobs submit each once."""
        for name in (A, B):
            self.done(("POST", "/2/instances", made(name, "sharedfile")))
        for state in ("flush", "ready"):
            self._flushed(state)
        self._live(SUBMITTING)
        self.assertEqual(self.api.ask("GET", "/2/instances"), [])

    def test_cluster(self) -> None:
        """Nodes, networks, and the cluster's settings; a rule about jobs is there once it is acknowledged."""
        self._live(CLUSTER)
        rule = {"priority": 5, "predicates": [["jobid", ["<", "id", 0]]], "action": "REJECT"}
        uuids = []
        for n in range(2):
            uuids.append(self.api.ask("POST", "/2/filters", {**rule, "priority": n}))
            self._kill()
        self.assertEqual({f["uuid"] for f in self.api.ask("GET", "/2/filters?bulk=1")}, set(uuids))
        for uuid in uuids:
            self.api.ask("DELETE", f"/2/filters/{uuid}")
            self._kill()
        self.assertEqual(self.api.ask("GET", "/2/filters"), [])

    def _flushed(self, state: str) -> None:
        """All machines leave the first node, or are back, though a master dies while one is on its way."""
        before = {job["id"] for job in self.api.ask("GET", "/2/jobs?bulk=1")}
        self.plant("after stage.changed:2")
        op = {"OP_ID": "OP_NODE_SET_DOMAIN_STATE", "node_name": ONE, "state": state}
        self.api.tried("POST", "/2/jobs", [op])
        self.assertTrue(self.cluster.master.ended(30), "it has not died")
        self.ended(max(before) + 1)
        jobs = [job for job in self.api.ask("GET", "/2/jobs?bulk=1") if job["id"] not in before]
        self.assertEqual([job["status"] for job in jobs], ["success"] * 4)
        places = {i["name"]: i["pnode"] == ONE for i in self.api.ask("GET", "/2/instances?bulk=1")}
        self.assertEqual(places, dict.fromkeys((A, B), state == "ready"))
        self.check_sound()

    def _kill(self) -> None:
        self.cluster.master.kill()
        self.cluster.master.start()

    def _lose_disks(self) -> None:
        for place in ("node*/state/volumes/*.json", "shared-volumes/drbd/*.json"):
            for note in self.cluster.directory.glob(place):
                note.unlink()

    def _live(self, rows: tuple[Row, ...]) -> None:
        before = {job["id"] for job in self.api.ask("GET", "/2/jobs?bulk=1")}
        for row in rows:
            if row.loses:
                self._lose_disks()
            found = self._through(row, before)
            self.assertEqual(found["status"], "success", (row, found))
            jobs = {job["id"]: job for job in self.api.ask("GET", "/2/jobs?bulk=1")}
            new = sorted(set(jobs) - before - {found["id"]})
            self.assertEqual(len(new), row.submits, f"{row.job} has submitted {new}")
            self.assertEqual({jobs[number]["status"] for number in new} - {"success"}, set())
            if row.submits:
                told = found["opresult"][0]["jobs"]
                self.assertEqual(sorted(told), [[True, number] for number in new])
            self.check_sound()
            for request in row.then:
                self.done(request)
            before = {job["id"] for job in self.api.ask("GET", "/2/jobs?bulk=1")}

    def _through(self, row: Row, before: set[int]) -> dict[str, Any]:
        """
        The job, once it has ended though each master dies at its first boundary after the last one's.

        Which comes after which: before a commit, after it, after the nodes have done something.
        """
        self.plant(f"{BEFORE}:1")
        self.assertIsNone(self.api.tried(*row.job), "it was acknowledged before it was stored")
        self._next_master()
        self.cluster.master.await_ready()
        self.assertEqual({j["id"] for j in self.api.ask("GET", "/2/jobs?bulk=1")}, before)
        self.plant(f"{AFTER}:1")
        self.assertIsNone(self.api.tried(*row.job))
        for _ in range(100):
            last = self.died()[-1]
            self.plant(f"{self._next(last)}:1")
            self._next_master()
            if not self._dies():
                self.plan.unlink(missing_ok=True)
                # Those it has submitted itself came later.
                return self.ended(min({j["id"] for j in self.api.ask("GET", "/2/jobs?bulk=1")} - before))
        raise AssertionError(f"{row.job} does not end")

    def _next(self, last: str) -> str:
        """The boundaries that may come after one."""
        if last.startswith("before"):
            return AFTER
        return BEFORE if last == "stage.performed" else f"stage.performed|{BEFORE}"

    def _next_master(self) -> None:
        self.assertTrue(self.cluster.master.ended(15), "it has not died")
        # It may die again before it has answered anybody.
        self.cluster.master.start(wait=False)

    def _dies(self) -> bool:
        """Whether the master dies before all jobs have ended."""
        end = time.monotonic() + 120
        while not self.cluster.master.ended(0.03):
            jobs = self.api.tried("GET", "/2/jobs?bulk=1")
            self.assertLess(time.monotonic(), end, f"neither dead nor done: {jobs}")
            if jobs is not None and all(j["status"] in ("success", "error", "canceled") for j in jobs):
                return self.cluster.master.ended(0.05)
        return True
