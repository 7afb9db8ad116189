"""Parts of the program with faults, for a simulation that has to find them."""

from collections.abc import Iterable

import attrs

from twisted_rapi.cluster.watchdog import SOURCE, Watchdog
from twisted_rapi.ha.leased import LeasedCandidate
from twisted_rapi.model.fate import WatchdogRecord
from twisted_rapi.model.opcodes.instance import InstanceStartup
from twisted_rapi.state.codec import encode
from twisted_rapi.state.interface import Commit
from twisted_rapi.state.snapshot import Snapshot
from twisted_rapi.testing.simulation.store import JudgedStore


class CertainCandidate(LeasedCandidate):
    """One that takes its term for granted until told that it is over."""

    def holds(self) -> bool:
        """Whatever the time."""
        return self._tenure is not None


class UnfencedStore(JudgedStore):
    """One where old masters may write."""

    def _check_term(self, term: int | None) -> None:
        """Nobody is refused."""


class ForgetfulStore(JudgedStore):
    """One that loses how often watchdogs have started something."""

    async def commit(self, change: Commit) -> int:
        """All but that."""
        puts = dict(change.puts)
        for key in puts:
            if key.startswith(f"{WatchdogRecord.KIND}/"):
                puts[key] = encode(WatchdogRecord(uuid=key.partition("/")[2]))
        return await super().commit(attrs.evolve(change, puts=puts))


class HastySnapshot(Snapshot):
    """One that takes what it has for the newest."""

    async def catch_up(self, keys: Iterable[str]) -> bool:
        """At once."""
        return True


class EagerWatchdog(Watchdog):
    """One that starts what its node does not have, whatever else is known."""

    async def _revive(self, uuid: str) -> None:
        instance = self._with.snapshot.instances[uuid]
        trail = [SOURCE, "down", int(self._with.now() * 1e9)]
        op = InstanceStartup(instance_name=instance.name, instance_uuid=uuid, reason=[trail])
        await self._with.submit([op], SOURCE)
