"""Tests of `twisted_rapi.model.query`."""

import contextlib
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from twisted_rapi.model import query, query_judging
from twisted_rapi.model.query import Compare, FilterError, parse

HOSTS = ("name",)
STAMPS = ("received",)
OBJECT: dict[str, Any] = {
    "name": "web1.example.com",
    "role": "M",
    "memory": 512,
    "load": 1.5,
    "up": True,
    "down": False,
    "tags": ["a", "b", 3],
    "received": (100, 999),
    "missing": None,
    "params": {"x": 1},
}


def value_of(name: str) -> tuple[query_judging.Value, Compare]:
    """How to get a value of `OBJECT`."""
    if name not in OBJECT:
        raise FilterError(f"Unknown field '{name}' in filter")
    compare: Compare = "host" if name in HOSTS else "stamp" if name in STAMPS else "plain"
    return lambda item: item[name], compare


def passes(given_: Any, item: Any = OBJECT) -> bool:
    """Whether an object passes a filter."""
    return query_judging.predicate(parse(given_), value_of)(item)


class OperatorTests(SynchronousTestCase):
    """Every operator (fields.json), on values it is for and others."""

    def all(self, expected: bool, *filters: Any) -> None:
        """All of these judge so."""
        for given_ in filters:
            self.assertEqual(passes(given_), expected, given_)

    def refused(self, text: str, given_: Any, form: bool = False) -> None:
        """Judging fails with a message."""
        error = self.assertRaises(FilterError, passes, given_)
        self.assertIn(text, str(error))
        self.assertEqual(error.form, form)

    def test_none(self) -> None:
        """Without a filter all pass."""
        self.all(True, None)

    def test_equal(self) -> None:
        """Equality has two names; text is compared as it is."""
        for operator in ("=", "=="):
            self.all(True, [operator, "role", "M"], [operator, "memory", 512], [operator, "memory", 512.0])
            self.all(False, [operator, "role", "m"], [operator, "memory", 511], [operator, "up", False])
        self.all(True, ["!=", "role", "C"], ["=", "up", True])
        self.all(False, ["!=", "memory", 512])

    def test_host_names(self) -> None:
        """A host's name may be short, whatever its case, up to a dot."""
        self.all(True, ["=", "name", "web1"], ["=", "name", "WEB1.example"], ["!=", "name", "web"])
        self.all(False, ["=", "name", "web"], ["!=", "name", "web1"], ["=", "name", "example.com"])

    def test_order(self) -> None:
        """Numbers by value, text by its characters, points in time by their seconds."""
        self.all(True, ["<", "memory", 513], [">", "load", 1], [">=", "memory", 512], ["<=", "name", "web2"])
        self.all(False, ["<", "memory", 512], [">", "memory", 512.5], [">=", "name", "x"])
        self.all(True, ["=", "received", 100], [">=", "received", 100])
        self.all(False, [">", "received", 100])

    def test_pattern(self) -> None:
        """Regular expressions are searched for anywhere; patterns as shells have them mean the whole."""
        self.all(True, ["=~", "name", "^web[12]"], ["=~", "name", "ample"], ["=*", "name", "web?.*"])
        self.all(False, ["=~", "name", "^ample"], ["=*", "name", "web"], ["=*", "name", "web1Xexample*"])

    def test_contains(self) -> None:
        """A list has a value of the same type."""
        self.all(True, ["=[]", "tags", "a"], ["=[]", "tags", 3])
        self.all(False, ["=[]", "tags", "c"], ["=[]", "tags", "3"])

    def test_truth(self) -> None:
        """A value counts as true or not."""
        self.all(True, ["?", "up"], ["?", "memory"], ["?", "tags"])
        self.all(False, ["?", "down"])

    def test_logic(self) -> None:
        """Any, all, not; none of nothing is true, all of nothing are."""
        self.all(True, ["|", ["?", "down"], ["?", "up"]], ["&"], ["!", ["|"]], ["&", ["?", "up"]])
        self.all(False, ["|"], ["&", ["?", "up"], ["?", "down"]], ["!", ["?", "up"]])

    def test_missing(self) -> None:
        """What has no value passes every comparison, and so not its negation."""
        for term in (["=", "missing", 1], ["!=", "missing", 1], ["=~", "missing", "x"], ["?", "missing"]):
            self.all(True, term)
            self.all(False, ["!", term])

    def test_types(self) -> None:
        """Text, numbers and truth are not compared with each other, and patterns are for text."""
        text = "Invalid types in comparison, trying to compare 512 with 'QuotedString \"x\"'"
        self.refused(text, ["=", "memory", "x"])
        self.refused("trying to compare \"M\" with 'NumericValue 1'", ["<", "role", 1])
        for given_ in (["=", "up", 1], ["=", "memory", True], ["=", "tags", "a"], ["!=", "params", 1]):
            self.refused("Invalid types in comparison", given_)
        self.refused("are for text", ["=~", "memory", "5"])
        self.refused("is for lists", ["=[]", "name", "w"])

    def test_form(self) -> None:
        """What has not the form of a filter is told in the words observed."""
        no_filter = "Cannot deserialise filter: expected array [string, args], got "
        for given_, shown in (("name", '"name"'), ([], "[]"), ([1], "[1]"), ({}, "{}"), (["!", 5], "5")):
            self.refused(no_filter + shown, given_, form=True)
        pair = "Cannot deserialise field/value pair, expected [fieldname, value] but got "
        self.refused(pair + '["name"]', ["=", "name"], form=True)
        self.refused(pair + "[1, 2]", ["=", 1, 2], form=True)
        self.refused("expected [fieldname]", ["?"], form=True)
        self.refused("takes one filter", ["!"], form=True)

    def test_meaning(self) -> None:
        """Unknown operators and fields, values that cannot be compared and bad patterns are told."""
        self.refused("Unknown filter operator '~'", ["~", "name", "x"])
        self.refused("Unknown field 'nope'", ["=", "nope", "x"])
        self.refused("must be text, a number", ["=", "name", None])
        self.refused("must be text, a number", ["=[]", "tags", ["a"]])
        self.refused("must be text", ["=~", "name", 1])
        for bad in ("(", "(?=x)", r"(a)\1", "a{5000}", "\ud800"):
            self.refused("Bad regular expression", ["=~", "name", bad])

    def test_long_values(self) -> None:
        """A message repeats no more than the beginning of what was wrong."""
        error = self.assertRaises(FilterError, parse, "x" * 100_000)
        self.assertLess(len(str(error)), 400)


class BoundTests(SynchronousTestCase):
    """No filter costs more than it may."""

    def test_limits(self) -> None:
        """Levels, parts, terms and patterns have limits, and what is at the limit is well."""
        deep: Any = ["?", "up"]
        for _ in range(query.MOST_LEVELS - 1):
            deep = ["&", deep]
        self.assertTrue(passes(deep))
        self.assertRaises(FilterError, parse, ["&", deep])
        self.assertRaises(FilterError, parse, ["|", *[["?", "up"]] * query.MOST_PARTS])
        terms = [["!=", "memory", n + 100] for n in range(query.MOST_TERMS)]
        self.assertFalse(passes(["&", *terms]))
        self.assertRaises(FilterError, passes, ["&", *terms, ["?", "up"]])
        some = [["=~", "name", "x"]] * query.MOST_PATTERNS
        self.assertTrue(passes(["|", *some]))
        self.assertRaises(FilterError, parse, ["|", *some, ["=~", "name", "x"]])
        self.assertRaises(FilterError, parse, ["=~", "name", "x" * (query.MOST_PATTERN + 1)])
        self.assertRaises(FilterError, parse, ["=*", "name", "x" * (query.MOST_PATTERN + 1)])

    def test_hostile_pattern(self) -> None:
        """A pattern that would take other engines years is judged in one pass over the text."""
        item = {**OBJECT, "role": "a" * 50_000 + "b"}
        self.assertFalse(passes(["=~", "role", r"^(a+)+$"], item))
        self.assertFalse(passes(["=~", "role", r"(.*.*.*.*.*.*)x"], item))

    def test_many_names(self) -> None:
        """Alternatives that compare one field are one term, of each type."""
        names = [["=", "role", f"n{n}"] for n in range(20_000)]
        self.assertFalse(passes(["|", *names]))
        self.assertTrue(passes(["|", *names, ["=", "role", "M"]]))
        parsed = parse(["|", *names, ["?", "down"], ["=", "name", "a"], ["=", "name", "b"]])
        assert parsed is not None
        self.assertEqual(query_judging.terms(parsed), 3)


class WantedTests(SynchronousTestCase):
    """Which values objects can be looked for by."""

    def test_wanted(self) -> None:
        """Equality, alternatives of it, and one of several conditions say it; all else does not."""
        for given_, expected in (
            (["=", "name", "a"], ("a",)),
            (["|", ["=", "name", "b"], ["==", "name", "a"], ["=", "name", "b"]], ("b", "a")),
            (["|", ["=", "name", "a"]], ("a",)),
            (["&", ["?", "up"], ["=", "name", "a"]], ("a",)),
            (["|", ["=", "name", "a"], ["?", "up"]], None),
            (["!", ["=", "name", "a"]], None),
            (["=", "role", "M"], None),
            (["|"], None),
            (None, None),
        ):
            self.assertEqual(query.wanted(parse(given_), "name"), expected, given_)

    def test_mentions(self) -> None:
        """A field is found wherever it is judged."""
        parsed = parse(["&", ["!", ["|", ["?", "up"], ["=", "role", "M"]]]])
        found = [name for name in OBJECT if query.mentions(parsed, name)]
        self.assertEqual(found, ["role", "up"])


names = st.sampled_from([*OBJECT, "nope"])
scalars = st.none() | st.booleans() | st.integers(-3, 600) | st.floats(allow_nan=False) | st.text(max_size=4)
known = st.sampled_from(["M", "web1", "a", 512, 100, True, "^w"])
operators = st.sampled_from([*query.OPERATORS, "~", ""])
anything = st.recursive(
    scalars | st.tuples(operators, names, scalars | known).map(list) | st.tuples(operators, names).map(list),
    lambda inner: st.lists(inner, max_size=4) | st.tuples(operators, inner, inner).map(list),
    max_leaves=15,
)
terms = st.one_of(
    st.tuples(st.sampled_from(["=", "!=", "<", ">="]), st.just("memory"), st.integers(510, 514)),
    st.tuples(st.sampled_from(["=", "!=", "=~"]), st.just("name"), st.sampled_from(["web1", "web2", "x"])),
    st.tuples(st.just("=[]"), st.just("tags"), st.sampled_from(["a", "z"])),
    st.tuples(st.just("?"), st.sampled_from(["up", "down", "missing"])),
).map(list)
filters = st.recursive(
    terms,
    lambda inner: (
        st.tuples(st.sampled_from("|&"), inner, inner).map(list) | st.tuples(st.just("!"), inner).map(list)
    ),
    max_leaves=12,
)


class LawTests(SynchronousTestCase):
    """What holds of all filters."""

    def test_only_the_documented_error(self) -> None:
        """Whatever is given, it is judged or refused with `FilterError`."""
        self.check_errors()

    @given(anything)
    def check_errors(self, given_: Any) -> None:
        with contextlib.suppress(FilterError):
            self.assertIn(passes(given_), (True, False))

    def test_laws(self) -> None:
        """Negation and de Morgan's laws."""
        self.check_laws()

    @given(filters, filters)
    def check_laws(self, a: Any, b: Any) -> None:
        self.assertEqual(passes(["!", a]), not passes(a))
        self.assertEqual(passes(["!", ["|", a, b]]), passes(["&", ["!", a], ["!", b]]))
        self.assertEqual(passes(["!", ["&", a, b]]), passes(["|", ["!", a], ["!", b]]))
        self.assertEqual(passes(["|", a, b]), passes(a) or passes(b))

    def test_wanted_is_true(self) -> None:
        """What passes has one of the values that are wanted."""
        self.check_wanted()

    @given(filters)
    def check_wanted(self, given_: Any) -> None:
        values = query.wanted(parse(given_), "memory")
        if values is not None and passes(given_):
            self.assertIn(OBJECT["memory"], values)
