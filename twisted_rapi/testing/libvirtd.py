"""A libvirtd of one's own, for tests: apart from any other on the machine, and gone without trace."""

import subprocess
import uuid
from collections.abc import Sequence
from pathlib import Path

import attrs

from twisted_rapi.testing.processes import Daemon, await_true

_OVERLAID = ("/run/libvirt", "/var/lib/libvirt", "/var/log/libvirt", "/var/cache/libvirt")

_LIBVIRTD = """\
unix_sock_dir = "{sockets}"
unix_sock_rw_perms = "0700"
auth_unix_rw = "none"
auth_unix_ro = "none"
host_uuid = "{uuid}"
log_outputs = "3:stderr"
"""

# Guests run as root without confinement: what confines them otherwise is not in a sandbox.
_QEMU = """\
user = "root"
group = "root"
security_driver = "none"
namespaces = []
cgroup_controllers = []
remember_owner = 0
stdio_handler = "file"
"""

_SECRET = """\
<secret ephemeral='yes' private='yes'><uuid>{uuid}</uuid>
<usage type='ceph'><name>client.{user} secret</name></usage></secret>
"""


@attrs.define
class LibvirtDaemon:
    """
    libvirtd as a process with a mount namespace of its own; everything it writes is below `directory`.

    Needs root.

    :ivar hostname: what it takes its machine's name for; empty for the real one.  Guests migrate between
        machines of different names only.
    :ivar within: what its command begins with, such as what puts it into a network namespace.
    :ivar sockets: where clients reach it; a folder of a short path, which is made.
    """

    directory: Path
    hostname: str = ""
    within: Sequence[str] = ()
    sockets: Path = attrs.field()
    _daemon: Daemon | None = None

    @property
    def uri(self) -> str:
        """How clients reach it."""
        return f"qemu+unix:///system?socket={self.sockets / 'libvirt-sock'}"

    @sockets.default
    def _short(self) -> Path:
        # The path of a socket has to be short, wherever the tests are.
        return Path(f"/tmp/rapi-libvirt-{abs(hash(str(self.directory))):x}"[:40])

    def start(self) -> None:
        """Start it and wait until it answers."""
        self.sockets.mkdir(mode=0o700, parents=True, exist_ok=True)
        config = self.directory / "libvirtd.conf"
        self.directory.mkdir(parents=True, exist_ok=True)
        config.write_text(_LIBVIRTD.format(sockets=self.sockets, uuid=uuid.uuid4()), encoding="utf-8")
        etc = self.directory / "etc"
        etc.mkdir(exist_ok=True)
        (etc / "qemu.conf").write_text(_QEMU, encoding="utf-8")
        mounts = [(self.directory / name.strip("/").replace("/", "-"), name) for name in _OVERLAID]
        for source, target in mounts:
            source.mkdir(exist_ok=True)
            Path(target).mkdir(parents=True, exist_ok=True)
        Path("/etc/libvirt").mkdir(exist_ok=True)
        lines = [f"mount --bind '{source}' '{target}'" for source, target in [*mounts, (etc, "/etc/libvirt")]]
        pid = self.directory / "pid"
        lines.append(f"exec libvirtd --config '{config}' --pid-file '{pid}'")
        if self.hostname:
            lines.insert(0, f"hostname '{self.hostname}'")
        command = (
            *self.within,
            "unshare",
            "--mount",
            "--uts",
            "--propagation",
            "private",
            "sh",
            "-ec",
            "\n".join(lines),
        )
        self._daemon = Daemon("libvirtd", command, self.directory / "log", self.answers)
        self._daemon.start()

    def answers(self) -> bool:
        """Whether it does."""
        if not (self.sockets / "libvirt-sock").exists():
            return False
        command = ["virsh", "-c", self.uri, "version"]
        try:
            return subprocess.run(command, capture_output=True, timeout=20, check=False).returncode == 0
        except subprocess.TimeoutExpired:
            return False  # the machine is busy

    def virsh(self, *arguments: str) -> str:
        """What ``virsh`` says; empty when it fails."""
        command = ["virsh", "-q", "-c", self.uri, *arguments]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False).stdout

    def keep_secret(self, uuid: str, user: str, key: str) -> None:
        """Have it know the key of a user of Ceph by a uuid, for as long as it runs."""
        file = self.directory / f"{uuid}.xml"
        file.write_text(_SECRET.format(uuid=uuid, user=user), encoding="utf-8")
        self.virsh("secret-define", str(file))
        self.virsh("secret-set-value", uuid, key)

    def domains(self) -> list[str]:
        """The names of all domains."""
        return self.virsh("list", "--all", "--name").split()

    def qemu_pids(self) -> list[int]:
        """The processes of its guests."""
        files = (self.directory / "run-libvirt" / "qemu").glob("*.pid")
        texts = [f.read_text().strip() for f in files if f.name != "driver.pid"]
        return [int(text) for text in texts if text.isdigit() and Path(f"/proc/{text}").exists()]

    def stop(self) -> None:
        """End its guests and itself, and remove what it made."""
        if self._daemon is not None:
            for name in self.domains():
                self.virsh("destroy", name)
                self.virsh("undefine", name)
            await_true("all guests are gone", lambda: not self.qemu_pids(), 20)
            self._daemon.stop()
        for file in self.sockets.glob("*"):
            file.unlink()
        if self.sockets.exists():
            self.sockets.rmdir()
