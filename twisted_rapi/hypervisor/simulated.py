"""
The ``fake`` hypervisor: machines that are only files.

A domain is a JSON file in a directory, so that it survives the agent as a real guest would; what is not a
file (boots in progress) is on a clock that tests may hold.  Whoever changes a file changes the machine.
"""

import contextlib
import os
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from pathlib import Path
from random import Random
from typing import Any

import msgspec
from twisted.internet.defer import Deferred, DeferredLock
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger
from zope.interface import implementer

from twisted_rapi.errors import StepFailed
from twisted_rapi.hypervisor.folder import Watch, unwatched
from twisted_rapi.hypervisor.interface import IHypervisor
from twisted_rapi.hypervisor.observers import Observer, Observers
from twisted_rapi.model.seen import DomainSeen
from twisted_rapi.model.steps import DiskSpec, DomainSpec, MigrationTarget, NicSpec, device_name

InThread = Callable[..., Awaitable[Any]]


@implementer(IHypervisor)
class SimulatedHypervisor:
    """
    `IHypervisor` of kind ``fake``.

    :param directory: where the files are; made when needed.
    :param boot_time: seconds a guest takes to run, `shutdown_time` to stop when it is asked.
    :param watch: how changes of files that others make are noticed.
    :ivar deaf: uuids of guests that do not hear a shutdown request.
    :ivar connected: the bridges that guests were connected to, one after the other.
    """

    kind = "fake"
    _log = Logger()

    def __init__(
        self,
        directory: Path,
        clock: IReactorTime,
        in_thread: InThread,
        chance: Random,
        boot_time: float = 0.0,
        shutdown_time: float = 0.0,
        watch: Watch = unwatched,
    ) -> None:
        self._directory, self._clock, self._in_thread, self._chance = directory, clock, in_thread, chance
        self._boot_time, self._shutdown_time = boot_time, shutdown_time
        self._watch = watch
        self._unwatch: Callable[[], None] = lambda: None
        self._observers = Observers()
        self._known: dict[str, DomainSeen] = {}  # what observers were told
        self._turn = DeferredLock()  # of a change and its telling
        self._look_waits = False
        self.deaf: set[str] = set()
        self.connected: list[str] = []

    async def start_service(self) -> None:
        """See `IHypervisor.start_service`; makes the directory."""
        await self._run(lambda: self._directory.mkdir(mode=0o700, parents=True, exist_ok=True))
        self._unwatch = self._watch(self._directory, self._noticed)
        async with self._turn:
            self._known = await self._run(self._read_all)

    async def stop_service(self) -> None:
        """See `IHypervisor.stop_service`."""
        self._unwatch()
        self._unwatch = lambda: None

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
            boot=self._new_boot(),
            devices=(*map(device_name, domain.disks), *map(device_name, domain.nics)),
        )
        async with self._turn:
            await self._put(seen)
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
        async with self._turn:
            there = await self._find(uuid)  # much may have happened meanwhile
            if there is None or (boot and there.boot not in ("", boot)):
                return
            await self._run(self._remove, uuid)
            self._tell(there.name, None)

    async def set_memory(self, uuid: str, memory: int) -> None:
        """See `IHypervisor.set_memory`."""
        await self._edit(uuid, memory=memory)

    async def crash(self, uuid: str) -> None:
        """
        Have the guest end by itself, for tests and demonstrations.

        :raises StepFailed: it does not run.
        """
        await self._edit(uuid, state="crashed", boot="")

    async def _edit(
        self, uuid: str, devices: Callable[[DomainSeen], tuple[str, ...]] | None = None, **values: Any
    ) -> None:
        async with self._turn:
            there = await self._find(uuid)
            if there is None or not there.running:
                raise StepFailed(f"domain {uuid} does not run", "hypervisor")
            if devices is not None:
                values["devices"] = devices(there)
            await self._put(msgspec.structs.replace(there, **values))

    async def attach(self, domain: DomainSpec, device: DiskSpec | NicSpec, path: str = "") -> None:
        """See `IHypervisor.attach`."""
        name = device_name(device)
        await self._edit(domain.instance_uuid, lambda seen: (*(d for d in seen.devices if d != name), name))

    async def detach(self, domain: DomainSpec, device: DiskSpec | NicSpec) -> None:
        """See `IHypervisor.detach`."""
        name = device_name(device)
        await self._edit(domain.instance_uuid, lambda seen: tuple(d for d in seen.devices if d != name))

    async def show_growth(self, domain: DomainSpec, disk: DiskSpec) -> None:
        """See `IHypervisor.show_growth`."""
        there = await self._find(domain.instance_uuid)
        if there is None or not there.running or device_name(disk) not in there.devices:
            raise StepFailed(f"{domain.name} does not run with disk {disk.uuid}", "hypervisor")

    async def connect(self, bridges: Collection[str]) -> None:
        """See `IHypervisor.connect`; noted in `connected`."""
        self.connected += sorted(bridges)

    async def migrate(self, domain: DomainSpec, target: MigrationTarget) -> None:
        """See `IHypervisor.migrate`; `target.uri` is the other one's folder, which has to be there."""
        async with self._turn:
            there = await self._find(domain.instance_uuid)
            if there is None or not there.running:
                raise StepFailed(f"domain {domain.instance_uuid} does not run", "hypervisor")
            moved = msgspec.structs.replace(there, boot=self._new_boot())
            await self._run(self._write_in, Path(target.uri), moved)
            await self._run(self._remove, there.uuid)
            self._tell(there.name, None)

    async def await_migration(self, uuid: str) -> None:
        """See `IHypervisor.await_migration`; none goes on when its agent has gone."""
        async with self._turn:
            await self._find(uuid)

    def _new_boot(self) -> str:
        return f"{self._chance.getrandbits(64):016x}"

    def remarks(self, domain: DomainSpec) -> tuple[str, ...]:
        """See `IHypervisor.remarks`."""
        return ()

    # What is seen.

    def observe(self, observer: Observer) -> Callable[[], None]:
        """See `IHypervisor.observe`."""
        return self._observers.add(observer)

    async def _put(self, seen: DomainSeen) -> None:
        await self._run(self._write, seen)
        self._tell(seen.name, seen)

    def _tell(self, name: str, seen: DomainSeen | None) -> None:
        if self._known.get(name) == seen:
            return
        if seen is None:
            del self._known[name]
        else:
            self._known[name] = seen
        self._observers.tell(name, seen)

    def _noticed(self) -> None:
        """A file is different; many changes at once are one look."""
        if not self._look_waits:
            self._look_waits = True
            Deferred.fromCoroutine(self._look()).addErrback(
                lambda f: self._log.failure("a look at simulated machines met a bug", f)
            )

    async def _look(self) -> None:
        async with self._turn:
            self._look_waits = False
            try:
                found: dict[str, DomainSeen] = await self._run(self._read_all)
            except StepFailed as e:
                self._log.warn("simulated machines could not be looked at: {reason}", reason=e.text)
                return
            for name in self._known.keys() - found.keys():
                self._tell(name, None)
            for name, seen in found.items():
                self._tell(name, seen)

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
        self._write_in(self._directory, seen)

    def _write_in(self, directory: Path, seen: DomainSeen) -> None:
        file = directory / self._file(seen.uuid).name
        part = file.with_suffix(".part")
        part.write_bytes(msgspec.json.encode(seen))
        os.replace(part, file)

    def _remove(self, uuid: str) -> None:
        self._file(uuid).unlink(missing_ok=True)
