"""
What NICs need of their node beside the interface: routed ones routes, others a bridge.  It blocks.

Packets to the address of a routed NIC go to its interface by the routing table that its ``link`` names,
packets from it by the same table; the node answers for what it routes.
"""

import subprocess
from collections.abc import Iterable, Sequence
from ipaddress import ip_address
from pathlib import Path

from twisted_rapi.hypervisor.xml_base import failed
from twisted_rapi.hypervisor.xml_nics import tap_name
from twisted_rapi.model.steps import NicSpec

PATIENCE = 10.0  # seconds a command may take
_SYSCTL = Path("/proc/sys/net")


def commands(nic: NicSpec) -> tuple[tuple[str, ...], ...]:
    """
    What is run for a routed NIC, in this order; running it again changes nothing.

    The first of them may fail: it takes away the rule of an earlier interface of this name.
    """
    interface, table = tap_name(nic), nic.link or "main"
    address = ip_address(nic.ip or "")
    ip = ("ip", f"-{address.version}")
    return (
        (*ip, "rule", "del", "iif", interface),
        ("ip", "link", "set", interface, "up"),
        (*ip, "route", "replace", f"{address}/{address.max_prefixlen}", "dev", interface, "table", table),
        (*ip, "rule", "add", "iif", interface, "table", table),
    )


def set_up(nics: Sequence[NicSpec]) -> None:
    """
    Route to and from all routed NICs among these.

    :raises StepFailed: what ``ip`` said.
    """
    for nic in nics:
        if nic.mode == "routed" and nic.ip is not None:
            may_fail, *rest = commands(nic)
            _run(may_fail)
            for command in rest:
                if said := _run(command):
                    raise failed(f"{' '.join(command)}: {said}")
            _answer_for(nic)


def connect(ports: Iterable[tuple[str, str]]) -> None:
    """
    Connect interfaces to bridges.

    :raises StepFailed: what ``ip`` said, of all that could not be connected.
    """
    said = [_run(("ip", "link", "set", device, "master", bridge)) for device, bridge in ports]
    if any(said):
        raise failed("; ".join(filter(None, said)))


def _run(command: Sequence[str]) -> str:
    """Why it failed; empty when it did not."""
    try:
        done = subprocess.run(  # noqa: S603 - an argument list
            command, capture_output=True, text=True, timeout=PATIENCE, check=False, env={"PATH": _PATH}
        )
    except (OSError, subprocess.SubprocessError) as e:
        return str(e)
    return "" if done.returncode == 0 else done.stderr.strip() or f"status {done.returncode}"


_PATH = "/usr/sbin:/usr/bin:/sbin:/bin"


def _answer_for(nic: NicSpec) -> None:
    six = ip_address(nic.ip or "").version == 6
    file = (
        _SYSCTL / ("ipv6" if six else "ipv4") / "conf" / tap_name(nic) / ("proxy_ndp" if six else "proxy_arp")
    )
    try:
        file.write_text("1", encoding="ascii")
    except OSError as e:
        raise failed(f"{file}: {e.strerror}") from e
