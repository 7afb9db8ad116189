"""What PVC shows of a machine's definition, libvirt's domain XML (behaviour.md of PVC §4, §6); pure."""

from xml.etree import ElementTree as ET

import attrs

USUAL_CONSOLE = "pty"
USUAL_EMULATOR = "/usr/bin/kvm"


@attrs.frozen(kw_only=True)
class Definition:
    """
    The parts of a definition.

    :ivar topology: ``sockets/cores/threads``, or ``N/A``.
    :ivar disks: with ``type``, ``name``, ``dev`` and ``bus``; `networks`: with ``type``, ``mac``, ``source``
        and ``model``; `controllers`: with ``type`` and ``model``, which may be ``None``.
    :ivar xml: all of it in one line, in single quotes.
    """

    description: str
    topology: str
    type: str
    arch: str
    machine: str
    console: str
    emulator: str
    features: tuple[str, ...]
    networks: tuple[dict[str, str], ...]
    disks: tuple[dict[str, str], ...]
    controllers: tuple[dict[str, str | None], ...]
    xml: str


def _value(node: ET.Element | None, name: str, default: str = "") -> str:
    return default if node is None else node.get(name, default)


def _network(node: ET.Element) -> dict[str, str]:
    kind = _value(node, "type")
    source = node.find("source")
    return {
        "type": kind,
        "mac": _value(node.find("mac"), "address"),
        "source": _value(source, kind) or _value(source, "dev"),
        "model": _value(node.find("model"), "type"),
    }


def _disk(node: ET.Element) -> dict[str, str]:
    source, target = node.find("source"), node.find("target")
    kind = _value(node, "type")
    if kind == "network":
        kind, name = _value(source, "protocol"), _value(source, "name")
    else:
        name = _value(source, "file") or _value(source, "dev")
    return {"type": kind, "name": name, "dev": _value(target, "dev"), "bus": _value(target, "bus")}


def _topology(root: ET.Element) -> str:
    found = root.find("cpu/topology")
    return "N/A" if found is None else "/".join(_value(found, n) for n in ("sockets", "cores", "threads"))


def read(xml: str) -> Definition:
    """The parts of a definition that was written or checked here."""
    root = ET.fromstring(xml)  # noqa: S314 -- of this cluster's own making
    kind = root.find("os/type")
    features = root.find("features")
    return Definition(
        description=root.findtext("description") or "N/A",
        topology=_topology(root),
        type=(kind.text if kind is not None else "") or "",
        arch=_value(kind, "arch"),
        machine=_value(kind, "machine"),
        console=_value(root.find("devices/console"), "type", USUAL_CONSOLE),
        emulator=root.findtext("devices/emulator") or USUAL_EMULATOR,
        features=() if features is None else tuple(node.tag for node in features),
        networks=tuple(_network(node) for node in root.findall("devices/interface")),
        disks=tuple(_disk(node) for node in root.findall("devices/disk")),
        controllers=tuple(
            {"type": _value(node, "type"), "model": node.get("model")}
            for node in root.findall("devices/controller")
        ),
        xml=xml.replace('"', "'"),
    )
