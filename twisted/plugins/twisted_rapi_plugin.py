"""The two services that ``twistd`` learns; imported by every run of it, so without code."""

from twisted.application.service import ServiceMaker

rapi = ServiceMaker("Cluster remote API", "twisted_rapi.tap", "Serve the cluster's remote API.", "rapi")
agent = ServiceMaker(
    "Cluster node agent", "twisted_rapi.agent.tap", "Run this node's machines.", "rapi-agent"
)
