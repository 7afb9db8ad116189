"""Jobs that wait until an OSD is drained."""

from tests.unit.jobs.test_jobs import JobCase
from twisted_rapi.model.opcodes import from_wire
from twisted_rapi.storage.simulated_ceph import CephNotes
from twisted_rapi.testing.cluster import make_cluster

ADD = {"OP_ID": "OP_CEPH_OSD_ADD", "node_name": "node1", "device": "/dev/sdb"}
MORE = {**ADD, "device": "/dev/sdc"}
FILL = {"OP_ID": "OP_CEPH_CHANGE", "change": "volume.add", "pool": "rbd", "volume": "v", "size": 1 << 20}
REMOVE = {"OP_ID": "OP_CEPH_OSD_REMOVE", "osd": 0}


class DrainingTests(JobCase):
    """An OSD whose data can go nowhere yet."""

    def setUp(self) -> None:
        super().setUp()
        for wire in (ADD, FILL):
            self.run_job(from_wire(wire))
        self.number = self.submit(from_wire(REMOVE))
        self.assertEqual(self.status(self.number), "running")

    def osds(self) -> dict[int, bool]:
        """Those there are, and whether they take part."""
        shared = self.fake.nodes.shared
        notes = CephNotes(shared.ceph, shared.shelves["rbd"])
        return {osd["id"]: osd["in"] for osd in notes.look("osds", "", "")}

    def test_cancelled(self) -> None:
        """It is cancelled while it waits; the OSD stays, out."""
        told = self.now(self.fake.cluster.cancel(self.number))
        self.assertEqual(told, (True, f"Dequeued job {self.number}"))
        self.assertEqual((self.status(self.number), self.osds()), ("canceled", {0: False}))
        self.assertEqual(self.job(self.number).ops[0].result, "Job canceled by request")
        self.run_job(from_wire(MORE))
        self.assertEqual(self.osds(), {0: False, 1: True})

    def test_drained(self) -> None:
        """It goes on as soon as there is another, and cannot be cancelled any more."""
        self.run_job(from_wire(MORE))
        self.assertEqual((self.status(self.number), self.osds()), ("success", {1: True}))
        told = self.now(self.fake.cluster.cancel(self.number))
        self.assertFalse(told[0])

    def test_another_master(self) -> None:
        """The next master waits on."""
        self.fake.stop()
        before = self.fake
        self.fake = make_cluster(before.store, before.nodes, before.clock)
        self.assertEqual(self.status(self.number), "running")
        self.assertTrue(self.now(self.fake.cluster.cancel(self.number))[0])
