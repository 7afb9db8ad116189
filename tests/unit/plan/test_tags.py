"""Tests of tags and names; texts as observed."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.unit.plan.programs import NAMES, op
from tests.unit.plan.test_create import pair
from tests.unit.plan.test_power import world_with
from twisted_rapi.errors import OpPrereqError, TagError
from twisted_rapi.model.records import GroupRecord, NodeRecord
from twisted_rapi.plan.naming import TAGS_PER_OBJECT, check_tags, host_name, merged_tags
from twisted_rapi.testing.cluster import GROUP, NODES
from twisted_rapi.testing.soundness import picture
from twisted_rapi.testing.world import Ended, World

A, _ = NAMES


def tag(world: World, kind: str, name: str | None, *tags: str, verb: str = "SET") -> Ended:
    """Set or remove tags."""
    return world.run(op(f"TAGS_{verb}", kind=kind, name=name, tags=list(tags)))


class TagTests(SynchronousTestCase):
    """``OP_TAGS_SET`` and ``OP_TAGS_DEL``."""

    def test_every_kind(self) -> None:
        """Tags of each kind of object are set and removed; the result is null, serial numbers grow."""
        world = world_with()
        where: dict[str, tuple[str | None, Any]] = {
            "cluster": (None, lambda: world.cluster),
            "instance": ("a", lambda: world.instance(A)),
            "node": ("node1", lambda: world.of(NodeRecord)[NODES[0]]),
            "nodegroup": ("default", lambda: world.of(GroupRecord)[GROUP]),
        }
        for kind, (name, record) in where.items():
            ended = tag(world, kind, name, "b", "a", "a")
            self.assertEqual((pair(ended), ended.result, ended.log, ended.steps), (None, None, [], []))
            self.assertEqual((record().tags, record().serial_no, ended.unlocked), (("a", "b"), 2, set()))
            ended = tag(world, kind, name, "b", verb="DEL")
            self.assertEqual((pair(ended), ended.result, record().tags), (None, None, ("a",)))

    def test_again(self) -> None:
        """Tags that are there, and no tags, change nothing."""
        world = World()
        tag(world, "cluster", None, "a")
        before = picture(world)
        for tags in (("a",), ()):
            self.assertEqual(pair(tag(world, "cluster", None, *tags)), None)
        self.assertEqual(picture(world), before)

    def test_refused(self) -> None:
        """Unknown objects, tags that are none, and removal of what is not there."""
        world = world_with()
        before = picture(world)
        for kind, name, tags, verb, error in (
            (
                "instance",
                "nosuch",
                ["x"],
                "SET",
                ["OpPrereqError", ["Instance 'nosuch' not known", "unknown_entity"]],
            ),
            (
                "node",
                "nosuch",
                ["x"],
                "SET",
                ["OpPrereqError", ["Node 'nosuch' not known", "unknown_entity"]],
            ),
            (
                "cluster",
                None,
                ["nope"],
                "DEL",
                ["OpPrereqError", ["Tag(s) 'nope' not found", "unknown_entity"]],
            ),
            ("cluster", None, ["a b"], "SET", ["TagError", ["Tag contains invalid characters"]]),
            ("cluster", None, ["x\n"], "SET", ["TagError", ["Tag contains invalid characters"]]),
            ("cluster", None, ["x" * 129], "SET", ["TagError", ["Tag too long (>128 characters)"]]),
            ("cluster", None, [""], "SET", ["TagError", ["Tags cannot be empty"]]),
            ("node", None, ["x"], "SET", ["OpPrereqError", ["Missing name of the object", "wrong_input"]]),
        ):
            self.assertEqual(pair(tag(world, kind, name, *tags, verb=verb)), error)
        self.assertEqual(picture(world), before)

    def test_too_many(self) -> None:
        """An object has so many tags and no more."""
        many = [str(n) for n in range(TAGS_PER_OBJECT)]
        self.assertEqual(len(merged_tags(many, [])), TAGS_PER_OBJECT)
        error = self.assertRaises(TagError, merged_tags, many, ["one"])
        self.assertEqual(error.text, "Too many tags (>4096)")

    @given(st.lists(st.text(alphabet="ab.*/:@-_+", min_size=1, max_size=4)), st.lists(st.sampled_from("ab")))
    def test_merging(self, old: list[str], new: list[str]) -> None:
        """All tags are there once and in order."""
        self.assertEqual(list(merged_tags(old, new)), sorted(set(old) | set(new)))

    @given(st.text(max_size=6))
    def test_characters(self, text: str) -> None:
        """A tag is of ASCII letters, digits and a few signs."""
        good = bool(text) and all(c in "_.+*/:@-" or (c.isascii() and c.isalnum()) for c in text)
        try:
            check_tags([text])
        except TagError:
            self.assertFalse(good, text)
        else:
            self.assertTrue(good, text)


class HostNameTests(SynchronousTestCase):
    """Names of hosts in their one form."""

    def test_form(self) -> None:
        """Lower case, no dot at the end."""
        self.assertEqual(host_name("Web1.Example.COM."), "web1.example.com")

    def test_bad(self) -> None:
        """What no host can be called; most of all what would be another path."""
        for name in (
            "",
            ".",
            "a..b",
            "-a",
            "a-",
            "a/b",
            "..",
            "a\n",
            "a\x00",
            "ä",
            "x" * 64,
            ".".join(["x" * 50] * 6),
        ):
            error = self.assertRaises(OpPrereqError, host_name, name)
            self.assertEqual((error.text, error.code), (f"Invalid hostname {name!r}", "wrong_input"))

    @given(st.text(max_size=20))
    def test_once(self, name: str) -> None:
        """The one form of a name is its own."""
        try:
            form = host_name(name)
        except OpPrereqError:
            return
        self.assertEqual(host_name(form), form)
        self.assertFalse(set(form) & set("/\n\x00 "))
