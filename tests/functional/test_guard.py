"""A guard as a process of its own, with a daemon that is killed and a real etcd."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.requirements import missing
from twisted_rapi.testing.etcd import EtcdCluster
from twisted_rapi.testing.processes import await_true

LONG = 3600  # seconds of the lease: it does not end by itself

_DAEMON = """
import json, subprocess, sys
from twisted.internet import reactor
from twisted_rapi.ha.guarding import Guarded
lease, settings = int(sys.argv[1]), json.loads(sys.argv[2])
guarded = Guarded(reactor, settings)

def begin():
    guarded.start()
    guarded.told(lease)
    # A child of the daemon that outlives it.
    child = subprocess.Popen(["sleep", "1000"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    print(child.pid, guarded._transport.pid, flush=True)

from twisted.internet.defer import Deferred
reactor.addSystemEventTrigger("before", "shutdown", lambda: Deferred.fromCoroutine(guarded.stop()))
reactor.callWhenRunning(begin)
reactor.run()
"""


def gone(pid: int) -> bool:
    """Whether a process has ended, or is about to be reaped by whoever it belongs to."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return True
    return state in "ZX"


class GuardTests(SynchronousTestCase):
    """`twisted_rapi.ha.guard` with `Guarded`."""

    skip = missing("etcd")

    def setUp(self) -> None:
        self.etcd = EtcdCluster(Path(self.mktemp()).resolve(), size=1)
        self.addCleanup(self.etcd.remove)
        self.etcd.set_up()
        self.etcd.start()

    def ask(self, method: str, body: object) -> dict[str, str]:
        """What etcd answers, at last."""
        found: list[dict[str, str]] = []

        def answered() -> bool:
            answer = self.etcd.ask(self.etcd.endpoints[0], method, body)
            found.extend([answer] if answer is not None else [])
            return bool(found)

        await_true(f"etcd answers {method}", answered, 60)
        return found[0]

    def granted(self) -> int:
        """A lease."""
        return int(self.ask("lease/grant", {"TTL": str(LONG)})["ID"])

    def there(self, lease: int) -> bool:
        """Whether it is there."""
        return int(self.ask("lease/timetolive", {"ID": str(lease)}).get("TTL", "0")) > 0

    def guarded(self, lease: int) -> tuple[subprocess.Popen[bytes], int]:
        """A daemon that has this lease, and its guard's process id."""
        names = {"authority": "ca.pem", "certificate": "client.pem", "key": "client.key"}
        files = {name: str(self.etcd.directory / file) for name, file in names.items()}
        # The first of them does not answer.
        settings = {"endpoints": ["https://127.0.0.1:1", *self.etcd.endpoints], "address": "", **files}
        command = [sys.executable, "-c", _DAEMON, str(lease), json.dumps(settings)]
        daemon = subprocess.Popen(command, stdout=subprocess.PIPE)
        self.addCleanup(daemon.wait)
        self.addCleanup(daemon.kill)
        assert daemon.stdout is not None
        self.addCleanup(daemon.stdout.close)
        child, guard = map(int, daemon.stdout.readline().split())
        self.addCleanup(os.kill, child, signal.SIGKILL)
        # Before that it could be killed by what it is to ignore.
        ignoring = 1 << signal.SIGTERM - 1
        await_true("the guard is ready", lambda: bool(_ignored(guard) & ignoring), 60)
        return daemon, guard

    def test_killed(self) -> None:
        """
        The lease of a daemon that is stopped stays, that of one that is killed goes at once, though a child
        of it lives on; the guard does not mind being asked to end, and ends when it has done its work.
        """
        lease = self.granted()
        daemon, guard = self.guarded(lease)
        os.kill(guard, signal.SIGTERM)
        daemon.send_signal(signal.SIGSTOP)
        time.sleep(0.5)
        self.assertTrue(self.there(lease))
        daemon.kill()
        await_true("the lease has ended", lambda: not self.there(lease), 60)
        await_true("the guard has ended", lambda: gone(guard), 60)

    def test_in_order(self) -> None:
        """The lease of a daemon that ends in order is the daemon's affair."""
        lease = self.granted()
        daemon, guard = self.guarded(lease)
        daemon.terminate()
        self.assertEqual(daemon.wait(60), 0)
        await_true("the guard has ended", lambda: gone(guard), 60)
        self.assertTrue(self.there(lease))


def _ignored(pid: int) -> int:
    """The signals that a process ignores, a bit each."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("SigIgn:"):
            return int(line.split()[1], 16)
    return 0
