"""Several creations at once, and evacuation in its older form."""

from tests.unit.web.resource_rows import TWIN
from tests.unit.web.test_groups import ObjectCase

PATH = "/2/nodes/node3.example.com/evacuate"


class AllocationTests(ObjectCase):
    """What allocators are asked for over HTTP."""

    def test_instances(self) -> None:
        """Instances that are none are refused by the name of their type, nothing included."""
        for wrong, kind in (
            (None, "NoneType"),
            (7, "int"),
            ("x", "str"),
            ([None], "NoneType"),
            ([{}, 1], "int"),
            ({"a": 1}, "str"),
        ):
            text = f"Body contents: Type is '{kind}', but 'dict' is expected"
            self.refused(text, "POST", "/2/instances-multi-alloc", {"instances": wrong})
        self.refused(
            "Request is missing required 'instances' field in body", "POST", "/2/instances-multi-alloc"
        )

    def test_older_evacuation(self) -> None:
        """Without a body: job, instance and new secondary node of each; of a dry run no job."""
        for method, path, body in TWIN:
            self.well(method, path, body)
        query = "?remote_node=node1.example.com"
        planned = self.browser.ask("POST", f"{PATH}{query}&dry-run=1").json()
        self.assertEqual(planned, [[None, "twin.example.com", "node1.example.com"]])
        [[job, name, node]] = self.browser.ask("POST", f"{PATH}{query}").json()
        self.assertEqual([name, node], ["twin.example.com", "node1.example.com"])
        for _ in range(100):
            self.browser.cluster.clock.advance(1)
        found = self.get(f"/2/jobs/{job}")
        self.assertEqual(found["status"], "success", found)
        self.assertEqual(self.get("/2/instances/twin")["snodes"], ["node1.example.com"])
        self.assertEqual(self.browser.ask("POST", f"{PATH}?remote_node=nosuch").status, 502)
        both = "Only one of 'iallocator' and 'remote_node' should be passed"
        self.refused(both, "POST", f"{PATH}{query}&iallocator=hail")
