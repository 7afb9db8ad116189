"""This cluster answers what a real one answered, but for what is listed in docs/compatibility.rst."""

import re
from pathlib import Path

from twisted.trial.unittest import TestCase

from tests.conformance.captures import recordings
from tests.conformance.deliberate import DIFFERENCES
from tests.conformance.replay import Replay, table
from tests.conformance.world import World

LISTED = Path(__file__).parents[2] / "docs" / "compatibility.rst"


class ConformanceTests(TestCase):
    """The recordings, asked again."""

    timeout = 600

    def test_recordings(self) -> None:
        """No answer differs without a reason; prints the table of resources and methods."""
        world = World(Path(self.mktemp()).absolute())
        self.addCleanup(world.tear_down)
        world.set_up()
        replay = Replay(world)
        for recording in recordings():
            replay.play(recording)
        print("\n" + table(replay.verdicts))
        different = [f"{v.capture}: {'; '.join(v.differences)}" for v in replay.verdicts if v.differences]
        self.assertEqual(different, [])

    def test_reasons(self) -> None:
        """Every reason is listed for those who use the API."""
        listed = re.sub(r"\s+", " ", LISTED.read_text(encoding="utf-8"))
        for difference in DIFFERENCES:
            self.assertIn(difference.reason, listed)
