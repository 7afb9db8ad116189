"""The recorded Ceph, and where what is answered of it differs on purpose."""

from typing import Any

from tests.conformance.pvc.difference import ALL_SERVED, INSIDE, LIST_OF_ONE, Difference
from twisted_rapi.model import ceph
from twisted_rapi.model.steps import LookAtCeph, Outcome
from twisted_rapi.storage.simulated_ceph import CephNotes
from twisted_rapi.testing.node_disks import Shared

GIB = 1 << 30
HOSTS = ("pvchv1", "pvchv2", "pvchv3")
# Pool, name, GiB and snapshots.
VOLUMES = (
    ("vms", "web1_sda", 20, ("nightly", "before-upgrade")),
    ("vms", "web1_sdb", 100, ()),
    ("vms", "db1_sda", 10, ("nightly",)),
    ("vms", "web2_sda", 20, ()),
    ("archive", "web1_sda", 1, ("nightly",)),
)
TEXTS = {
    "status": """\
  cluster:
    id:     3a1c6d5e-0b6e-4f10-9c53-8f1b2c1f7e11
    health: HEALTH_OK
 \n\
  services:
    mon: 3 daemons, quorum pvchv1,pvchv2,pvchv3
    mgr: pvchv1(active), standbys: pvchv2, pvchv3
    osd: 3 osds: 3 up, 3 in
 \n\
  data:
    pools:   1 pools, 128 pgs
    objects: 2.56k objects, 9.8GiB
    usage:   31GiB used, 2.7TiB / 2.7TiB avail
    pgs:     128 active+clean""",
    "utilization": """\
POOL_NAME USED OBJECTS CLONES COPIES MISSING_ON_PRIMARY UNFOUND DEGRADED RD_OPS RD     WR_OPS WR
vms       9.8GiB 2560    0      7680   0                  0       0        112233 1.2GiB 445566 20GiB

total_objects    2560
total_used       31.0GiB
total_avail      2.70TiB
total_space      2.73TiB""",
}
_POOL = {
    "free": 953482739712,
    "used": 31570000000,
    "used_fraction": 0.0108,
    "stored": 10522669875,
    "counts": {
        "size_bytes": 10522669875,
        "num_objects": 2560,
        "num_object_copies": 7680,
        "read_ops": 112233,
        "read_bytes": 1288490188,
        "write_ops": 445566,
        "write_bytes": 21474836480,
    },
}
_OSD = {
    "size": 976281600 << 10,
    "used": 10905190 << 10,
    "used_data": 10485760 << 10,
    "used_omap": 1024 << 10,
    "used_meta": 418406 << 10,
    "free": 965376410 << 10,
    "pgs": 128,
    "weight": 0.909,
    "reweight": 1.0,
    "read_ops": 1,
    "read_bytes": 4096,
    "write_ops": 3,
    "write_bytes": 24576,
}
_AT = "Fri Jul 26 11:23:19 2019"


def make_ceph(shared: Shared) -> None:
    """Have the nodes see what was recorded."""
    for n, host in enumerate(HOSTS):
        notes = CephNotes(shared.ceph, shared.shelves["rbd"], host)
        notes.change(ceph.AddOsd(device="/dev/sdb"))
        if n == len(HOSTS) - 1:
            notes.change(ceph.MoveOsd(osd=n, into=False))
    notes = CephNotes(shared.ceph, shared.shelves["rbd"])
    notes.change(ceph.RemovePool(pool="rbd"))
    for pool in ("vms", "archive"):
        notes.change(ceph.AddPool(pool=pool, pgs=128))
    for pool, volume, size, snapshots in VOLUMES:
        notes.change(ceph.AddVolume(pool=pool, volume=volume, size=size * GIB))
        for snapshot in snapshots:
            notes.change(ceph.AddSnapshot(pool=pool, volume=volume, snapshot=snapshot))


def recorded(step: LookAtCeph, outcome: Outcome, newest: bool) -> Outcome:
    """
    What a look finds, with the recorded figures.

    :param newest: whether as of the newest version.
    """
    return Outcome(
        units=tuple(_recorded(step.subject, one, newest) for one in outcome.units), reason=outcome.reason
    )


def _recorded(subject: str, one: dict[str, Any], newest: bool) -> dict[str, Any]:
    if subject in TEXTS:
        return {**one, "text": TEXTS[subject]}
    if subject == "pools":
        return {**one, **_POOL, "id": {"vms": 1, "archive": 2}.get(one["name"], 3)}
    if subject == "osds":
        number = one["id"]
        uuid = f"{number:08}-aaaa-4aaa-8aaa-aaaaaaaaaaaa"
        return {**one, **_OSD, "uuid": uuid, "utilization": number + 1.12}
    if "info" in one:
        return {**one, "info": _info(one, newest)}
    return one


def _info(one: dict[str, Any], newest: bool) -> dict[str, Any]:
    snapshots = {(pool, name): len(taken) for pool, name, _, taken in VOLUMES}
    more = {
        "snapshot_count": snapshots.get((one["pool"], one["name"]), 0),
        "access_timestamp": _AT,
        "modify_timestamp": _AT,
    }
    return {
        "name": one["name"],
        "size": one["size"],
        "objects": one["size"] >> 22,
        "order": 22,
        "object_size": 4194304,
        **(more if newest else {}),
        "block_name_prefix": "rbd_data.10e26b8b4567",
        "format": 2,
        "features": ["layering", "exclusive-lock"],
        "op_features": [],
        "flags": [],
        "create_timestamp": _AT,
    }


BEFORE: dict[str, dict[str, str]] = {
    "v1": {"pool-put-pgs": "pool-add", "pool-put-pgs-bad": "pool-add", "volume-clone": "volume-put-both"},
}
"""By file and name of a request, the one whose effect it was asked to show."""

_WORKS = (
    "What the documents say of Ceph is done; the first form of the original had nobody who does it when it "
    "was recorded, or cannot do it."
)
_SIZES = "Sizes are read in every documented form; the original fails at some."
_LISTED = (
    "Snapshots are shown one by one and by their volume, as documented; the original looks in wrong places."
)
_ANYWHERE = (
    "Snapshots of a volume are those of all volumes so called; 1.0 of the original shows those of one pool."
)
_DONE = (
    "Volumes are renamed and copied, and snapshots renamed, as documented; 0.6 of the original cannot do it."
)
_UNKNOWN = "A change of a machine that is not there is refused; 0.6 of the original fails inside (500)."

OF_CEPH: tuple[Difference, ...] = (
    Difference(ALL_SERVED, "seed", "vm-locks-get", 405),
    Difference(ALL_SERVED, "seed", "vm-locks-stopped", 200),
    Difference(ALL_SERVED, "seed", "vm-locks-novm", 400),
    Difference(
        ALL_SERVED,
        "v06|v1",
        "ceph-(df|cluster-option)-seedpath|snapshot-seedpath(-elem)?|osd-del-seedconfirm|volume-put-seedname",
        200,
    ),
    Difference(
        _WORKS, "seed", "ceph-option-set|osd-(state-out|state-in|add|del)|pool-(add|add-nopgs|del)", 200
    ),
    Difference(_WORKS, "seed", "volume-(resize|rename|put-resize-emptyname|del)", 200),
    Difference(_WORKS, "seed", "volume-put-(both|none)", 400),
    Difference(_WORKS, "seed", "snapshot-(add|rename|list-limit)", 200),
    Difference(INSIDE, "seed", "ceph-option-superset", 400),
    Difference(INSIDE, "seed", "volume-(list-pool|get-missing)|snapshot-list", 200),
    Difference(_SIZES, "seed|v06", "volume-add-bytesB?", 200),
    Difference(_LISTED, "seed|v06", "snapshot-(list-volume|get)", 200),
    Difference(_ANYWHERE, "v1", "snapshot-list-volume", 200),
    Difference(LIST_OF_ONE, "v06", "pool-list-limit|volume-list-pool-limit", 200),
    Difference(_DONE, "v06", "volume-(rename|clone)|snapshot-rename", 200),
    Difference(_UNKNOWN, "v06", "vm-locks-novm", 400),
)
