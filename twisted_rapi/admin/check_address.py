"""What ``rapi-admin check`` finds of the floating address."""

import os
from collections.abc import Iterator
from ipaddress import ip_interface
from pathlib import Path

from cryptography import x509

from twisted_rapi.config import Config
from twisted_rapi.errors import AddressError, NoInterface
from twisted_rapi.net.kernel import Kernel

Line = tuple[str, bool, str]
"""What was looked at, whether it is well, text."""

_NET_ADMIN, _NET_RAW = 12, 13


def check_address(config: Config, kernel: Kernel, capabilities: int) -> Iterator[Line]:
    """
    Look at what ``[address]`` needs; blocks.

    :param capabilities: of this process, as `effective` answers them.
    """
    section = config.address
    if section.mode == "none":
        return
    if section.mode == "own":
        yield from _interface(section.ip, section.interface, kernel)
        yield _permitted(capabilities)
    yield _certified(config)


def effective() -> int:
    """The capabilities this process can use, a bit each; all of them where that is not known."""
    for line in Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines():
        if line.startswith("CapEff:"):
            return int(line.split()[1], 16)
    return -1 if os.geteuid() == 0 else 0


def _interface(ip: str, name: str, kernel: Kernel) -> Iterator[Line]:
    what, wanted = "interface of the floating address", ip_interface(ip)
    try:
        link = kernel.link(name)
        others = [at for at in kernel.addresses() if at.index == link.index and at.address != wanted.ip]
    except NoInterface as e:
        yield what, False, f"{e}; mend 'interface' in [address], or run: ip link set {name} up"
        return
    except AddressError as e:
        yield what, False, str(e)
        return
    yield what, True, name
    network = wanted.network
    beside = [str(at.address) for at in others if at.address in network]
    if network.prefixlen == network.max_prefixlen:
        yield "network of the floating address", True, "only itself: hosts have to have a route to it"
    elif beside:
        yield "network of the floating address", True, f"{name} has {beside[0]} in it, too"
    else:
        mend = f"mend 'ip' or 'interface' in [address], or give {name} an address in it"
        yield "network of the floating address", False, f"{name} has no address in {network}; {mend}"


def _permitted(capabilities: int) -> Line:
    what = "right to add addresses"
    lacking = [
        name
        for bit, name in ((_NET_ADMIN, "CAP_NET_ADMIN"), (_NET_RAW, "CAP_NET_RAW"))
        if not capabilities >> bit & 1
    ]
    if lacking:
        return what, False, f"{' and '.join(lacking)} missing; run as root, with the unit in etc/"
    return what, True, "CAP_NET_ADMIN and CAP_NET_RAW are there"


def _certified(config: Config) -> Line:
    what, wanted = "floating address in the API's certificate", ip_interface(config.address.ip).ip
    try:
        shown = x509.load_pem_x509_certificate(Path(config.api.certificate).read_bytes())
        names = shown.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        found = wanted in names.get_values_for_type(x509.IPAddress)
    except (OSError, ValueError, x509.ExtensionNotFound) as e:
        return what, False, f"{config.api.certificate}: {e}"
    if found:
        return what, True, str(wanted)
    return what, False, f"{wanted} is not in it; run rapi-admin api-certificate"
