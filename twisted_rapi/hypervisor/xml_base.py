"""What the modules of the domain XML share; pure."""

from collections.abc import Mapping
from typing import Any, Literal
from xml.etree import ElementTree as ET

from msgspec import Struct, field

from twisted_rapi.errors import StepFailed
from twisted_rapi.model.safe_xml import NAMESPACE as NAMESPACE
from twisted_rapi.model.safe_xml import QEMU as QEMU

DomainKind = Literal["kvm", "qemu"]

Read = dict[str, Any]  # hypervisor parameters a definition has, those with their usual value left out


class Found(Struct, frozen=True, kw_only=True):
    """
    What was found on the node for parameters that name something there.

    :ivar passwords: by the parameter that names the file.
    :ivar addresses: of network interfaces, by their name.
    :ivar secrets: uuids of those that libvirt keeps for users of Ceph, by user.
    """

    passwords: Mapping[str, str] = field(default_factory=dict)
    addresses: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    secrets: Mapping[str, str] = field(default_factory=dict)


def failed(text: str) -> StepFailed:
    """The error for what cannot be expressed."""
    return StepFailed(text, "hypervisor")


def add_text(parent: ET.Element, tag: str, text: str, **attributes: str) -> ET.Element:
    """A new child with a text."""
    node = ET.SubElement(parent, tag, attributes)
    node.text = text
    return node


def choice(table: Mapping[str, str], parameter: str, value: str) -> str:
    """
    What the table has for the value.

    :raises StepFailed: nothing.
    """
    if value not in table:
        raise failed(f"{parameter} {value!r} is not supported")
    return table[value]


def inverse(table: Mapping[str, str], value: str | None) -> str:
    """The first key of the table with the value; the value itself where there is none."""
    return next((key for key, found in table.items() if found == value), value or "")


def attribute(node: ET.Element | None, name: str) -> str:
    """An attribute of a node that may be missing; empty without."""
    return "" if node is None else node.get(name, "")


def found_only(values: Mapping[str, Any]) -> Read:
    """The values that say something."""
    return {name: value for name, value in values.items() if value not in ("", 0, False, None)}


def extend_command(root: ET.Element, *arguments: str) -> None:
    """Add arguments to QEMU's command line."""
    line = root.find(f"{{{QEMU}}}commandline")
    if line is None:
        line = ET.SubElement(root, f"{{{QEMU}}}commandline")
    for argument in arguments:
        ET.SubElement(line, f"{{{QEMU}}}arg", value=argument)


def command_of(root: ET.Element) -> list[str]:
    """The arguments that were added."""
    return [node.get("value", "") for node in root.findall(f"{{{QEMU}}}commandline/{{{QEMU}}}arg")]
