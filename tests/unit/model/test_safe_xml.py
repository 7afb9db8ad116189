"""Tests of `twisted_rapi.model.safe_xml`."""

from xml.etree import ElementTree as ET

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from twisted_rapi.model.safe_xml import DEEPEST, LONGEST, MOST_ELEMENTS, QEMU, BadXml, parse, write

names = st.sampled_from(["a", "b", f"{{{QEMU}}}arg", "{urn:x}y", "{urn:z}y"])
texts = st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\ufffe\uffff"), max_size=8)


def _element(tag: str, attributes: dict[str, str], text: str, children: list[ET.Element]) -> ET.Element:
    element = ET.Element(tag, attributes)
    element.text = text
    element.extend(children)
    return element


trees = st.recursive(
    st.builds(_element, names, st.dictionaries(names, texts, max_size=3), texts, st.just([])),
    lambda inner: st.builds(
        _element, names, st.dictionaries(names, texts), texts, st.lists(inner, max_size=4)
    ),
    max_leaves=12,
)


class SafeXmlTests(SynchronousTestCase):
    """What clients write is read without harm, or refused with a place and a reason."""

    def refused(self, text: str) -> str:
        """Why a text is refused."""
        return str(self.assertRaises(BadXml, parse, text))

    def test_entities(self) -> None:
        """Nothing is ever declared, expanded or fetched."""
        bomb = "<!DOCTYPE a [<!ENTITY x 'y'><!ENTITY z '&x;&x;'>]>\n<a>&z;</a>"
        fetched = "<!DOCTYPE a SYSTEM 'file:///etc/passwd'><a/>"
        outside = "<!DOCTYPE a [<!ENTITY x SYSTEM 'http://192.0.2.1/'>]><a>&x;</a>"
        for text in (bomb, fetched, outside):
            self.assertIn("entities are not read, line 1", self.refused(text))
        self.assertEqual(self.refused("<a>\n &x;</a>"), "undefined entity, line 2, column 2")

    def test_size(self) -> None:
        """What is too long, too deep, or of too many elements is refused."""
        self.assertIn("longer", self.refused(f"<a>{' ' * LONGEST}</a>"))
        self.assertIn("deeper", self.refused("<a>" * (DEEPEST + 1)))
        self.assertIn("more than", self.refused(f"<a>{'<b/>' * MOST_ELEMENTS}</a>"))
        self.assertEqual(len(parse(f"<a>{'<b/>' * (MOST_ELEMENTS - 1)}</a>")), MOST_ELEMENTS - 1)

    def test_broken(self) -> None:
        """Line and column of what is wrong are told."""
        self.assertEqual(self.refused("<a>\n <b>\n</a>"), "mismatched tag, line 3, column 3")
        self.assertEqual(self.refused(""), "no element found, line 1, column 1")
        self.assertEqual(self.refused("<a>\n\ud800"), "not well-formed (invalid token), line 2, column 1")
        self.assertIn("invalid token", self.refused("<a>\0</a>"))

    def test_canonical(self) -> None:
        """Comments, instructions and the space between elements are not kept; texts and quotes are."""
        head = "<?xml version='1.0' encoding='utf-16'?>"
        text = f"{head}<a  b='ü\"' >\n <!-- c --><c> x\ty </c><d> </d><?p q?>\n</a>"
        self.assertEqual(write(parse(text)), '<a b="ü&quot;"><c> x\ty </c><d/></a>')

    def test_namespaces(self) -> None:
        """Names of libvirt's own extensions keep their usual prefix, whatever they had."""
        text = f"<domain xmlns:q='{QEMU}'><q:commandline><q:arg value='-s'/></q:commandline></domain>"
        written = write(parse(text))
        self.assertEqual(
            written,
            f'<domain xmlns:qemu="{QEMU}"><qemu:commandline><qemu:arg value="-s"/>'
            "</qemu:commandline></domain>",
        )

    def test_unwritable(self) -> None:
        """What XML has no way to say is not written."""
        for value in ("\0", "\x01", "\ud800"):
            self.assertRaises(BadXml, write, ET.Element("a", b=value))

    @given(trees)
    def test_again(self, tree: ET.Element) -> None:
        """What was written is read and written as the same text."""
        text = write(tree)
        self.assertEqual(write(parse(text)), text)

    @given(st.text(st.sampled_from("<>/&;!?[]'\"= ab\n\t\r\0\ud800xml:CDAT-"), max_size=60))
    def test_anything(self, text: str) -> None:
        """Any text is read or refused."""
        try:
            write(parse(text))
        except BadXml as e:
            self.assertRegex(str(e), r"line \d+, column \d+$")
