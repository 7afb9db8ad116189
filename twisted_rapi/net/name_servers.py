"""
The dnsmasq processes of a node; all of it blocks and belongs in a thread.

Note [Whose they are].  They run as daemons: no agent is their parent, the next one finds them by what they
were told (the configuration names its own file), and waits for their end by a handle of the kernel's (pidfd).
"""

import os
import select
import shutil
import signal
import subprocess
from collections.abc import Callable, Collection, Iterable
from contextlib import AbstractContextManager
from pathlib import Path

from twisted_rapi.errors import StepFailed
from twisted_rapi.model.virtual_network import DhcpLeaseRecord
from twisted_rapi.net.dnsmasq import CONFIGURATION, HOSTS, LEASES, PID, lease_file, read_leases
from twisted_rapi.net.topology import Served

PATIENCE = 10.0  # seconds a program has
TERM_TIME = 2.0  # seconds dnsmasq has to end by itself


class NameServers:
    """
    Those that have their files below a folder, each in one named by its network's id.

    :param within: enters the network namespace that they belong to, in this thread.
    """

    def __init__(
        self, folder: Path, program: str, within: Callable[[], AbstractContextManager[None]]
    ) -> None:
        self._folder, self._program, self._within = folder, program, within

    def folder(self, vni: int) -> Path:
        """Where one's files are."""
        return self._folder / str(vni)

    def known(self) -> list[int]:
        """The ids of networks that have files, whether anything runs or not."""
        return sorted(int(path.name) for path in self._folder.glob("*") if path.name.isdecimal())

    def running(self) -> dict[int, Served]:
        """What those that run were told."""
        found = {}
        for vni in self.known():
            handle = self.handle(vni)
            if handle is not None:
                os.close(handle)
                found[vni] = Served(self._read(vni, CONFIGURATION), self._read(vni, HOSTS))
        return found

    def handle(self, vni: int) -> int | None:
        """A pidfd of the process, to be closed by who asked; ``None``: it does not run."""
        try:
            pid = int(self._read(vni, PID))
            handle = os.pidfd_open(pid)
        except (ValueError, OSError):
            return None
        try:
            command = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        except OSError:
            command = []
        if f"--conf-file={self.folder(vni) / CONFIGURATION}".encode() in command and not _ended(handle, 0):
            return handle
        os.close(handle)
        return None

    def start(self, vni: int, told: Served, leases: Iterable[DhcpLeaseRecord]) -> None:
        """
        Run it, or run it anew, with the leases it had and those that are known beside them.

        :raises StepFailed: kind ``network``: it does not run.
        """
        self._end(vni)
        folder = self.folder(vni)
        folder.mkdir(mode=0o755, parents=True, exist_ok=True)
        # Both are right about some: the store's are those of the server before, the file's may be newer.
        merged = {lease.address: lease for lease in leases}
        for lease in self.leases(vni, ""):
            known = merged.get(lease.address)
            if known is None or not _later(known, lease):
                merged[lease.address] = lease
        _put(folder / LEASES, lease_file(merged.values()))
        (folder / HOSTS).write_text(told.hosts, encoding="utf-8")
        (folder / CONFIGURATION).write_text(told.configuration, encoding="utf-8")
        self._run([self._program, f"--conf-file={folder / CONFIGURATION}"])

    def tell(self, vni: int, told: Served) -> None:
        """Have it read other static leases."""
        (self.folder(vni) / HOSTS).write_text(told.hosts, encoding="utf-8")
        handle = self.handle(vni)
        if handle is not None:
            try:
                signal.pidfd_send_signal(handle, signal.SIGHUP)
            finally:
                os.close(handle)

    def forget(self, vni: int, addresses: Collection[str]) -> None:
        """End it; when it is started again it does not know the leases of these addresses."""
        self._end(vni)
        kept = [lease for lease in self.leases(vni, "") if lease.address not in addresses]
        _put(self.folder(vni) / LEASES, lease_file(kept))

    def stop(self, vni: int) -> None:
        """End it, and leave nothing of it."""
        self._end(vni)
        shutil.rmtree(self.folder(vni), ignore_errors=True)

    def leases(self, vni: int, network: str) -> tuple[DhcpLeaseRecord, ...]:
        """Those in its file, as of the network with this uuid; none where there is no file."""
        return read_leases(self._read(vni, LEASES), network)

    def kept(self, vni: int, network: str) -> tuple[DhcpLeaseRecord, ...]:
        """
        The same.

        :raises OSError: there is no file.
        """
        text = (self.folder(vni) / LEASES).read_text(encoding="utf-8", errors="replace")
        return read_leases(text, network)

    def _read(self, vni: int, name: str) -> str:
        try:
            return (self.folder(vni) / name).read_text(encoding="utf-8", errors="replace")
        except FileNotFoundError:
            return ""

    def _end(self, vni: int) -> None:
        handle = self.handle(vni)
        if handle is None:
            return
        try:
            signal.pidfd_send_signal(handle, signal.SIGTERM)
            if not _ended(handle, TERM_TIME):
                signal.pidfd_send_signal(handle, signal.SIGKILL)
                _ended(handle, TERM_TIME)
        except ProcessLookupError:
            return
        finally:
            os.close(handle)

    def _run(self, command: list[str]) -> None:
        run(command, self._within)


def _put(path: Path, text: str) -> None:
    """Have a file be this, or what it was: half of the leases would be taken for all there are."""
    new = path.with_name(f"{path.name}.new")
    new.write_text(text, encoding="utf-8")
    new.replace(path)


def _later(one: DhcpLeaseRecord, other: DhcpLeaseRecord) -> bool:
    """Whether one lease ends after another; 0 is never."""
    return (one.expires or float("inf")) > (other.expires or float("inf"))


def _ended(handle: int, seconds: float) -> bool:
    waiting = select.poll()
    waiting.register(handle, select.POLLIN)
    return bool(waiting.poll(seconds * 1000))


def run(command: list[str], within: Callable[[], AbstractContextManager[None]], text: str = "") -> str:
    """
    What a program prints, given `text`; blocks.

    :raises StepFailed: kind ``network``: it is not there, takes too long, or fails; with its last words.
    """
    name = Path(command[0]).name
    try:
        with within():
            done = subprocess.run(  # noqa: S603 -- no shell; arguments are our own
                command,
                input=text,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=PATIENCE,
                check=False,
                env={"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C"},
            )
    except FileNotFoundError as e:
        raise StepFailed(f"{name} is not installed", "network") from e
    except subprocess.TimeoutExpired as e:
        raise StepFailed(f"{name} took longer than {PATIENCE:.0f} s", "network") from e
    except OSError as e:
        raise StepFailed(f"{name} cannot be run: {e.strerror or e}", "network") from e
    if done.returncode:
        words = " ".join((done.stderr or done.stdout).split())[:500]
        raise StepFailed(f"{name}: {words or f'exit status {done.returncode}'}", "network")
    return done.stdout
