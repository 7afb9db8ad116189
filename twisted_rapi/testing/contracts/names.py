"""What every `INames` does."""

from typing import TYPE_CHECKING

from twisted.trial.unittest import TestCase
from zope.interface.verify import verifyObject

from twisted_rapi.agent.interface import INames

if TYPE_CHECKING:
    _Base = TestCase
else:
    _Base = object


class NamesContract(_Base):
    """
    Mixed into a test case that makes it with `make`.

    It knows ``localhost`` as 127.0.0.1 and no name that ends in ``.invalid``; somebody is at 127.0.0.1, and
    nobody at 192.0.2.1.
    """

    def make(self) -> INames:
        """The one to be tested."""
        raise NotImplementedError

    def setUp(self) -> None:
        """Make it."""
        self.names = self.make()

    def test_interface(self) -> None:
        """It provides the interface."""
        verifyObject(INames, self.names)

    async def test_known(self) -> None:
        """A name that resolves has a full name and an address, and no reason."""
        found = await self.names.resolve("localhost", 4)
        self.assertIn("127.0.0.1", found.addresses)
        self.assertTrue(found.name.startswith("localhost"))
        self.assertEqual(found.reason, "")

    async def test_unknown(self) -> None:
        """One that does not has a reason and nothing else; so has what is no name."""
        for name in ("nosuch.invalid", "x" * 70 + ".invalid"):
            found = await self.names.resolve(name, 4)
            self.assertEqual((found.name, found.addresses), ("", ()))
            self.assertNotEqual(found.reason, "")

    async def test_answers(self) -> None:
        """One who is there answers, if only by a refusal."""
        self.assertTrue(await self.names.answers("127.0.0.1", 9))
