"""Tests of the tables of fields: `twisted_rapi.plan.fields`."""

import json
from random import Random
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from twisted_rapi.cluster.answers import BULK
from twisted_rapi.model import param_tables
from twisted_rapi.model.fate import NodeFateRecord
from twisted_rapi.model.records import (
    ArchivedJobRecord,
    ClusterRecord,
    DiskRecord,
    FilterRecord,
    GroupRecord,
    InstanceRecord,
    JobRecord,
    NetworkRecord,
    NicRecord,
    NodeRecord,
    OpRecord,
)
from twisted_rapi.model.seen import DomainSeen, NodeReport, ProviderSeen
from twisted_rapi.plan.fields.base import Missing, natural, shown
from twisted_rapi.plan.fields.instance import MOST_DISKS, MOST_NICS
from twisted_rapi.plan.fields.resources import RESOURCES
from twisted_rapi.plan.locks import Lock, LockTable
from twisted_rapi.plan.view import View
from twisted_rapi.testing.nodes import NOOP

GROUP = GroupRecord(
    uuid="g1",
    name="default",
    ndparams={"oob_program": "/bin/oob"},
    networks={"w1": {"mode": "bridged", "link": "br0", "vlan": ""}},
)
OTHER = GroupRecord(uuid="g2", name="other")
NETWORK = NetworkRecord(
    uuid="w1",
    name="net",
    network="192.0.2.0/24",
    gateway="192.0.2.1",
    network6="2001:db8::/64",
    gateway6="2001:db8::1",
    mac_prefix="aa:00:01",
    reserved=("192.0.2.0", "192.0.2.1", "192.0.2.255"),
)
ACCESS: dict[str, Any] = {
    "primary_ip": "192.0.2.1",
    "secondary_ip": "192.0.2.2",
    "agent_host": "a",
    "agent_port": 1,
}
NODES = {
    "n1": NodeRecord(uuid="n1", name="node1.example.com", group="g1", master_candidate=True, **ACCESS),
    "n2": NodeRecord(uuid="n2", name="node2.example.com", group="g1", **ACCESS),
    "n3": NodeRecord(uuid="n3", name="node3.example.com", group="g2", offline=True, **ACCESS),
    "n4": NodeRecord(uuid="n4", name="node4.example.com", group="g2", **ACCESS),
}


def _disk(n: int) -> DiskRecord:
    return DiskRecord(uuid=f"d{n}", size=100 + n, name=f"disk{n}", spindles=n)


def _nic(n: int) -> NicRecord:
    """Bridged NICs in a network, and others that have a VLAN."""
    mode = "bridged" if n % 2 else "openvswitch"
    params = {"mode": mode, "link": "br0", "vlan": ".7"}
    mac, address = f"aa:00:00:00:00:0{n}", f"192.0.2.{n + 9}"
    return NicRecord(uuid=f"c{n}", mac=mac, ip=address, name=f"nic{n}", network="w1", params=params)


def _instance(n: int, hypervisor: str, node: str = "n1", **more: Any) -> InstanceRecord:
    return InstanceRecord(
        uuid=f"i{n}",
        name=f"web{n}.example.com",
        os="noop+default",
        hypervisor=hypervisor,
        primary_node=node,
        secondary_nodes=("n2",),
        disk_template="drbd",
        disks=tuple(map(_disk, range(MOST_DISKS))),
        network_port=11000 + n,
        **more,
    )


NICS = tuple(map(_nic, range(MOST_NICS)))
SWAPPED = tuple(map(_nic, [1, 0, 3, 2, 5, 4, 7, 6]))
INSTANCES = [_instance(n, hv, nics=NICS, admin_state="up") for n, hv in enumerate(param_tables.HV_DEFAULTS)]
INSTANCES += [_instance(7, "kvm", nics=SWAPPED), _instance(8, "kvm", "n3"), _instance(9, "kvm", "n4")]
PENDING = _instance(10, "kvm", pending=5)

DOMAINS = {
    i.name: DomainSeen(name=i.name, uuid=i.uuid, hypervisor=i.hypervisor, state="running", memory=64, vcpus=1)
    for i in INSTANCES[:6]
}
REPORT = NodeReport(
    memory_total=1000,
    disk_total=5,
    cpu_total=4,
    oses=(NOOP,),
    exports=("old.example.com",),
    providers=(ProviderSeen(name="pv", path="/pv", parameters=(("size", "how large"),)),),
    boot_id="b1",
    domains=DOMAINS,
)
STAMP = (1000, 5)
JOB = JobRecord(
    id=4,
    ops=(
        OpRecord(
            input={"OP_ID": "OP_TAGS_SET", "priority": -10, "osparams_secret": {"a": "b"}},
            summary="TAGS_SET",
            status="success",
            wait_ts=STAMP,
            start_ts=STAMP,
            end_ts=STAMP,
        ),
        OpRecord(input={"OP_ID": "OP_TAGS_SET", "priority": 10}, summary="TAGS_SET"),
    ),
    received_ts=STAMP,
    start_ts=STAMP,
    end_ts=STAMP,
)
FILTER = FilterRecord(uuid="f1", watermark=3, predicates=(["jobid", [">", "id", "watermark"]],))


def view() -> View:
    """A cluster that has one of everything."""
    locks = LockTable()
    locks.request(4, 0, 4, frozenset([Lock("node", "n1")]))
    instances = {i.uuid: i for i in (*INSTANCES, PENDING)}
    cluster = ClusterRecord(uuid="cc", name="cluster.example.com", master_node="n1", tags=("b", "a"))
    return View(
        cluster=cluster,
        groups={"g1": GROUP, "g2": OTHER},
        nodes=NODES,
        instances=instances,
        networks={"w1": NETWORK},
        filters={"f1": FILTER},
        primaries={n: [i.uuid for i in instances.values() if i.primary_node == n] for n in NODES},
        secondaries={n: [i.uuid for i in instances.values() if n in i.secondary_nodes] for n in NODES},
        names={
            "group": {"default": "g1", "other": "g2"},
            "node": {n.name: n.uuid for n in NODES.values()},
            "instance": {i.name: i.uuid for i in instances.values()},
            "network": {"net": "w1"},
        },
        fates={"n2": NodeFateRecord(uuid="n2", fate="suspect", since=1.0)},
        reports={"n1": REPORT, "n2": NodeReport(oses=(NOOP,))},
        now=2000.0,
        chance=Random(0),
        jobs={4: JOB},
        locks=locks,
    )


# What no object here has.
NEVER = {
    "node": {"spfree", "sptotal", "hv_state", "disk_state"},
    "cluster": {"watcher_pause", "volume_group_name", "vg_name", "drbd_usermode_helper", "drbd_helper"},
}
FITS: dict[str, Any] = {
    "text": str,
    "bool": bool,
    "number": int,
    "unit": int,
    "float": (int, float),
    "timestamp": (int, float),
    "other": object,
}


class TableTests(SynchronousTestCase):
    """Every field of every resource."""

    def setUp(self) -> None:
        self.view = view()

    def records(self, what: str) -> list[Any]:
        """All objects of a resource."""
        resource = RESOURCES[what]
        found = [resource.get(self.view, id_) for id_ in resource.ids(self.view)]
        return [record for record in found if record is not None]

    def test_every_field(self) -> None:
        """A value of its kind or a status that says why not; of some object there is a value."""
        for what, resource in RESOURCES.items():
            records = self.records(what)
            self.assertNotEqual(records, [], what)
            without = set()
            for name, field in resource.fields.items():
                entries = [field.entry(self.view, record) for record in records]
                json.dumps(entries)
                known = [value for status, value in entries if status == 0]
                self.assertEqual(
                    [v for v in known if v is not None and not isinstance(v, FITS[field.kind])], [], name
                )
                self.assertLessEqual({status for status, _ in entries}, {0, 2, 3, 4}, name)
                self.assertEqual(
                    [value for status, value in entries if status and value is not None], [], name
                )
                if not known:
                    without.add(name)
            self.assertEqual(without, NEVER.get(what, set()), what)

    def test_numbers_of_devices(self) -> None:
        """What an instance has not so many of is unavailable."""
        fields = RESOURCES["instance"].fields
        record = _instance(20, "fake")
        self.assertEqual(fields["nic.mac/0"].entry(self.view, record), [3, None])
        self.assertEqual(fields["mac"].entry(self.view, record), [3, None])
        self.assertEqual(fields["sdb_size"].entry(self.view, record), [0, 101])
        self.assertEqual(fields["hv/acpi"].entry(self.view, record), [3, None])
        self.assertEqual(
            fields["be/memory"].entry(self.view, record), fields["be/maxmem"].entry(self.view, record)
        )

    def test_silent_nodes(self) -> None:
        """What only a node knows is missing when it does not answer, and otherwise when it is offline."""
        of_node = "bootid cnodes cnos csockets ctotal dfree dtotal mfree mnode mtotal"
        live = {"node": of_node.split(), "instance": ["console", "oper_ram", "oper_state", "oper_vcpus"]}
        places = {"node": (NODES["n4"], NODES["n3"]), "instance": (INSTANCES[-1], INSTANCES[-2])}
        for what, names in live.items():
            for record, status in zip(places[what], (Missing.NODATA, Missing.OFFLINE), strict=True):
                for name in names:
                    entry = RESOURCES[what].fields[name].entry(self.view, record)
                    self.assertEqual(entry, [status.value, None], name)
        exports = [(row.node, row.export) for row in self.records("export")]
        self.assertEqual(exports[0], ("node1.example.com", "old.example.com"))
        self.assertEqual(
            exports[1:], [("node3.example.com", Missing.OFFLINE), ("node4.example.com", Missing.NODATA)]
        )

    def test_jobs(self) -> None:
        """Secrets do not show; the priority is that of what is left to do; archived ones say so."""
        fields = RESOURCES["job"].fields
        self.assertEqual(fields["ops"].get(self.view, JOB)[0]["osparams_secret"], {"a": None})
        self.assertEqual(fields["priority"].entry(self.view, JOB), [0, 10])
        self.assertEqual(fields["oppriority"].entry(self.view, JOB), [0, [-10, 10]])
        self.assertEqual(fields["opend"].entry(self.view, JOB), [0, [STAMP, None]])
        old = ArchivedJobRecord(id=1, ops=(), received_ts=STAMP)
        self.assertEqual([fields["archived"].get(self.view, job) for job in (JOB, old)], [False, True])
        self.assertEqual(fields["end_ts"].entry(self.view, old), [3, None])

    def test_network(self) -> None:
        """Addresses that are not free are the operator's and those of NICs."""
        fields = RESOURCES["network"].fields
        counts = [fields[name].get(self.view, NETWORK) for name in ("free_count", "reserved_count")]
        self.assertEqual(counts, [256 - 3 - 8, 3 + 8])
        self.assertEqual(fields["map"].get(self.view, NETWORK).count("X"), 11)
        self.assertEqual(fields["group_list"].get(self.view, NETWORK), [["default", "bridged", "br0", ""]])
        self.assertEqual(fields["inst_cnt"].get(self.view, NETWORK), 7)

    def test_bulk(self) -> None:
        """Bulk lists have the same fields; what is missing is null there."""
        for what, fields in BULK.items():
            for field in fields:
                self.assertIs(RESOURCES[what].fields[field.name], field)
        found = shown(BULK["node"], self.view, NODES["n4"])
        self.assertEqual((found["mfree"], found["sptotal"], found["role"]), (None, None, "R"))

    def test_pending(self) -> None:
        """An instance that is being made is nowhere."""
        for what, name in (("node", "pinst_list"), ("node", "sinst_list"), ("group", "pinst_list")):
            for record in self.records(what):
                self.assertNotIn(PENDING.name, RESOURCES[what].fields[name].get(self.view, record))
        self.assertNotIn(PENDING, self.records("instance"))


class NaturalTests(SynchronousTestCase):
    """The order people have names in."""

    def test_natural(self) -> None:
        """Numbers count by their value; any names can be compared."""
        names = ["web10", "web9", "db", "web", "10", "9a"]
        self.assertEqual(sorted(names, key=natural), ["9a", "10", "db", "web", "web9", "web10"])
        self.check()

    @given(st.lists(st.text(max_size=6)))
    def check(self, names: list[str]) -> None:
        found = sorted(names, key=natural)
        self.assertEqual(sorted(found), sorted(names))
