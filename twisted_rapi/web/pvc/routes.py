"""All endpoints of PVC's API; what is not in one of these tables is an unknown URI."""

from twisted_rapi.web.pvc import (
    acls,
    ceph,
    ceph_osds,
    ceph_snapshots,
    ceph_volumes,
    coordination,
    defining,
    disk_locks,
    domain_states,
    faults,
    general,
    leases,
    logs,
    machines,
    metrics,
    networks,
    nodes,
    placing,
    power,
    status,
    tags,
    tasks,
)
from twisted_rapi.web.pvc.endpoints import Endpoint

_FAMILIES = (
    general,
    status,
    nodes,
    coordination,
    machines,
    defining,
    power,
    placing,
    domain_states,
    faults,
    tasks,
    networks,
    leases,
    acls,
    logs,
    tags,
    metrics,
    ceph,
    ceph_osds,
    ceph_volumes,
    ceph_snapshots,
    disk_locks,
)

ENDPOINTS: tuple[Endpoint, ...] = tuple(endpoint for family in _FAMILIES for endpoint in family.ENDPOINTS)
