"""
Stand-ins for ``ceph-volume`` and ``systemctl`` where there are no logical volumes and no systemd.

The OSDs they make are real ones, in files; a device is but a word.  This module as a program, called with
FOLDER HOST TOOL WORDS…, is a call of a tool on the node HOST, whose Ceph is a
`twisted_rapi.testing.ceph.CephCluster` in FOLDER.
"""

import json
import sys
from collections.abc import Mapping
from pathlib import Path

from twisted_rapi.testing.ceph import CephCluster

TOOLS = ("ceph-volume", "systemctl")
_ROOT = Path(__file__).parents[2]


def install(cluster: CephCluster, host: str) -> Path:
    """Make the tools of a node; answers the folder for its agent's ``tools_path``."""
    folder = cluster.directory / f"bin-{host}"
    folder.mkdir()
    for tool in TOOLS:
        file = folder / tool
        words = f"'{sys.executable}' -m {__name__} '{cluster.directory}' '{host}' {tool}"
        file.write_text(f"#!/bin/sh\nPYTHONPATH='{_ROOT}' exec {words} \"$@\"\n", encoding="utf-8")
        file.chmod(0o755)
    return folder


class OsdTools:
    """What the tools do on one node."""

    def __init__(self, cluster: CephCluster, host: str) -> None:
        self._cluster, self._host = cluster, host

    def _note(self, osd: int) -> Path:
        return self._cluster.directory / f"osd{osd}" / "device.json"

    def devices(self) -> Mapping[int, str]:
        """The OSDs of this node."""
        found = {}
        for file in self._cluster.directory.glob("osd*/device.json"):
            note = json.loads(file.read_text(encoding="utf-8"))
            if note["host"] == self._host:
                found[int(file.parent.name.removeprefix("osd"))] = note["device"]
        return found

    def run(self, words: list[str]) -> str:
        """
        What a call prints.

        :raises ValueError: it is none that is known here.
        """
        match words:
            case ["ceph-volume", "lvm", "list", "--format", "json", *asked]:
                found = {osd: at for osd, at in self.devices().items() if not asked or asked == [at]}
                return json.dumps(
                    {str(osd): [{"type": "block", "devices": [at]}] for osd, at in found.items()}
                )
            case ["ceph-volume", "lvm", "create", "--bluestore", "--data", device]:
                self._make(device)
            case ["ceph-volume", "lvm", "zap", "--destroy", "--osd-id", osd]:
                self._cluster.end_osd(int(osd))
            case ["ceph-volume", "lvm", "zap", "--destroy", _]:
                pass  # there is nothing on it
            case ["systemctl", "disable", "--now", unit]:
                self._cluster.stop_osd(int(unit.removeprefix("ceph-osd@")))
            case _:
                raise ValueError(f"not known here: {words}")
        return ""

    def _make(self, device: str) -> None:
        osd = self._cluster.add_osd(self._host)
        self._note(osd).write_text(json.dumps({"host": self._host, "device": device}), encoding="utf-8")


if __name__ == "__main__":
    at, its_host, *told = sys.argv[1:]
    sys.stdout.write(OsdTools(CephCluster(Path(at)), its_host).run(told))
