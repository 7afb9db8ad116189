"""``python -m tests.conformance [RECORDING…]``: the table, and every difference with its request."""

import shutil
import sys
import tempfile
from pathlib import Path

from tests.conformance.captures import recordings
from tests.conformance.replay import Replay, table
from tests.conformance.world import World


def main(wanted: list[str]) -> int:
    """Play them all, or up to the last one that is wanted; show differences of those that are."""
    directory = Path(tempfile.mkdtemp(prefix="conformance"))
    world = World(directory)
    try:
        world.set_up()
        replay = Replay(world)
        for recording in recordings():
            replay.play(recording)
            if wanted and recording == max(wanted):
                break
    finally:
        world.tear_down()
        shutil.rmtree(directory, ignore_errors=True)
    for verdict in replay.verdicts:
        if verdict.differences and (not wanted or verdict.capture.file in wanted):
            print(f"\n{verdict.capture}\n  body {verdict.capture.body!r:.300}")
            for line in verdict.differences:
                print(f"  - {line}")
    print()
    print(table(replay.verdicts))
    return 1 if any(verdict.differences for verdict in replay.verdicts) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
