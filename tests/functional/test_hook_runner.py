"""Hooks: found, run and ended for real."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from twisted_rapi.agent import hook_runner
from twisted_rapi.agent.hook_runner import HookRunner, watch_tree
from twisted_rapi.model.steps import RunHooks
from twisted_rapi.testing.contracts.hook_runner import HookRunnerContract

CLOCK: Any = reactor


def alive(pid: str) -> bool:
    """Whether the process runs; one that waits to be noticed by its parent does not."""
    try:
        stat = Path(f"/proc/{pid.strip()}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return stat.rpartition(")")[2].split()[0] not in "ZX"


class HookRunnerBase(TestCase):
    """A folder of hooks of the test's own."""

    def make(self) -> HookRunner:
        self.folder = Path(self.mktemp()).resolve()
        self.base = self.folder / "hooks"
        return HookRunner(self.base, self.folder / "run", CLOCK, CLOCK, deferToThread, watch_tree(reactor))

    def write(self, folder: str, name: str, script: str, mode: int = 0o755) -> Path:
        path = self.base / f"{folder}.d" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(mode)
        return path

    async def put(self, folder: str, name: str, well: bool, output: str) -> None:
        self.write(folder, name, f"printf '%s\\n' '{output}'\nexit {0 if well else 3}")

    def step(self, **environment: str) -> RunHooks:
        return RunHooks(
            instance="x",
            path="instance-start",
            phase="pre",
            environment={"GANETI_HOOKS_PATH": "instance-start", **environment},
        )


class HookRunnerTests(HookRunnerContract, HookRunnerBase):
    """The contract."""

    def make(self) -> HookRunner:
        return HookRunnerBase.make(self)

    async def put(self, folder: str, name: str, well: bool, output: str) -> None:
        await HookRunnerBase.put(self, folder, name, well, output)

    def step(self, path: str = "instance-start", phase: Any = "pre") -> RunHooks:  # type: ignore[override]
        return HookRunnerContract.step(self, path, phase)


class RealHookTests(HookRunnerBase):
    """What only real scripts show."""

    def setUp(self) -> None:
        self.runner = self.make()

    async def test_environment(self) -> None:
        """A script has what it is given, the search path and nothing else; its input is empty."""
        self.write("instance-start-pre", "a", "cat; pwd; env | sort; echo oops >&2")
        [(name, well, text)] = await self.runner.run(self.step(GANETI_X="a b"))
        self.assertEqual((name, well), ("a", True))
        lines = [
            line for line in text.splitlines() if not line.startswith(("PWD=", "_=", "SHLVL=", "OLDPWD="))
        ]
        self.assertEqual(
            lines,
            [
                "/",
                "GANETI_HOOKS_PATH=instance-start",
                "GANETI_X=a b",
                "PATH=/sbin:/bin:/usr/sbin:/usr/bin",
                "oops",
            ],
        )

    async def test_not_run(self) -> None:
        """Other names, files that are not executable and folders are left alone."""
        self.write("instance-start-pre", "a.sh", "exit 1")
        self.write("instance-start-pre", "a~", "exit 1")
        self.write("instance-start-pre", "plain", "exit 1", 0o644)
        (self.base / "instance-start-pre.d" / "dir").mkdir()
        self.assertEqual(await self.runner.folders(), ())
        self.assertEqual(await self.runner.run(self.step()), ())

    async def test_cannot_run(self) -> None:
        """A script whose interpreter is missing fails and says so."""
        path = self.write("instance-start-pre", "a", "")
        path.write_text("#!/nonexistent\n")
        [(_, well, text)] = await self.runner.run(self.step())
        self.assertFalse(well)
        self.assertIn("not found", text)

    async def test_much_output(self) -> None:
        """Of a long output the end is told; nothing of it stays behind."""
        self.write("instance-start-pre", "a", "yes 12345678 | head -n 10000; echo last; exit 1")
        [(_, well, text)] = await self.runner.run(self.step())
        self.assertFalse(well)
        self.assertTrue(text.endswith("last"))
        self.assertLessEqual(len(text), hook_runner.MOST_OUTPUT)
        self.assertEqual([p for p in (self.folder / "run").rglob("*") if p.is_file()], [])

    async def test_left_running(self) -> None:
        """What a script leaves running is ended with it."""
        pid = self.folder / "pid"
        self.write("instance-start-pre", "a", f"sleep 600 & echo $! >{pid}")
        await self.runner.run(self.step())
        self.assertFalse(alive(pid.read_text()))

    async def test_too_long(self) -> None:
        """A script that takes too long is ended and counts as failed."""
        self.patch(hook_runner, "RUN_TIME", 0.3)
        self.write("instance-start-pre", "a", "echo begun; sleep 600")
        [(_, well, text)] = await self.runner.run(self.step())
        self.assertFalse(well)
        self.assertIn("too long", text)

    async def test_chmod_noticed(self) -> None:
        """A script that becomes executable is noticed, and then told of."""
        path = self.write("instance-start-pre", "a", "", 0o644)
        told: list[int] = []
        self.addCleanup(self.runner.observe(lambda: told.append(1)))
        self.assertEqual(await self.runner.folders(), ())
        path.chmod(0o755)
        for _ in range(100):
            if told:
                break
            await deferLater(CLOCK, 0.02)
        self.assertTrue(told)
        self.assertEqual(await self.runner.folders(), ("instance-start-pre",))

    async def test_no_folder(self) -> None:
        """A folder that does not exist can be observed; it is watched once a look has found it."""
        told: list[int] = []
        self.addCleanup(self.runner.observe(lambda: told.append(1)))
        self.assertEqual(await self.runner.folders(), ())
        self.write("instance-start-pre", "a", "")
        self.assertEqual(await self.runner.folders(), ("instance-start-pre",))
        self.write("instance-start-pre", "b", "")
        for _ in range(100):
            if told:
                break
            await deferLater(CLOCK, 0.02)
        self.assertTrue(told)

    async def test_killed_agent(self) -> None:
        """What a script runs is ended with an agent that is killed, or by the next one that starts."""
        pid = self.folder / "pid"
        self.write("instance-start-pre", "a", f"sleep 600 & echo $! >{pid}.new; mv {pid}.new {pid}; wait")
        code = _AGENT.format(base=str(self.base), run=str(self.folder / "run"))
        agent = subprocess.Popen([sys.executable, "-c", code], cwd=os.getcwd(), env=dict(os.environ))
        self.addCleanup(agent.wait)
        self.addCleanup(agent.kill)
        deadline = time.monotonic() + 20
        while not pid.exists() and time.monotonic() < deadline:
            await deferLater(CLOCK, 0.05)
        sleeping = pid.read_text()
        agent.send_signal(signal.SIGKILL)
        await self.runner.clean()
        deadline = time.monotonic() + 5
        while alive(sleeping) and time.monotonic() < deadline:
            await deferLater(CLOCK, 0.05)
        self.assertFalse(alive(sleeping))


_AGENT = """
from pathlib import Path
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThread
from twisted_rapi.agent.hook_runner import HookRunner
from twisted_rapi.model.steps import RunHooks
runner = HookRunner(Path({base!r}), Path({run!r}), reactor, reactor, deferToThread)
step = RunHooks(instance="x", path="instance-start", phase="pre",
                environment={{"GANETI_HOOKS_PATH": "instance-start"}})
reactor.callWhenRunning(lambda: Deferred.fromCoroutine(runner.run(step)))
reactor.run()
"""
