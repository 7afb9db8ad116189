"""Tests of `twisted_rapi.net.name_listener`; on sockets they are functional ones."""

from typing import Any

from twisted.internet.task import Clock
from twisted.internet.testing import StringTransportWithDisconnection
from twisted.names import dns
from twisted.trial.unittest import SynchronousTestCase

from tests.unit.net.test_zones import question, zones
from twisted_rapi.net.name_answers import NameAnswers
from twisted_rapi.net.name_listener import AT_ONCE, IDLE, Stream, Streams

ASKED = question("db.office.local", dns.A)
PACKET = len(ASKED).to_bytes(2, "big") + ASKED


class StreamTests(SynchronousTestCase):
    """Connections."""

    def setUp(self) -> None:
        found = zones()
        self.clock = Clock()
        self.factory = Streams(NameAnswers(lambda: (found, 1)), self.clock)

    def connect(self) -> tuple[Stream, Any]:
        """Somebody comes."""
        stream: Any = self.factory.buildProtocol(None)
        transport = StringTransportWithDisconnection()
        transport.protocol = stream
        stream.makeConnection(transport)
        return stream, transport

    def test_pieces(self) -> None:
        """Questions come in pieces and several at once; each is answered."""
        stream, transport = self.connect()
        for n in range(len(PACKET)):
            stream.dataReceived(PACKET[n : n + 1])
        one = len(transport.value())
        stream.dataReceived(PACKET * 3)
        self.assertEqual(len(transport.value()), 4 * one)

    def test_unread(self) -> None:
        """Who does not read is not listened to until he does."""
        stream, transport = self.connect()
        self.assertIs(transport.producer, stream)
        transport.producer.pauseProducing()
        self.assertEqual(transport.producerState, "paused")
        stream.dataReceived(PACKET * 3)
        self.assertEqual(transport.value(), b"")
        transport.producer.resumeProducing()
        self.assertGreater(len(transport.value()), 3 * len(PACKET))

    def test_silent(self) -> None:
        """Who says nothing is let go of, and so is who comes when there are too many."""
        _, transport = self.connect()
        self.clock.advance(IDLE)
        self.assertFalse(transport.connected)
        self.assertEqual(self.factory.open, 0)
        for _ in range(AT_ONCE):
            self.connect()
        _, transport = self.connect()
        self.assertFalse(transport.connected)
        self.assertEqual(self.factory.open, AT_ONCE)
