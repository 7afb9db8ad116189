"""Tests of `twisted_rapi.web.streaming`, of `twisted_rapi.web.reply.Joined` and of slices of long work."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.test.requesthelper import DummyRequest

from twisted_rapi.jobs.slices import SLICE, Slices
from twisted_rapi.web.reply import PIECE, Joined
from twisted_rapi.web.streaming import BodySender, EventSender


class JoinedTests(SynchronousTestCase):
    """Bodies joined from items."""

    def test_as_a_whole(self) -> None:
        """The pieces are the body, none is much larger than an item, and the size is known before."""
        self.check()

    @given(st.lists(st.binary(max_size=PIECE // 2), max_size=12))
    def check(self, items: list[bytes]) -> None:
        joined = Joined(b"[", items, b"]\n")
        pieces = list(joined.pieces())
        body = b"".join(pieces)
        self.assertEqual(body, b"[" + b", ".join(items) + b"]\n")
        self.assertEqual(len(body), joined.size())
        self.assertLess(max(map(len, pieces)), 2 * PIECE)


class _Request(DummyRequest):
    """A request whose transport has enough after each piece, if told so."""

    def __init__(self, narrow: bool) -> None:
        super().__init__([b"x"])
        self.narrow = narrow
        self.producer: Any = None

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        """Keep it."""
        self.producer = producer

    def unregisterProducer(self) -> None:
        """Nothing follows."""
        self.producer = None

    def write(self, data: bytes) -> None:
        """Take a piece."""
        super().write(data)
        if self.narrow:
            self.producer.pauseProducing()


class SenderTests(SynchronousTestCase):
    """Pieces go out as the client takes them."""

    def setUp(self) -> None:
        self.ended: list[int] = []

    def begin(self, narrow: bool) -> _Request:
        """A body of three pieces, begun."""
        request = _Request(narrow)
        BodySender(request, iter([b"a", b"b", b"c"]), lambda: self.ended.append(1)).begin()
        return request

    def test_wide(self) -> None:
        """All at once where there is room."""
        request = self.begin(narrow=False)
        self.assertEqual((request.written, request.finished, self.ended), ([b"a", b"b", b"c"], 1, [1]))

    def test_narrow(self) -> None:
        """One by one where there is not."""
        request = self.begin(narrow=True)
        for sent in ([b"a"], [b"a", b"b"], [b"a", b"b", b"c"]):
            self.assertEqual((request.written, request.finished), (sent, 0))
            request.producer.resumeProducing()
        self.assertEqual((request.finished, self.ended, request.producer), (1, [1], None))

    def test_gone(self) -> None:
        """Nothing more is sent to a client that has gone, however it is told."""
        for tell in ("stopProducing", "notified"):
            request = self.begin(narrow=True)
            producer = request.producer
            if tell == "notified":
                request.processingFailed(_gone())
            else:
                producer.stopProducing()
            producer.resumeProducing()
            self.assertEqual((request.written, request.finished, self.ended), ([b"a"], 0, []))


def _gone() -> Failure:
    return Failure(ConnectionDone())


class SlicesTests(SynchronousTestCase):
    """Long work lets others work."""

    def test_pause(self) -> None:
        """Only a slice that has taken its time ends, once; the next one has its own time."""
        clock = Clock()
        slices = Slices(clock)

        def pause() -> Deferred[bool]:
            return Deferred.fromCoroutine(slices.pause())

        self.assertFalse(self.successResultOf(pause()))
        clock.advance(SLICE / 2)
        self.assertFalse(self.successResultOf(pause()))
        clock.advance(SLICE)
        paused = pause()
        self.assertNoResult(paused)
        clock.advance(0)
        self.assertTrue(self.successResultOf(paused))
        self.assertFalse(self.successResultOf(pause()))


class EventSenderTests(SynchronousTestCase):
    """Bodies without an end of their own."""

    def test_before(self) -> None:
        """What came before there was a request is sent with it; a body that has ended by then is empty."""
        sender, request = EventSender(), _Request(narrow=False)
        sender.send(b"a")
        self.assertEqual(sender.waiting, 1)
        sender.begin(request)
        self.assertEqual((request.written, sender.waiting, request.finished), ([b"a"], 0, 0))
        ended, request = EventSender(), _Request(narrow=False)
        ended.send(b"a")
        ended.end()
        ended.begin(request)
        self.assertEqual((request.written, request.finished), ([], 1))

    def test_end(self) -> None:
        """What waits is left out at the end, and nothing comes after it."""
        sender, request = EventSender(), _Request(narrow=True)
        sender.begin(request)
        for piece in (b"a", b"b"):
            sender.send(piece)
        sender.end(b"z")
        sender.send(b"c")
        self.assertEqual((request.written, request.finished, request.producer), ([b"a", b"z"], 1, None))

    def test_gone(self) -> None:
        """A client that goes is told of once, and is sent nothing."""
        sender, request = EventSender(), _Request(narrow=False)
        left: list[int] = []
        sender.left = lambda: left.append(1)
        sender.begin(request)
        request.processingFailed(Failure(ConnectionDone()))
        sender.send(b"a")
        sender.stopProducing()
        self.assertEqual((request.written, left), ([], [1]))
