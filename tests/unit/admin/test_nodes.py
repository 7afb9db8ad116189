"""Tests of `twisted_rapi.admin.nodes`."""

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from twisted_rapi.admin.asking import Asked
from twisted_rapi.admin.command import run
from twisted_rapi.admin.nodes import confirm_dead, told

NODE = "node2.example.com"
WELL: dict[str, Any] = {
    "name": NODE,
    "fate": None,
    "since": None,
    "proof": None,
    "waits": None,
    "tries": 0,
    "attempts": [],
    "answers": True,
    "offline": False,
    "instances": [],
}
FENCING = {
    **WELL,
    "fate": "fencing",
    "since": 1_600_000_000.0,
    "answers": False,
    "waits": "1 of 3 nodes answer: the master may be cut off itself",
    "tries": 12,
    "attempts": [
        {"at": 1_600_000_000.0, "by": "node1.example.com", "error": "no answer"},
        {"at": 1_600_000_060.0, "by": "node3.example.com", "error": None},
    ],
    "instances": [{"name": "web", "stays": None}, {"name": "db", "stays": "its policy is to stay"}],
}


class ToldTests(SynchronousTestCase):
    """What is shown of a fate."""

    def test_well(self) -> None:
        """One line of a node that is well or offline."""
        self.assertEqual(list(told(WELL)), [f"{NODE} is well."])
        self.assertEqual(list(told({**WELL, "offline": True})), [f"{NODE} is marked offline."])

    def test_fencing(self) -> None:
        """What keeps it from being switched off, who has tried, and what becomes of instances."""
        lines = "\n".join(told(FENCING))
        for part in (
            f"{NODE} is fencing since ",
            "It does not answer.",
            "not switched off now: 1 of 3 nodes answer",
            "tried 12 times",
            "node1.example.com: no answer",
            "node3.example.com: did not fail",
            "web starts elsewhere",
            "db stays: its policy is to stay",
        ):
            self.assertIn(part, lines)


class ConfirmTests(SynchronousTestCase):
    """``node confirm-dead``."""

    def setUp(self) -> None:
        self.asked: list[Asked] = []
        self.said: list[str] = []

    def ask(self, asked: Asked) -> Any:
        self.asked.append(asked)
        return FENCING

    def confirm(self, sure: bool) -> int:
        questions: list[str] = []

        def answer(question: str) -> bool:
            questions.append(question)
            return sure

        status = confirm_dead(NODE, self.ask, answer, self.said.append)
        self.assertEqual(questions, [f"Is {NODE} off, and does it stay so?"])
        return status

    def test_sure(self) -> None:
        """The word is given once somebody is sure, who was told what it does."""
        self.assertEqual(self.confirm(True), 0)
        path = f"/2/nodes/{NODE}/fate"
        self.assertEqual(self.asked, [Asked("GET", path), Asked("PUT", path, {"dead": True})])
        self.assertIn("These are started on other nodes: web.", self.said)

    def test_not_sure(self) -> None:
        """Nothing is done otherwise."""
        self.assertEqual(self.confirm(False), 1)
        self.assertEqual([each.method for each in self.asked], ["GET"])

    def test_user(self) -> None:
        """The word is somebody's: without a user nobody is asked."""
        self.assertEqual(run(["node", "confirm-dead", NODE], self.said.append), 1)
        self.assertIn("--user", self.said[0])
        self.assertEqual(run(["node"], self.said.append), 2)
