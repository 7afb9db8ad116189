"""Tests of `twisted_rapi.plan.pvc.limit`."""

import re
import time

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from twisted_rapi.plan.pvc.limit import Unanswerable, matcher


class MatcherTests(SynchronousTestCase):
    """What a limit finds."""

    def test_fuzzy(self) -> None:
        """Anywhere, unless it says where."""
        names = ("pvchv1", "pvchv2", "hv")
        wanted = {"hv2": [1], "^hv": [2], "1$": [0], "hv[12]": [0, 1], "": [0, 1, 2], "^pvchv1$": [0]}
        for limit, found in wanted.items():
            match = matcher(limit, "fuzzy")
            self.assertEqual([n for n, name in enumerate(names) if match(name)], found, limit)

    def test_prefix(self) -> None:
        """From the beginning only."""
        match = matcher("hv", "prefix")
        self.assertEqual([match("pvchv1"), match("hv1")], [False, True])

    def test_wrong(self) -> None:
        """What is wrong is said in the words that clients know, or the engine's."""
        wanted = {
            ("[", "fuzzy"): "Regex Error: unterminated character set at position 2",
            ("[", "prefix"): "Regex Error: unterminated character set at position 0",
        }
        for (limit, match), text in wanted.items():
            error = self.assertRaises(Unanswerable, matcher, limit, match)
            self.assertEqual(error.message, text)
        for limit in ("(?=a)", r"(a)\1", "a" * 100_000, "(" * 500, "((a{1000}){1000}){1000}"):
            self.assertRaises(Unanswerable, matcher, limit, "fuzzy")

    def test_slow(self) -> None:
        """A pattern that takes others for ever takes next to no time."""
        match = matcher("(a+)+$", "fuzzy")
        begun = time.process_time()
        self.assertFalse(match("a" * 60 + "!"))
        self.assertLess(time.process_time() - begun, 1.0)

    @given(st.text(max_size=30), st.text(max_size=30))
    def test_anything(self, limit: str, text: str) -> None:
        """Whatever a client sends is a pattern or refused."""
        try:
            matcher(limit, "fuzzy")(text)
        except Unanswerable as e:
            self.assertTrue(str(e.message).startswith("Regex Error: "))

    @given(st.text("ab.*+?|()[]^$", max_size=8), st.text("ab", max_size=8))
    def test_as_python(self, limit: str, text: str) -> None:
        """It finds what Python's own would, where both know the pattern."""
        try:
            found = matcher(limit, "prefix")(text)
        except Unanswerable:
            return
        self.assertEqual(found, not limit or re.match(limit, text) is not None)
