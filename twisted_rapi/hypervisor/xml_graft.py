"""
Changes of one tree made in another that is like it; pure.

Note [Grafting].  The common model says what a machine has now (`new`) and what its base says in the same
terms (`old`); both are written as XML by the same program.  What is the same in both is left alone in the
base, in whatever way it is said there; what differs is changed in the base.  So everything that the common
model knows nothing of stays, and grafting again changes nothing.
"""

from collections.abc import Iterable
from copy import deepcopy
from xml.etree import ElementTree as ET


def same(one: ET.Element, other: ET.Element) -> bool:
    """Whether two trees say the same, but for white space around texts."""
    return (
        one.tag == other.tag
        and one.attrib == other.attrib
        and _text(one) == _text(other)
        and alike(list(one), list(other))
    )


def alike(some: list[ET.Element], others: list[ET.Element]) -> bool:
    """Whether two lists of trees say the same."""
    return len(some) == len(others) and all(map(same, some, others))


def _text(element: ET.Element) -> str:
    return (element.text or "").strip()


def graft(base: ET.Element, old: ET.Element, new: ET.Element, without: Iterable[str] = ()) -> None:
    """
    Make in `base` what has changed from `old` to `new`; see Note [Grafting].

    :param without: tags of children that are left alone.
    """
    for name in {*old.attrib, *new.attrib}:
        if old.get(name) != new.get(name):
            _set(base, name, new.get(name))
    if _text(old) != _text(new):
        base.text = new.text
    for tag in dict.fromkeys(child.tag for child in (*old, *new)):
        if tag not in without:
            _graft_children(base, old.findall(tag), new.findall(tag), tag)


def _set(base: ET.Element, name: str, value: str | None) -> None:
    if value is None:
        base.attrib.pop(name, None)
    else:
        base.set(name, value)


def _graft_children(base: ET.Element, old: list[ET.Element], new: list[ET.Element], tag: str) -> None:
    if alike(old, new):
        return
    there = base.findall(tag)
    if max(len(old), len(new), len(there)) > 1 or not there or not _parts(*old, *new):
        replaced(base, there, new)
        return
    [one] = there
    nothing = ET.Element(tag)
    graft(one, old[0] if old else nothing, new[0] if new else nothing)
    if not new and not one.attrib and not len(one) and not _text(one):
        base.remove(one)


def _parts(*elements: ET.Element) -> bool:
    """Whether elements have something inside that may be changed by itself."""
    return any(len(element) or _text(element) for element in elements) or any(
        len(element.attrib) > 1 for element in elements
    )


def replaced(base: ET.Element, there: list[ET.Element], new: list[ET.Element]) -> None:
    """Put elements in the place of others, or at the end where there are none."""
    at = list(base).index(there[0]) if there else len(base)
    for element in there:
        base.remove(element)
    for n, element in enumerate(new):
        base.insert(at + n, deepcopy(element))
