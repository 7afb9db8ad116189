"""``python -m tests.conformance.pvc [FILE…]``: every difference with its request."""

import shutil
import sys
import tempfile
from pathlib import Path

from tests.conformance.pvc.replay import FILES, Replay


def main(wanted: list[str]) -> int:
    """Play them, or those that are wanted."""
    folder = Path(tempfile.mkdtemp(prefix="pvc"))
    replay = Replay(folder)
    try:
        for file in wanted or FILES:
            replay.play(file)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    for verdict in replay.verdicts:
        if verdict.differences:
            capture = verdict.capture
            print(f"\n{capture.file} {capture.name}: {capture.method} {capture.uri()} {capture.form}")
            for line in verdict.differences:
                print(f"  - {line}")
    different = sum(1 for verdict in replay.verdicts if verdict.differences)
    print(f"{len(replay.verdicts)} asked, {different} differ, {replay.unserved} have no endpoint")
    return 1 if different else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
