"""Real guests in a lab go on running whatever becomes of the master."""

import re
from typing import Any

from tests.acceptance.guests import NEEDS
from tests.acceptance.lab import LabCase
from tests.requirements import missing
from twisted_rapi.testing.lab.layout import Layout
from twisted_rapi.testing.processes import await_true

GUEST = "guest1.example.com"


class GuestTests(LabCase):
    """One guest that counts, on a node of its own or on the master's."""

    skip = LabCase.skip or missing(*NEEDS)

    def layout(self, name: str) -> Layout:
        """With a libvirtd on each node."""
        return Layout(name=name, guests=True)

    def create(self, node: str) -> None:
        """Have the guest run there."""
        body = {
            "__version__": 1,
            "mode": "create",
            "instance_name": GUEST,
            "disk_template": "sharedfile",
            "disks": [{"size": 64}],
            "nics": [],
            "os_type": "minimal+default",
            "osparams": {"marker": "found-me"},
            "beparams": {"memory": 192},
            "hvparams": {"vnc_bind_address": ""},
            "pnode": node,
        }
        job = self.lab.ask("POST", "/2/instances", body).body
        shown: dict[str, Any] = {}

        def ended() -> bool:
            shown.update(self.lab.read(f"/2/jobs/{job}") or {"status": ""})
            return shown["status"] in ("success", "error", "canceled")

        await_true("the guest is made", ended, 120)
        self.assertEqual(shown["status"], "success", shown)

    def count(self) -> int:
        """How far it has counted since it was started; it never has to begin anew."""
        texts = [
            file.read_text(errors="replace") for file in self.lab.layout.directory.glob("node*/serial/*")
        ]
        numbers = [int(n) for text in texts for n in re.findall(r"COUNT=(\d+)\r?\n", text)]
        self.assertEqual(numbers, sorted(numbers), "it began to count anew")
        return max(numbers, default=-1)

    def counts_on(self) -> None:
        """It counts further than it has."""
        before = self.count()
        await_true(f"it counts beyond {before}", lambda: self.count() > before, 90)

    def test_guest(self) -> None:
        """It counts on, without a gap in its numbers, while masters are killed, frozen, cut off and lost."""
        self.create(self.lab.master().name)
        self.counts_on()
        for fault in ("kill-master", "freeze-master", "cut-master"):
            before, _ = self.campaign.cause(fault)
            self.await_another_than(before)
            self.counts_on()
            self.campaign.mend()
        here = self.lab.read(f"/2/instances/{GUEST}")["pnode"]
        while self.lab.master().name == here:
            self.campaign.cause("kill-master")
            self.campaign.mend()
        before, _ = self.campaign.cause("lose-master")
        self.await_another_than(before)
        self.counts_on()
        self.campaign.mend()
        self.assertEqual(self.lab.read(f"/2/instances/{GUEST}")["status"], "running")
        self.judge()
