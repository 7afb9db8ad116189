"""OS definitions: found, checked and run for real."""

import time
from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase
from zope.interface.verify import verifyObject

from twisted_rapi.agent import os_runner
from twisted_rapi.agent.daemon import SHIPPED
from twisted_rapi.agent.interface import IOsRunner
from twisted_rapi.agent.os_runner import OsRunner
from twisted_rapi.errors import StepFailed
from twisted_rapi.model.steps import DiskSpec, DomainSpec, NicSpec, RunOs

CLOCK: Any = reactor


class OsRunnerTests(TestCase):
    """Definitions below a folder of the test's, and those that are shipped."""

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
        try:
            await work
        except StepFailed as e:
            self.assertEqual(e.kind, "os")
            return e.text
        raise self.failureException("it did not fail")

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
        self.assertFalse([line for line in lines if line.startswith(("HOME=", "USER=", "VIRTUAL_ENV="))])

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
        await self.runner.verify("minimal+default", {"marker": "a-1.b_c", "deaf": "no"})
        self.assertIn("marker", await self.failure(self.runner.verify("minimal", {"marker": "a b"})))

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
