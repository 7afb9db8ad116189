"""
Runs lint and all suites with trial, several processes at once, and says at the end how many tests passed.

``python -m tests.run [SUITE…]``; without arguments everything.  With ``--coverage`` the suites of `MEASURED`
only, and less of the program run by them than pyproject's ``fail_under`` is a failure.

Note [Parts].  Most of the time a suite of real processes waits: it is run in parts, one process a file, more
of them than there are processors; what takes longest begins first.  A part's output is shown when it ends.

Note [Labs].  In a lab masters are replaced that are silent for seconds; there is one lab at a time, and it
comes before all else.
"""

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

SUITES = ("acceptance", "conformance", "contract", "functional", "unit")
MEASURED = ("unit", "contract", "functional")
LINT = "lint"
FIRST = (
    "tests.acceptance.test_commit_boundaries",
    "tests.acceptance.test_schemathesis",
    "tests.unit.plan",
    "tests.unit.simulation",
)
"""What takes longest."""
LABS = ("tests.acceptance.test_lab_", "tests.functional.test_lab")
AT_ONCE = (os.cpu_count() or 1) + 2
_COUNTS = re.compile(r"(failures|errors|skips|successes|expectedFailures|unexpectedSuccesses)=(\d+)")


def parts(suite: str) -> Iterator[str]:
    """The modules and packages of a suite that are run by a process each."""
    folder = Path(__file__).parent / suite
    if suite in ("contract", "conformance"):
        yield f"tests.{suite}"
        return
    packages = sorted(path.parent.name for path in folder.glob("*/__init__.py"))
    files = sorted(path.stem for path in folder.glob("test_*.py"))
    yield from (f"tests.{suite}.{name}" for name in (*packages, *files))


def data_file(part: str) -> str:
    """Where what a part ran is noted."""
    return f".coverage.{part}"


def command(part: str, measured: bool) -> list[str]:
    """What runs a part."""
    if part == LINT:
        return ["nice", "-n", "10", "make", "--no-print-directory", LINT]
    trial = ["twisted.trial", f"--temp-directory=_trial_temp_{part}", part]
    coverage = ["coverage", "run", f"--data-file={data_file(part)}", "-m"]
    polite = [] if part.startswith(LABS) else ["nice", "-n", "10"]
    return [*polite, sys.executable, "-m", *(coverage if measured else []), *trial]


def lanes(every: list[str]) -> list[list[str]]:
    """What is run one after the other (Note [Labs]); the longest lanes first."""
    labs = [part for part in every if part.startswith(LABS)]
    first = [part for part in (LINT, *FIRST) if part in every]
    others = [part for part in every if part not in (*labs, *first)]
    return [*([labs] if labs else []), *([part] for part in (*first, *others))]


def run_all(lane: list[str], measured: bool) -> list[tuple[str, float, str, dict[str, int]]]:
    """What `run` tells of each of them."""
    return [run(part, measured) for part in lane]


def run(part: str, measured: bool) -> tuple[str, float, str, dict[str, int]]:
    """The part, how many seconds it took, its output, and its counts."""
    begun = time.monotonic()
    ended = subprocess.run(
        command(part, measured), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    if part == LINT:
        return part, time.monotonic() - begun, ended.stdout, {"failures": 1 if ended.returncode else 0}
    last = ""
    for line in ended.stdout.splitlines():
        last = line if line.startswith(("PASSED", "FAILED")) else last
    counts = {name: int(count) for name, count in _COUNTS.findall(last)}
    if ended.returncode and not counts.get("failures") and not counts.get("errors"):
        counts["errors"] = 1
    if not counts:
        counts["errors"] = 1
    return part, time.monotonic() - begun, ended.stdout, counts


def enough_covered(measured: list[str]) -> bool:
    """Whether the measured parts together ran as much as they have to; tells what they did not."""
    coverage = [sys.executable, "-m", "coverage"]
    subprocess.run([*coverage, "combine", "--quiet", *map(data_file, measured)], check=True)
    return subprocess.run([*coverage, "report"], check=False).returncode == 0


def main(arguments: list[str]) -> int:
    """Run them, and print the closing line."""
    total: dict[str, int] = {}
    measured = arguments == ["--coverage"]
    wanted = MEASURED if measured else arguments or SUITES
    every = [*([] if arguments else [LINT]), *(part for suite in wanted for part in parts(suite))]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for future in as_completed([pool.submit(run_all, lane, measured) for lane in lanes(every)]):
            for part, seconds, output, counts in future.result():
                print(f"{output}\n{part}: {seconds:.0f} s\n", flush=True)
                for name, count in counts.items():
                    total[name] = total.get(name, 0) + count
    if measured and not enough_covered(every):
        print("Too little of the program was run by the tests: see the report above")
        total["failures"] = total.get("failures", 0) + 1
    failed = sum(total.get(name, 0) for name in ("failures", "errors", "unexpectedSuccesses"))
    passed = total.get("successes", 0) + total.get("expectedFailures", 0)
    print(f"{passed} passed, {failed} failed, {total.get('skips', 0)} skipped")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
