"""Tests of how NICs are attached: modes, VLANs, and what follows a network's connection."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from twisted.trial.unittest import SynchronousTestCase

from tests.unit.plan.programs import NAMES, create, op
from tests.unit.plan.templates import well
from tests.unit.plan.test_create import pair
from twisted_rapi.errors import OpPrereqError
from twisted_rapi.hypervisor.domain_xml import to_xml
from twisted_rapi.model.records import GroupRecord, NetworkRecord, NodeRecord, name_key
from twisted_rapi.plan.devices import vlan
from twisted_rapi.plan.fields.instance import TABLE
from twisted_rapi.plan.machine import domain_spec
from twisted_rapi.testing.cluster import GROUP, NODES
from twisted_rapi.testing.world import World

A = NAMES[0]
VLANS = {"7": ".7", ".7": ".7", ":7:8": ":7:8", ".7:8:9": ".7:8:9", "4094": ".4094"}
WRONG = ("0", ".0", "4095", ".1.2", ":", "x", "1:2", ":1:", ".", "٣")


def shown(world: World, *fields: str) -> list[Any]:
    """What the fields of the instance have."""
    view = world.view()
    table = {field.name: field for field in TABLE}
    return [table[name].get(view, world.instance(A)) for name in fields]


class ModeTests(SynchronousTestCase):
    """The modes of constants.json."""

    def test_modes(self) -> None:
        """Each is taken, shown and told to the node; only bridges have to be there."""
        for mode, values in (
            ("bridged", {"link": "br0"}),
            ("routed", {"link": "100", "ip": "192.0.2.7"}),
            ("openvswitch", {"link": "switch1"}),
            ("ext", {"link": "any"}),
        ):
            world = World()
            well(world.run(create(nics=[{"mode": mode, **values}])))
            bridge = "br0" if mode == "bridged" else None
            self.assertEqual(shown(world, "nic.modes", "nic.bridges"), [[mode], [bridge]])
            [nic] = domain_spec(world.view(), world.instance(A)).nics
            self.assertEqual((nic.mode, nic.link, nic.vlan), (mode, values["link"], ""))

    def test_refused(self) -> None:
        """What is no mode, and one that only goes with a network."""
        for mode in ("foo", "pool"):
            ended = World().run(create(nics=[{"mode": mode}]))
            text = f"Invalid NIC mode '{mode}': one of bridged, routed, openvswitch, ext"
            self.assertEqual(pair(ended), ["OpPrereqError", [text, "wrong_input"]])


class VlanTests(SynchronousTestCase):
    """VLANs of NICs at a switch."""

    def test_forms(self) -> None:
        """All documented forms; a bare number is untagged."""
        for asked, kept in VLANS.items():
            world = World()
            nics = [{"mode": "openvswitch", "link": "switch1", "vlan": asked}]
            well(world.run(create(nics=nics)))
            self.assertEqual(shown(world, "nic.vlan/0", "nic.vlans"), [kept, [kept]])
            [nic] = domain_spec(world.view(), world.instance(A)).nics
            self.assertEqual(nic.vlan, kept)

    def test_refused(self) -> None:
        """Other forms, and a VLAN without a switch; also in a modification."""
        for wrong in WRONG:
            nic = {"mode": "openvswitch", "link": "switch1", "vlan": wrong}
            text = f"Invalid VLAN '{wrong}': .N, :N:N or .N:N:N, of 1 to 4094"
            self.assertEqual(
                pair(World().run(create(nics=[nic]))), ["OpPrereqError", [text, "wrong_input"]], wrong
            )
        world = World()
        well(world.run(create()))
        for changed in (
            create(NAMES[1], nics=[{"vlan": "5"}]),
            op("INSTANCE_SET_PARAMS", instance_name=A, nics=[[0, {"vlan": "5"}]]),
        ):
            text = "A VLAN can only be given for NICs of mode openvswitch"
            self.assertEqual(pair(world.run(changed)), ["OpPrereqError", [text, "wrong_input"]])

    def test_changed(self) -> None:
        """A NIC is put to a switch and into a VLAN by a modification; result as documented."""
        world = World()
        well(world.run(create(start=False)))
        values = {"mode": "openvswitch", "link": "switch1", "vlan": ":5:6"}
        ended = well(world.run(op("INSTANCE_SET_PARAMS", instance_name=A, nics=[[0, values]])))
        self.assertEqual(
            ended.result, [("nic.link/0", "switch1"), ("nic.mode/0", "openvswitch"), ("nic.vlan/0", ":5:6")]
        )

    def test_of_the_cluster(self) -> None:
        """The cluster's VLAN is for those at a switch; others do without."""
        world = World()
        world.put(replace(world.cluster, nicparams={"vlan": ".9", "link": "br0"}))
        well(world.run(create(nics=[{}, {"mode": "openvswitch"}])))
        specs = domain_spec(world.view(), world.instance(A)).nics
        self.assertEqual([nic.vlan for nic in specs], ["", ".9"])
        self.assertEqual(shown(world, "nic.vlans"), [[None, ".9"]])

    def test_libvirt(self) -> None:
        """The domain's definition names switch and tags."""
        world = World()
        nics = [{"mode": "openvswitch", "link": "switch1", "vlan": ".4:5"}]
        well(world.run(create(nics=nics, disks=[], disk_template="diskless")))
        spec = domain_spec(world.view(), world.instance(A))
        text = to_xml(replace(spec, hypervisor="kvm", hvparams={}), [], "kvm")
        for part in (
            'bridge="switch1"',
            '<virtualport type="openvswitch"',
            'nativeMode="untagged"',
            'id="5"',
        ):
            self.assertIn(part, text)

    @given(st.text(max_size=12) | st.from_regex(r"[.:]?[0-9]{1,4}(:[0-9]{1,4}){0,3}", fullmatch=True))
    def test_any(self, text: str) -> None:
        """Any text is refused or has one form, which stays as it is."""
        try:
            form = vlan(text)
        except OpPrereqError:
            return
        self.assertEqual(vlan(form), form)


class GroupTests(SynchronousTestCase):
    """Networks that two groups connect in two ways."""

    def setUp(self) -> None:
        world = self.world = World()
        here = world.of(GroupRecord)[GROUP]
        there = replace(here, uuid="there", name="there", networks={"n": self.connection("br1")})
        network = NetworkRecord(uuid="n", name="net", network="192.0.2.0/24")
        node = replace(world.of(NodeRecord)[NODES[1]], group="there")
        world.put(replace(here, networks={"n": self.connection("br0")}), there, network, node)
        world.names |= {name_key("group", "there"): "there", name_key("network", "net"): "n"}

    def connection(self, link: str) -> dict[str, str]:
        """How a group connects it."""
        return {"mode": "bridged", "link": link, "vlan": ""}

    def test_moved(self) -> None:
        """A NIC is attached as the new group has it, and back again; the address stays."""
        world = self.world
        nics = [{"network": "net", "ip": "192.0.2.9"}, {"link": "br0"}]
        well(
            world.run(
                create(pnode="node1", nics=nics, disk_template="sharedfile", start=False, ignore_ipolicy=True)
            )
        )
        for node, link in (("node2", "br1"), ("node1", "br0")):
            world.nodes.nodes[NODES[1]].bridges = ("br0", "br1")
            well(world.run(op("INSTANCE_FAILOVER", instance_name=A, target_node=node)))
            self.assertEqual(shown(world, "nic.links", "nic.ips"), [[link, "br0"], ["192.0.2.9", None]])
            specs = domain_spec(world.view(), world.instance(A)).nics
            self.assertEqual([nic.link for nic in specs], [link, "br0"])

    def test_not_there(self) -> None:
        """Where the new group does not connect the network it does not go, nor without the bridge."""
        world = self.world
        nics = [{"network": "net"}]
        well(world.run(create(pnode="node1", nics=nics, disk_template="sharedfile", start=False)))
        go = op("INSTANCE_FAILOVER", instance_name=A, target_node="node2")
        self.assertEqual(
            pair(world.run(go)),
            ["OpPrereqError", ["Missing bridges on node node2.example.com: br1", "environment_error"]],
        )
        world.put(replace(world.of(GroupRecord)["there"], networks={}))
        self.assertEqual(
            pair(world.run(go)),
            ["OpPrereqError", ["Network net is not connected to node group there", "wrong_state"]],
        )
