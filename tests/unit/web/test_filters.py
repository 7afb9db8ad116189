"""The resources of the rules about jobs."""

from typing import Any

from tests.unit.web.test_groups import ObjectCase

UUID = "11111111-2222-3333-4444-555555555555"
SETS_TAGS = ["opcode", ["=", "OP_ID", "OP_TAGS_SET"]]


class FilterTests(ObjectCase):
    """Rules over HTTP."""

    def no(self, method: str, path: str, body: Any, status: int = 400) -> str:
        """The message of a refusal."""
        answer = self.browser.ask(method, path, body)
        self.assertEqual(answer.status, status, answer.body)
        message: str = answer.json()["message"]
        return message

    def test_life(self) -> None:
        """A rule is added, read, replaced and deleted."""
        self.assertEqual(self.get("/2/filters"), [])
        body = {"priority": 5, "predicates": [SETS_TAGS], "action": "PAUSE", "reason": [["me", "why", 7]]}
        uuid = self.browser.ask("POST", "/2/filters", body).json()
        self.assertEqual(self.get("/2/filters"), [{"uuid": uuid, "uri": f"/2/filters/{uuid}"}])
        found = self.get(f"/2/filters/{uuid}")
        self.assertEqual(self.get("/2/filters?bulk=1"), [found])
        self.assertEqual(
            list(found), ["watermark", "priority", "predicates", "action", "reason_trail", "uuid"]
        )
        self.assertEqual(found["predicates"], [["opcode", ["==", "OP_ID", "OP_TAGS_SET"]]])
        self.assertEqual(found["reason_trail"][0], ["me", "why", 7])
        self.assertEqual(self.browser.ask("PUT", f"/2/filters/{uuid}", {"priority": 1}).json(), uuid)
        found = self.get(f"/2/filters/{uuid}")
        self.assertEqual((found["priority"], found["predicates"], found["action"]), (1, [], "CONTINUE"))
        self.assertIsNone(self.browser.ask("DELETE", f"/2/filters/{uuid}", {}).json())
        self.assertEqual(self.browser.ask("GET", f"/2/filters/{uuid}").status, 404)

    def test_put_makes(self) -> None:
        """A rule may be given its UUID; the list is in the order the rules are asked."""
        self.browser.ask("PUT", f"/2/filters/{UUID}", {"priority": 3})
        first = self.browser.ask("POST", "/2/filters", {}).json()
        self.assertEqual([item["uuid"] for item in self.get("/2/filters")], [first, UUID])

    def test_job(self) -> None:
        """A rule that rejects cancels what is submitted; one that pauses keeps it until it is deleted."""
        uuid = self.browser.ask("POST", "/2/filters", {"predicates": [SETS_TAGS], "action": "REJECT"}).json()
        self.assertEqual(self.browser.done("PUT", "/2/tags?tag=a")["status"], "canceled")
        self.browser.ask("PUT", f"/2/filters/{uuid}", {"predicates": [SETS_TAGS], "action": "PAUSE"})
        job = self.browser.ask("PUT", "/2/tags?tag=a").json()
        self.assertEqual(self.get(f"/2/jobs/{job}")["status"], "queued")
        self.browser.ask("DELETE", f"/2/filters/{uuid}")
        self.assertEqual(self.get(f"/2/jobs/{job}")["status"], "success")

    def test_refused(self) -> None:
        """What cannot be meant is refused and changes nothing."""
        wrong: tuple[Any, ...] = (None, [], "x")
        for body in wrong:
            self.assertEqual(self.no("POST", "/2/filters", body), "Invalid body contents, not a dictionary")
        for key, value, wanted in (
            *(("priority", "x", "int"), ("priority", True, "int"), ("priority", 1.5, "int")),
            *(("predicates", "x", "list"), ("reason", {}, "list")),
        ):
            message = self.no("POST", "/2/filters", {key: value})
            self.assertIn(f"but &#x27;{wanted}&#x27; is expected", message)
        wrong = (
            *({"priority": -1}, {"action": "FOO"}, {"action": None}, {"predicates": [["foo", 1]]}),
            *({"reason": [["a"]]}, {"watermark": 1}, {"priority": 2**60}),
        )
        for body in wrong:
            self.no("POST", "/2/filters", body)
        self.assertEqual(self.get("/2/filters"), [])

    def test_names(self) -> None:
        """What is no UUID cannot be put; what is not there cannot be deleted or read."""
        self.assertEqual(self.no("PUT", "/2/filters/not-a-uuid", {}), "Unable to parse UUID")
        self.no("DELETE", f"/2/filters/{UUID}", None, 404)
        self.no("GET", f"/2/filters/{UUID}", None, 404)

    def test_access(self) -> None:
        """Rules are changed only with the right to write."""
        for method, path in (
            ("POST", "/2/filters"),
            ("PUT", f"/2/filters/{UUID}"),
            ("DELETE", f"/2/filters/{UUID}"),
        ):
            self.assertEqual(self.browser.ask(method, path, {}, user="viewer").status, 403)
            self.assertEqual(self.browser.ask(method, path, {}, user=None).status, 401)
