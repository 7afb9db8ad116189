"""
What arrives for the floating address at a host that does not have it, or has it since a moment ago: by rules
of nftables.

Note [Arrivals].  Neighbours that have not heard of a move go on sending to the host that had the address.
The kernel drops what is for no address of its own, without a word, and a connection that is asked for in that
moment is asked for again after a second.  So every candidate's kernel leads what arrives for the floating
address to the candidate's own listener, whether it has the address or not: one that is not master hands on
what it is asked.  The address itself stays on one host, and only that one answers who looks for it.  A
connection that was led so is to an address of the host, and goes on when the floating one has gone.

Note [Strays].  When the master is switched on purpose, connections that were begun before go on at the former
one, and are ended there one after the other.  As soon as their clients have heard of the move, what they send
comes to the new master, whose kernel would reset them: for a few seconds it passes on to the former one what
belongs to no connection of its own.

The rules stay when the daemon ends, so that who has not heard of a move yet is refused and asks again.
"""

import subprocess
from collections.abc import Awaitable, Callable
from ipaddress import ip_address
from typing import Any

from twisted.internet.defer import Deferred, DeferredLock
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from twisted_rapi.net.packets import Address

PATIENCE = 2.0  # seconds that the program may take
LED_BACK = 10.0  # seconds for which strays are passed on

InThread = Callable[..., Awaitable[Any]]
Feed = Callable[[str], str]
"""Has nftables read rules; answers what is wrong, "" for nothing.  It blocks."""

_PATH = "/usr/sbin:/usr/bin:/sbin:/bin"


def feed_nft(rules: str) -> str:
    """See `Feed`: for this host."""
    try:
        done = subprocess.run(
            ["nft", "-f", "-"],  # noqa: S607 -- by the path below
            input=rules,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
            env={"PATH": _PATH},
        )
    except (OSError, subprocess.SubprocessError) as e:
        return str(e)
    return "" if done.returncode == 0 else done.stderr.strip() or f"status {done.returncode}"


def table_of(address: Address) -> str:
    """The name of the table with the rules for an address."""
    return f"rapi_{address.packed.hex()}"


def rules_for(address: Address, port: int, listener: Address | None, strays: Address | None) -> str:
    """
    The rules, which take the place of those that are there.

    :param port: of the API; `listener`: where it is listened on; ``None``: where the kernel says.
    :param strays: where to what belongs to no connection here is passed on, ``None`` for nowhere.
    """
    family = "ip" if address.version == 4 else "ip6"
    table, arriving = f"{family} {table_of(address)}", f"{family} daddr {address} tcp dport {port}"
    led = "redirect" if listener is None else f"dnat to {listener}"
    astray = f"{arriving} ct state new,invalid tcp flags & syn == 0"
    passed = "" if strays is None else f"{astray} dup to {strays}\n{astray} drop\n"
    return f"""\
table {table} {{ }}
delete table {table}
table {table} {{
chain strays {{
type filter hook prerouting priority mangle;
{passed}}}
chain arrivals {{
type nat hook prerouting priority dstnat;
{arriving} {led}
}}
}}
"""


class Passage:
    """
    The rules of one candidate's host.

    :param listener: as for `rules_for`.
    """

    _log = Logger()

    def __init__(
        self,
        clock: IReactorTime,
        in_thread: InThread,
        address: Address,
        port: int,
        listener: Address | None,
        feed: Feed = feed_nft,
    ) -> None:
        self._clock, self._in_thread, self._feed = clock, in_thread, feed
        self._address, self._port, self._listener = address, port, listener
        self._turn: DeferredLock = DeferredLock()
        self._ending: IDelayedCall | None = None
        self.is_open = False

    async def open(self) -> None:
        """Lead what arrives to the listener; where that cannot be had all works without it."""
        self.is_open = await self._put(None)

    async def lead_back(self, host: str) -> None:
        """Pass on to a host what belongs to no connection here, for a while."""
        self._no_longer()
        if self.is_open and (there := ip_address(host)).version == self._address.version:
            self._ending = self._clock.callLater(LED_BACK, self._end)
            await self._put(there)

    def stop(self) -> None:
        """Leave the rules as they are."""
        self._no_longer()

    def _no_longer(self) -> None:
        if self._ending is not None and self._ending.active():
            self._ending.cancel()
        self._ending = None

    def _end(self) -> None:
        self._ending = None
        Deferred.fromCoroutine(self._put(None))

    async def _put(self, strays: Address | None) -> bool:
        rules = rules_for(self._address, self._port, self._listener, strays)
        async with self._turn:
            why = await self._in_thread(self._feed, rules)
        if why:
            self._log.warn(
                "what arrives for {address} while it moves is lost: nftables: {why}",
                address=str(self._address),
                why=why,
            )
        return not why
