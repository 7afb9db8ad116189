"""
Runs all suites with trial, one process a kind, and says at the end how many tests passed.

``python -m tests.run [SUITE…]``; without arguments all of them.  What the suites of `MEASURED` run is
measured on the way; when all of those ran, less than pyproject's ``fail_under`` is a failure.
"""

import re
import subprocess
import sys
import time

SUITES = ("unit", "contract", "functional", "acceptance", "conformance")
MEASURED = ("unit", "contract", "functional")
_COUNTS = re.compile(r"(failures|errors|skips|successes|expectedFailures|unexpectedSuccesses)=(\d+)")


def data_file(suite: str) -> str:
    """Where what a suite ran is noted."""
    return f".coverage.{suite}"


def command(suite: str) -> list[str]:
    """What runs a suite."""
    trial = ["twisted.trial", f"--temp-directory=_trial_temp_{suite}", f"tests.{suite}"]
    measured = ["coverage", "run", f"--data-file={data_file(suite)}", "-m"] if suite in MEASURED else []
    return [sys.executable, "-m", *measured, *trial]


def run(suite: str) -> dict[str, int]:
    """The counts of one suite."""
    begun = time.monotonic()
    process = subprocess.Popen(command(suite), stdout=subprocess.PIPE, text=True)
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


def enough_covered() -> bool:
    """Whether the measured suites together ran as much as they have to; tells what they did not."""
    coverage = [sys.executable, "-m", "coverage"]
    files = [data_file(suite) for suite in MEASURED]
    subprocess.run([*coverage, "combine", "--quiet", *files], check=True)
    return subprocess.run([*coverage, "report"], check=False).returncode == 0


def main(suites: list[str]) -> int:
    """Run them, and print the closing line."""
    total: dict[str, int] = {}
    for suite in suites or SUITES:
        for name, count in run(suite).items():
            total[name] = total.get(name, 0) + count
    if set(MEASURED) <= set(suites or SUITES) and not enough_covered():
        print("Too little of the program was run by the tests: see the report above")
        total["failures"] = total.get("failures", 0) + 1
    failed = sum(total.get(name, 0) for name in ("failures", "errors", "unexpectedSuccesses"))
    passed = total.get("successes", 0) + total.get("expectedFailures", 0)
    print(f"{passed} passed, {failed} failed, {total.get('skips', 0)} skipped")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
