"""Addresses as Ceph writes them, ``ADDRESS:PORT/NONCE``; pure."""

import re
from collections.abc import Iterable
from ipaddress import ip_address

_FORM = re.compile(r"(?:(?:v1|v2|any):)?(.+):\d+/\d+")


def machine_of(address: str) -> str:
    """The IP address in it, in its shortest form; empty for what has none."""
    found = _FORM.fullmatch(address)
    return "" if found is None else _short(found[1].removeprefix("[").removesuffix("]"))


def at_one_of(address: str, machines: Iterable[str]) -> bool:
    """Whether it is on one of the machines with these IP addresses."""
    machine = machine_of(address)
    return bool(machine) and machine in map(_short, machines)


def _short(address: str) -> str:
    try:
        return ip_address(address).compressed
    except ValueError:
        return ""
