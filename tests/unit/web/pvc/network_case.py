"""What tests of PVC's endpoints of virtual networks have in common."""

from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.unit.web.http import Answer
from tests.unit.web.pvc.http import PvcBrowser
from twisted_rapi.model.steps import MakeNetworks
from twisted_rapi.testing.cluster import NODES

SEED, MIDDLE, NEWEST = "pvc/0.5", "pvc/0.6", "pvc/1.0"
ALL = (SEED, MIDDLE, NEWEST)
FRONT = {
    "vni": "100",
    "description": "front",
    "nettype": "managed",
    "ip4_network": "10.100.0.0/24",
    "ip4_gateway": "10.100.0.1",
    "dhcp4": "true",
    "dhcp4_start": "10.100.0.100",
    "dhcp4_end": "10.100.0.199",
}
MAC = "52:54:00:00:0a:0a"


class NetworkCase(SynchronousTestCase):
    """Has a cluster whose API anyone may use."""

    def setUp(self) -> None:
        """The API."""
        self.browser = PvcBrowser(Path(self.mktemp()))
        self.cluster = self.browser.cluster
        self.addCleanup(self.cluster.stop)

    def ask(self, method: str, path: str, agent: str = NEWEST, **form: str) -> Answer:
        """An answer to a client of a version."""
        return self.browser.ask(method, f"/network{path}", form=form, User_Agent=agent)

    def done(self, method: str, path: str, text: str, agent: str = NEWEST, **form: str) -> None:
        """It is done, and such a text is told."""
        found = self.ask(method, path, agent, **form)
        self.assertEqual((found.status, found.json()), (200, {"message": text}))

    def refused(self, method: str, path: str, text: str, agent: str = NEWEST, **form: str) -> None:
        """It is refused with words like these, and nothing is stored."""
        self.refused_with(400, method, path, text, agent, **form)

    def refused_with(
        self, status: int, method: str, path: str, text: str, agent: str = NEWEST, **form: str
    ) -> None:
        """The same, with another status."""
        before = self.cluster.snapshot.revision
        found = self.ask(method, path, agent, **form)
        self.assertEqual(found.status, status, found.body)
        self.assertIn(text, str(found.json()["message"]))
        self.assertEqual(self.cluster.snapshot.revision, before)

    def front(self, **more: str) -> None:
        """Have a network."""
        self.done("POST", "", "Network 'front' added successfully!", **{**FRONT, **more})

    def shown(self, path: str = "/100", agent: str = NEWEST) -> Any:
        """What is there, one of a list."""
        return self.ask("GET", path, agent).json()[0]

    def told(self) -> MakeNetworks:
        """What the master's node was told of networks last."""
        done = self.cluster.nodes.nodes[NODES[0]].done
        return [step for step in done if isinstance(step, MakeNetworks)][-1]
