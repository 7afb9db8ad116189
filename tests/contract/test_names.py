"""The contract of `INames` on the table of a simulated node; the system's is with the functional tests."""

from twisted.trial.unittest import TestCase

from twisted_rapi.agent.interface import INames, Resolved
from twisted_rapi.agent.names import TableNames
from twisted_rapi.testing.contracts.names import NamesContract


class TableNamesTests(NamesContract, TestCase):
    """A table."""

    def make(self) -> INames:
        hosts = {"localhost.example.com": "127.0.0.1", "six.example.com": "2001:db8::6"}
        return TableNames(hosts, ("127.0.0.1",))

    async def test_silent(self) -> None:
        """Nobody is where the table has nobody."""
        self.assertFalse(await self.names.answers("192.0.2.1", 1811))

    async def test_family(self) -> None:
        """Only addresses of the family that is asked for count."""
        six = Resolved(name="six.example.com", addresses=("2001:db8::6",))
        self.assertEqual(await self.names.resolve("six", 6), six)
        self.assertEqual((await self.names.resolve("six", 4)).addresses, ())
