"""The opcodes about nodes themselves (behaviour.md §10; texts as observed)."""

from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Any

import attrs
from msgspec.structs import replace

from twisted_rapi.errors import prereq
from twisted_rapi.model import group_params, params
from twisted_rapi.model.opcodes import node as opcodes
from twisted_rapi.model.records import NodeRecord, name_key
from twisted_rapi.model.steps import Ping, Powercycle
from twisted_rapi.plan import candidates, detached
from twisted_rapi.plan.condition import changed
from twisted_rapi.plan.fate import not_yet_online
from twisted_rapi.plan.stage import Do, Finish, Perform, Progress, Stage
from twisted_rapi.plan.view import View

FLAGS = ("master_candidate", "drained", "offline")
_OTHERS = ("master_capable", "vm_capable", "secondary_ip", "ndparams", "hv_state", "disk_state")


@attrs.define
class _Change:
    """
    A node as it becomes.

    :ivar flags: what is asked of the flags and is not so already.
    """

    before: NodeRecord
    after: NodeRecord
    flags: dict[str, bool]
    log: list[str] = attrs.field(factory=list)

    def result(self, op: opcodes.NodeSetParams) -> list[tuple[str, str]]:
        """What is told: capabilities that were given, flags that have changed, the address."""
        given = [(n, str(v)) for n in ("master_capable", "vm_capable") if (v := getattr(op, n)) is not None]
        flags = [
            (name, str(getattr(self.after, name)))
            for name in FLAGS
            if getattr(self.after, name) != getattr(self.before, name)
        ]
        return [*given, *flags, *([("secondary_ip", op.secondary_ip)] if op.secondary_ip else [])]


def plan_node_modify(op: opcodes.NodeSetParams, progress: Progress, view: View) -> Stage:
    """Judge the change, ask the node where it has to answer, promote others where that is asked for."""
    node = view.node(op.node_name)
    if progress.stage == "silent":
        raise _silent(node, progress)
    change = _judged(op, view, node)
    back = node.offline and not change.after.offline
    if back:
        _check_return(op, view, node)
    ping = Ping(instance="", address=op.secondary_ip or "")
    if progress.stage == "" and (back or (op.secondary_ip and not node.offline)):
        return Perform(work=Do(node.uuid, ping), stage="answers", failed="silent", check=True, patience=0.0)
    if back:
        change.log.append(
            " - WARNING: Transitioning node from offline to online state without using re-add. "
            "Please make sure the node is healthy!"
        )
    after = changed(change.after, view)
    promoted = _promoted(op, view, change) if op.auto_promote else ()
    if promoted:
        names = ", ".join(p.name for p in promoted)
        change.log.append(f" - INFO: Promoted to master candidates: {names}")
    _tell_shortage(view, (after, *promoted), change.log)
    return Finish(result=change.result(op), puts=(after, *promoted), log=tuple(change.log))


def _check_return(op: opcodes.NodeSetParams, view: View, node: NodeRecord) -> None:
    """What a dead node may still run is stopped before anything can be started there."""
    why = not_yet_online(view.fates.get(node.uuid), view.leftovers.values(), view.instances)
    if why and not op.force:
        raise prereq(
            f"Node {node.name} cannot be online yet: {why}; that is looked after once it answers, "
            "and left aside with force",
            "wrong_state",
        )


def _silent(node: NodeRecord, progress: Progress) -> Exception:
    text = f"Node {node.name} cannot be changed like this: {progress.error}"
    return prereq(text, "environment_error" if not node.offline else "wrong_state")


def _promoted(op: opcodes.NodeSetParams, view: View, change: _Change) -> tuple[NodeRecord, ...]:
    if not change.before.master_candidate or change.after.master_candidate:
        return ()
    found = candidates.promoted(view, change.before)
    return tuple(changed(node, view, master_candidate=True) for node in found)


def _tell_shortage(view: View, puts: tuple[NodeRecord, ...], log: list[str]) -> None:
    """What is said when there are fewer candidates than could be (as observed)."""
    nodes = {**view.nodes, **{node.uuid: node for node in puts}}
    now, wanted = candidates.pool_size(attrs.evolve(view, nodes=nodes))
    if now < wanted:
        log.append(
            "Configuration data is not consistent: "
            f"Not enough master candidates: actual {now}, target {wanted}"
        )


# Judging.


def _judged(op: opcodes.NodeSetParams, view: View, node: NodeRecord) -> _Change:
    """
    What the opcode comes to.

    :raises JobError: it cannot be.
    """
    if all(getattr(op, name) is None for name in (*FLAGS, *_OTHERS)):
        raise prereq("Please pass at least one modification")
    if [getattr(op, name) for name in FLAGS].count(True) > 1:
        raise prereq("Can't set the node into more than one state at the same time")
    flags = {name: value for name in FLAGS if (value := getattr(op, name)) is not None}
    if node.uuid == view.cluster.master_node and (flags or op.master_capable is False):
        raise prereq("The master role can be changed only via master-failover")
    change = _Change(node, node, flags)
    _capabilities(op, view, change)
    _roles(op, view, change)
    _power(op, view, change)
    _secondary(op, view, change)
    _parameters(op, view, change)
    return change


def _capabilities(op: opcodes.NodeSetParams, view: View, change: _Change) -> None:
    node = change.before
    if op.master_candidate and not (node.master_capable if op.master_capable is None else op.master_capable):
        raise prereq(
            f"Node {node.name} is not master capable, cannot make it a master candidate", "wrong_state"
        )
    if op.vm_capable is False and (any(view.instances_on(node.uuid)) or any(view.secondaries_on(node.uuid))):
        raise prereq(f"Node {node.name} has instances, so it has to be able to run them", "wrong_state")
    if op.vm_capable is False and any(detached.on_node(view, node.uuid)):
        raise prereq(f"Node {node.name} has detached disks, so it has to be able to keep them", "wrong_state")
    given = {n: v for n in ("master_capable", "vm_capable") if (v := getattr(op, n)) is not None}
    change.after = replace(change.after, **given)


def _roles(op: opcodes.NodeSetParams, view: View, change: _Change) -> None:
    """The flags: one of them at most is set afterwards."""
    node, flags = change.before, change.flags
    leaves = op.master_candidate is False or op.offline or op.drained or op.master_capable is False
    if node.master_candidate and leaves and not op.auto_promote and not candidates.may_go(view, node):
        raise prereq(
            "There would not be enough master candidates: ask for others to be promoted (auto_promote)",
            "wrong_state",
        )
    for name in FLAGS:
        if flags.get(name) is False and not getattr(node, name):
            change.log.append(f" - INFO: Ignoring request to unset flag {name}, already unset")
            del flags[name]
    freed = flags.get("drained") is False or flags.get("offline") is False
    able = bool(op.master_capable) and not node.master_capable
    if (freed or able) and not any(flags.values()) and _can_be(change) and candidates.needed(view, node):
        change.log.append(" - INFO: Auto-promoting node to master candidate")
        flags["master_candidate"] = True
    if op.master_capable is False and node.master_candidate:
        change.log.append(" - INFO: Demoting from master candidate")
        flags["master_candidate"] = False
    chosen = next((name for name in FLAGS if flags.get(name)), None)
    if flags:
        change.after = replace(change.after, **{name: name == chosen for name in FLAGS})


def _can_be(change: _Change) -> bool:
    """Whether the node is one that can be a candidate once the flags that are taken from it are gone."""
    left = [name for name in ("drained", "offline") if name not in change.flags]
    return change.after.master_capable and not any(getattr(change.before, name) for name in left)


def _power(op: opcodes.NodeSetParams, view: View, change: _Change) -> None:
    node = change.before
    out_of_band = params.ndparams(view.cluster, view.groups[node.group], node)["oob_program"]
    if not out_of_band:
        if op.powered is not None:
            raise prereq(
                f"The power of node {node.name} cannot be changed: it has no out-of-band program",
                "wrong_state",
            )
        return
    if op.offline is False and not (node.powered or op.powered):
        raise prereq(f"Node {node.name} has to be powered before it can be online", "wrong_state")
    if op.powered is not None:
        change.after = replace(change.after, powered=op.powered)


def _secondary(op: opcodes.NodeSetParams, view: View, change: _Change) -> None:
    """Either all nodes have a second address or none has: only the master may begin with another way."""
    if op.secondary_ip is None:
        return
    node, given = change.before, _address(op.secondary_ip)
    master = view.nodes[view.cluster.master_node]
    single = _address(master.secondary_ip) == _address(master.primary_ip)
    if single == (given != _address(node.primary_ip)):
        if not (op.force and node.uuid == master.uuid):
            ways = ("one address", "two addresses") if single else ("two addresses", "one address")
            raise prereq(
                f"The cluster's nodes have {ways[0]} each: {ways[1]} begin with the master, by force"
            )
        change.log.append(
            " - WARNING: From now on all nodes need a secondary address"
            if single
            else " - WARNING: From now on no node needs a secondary address"
        )
    for other in view.nodes.values():
        if other.uuid != node.uuid and given in (_address(other.primary_ip), _address(other.secondary_ip)):
            raise prereq(f"{given} is an address of node {other.name}", "already_exists")
    _check_mirrors(view, node)
    change.after = replace(change.after, secondary_ip=str(given))


def _address(text: str) -> IPv4Address | IPv6Address:
    try:
        return ip_address("" if "%" in text else text)
    except ValueError as e:
        raise prereq(f"Secondary address '{text}' is not an IP address") from e


def _check_mirrors(view: View, node: NodeRecord) -> None:
    """Mirrored disks are kept over the secondary address: none may be in use."""
    for instance in (*view.instances_on(node.uuid), *view.secondaries_on(node.uuid)):
        if instance.disk_template != "drbd":
            continue
        domain = view.domain(instance)
        if node.offline or instance.admin_state == "up" or (domain is not None and domain.running):
            raise prereq(
                f"Instance '{instance.name}' uses the secondary address of node {node.name}", "wrong_state"
            )


def _parameters(op: opcodes.NodeSetParams, view: View, change: _Change) -> None:
    node = change.after
    nd = group_params.check_nd(op.ndparams or {}, "node")
    hv_state = group_params.check_hv_state(op.hv_state or {}, view.cluster.enabled_hypervisors)
    disk_state = group_params.check_disk_state(op.disk_state or {})
    change.after = replace(
        node,
        ndparams=params.update(node.ndparams, nd),
        hv_state={**node.hv_state, **hv_state},
        disk_state={**node.disk_state, **disk_state},
    )


# The machine, and the end.


def plan_powercycle(op: opcodes.NodePowercycle, progress: Progress, view: View) -> Stage:
    """Have the node restart its machine; the master's only by force."""
    node = view.node(op.node_name)
    if node.uuid == view.cluster.master_node and not op.force:
        raise prereq("The node is the master and the force parameter was not set")
    if progress.stage == "":
        return Perform(work=Do(node.uuid, Powercycle(instance="")), stage="asked", patience=0.0)
    [outcome] = progress.outcomes
    text: Any = None if outcome is None else outcome.text
    return Finish(result=text)


def plan_node_remove(op: opcodes.NodeRemove, progress: Progress, view: View) -> Stage:
    """Forget a node without instances; others become candidates for it."""
    node = view.node(op.node_name)
    if node.uuid == view.cluster.master_node:
        raise prereq(f"Node {node.name} is the master: another has to be before it can go")
    using = [*view.instances_on(node.uuid), *view.secondaries_on(node.uuid)]
    if using:
        listed = ", ".join(sorted({instance.name for instance in using}))
        raise prereq(f"Node {node.name} has instances, which have to go first: {listed}")
    loose = sorted(record.uuid for record in detached.on_node(view, node.uuid))
    if loose:
        raise prereq(f"Node {node.name} has detached disks, which have to go first: {', '.join(loose)}")
    promoted = candidates.promoted(view, node) if node.master_candidate else []
    puts = tuple(changed(other, view, master_candidate=True) for other in promoted)
    log = [f" - INFO: Promoted to master candidates: {', '.join(p.name for p in puts)}"] if puts else []
    wish = view.domain_states.get(node.uuid)
    gone = (node,) if wish is None else (node, wish)
    return Finish(puts=puts, deletes=gone, free=(name_key("node", node.name),), log=tuple(log))
