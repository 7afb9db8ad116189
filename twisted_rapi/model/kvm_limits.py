"""Hypervisor parameters of ``kvm`` (constants.json ``hypervisors``) that libvirt cannot carry out."""

from collections.abc import Mapping
from typing import Any

from msgspec import Struct


class Limit(Struct, frozen=True):
    """
    What is not done about a parameter.

    :ivar fine: the values that are well.
    :ivar reason: what holds for all others; read after "Hypervisor parameter NAME ".
    """

    fine: tuple[Any, ...]
    reason: str


UNSUPPORTED: Mapping[str, Limit] = {
    "kvm_pci_reservations": Limit((12,), "has no effect: libvirt allots PCI slots by itself"),
    "mem_path": Limit(("",), "only asks for huge pages: which mount they come from, libvirt decides"),
    "security_model": Limit(
        ("none", "user"), "has no effect: libvirt has no pool of users, guests run as its own"
    ),
    "use_chroot": Limit((False,), "has no effect: libvirt confines guests in its own way"),
    "user_shutdown": Limit((False,), "has no effect: a guest that powers itself off counts as failed"),
    "vnet_hdr": Limit((True,), "has no effect: libvirt uses these headers wherever it can"),
}
"""
By parameter.  All others have an effect; values that cannot be expressed fail the start of the instance.

The parameters of migrations (``migration_*``) have theirs when an instance is migrated.
"""


def remarks(hypervisor: str, hvparams: Mapping[str, Any]) -> tuple[str, ...]:
    """What an operator has to know about these values, a sentence each."""
    if hypervisor != "kvm":
        return ()
    return tuple(
        f"Hypervisor parameter {name} {limit.reason}"
        for name, limit in UNSUPPORTED.items()
        if name in hvparams and hvparams[name] not in limit.fine
    )
