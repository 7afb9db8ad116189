"""Tests of `twisted_rapi.web.pvc.metrics` and `twisted_rapi.plan.pvc.metrics`."""

import json
import re
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.conformance.pvc.replay import CAPTURES
from tests.unit.web.pvc.http import PvcBrowser
from tests.unit.web.test_api import CREATION
from twisted_rapi.plan.pvc.metrics import Family, text_of

NAME = "web1.example.com"


def recorded(name: str) -> str:
    """A recorded answer of 1.0."""
    for line in (CAPTURES / "v1.jsonl").read_text(encoding="utf-8").splitlines():
        found = json.loads(line)
        if found.get("name") == name:
            return str(found["response"]["body"])
    raise LookupError(name)


def shapes(text: str) -> set[str]:
    """The names of figures with those of their labels, and what is told of each name."""
    found = {line for line in text.splitlines() if line.startswith("#")}
    for line in text.splitlines():
        if not line.startswith("#"):
            name, _, labels = line.rpartition(" ")[0].partition("{")
            found.add(" ".join([name, *re.findall(r"(\w+)=", labels)]))
    return found


class MetricsTests(SynchronousTestCase):
    """Figures for Prometheus."""

    def setUp(self) -> None:
        """A cluster with a machine."""
        self.browser = PvcBrowser(Path(self.mktemp()), dialect="1.0")
        self.addCleanup(self.browser.cluster.stop)
        self.browser.rapi.done("POST", "/2/instances", {**CREATION, "tags": ["prod"]})

    def shown(self, path: str) -> str:
        """What is shown."""
        found = self.browser.ask("GET", path)
        self.assertEqual((found.status, found.headers["content-type"]), (200, "text/plain; charset=utf-8"))
        return found.body.decode()

    def test_health(self) -> None:
        """It has all that was recorded, in the same form."""
        found = self.shown("/metrics/health")
        self.assertEqual(shapes(found), shapes(recorded("metrics-health")))
        for line in ("pvc_cluster_health 100", 'pvc_vm_states{state="start"} 1', "pvc_nodes 3", "pvc_vms 1"):
            self.assertIn(f"{line}\n", found)

    def test_resources(self) -> None:
        """What there is of nodes and machines has the recorded names."""
        found = self.shown("/metrics/resource")
        known = {one for one in shapes(recorded("metrics-resource")) if not one.startswith("#")}
        mine = {one for one in shapes(found) if not one.startswith("#")}
        self.assertEqual(mine - known, set())
        self.assertGreater(len(mine), 25)
        for line in (
            'pvc_node_host_cpus{node="node1.example.com"} 16',
            f'pvc_vm_tags{{vm="{NAME}", tag="prod"}} 1',
            f'pvc_vm_state{{vm="{NAME}", state="start"}} 0',
            f'pvc_vm_active_node{{vm="{NAME}", node="node1.example.com"}} 1',
        ):
            self.assertIn(f"{line}\n", found)
        self.assertEqual(self.shown("/metrics"), self.shown("/metrics/health") + found)

    def test_rights(self) -> None:
        """They need a token."""
        browser = PvcBrowser(Path(self.mktemp()), authentication=True)
        self.addCleanup(browser.cluster.stop)
        self.assertEqual(browser.ask("GET", "/metrics").status, 401)

    def test_escaped(self) -> None:
        """No text of a label ends it."""
        text = text_of([Family("a", "b", [({"c": 'x"} 1\n\\'}, 2)])])
        self.assertEqual(text, '# HELP a PVC b\n# TYPE a gauge\na{c="x\\"} 1\\n\\\\"} 2\n')
