"""``OP_CLUSTER_RENAME``: the cluster gets another name, which stands for the address clients find it at."""

from msgspec.structs import replace

from twisted_rapi.errors import prereq
from twisted_rapi.model.opcodes.cluster import ClusterRename
from twisted_rapi.model.records import ClusterRecord
from twisted_rapi.model.steps import Outcome, ProbeAddress, ResolveName
from twisted_rapi.plan.naming import host_name
from twisted_rapi.plan.resolving import resolved
from twisted_rapi.plan.stage import Do, Finish, InParallel, Perform, Progress, Stage
from twisted_rapi.plan.view import View


def plan_cluster_rename(op: ClusterRename, progress: Progress, view: View) -> Stage:
    """
    Judge the name by what it stands for on the master's node, then note both.

    An address the cluster does not have yet must not be in use.
    """
    cluster, name = view.cluster, host_name(op.name)
    if progress.stage == "":
        return _resolve(cluster, name)
    if progress.stage == "probed":
        [answer] = progress.outcomes
        found = progress.kept["host"]
        if answer is not None and answer.text:
            raise prereq(
                f"The given cluster IP address ({found['address']}) is reachable on the network",
                "resource_not_unique",
            )
        return _rename(view, **found)
    new, old = progress.outcomes
    host, before = resolved(name, op.name, new), _address(cluster, old)
    if (host["name"], host["address"]) == (cluster.name, before):
        raise prereq("Neither the name nor the IP address of the cluster has changed")
    if host["address"] == before:
        return _rename(view, **host)
    port = view.nodes[cluster.master_node].agent_port
    probe = ProbeAddress(instance="", address=host["address"], port=port)
    return Perform(work=Do(cluster.master_node, probe), stage="probed", check=True, kept={"host": host})


def _resolve(cluster: ClusterRecord, name: str) -> Perform:
    """Ask for the new name, and for the old one, whose address may not be known."""
    family = cluster.primary_ip_version
    steps = (ResolveName(instance="", name=each, family=family) for each in (name, cluster.name))
    work = InParallel(tuple(Do(cluster.master_node, step) for step in steps))
    return Perform(work=work, stage="resolved", check=True)


def _address(cluster: ClusterRecord, found: Outcome | None) -> str:
    """The address the cluster has so far; empty where nobody knows."""
    if cluster.master_ip or found is None or not found.addresses:
        return cluster.master_ip
    return found.addresses[0]


def _rename(view: View, name: str, address: str) -> Finish:
    cluster = view.cluster
    after = replace(cluster, name=name, master_ip=address, mtime=view.now, serial_no=cluster.serial_no + 1)
    told = (
        f" - WARNING: Clients that check certificates need one of the API that is good for {name}: "
        "make it and start the daemons of all candidates again"
    )
    return Finish(result=name, puts=(after,), log=(told,))
