"""Sizes as people write and read them."""

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from twisted_rapi.model.sizes import MOST, UNITS, human_size, parse_size

_units = st.sampled_from([*UNITS, *map(str.lower, UNITS)])


class ParseTests(SynchronousTestCase):
    """Texts become bytes."""

    @given(st.integers(0, 8191), _units, st.sampled_from(["", "B", "b", "iB", "ib"]))
    def test_units(self, number: int, unit: str, end: str) -> None:
        """A whole number of a unit is that many of it, however the unit is written."""
        whole = unit if unit in "Bb" else unit + end
        self.assertEqual(parse_size(f"{number}{whole}"), number * UNITS[unit.upper()])
        self.assertEqual(parse_size(f" {number} {whole}"), number * UNITS[unit.upper()])

    @given(st.integers(0, MOST))
    def test_bytes(self, number: int) -> None:
        """Without a unit it is bytes, of any number of digits."""
        self.assertEqual(parse_size(str(number)), number)

    @given(st.integers(0, 8191), st.integers(0, 10**9 - 1), _units)
    def test_fractions(self, whole: int, part: int, unit: str) -> None:
        """Parts of a unit are exact, and rounded up to bytes: never less than was asked for."""
        size = parse_size(f"{whole}.{part:09}{unit}")
        exact = (whole * 10**9 + part) * UNITS[unit.upper()]
        self.assertTrue(exact <= size * 10**9 < exact + 10**9)

    @given(st.text())
    def test_any(self, text: str) -> None:
        """Any text is a size that can be counted, or is refused in a short line."""
        try:
            size = parse_size(text)
        except ValueError as e:
            self.assertLess(len(str(e)), 500)
        else:
            self.assertTrue(0 <= size <= MOST)

    def test_refused(self) -> None:
        """What is no size, and what is too much."""
        for text in (
            "",
            "G",
            "-1",
            "+1",
            "1e3",
            "0x10",
            "1,5G",
            "20GG",
            "10X",
            "1 2",
            "Ki",
            ".",
            "1iB",
            "²",
            "inf",
        ):
            self.assertRaises(ValueError, parse_size, text)
        for text in ("8192P", str(MOST + 1), "9" * 30, "9" * 31):
            self.assertRaises(ValueError, parse_size, text)

    def test_examples(self) -> None:
        """The forms that clients send."""
        for text, size in {
            "1073741824": 1 << 30,
            "20G": 20 << 30,
            "20g": 20 << 30,
            "1.5GiB": 3 << 29,
            "4096B": 4096,
        }.items():
            self.assertEqual(parse_size(text), size)
        self.assertEqual((parse_size("0.1K"), parse_size(".5M"), parse_size("2.T")), (103, 1 << 19, 2 << 40))


class HumanTests(SynchronousTestCase):
    """Bytes become texts."""

    @given(st.integers(0, 9999 << 50))
    def test_read_again(self, size: int) -> None:
        """The text is never of less, nor of as much as one unit more, and has at most four digits."""
        text = human_size(size)
        self.assertLessEqual(len(text), 5)
        told = int(text[:-1]) * UNITS[text[-1]]
        self.assertTrue(size <= told < size + UNITS[text[-1]])

    def test_examples(self) -> None:
        """As clients of the API were answered (behaviour.md §4)."""
        told = {1 << 30: "1024M", 20 << 30: "20G", 100 << 30: "100G", 0: "0B", 9999: "9999B", 10000: "10K"}
        self.assertEqual({size: human_size(size) for size in told}, told)
        self.assertEqual(human_size(10000 << 50), "10000P")
