"""Names that come to mean another object while a job waits."""

import msgspec

from tests.unit.jobs.test_jobs import JobCase, about, create
from twisted_rapi.state.writer import commit_of


class NameTests(JobCase):
    """A job has the locks of what it is about when it begins, not of what its name meant before."""

    def test_while_waiting_for_a_slot(self) -> None:
        """One that waited for its slot takes the locks its names mean now."""
        self.run_job(create("a.example.com"))
        self.fake.nodes.hold()
        rebooting = self.submit(about("REBOOT", "a.example.com", reboot_type="hard"))
        stopping = self.submit(about("SHUTDOWN", "a"))
        making = self.submit(create("a", pnode="node2.example.com"))
        cluster = msgspec.structs.replace(self.fake.snapshot.cluster, max_running_jobs=1)
        self.now(self.fake.store.commit(commit_of([cluster])))
        # The first step that is held is the reboot's; its others come after the creation's.
        assert self.fake.nodes.held is not None
        self.fake.nodes.held.pop(0).callback(None)
        while self.status(rebooting) != "success":
            self.fake.nodes.held.pop().callback(None)
        self.assertEqual(self.status(stopping), "waiting")
        self.assertIn(("instance", "a.example.com"), self.fake.executor.locks.holders())
        while self.status(making) != "success":
            held, self.fake.nodes.held = self.fake.nodes.held or [], []
            for step in held:
                step.callback(None)
        holders = self.fake.executor.locks.holders()
        self.assertEqual(dict(holders["instance", "a"]), {stopping: False})
        self.assertNotIn(("instance", "a.example.com"), holders)
        self.fake.nodes.release()
        self.assertEqual(self.status(stopping), "success")
        states = {i.name: i.admin_state for i in self.fake.snapshot.instances.values()}
        self.assertEqual(states, {"a.example.com": "up", "a": "down"})
