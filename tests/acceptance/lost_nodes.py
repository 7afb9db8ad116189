"""A node of a lab that is lost, fenced by another one's agent, and comes back."""

from collections.abc import Callable
from typing import Any

import attrs

from twisted_rapi.testing.lab.asking import Silence
from twisted_rapi.testing.lab.campaign import Campaign
from twisted_rapi.testing.lab.fencing import Fencing
from twisted_rapi.testing.lab.lab import Lab
from twisted_rapi.testing.lab.layout import Place
from twisted_rapi.testing.lab.recorder import simulated
from twisted_rapi.testing.processes import await_true

_MACHINE = "survivor.example.com"
_CREATION = {
    "__version__": 1,
    "mode": "create",
    "instance_name": _MACHINE,
    "disk_template": "sharedfile",
    "disks": [{"size": 8}],
    "nics": [],
    "os_type": "noop+default",
    "beparams": {"memory": 64},
    "tags": ["rapi:restart-elsewhere"],
}
PATIENCE = 120.0  # seconds


@attrs.define
class LostNode:
    """
    What happens to a node with a machine on it.

    :ivar seen: what queries have shown of its fate.
    """

    campaign: Campaign
    lab: Lab
    fencing: Fencing
    node: Place
    seen: list[str] = attrs.field(factory=list)

    def fate(self) -> str:
        """What a query shows of it now; "" when it is well, "?" when nobody answers."""
        answer = self.lab.read("/2/query/node?fields=name,fate")
        rows = [] if answer is None else answer["data"]
        shown = next((fate[1] or "" for name, fate in rows if name[1] == self.node.name), "?")
        if shown != "?" and shown not in self.seen[-1:]:
            self.seen.append(shown)
        return shown

    def await_fate(self, wanted: str) -> None:
        """Wait until it is shown."""
        await_true(f"the fate of {self.node.name} is {wanted!r}", lambda: self.fate() == wanted, PATIENCE)

    def job(self, method: str, path: str, body: Any = None) -> str:
        """Have a job done, and answer how it ended."""
        found: list[int] = []

        def accepted() -> bool:
            try:
                answer = self.lab.ask(method, path, body)
            except Silence:
                return False
            assert answer.status == 200, answer
            found.append(answer.body)
            return True

        await_true(f"{method} {path} is accepted", accepted, PATIENCE)
        ended: list[str] = []

        def over() -> bool:
            job = self.lab.read(f"/2/jobs/{found[0]}")
            ended[:] = [] if job is None else [job["status"]]
            return ended in (["success"], ["error"], ["canceled"])

        await_true(f"{method} {path} has ended", over, PATIENCE)
        return ended[0]

    def succeeds(self, method: str, path: str, body: Any = None) -> Callable[[], bool]:
        """Whether such a job, one after the other, does."""
        return lambda: self.job(method, path, body) == "success"

    def where(self) -> list[str]:
        """The nodes that really run the machine."""
        return [node.short for node in self.lab.layout.nodes if _MACHINE in simulated(node)]

    def runs(self) -> bool:
        """Whether the cluster says so."""
        shown = self.lab.read(f"/2/instances/{_MACHINE}")
        return shown is not None and shown["status"] == "running" and shown["pnode"] != self.node.name

    def lose(self) -> None:
        """It has a machine, and its link is gone; it is fenced, and the machine runs elsewhere."""
        assert self.job("POST", "/2/instances", {**_CREATION, "pnode": self.node.name}) == "success"
        self.fencing.put_in_place()
        self.campaign.cause("unplug-node", self.node.short)
        self.await_fate("fencing")
        assert self.where() == [self.node.short]
        self.fencing.leave()
        self.await_fate("fenced")
        await_true("the machine runs elsewhere", self.runs, PATIENCE)

    def return_(self) -> None:
        """It comes back, lets go of what is elsewhere now, and is set online by hand."""
        self.fencing.take_away()
        self.lab.repair()
        self.await_fate("recovering")
        online = self.succeeds("PUT", f"/2/nodes/{self.node.name}/role", "master-candidate")
        await_true("it can be set online", online, PATIENCE)
        self.await_fate("")
        assert len(self.where()) == 1
        assert self.job("DELETE", f"/2/instances/{_MACHINE}") == "success"
