"""Tests of `twisted_rapi.ha.address`."""

from collections.abc import Callable

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from twisted_rapi.errors import AddressError
from twisted_rapi.ha.address import LAST, LONGEST, AddressDuty, BoundElection, CommandedAddress
from twisted_rapi.testing.election import ScriptedElection
from twisted_rapi.testing.floating import LIFETIME, OwnedInMemory, PassedAround, Segment
from twisted_rapi.testing.memory_store import MemoryStore

MARGIN = 0.5


class NotingDoor:
    """A door that notes, whenever it is moved, whether the address was there."""

    def __init__(self, segment: Segment) -> None:
        self._segment = segment
        self.moves: list[tuple[str, bool]] = []
        self.refuses = False

    async def open(self) -> None:
        """Note it."""
        if self.refuses:
            raise AddressError("the port is in use")
        self.moves.append(("open", self._segment.has("a")))

    async def close(self) -> None:
        """Note it, when it is open."""
        if self.moves and self.moves[-1][0] == "open":
            self.moves.append(("close", self._segment.has("a")))


class Fixture(SynchronousTestCase):
    """A host, its duty, and what it is told of the mastership."""

    def setUp(self) -> None:
        """Host ``a`` is master."""
        self.clock = Clock()
        self.segment = Segment(self.clock)
        self.door = NotingDoor(self.segment)
        self.certain = self.ours = True
        self.died: list[float] = []
        self.duty = AddressDuty(
            OwnedInMemory(self.segment, "a"),
            self.door,
            self.clock,
            certain=lambda: self.certain,
            ours=lambda: self.ours,
            margin=MARGIN,
            die=lambda: self.died.append(self.clock.seconds()),
        )
        self.addCleanup(self._end)

    def _end(self) -> None:
        """Nothing of it goes on."""
        self.segment.broken.clear()
        self.segment.stuck.clear()
        self.duty.stopService()
        self.segment.remove("a")
        self.live(1)

    def live(self, seconds: float) -> None:
        """Let time pass."""
        self.clock.pump([0.05] * round(seconds / 0.05))


class TermTests(Fixture):
    """What happens in a term."""

    def test_begins(self) -> None:
        """The address is taken, served, and announced again and again; it stays for as long as the term."""
        self.duty.startService()
        self.assertEqual((self.segment.has("a"), self.door.moves), (False, []))
        self.live(0.2)
        self.assertEqual(self.door.moves, [("open", True)])
        self.assertEqual(self.segment.heard, ["a"])
        self.assertAlmostEqual(self.duty.since or 0.0, 0.1, places=1)
        self.live(5 * LIFETIME)
        self.assertEqual((self.segment.has("a"), self.segment.heard), (True, ["a", "a"]))
        self.duty.stopService()
        self.assertIsNone(self.duty.since)

    def test_duplicate(self) -> None:
        """While another host has it nothing is served there; it is taken soon after that gave it up."""
        self.segment.put("b")
        self.duty.startService()
        self.live(4 * LONGEST)
        self.assertEqual((self.segment.has("a"), self.door.moves, self.segment.heard), (False, [], []))
        self.segment.remove("b")
        self.live(LONGEST + 0.2)
        self.assertEqual((self.segment.has("a"), self.door.moves), (True, [("open", True)]))

    def test_expires(self) -> None:
        """An address that the master before left to the kernel is had a quarter of a second after it went."""
        self.segment.put("b", 0.4)
        self.duty.startService()
        self.live(1.2)
        self.assertEqual(self.door.moves, [("open", True)])

    def test_removed(self) -> None:
        """What somebody removed is taken again; who was connected is not left waiting."""
        self.duty.startService()
        self.live(1)
        self.segment.remove("a")
        self.live(1)
        self.assertTrue(self.segment.has("a"))
        self.assertEqual([move for move, _ in self.door.moves], ["open", "close", "open"])

    def test_port_in_use(self) -> None:
        """An address that cannot be listened on is not kept, until it can be."""
        self.door.refuses = True
        self.duty.startService()
        self.live(3)
        self.assertFalse(self.segment.has("a"))
        self.door.refuses = False
        self.live(LONGEST + 0.5)
        self.assertTrue(self.segment.has("a"))

    def test_stopped_process(self) -> None:
        """When it is no longer certain that the term goes on, the address is no longer kept."""
        self.duty.startService()
        self.live(1)
        self.certain = False
        self.live(LIFETIME)
        self.assertFalse(self.segment.has("a"))

    def test_told(self) -> None:
        """It is given up while the term goes on, taken again, and announced again, when that is wanted."""
        self.duty.startService()
        self.live(2)
        heard = len(self.segment.heard)
        self.duty.activate()
        self.live(2)
        self.assertGreater(len(self.segment.heard), heard)
        self.successResultOf(self.duty.deactivate())
        self.live(10)
        self.assertFalse(self.segment.has("a"))
        self.duty.activate()
        self.live(1)
        self.assertTrue(self.segment.has("a"))


class CommandedTests(Fixture):
    """`CommandedAddress`."""

    def setUp(self) -> None:
        """It is wanted."""
        super().setUp()
        self.wanted = (True, 0)
        self.looks: list[Callable[[], None]] = []
        self.commanded = CommandedAddress(self.duty, lambda: self.wanted, self.observe)

    def observe(self, look: Callable[[], None]) -> Callable[[], None]:
        """Note who looks."""
        self.looks.append(look)
        return lambda: self.looks.remove(look)

    def say(self, active: bool, announced: int) -> None:
        """Change what is wanted."""
        self.wanted = (active, announced)
        for look in list(self.looks):
            look()
        self.live(1.5)

    def test_commands(self) -> None:
        """It is released and had again as it is said, and announced again when that is said."""
        self.commanded.startService()
        self.live(1.5)
        self.say(True, 0)
        heard = len(self.segment.heard)
        self.say(True, 1)
        self.assertGreater(len(self.segment.heard), heard)
        for active in (False, False, True, False, True):
            self.say(active, 1)
            self.assertEqual(self.segment.has("a"), active)
        self.successResultOf(self.commanded.stopService())
        self.assertEqual((self.segment.has("a"), self.looks), (False, []))

    def test_not_wanted(self) -> None:
        """A term that begins while it is not wanted does not take it, until it is."""
        self.wanted = (False, 3)
        self.commanded.startService()
        self.live(5)
        self.assertFalse(self.segment.has("a"))
        self.say(True, 4)
        self.assertTrue(self.segment.has("a"))
        self.successResultOf(self.commanded.stopService())
        self.assertFalse(self.segment.has("a"))

    def test_never_had(self) -> None:
        """Such a term ends as any other."""
        self.wanted = (False, 3)
        self.commanded.startService()
        self.successResultOf(self.commanded.stopService())
        self.assertEqual(self.clock.getDelayedCalls(), [])


class EndTests(Fixture):
    """What happens when a term ends."""

    def setUp(self) -> None:
        """It has the address."""
        super().setUp()
        self.duty.startService()
        self.live(1)

    def test_ends(self) -> None:
        """First nobody is served any more, then the address goes; nothing goes on."""
        self.successResultOf(self.duty.stopService())
        self.assertEqual(self.door.moves, [("open", True), ("close", True)])
        self.assertFalse(self.segment.has("a"))
        self.live(10)
        self.assertEqual((self.clock.getDelayedCalls(), self.died), ([], []))

    def test_while_taking(self) -> None:
        """A term that ends while the address is being taken leaves none behind."""
        self.successResultOf(self.duty.stopService())
        self.duty.startService()
        self.successResultOf(self.duty.stopService())
        self.live(5)
        self.assertFalse(self.segment.has("a"))

    def test_refused(self) -> None:
        """What the kernel refuses to remove is tried again, at once and often."""
        self.segment.broken.add("a")
        stopped = self.duty.stopService()
        self.live(0.3)
        self.assertNoResult(stopped)
        self.segment.broken.clear()
        self.live(0.1)
        self.successResultOf(stopped)
        self.assertEqual((self.segment.has("a"), self.died), (False, []))

    def test_too_late(self) -> None:
        """Once the mastership may pass to another one before the address is gone, the process ends."""
        self.segment.stuck.add("a")
        self.certain = self.ours = False
        begun = self.clock.seconds()
        self.duty.stopService()
        self.live(MARGIN - 0.1)
        self.assertEqual(self.died, [])
        self.live(0.2)
        [died] = self.died
        self.assertLess(died - begun, MARGIN + 0.06)

    def test_refused_until_too_late(self) -> None:
        """Also when it is refused again and again."""
        self.segment.broken.add("a")
        self.certain = self.ours = False
        self.duty.stopService()
        self.live(MARGIN + 0.1)
        self.assertEqual(len(self.died), 1)

    def test_ours(self) -> None:
        """While the mastership is this host's, there is more time; it is not endless."""
        self.segment.stuck.add("a")
        self.duty.stopService()
        self.live(LAST - 1)
        self.assertEqual(self.died, [])
        self.live(1.1)
        self.assertEqual(len(self.died), 1)

    def test_lost_meanwhile(self) -> None:
        """The time is counted from when the mastership was lost."""
        self.segment.stuck.add("a")
        self.duty.stopService()
        self.live(3)
        self.ours = False
        self.live(MARGIN + 0.2)
        self.assertEqual(len(self.died), 1)


class BoundTests(SynchronousTestCase):
    """`BoundElection`."""

    def setUp(self) -> None:
        """A candidate without the address."""
        self.segment = Segment(Clock())
        self.scripted = ScriptedElection(MemoryStore())
        self.election = BoundElection(self.scripted, PassedAround(self.segment, "a"))
        self.winning = Deferred.fromCoroutine(self.election.win())
        self.addCleanup(self.winning.cancel)

    def test_waits(self) -> None:
        """It seeks nothing until the address is here."""
        self.assertEqual(self.scripted.asked, [])
        self.segment.put("b")
        self.assertEqual(self.scripted.asked, [])
        self.segment.put("a")
        self.scripted.asked[0].callback(4)
        self.assertEqual(self.successResultOf(self.winning), 4)
        self.assertTrue(self.election.holds())

    def test_moved_before(self) -> None:
        """What is moved away before the election is won is waited for again."""
        self.segment.put("a")
        self.segment.remove("a")
        self.assertNoResult(self.winning)
        self.assertEqual(len(self.scripted.asked), 1)
        self.segment.put("a")
        self.scripted.asked[1].callback(5)
        self.assertEqual(self.successResultOf(self.winning), 5)

    def test_moved_away(self) -> None:
        """When it is moved away the term is over; the other candidate, who has it, is not in its way."""
        self.segment.put("a")
        self.scripted.asked[0].callback(4)
        over = Deferred.fromCoroutine(self.election.over())
        self.assertNoResult(over)
        self.segment.remove("a")
        self.assertIn("moved away", self.successResultOf(over))

    def test_moved_in_between(self) -> None:
        """Also when it was moved before anybody listened."""
        self.segment.put("a")
        self.scripted.asked[0].callback(4)
        self.segment.remove("a")
        over = Deferred.fromCoroutine(self.election.over())
        self.assertIn("moved away", self.successResultOf(over))

    def test_lost(self) -> None:
        """What the election itself says ends the term, too."""
        self.segment.put("a")
        self.scripted.asked[0].callback(4)
        over = Deferred.fromCoroutine(self.election.over())
        assert self.scripted.ends is not None
        self.scripted.ends.callback("a reason")
        self.assertEqual(self.successResultOf(over), "a reason")
