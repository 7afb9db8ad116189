"""
A steady load on a lab's API: ``python -m … DIRECTORY HISTORY``, in the client's namespace.

Readers ask each address without pause; submitters put jobs in, one kind after the other, and wait for them.
What was not answered is never asked again with the same mark, so that a job that is there twice shows.  Ends
when it is told to (SIGTERM), after what is under way.
"""

import itertools
import os
import sys
import threading
import time
from collections.abc import Iterator
from typing import IO, Any

import attrs

from twisted_rapi.testing.lab.asking import Asker, Silence
from twisted_rapi.testing.lab.attending import attend
from twisted_rapi.testing.lab.history import FINAL, Asked, note
from twisted_rapi.testing.lab.lab import Lab

PAUSE = 0.02  # seconds between the reads of one reader
LATER = 0.1  # seconds before another try, of somebody else where there is one
PATIENCE = {"read": 1.0, "submit": 3.0, "wait": 6.0}
"""Seconds until an answer is no longer waited for."""

_OS = "noop+default"


@attrs.frozen
class Submission:
    """
    A request for a job.

    :ivar opcode: of the job; with `name`, which only this request has, it makes the mark.
    """

    method: str
    path: str
    body: Any
    opcode: str
    name: str

    @property
    def mark(self) -> str:
        """What the job can be known by."""
        return mark_of(self.opcode, self.name)


def mark_of(opcode: str, name: str) -> str:
    """What a job of this opcode about this is known by."""
    return f"{opcode} {name}"


def submissions(run: int, worker: int) -> Iterator[Submission]:
    """
    What one submitter of a run asks for, in its order: machines and tags that come and go, none twice.

    Those with odd numbers ask for tags of the cluster only, which wait for no node.
    """
    for number in itertools.count():
        name = f"load-{run}-{worker}-{number}"
        tags, machine = f"/2/tags?tag={name}", f"{name}.example.com"
        uri = f"/2/instances/{machine}"
        creation = {
            "__version__": 1,
            "mode": "create",
            "instance_name": machine,
            "disk_template": "diskless",
            "disks": [],
            "nics": [],
            "os_type": _OS,
            "beparams": {"memory": 64},
        }
        yield Submission("PUT", tags, None, "OP_TAGS_SET", name)
        if worker % 2:
            yield Submission("DELETE", tags, None, "OP_TAGS_DEL", name)
            continue
        yield Submission("POST", "/2/instances", creation, "OP_INSTANCE_CREATE", machine)
        yield Submission("PUT", f"{uri}/tags?tag={name}t", None, "OP_TAGS_SET", f"{name}t")
        yield Submission("PUT", f"{uri}/shutdown", None, "OP_INSTANCE_SHUTDOWN", machine)
        yield Submission("PUT", f"{uri}/startup", None, "OP_INSTANCE_STARTUP", machine)
        yield Submission("DELETE", uri, None, "OP_INSTANCE_REMOVE", machine)
        yield Submission("DELETE", tags, None, "OP_TAGS_DEL", name)


class Load:
    """The workers, and the file that what they see goes to."""

    def __init__(self, lab: Lab, out: IO[bytes], submitters: int = 2) -> None:
        self._lab, self._out = lab, out
        self._turn, self.over = threading.Lock(), threading.Event()
        work = [(self._read, (address,)) for address in lab.layout.addresses]
        self._threads = [threading.Thread(target=target, args=args) for target, args in work]
        # Real guests are too heavy to come and go.
        workers = [2 * n + 1 if lab.layout.guests else n for n in range(submitters)]
        self._threads += [threading.Thread(target=self._submit, args=(n,)) for n in workers]

    def run(self) -> None:
        """Work until it is over."""
        for thread in self._threads:
            thread.start()
        for thread in self._threads:
            thread.join()

    def _ask(self, asker: Asker, method: str, path: str, body: Any = None, **known: Any) -> tuple[Asked, Any]:
        """Ask once, and note it; ``None`` for what was not answered."""
        at = time.monotonic()
        try:
            answer = asker.ask(method, path, body)
        except Silence:
            status, content = 0, None
        else:
            status, content = answer.status, answer.body
        outcome = "silent" if not status else "refused" if status == 503 else "answered"
        if outcome == "answered":
            known |= _told(known, status, content)
        told = {"at": at, "until": time.monotonic(), "address": asker.address, "method": method, "path": path}
        asked = Asked(**told, outcome=outcome, status=status, **known)  # type: ignore[arg-type]
        with self._turn:
            note(asked, self._out)
        return asked, content if outcome == "answered" else None

    def _read(self, address: str) -> None:
        asker = self._lab.asker(address, PATIENCE["read"])
        pause = PAUSE
        while not self.over.wait(pause):
            asked, _ = self._ask(asker, "GET", "/2/info", idempotent=True)
            pause = LATER if asked.outcome == "refused" else PAUSE
        asker.close()

    def _submit(self, worker: int) -> None:
        addresses = itertools.cycle(self._lab.layout.addresses)
        address = next(addresses)
        for wanted in submissions(os.getpid(), worker):
            if self.over.wait(LATER):
                return
            asker = self._lab.asker(address, PATIENCE["submit"])
            asked, job = self._ask(asker, wanted.method, wanted.path, wanted.body, mark=wanted.mark)
            asker.close()
            if asked.outcome != "answered":
                address = next(addresses)
            elif isinstance(job, int):
                self._await(job, address, addresses)

    def _await(self, job: int, address: str, addresses: Iterator[str]) -> None:
        """Wait for a job to end, whoever answers."""
        before = None
        while not self.over.is_set():
            asker = self._lab.asker(address, PATIENCE["wait"])
            body = {"fields": ["status"], "previous_job_info": before, "previous_log_serial": 0}
            asked, answer = self._ask(asker, "GET", f"/2/jobs/{job}/wait", body, job=job, idempotent=True)
            asker.close()
            if asked.ended:
                return
            if asked.outcome != "answered":
                address = next(addresses)
                time.sleep(LATER)
            elif isinstance(answer, dict):
                before = answer["job_info"]


def _told(known: dict[str, Any], status: int, content: Any) -> dict[str, Any]:
    """What an answer says of the master and of the job."""
    if status != 200:
        return {}
    if known.get("mark"):
        return {"job": content}
    if known.get("job") is not None:
        [shown] = content["job_info"] if isinstance(content, dict) else [""]
        return {"ended": shown} if shown in FINAL else {}
    return {"master": content.get("master", "")} if isinstance(content, dict) else {}


if __name__ == "__main__":
    attend(Load, *sys.argv[1:])
