"""Commands that the lab is made with, and what is run inside of its namespaces."""

import ctypes
import os
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

NAMESPACES = Path("/run/netns")
_Result = TypeVar("_Result")
_NEWNET = 0x40000000  # CLONE_NEWNET of sched.h


class LabError(Exception):
    """The lab cannot do what it was told; the text says why."""


def run(*command: str, told: str = "", seconds: float = 60.0) -> str:
    """
    What a command says, given `told` on its standard input.

    :raises LabError: it fails, is not there, or takes too long.
    """
    try:
        ran = subprocess.run(
            command, input=told, capture_output=True, text=True, timeout=seconds, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as e:
        raise LabError(f"{' '.join(command)}: {e}") from e
    if ran.returncode:
        raise LabError(f"{' '.join(command)}: {ran.stderr.strip() or ran.stdout.strip()}")
    return ran.stdout


def inside(namespace: str) -> tuple[str, ...]:
    """What a command begins with that is to run in a network namespace."""
    return ("nsenter", f"--net={NAMESPACES / namespace}")


def enter(namespace: str) -> None:
    """
    Put the calling thread, and no other, into a network namespace for good.

    :raises LabError: there is none, or this is not root.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    try:
        handle = os.open(NAMESPACES / namespace, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as e:
        raise LabError(str(e)) from e
    try:
        if libc.setns(handle, _NEWNET):
            raise LabError(f"{namespace}: {os.strerror(ctypes.get_errno())}")
    finally:
        os.close(handle)


def within(namespace: str, work: Callable[[], _Result]) -> _Result:
    """What `work` answers in a network namespace; sockets that it makes stay there."""
    with ThreadPoolExecutor(1, initializer=enter, initargs=(namespace,)) as pool:
        return pool.submit(work).result()
