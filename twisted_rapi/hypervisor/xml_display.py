"""What a machine shows and hears in domain XML: VNC, SPICE, video, sound; pure."""

import re
import shlex
from ipaddress import ip_address
from itertools import pairwise
from typing import Any
from xml.etree import ElementTree as ET

from twisted_rapi.hypervisor.xml_base import (
    Found,
    Read,
    attribute,
    choice,
    command_of,
    extend_command,
    failed,
    found_only,
    inverse,
)
from twisted_rapi.model.address_pool import is_address
from twisted_rapi.model.steps import DomainSpec

VIDEO = {
    "std": "vga",
    "cirrus": "cirrus",
    "vmware": "vmvga",
    "qxl": "qxl",
    "virtio": "virtio",
    "none": "none",
}
SOUND = {
    "ac97": "ac97",
    "es1370": "es1370",
    "sb16": "sb16",
    "pcspk": "pcspk",
    "hda": "ich6",
    "intel-hda": "ich6",
    "ich9": "ich9",
    "usb": "usb",
}
VNC_BASE = 5900
VNC_PASSWORD = "vnc_password_file"  # noqa: S105 - a parameter
SPICE_PASSWORD = "spice_password_file"  # noqa: S105 - a parameter
SPICE_AGENT = "com.redhat.spice.0"
_ON_OFF = {True: "on", False: "off"}
_TLS = "rapi-vnc-tls"

# Per parameter: element, attribute.
_SPICE_TEXTS = {
    "spice_image_compression": ("image", "compression"),
    "spice_jpeg_wan_compression": ("jpeg", "compression"),
    "spice_zlib_glz_wan_compression": ("zlib", "compression"),
    "spice_streaming_video": ("streaming", "mode"),
}


def named_files(hv: dict[str, Any]) -> dict[str, str]:
    """The password files these parameters name, by parameter."""
    used = {VNC_PASSWORD: "vnc_bind_address", SPICE_PASSWORD: "spice_bind"}
    return {name: hv[name] for name, where in used.items() if hv.get(name) and hv.get(where)}


def named_interfaces(hv: dict[str, Any]) -> tuple[str, ...]:
    """The network interfaces these parameters name."""
    values = (hv.get("vnc_bind_address") or "", hv.get("spice_bind") or "")
    return tuple(v for v in values if v and not v.startswith("/") and not is_address(v))


def write_displays(root: ET.Element, devices: ET.Element, domain: DomainSpec, found: Found) -> None:
    """
    All a person sees and hears of the machine.

    :raises StepFailed: it cannot be expressed.
    """
    hv = domain.hvparams
    vnc, spice = hv.get("vnc_bind_address") or "", hv.get("spice_bind") or ""
    video = hv.get("vga") or ("qxl" if spice else "")
    if vnc and hv.get("vnc_tls"):
        _vnc_by_command(root, domain, vnc, found)
        video = video or "std"
    elif vnc:
        _vnc(devices, domain, vnc, found)
    if spice:
        _spice(root, devices, domain, spice, found)
    if video:
        ET.SubElement(ET.SubElement(devices, "video"), "model", type=choice(VIDEO, "vga", video))
    for name in _words(hv.get("soundhw")):
        ET.SubElement(devices, "sound", model=choice(SOUND, "soundhw", name))


def _words(text: str | None) -> list[str]:
    return [word for word in re.split(r"[\s,]+", text or "") if word]


def _bound(parameter: str, text: str, found: Found, version: int = 0) -> str:
    """The address that a parameter names, itself or by an interface; of that IP version, if one is given."""
    if is_address(text):
        if version and ip_address(text).version != version:
            raise failed(f"{parameter} {text} is no address of IP version {version}")
        return text
    addresses = sorted(map(ip_address, found.addresses.get(text, ())), key=lambda a: (a.version, a.packed))
    of_version = [address for address in addresses if not version or address.version == version]
    if not of_version:
        raise failed(f"{parameter} {text!r} is no address and no interface with one")
    return str(of_version[0])


def _password(parameter: str, hv: dict[str, Any], found: Found) -> dict[str, str]:
    if not hv.get(parameter):
        return {}
    password = found.passwords.get(parameter, "")
    if not password:
        raise failed(f"{parameter} {hv[parameter]}: there is no password in it")
    return {"passwd": password}


def _vnc(devices: ET.Element, domain: DomainSpec, bind: str, found: Found) -> None:
    hv = domain.hvparams
    values = {"type": "vnc", **_password(VNC_PASSWORD, hv, found)}
    if hv.get("keymap"):
        values["keymap"] = hv["keymap"]
    if bind.startswith("/"):
        socket = f"{bind.rstrip('/')}/{domain.name}.vnc"
        node = ET.SubElement(devices, "graphics", values)
        ET.SubElement(node, "listen", type="socket", socket=socket)
        return
    port = domain.console_port
    values |= {"port": str(port), "autoport": "no"} if port else {"autoport": "yes"}
    ET.SubElement(devices, "graphics", {**values, "listen": _bound("vnc_bind_address", bind, found)})


def _vnc_by_command(root: ET.Element, domain: DomainSpec, bind: str, found: Found) -> None:
    """libvirt has TLS for VNC for all guests of a node or none; QEMU has it for each."""
    hv = domain.hvparams
    if hv.get(VNC_PASSWORD):
        raise failed(f"vnc_tls and {VNC_PASSWORD} cannot be had together; vnc_x509_verify or SPICE can")
    port = domain.console_port or 0
    if port < VNC_BASE:
        raise failed(f"vnc_tls needs a network port of {VNC_BASE} or above, not {port}")
    address = _bound("vnc_bind_address", bind, found)
    host = f"[{address}]" if ":" in address else address
    folder, verify = hv.get("vnc_x509_path") or "", bool(hv.get("vnc_x509_verify"))
    if verify and not folder:
        raise failed("vnc_x509_verify needs vnc_x509_path")
    # In QEMU's option text a comma is doubled.
    kind = f"tls-creds-x509,verify-peer={_ON_OFF[verify]},dir={folder.replace(',', ',,')}"
    credentials = kind if folder else "tls-creds-anon"
    extend_command(root, "-object", f"{credentials},id={_TLS},endpoint=server")
    extend_command(root, "-vnc", f"{host}:{port - VNC_BASE},tls-creds={_TLS}")
    if hv.get("keymap"):
        extend_command(root, "-k", hv["keymap"])


def _spice(root: ET.Element, devices: ET.Element, domain: DomainSpec, bind: str, found: Found) -> None:
    hv = domain.hvparams
    address = _bound("spice_bind", bind, found, int(hv.get("spice_ip_version") or 0))
    # One console port is allotted: VNC has it when there are both.
    port = 0 if hv.get("vnc_bind_address") else domain.console_port
    values = {"type": "spice", "listen": address, **_password(SPICE_PASSWORD, hv, found)}
    if hv.get("spice_use_tls"):
        values["defaultMode"] = "secure"
    if port:
        values |= {"tlsPort" if hv.get("spice_use_tls") else "port": str(port), "autoport": "no"}
    else:
        values["autoport"] = "yes"
    if hv.get("keymap"):
        values["keymap"] = hv["keymap"]
    node = ET.SubElement(devices, "graphics", values)
    for parameter, (tag, name) in _SPICE_TEXTS.items():
        if hv.get(parameter):
            ET.SubElement(node, tag, {name: hv[parameter]})
    if not hv.get("spice_playback_compression", True):
        ET.SubElement(node, "playback", compression="off")
    if hv.get("spice_use_tls") and hv.get("spice_tls_ciphers"):
        extend_command(root, "-spice", f"tls-ciphers={hv['spice_tls_ciphers'].replace(',', ',,')}")
    if hv.get("spice_use_vdagent", True):
        channel = ET.SubElement(devices, "channel", type="spicevmc")
        ET.SubElement(channel, "target", type="virtio", name=SPICE_AGENT)


# Reading.


def read_displays(root: ET.Element) -> Read:
    """The parameters of the displays; what names a file with a password cannot be read."""
    devices = root.find("devices")
    if devices is None:
        return {}
    vnc, spice = devices.find("graphics[@type='vnc']"), devices.find("graphics[@type='spice']")
    sounds = [inverse(SOUND, node.get("model")) for node in devices.findall("sound")]
    values: Read = {
        "vga": inverse(VIDEO, attribute(devices.find("video/model"), "type")),
        "soundhw": ",".join(sounds),
        "keymap": attribute(vnc, "keymap") or attribute(spice, "keymap"),
        "vnc_bind_address": _read_bound(vnc),
    }
    read = found_only(values) | _read_command(root)
    return read if spice is None else {**read, **_read_spice(devices, spice)}


def _read_bound(graphics: ET.Element | None) -> str:
    if graphics is None:
        return ""
    socket = graphics.find("listen[@type='socket']")
    if socket is not None:
        return attribute(socket, "socket").rpartition("/")[0] or "/"
    return attribute(graphics, "listen") or attribute(graphics.find("listen"), "address")


def _read_spice(devices: ET.Element, spice: ET.Element) -> Read:
    values: Read = {
        "spice_bind": _read_bound(spice),
        "spice_use_tls": spice.get("defaultMode") == "secure",
        **{p: attribute(spice.find(tag), name) for p, (tag, name) in _SPICE_TEXTS.items()},
    }
    values = found_only(values)
    if attribute(spice.find("playback"), "compression") == "off":
        values["spice_playback_compression"] = False
    if devices.find(f"channel/target[@name='{SPICE_AGENT}']") is None:
        values["spice_use_vdagent"] = False
    return values


def _read_command(root: ET.Element) -> Read:
    """What `_vnc_by_command` and `_spice` added to the command line; the rest is ``kvm_extra``."""
    values: Read = {}
    words, rest = command_of(root), []
    while words:
        read = _read_option(words[0], words[1], "vnc_tls" in values) if len(words) > 1 else None
        if read is None:
            rest.append(words.pop(0))
        else:
            values |= read
            del words[:2]
    return {**values, "kvm_extra": shlex.join(rest)} if rest else values


def _read_option(option: str, value: str, tls: bool) -> Read | None:
    if option == "-object" and value.endswith(f",id={_TLS},endpoint=server"):
        return _read_credentials(value.removesuffix(f",id={_TLS},endpoint=server"))
    if option == "-vnc" and value.endswith(f",tls-creds={_TLS}"):
        return {"vnc_bind_address": value.partition(",")[0].rpartition(":")[0].strip("[]")}
    if option == "-spice" and value.startswith("tls-ciphers="):
        return {"spice_tls_ciphers": value.removeprefix("tls-ciphers=").replace(",,", ",")}
    return {"keymap": value} if option == "-k" and tls else None


def _read_credentials(value: str) -> Read:
    kind, _, rest = value.partition(",")
    if kind != "tls-creds-x509":
        return {"vnc_tls": True}
    verify, _, folder = rest.partition(",")
    there = {"vnc_tls": True, "vnc_x509_path": folder.removeprefix("dir=").replace(",,", ",")}
    return {**there, "vnc_x509_verify": True} if verify == "verify-peer=on" else there


def console_port(root: ET.Element) -> int:
    """The TCP port of a running domain's VNC; 0 without one."""
    for graphics in root.findall("devices/graphics[@type='vnc']"):
        return max(0, int(graphics.get("port", "0")))
    words = command_of(root)
    for option, value in pairwise(words):
        if option == "-vnc" and value.endswith(f",tls-creds={_TLS}"):
            return VNC_BASE + int(value.partition(",")[0].rpartition(":")[2])
    return 0
