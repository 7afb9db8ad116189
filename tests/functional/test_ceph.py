"""A real Ceph in userspace, one for the whole module: RBD images by the real tools."""

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from tempfile import mkdtemp
from typing import Any
from uuid import uuid4

from twisted.internet import reactor
from twisted.internet.defer import Deferred, succeed
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import SynchronousTestCase, TestCase

from tests.contract.test_volumes import at_once
from tests.requirements import missing
from twisted_rapi.errors import StepFailed
from twisted_rapi.model.steps import DiskSpec
from twisted_rapi.storage.ceph_tools import Tools
from twisted_rapi.storage.interface import IVolumeDriver
from twisted_rapi.storage.program import TOO_LATE, Ended, Programs
from twisted_rapi.storage.rbd import RbdDriver
from twisted_rapi.testing.ceph import CephCluster
from twisted_rapi.testing.contracts.rbd import RbdContract
from twisted_rapi.testing.processes import await_true

NEEDS = ("ceph-mon", "ceph-mgr", "ceph-osd", "ceph", "rbd")
_shared: list[CephCluster] = []


def shared_ceph() -> CephCluster:
    """The cluster, with a pool ``rbd``; it is removed when the process ends."""
    if not _shared:
        folder = Path(mkdtemp(prefix="rapi-ceph-", dir="/tmp"))  # sockets need a short path
        cluster = CephCluster(folder / "c")
        any_reactor: Any = reactor

        def remove() -> None:
            cluster.remove()
            shutil.rmtree(folder)

        any_reactor.addSystemEventTrigger("after", "shutdown", remove)
        cluster.start()
        cluster.tool("ceph", "osd", "pool", "create", "rbd", "8", "replicated")
        cluster.tool("ceph", "osd", "pool", "application", "enable", "rbd", "rbd")
        await_true("sizes are known", lambda: cluster.ask("ceph", "df")["stats"]["total_bytes"] > 0, 60)
        _shared.append(cluster)
    return _shared[0]


async def run_here(command: Sequence[str], seconds: float) -> Ended:
    """`twisted_rapi.storage.program.Run` that waits on the spot."""
    ran = subprocess.run(command, capture_output=True, timeout=seconds, check=False)
    return await succeed(Ended(ran.returncode, ran.stdout, ran.stderr.decode()))


class RbdTests(RbdContract, SynchronousTestCase):
    """The driver's contract."""

    skip = missing(*NEEDS)

    def make(self) -> tuple[IVolumeDriver, str]:
        self.mark = f"{uuid4().hex[:8]}."
        self.ceph = shared_ceph()
        return RbdDriver(Tools(run_here, str(self.ceph.conf)), at_once), "rbd"

    def snapshot(self, disk: DiskSpec) -> None:
        self.ceph.tool("rbd", "snap", "create", "--no-progress", "/".join(disk.logical_id) + "@s")


class ProgramsTests(TestCase):
    """Tools as processes of the agent."""

    def setUp(self) -> None:
        any_reactor: Any = reactor
        self.programs = Programs(any_reactor, any_reactor, deferToThread)

    def test_ended(self) -> Deferred[None]:
        """Status, output and errors are told apart; no shell reads the words."""

        async def go() -> None:
            ran = await self.programs.run(
                ("sh", "-c", 'printf %s "$1"; echo why >&2; exit 3', "sh", "$(a) *"), 60
            )
            self.assertEqual((ran.status, ran.output, ran.errors), (3, b"$(a) *", "why\n"))

        return Deferred.fromCoroutine(go())

    def test_too_late(self) -> Deferred[None]:
        """One that does not end is killed, and has ended then."""

        async def go() -> None:
            ran = await self.programs.run(("sleep", "3600"), 0.1)
            self.assertEqual((ran.status, ran.output), (TOO_LATE, b""))

        return Deferred.fromCoroutine(go())

    def test_absent(self) -> Deferred[None]:
        """One that is not installed is named."""

        async def go() -> None:
            with self.assertRaisesRegex(StepFailed, "no-such-tool is not installed"):
                await self.programs.run(("no-such-tool",), 60)

        return Deferred.fromCoroutine(go())
