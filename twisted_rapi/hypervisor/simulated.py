"""
The ``fake`` hypervisor: machines that are only files.

A domain is a JSON file in a directory, so that it survives the agent as a real guest would; what is not a
file (boots in progress) is on a clock that tests may hold.
"""

import contextlib
import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from random import Random
from typing import Any

import msgspec
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from zope.interface import implementer

from twisted_rapi.errors import StepFailed
from twisted_rapi.hypervisor.interface import IHypervisor
from twisted_rapi.model.seen import DomainSeen
from twisted_rapi.model.steps import DomainSpec

InThread = Callable[..., Awaitable[Any]]
Observer = Callable[[str, DomainSeen | None], None]


@implementer(IHypervisor)
class SimulatedHypervisor:
    """
    `IHypervisor` of kind ``fake``.

    :param directory: where the files are; made when needed.
    :param boot_time: seconds a guest takes to run, `shutdown_time` to stop when it is asked.
    :ivar deaf: uuids of guests that do not hear a shutdown request.
    """

    kind = "fake"

    def __init__(
        self,
        directory: Path,
        clock: IReactorTime,
        in_thread: InThread,
        chance: Random,
        boot_time: float = 0.0,
        shutdown_time: float = 0.0,
    ) -> None:
        self._directory, self._clock, self._in_thread, self._chance = directory, clock, in_thread, chance
        self._boot_time, self._shutdown_time = boot_time, shutdown_time
        self._observers: list[Observer] = []
        self.deaf: set[str] = set()

    async def start_service(self) -> None:
        """Make the directory."""
        await self._run(lambda: self._directory.mkdir(mode=0o700, parents=True, exist_ok=True))

    async def stop_service(self) -> None:
        """Nothing has to end."""

    async def version(self) -> str:
        """See `IHypervisor.version`."""
        return "1"

    async def acceleration(self) -> str:
        """See `IHypervisor.acceleration`."""
        return "simulated"

    async def domains(self) -> Mapping[str, DomainSeen]:
        """See `IHypervisor.domains`."""
        found: dict[str, DomainSeen] = await self._run(self._read_all)
        return found

    async def start(self, domain: DomainSpec, paths: Sequence[str], paused: bool = False) -> DomainSeen:
        """See `IHypervisor.start`."""
        if len(paths) != len(domain.disks):
            raise StepFailed(f"{len(domain.disks)} disks, but {len(paths)} paths", "hypervisor")
        there = await self._find(domain.instance_uuid)
        if there is not None and there.running:
            return there
        if self._boot_time:
            await deferLater(self._clock, self._boot_time)
        seen = DomainSeen(
            name=domain.name,
            uuid=domain.instance_uuid,
            hypervisor=self.kind,
            state="paused" if paused else "running",
            memory=domain.memory,
            vcpus=domain.vcpus,
            boot=f"{self._chance.getrandbits(64):016x}",
        )
        await self._run(self._write, seen)
        self._tell(seen.name, seen)
        return seen

    async def stop(self, uuid: str, timeout: float, force: bool = False, boot: str = "") -> None:
        """See `IHypervisor.stop`."""
        there = await self._find(uuid)
        if there is None or (boot and there.boot != boot):
            return
        if not force and timeout and there.running:
            waits = timeout if uuid in self.deaf else min(timeout, self._shutdown_time)
            if waits:
                await deferLater(self._clock, waits)
        await self._run(self._remove, uuid)
        self._tell(there.name, None)

    async def set_memory(self, uuid: str, memory: int) -> None:
        """See `IHypervisor.set_memory`."""
        there = await self._find(uuid)
        if there is None or not there.running:
            raise StepFailed(f"domain {uuid} does not run", "hypervisor")
        seen = msgspec.structs.replace(there, memory=memory)
        await self._run(self._write, seen)
        self._tell(seen.name, seen)

    def observe(self, observer: Observer) -> Callable[[], None]:
        """See `IHypervisor.observe`."""
        self._observers.append(observer)
        return lambda: self._observers.remove(observer)

    async def crash(self, uuid: str) -> None:
        """Have the guest end by itself, for tests and demonstrations."""
        there = await self._find(uuid)
        if there is not None:
            seen = msgspec.structs.replace(there, state="crashed", boot="")
            await self._run(self._write, seen)
            self._tell(seen.name, seen)

    def _tell(self, name: str, seen: DomainSeen | None) -> None:
        for observer in tuple(self._observers):
            observer(name, seen)

    async def _find(self, uuid: str) -> DomainSeen | None:
        found: DomainSeen | None = await self._run(self._read, self._file(uuid))
        return found

    async def _run(self, work: Callable[..., Any], *args: Any) -> Any:
        try:
            return await self._in_thread(work, *args)
        except OSError as e:
            raise StepFailed(f"{e.filename or self._directory}: {e.strerror or e}", "hypervisor") from e

    # In a thread.

    def _file(self, uuid: str) -> Path:
        if "/" in uuid or not uuid:
            raise StepFailed(f"{uuid!r} is no uuid", "hypervisor")
        return self._directory / f"{uuid}.json"

    def _read(self, file: Path) -> DomainSeen | None:
        with contextlib.suppress(FileNotFoundError, msgspec.DecodeError):
            return msgspec.json.decode(file.read_bytes(), type=DomainSeen)
        return None

    def _read_all(self) -> dict[str, DomainSeen]:
        found = [seen for file in sorted(self._directory.glob("*.json")) if (seen := self._read(file))]
        return {seen.name: seen for seen in found}

    def _write(self, seen: DomainSeen) -> None:
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        file = self._file(seen.uuid)
        part = file.with_suffix(".part")
        part.write_bytes(msgspec.json.encode(seen))
        os.replace(part, file)

    def _remove(self, uuid: str) -> None:
        self._file(uuid).unlink(missing_ok=True)
