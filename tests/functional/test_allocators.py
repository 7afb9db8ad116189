"""Allocator scripts: found and run for real; what becomes of them when their agent is killed."""

import subprocess
import sys
from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from tests.functional.waiting import until
from twisted_rapi.agent.allocators import Allocators
from twisted_rapi.testing.contracts.allocators import AllocatorsContract

CLOCK: Any = reactor
ECHO = f"""#!{sys.executable}
import json, sys
*options, file = sys.argv[1:]
print("this is not the answer", file=sys.stderr)
print(json.dumps([options, json.load(open(file))]))
"""
AGENT = """
import sys
from pathlib import Path
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThread
from twisted_rapi.agent.allocators import Allocators
from twisted_rapi.model.steps import RunAllocator
folder = Path(sys.argv[1])
allocators = Allocators([folder / "scripts"], folder / "state", reactor, reactor, deferToThread)
d = Deferred.fromCoroutine(allocators.run(RunAllocator(instance="x", name="slow", request={})))
d.addBoth(lambda _: reactor.stop())
reactor.run()
"""


class AllocatorsBase(TestCase):
    """Scripts below a folder of the test's."""

    def scripts(self, seconds: float = 60.0) -> Allocators:
        self.folder = Path(self.mktemp()).resolve()
        (self.folder / "scripts").mkdir(parents=True)
        self.define("echo", ECHO)
        self.define("bad", "#!/bin/sh\nfor i in $(seq 30); do echo line $i; done; exit 3\n")
        return self.again(seconds)

    def again(self, seconds: float = 60.0) -> Allocators:
        paths = [self.folder / "none", self.folder / "scripts"]
        return Allocators(paths, self.folder / "state", CLOCK, CLOCK, deferToThread, seconds)

    def define(self, name: str, text: str) -> Path:
        script = self.folder / "scripts" / name
        script.write_text(text)
        script.chmod(0o755)
        return script

    def left(self) -> list[str]:
        """What is below the state's folder."""
        return [str(p) for p in (self.folder / "state").rglob("*") if not p.is_dir()]


class ContractTests(AllocatorsContract, AllocatorsBase):
    """The contract, with real scripts."""

    def make(self) -> Allocators:
        return self.scripts()

    async def test_nothing_left(self) -> None:
        """Neither the request nor the answer stays on the disk."""
        await self.allocators.run(self.step("echo", a=1))
        await self.failure(self.step("bad"))
        self.assertEqual(self.left(), [])

    async def test_environment(self) -> None:
        """A script has nothing of the agent's environment."""
        self.define("env", "#!/bin/sh\nenv\n")
        lines = (await self.allocators.run(self.step("env"))).splitlines()
        names = {line.partition("=")[0] for line in lines}
        self.assertLessEqual({"PATH", "LC_ALL"}, names)
        self.assertLessEqual(names, {"PATH", "LC_ALL", "RAPI_ALLOCATION", "PWD", "_", "OLDPWD", "SHLVL"})

    async def test_no_script(self) -> None:
        """A folder, and a file that cannot be run, are none."""
        (self.folder / "scripts/folder").mkdir()
        self.define("text", "#!/bin/sh\n").chmod(0o644)
        for name in ("folder", "text"):
            self.assertIn("not found", await self.failure(self.step(name)))
        self.assertEqual(await self.allocators.names(), ("bad", "echo"))


class EndTests(AllocatorsBase):
    """How scripts end that do not end by themselves."""

    def slow(self) -> None:
        """A script that says who it is and what it starts, and goes on for long."""
        file = self.folder / "pids"
        self.define("slow", f"#!/bin/sh\nsleep 100 &\necho $$ $! > {file}.new; mv {file}.new {file}; wait\n")

    def alive(self) -> bool:
        return any(Path(f"/proc/{pid}").exists() for pid in (self.folder / "pids").read_text().split())

    async def test_too_long(self) -> None:
        """A script that takes too long is ended with all it started."""
        allocators = self.scripts(1.0)
        self.slow()
        contract = ContractTests("test_fails")
        contract.allocators = allocators
        self.assertIn("took too long", await contract.failure(contract.step("slow")))
        await until(lambda: not self.alive())
        self.assertEqual(self.left(), [])

    async def test_killed(self) -> None:
        """A script ends with its agent; the next one removes what is left."""
        self.scripts()
        self.slow()
        process = subprocess.Popen([sys.executable, "-c", AGENT, str(self.folder)])
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        await until((self.folder / "pids").exists)
        self.assertTrue(self.alive())
        process.kill()
        process.wait()
        await until(lambda: not self.alive())
        self.assertNotEqual(self.left(), [])
        await self.again().clean()
        self.assertEqual(self.left(), [])
