"""
Whether KVM can run a guest here.

That /dev/kvm is there says little: nested virtualisation may offer it and hang on a real kernel.  So a guest
is run: a boot sector that waits for timer interrupts and ends QEMU with a known status; and then, where this
machine has one, a kernel, until it gives up for want of a root file system.
"""

import os
import re
import shutil
import tempfile
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.protocol import ProcessProtocol
from twisted.python.failure import Failure

QEMU = "qemu-system-x86_64"
PATIENCE = 8.0
DONE = 0x10
DONE_STATUS = (DONE << 1) | 1  # how isa-debug-exit tells it

# 16-bit code: count 20 ticks of the BIOS timer (interrupts have to come), then out 0xf4, DONE.
#   xor ax,ax; mov ds,ax; sti; mov bx,[0x46c]; add bx,20
#   wait: hlt; mov ax,[0x46c]; cmp ax,bx; jb wait;  mov al,DONE; out 0xf4,al; hlt
_CODE = bytes.fromhex("31c08ed8fb8b1e6c0483c314f4a16c0439d872f8") + bytes([0xB0, DONE, 0xE6, 0xF4, 0xF4])
SECTOR = _CODE.ljust(510, b"\x00") + b"\x55\xaa"


PANICKED = 1000  # what `_run` answers for a kernel that came up and found no root
_PANIC = b"Kernel panic - not syncing: VFS"


class _Exit(ProcessProtocol):
    def __init__(self) -> None:
        self.ended: Deferred[int] = Deferred()
        self._said = b""

    def outReceived(self, data: bytes) -> None:
        self._said = (self._said + data)[-100_000:]

    def processEnded(self, reason: Failure) -> None:
        value: Any = reason.value
        if not self.ended.called:
            status = value.exitCode if value.exitCode is not None else -1
            # A kernel that is reset early ends QEMU well, too: only its words tell.
            self.ended.callback(PANICKED if status == 0 and _PANIC in self._said else status)


async def acceleration(reactor: Any, in_thread: Callable[..., Awaitable[Any]]) -> str:
    """``kvm``, or ``tcg: `` and why not."""
    wanted = os.environ.get("RAPI_ACCELERATION", "")
    if wanted == "tcg":
        return "tcg: as RAPI_ACCELERATION says"
    if not Path("/dev/kvm").exists():
        return "tcg: there is no /dev/kvm"
    qemu = shutil.which(QEMU)
    if qemu is None:
        return f"tcg: {QEMU} is not installed"
    folder = await in_thread(_write_sector)
    try:
        status = await _run(reactor, qemu, _sector_arguments(folder / "sector"))
    finally:
        await in_thread(shutil.rmtree, folder, True)
    if status != DONE_STATUS:
        return f"tcg: a guest does not run under KVM here (status {status})"
    kernel = await in_thread(lambda: newest_kernel(Path("/boot").glob("vmlinuz-*")))
    if kernel is not None and await _run(reactor, qemu, _kernel_arguments(kernel)) != PANICKED:
        return f"tcg: {kernel.name} does not come up under KVM here"
    return "kvm"


def newest_kernel(kernels: Iterable[Path]) -> Path | None:
    """The one of the highest version by its name; ``None`` of none."""
    return max(kernels, key=lambda kernel: _version(kernel.name), default=None)


def _version(name: str) -> tuple[tuple[int, int, str], ...]:
    """
    A name such that versions compare as versions: numbers as numbers, words before them.

    ``6.1.0-rc1`` is before ``6.1.0``: what follows ``rc`` counts down from the release it leads to.
    """
    parts = re.findall(r"[0-9]+|[a-z]+", name.lower())
    ranked = [(1, int(p), "") if p.isdigit() else (-1 if p == "rc" else 0, 0, p) for p in parts]
    return (*ranked, (0, 0, ""))


def _write_sector() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="rapi-probe-"))
    (folder / "sector").write_bytes(SECTOR)
    return folder


def _sector_arguments(sector: Path) -> list[str]:
    drive = f"file={sector},format=raw,if=ide"
    return ["-m", "16", "-device", "isa-debug-exit,iobase=0xf4,iosize=0x04", "-drive", drive]


def _kernel_arguments(kernel: Path) -> list[str]:
    # Without a root it panics, says so, and with these it then ends at once.
    append = "console=ttyS0 panic=-1 quiet"
    return ["-m", "256", "-kernel", str(kernel), "-serial", "stdio", "-append", append]


async def _run(reactor: Any, qemu: str, more: list[str]) -> int:
    exit_of = _Exit()
    plain = ["-accel", "kvm", "-display", "none", "-nodefaults", "-no-reboot"]
    process = reactor.spawnProcess(exit_of, qemu, [qemu, *plain, *more], env={"PATH": "/usr/bin:/bin"})
    timer = reactor.callLater(PATIENCE, process.signalProcess, "KILL")
    status = await exit_of.ended
    if timer.active():
        timer.cancel()
    return status
