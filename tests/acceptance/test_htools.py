"""Ganeti's tools, unmodified: hail places and evacuates here; hbal and hspace read this cluster over RAPI."""

import base64
import json
import re
import ssl
import subprocess
import time
import urllib.request
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.requirements import missing
from twisted_rapi.testing.local import LocalCluster
from twisted_rapi.testing.nursery import Nursery

TEMPLATES = ["plain", "drbd", "file", "sharedfile", "diskless"]
NODES = [f"node{n}.example.com" for n in (1, 2, 3)]
FINAL = ("success", "error", "canceled")


_FIGURE = re.compile(r"\d+\.\d+")


class HtoolsTests(SynchronousTestCase):
    """A cluster of real processes whose default allocator is hail."""

    skip = missing("hbal", "hspace", "file:usr/lib/ganeti/iallocators/hail")

    def setUp(self) -> None:
        self.directory = Path(self.mktemp()).resolve()
        self.cluster = LocalCluster(self.directory, nursery=Nursery())
        self.addCleanup(self.cluster.remove)
        self.cluster.set_up()
        self.cluster.add_user("admin", "pw")
        self.cluster.start()
        self.cluster.await_nodes()
        self.well("PUT", "/2/modify", {"vg_name": "xenvg", "drbd_helper": "/bin/true"})
        self.well("PUT", "/2/modify", {"enabled_disk_templates": TEMPLATES})
        self.well("PUT", "/2/modify", {"ipolicy": {"disk-templates": TEMPLATES}})
        self.well("PUT", "/2/modify", {"default_iallocator": "hail"})

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        token = base64.b64encode(b"admin:pw").decode()
        headers = {"Authorization": f"Basic {token}", "Content-Type": "application/json"}
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.cluster.url + path, data, headers, method=method)
        context = ssl._create_unverified_context()
        with urllib.request.urlopen(request, timeout=30, context=context) as answer:
            return json.load(answer)

    def ended(self, job: int) -> Any:
        for _ in range(600):
            found = self.ask("GET", f"/2/jobs/{job}")
            if found["status"] in FINAL:
                return found
            time.sleep(0.05)
        raise self.failureException(f"job {job} does not end")

    def well(self, method: str, path: str, body: Any = None) -> Any:
        found = self.ended(self.ask(method, path, body))
        self.assertEqual(found["status"], "success", found["opresult"])
        return found

    def create(self, name: str, **more: Any) -> Any:
        usual = {"__version__": 1, "mode": "create", "instance_name": name, "disk_template": "drbd"}
        rest = {"disks": [{"size": 256}], "nics": [{}], "os_type": "noop+default"}
        return self.well("POST", "/2/instances", {**usual, **rest, **more})

    def unbalanced(self) -> None:
        """All instances on the first two nodes."""
        for n in range(4):
            placed = {"pnode": NODES[0], "snode": NODES[1], "beparams": {"memory": 1024}}
            self.create(f"i{n}.example.com", **placed)

    def run_tool(self, *command: str) -> str:
        done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        return done.stdout

    # The text backend's data, from what the API says.

    def text_data(self) -> Path:
        """The cluster in the form of ``-t``, as its man page says, from the lists of the API."""
        groups, nodes = self.ask("GET", "/2/groups?bulk=1"), self.ask("GET", "/2/nodes?bulk=1")
        instances, info = self.ask("GET", "/2/instances?bulk=1"), self.ask("GET", "/2/info")
        parts = [
            [self.line(g["name"], g["uuid"], g["alloc_policy"], "", "") for g in groups],
            [self.node_line(node) for node in nodes],
            [self.instance_line(instance) for instance in instances],
            list(info["tags"]),
            [
                self.policy_line("", info["ipolicy"]),
                *(self.policy_line(g["name"], g["ipolicy"]) for g in groups),
            ],
        ]
        file = self.directory / "data"
        file.write_text("\n".join("".join(f"{line}\n" for line in lines) for lines in parts))
        return file

    def line(self, *values: Any) -> str:
        return "|".join(str(value) for value in values)

    def node_line(self, node: Any) -> str:
        sizes = [node[name] for name in ("mtotal", "mnode", "mfree", "dtotal", "dfree", "ctotal")]
        role = "M" if node["role"] == "M" else "N"
        return self.line(node["name"], *sizes, role, node["group.uuid"], 1, "", "N", 0, node["cnos"], 1.0)

    def instance_line(self, instance: Any) -> str:
        backend, disks = instance["beparams"], instance["disk.sizes"]
        space = sum(disks) + 128 * len(disks)
        nodes = (instance["pnode"], instance["snodes"][0])
        head = (instance["name"], backend["maxmem"], space, backend["vcpus"], "running", "Y", *nodes)
        return self.line(*head, instance["disk_template"], "", backend["spindle_use"], "-", "N")

    def policy_line(self, name: str, policy: Any) -> str:
        order = ("memory-size", "cpu-count", "disk-size", "disk-count", "nic-count", "spindle-use")

        def spec(values: Any) -> str:
            return ",".join(str(values[each]) for each in order)

        std = policy.get("std") or self.ask("GET", "/2/info")["ipolicy"]["std"]
        ranges = ";".join(f"{spec(each['min'])};{spec(each['max'])}" for each in policy["minmax"])
        templates = ",".join(policy["disk-templates"])
        return self.line(name, spec(std), ranges, templates, policy["vcpu-ratio"], policy["spindle-ratio"])

    # What holds.

    def test_hail(self) -> None:
        """hail places single instances and several, and says how a node is evacuated."""
        created = self.create("one.example.com")
        [nodes] = created["opresult"]
        self.assertEqual((len(set(nodes)), set(nodes) <= set(NODES)), (2, True))
        chosen = (
            f" - INFO: Selected nodes for instance one.example.com via iallocator hail: {', '.join(nodes)}"
        )
        self.assertIn(chosen, [entry[3] for entry in created["oplog"][0]])
        op = created["ops"][0]
        self.assertEqual((op["iallocator"], op["pnode"], op["snode"]), ("hail", *nodes))
        several = [
            {
                "mode": "create",
                "name": f"m{n}",
                "os": "noop+default",
                "disk_template": "drbd",
                "disks": [{"size": 64}],
                "nics": [],
            }
            for n in range(2)
        ]
        result = self.well("POST", "/2/instances-multi-alloc", {"instances": several})["opresult"][0]
        self.assertEqual((result["allocatable"], result["failed"]), (["m0", "m1"], []))
        for _, job in result["jobs"]:
            self.assertEqual(self.ended(job)["status"], "success")
        for mode, node in (("primary-only", nodes[0]), ("secondary-only", nodes[1])):
            found = self.well("POST", f"/2/nodes/{node}/evacuate", {"mode": mode})["opresult"][0]
            self.assertNotEqual(found["jobs"], [])
            for accepted, job in found["jobs"]:
                self.assertTrue(accepted)
                self.ended(job)

    def test_disks(self) -> None:
        """hail says where the secondary node of an instance goes, and where its disks are made anew."""
        nodes = [NODES[0], NODES[1]]
        self.create("two.example.com", pnode=nodes[0], snode=nodes[1])
        path = "/2/instances/two.example.com"
        body = {"mode": "replace_new_secondary", "iallocator": "hail"}
        replaced = self.well("POST", f"{path}/replace-disks", body)
        told = (
            f" - INFO: Selected new secondary for instance 'two.example.com' via iallocator hail: {NODES[2]}"
        )
        self.assertIn(told, [entry[3] for entry in replaced["oplog"][0]])
        self.assertEqual(replaced["ops"][0]["remote_node"], NODES[2])
        self.assertEqual(self.ask("GET", path)["snodes"], [NODES[2]])
        self.well("PUT", f"{path}/shutdown", {})
        self.lose_volumes()
        recreated = self.well("POST", f"{path}/recreate-disks", {"iallocator": "hail"})
        found = self.ask("GET", path)
        chosen = [found["pnode"], *found["snodes"]]
        self.assertEqual(recreated["ops"][0]["nodes"], chosen)
        self.assertEqual(len(set(chosen)), 2)
        self.well("PUT", f"{path}/startup", {})

    def lose_volumes(self) -> None:
        """The simulated nodes lose all volumes, as by a broken disk each."""
        notes = [file for folder in self.directory.rglob("*volumes") for file in folder.rglob("*.json")]
        self.assertNotEqual(notes, [])
        for file in notes:
            file.unlink()

    def test_older_evacuation(self) -> None:
        """The form of 2.1 to 2.4 answers triples: without jobs in a dry run."""
        self.unbalanced()
        path = f"/2/nodes/{NODES[1]}/evacuate?iallocator=hail"
        wanted = [(f"i{n}.example.com", NODES[2]) for n in range(4)]
        dry = self.ask("POST", f"{path}&dry-run=1")
        self.assertEqual(sorted((name, node) for _, name, node in dry), wanted)
        self.assertEqual({job for job, _, _ in dry}, {None})
        real = self.ask("POST", f"/2/nodes/{NODES[1]}/evacuate?remote_node={NODES[2]}")
        self.assertEqual(sorted((name, node) for _, name, node in real), wanted)
        for job, _, _ in real:
            self.assertEqual(self.ended(job)["status"], "success")

    def test_hbal(self) -> None:
        """hbal finds the same over RAPI as in text data of the same cluster, and what it wants works."""
        self.unbalanced()
        over_rapi = self.run_tool("hbal", "-m", self.cluster.url, "-p")
        from_text = self.run_tool("hbal", "-t", str(self.text_data()), "-p")
        self.alike("\n".join(steps(over_rapi)), "\n".join(steps(from_text)))
        self.alike(table(over_rapi), table(from_text))
        self.assertNotEqual(steps(over_rapi), [])
        commands = self.directory / "commands"
        self.run_tool("hbal", "-m", self.cluster.url, f"-C{commands}")
        done = 0
        for line in commands.read_text().splitlines():
            words = line.split()
            if words[:1] == ["gnt-instance"]:
                self.carry_out(words)
                done += 1
        self.assertGreater(done, 0)
        # Its steps are greedy, and free space is measured: a small improvement may be left, no more.
        self.assertLess(len(steps(self.run_tool("hbal", "-m", self.cluster.url))), len(steps(over_rapi)))

    def alike(self, over_rapi: str, from_text: str) -> None:
        """The same but for what rounding makes of figures."""
        self.assertEqual(_FIGURE.sub("#", over_rapi), _FIGURE.sub("#", from_text))
        figures = zip(_FIGURE.findall(over_rapi), _FIGURE.findall(from_text), strict=True)
        for one, other in figures:
            self.assertApproximates(float(one), float(other), 0.05)

    def carry_out(self, words: list[str]) -> None:
        """A command of hbal's, as the request that stands for it."""
        if words[1] == "migrate":
            self.well("PUT", f"/2/instances/{words[-1]}/migrate", {"allow_failover": True})
        else:
            self.assertEqual(words[1:3], ["replace-disks", "-n"])
            body = {"mode": "replace_new_secondary", "remote_node": words[3]}
            self.well("POST", f"/2/instances/{words[-1]}/replace-disks", body)

    def test_hspace(self) -> None:
        """hspace finds the same room over RAPI as in text data of the same cluster."""
        self.unbalanced()
        over_rapi = self.run_tool("hspace", "-m", self.cluster.url)
        from_text = self.run_tool("hspace", "-t", str(self.text_data()))
        self.alike(over_rapi, from_text)
        self.assertIn("There are 4 initial instances on the cluster.", over_rapi)


def steps(printed: str) -> list[str]:
    """The moves hbal proposes."""
    return re.findall(r"^ +\d+\. .*$", printed, re.MULTILINE)


def table(printed: str) -> str:
    """The nodes as hbal sees them at first."""
    return printed.partition("Initial cluster status:")[2].partition("\n\n")[0]
