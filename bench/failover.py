"""
How long a client is without answers when the master fails: ``python -m bench.failover``, as root.

In a lab (docs/lab.rst), under its load.  In the environment ``RUNS`` says how often each kind is caused
(100), ``KINDS`` which (all), ``KILLS`` how many daemons are killed at random besides (0).  ``FIGURES`` names
a file that keeps what was measured, a line each: who runs this again goes on from there.  All that happened
is judged by the lab's checker.
"""

import os
import random
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import attrs
import msgspec

from bench.client import percentile
from twisted_rapi.testing.lab.campaign import Campaign
from twisted_rapi.testing.lab.checker import complaints
from twisted_rapi.testing.lab.history import History, failures, outage
from twisted_rapi.testing.lab.lab import Lab
from twisted_rapi.testing.lab.layout import NAME, Layout
from twisted_rapi.testing.lab.probe import missing
from twisted_rapi.testing.lab.timeline import in_order, timeline, typical
from twisted_rapi.testing.processes import await_true

SETTLE = 1.5
"""Seconds from then to the next fault: leases last one longer for who has just had etcd's leader moved."""

SEED = 20261121


@attrs.frozen
class Kind:
    """
    A kind of failover.

    :ivar goal: seconds without answers.
    """

    fault: str
    about: str
    goal: float


KINDS = (
    Kind("switch-master", "a planned switch (rapi-admin failover)", 1.0),
    Kind("stop-master", "the master is stopped by its service manager", 1.0),
    Kind("kill-master", "kill -9 of the master", 3.0),
    Kind("freeze-master", "SIGSTOP of the master", 5.0),
    Kind("lose-master", "the master's machine is lost", 5.0),
    Kind("cut-master", "the master's machine is cut off", 5.0),
)


def say(text: str) -> None:
    """Tell a line."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def await_accepted(campaign: Campaign, since: float) -> None:
    """Wait until a job was acknowledged that was asked for since then."""

    def known() -> bool:
        return any(a.mark and a.job is not None and a.at >= since for a in campaign.recent(since))

    await_true("a job is accepted", known, 120)


class Failover(msgspec.Struct, frozen=True):
    """
    One that was caused.

    :ivar fault: its kind.
    :ivar begun: when, in seconds that the machine has run.
    :ivar silent: the longest stretch without any answer, in seconds; `late`: without a job being accepted.
    :ivar failed: how many requests that can be repeated had to be.
    """

    fault: str
    begun: float
    silent: float
    late: float
    failed: int


@attrs.frozen
class Figures:
    """The failovers that were measured, in a file if there is one."""

    file: Path | None
    _found: list[Failover] = attrs.field(factory=list, init=False)

    def __attrs_post_init__(self) -> None:
        lines = self.file.read_bytes().splitlines() if self.file and self.file.exists() else []
        self._found.extend(msgspec.json.decode(line, type=Failover) for line in lines)

    def of(self, kind: Kind) -> list[Failover]:
        """Those of a kind."""
        return [each for each in self._found if each.fault == kind.fault]

    def add(self, failover: Failover) -> None:
        """Keep one more."""
        self._found.append(failover)
        if self.file:
            with self.file.open("ab") as out:
                out.write(msgspec.json.encode(failover) + b"\n")


def settled(lab: Lab) -> bool:
    """Whether all is as it was: who could follow is there, and etcd is whole and led from elsewhere."""
    shown = lab.read("/2/master")
    if shown is None or not all(each["present"] for each in shown["candidates"]):
        return False
    return lab.etcd_follows() and lab.etcd_leader().name != shown["name"]


def once(campaign: Campaign, kind: Kind) -> Failover:
    """Cause one and mend it."""
    _, begun = campaign.cause(kind.fault)
    await_accepted(campaign, time.monotonic())
    # The next answers tell that those of before the fault were not the last.
    time.sleep(0.5)
    seen, now = campaign.recent(begun), time.monotonic()
    silent, late = outage(seen, begun, now), outage([a for a in seen if a.mark], begun, now)
    failed = len(failures(seen, begun, now))
    campaign.mend()
    campaign.await_jobs(2)
    await_true("all is as it was", lambda: settled(campaign.lab), 60)
    time.sleep(SETTLE)
    return Failover(kind.fault, begun, silent, late, failed)


def told(name: str, seconds: list[float]) -> str:
    """What is said of some times."""
    half, most = percentile(seconds, 0.5), percentile(seconds, 0.99)
    return f"{name} p50 {half:.2f} s, p99 {most:.2f} s, longest {max(seconds):.2f} s"


def measure(campaign: Campaign, kind: Kind, runs: int, figures: Figures) -> list[Failover]:
    """Cause it until there are so many, say what was seen, and answer those of this lab."""
    new = []
    for _ in range(runs - len(figures.of(kind))):
        new.append(once(campaign, kind))
        figures.add(new[-1])
    found = figures.of(kind)
    silent, late = [each.silent for each in found], [each.late for each in found]
    held = "held" if percentile(silent, 0.99) <= kind.goal else "NOT HELD"
    say(f"{kind.about}, {len(found)} times (goal {kind.goal:g} s: {held})")
    say(f"    {told('without answers:', silent)}")
    say(f"    {told('without a job accepted:', late)}")
    say(f"    requests that had to be repeated: {sum(each.failed for each in found)}")
    return new


def say_when(history: History, caused: Mapping[str, Sequence[Failover]]) -> None:
    """Tell the timeline of each kind."""
    ordered = in_order(history.events)
    for about, failovers in caused.items():
        if not failovers:
            continue
        say(f"{about}: median of what happened when")
        times = [timeline(ordered, each.begun) for each in failovers]
        for moment, seconds in typical(times).items():
            say(f"    {seconds:6.2f} s  {moment}")


def chosen() -> list[Kind]:
    """The kinds that are wanted."""
    names = os.environ.get("KINDS", "").split()
    return [kind for kind in KINDS if not names or kind.fault in names]


def main() -> int:
    """Measure each kind, judge, and take the lab down."""
    why = missing()
    if why is not None:
        say(why)
        return 1
    runs, kills = int(os.environ.get("RUNS", "100")), int(os.environ.get("KILLS", "0"))
    figures = Figures(Path(os.environ["FIGURES"]) if os.environ.get("FIGURES") else None)
    lab = Lab(Layout(name=f"{NAME}{os.getpid()}"))
    lab.set_up()
    try:
        lab.start()
        campaign = Campaign(lab)
        campaign.begin()
        caused = {kind.about: measure(campaign, kind, runs, figures) for kind in (chosen() if runs else ())}
        if kills:
            campaign.kill_at_random(kills, random.Random(SEED))
            say(f"{kills} daemons were killed at random")
        history = campaign.end()
        say_when(history, caused)
        wrong = complaints(history)
        jobs = len(lab.read("/2/jobs"))
    finally:
        lab.remove()
    say(
        "\n".join(wrong)
        if wrong
        else f"All that has to hold has held; of {jobs} jobs none is lost or doubled."
    )
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
