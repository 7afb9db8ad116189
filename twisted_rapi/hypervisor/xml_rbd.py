"""Disks in a Ceph cluster in domain XML, which a guest reaches by librbd; pure."""

from collections.abc import Mapping
from xml.etree import ElementTree as ET

from twisted_rapi.hypervisor.xml_base import attribute, failed
from twisted_rapi.model.rbd import USUAL_USER, RbdImage, uri

PROTOCOL = "rbd"


def write_source(disk: ET.Element, image: RbdImage, secrets: Mapping[str, str]) -> None:
    """
    Where a disk is, and who reads it.

    :param secrets: uuids of libvirt's secrets by user.  The usual user may have none: then there is a keyring
        that the guest's process can read, or Ceph asks nobody who he is.
    :raises StepFailed: another user has none.
    """
    user = image.user or USUAL_USER
    if user in secrets:
        ET.SubElement(ET.SubElement(disk, "auth", username=user), "secret", type="ceph", uuid=secrets[user])
    elif user != USUAL_USER:
        raise failed(f"[ceph] of this node's agent.toml names no secret of libvirt for the user {user}")
    source = ET.SubElement(disk, "source", protocol=PROTOCOL, name=f"{image.pool}/{image.name}")
    for monitor in image.monitors:
        ET.SubElement(source, "host", _host(monitor))
    if image.conf:
        ET.SubElement(source, "config", file=image.conf)


def _host(monitor: str) -> dict[str, str]:
    host, colon, port = monitor.rpartition(":")
    if not colon or "]" in port:
        host, port = monitor, ""
    named = {"name": host.removeprefix("[").removesuffix("]")}
    return {**named, "port": port} if port else named


def read_source(disk: ET.Element, source: ET.Element) -> str:
    """The path of such a disk, whoever wrote it."""
    pool, _, name = source.get("name", "").partition("/")
    auth = disk.find("auth")
    user = attribute(source.find("auth") if auth is None else auth, "username")
    monitors = tuple(map(_monitor, source.findall("host")))
    return uri(
        RbdImage(
            pool=pool, name=name, user=user, conf=attribute(source.find("config"), "file"), monitors=monitors
        )
    )


def _monitor(host: ET.Element) -> str:
    name, port = host.get("name", ""), host.get("port")
    shown = f"[{name}]" if ":" in name else name
    return f"{shown}:{port}" if port else shown
