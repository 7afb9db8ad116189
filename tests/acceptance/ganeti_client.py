"""
What a script written for Ganeti does, with Ganeti's own unmodified client.

Not a test module: it runs under the system's Python, where Debian installs that client, and exits with 1 and
the reason when an answer is not what such a script expects.  Arguments: port, user, password.
"""

import sys
from typing import Any

from ganeti.rapi import client


class Unexpected(Exception):
    """An answer was not what a client expects."""


def expect(what: str, found: object, wanted: object) -> None:
    """Say what is being looked at, and stop when it is not as wanted."""
    if found != wanted:
        raise Unexpected(f"{what}: {found!r} instead of {wanted!r}")
    print(f"ok: {what}")


class Script:
    """The script's steps; each waits for its job."""

    def __init__(self, port: int, user: str, password: str) -> None:
        self.rapi = client.GanetiRapiClient("127.0.0.1", port=port, username=user, password=password)

    def done(self, what: str, job: Any) -> Any:
        """Wait for the job, which must succeed, and give the result of its last opcode."""
        if not self.rapi.WaitForJobCompletion(job, period=0.05, retries=600):
            raise Unexpected(f"{what}: job {job} ended as {self.rapi.GetJobStatus(job)!r}")
        print(f"ok: {what} (job {job})")
        return self.rapi.GetJobStatus(job)["opresult"][-1]

    def cluster(self) -> None:
        """Versions, facts and features."""
        expect("version", self.rapi.GetVersion(), 2)
        info = self.rapi.GetInfo()
        nodes = self.rapi.GetNodes()
        expect("the master is a node", info["master"] in nodes, True)
        expect("features", "instance-create-reqv1" in self.rapi.GetFeatures(), True)
        expect("an OS", "noop+default" in self.rapi.GetOperatingSystems(), True)
        expect("groups", self.rapi.GetGroups(), ["default"])
        self.node = nodes[0]
        expect("role", self.rapi.GetNodeRole(info["master"]), "master")

    def create(self) -> None:
        """A diskless instance placed by the cluster, and one with a file on a given node."""
        job = self.rapi.CreateInstance("create", "bare.example.com", "diskless", [], [], os="noop+default")
        self.done("create diskless", job)
        job = self.rapi.CreateInstance(
            "create",
            "web1.example.com",
            "file",
            [{"size": 32}],
            [{"mode": "bridged"}],
            os="noop+default",
            pnode=self.node,
            beparams={"minmem": 128, "maxmem": 128, "vcpus": 1},
        )
        expect("result of create", self.done("create file", job), [self.node])
        expect("names", self.rapi.GetInstances(), ["bare.example.com", "web1.example.com"])
        bulk = {i["name"]: i for i in self.rapi.GetInstances(bulk=True)}
        expect("status", bulk["web1.example.com"]["status"], "running")
        expect("disks", bulk["web1.example.com"]["disk.sizes"], [32])
        one = self.rapi.GetInstance("web1.example.com")
        expect("one as in bulk", one["uuid"], bulk["web1.example.com"]["uuid"])
        expect("primary node", one["pnode"], self.node)

    def tags(self) -> None:
        """Tags of everything that has them."""
        self.done("tag", self.rapi.AddInstanceTags("web1.example.com", ["a:b", "c"]))
        expect("tags", sorted(self.rapi.GetInstanceTags("web1.example.com")), ["a:b", "c"])
        self.done("untag", self.rapi.DeleteInstanceTags("web1.example.com", ["c"]))
        expect("tags left", self.rapi.GetInstanceTags("web1.example.com"), ["a:b"])
        self.done("tag cluster", self.rapi.AddClusterTags(["demo"]))
        expect("cluster tags", self.rapi.GetClusterTags(), ["demo"])
        self.done("untag cluster", self.rapi.DeleteClusterTags(["demo"]))
        self.done("tag node", self.rapi.AddNodeTags(self.node, ["rack1"]))
        expect("node tags", self.rapi.GetNodeTags(self.node), ["rack1"])
        self.done("untag node", self.rapi.DeleteNodeTags(self.node, ["rack1"]))

    def power(self) -> None:
        """Down, up, again, and the console."""
        self.done("shutdown", self.rapi.ShutdownInstance("web1.example.com"))
        expect("status", self.rapi.GetInstance("web1.example.com")["status"], "ADMIN_down")
        try:
            self.rapi.GetInstanceConsole("web1.example.com")
        except client.GanetiApiError as e:
            expect("console of a stopped instance", e.code, 503)
        else:
            raise Unexpected("a stopped instance has a console")
        self.done("startup", self.rapi.StartupInstance("web1.example.com"))
        self.done("reboot", self.rapi.RebootInstance("web1.example.com", reboot_type="hard"))
        expect("status", self.rapi.GetInstance("web1.example.com")["status"], "running")
        console = self.rapi.GetInstanceConsole("web1.example.com")
        expect("console", console["instance"], "web1.example.com")
        info = self.done("info", self.rapi.GetInstanceInfo("web1.example.com"))
        expect("run state", info["web1.example.com"]["run_state"], "up")

    def modify(self) -> None:
        """Memory, CPUs, a NIC, a disk."""
        change = {"beparams": {"minmem": 256, "maxmem": 256, "vcpus": 2}}
        result = self.done("modify", self.rapi.ModifyInstance("web1.example.com", **change))
        expect("what was modified", ["be/vcpus", 2] in result, True)
        self.done("stop to modify", self.rapi.ShutdownInstance("web1.example.com"))
        self.done(
            "add NIC", self.rapi.ModifyInstance("web1.example.com", nics=[["add", {"mode": "bridged"}]])
        )
        self.done("add disk", self.rapi.ModifyInstance("web1.example.com", disks=[["add", {"size": 16}]]))
        one = self.rapi.GetInstance("web1.example.com")
        expect("memory", one["beparams"]["maxmem"], 256)
        expect("NICs", len(one["nic.macs"]), 2)
        expect("disks", one["disk.sizes"], [32, 16])
        self.done("remove NIC", self.rapi.ModifyInstance("web1.example.com", nics=[["remove", {}]]))
        self.done("remove disk", self.rapi.ModifyInstance("web1.example.com", disks=[["remove", {}]]))
        one = self.rapi.GetInstance("web1.example.com")
        expect("after removal", [len(one["nic.macs"]), one["disk.sizes"]], [1, [32]])

    def rename(self) -> None:
        """Another name, and the OS again."""
        job = self.rapi.RenameInstance("web1.example.com", "web2.example.com")
        expect("result of rename", self.done("rename", job), "web2.example.com")
        expect("names", self.rapi.GetInstances(), ["bare.example.com", "web2.example.com"])
        self.done("reinstall", self.rapi.ReinstallInstance("web2.example.com", os="noop+alt"))
        expect("os", self.rapi.GetInstance("web2.example.com")["os"], "noop+alt")
        self.done("deactivate disks", self._stopped_disks())

    def _stopped_disks(self) -> Any:
        self.done("stop", self.rapi.ShutdownInstance("web2.example.com"))
        self.done("activate disks", self.rapi.ActivateInstanceDisks("web2.example.com"))
        return self.rapi.DeactivateInstanceDisks("web2.example.com")

    def jobs(self) -> None:
        """The list, one that fails, one that cannot be cancelled any more."""
        ids = self.rapi.GetJobs()
        expect("ids are in order", ids, sorted(ids))
        expect("bulk", [j["id"] for j in self.rapi.GetJobs(bulk=True)], ids)
        expect("cancel of an ended job", self.rapi.CancelJob(ids[0])[0], False)
        job = self.rapi.StartupInstance("nosuch.example.com")
        expect("job of an unknown instance", self.rapi.WaitForJobCompletion(job, period=0.05), False)
        error = self.rapi.GetJobStatus(job)["opresult"][0]
        expect("its error", [error[0], error[1][1]], ["OpPrereqError", "unknown_entity"])
        change = self.rapi.WaitForJobChange(job, ["status"], None, None)
        expect("change", change["job_info"], ["error"])

    def remove(self) -> None:
        """Everything made is removed."""
        for name in self.rapi.GetInstances():
            self.done("delete", self.rapi.DeleteInstance(name))
        expect("nothing is left", self.rapi.GetInstances(), [])

    def run(self) -> None:
        """All of it."""
        for part in ("cluster", "create", "tags", "power", "modify", "rename", "jobs", "remove"):
            getattr(self, part)()


if __name__ == "__main__":
    Script(int(sys.argv[1]), sys.argv[2], sys.argv[3]).run()
