"""What this machine is and has; read in a thread.  Memory is MiB."""

import os
from pathlib import Path

import attrs

from twisted_rapi.agent.settings import Simulated


@attrs.frozen(kw_only=True)
class Facts:
    """
    Sizes and bridges of a machine.

    :ivar boot_id: another one after each boot; empty where the system has none.
    :ivar load: of the last minute; `uname`: release of the kernel, system, kind of machine.
    """

    memory_total: int
    memory_free: int
    cpus: int
    sockets: int = 1
    numa_nodes: int = 1
    bridges: tuple[str, ...] = ()
    boot_id: str = ""
    load: float = 0.0
    uname: tuple[str, str, str] = ("", "", "")


def memory(proc: Path = Path("/proc")) -> tuple[int, int]:
    """Total and available memory of the machine."""
    found = {}
    for line in (proc / "meminfo").read_text(encoding="ascii").splitlines():
        name, _, rest = line.partition(":")
        found[name] = int(rest.split()[0]) // 1024
    return found["MemTotal"], found.get("MemAvailable", found["MemFree"])


def boot(proc: Path = Path("/proc")) -> str:
    """What the system calls this boot of it; empty where it does not say."""
    try:
        return (proc / "sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return ""


def load() -> float:
    """How many processes wanted a processor within the last minute; 0 where the system does not say."""
    try:
        return round(os.getloadavg()[0], 2)
    except OSError:
        return 0.0


def uname() -> tuple[str, str, str]:
    """The release of the kernel, the system and the kind of machine."""
    found = os.uname()
    system = "GNU/Linux" if found.sysname == "Linux" else found.sysname
    return found.release, system, found.machine


def read(proc: Path = Path("/proc"), sysfs: Path = Path("/sys")) -> Facts:
    """The machine's own."""
    total, free = memory(proc)
    bridges = sorted(p.parent.name for p in (sysfs / "class/net").glob("*/bridge"))
    numa = len(list((sysfs / "devices/system/node").glob("node[0-9]*"))) or 1
    packages = {
        p.read_text(encoding="ascii").strip()
        for p in (sysfs / "devices/system/cpu").glob("cpu[0-9]*/topology/physical_package_id")
    }
    return Facts(
        memory_total=total,
        memory_free=free,
        cpus=os.cpu_count() or 1,
        sockets=len(packages) or 1,
        numa_nodes=numa,
        bridges=tuple(bridges),
        boot_id=boot(proc),
        load=load(),
        uname=uname(),
    )


def simulated(sizes: Simulated, used: int) -> Facts:
    """Those of a simulated machine whose guests use so many MiB."""
    return Facts(
        memory_total=sizes.memory,
        memory_free=max(0, sizes.memory - used),
        cpus=sizes.cpus,
        bridges=sizes.bridges,
        uname=uname(),
    )
