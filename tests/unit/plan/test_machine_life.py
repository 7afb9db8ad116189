"""Tests of `twisted_rapi.plan.machine_life` and `machine_draft`."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from twisted.trial.unittest import SynchronousTestCase

from tests.unit.plan.definitions import DISK, NIC, UUID, an_image, definition
from tests.unit.plan.programs import op
from tests.unit.plan.templates import made, world_of
from twisted_rapi.errors import JobError
from twisted_rapi.model.records import InstanceRecord
from twisted_rapi.plan.locks import Lock
from twisted_rapi.plan.machine import domain_spec
from twisted_rapi.plan.table import locks_for
from twisted_rapi.testing.cluster import NODES
from twisted_rapi.testing.ended import Ended

TWO = DISK.format("vms/new1_sda", "sda") + DISK.format("vms/new1_sdb", "sdb")


class MachineTests(SynchronousTestCase):
    """Machines are made, replaced and forgotten as their definitions say."""

    def setUp(self) -> None:
        self.world = world_of()
        an_image(self.world)

    def define(self, xml: str = "", **more: Any) -> Ended:
        """Define a machine."""
        return self.world.run(op("MACHINE_DEFINE", xml=xml or definition(), **more))

    def defined(self, xml: str = "", **more: Any) -> InstanceRecord:
        """A machine that is defined."""
        ended = self.define(xml, **more)
        self.assertIsNone(ended.error)
        return self.world.instance("new1")

    def modify(self, xml: str) -> str:
        """Replace its definition; answers the error."""
        ended = self.world.run(op("MACHINE_MODIFY", instance_name="new1", xml=xml))
        return "" if ended.error is None else ended.error.text

    def refused(self, xml: str = "", **more: Any) -> str:
        """Why a definition is refused; nothing is changed."""
        before = dict(self.world.records)
        error = self.define(xml, **more).error
        self.assertIsInstance(error, JobError)
        self.assertEqual(self.world.records, before)
        return "" if error is None else error.text

    # Defining.

    def test_defined(self) -> None:
        """What the common model knows is read; the definition is kept, with the disk's serial number."""
        found = self.defined(node_name="node2", tags=["web"], protected_tags=["prod"], node_selector="load")
        [disk], [nic] = found.disks, found.nics
        self.assertEqual((found.uuid, found.primary_node, found.admin_state), (UUID, NODES[1], "down"))
        self.assertEqual((disk.dev_type, disk.logical_id, disk.size), ("rbd", ("vms", "new1_sda"), 1024))
        self.assertEqual((nic.mac, nic.params["link"]), ("52:54:00:00:06:01", "vmbr100"))
        self.assertEqual(found.beparams, {"maxmem": 512, "minmem": 512, "vcpus": 2})
        self.assertEqual(found.tags, ("prod", "web"))
        machine = self.world.view().machine(UUID)
        self.assertIn(f"<serial>{disk.uuid[:20]}</serial>", machine.xml)
        self.assertIn('<watchdog model="i6300esb"', machine.xml)
        self.assertEqual((machine.node_selector, machine.protected_tags), ("load", ("prod",)))
        self.assertEqual(domain_spec(self.world.view(), found).base, machine.xml)

    def test_hypervisor(self) -> None:
        """The definition wins over what the cluster says of all machines of its hypervisor."""
        more = {"kvm": {"vnc_bind_address": "0.0.0.0", "kernel_path": "/k"}}
        enabled = ("kvm",)
        self.world.put(
            replace(self.world.cluster, default_hypervisor="kvm", enabled_hypervisors=enabled, hvparams=more)
        )
        for node in self.world.nodes.nodes.values():
            node.hypervisors = {"kvm": "8.0"}
        found = self.defined()
        self.assertEqual(
            {name: found.hvparams[name] for name in ("vnc_bind_address", "kernel_path", "cpu_cores")},
            {"vnc_bind_address": "", "kernel_path": "", "cpu_cores": 2},
        )
        self.assertNotIn("acpi", found.hvparams)

    def test_chosen(self) -> None:
        """Without a node the one with most free memory is taken, of those it is limited to."""
        self.assertIsNone(self.world.run(made("diskless", pnode="node1")).error)
        self.assertEqual(self.defined().primary_node, NODES[1])
        self.world.run(op("MACHINE_UNDEFINE", instance_name="new1"))
        self.assertEqual(self.defined(node_limit=["node1"]).primary_node, NODES[0])

    def test_missing_disk(self) -> None:
        """A disk that is not there yet is warned of, and has no size."""
        ended = self.define(definition(devices=TWO))
        self.assertIn("vms/new1_sdb was not found", "".join(ended.log))
        self.assertEqual([disk.size for disk in self.world.instance("new1").disks], [1024, 0])

    def test_silent_node(self) -> None:
        """A node that does not answer can be given: nothing is made there."""
        self.world.nodes.nodes[NODES[1]].down = True
        self.assertEqual(self.defined(node_name="node2").primary_node, NODES[1])

    def test_refused(self) -> None:
        """What cannot be is refused with a reason, and where it is."""
        for xml, why in (
            ("<domain>\n<a></domain>", "mismatched tag, line 2"),
            ("<network/>", "not of <domain>"),
            (definition().replace("kvm'", "xen'"), "'xen'"),
            (definition("New1"), "'new1' would be"),
            (definition("a b"), "Invalid hostname"),
            (definition("77777777-7777-4777-8777-777777777777"), "another machine's UUID"),
            (definition(uuid="x"), "no UUID"),
            (definition(memory="<memory unit='pages'>5</memory>"), "no size"),
            (definition(memory=""), "<memory> is missing"),
            (definition(memory="<memory unit='TiB'>900</memory>"), "No node"),
            (definition(vcpu="<vcpu>two</vcpu>"), "no number"),
            (definition(vcpu="<vcpu current='4'>2</vcpu>"), "4 of 2"),
            (definition(devices=DISK.format("a/b/c", "sda")), "no image"),
            (definition(devices=DISK.format("-x/--y", "sda")), "no image"),
            (definition(devices=DISK.format("vms/a", "sda") * 2), "twice"),
            (definition(devices=NIC.format("52:54:00:00:06:01", "b") * 2), "two NICs"),
            (definition(devices=NIC.format("53:54:00:00:06:01", "b")), "no address"),
            (definition(devices=NIC.format("", "") * 1), "names it"),
            (definition(devices=NIC.format("", "b") * 9), "8 NICs"),
            (definition(more=f"<x a='{30000 * chr(34)}'/>"), "canonical form"),
        ):
            self.assertIn(why, self.refused(xml), xml)
        self.assertIn("'nope'", self.refused(node_name="nope"))
        self.assertIn("'nope'", self.refused(node_limit=["nope"]))

    def test_twice(self) -> None:
        """Neither name, UUID, disk nor MAC address is had by two."""
        self.defined()
        other = "77777777-7777-4777-8777-777777777777"
        text = "Specified VM 'new1' or UUID '{}' matches an existing VM on the cluster"
        self.assertEqual(self.refused(), text.format(UUID))
        self.assertEqual(self.refused(definition(uuid=other)), text.format(other))
        self.assertIn("matches an existing", self.refused(definition("new2")))
        self.assertIn("'new1'", self.refused(definition("new2", other)))
        nic = definition("new2", other, devices=NIC.format("52:54:00:00:06:01", "b"))
        self.assertIn("already in use", self.refused(nic))

    def test_reserved(self) -> None:
        """An image is reserved, so of definitions that are judged at the same time one has it."""
        self.defined()
        key = "name/rbd/vms/new1_sda"
        self.assertIn(key, self.world.names)
        self.assertEqual(self.modify(definition(devices="")), "")
        self.assertNotIn(key, self.world.names)

    def test_locks(self) -> None:
        """Who is to have an image waits for whoever is to have or to remove it."""
        change = op("CEPH_CHANGE", change="volume.remove", pool="vms", volume="new1_sda")
        define, other = op("MACHINE_DEFINE", xml=definition()), definition("new2")
        locks = [set(locks_for(each, self.world.view())) for each in (define, change)]
        locks.append(set(locks_for(op("MACHINE_MODIFY", instance_name="a", xml=other), self.world.view())))
        self.assertIn(Lock("cluster", "volume/rbd/vms/new1_sda"), set.intersection(*locks))

    def test_detached(self) -> None:
        """A detached disk that a definition names is attached, so nobody removes it from under the guest."""
        before = set(self.world.names)
        for template in ("file", "sharedfile", "rbd"):
            self.assertIsNone(self.world.run(made(template, "old1", start=False)).error)
            [disk] = self.world.instance("old1").disks
            changes = op("INSTANCE_SET_PARAMS", instance_name="old1", disks=[["detach", 0, {}]])
            self.assertIsNone(self.world.run(changes).error, template)
            place = "/".join(disk.logical_id) if template == "rbd" else disk.logical_id[1]
            file = f'<disk type="file"><source file="{place}"/><target dev="vda" bus="virtio"/></disk>'
            xml = definition(devices=DISK.format(place, "sda") if template == "rbd" else file)
            found = self.defined(xml, node_name="node1")
            self.assertEqual(([d.uuid for d in found.disks], self.world.detached), ([disk.uuid], {}))
            for name, with_disks in (("new1", True), ("old1", False)):
                gone = op("MACHINE_UNDEFINE", instance_name=name, delete_disks=with_disks)
                self.assertIsNone(self.world.run(gone).error)
            self.assertEqual(set(self.world.names), before)

    def test_about_to_go(self) -> None:
        """What is removed, or stopped, as soon as a node answers again is not had by a new machine."""
        self.defined(node_name="node2")
        self.world.nodes.nodes[NODES[1]].down = True
        self.assertIsNone(
            self.world.run(op("INSTANCE_REMOVE", instance_name="new1", ignore_failures=True)).error
        )
        self.assertIn("may still run on node 'node2.", self.refused(node_name="node1"))
        other = definition("new2", "77777777-7777-4777-8777-777777777777")
        self.assertIn("is about to be removed", self.refused(other, node_name="node1"))
        self.world.nodes.nodes[NODES[1]].down = False
        self.world.settle()
        self.defined(node_name="node1")

    def test_not_enabled(self) -> None:
        """Disks of a kind that the cluster does not keep are refused."""
        self.world.put(replace(self.world.cluster, enabled_disk_templates=("file", "diskless")))
        self.assertIn("'rbd' is not enabled", self.refused())

    def test_other_disks(self) -> None:
        """Files below the cluster's folders and devices are disks; others are in the definition only."""
        folder = self.world.cluster.file_storage_dir
        file = '<disk type="file" device="disk"><source file="{}"/><target dev="vda" bus="virtio"/></disk>'
        found = self.defined(definition(devices=file.format(f"{folder}/a") + file.format("/etc/b")))
        self.assertEqual([(d.dev_type, d.logical_id[1]) for d in found.disks], [("file", f"{folder}/a")])
        ended = self.world.run(op("MACHINE_UNDEFINE", instance_name="new1", delete_disks=True))
        self.assertIsNone(ended.error)
        ended = self.define(definition(devices=file.format(f"{folder}/../../etc/b")))
        self.assertIn("1 of the disks are in the definition only", "".join(ended.log))
        self.assertEqual(self.world.instance("new1").disk_template, "diskless")

    # Replacing.

    def test_replaced(self) -> None:
        """The common model follows; disks and NICs that stay are the same, others are let go of."""
        before = self.defined()
        an_image(self.world, "vms/new1_sdb", 2048)
        more = definition(
            devices=TWO + NIC.format("52:54:00:00:06:01", "br9"), memory="<memory>4096</memory>"
        )
        self.assertEqual(self.modify(more), "")
        after = self.world.instance("new1")
        self.assertEqual(after.disks[0], before.disks[0])
        self.assertEqual((after.disks[1].size, after.beparams["maxmem"]), (2048, 4))
        self.assertEqual(after.nics[0].uuid, before.nics[0].uuid)
        self.assertEqual(after.nics[0].params["link"], "br9")
        self.assertEqual(self.modify(definition(devices="")), "")
        self.assertEqual((self.world.instance("new1").disk_template, self.world.detached), ("diskless", {}))
        self.assertNotIn("name/mac/52:54:00:00:06:01", self.world.names)

    def test_another_image(self) -> None:
        """A disk that a definition has elsewhere is another, though it has the number of the one before."""
        [disk] = self.defined().disks
        an_image(self.world, "vms/restored", 2048)
        xml = self.world.view().machine(UUID).xml
        self.assertEqual(self.modify(xml.replace("vms/new1_sda", "vms/restored")), "")
        [now] = self.world.instance("new1").disks
        self.assertEqual((now.logical_id, now.size), (("vms", "restored"), 2048))
        self.assertNotEqual(now.uuid, disk.uuid)
        xml = self.world.view().machine(UUID).xml
        self.assertIn(f"<serial>{now.uuid[:20]}</serial>", xml)
        self.assertNotIn(disk.uuid[:20], xml)

    def test_not_replaced(self) -> None:
        """A definition of another machine, or a bad one, changes nothing."""
        self.defined()
        before = dict(self.world.records)
        other = "77777777-7777-4777-8777-777777777777"
        self.assertIn("is to be renamed first", self.modify(definition("new2")))
        self.assertIn(other, self.modify(definition(uuid=other)))
        self.assertIn("line 1", self.modify("<a"))
        self.assertEqual(self.world.records, before)

    def test_made_by_rapi(self) -> None:
        """A machine that RAPI made gets a base; the disks it loses are detached, not forgotten."""
        ended = self.world.run(made("file", "new1", start=False))
        self.assertIsNone(ended.error)
        uuid, [disk] = self.world.instance("new1").uuid, self.world.instance("new1").disks
        marked = (
            f'<disk type="file"><source file="{disk.logical_id[1]}"/><serial>{disk.uuid[:20]}</serial></disk>'
        )
        self.assertEqual(self.modify(definition(uuid=uuid, devices=marked)), "")
        self.assertEqual(self.world.instance("new1").disks, (disk,))
        self.assertEqual(self.modify(definition(uuid=uuid, devices="")), "")
        self.assertEqual([record.disk.uuid for record in self.world.detached.values()], [disk.uuid])

    # Forgetting.

    def test_undefined(self) -> None:
        """It is stopped at once, and its image stays; nothing of it is reserved any more."""
        names = dict(self.world.names)
        self.defined()
        self.world.run(op("INSTANCE_STARTUP", instance_name="new1"))
        ended = self.world.run(op("MACHINE_UNDEFINE", instance_name="new1"))
        self.assertEqual((ended.error, ended.steps), (None, ["domain.stop", "volume.deactivate"]))
        self.assertEqual((self.world.view().instances, self.world.view().machines), ({}, {}))
        self.assertEqual(self.world.names, names)
        self.assertEqual(list(self.world.nodes.shared.shelves["rbd"].values), ["vms/new1_sda"])

    def test_removed(self) -> None:
        """Its image goes too where that is asked for."""
        self.defined()
        ended = self.world.run(op("MACHINE_UNDEFINE", instance_name="new1", delete_disks=True))
        self.assertIsNone(ended.error)
        self.assertEqual(self.world.nodes.shared.shelves["rbd"].values, {})

    def test_not_undefined(self) -> None:
        """A machine whose node does not answer may still run: it stays."""
        self.defined(node_name="node2")
        self.world.nodes.nodes[NODES[1]].down = True
        ended = self.world.run(op("MACHINE_UNDEFINE", instance_name="new1"))
        self.assertIn("does not answer", "" if ended.error is None else ended.error.text)

    @settings(max_examples=40, deadline=None)
    @given(st.lists(st.tuples(st.integers(0, 900), st.sampled_from("<>/'\" ax019=-")), max_size=3))
    def test_anything(self, edits: list[tuple[int, str]]) -> None:
        """A definition with anything in it is accepted or refused, and nothing else happens."""
        text = definition()
        for at, character in edits:
            text = text[:at] + character + text[at + 1 :]
        ended = self.define(text)
        if ended.error is None:
            name, _ = ended.result
            self.world.run(op("MACHINE_UNDEFINE", instance_name=name))
        self.assertEqual(self.world.view().instances, {})
