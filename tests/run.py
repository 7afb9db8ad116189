"""
Runs all suites with trial, one process a kind, and says at the end how many tests passed.

``python -m tests.run [SUITE…]``; without arguments all of them.
"""

import re
import subprocess
import sys
import time

SUITES = ("unit", "contract", "functional", "acceptance")
_COUNTS = re.compile(r"(failures|errors|skips|successes|expectedFailures|unexpectedSuccesses)=(\d+)")


def run(suite: str) -> dict[str, int]:
    """The counts of one suite."""
    begun = time.monotonic()
    command = [
        sys.executable,
        "-m",
        "twisted.trial",
        f"--temp-directory=_trial_temp_{suite}",
        f"tests.{suite}",
    ]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    last = ""
    for line in process.stdout:
        sys.stdout.write(line)
        last = line if line.startswith(("PASSED", "FAILED")) else last
    status = process.wait()
    counts = {name: int(count) for name, count in _COUNTS.findall(last)}
    if status and not counts.get("failures") and not counts.get("errors"):
        counts["errors"] = 1
    if not counts.get("successes"):
        counts["errors"] = counts.get("errors", 0) + 1
    print(f"{suite}: {time.monotonic() - begun:.0f} s\n", flush=True)
    return counts


def main(suites: list[str]) -> int:
    """Run them, and print the closing line."""
    total: dict[str, int] = {}
    for suite in suites or SUITES:
        for name, count in run(suite).items():
            total[name] = total.get(name, 0) + count
    failed = sum(total.get(name, 0) for name in ("failures", "errors", "unexpectedSuccesses"))
    passed = total.get("successes", 0) + total.get("expectedFailures", 0)
    print(f"{passed} passed, {failed} failed, {total.get('skips', 0)} skipped")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
