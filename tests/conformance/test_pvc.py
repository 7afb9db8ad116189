"""PVC's API answers what real servers answered, but for what is listed in docs/compatibility.rst."""

import re
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.conformance.pvc.deliberate import DIFFERENCES
from tests.conformance.pvc.replay import FILES, Replay

LISTED = Path(__file__).parents[2] / "docs" / "compatibility.rst"


class PvcConformanceTests(SynchronousTestCase):
    """The recordings of three versions, asked again."""

    def test_recordings(self) -> None:
        """No answer differs without a reason, and every reason is needed; prints how many were asked."""
        replay = Replay(Path(self.mktemp()))
        for file in FILES:
            replay.play(file)
        print(f"\nPVC: {len(replay.verdicts)} asked, {replay.unserved} have no endpoint")
        different = [
            f"{v.capture.file} {v.capture.name}: {'; '.join(v.differences)}"
            for v in replay.verdicts
            if v.differences
        ]
        self.assertEqual(different, [])
        unused = {d.reason for d in DIFFERENCES} - {v.reason for v in replay.verdicts}
        self.assertEqual(unused, set())

    def test_reasons(self) -> None:
        """Every reason is listed for those who use the API."""
        listed = re.sub(r"\s+", " ", LISTED.read_text(encoding="utf-8"))
        for difference in DIFFERENCES:
            self.assertIn(difference.reason, listed)
