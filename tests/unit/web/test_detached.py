"""Resources of detached disks, over the whole cluster in memory."""

from typing import Any

from tests.unit.web.test_disks import WEB1, DiskTestCase

WEB2 = "/2/instances/web2.example.com"
MODIFY = f"{WEB1}/modify"


class DetachedTests(DiskTestCase):
    """From one instance to another, and away."""

    def detach(self, template: str = "file", **more: Any) -> str:
        """An instance at rest whose second disk was detached; the disk's uuid."""
        disks = [{"size": 64}, {"size": 32, "name": "data"}]
        self.create(template, start=False, **{"disks": disks, **more})
        result = self.done("PUT", MODIFY, {"disks": [["detach", "data", {}]]})
        self.assertEqual(result, [["disk/1", "detach"]])
        [disk] = self.browser.ask("GET", "/2/disks").json()
        self.assertEqual(disk["uri"], f"/2/disks/{disk['uuid']}")
        return str(disk["uuid"])

    def test_shown(self) -> None:
        """All about a detached disk, alone and in bulk; the instance has it no longer."""
        uuid = self.detach("drbd", snode="node2.example.com")
        shown = self.browser.ask("GET", f"/2/disks/{uuid}").json()
        self.assertEqual(self.browser.ask("GET", "/2/disks?bulk=1").json(), [shown])
        self.assertEqual(
            {name: shown[name] for name in ("uuid", "name", "size", "mode", "disk_template", "instance")},
            {
                "uuid": uuid,
                "name": "data",
                "size": 32,
                "mode": "rw",
                "disk_template": "drbd",
                "instance": "web1.example.com",
            },
        )
        self.assertEqual(shown["nodes"], ["node1.example.com", "node2.example.com"])
        self.assertEqual(len(shown["logical_id"]), 5, "the secret is nobody's business")
        self.assertEqual(self.browser.ask("GET", WEB1).json()["disk.sizes"], [64])
        self.assertEqual(self.browser.ask("GET", "/2/disks/nosuch").status, 404)
        self.assertEqual(self.browser.ask("POST", "/2/disks", {}).status, 501)

    def test_attached(self) -> None:
        """Another instance gets it, and shows it; an unknown one is refused."""
        uuid = self.detach()
        self.create("file", instance_name="web2.example.com", start=False)
        body = {"disks": [["attach", 0, {"uuid": uuid}]]}
        result = self.done("PUT", f"{WEB2}/modify", body)
        self.assertEqual(result, [["disk/0", "attach:size=32,mode=rw"]])
        shown = self.browser.ask("GET", WEB2).json()
        self.assertEqual((shown["disk.uuids"][0], shown["disk.names"][0]), (uuid, "data"))
        self.assertEqual(self.browser.ask("GET", "/2/disks").json(), [])
        error = self.error("PUT", MODIFY, body)
        text = f"Disk {uuid} is already attached to instance web2.example.com"
        self.assertEqual(error, ["OpPrereqError", [text, "wrong_state"]])

    def test_removed(self) -> None:
        """After its instance it can be removed; a dry run leaves it."""
        uuid = self.detach()
        self.done("DELETE", WEB1)
        self.done("DELETE", f"/2/disks/{uuid}?dry-run=1")
        files = [file for node in self.browser.cluster.nodes.nodes.values() for file in node.volumes]
        self.assertEqual(len(files), 1)
        self.assertIsNone(self.done("DELETE", f"/2/disks/{uuid}"))
        self.assertEqual(self.browser.ask("GET", "/2/disks").json(), [])
        self.assertFalse(any(node.volumes for node in self.browser.cluster.nodes.nodes.values()))
        unknown = ["OpPrereqError", [f"No detached disk was found with this uuid: {uuid}", "unknown_entity"]]
        self.assertEqual(self.error("DELETE", f"/2/disks/{uuid}"), unknown)
