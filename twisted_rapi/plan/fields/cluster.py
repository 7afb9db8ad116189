"""Fields of the cluster: what ``/2/info`` answers (keys and order as observed)."""

from twisted_rapi.model import param_tables as tables
from twisted_rapi.model import params
from twisted_rapi.plan.fields.base import Field
from twisted_rapi.plan.view import View

SOFTWARE_VERSION = "3.0.2"
"""The release whose answers these are: clients read it, and decide by it what they may ask for."""


def _hvparams(view: View) -> dict[str, object]:
    return {hv: params.cluster_hvparams(view.cluster, hv) for hv in tables.HV_DEFAULTS}


FIELDS = (
    Field("software_version", "SoftwareVersion", "text", "Release it behaves as", lambda v, c: SOFTWARE_VERSION),
    Field("protocol_version", "ProtocolVersion", "number", "Version number", lambda v, c: 3000000),
    Field("config_version", "ConfigVersion", "number", "Version number", lambda v, c: 3000000),
    Field("os_api_version", "OsApiVersion", "number", "Newest OS API", lambda v, c: 20),
    Field("export_version", "ExportVersion", "number", "Version of exports", lambda v, c: 0),
    Field("vcs_version", "VCSVersion", "text", "Build", lambda v, c: f"(twisted_rapi) version {SOFTWARE_VERSION}"),
    Field("architecture", "Architecture", "other", "Of the nodes", lambda v, c: ["64bits", "x86_64"]),
    Field("name", "ClusterName", "text", "Name", lambda v, c: c.name),
    Field("master", "Master", "text", "Name of the master node", lambda v, c: v.nodes[c.master_node].name),
    Field("default_hypervisor", "DefaultHypervisor", "text", "Used when none is named", lambda v, c: c.default_hypervisor),
    Field("enabled_hypervisors", "EnabledHypervisors", "other", "May be used", lambda v, c: list(c.enabled_hypervisors)),
    Field("hvparams", "HypervisorParameters", "other", "Filled in, by hypervisor", lambda v, c: _hvparams(v)),
    Field("os_hvp", "OsHypervisorParameters", "other", "By OS and hypervisor", lambda v, c: c.os_hvp),
    Field("beparams", "BackendParameters", "other", "Filled in", lambda v, c: {"default": params.cluster_beparams(c)}),
    Field("osparams", "OsParameters", "other", "By OS", lambda v, c: c.osparams),
    Field("ipolicy", "InstancePolicy", "other", "Filled in", lambda v, c: params.cluster_ipolicy(c)),
    Field("nicparams", "NICParameters", "other", "Filled in", lambda v, c: {"default": params.cluster_nicparams(c)}),
    Field("ndparams", "NodeParameters", "other", "Filled in", lambda v, c: params.cluster_ndparams(c)),
    Field("diskparams", "DiskParameters", "other", "Filled in", lambda v, c: params.cluster_diskparams(c)),
    Field("candidate_pool_size", "CandidatePoolSize", "number", "Wanted candidates", lambda v, c: c.candidate_pool_size),
    Field("max_running_jobs", "MaxRunningJobs", "number", "Jobs that may run at once", lambda v, c: c.max_running_jobs),
    Field("max_tracked_jobs", "MaxTrackedJobs", "number", "Kept for compatibility", lambda v, c: c.max_tracked_jobs),
    Field("mac_prefix", "MacPrefix", "text", "Of new MAC addresses", lambda v, c: c.mac_prefix),
    Field("master_netdev", "MasterNetdev", "text", "Interface of the floating address", lambda v, c: c.master_netdev),
    Field("master_netmask", "MasterNetmask", "number", "Its prefix length", lambda v, c: c.master_netmask),
    Field("use_external_mip_script", "UseExternalMipScript", "bool", "Kept for compatibility", lambda v, c: c.use_external_mip_script),
    Field("volume_group_name", "VolumeGroupName", "text", "Volume group of LVM disks", lambda v, c: c.volume_group_name or None),
    Field("drbd_usermode_helper", "DrbdUsermodeHelper", "text", "Helper of DRBD", lambda v, c: c.drbd_usermode_helper or None),
    Field("file_storage_dir", "FileStorageDir", "text", "Where file disks are", lambda v, c: c.file_storage_dir),
    Field("shared_file_storage_dir", "SharedFileStorageDir", "text", "Where shared ones are", lambda v, c: c.shared_file_storage_dir),
    Field("gluster_storage_dir", "GlusterStorageDir", "text", "Kept for compatibility", lambda v, c: c.gluster_storage_dir),
    Field("maintain_node_health", "MaintainNodeHealth", "bool", "Kept for compatibility", lambda v, c: c.maintain_node_health),
    Field("ctime", "CTime", "timestamp", "When it was made", lambda v, c: c.ctime),
    Field("mtime", "MTime", "timestamp", "When it was changed last", lambda v, c: c.mtime),
    Field("uuid", "UUID", "text", "UUID", lambda v, c: c.uuid),
    Field("tags", "Tags", "other", "Tags", lambda v, c: sorted(c.tags)),
    Field("uid_pool", "UidPool", "other", "Kept for compatibility", lambda v, c: [list(r) for r in c.uid_pool]),
    Field("default_iallocator", "DefaultIallocator", "text", "Empty: the built-in one", lambda v, c: c.default_iallocator),
    Field("default_iallocator_params", "DefaultIallocatorParams", "other", "Its options", lambda v, c: c.default_iallocator_params),
    Field("reserved_lvs", "ReservedLvs", "other", "Kept for compatibility", lambda v, c: list(c.reserved_lvs)),
    Field("primary_ip_version", "PrimaryIpVersion", "number", "4 or 6", lambda v, c: c.primary_ip_version),
    Field("prealloc_wipe_disks", "PreallocWipeDisks", "bool", "Kept for compatibility", lambda v, c: c.prealloc_wipe_disks),
    Field("hidden_os", "HiddenOs", "other", "Not listed", lambda v, c: list(c.hidden_os)),
    Field("blacklisted_os", "BlacklistedOs", "other", "Neither listed nor used", lambda v, c: list(c.blacklisted_os)),
    Field("enabled_disk_templates", "EnabledDiskTemplates", "other", "May be used", lambda v, c: list(c.enabled_disk_templates)),
    Field("install_image", "InstallImage", "text", "Kept for compatibility", lambda v, c: c.install_image),
    Field("instance_communication_network", "InstanceCommunicationNetwork", "text", "Kept for compatibility", lambda v, c: c.instance_communication_network),
    Field("zeroing_image", "ZeroingImage", "text", "Kept for compatibility", lambda v, c: c.zeroing_image),
    Field("compression_tools", "CompressionTools", "other", "For exports", lambda v, c: list(c.compression_tools)),
    Field("enabled_user_shutdown", "EnabledUserShutdown", "bool", "Kept for compatibility", lambda v, c: c.enabled_user_shutdown),
    Field("enabled_data_collectors", "EnabledDataCollectors", "other", "Kept for compatibility", lambda v, c: {**dict.fromkeys(tables.DATA_COLLECTORS, True), **c.enabled_data_collectors}),
    Field("data_collector_interval", "DataCollectorInterval", "other", "Kept for compatibility", lambda v, c: {**dict.fromkeys(tables.DATA_COLLECTORS, 5000000), **c.data_collector_interval}),
    Field("modify_ssh_setup", "ModifySshSetup", "bool", "Never", lambda v, c: False),
    Field("ssh_key_type", "SshKeyType", "text", "Kept for compatibility", lambda v, c: "rsa"),
    Field("ssh_key_bits", "SshKeyBits", "number", "Kept for compatibility", lambda v, c: 2048),
    Field("vg_name", "VgName", "text", "Alias of volume_group_name", lambda v, c: c.volume_group_name or None),
    Field("drbd_helper", "DrbdHelper", "text", "Alias of drbd_usermode_helper", lambda v, c: c.drbd_usermode_helper or None),
)  # fmt: skip

_OLDER = (
    Field("cluster_name", "ClusterName", "text", "Older name of name", lambda v, c: c.name),
    Field("master_node", "Master", "text", "Name of the master node", lambda v, c: v.nodes[c.master_node].name, "host"),
    Field("drain_flag", "QueueDrained", "bool", "Whether no more jobs are accepted", lambda v, c: c.drained_queue),
    Field("watcher_pause", "WatcherPause", "timestamp", "Until when nothing is repaired", lambda v, c: c.watcher_pause if c.watcher_pause > v.now else None),
)  # fmt: skip

TABLE = (*FIELDS, *_OLDER)
"""What a query may ask for: release 2.6's names, and all that ``/2/info`` shows."""
