"""Looking whether all is as it should be."""

from typing import Any

from msgspec.structs import replace
from twisted.trial.unittest import SynchronousTestCase

from tests.unit.plan.templates import A, world_with
from twisted_rapi.errors import StepFailed
from twisted_rapi.model.opcodes import Opcode, from_wire
from twisted_rapi.model.records import DiskRecord, InstanceRecord, NicRecord, NodeRecord
from twisted_rapi.model.seen import CertificateSeen, DomainSeen, OsSeen
from twisted_rapi.model.steps import ListVolumes
from twisted_rapi.plan.stage import Finish, Progress
from twisted_rapi.plan.verify import plan_verify
from twisted_rapi.testing.cluster import NODES, NOW
from twisted_rapi.testing.world import World


def op(name: str, **values: Any) -> Opcode:
    """An opcode."""
    return from_wire({"OP_ID": f"OP_CLUSTER_VERIFY{name}", **values})


class VerifyCase(SynchronousTestCase):
    """Has a world with a running instance on node1."""

    def setUp(self) -> None:
        self.world = World()
        self.web = self.have("web", "i1", admin_state="up")
        self.run_on(NODES[0], self.web)

    def have(self, name: str, uuid: str, **values: Any) -> InstanceRecord:
        """An instance that is recorded."""
        given = {"hypervisor": "fake", "disk_template": "file", "primary_node": NODES[0], **values}
        record = InstanceRecord(uuid=uuid, name=name, **given)
        self.world.put(record)
        return record

    def run_on(self, node: str, instance: InstanceRecord) -> None:
        """It runs there."""
        self.world.nodes.nodes[node].domains[instance.name] = DomainSeen(
            name=instance.name, uuid=instance.uuid, hypervisor="fake", state="running", memory=128
        )

    def good(self, role: str, days: float) -> CertificateSeen:
        """A certificate that is good for so many days."""
        return CertificateSeen(role=role, path=f"/{role[0].lower()}.pem", expires=NOW + days * 86400)

    def change(self, node: str, **values: Any) -> None:
        """A node's record has these values."""
        self.world.put(replace(self.world.of(NodeRecord)[node], **values))

    def lines(self, name: str, well: bool, **values: Any) -> list[str]:
        """What was found, without the heads; and whether all is well."""
        ended = self.world.run(op(name, **values))
        self.assertIsNone(ended.error)
        found = [line for line in ended.log if not line.startswith("* ")]
        self.assertEqual(ended.result, well, found)
        return found

    def config(self, *wanted: str, **values: Any) -> None:
        """Each of these is a part of a line about the configuration, and there is no other."""
        self.match(self.lines("_CONFIG", not wanted, **values), wanted)

    def group(self, *wanted: str, **values: Any) -> None:
        """Each of these is a part of a line about the group's state, and there is no other error."""
        found = self.lines("_GROUP", not wanted, group_name="default", **values)
        self.match([line for line in found if "NOTICE" not in line], wanted)

    def match(self, lines: list[str], wanted: tuple[str, ...]) -> None:
        """Lines and parts of them, in order."""
        self.assertEqual(len(lines), len(wanted), lines)
        for line, part in zip(lines, wanted, strict=True):
            self.assertIn(part, line)


class ConfigurationTests(VerifyCase):
    """The records."""

    def test_well(self) -> None:
        """Records that fit together: no line but the heads."""
        self.config()
        heads = self.world.run(op("_CONFIG")).log
        self.assertEqual(
            heads,
            [
                "* Verifying cluster config",
                "* Verifying cluster certificate files",
                "* Verifying hypervisor parameters",
                "* Verifying all nodes belong to an existing group",
            ],
        )

    def test_master(self) -> None:
        """The master is one of the nodes, a candidate and not offline."""
        self.change(NODES[0], master_candidate=False)
        self.config("ERROR: cluster: the master node1.example.com is no candidate")

    def test_not_enabled(self) -> None:
        """What instances use is enabled."""
        self.have("db", "i2", hypervisor="kvm", disk_template="plain")
        self.config("instance db: 'kvm' is not enabled", "instance db: 'plain' is not enabled")

    def test_doubles(self) -> None:
        """What only one may have is had by one."""
        nic = NicRecord(uuid="n", mac="aa:00:00:00:00:01", ip="192.0.2.1", network="net")
        self.have("a", "i2", nics=(nic,), network_port=11000)
        self.have("b", "i3", nics=(nic,), network_port=11000)
        self.config("MAC address aa:00:00:00:00:01", "port 11000", "192.0.2.1")

    def test_parameters(self) -> None:
        """Parameters of hypervisors are known ones."""
        self.have("a", "i2", hvparams={"odd": 1})
        self.world.put(replace(self.world.cluster, hvparams={"fake": {"odder": 1}}))
        self.config("hypervisor fake: Unknown parameter 'odder'", "instance a: Unknown parameter 'odd'")

    def test_dangling(self) -> None:
        """Nodes are in groups, and instances on nodes, that exist."""
        self.change(NODES[2], group="gone")
        self.have("a", "i2", secondary_nodes=("gone",), disk_template="sharedfile")
        self.config("node node3.example.com: it is in a group", "instance a: it is on a node")

    def test_certificates(self) -> None:
        """What expires soon is warned of, what does very soon, or cannot be read, is an error."""
        for days, wanted in (
            (31, ""),
            (29, "  - WARNING:ECLUSTERCERT:cluster::the certificate of the API in /a.pem expires in 29 days"),
            (6, "  - ERROR:ECLUSTERCERT:cluster::the certificate of the API in /a.pem expires in 6 days"),
            (-1, "  - ERROR:ECLUSTERCERT:cluster::the certificate of the API in /a.pem has expired"),
        ):
            self.world.certificates = (self.good("API", days),)
            found = self.lines("_CONFIG", days > 7, error_codes=True)
            self.assertEqual(found, [wanted] if wanted else [])
        self.world.certificates = (CertificateSeen(role="master", path="/m.pem", invalid="no such file"),)
        self.config("the certificate of the master in /m.pem cannot be used: no such file")

    def test_codes(self) -> None:
        """Codes are shown where asked for; what is to be ignored is a warning, and well."""
        self.change(NODES[0], master_candidate=False)
        [line] = self.lines("_CONFIG", False, error_codes=True)
        self.assertTrue(line.startswith("  - ERROR:ECLUSTERCFG:cluster::the master"), line)
        [line] = self.lines("_CONFIG", True, ignore_errors=["ECLUSTERCFG"])
        self.assertTrue(line.startswith("  - WARNING: cluster: "), line)


class GroupTests(VerifyCase):
    """Nodes and what runs on them."""

    def test_well(self) -> None:
        """All as it should be; what is good to know is told."""
        self.group()
        log = self.world.run(op("_GROUP", group_name="default")).log
        self.assertEqual(log[:2], ["* Verifying group 'default'", "* Gathering data (3 nodes)"])
        self.assertEqual(log[-2:], ["* Other Notes", "  - NOTICE: 1 non-redundant instance(s) found."])

    def test_nodes(self) -> None:
        """Nodes answer, with hypervisors and valid OS definitions; offline ones need not."""
        self.world.nodes.nodes[NODES[1]].down = True
        self.world.nodes.nodes[NODES[2]].hypervisors = {}
        self.world.nodes.nodes[NODES[2]].oses = (OsSeen(name="x", path="/x", invalid="no"),)
        self.group("node2.example.com: it does not answer", "hypervisors without an answer: fake", "x")
        self.change(NODES[1], offline=True)
        self.change(NODES[2], offline=True, drained=True)
        self.group()
        notes = self.lines("_GROUP", True, group_name="default")
        self.assertIn("  - NOTICE: 2 offline node(s) found.", notes)
        self.assertIn("  - NOTICE: 1 drained node(s) found.", notes)

    def test_running(self) -> None:
        """What should run does, on its node; what should not does not."""
        down = self.have("down", "i2")
        self.run_on(NODES[0], down)
        self.have("up", "i3", admin_state="up")
        self.run_on(NODES[1], self.web)
        self.group(
            "instance down: it runs on node1.example.com, and should be down",
            "instance up: it does not run on node1.example.com",
            "instance web: it runs on node2.example.com",
        )

    def test_offline_node(self) -> None:
        """An instance on an offline node cannot be up."""
        self.change(NODES[0], offline=True)
        self.world.nodes.nodes[NODES[0]].down = True
        self.group("instance web: it is on the offline node")

    def test_orphan(self) -> None:
        """A domain of no instance is told of."""
        stray = InstanceRecord(
            uuid="s", name="stray", hypervisor="fake", disk_template="file", primary_node=NODES[1]
        )
        self.run_on(NODES[1], stray)
        self.group("node node2.example.com: 'stray' runs there and is no instance")

    def test_disks(self) -> None:
        """Disks that are missing are told of."""
        path = "/files/web/0"
        self.world.put(replace(self.web, disks=(DiskRecord(uuid="d", size=4, logical_id=("loop", path)),)))
        self.group("instance web: disk/0 is missing")
        self.world.nodes.nodes[NODES[0]].volumes[path] = 4
        self.group()

    def test_certificates(self) -> None:
        """Those of agents that answer and are not offline."""
        for uuid in NODES:
            self.world.nodes.nodes[uuid].certificates = (self.good("authority", 5), self.good("node", 50))
        self.world.nodes.nodes[NODES[1]].certificates = (self.good("node", 3),)
        self.change(NODES[2], offline=True)
        self.group(
            "ERROR:ECLUSTERCERT:node:node1.example.com:the certificate of the authority in /a.pem expires",
            "ERROR:ECLUSTERCLIENTCERT:node:node2.example.com:the certificate of the node in /n.pem expires",
            error_codes=True,
        )
        self.world.nodes.nodes[NODES[0]].certificates = (self.good("node", 20),)
        self.world.nodes.nodes[NODES[1]].certificates = ()
        found = self.lines("_GROUP", True, group_name="default")
        self.assertIn("WARNING: node node1.example.com: the certificate of the node", found[0])

    def test_volumes(self) -> None:
        """Volumes of the cluster's group that are nobody's are told of, others and reserved ones are not."""
        self.world.put(
            replace(
                self.world.cluster,
                volume_group_name="xenvg",
                enabled_disk_templates=("plain", "file"),
                reserved_lvs=("xenvg/root", "xenvg/swap.*", "(broken"),
            )
        )
        own = DiskRecord(uuid="d", size=4, dev_type="plain", logical_id=("xenvg", "own"))
        self.have("db", "i2", disk_template="plain", disks=(own,))
        shelf = self.world.nodes.nodes[NODES[0]].shelf
        for name in ("xenvg/own", "xenvg/root", "xenvg/swap1", "othervg/stray"):
            shelf.write(name, {"size": 4})
        self.group()
        for name in ("xenvg/stray", "xenvg/roots"):
            shelf.write(name, {"size": 4})
        self.world.nodes.nodes[NODES[1]].shelf.write("xenvg/own", {"size": 4})
        self.group(
            "ERROR:ENODEORPHANLV:node:node1.example.com:volume xenvg/roots is unknown",
            "ERROR:ENODEORPHANLV:node:node1.example.com:volume xenvg/stray is unknown",
            "ERROR:ENODEORPHANLV:node:node2.example.com:volume xenvg/own is unknown",
            error_codes=True,
        )

    def test_volumes_not_seen(self) -> None:
        """A node that cannot tell of its volumes is an error; without volume groups nothing is asked."""
        fault = StepFailed("no", "storage")
        self.world.nodes.nodes[NODES[1]].faults[ListVolumes] = [fault]
        self.group()
        self.world.put(
            replace(self.world.cluster, volume_group_name="xenvg", enabled_disk_templates=("drbd", "file"))
        )
        self.group("ENODELVM:node:node2.example.com:its volumes could not be listed", error_codes=True)

    def test_mirrored_volumes(self) -> None:
        """Both sides of a mirrored disk are its instance's."""
        world = world_with("drbd")
        ended = world.run(op("_GROUP", group_name="default"))
        self.assertEqual([line for line in ended.log if "ERROR" in line], [])
        data = "/".join(world.instance(A).disks[0].children[0].logical_id)
        for node in (NODES[0], NODES[2]):
            world.nodes.nodes[node].shelf.write(data, {"size": 640})
        ended = world.run(op("_GROUP", group_name="default"))
        [line] = [line for line in ended.log if "ERROR" in line]
        self.assertEqual(line, f"  - ERROR: node node3.example.com: volume {data} is unknown")

    def test_detached_volumes(self) -> None:
        """Volumes of disks that no instance has are the cluster's all the same."""
        for template in ("plain", "drbd"):
            world = world_with(template, start=False)
            detach = from_wire(
                {"OP_ID": "OP_INSTANCE_SET_PARAMS", "instance_name": A, "disks": [["detach", 0, {}]]}
            )
            self.assertIsNone(world.run(detach).error)
            ended = world.run(op("_GROUP", group_name="default"))
            self.assertEqual([line for line in ended.log if "ERROR" in line], [])

    def test_memory(self) -> None:
        """A secondary node has to have room for what it would take over, unless that is skipped."""
        mirrored = {"disk_template": "drbd", "secondary_nodes": (NODES[1],), "admin_state": "up"}
        for n in range(2):
            large = self.have(f"large{n}", f"l{n}", beparams={"minmem": 20000, "maxmem": 20000}, **mirrored)
            self.run_on(NODES[0], large)
        self.group("node node2.example.com: not enough memory to take over from node1.example.com")
        self.group(skip_checks=["nplusone_mem"])
        self.world.put(replace(large, beparams={**large.beparams, "auto_balance": False}))
        self.group()


class SubmittingTests(VerifyCase):
    """Jobs for all of it."""

    def jobs(self, **values: Any) -> list[list[dict[str, Any]]]:
        """What the opcode submits."""
        found = plan_verify(op("", **values), Progress(), self.world.view())  # type: ignore[arg-type]
        assert isinstance(found, Finish)
        return [[{"OP_ID": o.OP_ID, "depends": o.depends} for o in job] for job in found.jobs]

    def test_all(self) -> None:
        """The configuration first, then each group, which waits for it."""
        self.assertEqual(
            self.jobs(),
            [
                [{"OP_ID": "OP_CLUSTER_VERIFY_CONFIG", "depends": None}],
                [{"OP_ID": "OP_CLUSTER_VERIFY_GROUP", "depends": [(-1, [])]}],
            ],
        )

    def test_one(self) -> None:
        """Of a single group only its own; one that does not exist is an error."""
        self.assertEqual(self.jobs(group_name="default")[0][0]["OP_ID"], "OP_CLUSTER_VERIFY_GROUP")
        error = self.world.run(op("", group_name="nosuch")).error
        assert error is not None
        self.assertEqual(error.code, "unknown_entity")
