"""The steps about a node's virtual networks."""

import os
from collections.abc import Callable, Coroutine, Mapping
from pathlib import Path
from typing import Any

import msgspec
from msgspec.structs import replace
from twisted.internet.defer import Deferred
from twisted.logger import Logger

from twisted_rapi.agent.parts import Parts
from twisted_rapi.errors import StepFailed
from twisted_rapi.model import steps
from twisted_rapi.model.steps import Outcome, Step
from twisted_rapi.net.dnsmasq import bridge_of
from twisted_rapi.net.virtual_interface import IVirtualNetworks

Make = Callable[[steps.MakeNetworks], Coroutine[Any, Any, None]]
Handler = Callable[[Any], Coroutine[Any, Any, Outcome]]


class NetworkSteps:
    """
    Carries steps about virtual networks out, and remembers the last: a node that boots has its networks
    before any master talks to it; the gateways only for as long as it was told to have them.

    :ivar handlers: by type of step.
    """

    _log = Logger()

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._note = parts.state_dir / "networks.json"
        self.handlers: Mapping[type[Step], Handler] = {
            steps.MakeNetworks: self._make,
            steps.CheckAcls: self._check,
            steps.ForgetLeases: self._forget,
        }

    async def begin(self) -> None:
        """Have the networks that were asked for last; what cannot be had is left for the master's step."""
        networks = self._parts.networks
        if networks is None:
            return
        try:
            step = await self._parts.in_thread(_read, self._note)
            if step is not None:
                await self._have(networks, networks.resume, step)
        except (StepFailed, OSError, msgspec.DecodeError) as e:
            self._log.error("virtual networks could not be made as before: {reason}", reason=str(e))

    async def end(self) -> None:
        """No longer look after them; they stay."""
        if self._parts.networks is not None:
            await self._parts.networks.end()

    def _networks(self) -> IVirtualNetworks:
        if self._parts.networks is None:
            raise StepFailed("this node has no virtual networks", "network")
        return self._parts.networks

    async def _make(self, step: steps.MakeNetworks) -> Outcome:
        networks = self._networks()
        try:
            await self._parts.in_thread(_write, self._note, step)
        except OSError as e:
            self._log.error("what networks there are could not be noted: {reason}", reason=str(e))
        await self._have(networks, networks.make, step)
        return Outcome()

    async def _have(self, networks: IVirtualNetworks, make: Make, step: steps.MakeNetworks) -> None:
        """Make networks; guests that belong on a bridge that was not there are connected to it."""
        before = await networks.bridges()
        try:
            await make(step)
        finally:
            new = frozenset(map(bridge_of, step.networks)).difference(before)
            if new:
                connecting = Deferred.fromCoroutine(self._connect(new))
                connecting.addErrback(lambda f: self._log.failure("guests could not be connected", f))

    async def _connect(self, bridges: frozenset[str]) -> None:
        for kind, hypervisor in self._parts.hypervisors.items():
            try:
                await hypervisor.connect(bridges)
            except StepFailed as e:
                self._log.warn("guests of {kind} are not connected: {reason}", kind=kind, reason=e.text)

    async def _forget(self, step: steps.ForgetLeases) -> Outcome:
        await self._networks().forget(step.network, step.addresses)
        return Outcome()

    async def _check(self, step: steps.CheckAcls) -> Outcome:
        return Outcome(reason=await self._networks().check(step.acls))


def _write(note: Path, step: steps.MakeNetworks) -> None:
    kept = msgspec.json.encode(replace(step, serving=0.0, leases=()))
    if note.exists() and note.read_bytes() == kept:
        return
    note.parent.mkdir(parents=True, exist_ok=True)
    new = note.with_suffix(".new")
    with new.open("wb") as file:
        file.write(kept)
        file.flush()
        os.fsync(file.fileno())
    new.replace(note)


def _read(note: Path) -> steps.MakeNetworks | None:
    """:raises msgspec.DecodeError: the note holds something else."""
    try:
        return msgspec.json.decode(note.read_bytes(), type=steps.MakeNetworks)
    except FileNotFoundError:
        return None
