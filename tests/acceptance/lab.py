"""What the tests that cause faults in a lab have in common."""

import itertools
import os
import sys
import threading
import time
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.requirements import missing, missing_for_lab
from twisted_rapi.testing.lab.asking import Silence
from twisted_rapi.testing.lab.campaign import Campaign
from twisted_rapi.testing.lab.history import Asked, Served
from twisted_rapi.testing.lab.lab import Lab
from twisted_rapi.testing.lab.layout import NAME, Layout, Place
from twisted_rapi.testing.lab.removal import abandoned, remove
from twisted_rapi.testing.processes import await_true


class PatientReader:
    """
    A client that reads, however long each answer takes, while its block runs.

    :ivar seen: what it asked.
    """

    _PATHS = ("/2/info", "/2/nodes", "/2/jobs?bulk=1")
    _PATIENCE, _PAUSE = 60.0, 0.02  # seconds

    def __init__(self, lab: Lab) -> None:
        self.seen: list[Asked] = []
        self._lab, self._over = lab, threading.Event()
        self._thread = threading.Thread(target=lambda: lab.as_client(self._read))

    def __enter__(self) -> "PatientReader":
        self._thread.start()
        return self

    def __exit__(self, *_: Any) -> None:
        self._over.set()
        self._thread.join()

    def _read(self) -> None:
        asker = self._lab.asker(self._lab.layout.floating_address, self._PATIENCE)
        for path in itertools.cycle(self._PATHS):
            at, status, said = time.monotonic(), 0, ""
            try:
                status = asker.ask("GET", path).status
            except Silence as e:
                said = f": {e}"
            self.seen.append(
                Asked(
                    at=at,
                    until=time.monotonic(),
                    address=asker.address,
                    method="GET",
                    path=path + said,
                    idempotent=True,
                    status=status,
                    outcome="silent" if not status else "answered" if status == 200 else "refused",
                )
            )
            if self._over.wait(self._PAUSE):
                break
        asker.close()


class LabCase(SynchronousTestCase):
    """A lab under load, of this test's own."""

    skip = missing("etcd") or missing_for_lab()

    def setUp(self) -> None:
        for name in (*abandoned(), f"{NAME}{os.getpid()}"):
            remove(name)
        self.lab = Lab(self.layout(f"{NAME}{os.getpid()}"))
        self.addCleanup(self.lab.remove)
        self.lab.set_up()
        self.lab.start()
        self.campaign = Campaign(self.lab)
        self.addCleanup(self.campaign.abort)
        self.campaign.begin()

    def layout(self, name: str) -> Layout:
        """What the lab consists of."""
        return Layout(name=name)

    def judge(self) -> None:
        """What has to hold has held."""
        self.assertEqual(self.campaign.judge(), [])

    def tell(self, text: str) -> None:
        """Say what was done so far, for who reads the output of a lab that failed."""
        sys.stdout.write(f"    {text}\n")
        sys.stdout.flush()

    def wait(self, seconds: float) -> None:
        """Let that much time pass; more does no harm."""
        time.sleep(max(0.0, seconds))

    def terms(self) -> int:
        """How many terms have been served."""
        return sum(1 for event in self.campaign.logged() if isinstance(event, Served))

    def await_another_than(self, before: Place) -> None:
        """Wait until another node's daemon is master."""
        await_true("another one is master", lambda: self.lab.master() != before, 60)

    def await_no_promises(self) -> None:
        """Wait until nobody accepts a job."""
        await_true("no job is accepted", self._refused, 60)

    def _refused(self) -> bool:
        try:
            self.lab.ask("PUT", "/2/tags?tag=asked-in-vain")
        except Silence:
            return True
        return False

    def await_aged(self, node: Place) -> None:
        """Wait until a node answers what it knew, with how old that is."""
        await_true(f"{node.short} says how old its answers are", lambda: self._age(node) > 0, 60)

    def _age(self, node: Place) -> int:
        asker = self.lab.asker(node.address, 20.0)
        try:
            return int(self.lab.as_client(lambda: asker.ask("GET", "/2/info")).headers.get("age", "0"))
        except Silence:
            return 0
        finally:
            asker.close()

    def put_apart(self) -> Place:
        """The master; before, it is made another one than etcd's leader, if it is the same."""
        if self.lab.master() == self.lab.etcd_leader():
            self.campaign.cause("kill-master")
            self.await_another_than(self.lab.etcd_leader())
            self.campaign.mend()
        return self.lab.master()

    def submit(self, op: str, instance: str, method: str, path: str, body: Any) -> int:
        """Have a job about an instance done; it is asked for once, whoever is master. Answers the job."""
        found: list[int] = []

        def submitted() -> bool:
            try:
                found.append(int(self.lab.ask(method, path, body, patience=30.0).body))
            except Silence:
                found.extend(self._jobs_about(op, instance))
            return bool(found)

        await_true(f"{op} is submitted", submitted, 120)
        return found[0]

    def _jobs_about(self, op: str, instance: str) -> list[int]:
        self.lab.master()
        wanted = (op, instance)
        return [
            job["id"]
            for job in self.lab.read("/2/jobs?bulk=1") or ()
            if any((each["OP_ID"], each.get("instance_name")) == wanted for each in job["ops"])
        ]

    def ended(self, job: int) -> dict[str, Any]:
        """What a job shows when it has ended."""
        shown: dict[str, Any] = {}

        def ended() -> bool:
            shown.update(self.lab.read(f"/2/jobs/{job}") or {"status": ""})
            return shown["status"] in ("success", "error", "canceled")

        await_true(f"job {job} has ended", ended, 120)
        return shown
