"""What a machine's parameters name on the node: password files, network interfaces.  It blocks."""

import fcntl
import socket
import struct
from ipaddress import IPv6Address
from pathlib import Path
from typing import Any

from twisted_rapi.hypervisor.xml_base import Found, failed
from twisted_rapi.hypervisor.xml_display import named_files, named_interfaces

SIOCGIFADDR = 0x8915
_LIMIT = 4096  # bytes of a password file that are read
_IPV6 = Path("/proc/net/if_inet6")


def look_up(hv: dict[str, Any]) -> Found:
    """
    All these parameters name.

    :raises StepFailed: a password file cannot be read.
    """
    return Found(
        passwords={name: read_password(name, Path(path)) for name, path in named_files(hv).items()},
        addresses={name: addresses(name) for name in named_interfaces(hv)},
    )


def read_password(parameter: str, file: Path) -> str:
    """
    The first line of a password file.

    :raises StepFailed: it cannot be read.
    """
    try:
        with file.open("rb") as opened:
            first = opened.read(_LIMIT).partition(b"\n")[0]
        return first.decode("utf-8").strip()
    except (OSError, ValueError) as e:
        reason = e.strerror if isinstance(e, OSError) and e.strerror else e
        raise failed(f"{parameter} {file}: {reason}") from e


def addresses(interface: str) -> tuple[str, ...]:
    """The IP addresses of an interface, link-local ones not included; none when it does not exist."""
    return (*_ipv4(interface), *_ipv6(interface))


def _ipv4(interface: str) -> tuple[str, ...]:
    name = interface.encode("utf-8")
    if not 0 < len(name) < 16 or b"\0" in name:
        return ()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        try:
            answer = fcntl.ioctl(s.fileno(), SIOCGIFADDR, struct.pack("256s", name))
        except OSError:  # no such interface, or it has no address
            return ()
    return (socket.inet_ntoa(answer[20:24]),)


def _ipv6(interface: str) -> tuple[str, ...]:
    try:
        lines = _IPV6.read_text(encoding="ascii").splitlines()
    except OSError:  # a node without IPv6
        return ()
    fields = [line.split() for line in lines]
    found = [IPv6Address(bytes.fromhex(f[0])) for f in fields if len(f) == 6 and f[5] == interface]
    return tuple(str(address) for address in found if not address.is_link_local)
