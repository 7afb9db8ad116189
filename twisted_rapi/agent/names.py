"""What host names stand for, and whether anything answers at an address, as this node finds it."""

import errno
import socket
from collections.abc import Collection, Mapping

from zope.interface import implementer

from twisted_rapi.agent.interface import INames, Resolved
from twisted_rapi.agent.term import InThread
from twisted_rapi.errors import StepFailed

PATIENCE = 5.0  # seconds to wait for an answer
UNKNOWN = "Temporary failure in name resolution"
_FAMILIES = {4: socket.AF_INET, 6: socket.AF_INET6}


@implementer(INames)
class SystemNames:
    """`INames` as the system has it: its files, its name servers, its networks."""

    def __init__(self, in_thread: InThread) -> None:
        self._in_thread = in_thread

    async def resolve(self, name: str, family: int) -> Resolved:
        """See `INames.resolve`."""
        found: Resolved = await self._in_thread(_look_up, name, family)
        return found

    async def answers(self, address: str, port: int) -> bool:
        """See `INames.answers`."""
        found: bool = await self._in_thread(_answers, address, port)
        return found


@implementer(INames)
class TableNames:
    """
    `INames` of a simulated node: only what a table says.

    :param hosts: addresses by full name; a name is also known by its first part.
    :param answering: addresses at which there is somebody.
    """

    def __init__(self, hosts: Mapping[str, str], answering: Collection[str] = ()) -> None:
        self._hosts, self._answering = hosts, answering

    async def resolve(self, name: str, family: int) -> Resolved:
        """See `INames.resolve`."""
        for full, address in self._hosts.items():
            if name in (full, full.partition(".")[0]) and (":" in address) == (family == 6):
                return Resolved(name=full, addresses=(address,))
        return Resolved(reason=UNKNOWN)

    async def answers(self, address: str, port: int) -> bool:
        """See `INames.answers`."""
        return address in self._answering


# In threads.


def _look_up(name: str, family: int) -> Resolved:
    try:
        found = socket.getaddrinfo(
            name, None, _FAMILIES[family], socket.SOCK_STREAM, flags=socket.AI_CANONNAME
        )
    except OSError as e:
        return Resolved(reason=e.strerror or str(e))
    except UnicodeError as e:
        return Resolved(reason=str(e))
    addresses = dict.fromkeys(str(sockaddr[0]) for *_, sockaddr in found)
    return Resolved(name=(found[0][3] or name).lower(), addresses=tuple(addresses))


def _answers(address: str, port: int) -> bool:
    """Somebody is there as well who refuses the connection."""
    try:
        with socket.create_connection((address, port), PATIENCE):
            return True
    except ConnectionRefusedError:
        return True
    except OSError as e:
        if e.errno == errno.EMFILE:
            raise StepFailed(f"{address} cannot be tried: {e.strerror}", "network") from e
        return False
