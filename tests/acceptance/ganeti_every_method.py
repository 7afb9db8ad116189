"""
Every method of Ganeti's own unmodified client, called at least once and given what it expects.

Not a test module: it runs under the system's Python, where Debian installs that client, after what
``ganeti_client`` does, and exits with 1 and the reason when something is not as expected, or when a public
method of the client was not called.  Arguments: port, user, password.
"""

import sys
from typing import Any

import ganeti_client
from ganeti.rapi import client
from ganeti_client import Unexpected, expect

TWIN, SHARED = "twin.example.com", "shared.example.com"
NODES = ["node1.example.com", "node2.example.com", "node3.example.com"]


class Noted:
    """The client, noting which of its methods are called."""

    def __init__(self, rapi: Any) -> None:
        self._rapi, self.called = rapi, set[str]()

    def __getattr__(self, name: str) -> Any:
        """A method of the client."""
        self.called.add(name)
        return getattr(self._rapi, name)

    def left_out(self) -> list[str]:
        """Its public methods that have not been called."""
        every = {n for n in dir(client.GanetiRapiClient) if n[0].isupper() and n != "USER_AGENT"}
        return sorted(n for n in every - self.called if callable(getattr(client.GanetiRapiClient, n)))


class EveryMethod:
    """The steps; each leaves the cluster as it was, but for what its docstring says."""

    def __init__(self, script: Any) -> None:
        self.script = script
        script.rapi = self.rapi = Noted(script.rapi)
        self.done = script.done

    def submitted(self, what: str, job: Any) -> Any:
        """A job that submits others: all of them succeed."""
        result = self.done(what, job)
        for well, inner in result["jobs"]:
            expect(f"{what}: a job was submitted", well, True)
            self.done(what, inner)
        return result

    def settings(self) -> None:
        """The cluster's settings; more disk templates than before may be used then."""
        self.done("tell the nodes", self.rapi.RedistributeConfig())
        templates = ["diskless", "file", "sharedfile", "plain", "drbd"]
        ranges = self.rapi.GetInfo()["ipolicy"]
        policy = {"disk-templates": templates, "minmax": ranges["minmax"], "std": ranges["std"]}
        job = self.rapi.ModifyCluster(enabled_disk_templates=templates, vg_name="xenvg", ipolicy=policy)
        self.done("modify cluster", job)
        expect("templates", sorted(self.rapi.GetInfo()["enabled_disk_templates"]), sorted(templates))
        try:
            self.rapi.ModifyCluster(compression_tools=["none"])
        except client.GanetiApiError as e:
            expect("what may not be set", e.code, 403)
        else:
            raise Unexpected("compression tools were set")

    def nodes(self) -> None:
        """Nodes: parameters, roles, power, storage."""
        node = NODES[2]
        expect("one node", self.rapi.GetNode(node)["name"], node)
        expect("nodes in bulk", [n["name"] for n in self.rapi.GetNodes(bulk=True)], NODES)
        result = self.done("modify node", self.rapi.ModifyNode(node, vm_capable=False))
        expect("what was modified", result, [["vm_capable", "False"]])
        self.done("modify node back", self.rapi.ModifyNode(node, vm_capable=True))
        self.done("drain", self.rapi.SetNodeRole(node, "drained", force=True, auto_promote=True))
        expect("role", self.rapi.GetNodeRole(node), "drained")
        self.done("no longer drained", self.rapi.SetNodeRole(node, "master-candidate"))
        expect("role", self.rapi.GetNodeRole(node), "master-candidate")
        said = self.done("powercycle", self.rapi.PowercycleNode(node, force=True))
        expect("what powercycle says", isinstance(said, str), True)
        job = self.rapi.GetNodeStorageUnits(node, "lvm-pv", "name,allocatable")
        [name, gives] = self.done("storage units", job)[0]
        expect("a unit gives space", gives, True)
        job = self.rapi.ModifyNodeStorageUnits(node, "lvm-pv", name, allocatable=True)
        self.done("modify storage unit", job)
        self.done("repair storage unit", self.rapi.RepairNodeStorageUnits(node, "lvm-vg", "xenvg"))

    def groups(self) -> None:
        """Node groups."""
        self.done("create group", self.rapi.CreateGroup("rack1", alloc_policy="preferred"))
        expect("groups", sorted(self.rapi.GetGroups()), ["default", "rack1"])
        self.done("modify group", self.rapi.ModifyGroup("rack1", alloc_policy="last_resort"))
        expect("one group", self.rapi.GetGroup("rack1")["alloc_policy"], "last_resort")
        expect("rename group", self.done("rename", self.rapi.RenameGroup("rack1", "rack2")), "rack2")
        self.done("assign node", self.rapi.AssignGroupNodes("rack2", [NODES[2]], force=True))
        bulk = {g["name"]: g["node_list"] for g in self.rapi.GetGroups(bulk=True)}
        expect("nodes of groups", bulk, {"default": NODES[:2], "rack2": NODES[2:]})
        self.done("assign node back", self.rapi.AssignGroupNodes("default", [NODES[2]]))
        self.done("tag group", self.rapi.AddGroupTags("rack2", ["a", "b"]))
        expect("tags", self.rapi.GetGroupTags("rack2"), ["a", "b"])
        self.done("untag group", self.rapi.DeleteGroupTags("rack2", ["a"]))
        self.done("delete group", self.rapi.DeleteGroup("rack2"))

    def networks(self) -> None:
        """Networks."""
        job = self.rapi.CreateNetwork("front", "10.9.0.0/28", gateway="10.9.0.1", tags="x")
        self.done("create network", job)
        self.done("connect", self.rapi.ConnectNetwork("front", "default", "bridged", "br0"))
        one = self.rapi.GetNetwork("front")
        expect("connected to", one["group_list"], [["default", "bridged", "br0", ""]])
        expect("networks", self.rapi.GetNetworks(), ["front"])
        expect("networks in bulk", self.rapi.GetNetworks(bulk=True), [one])
        self.done("modify network", self.rapi.ModifyNetwork("front", add_reserved_ips=["10.9.0.5"]))
        expect("a reserved address", self.rapi.GetNetwork("front")["map"][5], "X")
        self.done("tag network", self.rapi.AddNetworkTags("front", ["y"]))
        expect("tags", self.rapi.GetNetworkTags("front"), ["x", "y"])
        self.done("untag network", self.rapi.DeleteNetworkTags("front", ["x", "y"]))
        if hasattr(client.GanetiRapiClient, "RenameNetwork"):
            self.done("rename network", self.rapi.RenameNetwork("front", "back"))
            self.done("rename network back", self.rapi.RenameNetwork("back", "front"))
        self.done("disconnect", self.rapi.DisconnectNetwork("front", "default"))
        self.done("delete network", self.rapi.DeleteNetwork("front"))

    def filters(self) -> None:
        """Rules about jobs."""
        uuid = self.rapi.AddFilter(5, [["jobid", ["<", "id", 0]]], "REJECT")
        expect("filters", self.rapi.GetFilters(), [uuid])
        expect("one filter", self.rapi.GetFilter(uuid)["action"], "REJECT")
        expect("replace", self.rapi.ReplaceFilter(uuid, 6, [], "ACCEPT"), uuid)
        expect("filters in bulk", [f["priority"] for f in self.rapi.GetFilters(bulk=True)], [6])
        expect("delete filter", self.rapi.DeleteFilter(uuid), None)

    def queries(self) -> None:
        """The query language."""
        found = self.rapi.Query("node", ["name", "master"], qfilter=["?", "master"])
        expect("the master by query", found["data"], [[[0, NODES[0]], [0, True]]])
        fields = self.rapi.QueryFields("node", fields=["name", "nosuch"])["fields"]
        expect("fields", [f["kind"] for f in fields], ["text", "unknown"])

    def disks(self) -> None:
        """A mirrored instance, which stays; its disks."""
        job = self.rapi.CreateInstance(
            "create",
            TWIN,
            "drbd",
            [{"size": 64}],
            [{}],
            os="noop+default",
            pnode=NODES[0],
            snode=NODES[1],
            beparams={"minmem": 128, "maxmem": 128},
        )
        expect("nodes of a mirrored instance", self.done("create drbd", job), NODES[:2])
        self.done("grow", self.rapi.GrowInstanceDisk(TWIN, 0, 64, wait_for_sync=True))
        expect("size", self.rapi.GetInstance(TWIN)["disk.sizes"], [128])
        job = self.rapi.ReplaceInstanceDisks(TWIN, mode="replace_new_secondary", remote_node=NODES[2])
        self.done("replace secondary", job)
        expect("new secondary", self.rapi.GetInstance(TWIN)["snodes"], [NODES[2]])
        self.done("replace disks", self.rapi.ReplaceInstanceDisks(TWIN, disks=[0], mode="replace_on_primary"))

    def lost(self) -> None:
        """Disks that are made anew on another node."""
        name = "plain.example.com"
        job = self.rapi.CreateInstance(
            "create", name, "plain", [{"size": 64}], [], os="noop+default", pnode=NODES[0], start=False
        )
        self.done("create plain", job)
        self.done("recreate disks", self.rapi.RecreateInstanceDisks(name, nodes=[NODES[1]]))
        expect("recreated on", self.rapi.GetInstance(name)["pnode"], NODES[1])
        self.done("delete", self.rapi.DeleteInstance(name))

    def moves(self) -> None:
        """Migration and failover."""
        self.done("migrate", self.rapi.MigrateInstance(TWIN, mode="live"))
        expect("migrated to", self.rapi.GetInstance(TWIN)["pnode"], NODES[2])
        self.done("fail over", self.rapi.FailoverInstance(TWIN, ignore_consistency=True))
        expect("failed over to", self.rapi.GetInstance(TWIN)["pnode"], NODES[0])

    def emptied(self) -> None:
        """What moves all instances of a node."""
        self.submitted("migrate node", self.rapi.MigrateNode(NODES[0], mode="live"))
        expect("migrated to", self.rapi.GetInstance(TWIN)["pnode"], NODES[2])
        job = self.rapi.EvacuateNode(NODES[0], remote_node=NODES[1], mode="secondary-only")
        self.submitted("evacuate with a given node", job)
        expect("evacuated to", self.rapi.GetInstance(TWIN)["snodes"], [NODES[1]])
        self.submitted("evacuate", self.rapi.EvacuateNode(NODES[2], mode="primary-only"))
        expect("evacuated", self.rapi.GetInstance(TWIN)["pnode"] != NODES[2], True)

    def many(self) -> None:
        """Several instances at once; they go again."""
        wanted = [
            self.rapi.InstanceAllocation(
                "create", name, "diskless", [], [], os_type="noop+default", beparams={"maxmem": 128}
            )
            for name in ("m1.example.com", "m2.example.com")
        ]
        result = self.submitted("create several", self.rapi.InstancesMultiAlloc(wanted))
        expect("allocated", sorted(result["allocatable"]), ["m1.example.com", "m2.example.com"])
        for name in result["allocatable"]:
            self.done("delete", self.rapi.DeleteInstance(name, shutdown_timeout=0))

    def exports(self) -> None:
        """An export, from which the instance is made again under another name; both instances go then."""
        expect("prepare export", self.done("prepare", self.rapi.PrepareExport(TWIN, "local")), None)
        prepared = self.done("prepare remote export", self.rapi.PrepareExport(TWIN, "remote"))
        expect("what is prepared", sorted(prepared), ["handshake", "x509_ca", "x509_key_name"])
        expect("handshake", [prepared["handshake"][0], len(prepared["handshake"])], [0, 3])
        expect("key", len(prepared["x509_key_name"]), 3)
        expect("certificate", "-----BEGIN CERTIFICATE-----" in prepared["x509_ca"], True)
        job = self.rapi.ExportInstance(TWIN, "local", NODES[1], shutdown=True, remove_instance=True)
        expect("export", self.done("export", job), [True, [True]])
        expect("the instance is gone", self.rapi.GetInstances(), [])
        copy = "copy.example.com"
        job = self.rapi.CreateInstance(
            "import",
            copy,
            "plain",
            [{"size": 128}],
            [{}],
            pnode=NODES[2],
            src_node=NODES[1],
            src_path=TWIN,
        )
        expect("import", self.done("import", job), [NODES[2]])
        expect("the OS of a copy", self.rapi.GetInstance(copy)["os"], "noop+default")
        self.done("delete", self.rapi.DeleteInstance(copy, shutdown_timeout=0))

    def run(self) -> None:
        """All of it."""
        self.script.run()
        parts = "settings nodes groups networks filters queries disks lost moves emptied many exports"
        for part in parts.split():
            getattr(self, part)()
        expect("methods left out", self.rapi.left_out(), [])


if __name__ == "__main__":
    EveryMethod(ganeti_client.Script(int(sys.argv[1]), sys.argv[2], sys.argv[3])).run()
