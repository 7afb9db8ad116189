"""Types that several opcodes share, as opcodes.json ("newest") names them."""

from typing import Annotated, Literal

from msgspec import Meta

from twisted_rapi.model.opcodes.base import NonEmpty

DiskTemplate = Literal["blockdev", "diskless", "drbd", "ext", "file", "gluster", "plain", "rbd", "sharedfile"]
FileDriver = Literal["blktap", "blktap2", "loop"]
HypervisorName = Literal["chroot", "fake", "kvm", "lxc", "xen-hvm", "xen-pvm"]
NicParam = Literal["bridge", "ip", "link", "mac", "mode", "name", "network", "vlan"]
NicParams = dict[NicParam, str | None]
NicMode = Literal["bridged", "ext", "openvswitch", "pool", "routed"]
DiskParams = dict[NonEmpty, NonEmpty | int]
MOST_DISKS = 16
DiskIndex = Annotated[int, Meta(ge=0, lt=MOST_DISKS)]
AllocPolicy = Literal["last_resort", "preferred", "unallocable"]
EvacMode = Literal["all", "primary-only", "secondary-only"]
MigrationMode = Literal["live", "non-live"]
ReplaceMode = Literal["replace_auto", "replace_new_secondary", "replace_on_primary", "replace_on_secondary"]
StorageType = Literal[
    "blockdev", "diskless", "ext", "file", "gluster", "lvm-pv", "lvm-vg", "rados", "sharedfile"
]
TagKind = Literal["cluster", "instance", "network", "node", "nodegroup"]
QueryResource = Literal[
    "cluster", "export", "extstorage", "filter", "group", "instance", "job", "lock", "network", "node", "os"
]
ListChange = Literal["add", "attach", "detach", "remove"]
