"""Connections that are to end where they are no longer asked for, without a request being lost."""

from pathlib import Path
from typing import Any

from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase

from tests.unit.web.http import Browser

ASKED = b"GET /2/features HTTP/1.1\r\nHost: x\r\n\r\n"


class PartingTests(SynchronousTestCase):
    """`Channel.depart` and `ApiResource.parting`."""

    def setUp(self) -> None:
        self.browser = Browser(Path(self.mktemp()))
        self.transport: Any = StringTransport()
        self.channel: Any = self.browser.site.buildProtocol(None)
        self.channel.makeConnection(self.transport)

    def ask(self, part: bytes = ASKED) -> bytes:
        """What is sent in answer."""
        self.transport.clear()
        self.channel.dataReceived(part)
        sent: bytes = self.transport.value()
        return sent

    def test_stays(self) -> None:
        """A connection serves one request after the other."""
        for _ in range(2):
            answer = self.ask()
            self.assertIn(b"200 OK", answer)
            self.assertNotIn(b"close", answer.lower())
        self.assertFalse(self.transport.disconnecting)

    def test_parting(self) -> None:
        """Who is to ask over another connection is told with the answer, a kept one, too; this one ends."""
        self.ask()
        self.browser.resource.parting = lambda request: request.uri == b"/2/features"
        answer = self.ask()
        self.assertIn(b"200 OK", answer)
        self.assertIn(b"connection: close", answer.lower())
        self.assertTrue(self.transport.disconnecting)

    def test_idle(self) -> None:
        """One that nobody uses ends at once."""
        self.ask()
        self.channel.depart()
        self.assertTrue(self.transport.disconnecting)

    def test_under_way(self) -> None:
        """A request that has begun to arrive is answered first."""
        self.ask(ASKED[:9])
        self.channel.depart()
        self.assertFalse(self.transport.disconnecting)
        self.assertIn(b"200 OK", self.ask(ASKED[9:]))
        self.assertTrue(self.transport.disconnecting)
        self.channel.connectionLost(None)
