"""Changing the cluster's own settings (OP_CLUSTER_SET_PARAMS; texts as observed where they were)."""

import re
from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Any

from msgspec.structs import replace

from twisted_rapi.errors import OpExecError, prereq
from twisted_rapi.model import group_params, params
from twisted_rapi.model import param_tables as tables
from twisted_rapi.model.mastership import DistributionRecord
from twisted_rapi.model.opcodes.cluster import (
    ClusterActivateMasterIp,
    ClusterDeactivateMasterIp,
    ClusterRedistConf,
    ClusterSetParams,
)
from twisted_rapi.model.record_base import Record
from twisted_rapi.model.records import ClusterRecord, Params
from twisted_rapi.model.steps import VerifyOs
from twisted_rapi.plan import candidates
from twisted_rapi.plan.allocation.consult import check_script
from twisted_rapi.plan.condition import changed
from twisted_rapi.plan.info import usable_oses
from twisted_rapi.plan.stage import Do, Finish, InSequence, Perform, Progress, Stage
from twisted_rapi.plan.view import View

_MAC_PREFIX = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){2}", re.ASCII)
_LVM = ("plain", "drbd")
_NIC_MODES = ("bridged", "routed", "openvswitch")

# Parameters that are kept as they are given, under the name the record has for them.
_AS_GIVEN: Mapping[str, str] = {
    **{
        name: name
        for name in (
            *("candidate_pool_size", "maintain_node_health", "prealloc_wipe_disks", "master_netdev"),
            *("use_external_mip_script", "modify_etc_hosts", "enabled_user_shutdown", "max_running_jobs"),
            *("max_tracked_jobs", "install_image", "zeroing_image", "instance_communication_network"),
            *("default_iallocator", "default_iallocator_params", "master_netmask"),
        )
    },
    "drbd_helper": "drbd_usermode_helper",
    "vg_name": "volume_group_name",
}
_AS_LISTS = ("reserved_lvs", "compression_tools", "enabled_hypervisors", "enabled_disk_templates")


def plan_redistribute(op: ClusterRedistConf, progress: Progress, view: View) -> Stage:
    """
    The master's daemon sees in the record that its files are to be on all candidates, and puts them there.

    Nodes keep no copy of the configuration: the store is the only one.
    """
    at = max(view.now, view.distributed + 1)
    return Finish(puts=(DistributionRecord(at=at, source=view.cluster.master_node),))


def plan_activate(op: ClusterActivateMasterIp, progress: Progress, view: View) -> Stage:
    """The master sees in the cluster's record that it is to have the address, and to announce it again."""
    announced = view.cluster.master_ip_announced + 1
    return Finish(puts=(changed(view.cluster, view, master_ip_active=True, master_ip_announced=announced),))


def plan_deactivate(op: ClusterDeactivateMasterIp, progress: Progress, view: View) -> Stage:
    """The master sees in the cluster's record that it is not to have the address, and so will the next."""
    if not view.cluster.master_ip_active:
        return Finish()
    return Finish(puts=(changed(view.cluster, view, master_ip_active=False),))


def plan_cluster_modify(op: ClusterSetParams, progress: Progress, view: View) -> Stage:
    """Judge all that is given together with all that is kept, then change it in one commit."""
    if progress.stage == "":
        checks = _os_checks(op, view)
        if checks:
            return Perform(work=InSequence(checks), stage="verified", check=True)
    log: list[str] = []
    before = view.cluster
    after = _with_lists(op, _with_params(op, _with_plain(op, before)), log)
    _judge(op, view, before, after)
    puts: list[Record] = [] if after == before else [changed(after, view)]
    if op.candidate_pool_size is not None:
        puts += _filled_pool(view, op.candidate_pool_size, log)
    return Finish(puts=tuple(puts), log=tuple(log))


def _filled_pool(view: View, size: int, log: list[str]) -> list[Record]:
    """The nodes that become candidates because so many are wanted now."""
    promoted = candidates.filling(view, size)
    if promoted:
        names = ", ".join(node.name for node in promoted)
        log.append(f" - INFO: Promoted nodes to master candidate role: {names}")
    now, _ = candidates.pool_size(view)
    if now > size:
        log.append(f" - INFO: Note: more nodes are candidates ({now}) than desired ({size})")
    return [changed(node, view, master_candidate=True) for node in promoted]


def _with_plain(op: ClusterSetParams, cluster: ClusterRecord) -> ClusterRecord:
    values: Params = {
        field: value for name, field in _AS_GIVEN.items() if (value := getattr(op, name)) is not None
    }
    for name in _AS_LISTS:
        given = getattr(op, name)
        if given is not None:
            values[name] = tuple(dict.fromkeys(given))
    for name in ("file_storage_dir", "shared_file_storage_dir", "gluster_storage_dir"):
        given = getattr(op, name)
        if given is not None:
            values[name] = _folder(name, given)
    for name in ("enabled_data_collectors", "data_collector_interval"):
        values[name] = {**getattr(cluster, name), **(getattr(op, name) or {})}
    if op.mac_prefix is not None:
        values["mac_prefix"] = _mac_prefix(op.mac_prefix)
    return replace(cluster, **values)


def _folder(name: str, path: str) -> str:
    if path and (not path.startswith("/") or ".." in path.split("/")):
        raise prereq(f"{name}: '{path}' is not an absolute path")
    return path.rstrip("/") if path != "/" else path


def _mac_prefix(prefix: str) -> str:
    lowered = prefix.lower()
    if not _MAC_PREFIX.fullmatch(lowered):
        raise prereq(f"Invalid MAC address prefix '{prefix}'")
    return lowered


# Parameters of machines, nodes and disks.


def _with_params(op: ClusterSetParams, cluster: ClusterRecord) -> ClusterRecord:
    values: Params = {}
    if op.beparams is not None:
        values["beparams"] = params.update(cluster.beparams, params.check_be(op.beparams, True))
    if op.nicparams is not None:
        values["nicparams"] = {**cluster.nicparams, **_nicparams(op.nicparams)}
    if op.ndparams is not None:
        values["ndparams"] = params.update(cluster.ndparams, group_params.check_nd(op.ndparams))
    if op.diskparams is not None:
        disk = group_params.check_disk(op.diskparams)
        values["diskparams"] = group_params.update_disk(cluster.diskparams, disk)
    if op.ipolicy is not None:
        policy = group_params.check_ipolicy(op.ipolicy, cluster.enabled_disk_templates, whole=True)
        values["ipolicy"] = {**cluster.ipolicy, **policy}
    if op.hvparams is not None:
        values["hvparams"] = _hvparams(cluster.hvparams, op.hvparams)
    if op.os_hvp is not None:
        values["os_hvp"] = _by_os(cluster.os_hvp, op.os_hvp, _hvparams)
    if op.osparams is not None:
        values["osparams"] = _by_os(cluster.osparams, op.osparams, _osparams)
    if op.osparams_private_cluster is not None:
        values["osparams_private"] = _by_os(cluster.osparams_private, op.osparams_private_cluster, _osparams)
    if op.hv_state is not None:
        state = group_params.check_hv_state(op.hv_state, cluster.enabled_hypervisors)
        values["hv_state"] = {**cluster.hv_state, **state}
    if op.disk_state is not None:
        values["disk_state"] = {**cluster.disk_state, **group_params.check_disk_state(op.disk_state)}
    return replace(cluster, **values)


def _nicparams(given: Mapping[Any, Any]) -> Params:
    found = {name: value for name, value in given.items() if value is not None}
    for name in found:
        if name not in tables.NIC_DEFAULTS:
            raise prereq(f"NIC parameter '{name}' cannot be set for the whole cluster")
    if found.get("mode", "bridged") not in _NIC_MODES:
        raise prereq(f"Invalid NIC mode '{found['mode']}'; one of {', '.join(_NIC_MODES)}")
    if found.get("link") == "":
        raise prereq("NIC parameter 'link' must not be empty")
    return found


def _hvparams(custom: Mapping[str, Params], given: Mapping[str, Any]) -> dict[str, Params]:
    found = dict(custom)
    for hypervisor, values in given.items():
        if hypervisor not in tables.HV_DEFAULTS:
            raise prereq(f"Unknown hypervisor '{hypervisor}'")
        if not isinstance(values, dict):
            raise prereq(f"Parameters of hypervisor '{hypervisor}' must be an object")
        checked = params.check_hv(hypervisor, values, allow_default=True, whole=True)
        found[hypervisor] = params.update(custom.get(hypervisor, {}), checked)
    return found


def _osparams(custom: Mapping[str, Any], given: Mapping[str, Any]) -> Params:
    return params.update(custom, params.check_os(given))


def _by_os(
    custom: Mapping[str, Any], given: Mapping[str, Any], merge: Callable[[Any, Any], Any]
) -> dict[str, Any]:
    found = dict(custom)
    for os, values in given.items():
        if not isinstance(values, dict):
            raise prereq(f"Parameters of OS '{os}' must be an object")
        found[os] = merge(custom.get(os, {}), values)
    return found


def _os_checks(op: ClusterSetParams, view: View) -> tuple[Do, ...]:
    """
    The definitions' own judgement of parameters, where the master's node has them.

    :raises OpExecError: the definition has variants and none was named (as observed).
    """
    master = view.nodes[view.cluster.master_node]
    report = view.reports.get(master.uuid)
    steps = []
    for name, given in (op.osparams or {}).items():
        base, plus, _ = name.partition("+")
        definitions = usable_oses(view).get(base, ())
        if not definitions or report is None or not isinstance(given, dict):
            continue
        if definitions[0].variants and not plus:
            reason = f"OS name '{name}' must include a variant"
            raise OpExecError(f"OS Parameters validation failed on node {master.name}: {reason}")
        merged = _osparams({**view.cluster.osparams.get(base, {})}, given)
        steps.append(Do(master.uuid, VerifyOs(instance="", os=name, osparams=merged)))
    return tuple(steps)


# Lists that are changed entry by entry.


def _with_lists(op: ClusterSetParams, cluster: ClusterRecord, log: list[str]) -> ClusterRecord:
    values: Params = {}
    for name, what in (("hidden_os", "hidden"), ("blacklisted_os", "blacklisted")):
        found = list(getattr(cluster, name))
        for change, os in getattr(op, name) or ():
            _change_os(found, change, os, what, log)
        values[name] = tuple(found)
    return replace(cluster, **values, uid_pool=_uid_pool(op, cluster))


def _change_os(found: list[str], change: str, os: str, what: str, log: list[str]) -> None:
    if change == "add":
        if os in found:
            log.append(f" - WARNING: OS {os} is among the {what} ones already")
        else:
            found.append(os)
    elif change == "remove":
        if os in found:
            found.remove(os)
        else:
            log.append(f" - WARNING: OS {os} is not among the {what} ones")
    else:
        raise prereq(f"Lists of OS definitions have entries added or removed, not '{change}'")


def _uid_pool(op: ClusterSetParams, cluster: ClusterRecord) -> tuple[tuple[int, int], ...]:
    pool = list(cluster.uid_pool) if op.uid_pool is None else _ranges(op.uid_pool)
    pool += _ranges(op.add_uids or [])
    for wanted in _ranges(op.remove_uids or []):
        if wanted not in pool:
            raise prereq(f"User ids {wanted[0]}-{wanted[1]} are not in the pool")
        pool.remove(wanted)
    pool.sort()
    for (_, high), (low, _) in pairwise(pool):
        if low <= high:
            raise prereq(f"Ranges of user ids overlap at {low}")
    return tuple(pool)


def _ranges(given: list[tuple[int, int]]) -> list[tuple[int, int]]:
    for low, high in given:
        if not 0 <= low <= high:
            raise prereq(f"{low}-{high} is not a range of user ids")
    return [(low, high) for low, high in given]


# What does not go together.


def _judge(op: ClusterSetParams, view: View, before: ClusterRecord, after: ClusterRecord) -> None:
    params.judge_be(params.cluster_beparams(after))
    if op.ipolicy is not None:
        group_params.judge_std(params.cluster_ipolicy(after))
    widest = 32 if after.primary_ip_version == 4 else 128
    # What is configured for the floating address may be of the other family.
    if op.master_netmask is not None and not 0 <= after.master_netmask <= widest:
        raise prereq(f"CIDR netmask ({after.master_netmask}) not valid")
    _judge_use(view, after, "hypervisor", set(before.enabled_hypervisors) - set(after.enabled_hypervisors))
    gone = set(before.enabled_disk_templates) - set(after.enabled_disk_templates)
    _judge_use(view, after, "disk_template", gone)
    if not after.enabled_hypervisors or not after.enabled_disk_templates:
        raise prereq("At least one hypervisor and one disk template must be enabled")
    if after.default_hypervisor not in after.enabled_hypervisors:
        raise prereq(f"The default hypervisor '{after.default_hypervisor}' must stay enabled", "wrong_state")
    if before.volume_group_name and not after.volume_group_name:
        _judge_use(view, after, "disk_template", set(_LVM))
    if before.drbd_usermode_helper and not after.drbd_usermode_helper:
        _judge_use(view, after, "disk_template", {"drbd"})
    _judge_collectors(op)
    if op.default_iallocator:
        check_script(op.default_iallocator, view)


def _judge_use(view: View, after: ClusterRecord, field: str, gone: set[str]) -> None:
    for instance in sorted(view.instances.values(), key=lambda i: i.name):
        value = getattr(instance, field)
        if value in gone:
            what = field.replace("_", " ")
            raise prereq(
                f"Cannot disable {what} '{value}': instance '{instance.name}' uses it", "wrong_state"
            )
    for record in view.detached.values() if field == "disk_template" else ():
        if record.disk.dev_type in gone:
            raise prereq(
                f"Cannot disable disk template '{record.disk.dev_type}': "
                f"the detached disk {record.uuid} uses it",
                "wrong_state",
            )


def _judge_collectors(op: ClusterSetParams) -> None:
    for name in (*(op.enabled_data_collectors or ()), *(op.data_collector_interval or ())):
        if name not in tables.DATA_COLLECTORS:
            raise prereq(f"Unknown data collector '{name}'")
    for name, interval in (op.data_collector_interval or {}).items():
        if interval < 1:
            raise prereq(f"The interval of data collector '{name}' must be above zero")
