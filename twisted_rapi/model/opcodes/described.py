"""What the parameters of opcodes mean: one text for all opcodes that have it, or one of an opcode's own."""

from collections.abc import Mapping

from twisted_rapi.model.opcodes.described_own import SPECIAL

PARAMETERS: Mapping[str, str] = {
    "absolute": "If true, 'amount' is the wanted final size; otherwise it is added to the current size",
    "add_reserved_ips": "IPv4 addresses of the network to keep from instances from the beginning",
    "add_uids": "Kept for compatibility: ranges to add to the pool of user ids",
    "admin_state_source": (
        "Who asked for the stop: 'admin' (an operator) or 'user' (the guest shut itself down)"
    ),
    "alloc_policy": (
        "Whether new instances come into the group: preferred, last_resort (only if nothing else has room) "
        "or unallocable (never)"
    ),
    "allow_failover": (
        "Permit falling back to a failover when a migration cannot be done (instance down or hypervisor "
        "unable to migrate)"
    ),
    "allow_runtime_changes": (
        "Permit changing the runtime state (memory ballooning) of the instance so that it fits on the target"
    ),
    "amount": "Disk space in MiB: the increment, or with 'absolute' the final size",
    "auto_promote": (
        "If demoting this node would leave too few master candidates, promote other nodes instead of failing"
    ),
    "begun": (
        "Id of the job that changed what is wanted of the node; once another has, nothing is done for it"
    ),
    "beparams": "Defaults of backend parameters; what is given replaces what was set",
    "blacklisted_os": "Edits to the list of forbidden OSes: pairs [add|remove, OS name]",
    "candidate_pool_size": "Wanted number of master candidates",
    "changes": "Attributes to change on the storage unit; only 'allocatable' (bool, lvm-pv) is modifiable",
    "cleanup": "Move nothing; put right what an earlier, failed move left behind",
    "comment": "Any text for people; it is kept with the opcode",
    "commit": "Make an instance real that so far only kept its place",
    "compress": "Name of the compression tool for the stream of data; 'none' for none",
    "compression_tools": "Names of the compression programs that may be used; refused over RAPI (403)",
    "conflicts_check": "Refuse addresses that nodes or other networks have",
    "copies": "How many copies of each object a pool has; as is usual there without",
    "count": "How many instances an allocation is for",
    "data_collector_interval": "Per-collector run interval in microseconds: {collector name: int}",
    "debug_level": "How much is logged about it; changes nothing else",
    "debug_simulate_errors": "Kept for compatibility: nothing pretends to have failed",
    "default_iallocator": "Allocator script used when an operation names none; empty string removes it",
    "default_iallocator_params": "Command line parameters for the default allocator (dict)",
    "delete_disks": "Remove the machine's disks, with what is on them",
    "depends": (
        "Jobs that have to end before: list of [job id, statuses that will do]; an empty list of statuses "
        "means success or error. Negative ids count back from this job"
    ),
    "destination_x509_ca": (
        "PEM text of the CA certificate presented by the receiving cluster, signed with the cluster domain "
        "secret (remote export only)"
    ),
    "device": "Full path of a block device of the node; what is on it is lost",
    "direction": "Show the request ('in'), or ask the allocator and show its answer ('out')",
    "disk": "Zero-based index of the disk",
    "disk_state": (
        "Statically declared disk usage: {storage type: {storage unit name: {disk_total, disk_reserved, "
        "disk_overhead}}}"
    ),
    "disk_template": "How all disks of the instance are kept",
    "diskparams": "Storage layout parameters: {disk template: {parameter: value}}",
    "disks": (
        "One dict per disk; 'size' (MiB) needed unless adopting; optional mode, adopt, vg, metavg, name, "
        "spindles, provider, access (see constants.json idisk_params)"
    ),
    "disk_uuid": "UUID of a disk that was detached from its instance",
    "drained": "Set or clear the drained flag",
    "drbd_helper": "Path of the DRBD usermode helper; empty string disables DRBD use",
    "dry_run": "Only check whether it could be done; nothing is changed",
    "duration": "Seconds to sleep",
    "early_release": (
        "Give up locks (and the old storage) as soon as possible to allow more parallelism, at the price of"
        " less safety"
    ),
    "enabled_data_collectors": "Which monitoring collectors are on: {collector name: bool}",
    "enabled_disk_templates": "Storage layouts that new instances may use",
    "enabled_hypervisors": "Hypervisors that may be used; the first is the default. Must not be empty",
    "enabled_user_shutdown": "Let guests shut down on their own without being restarted",
    "error_codes": "Whether lines of the log show errors in machine-readable form",
    "evac_mode": "Which instances a request to evacuate is about",
    "ext_params": "Parameters for the external storage provider when converting to 'ext'",
    "fields": "Names of the wanted fields, in the order of the answer",
    "file_driver": "Driver for file-based disks",
    "file_storage_dir": "Default directory for file-based disks",
    "force": "Skip checks that guard against accidents",
    "force_failover": "Use failover rather than migration",
    "force_live": "Fail where the machine cannot be migrated live, in place of shutting it down for it",
    "force_variant": "Accept an OS variant that the OS definition does not list",
    "forthcoming": "Only keep its place; the instance is made later, with 'commit'",
    "gateway": "IPv4 address of the gateway; must lie in the network",
    "gateway6": "IPv6 address of the gateway",
    "gluster_storage_dir": "Default directory for the gluster template",
    "group_name": "Name or UUID of the node group",
    "helper_shutdown_timeout": "Seconds the helper VM (safe OS installation) may take to stop",
    "helper_startup_timeout": "Seconds the helper VM (safe OS installation) may take to start",
    "hidden_os": "Edits to the list of OSes hidden from listings: pairs [add|remove, OS name]",
    "hotplug": "Change the devices of the running guest as well, where its hypervisor can",
    "hotplug_if_possible": "As 'hotplug', but no error where it cannot be done",
    "hv_state": (
        "Statically declared hypervisor usage: {hypervisor: {mem_total, mem_node, mem_inst, cpu_total, "
        "cpu_node}}"
    ),
    "hvparams": "Defaults of hypervisor parameters: {hypervisor: {parameter: value}}",
    "hypervisor": "Hypervisor to use; null means the cluster's default one",
    "iallocator": "Name of the allocator that picks the nodes; null for the cluster's default one",
    "identify_defaults": (
        "Import only: drop parameters whose value equals the current cluster default, so that they track "
        "the default"
    ),
    "ignore_consistency": "Go on although the disks on the target are not known to be in sync",
    "ignore_errors": "Codes of errors that are warnings",
    "ignore_failures": (
        "Remove the instance even if it cannot be stopped or its disks cannot be removed; always false over"
        " RAPI"
    ),
    "ignore_hvversions": "Allow migration between different hypervisor versions",
    "ignore_ipolicy": "Turn instance policy violations into warnings",
    "ignore_offline_nodes": "Only record the wanted state when the primary node is offline",
    "ignore_remove_failures": "With remove_instance: ignore errors while removing",
    "ignore_secondaries": "Start again even if secondary disks cannot be activated",
    "ignore_size": "Ignore the recorded disk size when activating",
    "ignore_soft_errors": "Make the allocator ignore soft errors (policy-like) while planning",
    "install_image": "Image with a ready system used to run OS scripts in isolation",
    "instance_communication": "Give the instance a NIC on the instance communication network",
    "instance_communication_network": (
        "Name of the network used for guest-to-node communication; empty disables it"
    ),
    "instance_name": "Name of the instance, whole or its beginning up to a dot",
    "instance_uuid": "UUID of the instance; for the server's own notes",
    "instances": (
        "Instance-creation parameter dicts, one per wanted instance; none may set iallocator, and either "
        "all or none name their nodes (pnode, and snode for mirrored templates)"
    ),
    "interruptible": "Kept for compatibility",
    "into": "Whether the OSD is to take part; its data goes to others if not",
    "ip_check": "Fail if the instance's IP answers before creation (needs name_check)",
    "ipolicy": "Instance policy of the whole cluster",
    "is_strict": (
        "Count mirrored disks whose sides do not have the same data, with nothing filling them, as disks "
        "that have to be activated"
    ),
    "kind": "Kind of the tagged object",
    "last_node": "Name of the node the machine was migrated away from; empty: it was not",
    "least": "Below how many copies of an object nothing is written; as is usual there without",
    "live": "Old boolean form of 'mode' (true=live, false=non-live); exclusive with mode",
    "long_sleep": (
        "Allow the instance to stay down for the whole transfer when its disks cannot be snapshotted (needs"
        " shutdown)"
    ),
    "mac_prefix": "MAC prefix of the network; overrides the cluster's",
    "maintain_node_health": "Let the watcher switch off resources on bad nodes",
    "master_candidate": "Set or clear the master candidate flag",
    "master_capable": "Whether the node may ever be master (candidate)",
    "master_netdev": "Interface that carries the master IP",
    "master_netmask": "Prefix length of the master IP",
    "max_running_jobs": "How many jobs may run at once",
    "max_tracked_jobs": "How many running jobs are inotify-tracked",
    "memory": "MiB of memory an allocation is for",
    "migration_max_downtime": "Milliseconds a guest may stand still while it is migrated",
    "migration_method": "How the machine is migrated: live or shutdown; empty: as the cluster does",
    "mode": "How to migrate: live, or non-live; null for what the hypervisor parameter migration_mode says",
    "modify_etc_hosts": "Whether the software maintains /etc/hosts on nodes",
    "name": "Name of the object; null for the cluster",
    "name_check": "Resolve the name in DNS and use the full name and its IP",
    "names": "Objects to report on; empty for all",
    "ndparams": "Cluster default node parameters",
    "network": "IPv4 subnet in CIDR form",
    "network6": "IPv6 subnet in CIDR form",
    "network_link": "Bridge / routing table / switch used for instances of that network in this group",
    "network_mode": "NIC mode used for instances of that network in this group",
    "network_name": "Name or UUID of the network",
    "network_vlan": "VLAN used for that network in this group",
    "new_name": "Name the group gets",
    "nicparams": "Cluster default NIC parameters (mode, link, vlan)",
    "nics": (
        "One dict per NIC; all keys optional (mac, ip, mode, link, network, name, vlan, bridge; see "
        "constants.json inic_params). An empty dict is a NIC with all defaults"
    ),
    "no_install": "Do not run the OS create script; also implies no start",
    "no_locks": "Take no locks",
    "no_remember": "Do not store the new wanted state in the configuration",
    "node_autostart": "Whether the machine is started when its node is made ready again",
    "node_limit": "Names of the nodes the machine may run on; empty: on all",
    "node_name": "Name of the node, whole or its beginning up to a dot",
    "node_selector": "How a node is chosen: mem, memprov, vcpus, load or vms; empty: as the cluster does",
    "node_uuid": "UUID of the node; for the server's own notes",
    "node_uuids": "UUIDs of 'nodes'; for the server's own notes",
    "nodes": "Nodes that come into the group",
    "offline": "true: a stopped instance is marked as offline; false: it is just stopped again",
    "on": "Whether the option is to be set, or taken away",
    "on_master": "Sleep on the master",
    "on_node_uuids": "UUIDs of 'on_nodes'; for the server's own notes",
    "on_nodes": "Nodes to sleep on",
    "opportunistic_locking": (
        "With an allocator: consider only nodes whose lock is free right now instead of waiting for all"
    ),
    "os": "OS an allocation is for",
    "os_hvp": "Per-OS hypervisor defaults: {OS: {hypervisor: {parameter: value}}}",
    "os_name": "Note another OS without installing it",
    "os_type": "OS name, optionally with +variant",
    "osd": "Number of the OSD",
    "osparams": "Cluster defaults per OS: {OS: {parameter: value}}; a null/empty dict for an OS removes it",
    "osparams_private": "OS parameters kept in the configuration but never shown",
    "osparams_private_cluster": "Cluster defaults of private OS parameters per OS",
    "osparams_secret": "OS parameters that are used once and not stored",
    "output_fields": "Names of the wanted columns, in order",
    "pattern": "Regular expression that is searched for in tags",
    "permanent": "Do not remember where the machine was",
    "pgs": "How many placement groups the pool has",
    "pnode": "Primary node",
    "pnode_uuid": "UUID of 'pnode'; for the server's own notes",
    "pool": "Name of a pool",
    "powered": "Recorded power state (needs out-of-band support)",
    "prealloc_wipe_disks": "Overwrite disks before first use",
    "priority": "Lower is more urgent: -10, 0 or 10",
    "profile": "What the machine was made from, in the words of who made it",
    "protected_tags": "Those of the machine's tags that are kept from being removed",
    "qfilter": "Filter expression in the query language; null for none",
    "reason": (
        "Who asked for it and why: list of [source, text, nanoseconds]; over RAPI made by the server, from "
        "the argument 'reason' too"
    ),
    "reboot_type": "soft, hard or full",
    "remote_node": "New secondary node",
    "remote_node_uuid": "UUID of 'remote_node'; for the server's own notes",
    "remove_instance": "Remove the instance after a good export (needs shutdown)",
    "remove_reserved_ips": "IPv4 addresses to drop from the external reservations",
    "remove_uids": "Kept for compatibility: ranges to take out of the pool of user ids",
    "repeat": "How many times more",
    "reserved_lvs": "Regexes of logical volumes that are not to be reported as unknown",
    "runtime_mem": "Balloon the running instance to this many MiB",
    "secondary_ip": "New secondary IP of the node",
    "sequential": "Run the jobs one after another",
    "shared_file_storage_dir": "Default directory for shared-file disks",
    "shutdown": "Stop the instance for the export",
    "shutdown_timeout": "Seconds to wait for a clean stop before forcing it",
    "skip_checks": "Checks to leave out",
    "snapshot": "Name of a snapshot of the volume",
    "snode": "Secondary node (mirrored templates only)",
    "snode_uuid": "UUID of 'snode'; for the server's own notes",
    "source_handshake": (
        "Remote import: [version, HMAC digest, salt] proving knowledge of the cluster domain secret"
    ),
    "source_instance_name": "Remote import: name of the instance on the source cluster",
    "source_shutdown_timeout": "Remote import: seconds the source may take to stop its instance",
    "source_x509_ca": "Remote import: signed PEM CA certificate of the source cluster",
    "spindle_use": "Spindles an allocation is for",
    "src_node": "Import: node holding the export (null: search all nodes)",
    "src_node_uuid": "UUID of 'src_node'; for the server's own notes",
    "src_path": "Import: directory of the export (relative to the export directory or absolute)",
    "start": "Start the instance once it is created",
    "startup_paused": "Leave the guest paused after start (for debugging)",
    "state": "flush (machines leave the node) or ready (they come back)",
    "static": "Report configuration only, do not ask nodes",
    "storage_type": "Kind of storage",
    "tags": "Tags",
    "target_groups": "Groups to move to; default: all others",
    "target_node": "Node to move to, where disks can be reached from several nodes",
    "target_node_uuid": "UUID of 'target_node'; for the server's own notes",
    "tier": "Class of the devices a pool is on: hdd, ssd or nvme; any without",
    "timeout": "Seconds to wait for a clean stop before forcing it",
    "tried": "Names of the machines that jobs were submitted for already",
    "uid_pool": "Kept for compatibility: the ranges [first, last] of user ids",
    "use_external_mip_script": "Use an external script to set up the master IP",
    "use_locking": "Take locks while collecting live data",
    "vcpus": "CPUs an allocation is for",
    "verbose": "Kept for compatibility: all there is to tell is always told",
    "verify_clutter": "Kept for compatibility",
    "vg_name": "LVM volume group; empty string disables LVM",
    "vm_capable": "Whether the node may host instances",
    "volume": "Name of a volume of the pool",
    "wait_for_sync": "Wait until mirrored disks are in sync",
    "weight": "Weight of the OSD among others; 0: by its size",
    "what": "Resource kind to query",
    "x509_key_name": "Remote export: [name, HMAC digest, salt] of the key made by the prepare step",
    "xml": "The machine's definition: libvirt's domain XML",
    "zero_free_space": "Overwrite unused space of the disks first so that the dump compresses well",
    "zeroing_image": "OS image used for zeroing free space",
    "zeroing_timeout_fixed": "Fixed part (s) of the zeroing timeout",
    "zeroing_timeout_per_mib": "Per-MiB part (s) of the zeroing timeout",
}
"""By parameter."""


def description(op_id: str, name: str) -> str:
    """
    What a parameter of an opcode means.

    :raises KeyError: nobody has said it.
    """
    special = SPECIAL.get((op_id, name))
    return PARAMETERS[name] if special is None else special
