"""Many jobs at once about one object."""

from typing import Any

from twisted.internet.defer import Deferred

from tests.unit.jobs.test_interruptions import SlowCase
from tests.unit.jobs.test_jobs import create
from twisted_rapi.model.opcodes import Opcode, from_wire
from twisted_rapi.testing.cluster import NODES
from twisted_rapi.testing.memory_store import MemoryStore

CROWD = 500


def tagging(kind: str, name: str | None, tag: str) -> Opcode:
    """An opcode that tags an object."""
    return from_wire({"OP_ID": "OP_TAGS_SET", "kind": kind, "name": name, "tags": [tag]})


class CrowdCase(SlowCase):
    """The store makes commits together that were asked for together, as SQLite does."""

    def rounds(self) -> int:
        """Make commits, group by group, until no more are asked for; answers how many groups."""
        count = 0
        while self.store.held:
            held, self.store.held = self.store.held, []
            for change, answer in held:
                Deferred.fromCoroutine(MemoryStore.commit(self.store, change)).addBoth(answer.callback)
            count += 1
        self.store.held = None
        return count


class CrowdTests(CrowdCase):
    """Many tag one object."""

    def crowd(self, kind: str, name: str | None) -> None:
        """All at once tag one object: all succeed, each with one commit, and no tag is lost."""
        begun, turns = self.store.commits, CROWD + 10
        self.store.hold()
        tags = [f"tag{n}" for n in range(CROWD)]
        asked = [self.ask(self.fake.cluster.submit([tagging(kind, name, tag)])) for tag in tags]
        self.assertLess(self.rounds(), turns)
        self.assertEqual({self.status(self.successResultOf(d)) for d in asked}, {"success"})
        self.assertEqual(self.tags(kind), sorted(tags))
        self.assertEqual(self.store.commits - begun, 2 * CROWD, "accepted, done, and none in vain")
        self.assertEqual((self.fake.executor.locks.holders(), self.fake.executor.counts["waiting"]), ({}, 0))

    def tags(self, kind: str) -> list[str]:
        """Those the object has."""
        snapshot = self.fake.snapshot
        found: Any = {
            "cluster": snapshot.cluster,
            "node": snapshot.nodes[NODES[0]],
            "nodegroup": next(iter(snapshot.groups.values())),
            "instance": next(iter(snapshot.instances.values()), None),
        }[kind]
        return sorted(found.tags)

    def test_cluster(self) -> None:
        """The cluster."""
        self.crowd("cluster", None)

    def test_node(self) -> None:
        """One node."""
        self.crowd("node", "node1.example.com")

    def test_group(self) -> None:
        """One node group."""
        self.crowd("nodegroup", "default")

    def test_instance(self) -> None:
        """One instance."""
        self.run_job(create())
        self.crowd("instance", "web1.example.com")


class PoolCrowdTests(CrowdCase):
    """What must not be given, or taken, twice."""

    def op(self, op_id: str, **parameters: Any) -> Opcode:
        """The opcode of this name."""
        return from_wire({"OP_ID": f"OP_{op_id}", **parameters})

    def at_once(self, ops: list[Opcode]) -> list[str]:
        """The ends of jobs that are submitted together."""
        self.store.hold()
        asked = [self.ask(self.fake.cluster.submit([op])) for op in ops]
        self.rounds()
        return [self.status(self.successResultOf(d)) for d in asked]

    def test_addresses(self) -> None:
        """Sixty instances on three nodes get sixty addresses."""
        self.run_job(self.op("NETWORK_ADD", network_name="net1", network="10.55.0.0/25"))
        connection = {"network_mode": "bridged", "network_link": "br0"}
        self.run_job(self.op("NETWORK_CONNECT", network_name="net1", group_name="default", **connection))
        nics, small = [{"network": "net1", "ip": "pool"}], {"disk_template": "diskless", "disks": []}
        ops = [
            create(f"web{n}.example.com", nics=nics, pnode=f"node{n % 3 + 1}.example.com", **small)
            for n in range(60)
        ]
        self.assertEqual(set(self.at_once(ops)), {"success"})
        had = [nic.ip for i in self.fake.snapshot.instances.values() for nic in i.nics]
        self.assertEqual((len(had), len(set(had))), (60, 60))

    def test_candidates(self) -> None:
        """Of two candidates that would leave the pool at once only one does."""
        for node in ("node2", "node3"):
            self.run_job(self.op("NODE_SET_PARAMS", node_name=node, master_candidate=True))
        ops = [
            self.op("NODE_SET_PARAMS", node_name=node, master_candidate=False) for node in ("node2", "node3")
        ]
        self.assertEqual(sorted(self.at_once(ops)), ["error", "success"])
        self.assertEqual(sum(n.master_candidate for n in self.fake.snapshot.nodes.values()), 2)
