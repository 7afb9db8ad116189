"""Tests of `twisted_rapi.observe.log`."""

import io
import json

from twisted.logger import Logger, LogLevel
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from twisted_rapi.observe import job_id, request_id
from twisted_rapi.observe.log import JSONLines, as_document, observer


class LogTests(SynchronousTestCase):
    """Events are written as JSON, a line each."""

    def setUp(self) -> None:
        self.out = io.StringIO()
        self.log = Logger("here", observer=observer(self.out))

    def lines(self) -> list[dict[str, object]]:
        return [json.loads(line) for line in self.out.getvalue().splitlines()]

    def test_fields(self) -> None:
        """Text, level, origin and the event's own fields are there."""
        self.log.warn("node {node} is down", node="n1", odd={1})
        [line] = self.lines()
        self.assertEqual(
            (line["text"], line["level"], line["from"], line["node"], line["odd"]),
            ("node n1 is down", "warn", "here", "n1", "{1}"),
        )
        self.assertNotIn("request", line)

    def test_context(self) -> None:
        """The request and the job an event belongs to are named."""
        tokens = request_id.set("r7"), job_id.set(12)
        self.addCleanup(request_id.reset, tokens[0])
        self.addCleanup(job_id.reset, tokens[1])
        self.log.info("x")
        [line] = self.lines()
        self.assertEqual((line["request"], line["job"]), ("r7", 12))

    def test_failure(self) -> None:
        """A failure's traceback is there."""
        try:
            raise ValueError("odd")
        except ValueError:
            self.log.failure("bad")
        self.assertIn("ValueError: odd", str(self.lines()[0]["traceback"]))

    def test_level(self) -> None:
        """What is below the level is not written."""
        self.log.debug("fine")
        self.assertEqual(self.lines(), [])

    def test_old_style(self) -> None:
        """An event of Twisted's old logging has its text once."""
        document = as_document({"message": ("m",), "log_text": "m", "log_level": LogLevel.info, "isError": 0})
        self.assertEqual((document["text"], "message" in document), ("m", False))

    def test_full_disk(self) -> None:
        """A log that cannot be written ends nothing."""

        class Full(io.StringIO):
            def write(self, text: str) -> int:
                raise OSError(28, "No space left on device")

        JSONLines(Full())({"log_format": "x", "log_failure": Failure(ValueError())})
