"""What a lab needs of the machine, and what of it is not there."""

import os
import shutil
import tempfile
import uuid

from twisted_rapi.testing.lab.commands import LabError, inside, run
from twisted_rapi.testing.lab.cutting import EVERYONE, Cut, ruleset
from twisted_rapi.testing.lab.daemons import missing_faketime
from twisted_rapi.testing.lab.layout import NAME

TOOLS = {
    "ip": "iproute2",
    "tc": "iproute2",
    "nft": "nftables",
    "etcd": "etcd-server",
    "nsenter": "util-linux",
    "mount": "mount",
}
"""Commands, and Debian's names for what they come with."""


def missing(clocks: bool = False, guests: bool = False) -> str | None:
    """Why no lab can be set up here; ``None`` when one can."""
    if os.geteuid() != 0:
        return "a lab needs root"
    wanted = TOOLS | (
        {"libvirtd": "libvirt-daemon", "qemu-system-x86_64": "qemu-system-x86"} if guests else {}
    )
    gone = [package for tool, package in wanted.items() if shutil.which(tool) is None]
    if clocks and missing_faketime():
        gone.append("libfaketime")
    if gone:
        return f"not on this machine: {', '.join(sorted(set(gone)))}"
    return _refused()


def _refused() -> str | None:
    """What the kernel refuses of mounts, namespaces, bridges and their rules."""
    name = f"{NAME}probe-{uuid.uuid4().hex[:8]}"
    try:
        with tempfile.TemporaryDirectory(prefix=name) as folder:
            run("mount", "-t", "tmpfs", "-o", "size=1m", name, folder)
            run("umount", folder)
        run("ip", "netns", "add", name)
    except LabError as e:
        return f"no mounts or no network namespaces: {e}"
    try:
        run("ip", "-n", name, "link", "add", "br0", "type", "bridge")
        run("ip", "-n", name, "link", "add", "one", "type", "veth", "peer", "name", "two")
        run(
            *inside(name),
            "nft",
            "-f",
            "-",
            told=ruleset([Cut("one", "two", (1,)), Cut("one", EVERYONE, (), 5)]),
        )
        run(*inside(name), "ls", "/dev/net/tun")
    except LabError as e:
        return f"this kernel lacks something: {e}"
    finally:
        run("ip", "netns", "delete", name)
    return None
