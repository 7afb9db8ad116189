"""Definitions of machines that tests of plans use."""

from typing import Any

from twisted_rapi.testing.cluster import NODES
from twisted_rapi.testing.world import World

UUID = "66666666-6666-4666-8666-666666666666"

DISK = (
    '<disk type="network" device="disk"><driver name="qemu" discard="unmap"/>'
    '<source protocol="rbd" name="{}"><host name="mon1" port="6789"/></source>'
    '<target dev="{}" bus="scsi"/></disk>'
)
NIC = '<interface type="bridge"><mac address="{}"/><source bridge="{}"/><model type="virtio"/></interface>'
MORE = (
    '<watchdog model="i6300esb" action="reset"/><rng model="virtio"><backend model="random">/dev/urandom'
    '</backend></rng><disk type="file" device="cdrom"><source file="/iso/a.iso"/>'
    '<target dev="hda" bus="ide"/><readonly/></disk>'
)


def definition(name: str = "new1", uuid: str = UUID, **more: Any) -> str:
    """The definition of a machine with an image, a NIC, and what the common model knows nothing of."""
    values = {"memory": '<memory unit="MiB">512</memory>', "vcpu": "<vcpu>2</vcpu>", "more": MORE, **more}
    devices = values.get(
        "devices", DISK.format("vms/new1_sda", "sda") + NIC.format("52:54:00:00:06:01", "vmbr100")
    )
    return (
        f"<domain type='kvm'>\n  <name>{name}</name>\n  <uuid>{uuid}</uuid>\n"
        f"  <description>A machine</description>\n  {values['memory']}{values['vcpu']}\n"
        '  <cpu><topology sockets="1" cores="2" threads="1"/></cpu>\n'
        '  <os><type arch="x86_64" machine="pc-i440fx-2.7">hvm</type><boot dev="hd"/></os>\n'
        "  <features><acpi/><apic/></features>\n"
        "  <devices>\n    <emulator>/usr/bin/kvm</emulator>\n    <console type='pty'/>\n"
        f"    {devices}{values['more']}\n  </devices>\n</domain>\n"
    )


def an_image(world: World, name: str = "vms/new1_sda", size: int = 1024) -> None:
    """Have an image be there, which all nodes see."""
    world.nodes.shared.shelves["rbd"].write(name, {"size": size})


def reachable(world: World) -> None:
    """Have nodes report the bridges that definitions name."""
    for uuid in NODES:
        world.nodes.nodes[uuid].bridges = (*world.nodes.nodes[uuid].bridges, "vmbr100")
