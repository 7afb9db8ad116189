"""kill -9 of an agent right before and right after each kind of step: nothing half made is left."""

import importlib
import pkgutil
import signal
from typing import Any

import attrs
from twisted.trial.unittest import SynchronousTestCase

from tests.acceptance.test_crashes import CrashCase, creation
from twisted_rapi import plan
from twisted_rapi.model.steps import Step
from twisted_rapi.testing.processes import await_true

WEB1, WEB2 = "/2/instances/web1.example.com", "/2/instances/web2.example.com"
WHOLE = {**creation("web1.example.com"), "os_type": "whole", "beparams": {"minmem": 32, "maxmem": 64}}

Request = tuple[str, str, Any]
CREATE: Request = ("POST", "/2/instances", WHOLE)
START: Request = ("PUT", f"{WEB1}/startup", None)
SHUT_DOWN: Request = ("PUT", f"{WEB1}/shutdown", None)
REMOVE: Request = ("DELETE", WEB1, None)


@attrs.frozen
class Row:
    """
    A kind of step, and a job that comes to it.

    :ivar step: its tag.
    :ivar before: jobs that must have been done; `after`: those that take it back.
    """

    step: str
    job: Request
    before: tuple[Request, ...] = ()
    after: tuple[Request, ...] = ()


# Each row finds the cluster as the one before has left it.
ROWS = (
    Row("os.verify", CREATE, after=(REMOVE,)),
    Row("volume.create", CREATE, after=(REMOVE,)),
    Row("os.run", CREATE, after=(REMOVE,)),
    Row("domain.start", START, before=(CREATE, SHUT_DOWN), after=(SHUT_DOWN, REMOVE)),
    Row("volume.inspect", ("GET", f"{WEB1}/info", None), before=(CREATE,), after=(REMOVE,)),
    Row("domain.memory", ("PUT", f"{WEB1}/modify", {"runtime_mem": 48}), before=(CREATE,), after=(REMOVE,)),
    Row("domain.stop", SHUT_DOWN, before=(CREATE,), after=(REMOVE,)),
    Row("volume.activate", ("PUT", f"{WEB1}/activate-disks", None), before=(CREATE,), after=(REMOVE,)),
    Row(
        "volume.deactivate",
        ("PUT", f"{WEB1}/deactivate-disks", None),
        before=(CREATE, SHUT_DOWN),
        after=(REMOVE,),
    ),
    Row(
        "volume.move",
        ("PUT", f"{WEB1}/rename", {"new_name": "web2.example.com"}),
        before=(CREATE, SHUT_DOWN),
        after=(("DELETE", WEB2, None),),
    ),
    Row("volume.delete", REMOVE, before=(CREATE,)),
)


def asked_for() -> set[str]:
    """The tags of the steps that any plan knows."""
    names = [m.name for m in pkgutil.walk_packages(plan.__path__, f"{plan.__name__}.")]
    known = [value for name in names for value in vars(importlib.import_module(name)).values()]
    kinds = [k for k in known if isinstance(k, type) and issubclass(k, Step) and k is not Step]
    return {str(kind.__struct_config__.tag) for kind in kinds}


class TableTests(SynchronousTestCase):
    """The table itself."""

    def test_whole(self) -> None:
        """It has every kind of step that any plan knows."""
        self.assertEqual(asked_for() - {row.step for row in ROWS}, set())


class AgentCrashTests(CrashCase):
    """One cluster of one node goes through a table of step kinds."""

    NODES = 1

    def setUp(self) -> None:
        super().setUp()
        self._write_definition()
        self.agent = self.cluster.agents[0]
        self.cluster.start()

    def _write_definition(self) -> None:
        """An OS definition that has every script."""
        scripts = self.cluster.directory / "os"
        folder = scripts / "whole"
        folder.mkdir(parents=True)
        (folder / "ganeti_api_version").write_text("20\n")
        (folder / "parameters.list").write_text("")
        for name in ("create", "import", "export", "rename", "verify"):
            script = folder / name
            script.write_text("#!/bin/sh\n")
            script.chmod(0o755)
        settings = self.cluster.directory / "node1/agent.toml"
        text = settings.read_text().replace("os_search_path = []", f'os_search_path = ["{scripts}"]')
        settings.write_text(text)

    def test_each_step(self) -> None:
        """The job ends well once the agent is back, and leaves the cluster as if nothing had been."""
        for row in ROWS:
            for when in ("before", "after"):
                with self.subTest(step=row.step, when=when):
                    self._through(row, f"{when} {row.step}")

    def _through(self, row: Row, place: str) -> None:
        for request in row.before:
            self._done(request)
        self._restart_agent(RAPI_FAILPOINT=f"{place}:1")
        job = self.api.ask(*row.job)
        self.assertTrue(self.agent.ended(15), f"the job never came to {place}")
        self._restart_agent()
        self.all_ended()
        found = self.api.ask("GET", f"/2/jobs/{job}")
        self.assertEqual(found["status"], "success", (place, found))
        self.check_consistent()
        for request in row.after:
            self._done(request)

    def _restart_agent(self, **environment: str) -> None:
        self.agent.kill(signal.SIGTERM)
        self.agent.environment = environment
        self.agent.start()
        await_true("the node answers", self._nodes_answer)

    def _done(self, request: Request) -> None:
        """Run a job that has to succeed."""
        job = self.api.ask(*request)
        self.all_ended()
        found = self.api.ask("GET", f"/2/jobs/{job}")
        self.assertEqual(found["status"], "success", (request, found))
