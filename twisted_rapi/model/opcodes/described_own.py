"""What parameters mean that an opcode has its own use for."""

from collections.abc import Mapping

SPECIAL: Mapping[tuple[str, str], str] = {
    ("OP_BACKUP_EXPORT", "mode"): "local (to a node of this cluster) or remote (to another cluster)",
    ("OP_BACKUP_EXPORT", "target_node"): (
        "local: node name; remote: list of [host, port, magic, HMAC, salt] per disk (called 'destination' "
        "in RAPI)"
    ),
    ("OP_BACKUP_PREPARE", "mode"): "local or remote; only remote has a result",
    ("OP_CEPH_CHANGE", "change"): "What is to be done; it says which other parameters there are",
    (
        "OP_CEPH_CHANGE",
        "name",
    ): "Name of the option; or what the volume, its copy or the snapshot is called then",
    ("OP_CEPH_CHANGE", "size"): "Bytes of the volume",
    ("OP_CLUSTER_SET_PARAMS", "mac_prefix"): "First three octets for generated MAC addresses",
    (
        "OP_CLUSTER_RENAME",
        "name",
    ): "The new name, which has to resolve to the address clients find the master at",
    ("OP_CLUSTER_REPAIR_DISK_SIZES", "instances"): "Names of the instances to look at; empty for all",
    ("OP_CLUSTER_VERIFY_DISKS", "group_name"): "Only this node group",
    ("OP_EXT_STORAGE_DIAGNOSE", "names"): "Providers to report on; empty for all",
    ("OP_GROUP_ADD", "group_name"): "Name of the new group",
    ("OP_GROUP_ADD", "ipolicy"): "Instance policy overrides of the group",
    ("OP_GROUP_ADD", "ndparams"): "Node parameters of the group",
    ("OP_GROUP_ASSIGN_NODES", "force"): "Assign even if instances end up split over groups",
    ("OP_GROUP_SET_PARAMS", "ipolicy"): "Instance policy overrides of the group; 'default' removes one",
    ("OP_GROUP_SET_PARAMS", "ndparams"): "Node parameters of the group; 'default' removes one",
    ("OP_INSTANCE_CREATE", "beparams"): (
        "Backend parameters of the new instance (maxmem/minmem or memory, vcpus, auto_balance, "
        "always_failover, spindle_use); missing ones follow the cluster default"
    ),
    ("OP_INSTANCE_CREATE", "compress"): (
        "Compression tool name for the data stream of a remote import ('none' for none)"
    ),
    ("OP_INSTANCE_CREATE", "file_storage_dir"): (
        "Relative directory under the cluster's file storage directory for file-based disks"
    ),
    ("OP_INSTANCE_CREATE", "group_name"): "Limit automatic placement to this node group",
    ("OP_INSTANCE_CREATE", "hvparams"): (
        "Hypervisor parameters of the new instance; missing ones follow cluster/OS defaults"
    ),
    ("OP_INSTANCE_CREATE", "iallocator"): (
        "Allocator that picks primary (and secondary) node; exclusive with pnode/snode. With neither, the "
        "cluster default is used"
    ),
    ("OP_INSTANCE_CREATE", "instance_name"): "Name of the new instance",
    ("OP_INSTANCE_CREATE", "mode"): "create, import (from a local export) or remote-import",
    ("OP_INSTANCE_CREATE", "osparams"): "Public OS parameters of the instance",
    ("OP_INSTANCE_CREATE", "tags"): "Tags of the new instance",
    ("OP_INSTANCE_DEACTIVATE_DISKS", "force"): "Skip the check that the instance is stopped",
    ("OP_INSTANCE_FAILOVER", "iallocator"): "Allocator picking the target for externally mirrored templates",
    ("OP_INSTANCE_GROW_DISK", "wait_for_sync"): "Wait for resync after growing",
    ("OP_INSTANCE_MIGRATE", "cleanup"): (
        "Do not migrate; repair the state left behind by an earlier migration that failed"
    ),
    ("OP_INSTANCE_MIGRATE", "iallocator"): "Allocator picking the target for externally mirrored templates",
    ("OP_MACHINE_MIGRATE", "target_node"): "Node to move to",
    ("OP_INSTANCE_MOVE", "target_node"): "Node the instance's disks are copied to",
    ("OP_INSTANCE_MULTI_ALLOC", "iallocator"): "Allocator that places all instances in one request",
    ("OP_INSTANCE_MULTI_ALLOC", "instances"): (
        "Parameters of the creation of each instance. None may name an allocator, and either all or none "
        "name their nodes"
    ),
    ("OP_INSTANCE_QUERY_DATA", "instances"): "Instances to report on; empty for all",
    ("OP_INSTANCE_QUERY_DATA", "use_locking"): "Wait for the locks of the instances and their nodes",
    ("OP_INSTANCE_RECREATE_DISKS", "disks"): (
        "Empty for all disks, or indexes, or [index, {size/mode/spindles/... overrides}] pairs"
    ),
    ("OP_INSTANCE_RECREATE_DISKS", "iallocator"): "Allocator picking new nodes for the disks",
    ("OP_INSTANCE_RECREATE_DISKS", "nodes"): "New node(s) for the disks, as many as the instance has",
    ("OP_INSTANCE_REINSTALL", "os_type"): "OS (with +variant) to install; null keeps the recorded one",
    ("OP_INSTANCE_REINSTALL", "osparams"): "Public OS parameters for this reinstallation only",
    ("OP_INSTANCE_RENAME", "ip_check"): "Fail if the new name's IP answers already (needs name_check)",
    ("OP_INSTANCE_RENAME", "new_name"): "Wanted new instance name",
    ("OP_INSTANCE_REPLACE_DISKS", "disks"): "Indexes of disks to rebuild; empty means all",
    ("OP_INSTANCE_REPLACE_DISKS", "iallocator"): (
        "Allocator that picks the new secondary; exclusive with remote_node"
    ),
    ("OP_INSTANCE_REPLACE_DISKS", "mode"): (
        "What to replace: disks on primary, on secondary, move to a new secondary, or automatic"
    ),
    ("OP_INSTANCE_SET_PARAMS", "beparams"): (
        "Backend parameters to override on the instance; the value 'default' removes an override"
    ),
    ("OP_INSTANCE_SET_PARAMS", "disk_template"): "Convert the (stopped) instance's disks to this layout",
    ("OP_INSTANCE_SET_PARAMS", "disks"): (
        "List of disk edits, same form as 'nics'; detach takes a disk away as it is, attach gives one that "
        "was detached, by its uuid or name: [attach, index, {uuid}]"
    ),
    ("OP_INSTANCE_SET_PARAMS", "file_storage_dir"): (
        "Relative directory for file-based disks when converting to a file template"
    ),
    ("OP_INSTANCE_SET_PARAMS", "force"): "Skip the memory-fit and hypervisor parameter sanity checks",
    ("OP_INSTANCE_SET_PARAMS", "hvparams"): (
        "Hypervisor parameters to override; 'default' removes an override"
    ),
    ("OP_INSTANCE_SET_PARAMS", "iallocator"): (
        "Allocator picking the secondary when converting to a mirrored template"
    ),
    ("OP_INSTANCE_SET_PARAMS", "instance_communication"): "Switch the instance communication NIC on or off",
    ("OP_INSTANCE_SET_PARAMS", "nics"): (
        "List of edits [op, index, settings]: op add/modify/remove; index zero-"
        "based, -1 for last, newer also name or UUID. Old form [op, settings]: op add, remove (last) or an "
        "index to modify"
    ),
    ("OP_INSTANCE_SET_PARAMS", "osparams"): "Public OS parameters to change",
    ("OP_INSTANCE_SET_PARAMS", "pnode"): (
        "New primary node in the configuration only (no data is moved; the disks must be there)"
    ),
    ("OP_INSTANCE_SET_PARAMS", "remote_node"): "Secondary node when converting to a mirrored template",
    ("OP_INSTANCE_SHUTDOWN", "force"): "Skip the check that the instance is not marked offline",
    ("OP_INSTANCE_STARTUP", "beparams"): "Backend parameters for this one start only; not stored",
    ("OP_INSTANCE_STARTUP", "force"): "Start even if the secondary's disk cannot be activated",
    ("OP_INSTANCE_STARTUP", "hvparams"): "Hypervisor parameters for this one start only; not stored",
    ("OP_INSTANCE_STARTUP", "shutdown_timeout"): "Kept for compatibility",
    ("OP_NETWORK_ADD", "conflicts_check"): (
        "Refuse a network that nodes have addresses in, or else keep these addresses from instances"
    ),
    ("OP_NETWORK_ADD", "network_name"): "Name of the new network",
    ("OP_NETWORK_ADD", "tags"): "Tags of the new network",
    ("OP_NETWORK_CONNECT", "group_name"): "Node group to connect the network to",
    ("OP_NETWORK_DISCONNECT", "group_name"): "Node group to disconnect the network from",
    ("OP_NETWORK_REMOVE", "force"): "Accepted, but a network still connected to a group is refused anyway",
    ("OP_NETWORK_RENAME", "new_name"): "Wanted new network name",
    ("OP_NETWORK_SET_PARAMS", "add_reserved_ips"): "IPv4 addresses to add to the external reservations",
    ("OP_NODE_EVACUATE", "iallocator"): "Allocator that plans the evacuation; exclusive with remote_node",
    ("OP_NODE_EVACUATE", "mode"): "Which instances: primary-only, secondary-only or all",
    ("OP_NODE_EVACUATE", "remote_node"): "New secondary for all evacuated (secondary) instances",
    ("OP_NODE_MIGRATE", "iallocator"): "Allocator picking targets for instances on shared storage",
    ("OP_NODE_MODIFY_STORAGE", "name"): "Storage unit to change",
    ("OP_NODE_POWERCYCLE", "force"): "Needed to powercycle the master node itself",
    ("OP_NODE_QUERY_STORAGE", "name"): "Only this storage unit",
    ("OP_NODE_QUERY_STORAGE", "nodes"): "Nodes to look at; empty for all",
    ("OP_NODE_QUERY_STORAGE", "storage_type"): "Kind of storage; null for file storage",
    ("OP_NODE_SET_PARAMS", "force"): (
        "Only used when changing the master's secondary IP between a single-homed and multi-homed cluster. "
        "It does not override the master-candidate count check (use auto_promote)"
    ),
    ("OP_NODE_SET_PARAMS", "ndparams"): "Node parameters of the node; 'default' removes one",
    ("OP_NODE_SET_PARAMS", "offline"): "Set or clear the offline flag",
    ("OP_QUERY", "use_locking"): "Accepted; what is asked for is read from memory in any case",
    ("OP_QUERY_FIELDS", "fields"): "Restrict the answer to these fields; null means all",
    ("OP_REPAIR_NODE_STORAGE", "ignore_consistency"): (
        "Go on although instances on the node have degraded disks"
    ),
    ("OP_REPAIR_NODE_STORAGE", "name"): "Storage unit to repair",
    ("OP_TAGS_DEL", "tags"): "Tags to remove",
    ("OP_TAGS_GET", "use_locking"): "Accepted; tags are read from memory in any case",
    ("OP_TAGS_SET", "tags"): "Tags to add",
    ("OP_TEST_ALLOCATOR", "group_name"): "Node group an allocation is limited to",
    ("OP_TEST_ALLOCATOR", "iallocator"): "Name of the allocator; null for the cluster's default one",
    ("OP_TEST_ALLOCATOR", "instances"): "Instances to move",
    ("OP_TEST_ALLOCATOR", "mode"): "What the allocator is asked for",
    ("OP_TEST_ALLOCATOR", "name"): "Name of the instance, or of the node to evacuate",
    ("OP_TEST_ALLOCATOR", "tags"): "Tags of the instance an allocation is for",
    ("OP_TEST_ALLOCATOR", "target_groups"): "Groups to move to; null for all others",
}
"""By opcode and parameter, where an opcode's own differs."""
