"""
Locks that a dead node's guests have on images of Ceph.

Note [Proof].  Who loses a lock so can write nothing from then on.  That is done to a node that is known to be
dead only (``fenced``: it was seen to be off, or somebody has confirmed it), never to one that is but silent,
or marked offline.  What is held from an address that is not known to be the node's is left.
"""

from twisted_rapi.model.ceph import BreakLocks
from twisted_rapi.model.records import InstanceRecord, NodeRecord
from twisted_rapi.plan.ceph_nodes import changing, of_host
from twisted_rapi.plan.stage import InParallel, Perform
from twisted_rapi.plan.view import View


def breaking(view: View, instance: InstanceRecord, source: str) -> Perform | None:
    """
    Have the locks broken that a dead node has on an instance's images; ``None``: that is not to be done.

    Where it fails the guest is started nevertheless: it gets the locks a little later, once Ceph itself has
    missed their holder.

    The stage after it is ``unlocked``, where it failed ``locked``.

    :param source: uuid of the node it was on.
    """
    node, fate = view.nodes.get(source), view.fates.get(source)
    by = _reaching(view, instance.primary_node)
    if node is None or fate is None or fate.fate != "fenced" or source in view.reports or not by:
        return None
    # Where several nodes have that name Ceph's host is not known to be this one.
    host = node.name.partition(".")[0] if of_host(view, node.name) is not None else ""
    changes = [_locks(node, host, disk.logical_id) for disk in instance.disks if disk.dev_type == "rbd"]
    if not changes:
        return None
    return Perform(
        work=InParallel(tuple(changing(by, change) for change in changes)),
        stage="unlocked",
        failed="locked",
        patience=0.0,
        log=(f"* breaking the locks of node {node.name}, which is dead: {fate.proof}",),
    )


def _reaching(view: View, preferred: str) -> str:
    able = [uuid for uuid, report in view.reports.items() if report.ceph and not view.nodes[uuid].offline]
    return preferred if preferred in able else min(able, default="")


def _locks(node: NodeRecord, host: str, logical_id: tuple[object, ...]) -> BreakLocks:
    pool, image = map(str, logical_id)
    addresses = tuple(dict.fromkeys((node.primary_ip, node.secondary_ip)))
    return BreakLocks(pool=pool, volume=image, addresses=addresses, host=host)
