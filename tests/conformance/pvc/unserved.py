"""What was asked for that is not served here, and why."""

from tests.conformance.pvc.difference import Difference

_STORE = (
    "``/initialize`` and ``/backup`` make and unmake the store of the original: a cluster is made by "
    "``rapi-admin init``, and backups of it by ``rapi-admin backup``."
)
_PATHS = (
    "A path that is not served is 404 whoever asks and by whatever method; the original has some more, and "
    "asks there for a token, or refuses the method."
)
_SNAPSHOTS = (
    "Snapshots of whole machines (``/vm/V/snapshot``) are not taken: volumes have snapshots, and RAPI's "
    "exports copy machines."
)
_LAYOUT = (
    "How OSDs are laid out on a node's disks (``/storage/ceph/osddb``, ``PUT`` of an OSD) is changed with "
    "Ceph's own tools."
)
_SCAN = (
    "Volumes are not read again by ``…/volume/P/V/scan``: what Ceph says is told at each request; the "
    "original keeps a copy, and failed to read it anew."
)

NOT_SERVED = (
    Difference(_STORE, "v06|v1", "initialize-(already|noconfirm|confirm-noover)|backup", 404),
    Difference(_PATHS, "v06-auth|v1-auth", "noauth/(storage|initialize)", 404),
    Difference(_SNAPSHOTS, "v1", "vm-snapshot-create", 404),
    Difference(_LAYOUT, "v1", "osddb-add", 404),
    Difference(_LAYOUT, "v1", "osd-refresh", 405),
    Difference(_SCAN, "v1", "volume-scan", 404),
)
