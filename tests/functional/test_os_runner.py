"""OS definitions: found, checked and run for real; what becomes of scripts when their agent is killed."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from msgspec import json
from msgspec.structs import replace
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase
from zope.interface.verify import verifyObject

from tests.functional.waiting import until
from twisted_rapi.agent import os_runner
from twisted_rapi.agent.daemon import SHIPPED
from twisted_rapi.agent.interface import IOsRunner
from twisted_rapi.agent.os_runner import OsRunner
from twisted_rapi.errors import StepFailed
from twisted_rapi.model.steps import DiskSpec, DomainSpec, NicSpec, RunOs
from twisted_rapi.testing.contracts.os_runner import OsRunnerContract

CLOCK: Any = reactor


class OsRunnerBase(TestCase):
    """Definitions below a folder of the test's, and those that are shipped."""

    runner: Any

    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).resolve()
        (self.folder / "os").mkdir(parents=True)
        self.runner = self.make()

    def make(self) -> OsRunner:
        paths = [self.folder / "os", SHIPPED]
        return OsRunner(
            paths, self.folder / "log", self.folder / "run", CLOCK, CLOCK, time.time, deferToThread
        )

    def define(self, name: str, script: str, **files: str) -> Path:
        folder = self.folder / "os" / name
        folder.mkdir()
        (folder / "ganeti_api_version").write_text(files.pop("ganeti_api_version", "15\n"))
        for script_name in ("create", "import", "export", "rename"):
            (folder / script_name).write_text(f"#!/bin/sh\n{script}\n")
            (folder / script_name).chmod(0o755)
        for file, text in files.items():
            (folder / file.replace("_list", ".list")).write_text(text)
        return folder

    def step(self, os: str, **more: Any) -> RunOs:
        disk = DiskSpec(uuid="d", index=0, template="file", size=4, logical_id=("loop", "/x"))
        nic = NicSpec(uuid="n", mac="aa:00:00:00:00:01", link="br0", ip="192.0.2.9")
        domain = DomainSpec(
            name="web1.example.com",
            instance_uuid="u",
            hypervisor="fake",
            memory=64,
            minmem=64,
            vcpus=1,
            disks=(disk,),
            nics=(nic,),
            os=os,
            osparams={"odd-name": "a b"},
            beparams={"vcpus": 1, "auto_balance": True},
        )
        return RunOs(instance=domain.name, action=more.pop("action", "create"), domain=domain, **more)

    async def failure(self, work: Any) -> str:
        error: StepFailed = await self.assertFailure(Deferred.fromCoroutine(work), StepFailed)
        self.assertEqual(error.kind, "os")
        return error.text


class OsRunnerTests(OsRunnerBase):
    """What scripts get, and what becomes of what they do."""

    async def test_discover(self) -> None:
        """What can be used and what cannot, with the reason; the first of a name wins."""
        verifyObject(IOsRunner, self.runner)
        self.define("good", "exit 0", variants_list="# no\nv1\n\nv2\n")
        self.define("old", "exit 0", ganeti_api_version="5\n")
        (self.define("lame", "exit 0") / "import").chmod(0o644)
        self.define("noop", "exit 0")
        (self.folder / "os/empty").mkdir()
        found = {o.name: o for o in await self.runner.discover()}
        self.assertEqual(found["good"].variants, ("v1", "v2"))
        self.assertEqual(found["noop"].path, str(self.folder / "os/noop"))
        self.assertEqual(found["minimal"].invalid, "")
        self.assertIn("API version mismatch", found["old"].invalid)
        self.assertIn("not executable", found["lame"].invalid)
        self.assertIn("ganeti_api_version", found["empty"].invalid)

    async def test_environment(self) -> None:
        """A script gets what it is promised, and nothing else."""
        out = self.folder / "env"
        self.define("show", f"env > {out}; pwd >> {out}")
        await self.runner.run(self.step("show", reinstall=True), ["/path/of/disk"])
        lines = out.read_text().splitlines()
        for line in (
            *(
                "INSTANCE_NAME=web1.example.com",
                "DISK_COUNT=1",
                "DISK_0_PATH=/path/of/disk",
                "DISK_0_ACCESS=rw",
            ),
            *(
                "DISK_0_BACKEND_TYPE=file:loop",
                "NIC_0_MAC=aa:00:00:00:00:01",
                "NIC_0_BRIDGE=br0",
                "NIC_0_IP=192.0.2.9",
            ),
            *("OS_API_VERSION=15", "OS_NAME=show", "OS_VARIANT=", "OSP_ODD_NAME=a b", "INSTANCE_REINSTALL=1"),
            *("INSTANCE_BE_auto_balance=True", "DEBUG_LEVEL=0", str(self.folder / "os/show")),
        ):
            self.assertIn(line, lines)
        known = ("INSTANCE_", "DISK_", "NIC_", "OS_", "OSP_", "DEBUG_LEVEL=", "HYPERVISOR=", "PATH=", "/")
        # A shell that runs a script sets PWD for itself.
        self.assertEqual([line for line in lines if not line.startswith((*known, "PWD="))], [])

    async def test_failure(self) -> None:
        """The last twenty lines are in the error, all of them in the log, which nobody else may read."""
        self.define("bad", "for i in $(seq 30); do echo line $i; done; exit 3")
        text = await self.failure(self.runner.run(self.step("bad"), ["/x"]))
        self.assertIn("exited with 3", text)
        self.assertEqual(text.splitlines()[1:], [f"line {n}" for n in range(11, 31)])
        [log] = (self.folder / "log").iterdir()
        self.assertEqual((len(log.read_text().splitlines()), log.stat().st_mode & 0o777), (30, 0o600))

    async def test_unknown(self) -> None:
        """Unknown and unusable definitions are named."""
        self.define("old", "exit 0", ganeti_api_version="5\n")
        self.assertIn("nosuch not found", await self.failure(self.runner.run(self.step("nosuch"), ["/x"])))
        self.assertIn("mismatch", await self.failure(self.runner.run(self.step("old"), ["/x"])))

    async def test_verify(self) -> None:
        """Parameters are checked by the script, unknown ones before."""
        await self.runner.verify("noop+default", {"dhcp": "yes"})
        self.assertIn(
            "dhcp must be", await self.failure(self.runner.verify("noop+default", {"dhcp": "maybe"}))
        )
        self.assertIn("no parameter odd", await self.failure(self.runner.verify("noop", {"odd": "1"})))
        await self.runner.verify("minimal+default", {"marker": "a-1.b_c", "deaf": "no", "pause": "59"})
        self.assertIn("pause", await self.failure(self.runner.verify("minimal", {"pause": "1;reboot"})))
        self.assertIn("marker", await self.failure(self.runner.verify("minimal", {"marker": "a b"})))
        await self.runner.verify("minimal", {"dhcp": "yes", "serve": "80,81", "watch": "ping:a,tcp:b.c:80"})
        for wrong in ({"dhcp": "maybe"}, {"serve": "a"}, {"watch": "ping:a b"}, {"watch": "a" * 1001}):
            [name] = wrong
            self.assertIn(name, await self.failure(self.runner.verify("minimal", wrong)))

    async def test_too_long(self) -> None:
        """A script that takes too long is ended with all that it started."""
        self.define("slow", f"sleep 100 & echo $! > {self.folder}/child; wait")
        self.patch(os_runner, "RUN_TIME", 0.5)
        self.assertIn("took too long", await self.failure(self.runner.run(self.step("slow"), ["/x"])))
        child = (self.folder / "child").read_text().strip()
        for _ in range(50):
            if not Path(f"/proc/{child}").exists():
                break
            await deferLater(CLOCK, 0.05)
        self.assertFalse(Path(f"/proc/{child}").exists())
        self.assertEqual(list((self.folder / "run").iterdir()), [])

    async def test_bare_environment(self) -> None:
        """Not even what shells set is added for a script that is none."""
        folder = self.define("bare", "")
        (folder / "create").unlink()
        (folder / "create").symlink_to("/usr/bin/env")
        await self.runner.run(self.step("bare"), ["/x"])
        [log] = (self.folder / "log").iterdir()
        names = {line.partition("=")[0] for line in log.read_text().splitlines()}
        self.assertIn("INSTANCE_NAME", names)
        self.assertEqual(names & {"PWD", "OLDPWD", "SHLVL", "_", "HOME"}, set())

    async def test_values(self) -> None:
        """Values no environment can carry are named, and no script runs."""
        self.define("show", "exit 0")
        for osparams, words in (
            ({"a": "x\0y"}, "OSP_A: .* NUL"),
            ({"a": "\ud800"}, "OSP_A: .* text"),
            ({"a": "x" * 131072}, "OSP_A: .* bytes at most"),
            ({"a=b": "x"}, "OSP_A=B"),
            ({"a.b": "x"}, "OSP_A.B"),
        ):
            step = self.step("show")
            step = replace(step, domain=replace(step.domain, osparams=osparams))
            self.assertRegex(await self.failure(self.runner.run(step, ["/x"])), words)
        self.assertFalse((self.folder / "log").exists())

    async def test_cannot_begin(self) -> None:
        """A script without its interpreter fails with the reason."""
        folder = self.define("lost", "")
        (folder / "create").write_text("#!/no/such/interpreter\n")
        self.assertIn("not found", await self.failure(self.runner.run(self.step("lost"), ["/x"])))

    async def test_long_log(self) -> None:
        """Of a log of many megabytes the end is told."""
        self.define("loud", "head -c 20000000 /dev/zero | tr '\\0' x; echo; echo the end; exit 1")
        text = await self.failure(self.runner.run(self.step("loud"), ["/x"]))
        self.assertTrue(text.endswith("\nthe end"))
        self.assertLess(len(text), 70000)

    async def test_long_names(self) -> None:
        """Names as long as names can be still make a log."""
        self.define("o" * 200, "exit 0")
        await self.runner.run(replace(self.step("o" * 200), instance="i" * 253), ["/x"])

    async def test_rename(self) -> None:
        """The old name is told."""
        await self.runner.run(self.step("noop", action="rename", old_name="web0"), ["/x"])
        out = self.folder / "env"
        self.define("show", f"env > {out}")
        await self.runner.run(self.step("show", action="rename", old_name="web0"), ["/x"])
        self.assertIn("OLD_INSTANCE_NAME=web0", out.read_text().splitlines())

    async def test_left_running(self) -> None:
        """What a script leaves running does not outlive it, be it in a group of its own."""
        file = self.folder / "disk"
        self.define(
            "untidy", f"set -m; (while :; do echo x >> {file}; sleep 0.05; done) &\nsleep 0.3; exit 0"
        )
        await self.runner.run(self.step("untidy"), ["/x"])
        size = file.stat().st_size
        self.assertGreater(size, 0)
        await deferLater(CLOCK, 0.3)
        self.assertEqual(file.stat().st_size, size)
        self.assertEqual(list((self.folder / "run").iterdir()), [])


class ContractTests(OsRunnerContract, OsRunnerBase):
    """The contract, with real scripts."""

    def make(self) -> OsRunner:
        self.folder = Path(self.mktemp()).resolve()
        (self.folder / "os").mkdir(parents=True)
        self.runs = self.folder / "runs"
        self.runs.touch()
        runs = f'echo "$(basename $0) $OS_NAME $INSTANCE_NAME" >> {self.runs}'
        lists = {"variants_list": "v1\nv2\n", "parameters_list": "dhcp whether\n"}
        good = self.define("good", runs, ganeti_api_version="20\n", **lists)
        verify = '#!/bin/sh\n[ "$OSP_DHCP" != maybe ] || { echo "dhcp cannot be maybe"; exit 1; }\n'
        (good / "verify").write_text(verify)
        (good / "verify").chmod(0o755)
        self.define("bad", "for i in $(seq 30); do echo line $i; done; exit 3")
        self.define("broken", "exit 0", ganeti_api_version="5\n")
        run_dir, log_dir = self.folder / "run", self.folder / "log"
        return OsRunner([self.folder / "os"], log_dir, run_dir, CLOCK, CLOCK, time.time, deferToThread)

    def step(self, os: str, action: Any = "create", **osparams: str) -> RunOs:
        return OsRunnerContract.step(self, os, action, **osparams)

    def setUp(self) -> None:
        OsRunnerContract.setUp(self)

    def ran(self) -> list[tuple[str, str, str]]:
        lines = self.runs.read_text().splitlines()
        return [(action, os, instance) for action, os, instance in map(str.split, lines)]


AGENT = """
import sys, time
from pathlib import Path
from msgspec import json
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThread
from twisted_rapi.agent.os_runner import OsRunner
from twisted_rapi.model.steps import RunOs
folder = Path(sys.argv[1])
runner = OsRunner(
    [folder / "os"], folder / "log", folder / "run", reactor, reactor, time.time, deferToThread
)
step = json.decode(sys.argv[2], type=RunOs)
d = Deferred.fromCoroutine(runner.run(step, ["/x"]))
d.addBoth(lambda _: reactor.stop())
reactor.run()
"""


class KilledAgentTests(OsRunnerBase):
    """An agent that is killed while a script has something write to a disk."""

    async def agent(self) -> None:
        """Another process runs the script; it has begun to write."""
        self.disk = self.folder / "disk"
        self.define("w", f"(while :; do echo x >> {self.disk}; sleep 0.05; done)")
        step = json.encode(self.step("w")).decode()
        self.process = subprocess.Popen([sys.executable, "-c", AGENT, str(self.folder), step])
        self.addCleanup(self.process.wait)
        self.addCleanup(self.process.kill)
        await until(self.disk.exists)

    async def written(self) -> int:
        """Bytes that are written to the disk while one waits."""
        before = self.disk.stat().st_size
        await deferLater(CLOCK, 0.4)
        return self.disk.stat().st_size - before

    def note(self) -> Path:
        [note] = (self.folder / "run").iterdir()
        return note

    async def test_killed(self) -> None:
        """All of the script ends with the agent, before another one starts; that one tidies up."""
        await self.agent()
        self.assertGreater(await self.written(), 0)
        self.process.kill()
        self.process.wait()
        await deferLater(CLOCK, 0.2)
        self.assertEqual(await self.written(), 0)
        self.note()
        await self.runner.clean()
        self.assertEqual(list((self.folder / "run").iterdir()), [])

    async def test_supervisor_killed(self) -> None:
        """With agent and supervisor gone, the next agent ends what still writes."""
        await self.agent()
        self.process.send_signal(signal.SIGSTOP)
        os.kill(int(self.note().read_text().split()[0]), signal.SIGKILL)
        self.process.kill()
        self.process.wait()
        self.assertGreater(await self.written(), 0)
        await self.runner.clean()
        self.assertEqual(await self.written(), 0)
        self.assertEqual(list((self.folder / "run").iterdir()), [])

    async def test_strangers(self) -> None:
        """Processes that have the number of a session that is over are let live."""
        (self.folder / "run").mkdir()
        stranger = subprocess.Popen(["/bin/sleep", "60"], start_new_session=True, env={"OS_NAME": "other"})
        self.addCleanup(stranger.wait)
        self.addCleanup(stranger.kill)
        stat = Path(f"/proc/{stranger.pid}/stat").read_text().split()
        stat[21] = str(int(stat[21]) - 1)
        (self.folder / "run/note").write_text(f"{' '.join(stat)}\nOS_NAME=w\n")
        (self.folder / "run/half").write_text("12")
        (self.folder / "run/none").write_text("")
        await self.runner.clean()
        self.assertIsNone(stranger.poll())
        self.assertEqual(list((self.folder / "run").iterdir()), [])
