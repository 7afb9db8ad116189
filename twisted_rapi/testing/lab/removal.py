"""Taking labs down, whoever set them up and however that ended."""

import os
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path

from twisted_rapi.testing.lab.commands import NAMESPACES, LabError, run
from twisted_rapi.testing.lab.layout import BASE, NAME


def namespaces(beginning: str) -> list[str]:
    """Network namespaces whose names begin so."""
    return sorted(path.name for path in NAMESPACES.glob(f"{beginning}*")) if NAMESPACES.exists() else []


def processes(namespace: str) -> Iterator[int]:
    """The processes in a network namespace; those that have ended and are not reaped are none."""
    try:
        wanted = os.stat(NAMESPACES / namespace)
    except OSError:
        return
    for path in Path("/proc").glob("[0-9]*"):
        try:
            found = os.stat(path / "ns/net")
        except OSError:
            continue
        if (found.st_ino, found.st_dev) == (wanted.st_ino, wanted.st_dev):
            yield int(path.name)


def end_all(namespace: str, seconds: float = 10.0) -> None:
    """
    End every process in a namespace without a word, stopped ones too.

    :raises LabError: one is still there after `seconds`.
    """
    deadline = time.monotonic() + seconds
    while left := list(processes(namespace)):
        for pid in left:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        if time.monotonic() > deadline:
            raise LabError(f"processes {left} in {namespace} do not end")
        time.sleep(0.02)


def mounts(beginning: str) -> list[tuple[str, str]]:
    """Sources whose names begin so, and where they are mounted, innermost first."""
    found = []
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        before, _, after = line.partition(" - ")
        if after.split()[1].startswith(beginning):
            found.append((after.split()[1], before.split()[4]))
    return found[::-1]


def labs(base: Path = BASE) -> list[str]:
    """The names of all labs of which there is anything."""
    names = {path.name for path in base.glob(f"{NAME}*")}
    names |= {name.partition("-")[0] for name in namespaces(NAME)}
    return sorted(names | {name for name, _ in mounts(NAME)})


def remove(name: str, base: Path = BASE) -> list[str]:
    """
    Leave nothing of a lab; answers what there was.

    :raises LabError: something cannot be removed.
    """
    found = namespaces(f"{name}-")
    for namespace in found:
        end_all(namespace)
    for namespace in found:
        run("ip", "netns", "delete", namespace)
    for source, place in mounts(name):
        if source == name:
            run("umount", "--lazy", place)
            found.append(place)
    folder = base / name
    if folder.exists():
        shutil.rmtree(folder)
        found.append(str(folder))
    return found


def abandoned(base: Path = BASE) -> list[str]:
    """Labs that are named after the number of a process that is gone: of tests that were killed."""
    numbers = {name: name.removeprefix(NAME) for name in labs(base)}
    return [name for name, n in numbers.items() if n.isdigit() and not Path(f"/proc/{n}").exists()]
