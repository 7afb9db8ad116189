"""
XML that a client wrote, read so that nothing in it can do harm, and written in one canonical form; pure.

Documents with a type declaration are refused, so there are no entities but those of XML itself and nothing is
ever fetched; and so are those that are too long, too deep or of too many elements.  The canonical form has no
comments, no processing instructions and no white space between elements.
"""

from collections.abc import Iterator
from xml.etree import ElementTree as ET
from xml.parsers import expat

LONGEST = 128 * 1024  # characters
DEEPEST = 32
MOST_ELEMENTS = 4000

QEMU = "http://libvirt.org/schemas/domain/qemu/1.0"
NAMESPACE = "https://twisted-rapi.invalid/xmlns/instance/1"
_XML = "http://www.w3.org/XML/1998/namespace"
_PREFIXES = {
    QEMU: "qemu",
    NAMESPACE: "rapi",
    _XML: "xml",
    "http://libvirt.org/schemas/domain/lxc/1.0": "lxc",
    "http://libosinfo.org/xmlns/libvirt/domain/1.0": "libosinfo",
}


class BadXml(ValueError):
    """A text is no XML, or none that is read; says where and why."""


class _Builder:
    """Makes elements of what expat finds."""

    def __init__(self) -> None:
        self.parser = expat.ParserCreate(namespace_separator="}")
        self.parser.buffer_text = True
        self._tree, self._depth, self._count = ET.TreeBuilder(), 0, 0
        self.parser.StartElementHandler = self._start
        self.parser.EndElementHandler = self._end
        self.parser.CharacterDataHandler = self._tree.data
        self.parser.StartDoctypeDeclHandler = self._doctype
        self.parser.EntityDeclHandler = self._doctype
        self.parser.ExternalEntityRefHandler = self._doctype
        self.parser.SkippedEntityHandler = self._doctype

    def refuse(self, why: str) -> BadXml:
        """The error about where the parser is."""
        where = f"line {self.parser.CurrentLineNumber}, column {self.parser.CurrentColumnNumber + 1}"
        return BadXml(f"{why}, {where}")

    def _doctype(self, *_: object) -> int:
        raise self.refuse("document types and entities are not read")

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        self._depth, self._count = self._depth + 1, self._count + 1
        if self._depth > DEEPEST:
            raise self.refuse(f"elements are nested deeper than {DEEPEST}")
        if self._count > MOST_ELEMENTS:
            raise self.refuse(f"there are more than {MOST_ELEMENTS} elements")
        self._tree.start(_named(name), {_named(key): value for key, value in attributes.items()})

    def _end(self, name: str) -> None:
        self._depth -= 1
        self._tree.end(_named(name))

    def built(self) -> ET.Element:
        """The whole."""
        root: ET.Element = self._tree.close()
        return root


def _named(name: str) -> str:
    return "{" + name if "}" in name else name


def parse(text: str, longest: int = LONGEST) -> ET.Element:
    """
    The root of a document.

    :raises BadXml: it cannot be read, or is of a kind that is not.
    """
    if len(text) > longest:
        raise BadXml(f"the document is longer than {longest} characters, line 1, column 1")
    builder = _Builder()
    try:
        builder.parser.Parse(text, True)
    except expat.ExpatError as e:
        raise BadXml(f"{expat.ErrorString(e.code)}, line {e.lineno}, column {e.offset + 1}") from e
    except UnicodeEncodeError as e:
        line = text.count("\n", 0, e.start) + 1
        column = e.start - text.rfind("\n", 0, e.start)
        raise BadXml(f"not well-formed (invalid token), line {line}, column {column}") from e
    root = builder.built()
    _strip(root)
    return root


def _strip(element: ET.Element) -> None:
    """Take away the white space that is between elements only."""
    for each in element.iter():
        if not (each.text or "").strip():
            each.text = None
        if not (each.tail or "").strip():
            each.tail = None


def write(root: ET.Element) -> str:
    """
    The document in its canonical form: what is read of it, written again, is the same text.

    :raises BadXml: a value is no text that XML can hold.
    """
    names = _Names()
    inside = "".join(_written(root, names, top=True))
    head, _, rest = inside.partition("\0")
    text = f"{head}{names.declared()}{rest}"
    try:
        parse(text, 2 * LONGEST)
    except BadXml as e:
        raise BadXml(f"a value cannot be written: {e}") from e
    return text


class _Names:
    """The short names of what has a namespace."""

    def __init__(self) -> None:
        self._used: dict[str, str] = {}

    def of(self, name: str) -> str:
        """How a name is written."""
        uri, brace, local = name.rpartition("}")
        if not brace:
            return name
        uri = uri[1:]
        if uri not in self._used:
            self._used[uri] = _PREFIXES.get(uri, f"n{len(self._used)}")
        return f"{self._used[uri]}:{local}"

    def declared(self) -> str:
        """What the root says of them."""
        shown = {prefix: uri for uri, prefix in self._used.items() if uri != _XML}
        return "".join(f' xmlns:{prefix}="{_quoted(shown[prefix])}"' for prefix in sorted(shown))


def _written(element: ET.Element, names: _Names, top: bool = False) -> Iterator[str]:
    tag = names.of(element.tag)
    values = "".join(f' {names.of(key)}="{_quoted(value)}"' for key, value in element.attrib.items())
    mark = "\0" if top else ""  # where namespaces are declared
    if not element.text and not len(element):
        yield f"<{tag}{values}{mark}/>"
    else:
        yield f"<{tag}{values}{mark}>{_escaped(element.text)}"
        for child in element:
            yield from _written(child, names)
        yield f"</{tag}>"
    yield _escaped(element.tail)


def _escaped(text: str | None) -> str:
    found = (text or "").replace("\0", "\ufffe")  # neither of them is for XML
    for character, entity in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ("\r", "&#13;")):
        found = found.replace(character, entity)
    return found


def _quoted(value: str) -> str:
    found = _escaped(value)
    for character, entity in (('"', "&quot;"), ("\n", "&#10;"), ("\t", "&#9;")):
        found = found.replace(character, entity)
    return found
