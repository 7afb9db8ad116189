"""The creations inside ``OP_INSTANCE_MULTI_ALLOC``, in the form jobs show them in (as observed)."""

from collections.abc import Mapping
from typing import Any

from twisted_rapi.model.opcodes.base import decode
from twisted_rapi.model.opcodes.instance import InstanceCreate
from twisted_rapi.model.records import Params

SECRET = ("osparams_private", "osparams_secret")

_ORDER = (
    *("instance_name", "force_variant", "wait_for_sync", "name_check", "ignore_ipolicy"),
    *("opportunistic_locking", "beparams", "disks", "disk_template", "group_name", "file_driver"),
    *("file_storage_dir", "hvparams", "hypervisor", "iallocator", "identify_defaults", "ip_check"),
    *("conflicts_check", "mode", "nics", "no_install", "osparams", "osparams_private", "osparams_secret"),
    *("os_type", "pnode", "pnode_uuid", "snode", "snode_uuid", "source_handshake", "source_instance_name"),
    *("source_shutdown_timeout", "source_x509_ca", "src_node", "src_node_uuid", "src_path", "compress"),
    *("start", "forthcoming", "commit", "tags", "instance_communication", "helper_startup_timeout"),
    *("helper_shutdown_timeout", "dry_run", "debug_level", "priority", "depends", "comment", "reason"),
)


def whole(op: InstanceCreate, given: Mapping[str, Any] | None = None) -> Params:
    """
    A creation with all its parameters, those without a value too.

    :param given: what a client gave, if not a whole one already.
    """
    found: Params = {name: getattr(op, name) for name in _ORDER}
    for name in SECRET:
        found[name] = found[name] or {}
    for name in ("helper_startup_timeout", "helper_shutdown_timeout"):
        if given is None or given.get(name) is None:
            found[name] = None
    return {**found, "OP_ID": op.OP_ID}


def part(values: Any) -> InstanceCreate:
    """
    The creation a client, or a stored job, describes.

    :raises BadRequest: it describes none.
    """
    given = {name: value for name, value in dict(values).items() if value is not None and name != "OP_ID"}
    return decode(InstanceCreate, given)
