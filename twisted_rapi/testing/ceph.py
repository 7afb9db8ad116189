"""A real Ceph as processes on this machine's loopback, in one directory: no kernel module, no device."""

import os
import shutil
import signal
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from uuid import uuid4

import attrs
import msgspec

from twisted_rapi.testing.processes import Daemon, await_true, free_port

HOST = "127.0.0.1"
_BLOCK = 2 << 30  # bytes of the file of an OSD, which is sparse

_CONF = """\
[global]
fsid = {fsid}
mon host = {host}:{port}
mon initial members = a
public addr = {host}
auth cluster required = cephx
auth service required = cephx
auth client required = cephx
keyring = {folder}/keyring
run dir = {folder}
crash dir = {folder}
admin socket = {folder}/$name.$pid.asok
log file =
pid file =
mon data = {folder}/mon
mgr data = {folder}/mgr
osd data = {folder}/osd$id
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 8
osd pool default pg autoscale mode = off
osd crush chooseleaf type = 0
osd memory target = 900000000
bluestore block size = {block}
mgr initial modules =
mgr tick period = 1
mgr stats period = 1
osd mon report interval = 1
mon tick interval = 1
paxos propose interval = 0.05
paxos min wait = 0.01
mon allow pool delete = true
mon allow pool size one = true
mon warn on pool no redundancy = false
mon warn on insecure global id reclaim allowed = false
mon data avail warn = 1
mon data avail crit = 1
"""
_CAPS = {
    "client.admin": {"mon": "allow *", "mgr": "allow *", "osd": "allow *", "mds": "allow *"},
    "mgr.x": {"mon": "allow profile mgr", "osd": "allow *", "mds": "allow *"},
}
_OSD_CAPS = {"mon": "allow profile osd", "mgr": "allow profile osd", "osd": "allow *"}


@attrs.define
class CephCluster:
    """
    One monitor, one manager and some OSDs, with cephx; everything is below `directory`.

    :ivar directory: absolute and short: sockets are in it.
    """

    directory: Path
    osds: int = 2
    fsid: str = attrs.field(factory=lambda: str(uuid4()))
    daemons: dict[str, Daemon] = attrs.field(factory=dict)

    @property
    def conf(self) -> Path:
        """Its configuration, for clients too."""
        return self.directory / "ceph.conf"

    @property
    def monitor(self) -> str:
        """Where its monitor listens."""
        [line] = [line for line in self.conf.read_text(encoding="utf-8").splitlines() if "mon host" in line]
        return line.rpartition(" ")[2]

    def start(self) -> None:
        """
        Make it and wait until all OSDs are up.

        :raises DidNotStart, TimeoutError, subprocess.CalledProcessError: it cannot be.
        """
        self.directory.mkdir(parents=True)
        text = _CONF.format(
            fsid=self.fsid, host=HOST, port=(port := free_port()), folder=self.directory, block=_BLOCK
        )
        self.conf.write_text(text, encoding="utf-8")
        self._make_monitor(port)
        self._daemon("mon.a", "ceph-mon", "-i", "a", "--public-addr", f"{HOST}:{port}")
        self._daemon("mgr.x", "ceph-mgr", "-i", "x", "--keyring", str(self.directory / "mgr" / "keyring"))
        with ThreadPoolExecutor(self.osds) as pool:
            list(pool.map(lambda _: self.add_osd(), range(self.osds)))
        await_true("all OSDs are up", lambda: self.up() == self.osds, 120)

    def _make_monitor(self, port: int) -> None:
        """Keys are made before there is a monitor, which then knows them from its beginning."""
        folder = self.directory
        for name in ("mon", "mgr"):
            (folder / name).mkdir()
        self._key(folder / "first", "mon.", {"mon": "allow *"})
        for name, caps in _CAPS.items():
            file = folder / "keyring" if name.startswith("client") else folder / "mgr" / "keyring"
            self._key(file, name, caps)
            self.tool("ceph-authtool", str(folder / "first"), "--import-keyring", str(file))
        monitors = str(folder / "monmap")
        self.tool(
            "monmaptool", "--create", "--addv", "a", f"[v2:{HOST}:{port}]", "--fsid", self.fsid, monitors
        )
        self.tool("ceph-mon", "--mkfs", "-i", "a", "--monmap", monitors, "--keyring", str(folder / "first"))

    def _key(self, file: Path, name: str, caps: dict[str, str]) -> None:
        told = [word for kind, what in caps.items() for word in ("--cap", kind, what)]
        self.tool("ceph-authtool", "--create-keyring", str(file), "--gen-key", "-n", name, *told)

    def add_osd(self, host: str = "") -> int:
        """
        Make and start one more OSD; its number.

        :param host: what Ceph has it under; empty: this machine.
        """
        uuid = str(uuid4())
        number = int(self.tool("ceph", "osd", "new", uuid))
        folder = self.directory / f"osd{number}"
        folder.mkdir()
        keyring = folder / "keyring"
        self._key(keyring, f"osd.{number}", _OSD_CAPS)
        self.tool("ceph", "auth", "add", f"osd.{number}", "-i", str(keyring))
        self.tool("ceph-osd", "-i", str(number), "--mkfs", "--osd-uuid", uuid, "--keyring", str(keyring))
        place = ("--crush-location", f"root=default host={host}") if host else ()
        pid = ("--pid-file", str(folder / "pid"))
        self._daemon(f"osd.{number}", "ceph-osd", "-i", str(number), "--keyring", str(keyring), *place, *pid)
        return number

    def stop_osd(self, number: int) -> None:
        """End the process of an OSD, whoever started it; done already is well."""
        if daemon := self.daemons.pop(f"osd.{number}", None):
            daemon.stop()
        elif (pid := self._pid(number)) is not None:
            os.kill(pid, signal.SIGTERM)
            await_true(f"the OSD {number} has ended", lambda: self._pid(number) is None, 60)

    def _pid(self, number: int) -> int | None:
        """The process of an OSD that another process has started; ``None``: it does not run."""
        try:
            pid = int((self.directory / f"osd{number}" / "pid").read_text(encoding="utf-8"))
            running = str(self.conf) in Path(f"/proc/{pid}/cmdline").read_text(encoding="utf-8")
        except (OSError, ValueError):
            return None
        return pid if running else None

    def end_osd(self, number: int) -> None:
        """End the process of an OSD and remove its files; done already is well."""
        self.stop_osd(number)
        shutil.rmtree(self.directory / f"osd{number}", ignore_errors=True)

    def _daemon(self, name: str, program: str, *arguments: str) -> None:
        command = (program, "-f", "-c", str(self.conf), *arguments)
        daemon = Daemon(name, command, self.directory / f"{name}.out", lambda: True)
        daemon.start(wait=False)
        self.daemons[name] = daemon

    def tool(self, *command: str) -> str:
        """
        What a tool prints.

        :raises subprocess.CalledProcessError: it fails; with what it says.
        """
        words = (command[0], *command[1:]) if command[0] == "monmaptool" else self._configured(command)
        try:
            ended = subprocess.run(words, capture_output=True, text=True, timeout=120, check=True)
        except subprocess.CalledProcessError as e:
            e.add_note(e.stderr)
            raise
        return ended.stdout

    def _configured(self, command: tuple[str, ...]) -> tuple[str, ...]:
        return (command[0], "-c", str(self.conf), *command[1:])

    def ask(self, *command: str) -> Any:
        """What a tool prints as JSON."""
        return msgspec.json.decode(self.tool(*command, "--format", "json"))

    def up(self) -> int:
        """How many OSDs are up."""
        found: int = self.ask("ceph", "osd", "stat")["num_up_osds"]
        return found

    def key(self, user: str = "admin") -> str:
        """The key of a user, whose name is without ``client.``."""
        return self.tool("ceph", "auth", "get-key", f"client.{user}").strip()

    def add_user(self, user: str, caps: dict[str, str]) -> None:
        """Let a user in, whom tools with this configuration can be."""
        told = [word for kind, what in caps.items() for word in (kind, what)]
        made = self.tool("ceph", "auth", "get-or-create", f"client.{user}", *told)
        with (self.directory / "keyring").open("a", encoding="utf-8") as f:
            f.write(made)

    def add_pool(self, name: str) -> None:
        """Make a pool for images."""
        self.tool("ceph", "osd", "pool", "create", name, "8", "replicated")
        self.tool("ceph", "osd", "pool", "application", "enable", name, "rbd")

    def remove(self) -> None:
        """End everything and leave no file."""
        for daemon in reversed(self.daemons.values()):
            daemon.kill()
        for folder in self.directory.glob("osd[0-9]*"):
            if (pid := self._pid(int(folder.name.removeprefix("osd")))) is not None:
                os.kill(pid, signal.SIGKILL)
        shutil.rmtree(self.directory, ignore_errors=True)
