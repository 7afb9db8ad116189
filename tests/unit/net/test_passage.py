"""What arrives for the floating address while it moves: which rules there are when."""

from collections.abc import Awaitable
from ipaddress import ip_address
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from twisted_rapi.net.passage import LED_BACK, Passage, rules_for

FOUR, SIX = ip_address("192.0.2.100"), ip_address("2001:db8::100")


class RulesTests(SynchronousTestCase):
    """`rules_for`."""

    def test_families(self) -> None:
        """Each version of IP has its own table, named after the address."""
        rows = (
            (FOUR, "table ip rapi_c0000264 {", "ip daddr 192.0.2.100 tcp dport 5080 redirect"),
            (SIX, "table ip6 rapi_20010db8", "ip6 daddr 2001:db8::100 tcp dport 5080 redirect"),
        )
        for address, table, led in rows:
            rules = rules_for(address, 5080, None, None)
            self.assertIn(table, rules)
            self.assertIn(led, rules)
            self.assertNotIn("dup", rules)

    def test_listener(self) -> None:
        """Where one address is listened on, arrivals are led there."""
        self.assertIn("dport 99 dnat to 192.0.2.1", rules_for(FOUR, 99, ip_address("192.0.2.1"), None))

    def test_strays(self) -> None:
        """Only what does not begin a connection is passed on, and it goes nowhere else."""
        rules = rules_for(FOUR, 5080, None, ip_address("192.0.2.2"))
        arriving = "ip daddr 192.0.2.100 tcp dport 5080 ct state new,invalid tcp flags & syn == 0"
        self.assertIn(f"{arriving} dup to 192.0.2.2\n{arriving} drop\n", rules)


class PassageTests(SynchronousTestCase):
    """`Passage`."""

    def setUp(self) -> None:
        self.clock, self.fed, self.answer = Clock(), list[str](), ""
        self.passage = Passage(self.clock, self._now, FOUR, 5080, None, self._feed)

    def _feed(self, rules: str) -> str:
        self.fed.append(rules)
        return self.answer

    def _now(self, work: Any, *args: Any) -> Awaitable[Any]:
        return succeed(work(*args))

    def do(self, work: Any) -> None:
        """Have it done."""
        self.successResultOf(Deferred.fromCoroutine(work))

    def test_led_back(self) -> None:
        """Strays are passed on for a while, a further switch begins that anew, and no timer is left."""
        self.do(self.passage.open())
        self.assertTrue(self.passage.is_open)
        self.do(self.passage.lead_back("192.0.2.2"))
        self.assertIn("dup to 192.0.2.2", self.fed[-1])
        self.clock.advance(LED_BACK - 1)
        self.do(self.passage.lead_back("192.0.2.3"))
        self.clock.advance(LED_BACK - 1)
        self.assertIn("dup to 192.0.2.3", self.fed[-1])
        self.clock.advance(1)
        self.assertNotIn("dup", self.fed[-1])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_not_there(self) -> None:
        """Where nftables refuses nothing more is asked of it, and nothing fails."""
        self.answer = "no such program"
        self.do(self.passage.open())
        self.assertFalse(self.passage.is_open)
        self.do(self.passage.lead_back("192.0.2.2"))
        self.assertEqual(len(self.fed), 1)

    def test_other_version(self) -> None:
        """A host of the other version of IP cannot be passed on to."""
        self.do(self.passage.open())
        self.do(self.passage.lead_back("2001:db8::2"))
        self.assertEqual(len(self.fed), 1)

    def test_stop(self) -> None:
        """What is there stays when it is stopped."""
        self.do(self.passage.open())
        self.do(self.passage.lead_back("192.0.2.2"))
        self.passage.stop()
        self.assertEqual((len(self.fed), self.clock.getDelayedCalls()), (2, []))
