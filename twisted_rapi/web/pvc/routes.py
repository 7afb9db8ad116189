"""All endpoints of PVC's API; what is not in one of these tables is an unknown URI."""

from twisted_rapi.web.pvc import general, machines, nodes, status
from twisted_rapi.web.pvc.endpoints import Endpoint

ENDPOINTS: tuple[Endpoint, ...] = (
    *general.ENDPOINTS,
    *status.ENDPOINTS,
    *nodes.ENDPOINTS,
    *machines.ENDPOINTS,
)
