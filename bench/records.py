"""Records for large clusters."""

from uuid import uuid4

from twisted_rapi.model.records import DiskRecord, InstanceRecord, NicRecord


def instance(n: int, node: str) -> InstanceRecord:
    """The n-th instance: one disk, one NIC, on the node with this uuid."""
    disk = DiskRecord(uuid=str(uuid4()), size=1024, logical_id=("loop", f"/files/i{n}/disk"))
    mac = "aa:00:00:" + ":".join(f"{b:02x}" for b in n.to_bytes(3, "big"))
    return InstanceRecord(
        uuid=str(uuid4()),
        name=f"inst{n}.example.com",
        os="noop+default",
        hypervisor="fake",
        primary_node=node,
        disk_template="file",
        disks=(disk,),
        nics=(NicRecord(uuid=str(uuid4()), mac=mac),),
        beparams={"maxmem": 512, "minmem": 512},
    )
