"""Tests of ``OP_INSTANCE_CREATE``; texts and codes as observed on a real cluster."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from twisted.trial.unittest import SynchronousTestCase

from tests.unit.plan.programs import NAMES, create, op
from twisted_rapi.model.records import GroupRecord, InstanceRecord, NodeRecord, name_key
from twisted_rapi.model.steps import CreateVolume, RunOs, StartDomain
from twisted_rapi.plan.disks import FIRST_PORT, LAST_PORT
from twisted_rapi.testing.cluster import GROUP, NODES
from twisted_rapi.testing.soundness import complaints, picture
from twisted_rapi.testing.world import Ended, World

A, B = NAMES
IN_GROUP = f"Instance allocation to group {GROUP} (default) violates policy: "
AT = "OS Parameters validation failed on node node1.example.com: "

REFUSED: dict[str, tuple[dict[str, Any], list[Any]]] = {
    "hostname": (
        {"instance_name": "a b"},
        ["OpPrereqError", ["Invalid hostname 'a b'", "wrong_input"]],
    ),
    "no hostname": ({"instance_name": ""}, ["OpPrereqError", ["Invalid hostname ''", "wrong_input"]]),
    "path for a name": (
        {"instance_name": "../../etc"},
        ["OpPrereqError", ["Invalid hostname '../../etc'", "wrong_input"]],
    ),
    "address of a name that is not checked": (
        {"nics": [{"ip": "auto"}]},
        [
            "OpPrereqError",
            ["Only a new instance whose name is checked gives its address to a NIC", "wrong_input"],
        ],
    ),
    "ip check": (
        {"ip_check": True},
        ["OpPrereqError", ["Cannot do IP address check without a name check", "wrong_input"]],
    ),
    "iallocator and node": (
        {"iallocator": "hail", "pnode": "node1"},
        ["OpPrereqError", ["Do not specify both, iallocator and node", "wrong_input"]],
    ),
    "opportunistic locking": (
        {"opportunistic_locking": True, "pnode": "node1"},
        ["OpPrereqError", ["Opportunistic locking is for nodes that an allocator chooses", "wrong_input"]],
    ),
    "instance communication": (
        {"instance_communication": True},
        ["OpPrereqError", ["Instance communication is not offered by this release", "wrong_input"]],
    ),
    "file driver": (
        {"file_driver": "blktap"},
        ["OpPrereqError", ["File driver 'blktap' is not offered by this release", "wrong_input"]],
    ),
    "some disks adopted": (
        {"disks": [{"adopt": "a"}, {"size": 1}], "pnode": "node1"},
        ["OpPrereqError", ["Either all disks are adopted or none is", "wrong_input"]],
    ),
    "adopted where an allocator says": (
        {"disks": [{"adopt": "a"}]},
        ["OpPrereqError", ["Disk adoption not allowed with an iallocator script", "wrong_input"]],
    ),
    "no OS": ({"os_type": None}, ["OpPrereqError", ["No guest OS or OS image specified", "wrong_input"]]),
    "no OS without an installation": (
        {"os_type": None, "no_install": True},
        ["OpPrereqError", ["No guest OS or OS image specified", "wrong_input"]],
    ),
    "node": (
        {"pnode": "nosuch"},
        ["OpPrereqError", ["Node 'nosuch' not known", "unknown_entity"]],
    ),
    "hypervisor": (
        {"hypervisor": "kvm"},
        [
            "OpPrereqError",
            ["Selected hypervisor (kvm) not enabled in the cluster (fake)", "wrong_state"],
        ],
    ),
    "template": (
        {"disk_template": "plain"},
        [
            "OpPrereqError",
            [
                (
                    "Disk template 'plain' is not enabled in cluster. "
                    "Enabled disk templates are: file,sharedfile,diskless"
                )
            ],
        ],
    ),
    "diskless with disks": (
        {"disk_template": "diskless"},
        ["OpPrereqError", ["Diskless instances have no disks", "wrong_input"]],
    ),
    "disk without size": (
        {"disks": [{"mode": "rw"}]},
        ["OpPrereqError", ["Missing disk size", "wrong_input"]],
    ),
    "disk size": (
        {"disks": [{"size": "huge"}]},
        ["OpPrereqError", ["Invalid disk size: 'huge' is not a size", "wrong_input"]],
    ),
    "disk mode": (
        {"disks": [{"size": 1, "mode": "x"}]},
        ["OpPrereqError", ["Invalid disk access mode 'x'", "wrong_input"]],
    ),
    "disk parameter": (
        {"disks": [{"size": 1, "colour": "red"}]},
        ["OpPrereqError", ["Unknown disk parameter 'colour'", "wrong_input"]],
    ),
    "too many disks": (
        {"disks": [{"size": 1}] * 17},
        ["OpPrereqError", ["Too many disks: at most 16", "wrong_input"]],
    ),
    "too many NICs": (
        {"nics": [{}] * 9},
        ["OpPrereqError", ["Too many NICs: at most 8", "wrong_input"]],
    ),
    "file storage": (
        {"file_storage_dir": "../up"},
        [
            "OpPrereqError",
            ["File storage directory path not relative or not below its base: '../up'", "wrong_input"],
        ],
    ),
    "absolute file storage": (
        {"file_storage_dir": "/etc"},
        [
            "OpPrereqError",
            ["File storage directory path not relative or not below its base: '/etc'", "wrong_input"],
        ],
    ),
    "mac": (
        {"nics": [{"mac": "zz"}]},
        ["OpPrereqError", ["Invalid MAC address 'zz'", "wrong_input"]],
    ),
    "mac twice": (
        {"nics": [{"mac": "aa:00:00:00:00:01"}, {"mac": "AA:00:00:00:00:01"}]},
        ["OpPrereqError", ["MAC address aa:00:00:00:00:01 already in use in cluster", "already_exists"]],
    ),
    "address": (
        {"nics": [{"ip": "1.2.3"}]},
        ["OpPrereqError", ["Invalid IP address '1.2.3'", "wrong_input"]],
    ),
    "address with a zone": (
        {"nics": [{"ip": "fe80::1%eth0;reboot"}]},
        ["OpPrereqError", ["Invalid IP address 'fe80::1%eth0;reboot'", "wrong_input"]],
    ),
    "routed without address": (
        {"nics": [{"mode": "routed"}]},
        ["OpPrereqError", ["Routed nic mode requires an ip address", "wrong_input"]],
    ),
    "bridge": (
        {"nics": [{"link": "br9"}]},
        ["OpPrereqError", ["Missing bridges on node node1.example.com: br9", "environment_error"]],
    ),
    "backend parameter": ({"beparams": {"foo": 1}}, ["TypeEnforcementError", ["Unknown parameter 'foo'"]]),
    "memory the wrong way round": (
        {"beparams": {"minmem": 256, "maxmem": 128}},
        [
            "OpPrereqError",
            ["Minimum memory (256) is larger than maximum memory (128)", "wrong_input"],
        ],
    ),
    "hypervisor parameter of another": (
        {"hvparams": {"usb_devices": "x"}},
        ["HypervisorError", ["Parameter 'usb_devices' is not supported"]],
    ),
    "policy": (
        {"beparams": {"vcpus": 2**21}, "pnode": "node1"},
        [
            "OpPrereqError",
            [f"{IN_GROUP}cpu-count value 2097152 is not in range [0, 1048576]", "wrong_input"],
        ],
    ),
    "OS": (
        {"os_type": "nosuch", "pnode": "node1"},
        ["OpExecError", [f"{AT}Directory for OS nosuch not found in search path"]],
    ),
    "variant": (
        {"os_type": "noop+nope"},
        ["OpExecError", [f"{AT}OS 'noop' does not support variant 'nope'"]],
    ),
    "OS parameter": (
        {"osparams": {"colour": "red"}},
        ["OpExecError", [f"{AT}The following parameters are not supported by the OS noop: colour"]],
    ),
    "disk space": (
        {"disks": [{"size": "2T"}], "ignore_ipolicy": True, "pnode": "node1"},
        [
            "OpPrereqError",
            [
                (
                    "Not enough disk space on target node node1.example.com: required 2097152 MiB, "
                    "available 1048576 MiB"
                ),
                "insufficient_resources",
            ],
        ],
    ),
    "memory": (
        {"beparams": {"memory": "64G"}, "pnode": "node1"},
        [
            "OpPrereqError",
            [
                (
                    f"Not enough memory on node node1.example.com for instance {A}: needed 65536 MiB, "
                    "available 32768 MiB"
                ),
                "insufficient_resources",
            ],
        ],
    ),
    "tags": ({"tags": ["a b"]}, ["TagError", ["Tag contains invalid characters"]]),
    "group": (
        {"group_name": "nosuch"},
        ["OpPrereqError", ["Node group 'nosuch' not found", "unknown_entity"]],
    ),
    "mode": (
        {"mode": "remote-import"},
        ["OpPrereqError", ["Missing source handshake", "wrong_input"]],
    ),
}


def pair(ended: Ended) -> list[Any] | None:
    """The error as a job shows it."""
    return None if ended.error is None else ended.error.pair()


class PrerequisiteTests(SynchronousTestCase):
    """What is refused beforehand, and that nothing has happened then."""

    def test_refused(self) -> None:
        """Each is refused with its class, text and code; no record, reservation or volume is there."""
        before = picture(World())
        for what, (parameters, error) in REFUSED.items():
            world = World()
            ended = world.run(create(**parameters))
            self.assertEqual(pair(ended), error, what)
            self.assertEqual((picture(world), ended.steps), (before, []), what)

    def test_taken(self) -> None:
        """A name, and a MAC address, is given once; also to one that is still being made."""
        world = World()
        world.run(create(nics=[{"mac": "aa:00:00:00:00:01"}]))
        self.assertEqual(
            pair(world.run(create())),
            ["OpPrereqError", [f"Instance '{A}' is already in the cluster", "already_exists"]],
        )
        second: list[Ended] = []
        world.meanwhile["recorded"] = lambda: second.append(
            world.run(create("c", nics=[{"mac": "aa:00:00:00:00:09"}]), 3)
        )
        world.run(create(B, nics=[{"mac": "aa:00:00:00:00:09"}]), 2)
        self.assertEqual(
            pair(second[0]),
            ["OpPrereqError", ["MAC address aa:00:00:00:00:09 already in use in cluster", "already_exists"]],
        )
        self.assertEqual(complaints(world), [])

    def test_states_of_nodes(self) -> None:
        """A node that is offline, drained, silent or not for instances is not used even if asked for."""
        node = World().of(NodeRecord)[NODES[0]]
        for changes, text, code in (
            ({"offline": True}, "Node 'node1.example.com' is marked offline", "wrong_state"),
            ({"drained": True}, "Cannot use drained primary node 'node1.example.com'", "wrong_state"),
            (
                {"vm_capable": False},
                "Cannot use non-vm_capable primary node 'node1.example.com'",
                "wrong_state",
            ),
            ({}, "Node 'node1.example.com' does not answer", "environment_error"),
        ):
            world = World()
            world.put(replace(node, **changes))
            world.nodes.nodes[NODES[0]].down = not changes
            self.assertEqual(pair(world.run(create(pnode="node1"))), ["OpPrereqError", [text, code]])
            self.assertEqual(world.run(create()).result, ["node2.example.com"])

    def test_blacklisted(self) -> None:
        """An OS the cluster has struck out is not installed."""
        world = World()
        world.put(replace(world.cluster, blacklisted_os=("noop",)))
        self.assertEqual(
            pair(world.run(create())),
            ["OpPrereqError", ["Guest OS 'noop+default' is blacklisted", "wrong_state"]],
        )

    def test_nowhere(self) -> None:
        """Where no node can take it, each says why."""
        world = World()
        world.put(replace(world.of(GroupRecord)[GROUP], alloc_policy="unallocable"))
        world.put(replace(world.of(NodeRecord)[NODES[1]], drained=True))
        reasons = "its group takes no instances"
        error = pair(world.run(create(os_type="noop+alt")))
        self.assertEqual(
            error,
            [
                "OpPrereqError",
                [
                    (
                        f"Can't find a node for instance {A}: node1.example.com: {reasons}; "
                        f"node2.example.com: {reasons}, it is drained; node3.example.com: {reasons}"
                    ),
                    "insufficient_resources",
                ],
            ],
        )


class CreateTests(SynchronousTestCase):
    """How it is carried out."""

    def test_whole(self) -> None:
        """The stages, the log and the result of an ordinary creation, and what is there afterwards."""
        world = World()
        ended = world.run(create(nics=[{"ip": "192.0.2.7"}], tags=["x"], beparams={"memory": "1G"}))
        self.assertEqual((pair(ended), ended.result), (None, ["node1.example.com"]))
        self.assertEqual(ended.stages, ["verified", "recorded", "made", "installed", "shown", "started"])
        self.assertEqual(ended.steps, ["os.verify", "volume.create", "os.run", "domain.start"])
        self.assertEqual(
            ended.log,
            [
                f" - INFO: Selected nodes for instance {A}: node1.example.com",
                "* disk 0, size 64M",
                "* creating instance disks...",
                f"adding instance {A} to cluster config",
                "adding disks to cluster config",
                *[
                    f" - INFO: Waiting for instance {A} to sync disks",
                    f" - INFO: Instance {A}'s disks are in sync",
                ]
                * 2,
                "* running the instance OS create scripts...",
                "* starting instance...",
            ],
        )
        made = world.instance(A)
        self.assertEqual((made.admin_state, made.disks_active, made.pending), ("up", True, None))
        self.assertEqual((made.beparams, made.tags), ({"minmem": 1024, "maxmem": 1024}, ("x",)))
        self.assertEqual(world.names[name_key("mac", made.nics[0].mac)], made.uuid)
        self.assertEqual(world.nodes.nodes[NODES[0]].domains[A].memory, 1024)

    def test_on_a_node(self) -> None:
        """With a node given nothing is told of choosing; not started, it is down and has no domain."""
        world = World()
        ended = world.run(create(pnode="node2", start=False))
        self.assertEqual((ended.result, ended.log[0]), (["node2.example.com"], "* disk 0, size 64M"))
        made = world.instance(A)
        self.assertEqual((made.admin_state, made.disks_active), ("down", False))
        self.assertEqual(world.nodes.nodes[NODES[1]].domains, {})

    def test_no_install(self) -> None:
        """Without installation no script runs and it is not started, whatever was asked for."""
        world = World()
        ended = world.run(create(no_install=True, start=True))
        self.assertEqual(ended.steps, ["volume.create"])
        self.assertEqual(world.instance(A).admin_state, "down")

    def test_diskless(self) -> None:
        """Without disks there is nothing to install on."""
        ended = World().run(create(disk_template="diskless", disks=[]))
        self.assertEqual(ended.steps, ["os.verify", "domain.start"])

    def test_dry_run(self) -> None:
        """A dry run answers the node and has checked OS parameters; nothing else."""
        world = World()
        ended = world.run(create(dry_run=True))
        self.assertEqual((ended.result, ended.steps), ([NODES[0]], ["os.verify"]))

    def test_secrets(self) -> None:
        """Private parameters are kept in the record, secret ones go to the script and nowhere else."""
        world = World()
        world.run(create(osparams_private={"dhcp": "p"}, osparams_secret={"dhcp": "very secret"}))
        run = next(s for s in world.nodes.nodes[NODES[0]].done if isinstance(s, RunOs))
        self.assertEqual(run.domain.osparams["dhcp"], "very secret")
        start = next(s for s in world.nodes.nodes[NODES[0]].done if isinstance(s, StartDomain))
        self.assertNotIn("dhcp", start.domain.osparams)
        self.assertEqual(world.instance(A).osparams_private, {"dhcp": "p"})
        self.assertNotIn("very secret", picture(world))

    def test_defaults_identified(self) -> None:
        """Values that equal the cluster's are dropped if asked for."""
        world = World()
        world.run(create(beparams={"vcpus": 1, "memory": 256}, identify_defaults=True))
        self.assertEqual(world.instance(A).beparams, {"minmem": 256, "maxmem": 256})

    def test_failed_step(self) -> None:
        """The first error counts; what was made has gone and the name is free again."""
        world = World(faults={2: "fails"})
        ended = world.run(create(disks=[{"size": 64}, {"size": 32}]))
        self.assertEqual(pair(ended), ["OpExecError", ["Node node1.example.com: a planted fault"]])
        self.assertEqual(ended.stages, ["verified", "recorded", "failed", "undone"])
        self.assertEqual(ended.log[-1], "Removing what was made")
        world.faults = {}
        self.assertEqual(pair(world.run(create(disks=[{"size": 64}, {"size": 32}]))), None)

    def test_start_fails(self) -> None:
        """An instance that is whole but could not be started stays, to be started again."""
        world = World(faults={3: "fails"})
        ended = world.run(create())
        self.assertEqual(pair(ended), ["OpExecError", ["Node node1.example.com: a planted fault"]])
        self.assertEqual(world.instance(A).admin_state, "up")
        self.assertEqual(complaints(world), [])

    def test_ports(self) -> None:
        """An instance of a hypervisor with consoles has a network port to itself, and gives it back."""
        world = World()
        world.put(replace(world.cluster, enabled_hypervisors=("fake", "kvm")))
        world.nodes.nodes[NODES[0]].hypervisors = {"kvm": "9.0"}
        for name in NAMES:
            self.assertEqual(pair(world.run(create(name, hypervisor="kvm"))), None)
        ports = {world.instance(name).network_port for name in NAMES}
        self.assertEqual(len(ports), 2)
        for port in ports:
            assert port is not None
            self.assertTrue(FIRST_PORT <= port <= LAST_PORT)
            self.assertIn(name_key("port", str(port)), world.names)
        world.run(op("INSTANCE_REMOVE", instance_name=A))
        self.assertEqual((complaints(world), sum("/port/" in key for key in world.names)), ([], 1))

    @settings(max_examples=25)
    @given(st.lists(st.integers(1, 4096), max_size=4), st.integers(0, 3))
    def test_volumes(self, disks: list[int], cards: int) -> None:
        """Disks and NICs are made as asked for, each with its own address."""
        world = World()
        world.run(create(disks=[{"size": s} for s in disks], nics=[{}] * cards))
        made = world.instance(A)
        steps = [s for s in world.nodes.nodes[NODES[0]].done if isinstance(s, CreateVolume)]
        self.assertEqual([s.disk.size for s in steps], disks)
        self.assertEqual([d.size for d in made.disks], disks)
        self.assertEqual(len({n.mac for n in made.nics}), cards)
        for disk in made.disks:
            self.assertTrue(disk.logical_id[1].startswith(f"/files/{A}/{disk.uuid}.file.disk"))
        self.assertIsInstance(made, InstanceRecord)
