"""What is kept of the output of OS definitions' scripts."""

import os
from pathlib import Path

from tests.functional.test_os_runner import OsRunnerBase
from twisted_rapi.agent.os_runner import LOG_SIZE, LOGS_KEPT


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
