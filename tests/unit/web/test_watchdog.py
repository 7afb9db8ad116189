"""The resource of the watchdog."""

from typing import Any

from tests.unit.web.test_groups import ObjectCase
from twisted_rapi.model.seen import DomainSeen
from twisted_rapi.testing.cluster import NODES


class WatchdogTests(ObjectCase):
    """``/2/watchdog``."""

    def test_shown(self) -> None:
        """What is down, what is unknown, and how it acts."""
        seen = DomainSeen(name="x", uuid="y", hypervisor="fake", state="running")
        body = {
            "__version__": 1,
            "mode": "create",
            "instance_name": "web1.example.com",
            "disk_template": "diskless",
            "disks": [],
            "nics": [],
            "os_type": "noop+default",
            "pnode": "node1.example.com",
        }
        self.well("POST", "/2/instances", body)
        nodes = self.browser.cluster.nodes
        nodes.nodes[NODES[0]].domains.clear()
        nodes.nodes[NODES[2]].domains["x"] = seen
        for node in NODES:
            nodes.changed(node)
        found = self.get("/2/watchdog")
        self.assertEqual((found["enabled"], found["halted"]), (False, "it is switched off"))
        [down] = found["down"]
        self.assertEqual((down["name"], down["left"]), ("web1.example.com", "it is switched off"))
        stranger = {"name": "x", "uuid": "y", "node": "node3.example.com"}
        self.assertEqual(found["unknown"], [{**stranger, "reason": "it belongs to no instance"}])

    def test_paused(self) -> None:
        """It is paused for so many seconds, which the cluster's query shows, too, and goes on."""
        until = self.browser.cluster.now() + 60
        self.assertEqual(self.browser.ask("PUT", "/2/watchdog", {"pause": 60}).json()["paused_until"], until)
        self.assertEqual(self.get("/2/watchdog")["paused_until"], until)
        self.assertEqual(self.browser.ask("PUT", "/2/watchdog", {"pause": 0}).json(), {"paused_until": None})
        self.assertIsNone(self.get("/2/watchdog")["paused_until"])

    def test_refused(self) -> None:
        """What cannot be meant is refused; who may not write cannot ask."""
        wrong: tuple[Any, ...] = (
            *({}, {"pause": "1"}, {"pause": -1}, {"pause": True}, {"pause": 1e12}),
            *([], {"x": 1}),
        )
        for body in wrong:
            self.assertEqual(self.browser.ask("PUT", "/2/watchdog", body).status, 400, body)
        self.forbidden(("PUT", "/2/watchdog"))
