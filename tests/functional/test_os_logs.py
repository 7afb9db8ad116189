"""What is kept of the output of OS definitions' scripts."""

import os
from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater

from tests.functional.test_os_runner import OsRunnerBase
from twisted_rapi.agent.os_runner import LOG_SIZE, LOGS_KEPT

any_reactor: Any = reactor


class LogTests(OsRunnerBase):
    """The folder of logs does not grow for ever."""

    @property
    def logs(self) -> list[Path]:
        """Those that are there."""
        return sorted((self.folder / "log").iterdir())

    async def test_long(self) -> None:
        """Of very much output the end is kept, and the last lines tell why it failed."""
        count = LOG_SIZE // 10 + 5000
        self.define("loud", f"seq -f %09.0f {count}; echo it was too much; exit 3")
        told = await self.failure(self.runner.run(self.step("loud"), ["/x"]))
        self.assertTrue(told.endswith("\nit was too much"))
        [log] = self.logs
        head, *lines = log.read_text().splitlines()
        self.assertEqual(head, f"[{count * 10 + 16 - LOG_SIZE} bytes left out]")
        self.assertEqual((lines[-2], lines[-1]), (f"{count:09}", "it was too much"))

    async def test_endless(self) -> None:
        """Output without end takes no room without end while the script runs; its end is kept."""
        count = 6 * LOG_SIZE // 10
        wait = "while [ ! -e go ]; do sleep 0.05; done"
        (self.folder / "log").mkdir()
        self.define("endless", f"seq -f %09.0f {count}; {wait}; echo the end; exit 3")
        failing = Deferred.fromCoroutine(self.failure(self.runner.run(self.step("endless"), ["/x"])))
        while not (logs := self.logs) or logs[0].stat().st_size < count * 10:
            await deferLater(any_reactor, 0.05)
        [log] = self.logs
        while log.stat().st_blocks * 512 > 2 * LOG_SIZE:
            await deferLater(any_reactor, 0.05)
        self.assertEqual(log.stat().st_size, count * 10)
        (self.folder / "os" / "endless" / "go").touch()
        self.assertTrue((await failing).endswith("\nthe end"))
        head, *lines = log.read_text().splitlines()
        self.assertEqual(head, f"[{count * 10 + 8 - LOG_SIZE} bytes left out]")
        self.assertEqual(lines[-2:], [f"{count:09}", "the end"])

    async def test_many(self) -> None:
        """The oldest go when there are very many."""
        folder = self.folder / "log"
        folder.mkdir()
        for n in range(LOGS_KEPT + 3):
            (folder / f"old{n}.log").touch()
            os.utime(folder / f"old{n}.log", (n, n))
        self.define("quiet", "echo well")
        await self.runner.run(self.step("quiet"), ["/x"])
        names = {log.name for log in self.logs}
        self.assertEqual(len(names), LOGS_KEPT)
        self.assertNotIn("old3.log", names)
        self.assertIn(f"old{LOGS_KEPT + 2}.log", names)
        [new] = [name for name in names if not name.startswith("old")]
        self.assertEqual((folder / new).read_text(), "well\n")
