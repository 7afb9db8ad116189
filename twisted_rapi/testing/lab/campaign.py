"""Faults caused under load, everything recorded, and judged at the end."""

import json
import re
import signal
import subprocess
import sys
import time
from bisect import bisect_left
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import attrs

from twisted_rapi.testing.lab.checker import complaints
from twisted_rapi.testing.lab.commands import inside
from twisted_rapi.testing.lab.faults import found
from twisted_rapi.testing.lab.history import (
    FINAL,
    AnyEvent,
    Asked,
    Caused,
    History,
    JobSeen,
    Listed,
    Served,
    Stepped,
    events,
    note,
    read,
)
from twisted_rapi.testing.lab.lab import Lab
from twisted_rapi.testing.lab.layout import Place
from twisted_rapi.testing.lab.load import mark_of
from twisted_rapi.testing.processes import await_true

_PAUSE = 0.1  # seconds
_BETWEEN = (0.2, 2.0)  # seconds between kills
_WEIGHTS = {"rapi": 7, "agent": 2, "etcd": 1}
_SOURCES = ("load", "recorder")


@attrs.define(eq=False)
class Campaign:
    """One run of load and recorder over a lab that runs."""

    lab: Lab
    _running: dict[str, subprocess.Popen[bytes]] = attrs.field(factory=dict)
    _seen: list[Asked] = attrs.field(factory=list)
    _read: int = 0

    def _file(self, source: str) -> Path:
        return self.lab.layout.client.folder / f"{source}.jsonl"

    def clear(self) -> None:
        """Forget what an earlier run over the same lab has seen of clients and faults."""
        for source in (*_SOURCES, "faults"):
            self._file(source).unlink(missing_ok=True)

    def begin(self) -> None:
        """Put the load on, and wait until jobs are done."""
        client = self.lab.layout.client
        for source in _SOURCES:
            told = (str(self.lab.layout.directory), str(self._file(source)))
            command = (
                *inside(client.namespace),
                sys.executable,
                "-m",
                f"twisted_rapi.testing.lab.{source}",
                *told,
            )
            with (client.folder / f"{source}.out").open("ab") as out:
                self._running[source] = subprocess.Popen(
                    command, stdout=out, stderr=out, start_new_session=True
                )
        self.await_jobs(3)

    def seen(self) -> list[Asked]:
        """What the clients have asked so far, in the order of the answers."""
        file = self._file("load")
        if file.exists():
            with file.open("rb") as told:
                told.seek(self._read)
                new = told.read()
            whole = new[: new.rfind(b"\n") + 1]
            self._read += len(whole)
            self._seen += [event for event in events(whole) if isinstance(event, Asked)]
        return self._seen

    def recent(self, since: float) -> list[Asked]:
        """What was answered, or given up, since then, and the one before."""
        seen = self.seen()
        return seen[max(0, bisect_left(seen, since, key=lambda asked: asked.until) - 1) :]

    def await_jobs(self, count: int, seconds: float = 60.0) -> None:
        """
        Wait until so many further jobs have ended for the clients that wait for them.

        :raises TimeoutError: they have not.
        """
        begun = len(self.seen())

        def ended() -> bool:
            time.sleep(_PAUSE)
            return sum(asked.ended == "success" for asked in self.seen()[begun:]) >= count

        await_true(f"{count} jobs have ended", ended, seconds)

    def cause(self, fault: str, node: str = "") -> tuple[Place, float]:
        """Cause a fault; answers to whom, and when it began."""
        wanted, whom = found(self.lab, fault, node)
        begun = time.monotonic()
        wanted.cause(self.lab, whom)
        self._note(Caused(at=begun, fault=fault, node=whom.name))
        return whom, begun

    def kill_at_random(self, count: int, chance: Random) -> None:
        """
        kill -9 of so many daemons, each started again at once; a member of etcd only while all others run.

        The master is one of three: it is hit a third as often as daemons of its kind are.
        """
        nodes = self.lab.layout.nodes
        for _ in range(count):
            time.sleep(chance.uniform(*_BETWEEN))
            node, kind = chance.choice(nodes), chance.choices(list(_WEIGHTS), list(_WEIGHTS.values()))[0]
            victim = self.lab.daemons[node.short, kind]
            if kind == "etcd" and not all(self.lab.daemons[n.short, kind].listens() for n in nodes):
                victim = self.lab.daemons[node.short, "rapi"]
            self._note(Caused(at=time.monotonic(), fault=f"kill-{victim.kind.name}", node=node.name))
            victim.end()
            victim.start()
        self.mend()

    def mend(self) -> None:
        """End all faults; what runs goes on running."""
        self.lab.mend()
        self._note(Caused(at=time.monotonic(), fault="", mended=True))

    def _note(self, event: AnyEvent) -> None:
        with self._file("faults").open("ab") as out:
            note(event, out)

    def end(self) -> History:
        """
        Take the load off, let all jobs end, and answer all that was seen.

        :raises TimeoutError: jobs do not end.
        """
        self._stop("load")
        try:
            await_true("all jobs have ended", self._all_ended, 90)
        except TimeoutError as e:
            raise TimeoutError(f"{e}\n{self._unfinished()}") from e
        listed = Listed(jobs={job["id"]: _job(job) for job in self.lab.read("/2/jobs?bulk=1")})
        # What is logged was in the store before: the recorder goes on until it has seen that.
        told = [*self.logged(), listed]
        self._stop("recorder")
        files = [self._file(source) for source in (*_SOURCES, "faults")]
        return read(*(file for file in files if file.exists())).with_more(told)

    def _stop(self, source: str) -> None:
        running = self._running.pop(source)
        running.send_signal(signal.SIGTERM)
        if running.wait(60):
            raise RuntimeError(self._file(source).with_suffix(".out").read_text(errors="replace")[-3000:])

    def _all_ended(self) -> bool:
        jobs = self.lab.read("/2/jobs?bulk=1")
        return jobs is not None and all(job["status"] in FINAL for job in jobs)

    def _unfinished(self) -> str:
        """The jobs that have not ended, and what the daemons said last."""
        jobs = [job for job in self.lab.read("/2/jobs?bulk=1") or () if job["status"] not in FINAL]
        logs = [node.folder / "rapi.log" for node in self.lab.layout.nodes]
        return "\n".join(
            [*map(str, jobs), *(f"{log}\n{log.read_text()[-3000:]}" for log in logs if log.exists())]
        )

    def abort(self) -> None:
        """End at once what is still running."""
        for running in self._running.values():
            running.kill()
            running.wait()
        self._running.clear()

    def logged(self) -> Iterator[AnyEvent]:
        """What the daemons' logs tell of."""
        for node in self.lab.layout.nodes:
            yield from logged(node.name, node.folder / "rapi.log")
            yield from logged(node.name, node.folder / "agent.log")

    def judge(self) -> list[str]:
        """What is wrong with all that was seen."""
        return complaints(self.end())


_SERVED = re.compile(r"master for term (\d+)")


def logged(node: str, file: Path) -> Iterator[AnyEvent]:
    """The steps and the terms that a daemon's log tells of; a line that was cut short is left out."""
    for line in file.read_text(encoding="utf-8").splitlines() if file.exists() else ():
        try:
            told: Any = json.loads(line)
        except ValueError:
            continue
        if "step" in told and "term" in told:
            yield Stepped(
                node=node, term=told["term"], step=told["step"], instance=told.get("instance") or ""
            )
        elif served := _SERVED.fullmatch(told.get("text", "")):
            yield Served(node=node, term=int(served[1]))


def _job(shown: dict[str, Any]) -> JobSeen:
    """A job as the API lists it."""
    marks = set()
    for op in shown["ops"]:
        about = op.get("tags") or [op.get("instance_name") or ""]
        marks |= {mark_of(op["OP_ID"], name) for name in about}
    return JobSeen(shown["status"], tuple(sorted(marks)))
