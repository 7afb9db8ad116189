"""The contract of `INames` on this machine's own names."""

import socket

from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from twisted_rapi.agent.interface import INames
from twisted_rapi.agent.names import SystemNames
from twisted_rapi.testing.contracts.names import NamesContract


class SystemNamesTests(NamesContract, TestCase):
    """The system's resolver, without a name server, and its loopback network."""

    def make(self) -> INames:
        return SystemNames(deferToThread)

    async def test_listening(self) -> None:
        """One who listens answers."""
        with socket.create_server(("127.0.0.1", 0)) as listening:
            self.assertTrue(await self.names.answers("127.0.0.1", listening.getsockname()[1]))

    async def test_unreachable(self) -> None:
        """What cannot be reached does not answer."""
        self.assertFalse(await self.names.answers("0.0.0.0.0", 1))
