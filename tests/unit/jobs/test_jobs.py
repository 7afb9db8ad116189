"""Jobs over the real use cases, with nodes and a store in memory."""

from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from twisted_rapi.errors import BadRequest, QueueDrained, ServiceUnavailable, StepFailed
from twisted_rapi.model import steps
from twisted_rapi.model.opcodes import Opcode, from_wire
from twisted_rapi.model.records import ClusterRecord, JobRecord, job_status
from twisted_rapi.state.interface import Commit
from twisted_rapi.state.writer import commit_of
from twisted_rapi.testing.cluster import NODES, FakeCluster, make_cluster
from twisted_rapi.testing.memory_store import MemoryStore
from twisted_rapi.testing.nodes import FakeNodes


def create(name: str = "web1.example.com", **more: Any) -> Opcode:
    """An opcode that creates an instance with one disk on node1."""
    return from_wire(
        {
            "OP_ID": "OP_INSTANCE_CREATE",
            "mode": "create",
            "instance_name": name,
            "disk_template": "file",
            "disks": [{"size": 64}],
            "nics": [{}],
            "os_type": "noop+default",
            "pnode": "node1.example.com",
            **more,
        }
    )


def about(op: str, name: str = "web1.example.com", **more: Any) -> Opcode:
    """An opcode about an instance."""
    return from_wire({"OP_ID": f"OP_INSTANCE_{op}", "instance_name": name, **more})


def tag(name: str = "a", **more: Any) -> Opcode:
    """An opcode that tags the cluster, and takes no lock of its own."""
    return from_wire({"OP_ID": "OP_TAGS_SET", "kind": "cluster", "tags": [name], **more})


class JobCase(SynchronousTestCase):
    """Has a cluster."""

    def setUp(self) -> None:
        self.fake = make_cluster()
        self.addCleanup(self.end)

    def end(self) -> None:
        self.fake.stop()

    def now(self, awaitable: Any) -> Any:
        return self.successResultOf(Deferred.fromCoroutine(awaitable))

    def submit(self, *ops: Opcode) -> int:
        number: int = self.now(self.fake.cluster.submit(ops))
        return number

    def job(self, number: int) -> JobRecord:
        found = self.now(self.fake.cluster.job(number))
        assert isinstance(found, JobRecord)
        return found

    def status(self, number: int) -> str:
        return job_status(self.job(number))

    def run_job(self, *ops: Opcode) -> JobRecord:
        found = self.job(self.submit(*ops))
        self.assertEqual(job_status(found), "success", [op.result for op in found.ops])
        return found


class QueueTests(JobCase):
    """Acceptance."""

    def test_ids(self) -> None:
        """They count up from 1 and go on counting in a later term."""
        self.assertEqual([self.submit(tag()), self.submit(tag())], [1, 2])
        self.fake.stop()
        self.fake = make_cluster(self.fake.store, self.fake.nodes)
        self.assertEqual(self.submit(tag()), 3)

    def test_together(self) -> None:
        """Jobs submitted at once all have ids of their own."""
        begun = [Deferred.fromCoroutine(self.fake.cluster.submit([tag(str(n))])) for n in range(20)]
        self.assertEqual(sorted(self.successResultOf(d) for d in begun), list(range(1, 21)))

    def test_drained(self) -> None:
        """A drained queue takes nothing."""
        import msgspec

        cluster: ClusterRecord = msgspec.structs.replace(self.fake.snapshot.cluster, drained_queue=True)
        self.now(self.fake.store.commit(commit_of([cluster])))
        self.failureResultOf(Deferred.fromCoroutine(self.fake.cluster.submit([tag()])), QueueDrained)

    def test_full(self) -> None:
        """The limit counts unarchived jobs."""
        self.fake.cluster._queue._limit = 2
        self.submit(tag())
        self.submit(tag())
        self.failureResultOf(Deferred.fromCoroutine(self.fake.cluster.submit([tag()])), ServiceUnavailable)

    def test_relative(self) -> None:
        """A relative dependency means nothing in a job of its own."""
        bad = self.fake.cluster.submit([tag(depends=[[-1, []]])])
        self.failureResultOf(Deferred.fromCoroutine(bad), BadRequest)

    def test_old_term(self) -> None:
        """A master whose term is over accepts nothing."""
        from twisted_rapi.errors import StaleTerm
        from twisted_rapi.model.mastership import ElectionRecord

        self.now(self.fake.store.commit(commit_of([ElectionRecord(term=2, node="x")])))
        self.failureResultOf(Deferred.fromCoroutine(self.fake.cluster.submit([tag()])), StaleTerm)


class OrderTests(JobCase):
    """Locks, dependencies, priorities, several opcodes."""

    def test_locks(self) -> None:
        """Jobs about one instance run one after the other, others beside them."""
        self.fake.nodes.hold()
        first, second = self.submit(create()), self.submit(about("SHUTDOWN"))
        third = self.submit(tag())
        self.assertEqual([self.status(n) for n in (first, second, third)], ["running", "waiting", "success"])
        self.fake.nodes.release()
        self.assertEqual([self.status(n) for n in (first, second)], ["success", "success"])

    def test_priority(self) -> None:
        """Of those that wait the more urgent goes first."""
        self.fake.nodes.hold()
        self.submit(create())
        late = self.submit(about("SHUTDOWN"))
        soon = self.submit(about("REBOOT", reboot_type="hard", priority=-10))
        self.fake.nodes.release()
        self.assertEqual([self.status(n) for n in (late, soon)], ["success", "success"])
        self.assertEqual(self.fake.nodes.nodes[NODES[0]].domains, {})

    def test_depends(self) -> None:
        """A job waits for those it depends on, and fails or goes when they end otherwise."""
        self.fake.nodes.hold()
        first = self.submit(create())
        after = self.submit(tag("after", depends=[[first, ["success"]]]))
        only_error = self.submit(tag("never", depends=[[first, ["error"]]]))
        self.assertEqual(self.status(after), "queued")
        self.fake.nodes.release()
        self.assertEqual((self.status(after), self.status(only_error)), ("success", "error"))
        wanted = f"Dependency job {first} finished with status 'success', not one of 'error' as required"
        self.assertEqual(self.job(only_error).ops[0].result, ["OpExecError", [wanted]])
        self.assertEqual(self.status(self.submit(tag(depends=[[99, []]]))), "error")
        itself = self.fake.cluster._queue._last + 1
        self.assertEqual(self.status(self.submit(tag(depends=[[itself, []]]))), "error")

    def test_dependency_canceled(self) -> None:
        """A job whose dependency is cancelled is cancelled too."""
        self.fake.nodes.hold()
        self.submit(create())
        waits = self.submit(about("SHUTDOWN"))
        depends = self.submit(tag(depends=[[str(waits), ["success"]]]))
        self.assertEqual(self.now(self.fake.cluster.cancel(waits)), (True, "Job successfully cancelled"))
        self.assertEqual((self.status(waits), self.status(depends)), ("canceled", "canceled"))

    def test_preceding(self) -> None:
        """After an opcode that fails the others do not run."""
        found = self.job(self.submit(about("STARTUP"), tag("never")))
        self.assertEqual([op.status for op in found.ops], ["error", "error"])
        self.assertEqual(found.ops[1].result, ["OpExecError", ["Preceding opcode failed"]])
        self.assertEqual(self.fake.snapshot.cluster.tags, ())

    def test_limit(self) -> None:
        """No more jobs run at once than the cluster allows."""
        import msgspec

        cluster = msgspec.structs.replace(self.fake.snapshot.cluster, max_running_jobs=2)
        self.now(self.fake.store.commit(commit_of([cluster])))
        self.fake.nodes.hold()
        numbers = [self.submit(create(f"w{n}.example.com", pnode=f"node{n}.example.com")) for n in (1, 2, 3)]
        self.assertEqual([self.status(n) for n in numbers], ["running", "running", "queued"])
        self.fake.nodes.release()
        self.assertEqual([self.status(n) for n in numbers], ["success"] * 3)

    def test_stop_while_running(self) -> None:
        """The end of a term lets go of jobs that wait for nodes, locks and records; nothing is marked."""
        self.fake.nodes.hold()
        first, second = self.submit(create()), self.submit(about("SHUTDOWN"))
        self.successResultOf(self.fake.duties.stopService())
        self.assertEqual((self.status(first), self.status(second)), ("running", "waiting"))

    def test_silent_nodes(self) -> None:
        """A new master judges nothing before its nodes were heard of, or five seconds are over."""
        self.fake.stop()
        nodes = FakeNodes(NODES)
        for node in nodes.nodes.values():
            node.down = True
        self.fake = make_cluster(self.fake.store, nodes)
        number = self.submit(create())
        self.assertEqual((self.status(number), self.job(number).start_ts), ("queued", None))
        for node in nodes.nodes.values():
            node.down = False
        nodes.changed(NODES[0])
        self.assertEqual(self.status(number), "success")

    def test_dead_node(self) -> None:
        """After that time it judges with those that answer."""
        self.fake.stop()
        nodes = FakeNodes(NODES)
        nodes.nodes[NODES[0]].down = True
        self.fake = make_cluster(self.fake.store, nodes)
        number = self.submit(create())
        self.fake.clock.advance(5)
        self.assertIn("does not answer", str(self.job(number).ops[0].result))


class ArchiveTests(JobCase):
    """Jobs by age."""

    def test_age(self) -> None:
        """A job that ended six hours ago is no longer listed, but can be read."""
        number = self.submit(tag())
        self.fake.clock.advance(6 * 3600 - 1)
        self.assertEqual([j.id for j in self.fake.cluster.jobs()], [number])
        self.fake.clock.advance(2)
        self.assertEqual(list(self.fake.cluster.jobs()), [])
        self.assertEqual(self.status(number), "success")

    def test_unfinished(self) -> None:
        """One that still runs stays, however old."""
        self.fake.nodes.hold()
        number = self.submit(create())
        self.fake.clock.advance(7 * 3600)
        self.assertEqual([j.id for j in self.fake.cluster.jobs()], [number])


class FailureTests(JobCase):
    """What nodes cannot do."""

    def orphans(self) -> list[str]:
        wanted = {d.logical_id[1] for i in self.fake.snapshot.instances.values() for d in i.disks}
        return sorted(p for n in self.fake.nodes.nodes.values() for p in n.volumes if p not in wanted)

    def test_script_fails(self) -> None:
        """A creation whose script fails leaves no disk, no record and no name."""
        node = self.fake.nodes.nodes[NODES[0]]
        node.faults[steps.RunOs] = [StepFailed("line 20", "os")]
        found = self.job(self.submit(create()))
        self.assertEqual(found.ops[0].result, ["OpExecError", ["Node node1.example.com: line 20"]])
        self.assertEqual((node.volumes, self.fake.snapshot.instances), ({}, {}))
        self.run_job(create())

    def test_cleaning_fails(self) -> None:
        """What cannot be removed is kept as a leftover, and removed when that works."""
        node = self.fake.nodes.nodes[NODES[0]]
        node.faults[steps.RunOs] = [StepFailed("no", "os")]
        node.faults[steps.DeleteVolume] = [StepFailed("busy", "storage")]
        self.submit(create())
        self.assertEqual(self.orphans(), [], "the reconciler had its turn already")
        self.assertEqual(self.fake.snapshot.leftovers, {})

    def test_remove_from_dead_node(self) -> None:
        """An instance of a dead node is removed if failures do not count; the rest when the node is back."""
        self.run_job(create())
        node = self.fake.nodes.nodes[NODES[0]]
        node.down = True
        self.assertEqual(self.status(self.submit(about("REMOVE"))), "error")
        self.run_job(about("REMOVE", ignore_failures=True))
        self.assertEqual((len(self.fake.snapshot.leftovers), len(node.volumes)), (1, 1))
        node.down = False
        self.fake.nodes.changed(NODES[0])
        self.assertEqual((self.fake.snapshot.leftovers, node.volumes, node.domains), ({}, {}, {}))

    def test_rename_taken_back(self) -> None:
        """A rename whose move fails leaves the old name and frees the new one."""
        self.run_job(create())
        self.run_job(about("SHUTDOWN"))
        node = self.fake.nodes.nodes[NODES[0]]
        node.faults[steps.MoveVolume] = [StepFailed("no", "storage")]
        number = self.submit(about("RENAME", new_name="web2.example.com"))
        self.assertEqual(self.status(number), "error")
        self.assertEqual(
            (list(self.fake.snapshot.names["instance"]), self.orphans()), (["web1.example.com"], [])
        )
        self.run_job(create("web2.example.com"))

    def test_bug(self) -> None:
        """A bug in a plan ends its job with an incident, and nothing else."""

        def broken(*_: Any) -> Any:
            raise ZeroDivisionError("odd")

        plans = dict(self.fake.executor._means.plans)
        plans[type(tag())] = broken
        object.__setattr__(self.fake.executor._means, "plans", plans)
        number = self.submit(tag())
        self.assertIn("incident", str(self.job(number).ops[0].result))
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)


class Crash(BaseException):
    """The process is gone."""


class MortalStore(MemoryStore):
    """A store whose process dies before or after a commit; what was committed stays."""

    deaths: int = 10**9
    dead = False

    async def commit(self, change: Commit) -> int:
        """Make the change, unless the process is gone."""
        self.deaths -= 1
        if self.dead or self.deaths == 0:
            self.dead = True
            await Deferred()
        revision = await super().commit(change)
        self.deaths -= 1
        if self.deaths == 0:
            self.dead = True
            await Deferred()
        return revision


SCRIPT: tuple[Opcode, ...] = (
    create(),
    about("SET_PARAMS", disks=[["add", {"size": 32}]]),
    about("REBOOT", reboot_type="hard"),
    about("SHUTDOWN"),
    about("SET_PARAMS", disks=[["remove", {}]], beparams={"vcpus": 3}),
    about("RENAME", new_name="web2.example.com"),
    about("STARTUP", "web2.example.com"),
    about("REMOVE", "web2.example.com"),
)


class CrashTests(SynchronousTestCase):
    """The process dies at a commit; another one over the same store and nodes goes on."""

    def live(self, deaths: int, faults: dict[int, type[steps.Step]]) -> tuple[FakeCluster, list[int], bool]:
        """Run the script, one job after the other, with deaths every so many commit boundaries."""
        store, nodes = MortalStore(), FakeNodes(NODES)
        fake = make_cluster(nodes=nodes)
        store._entries, store._keys, store.revision = fake.store._entries, fake.store._keys, 1  # type: ignore[attr-defined]
        fake.stop()
        fake = make_cluster(store, nodes)
        store.deaths = deaths
        acknowledged: list[int] = []
        died = False
        for n, op in enumerate(SCRIPT):
            if n in faults:
                nodes.nodes[NODES[0]].faults.setdefault(faults[n], []).append(
                    StepFailed("planted", "storage")
                )
            d = Deferred.fromCoroutine(fake.cluster.submit([op]))
            if d.called:
                acknowledged.append(self.successResultOf(d))
            if store.dead:
                died = True
                fake.stop()
                store.dead, store.deaths = False, 10**9
                store._history = type(store._history)(first=store.revision)
                fake = make_cluster(store, nodes)
        store.deaths = 10**9  # what the reconciler does later is not what is tested
        return fake, acknowledged, died

    def check(self, fake: FakeCluster, acknowledged: list[int]) -> None:
        jobs = {job.id: job for job in fake.cluster.jobs()}
        self.assertEqual([n for n in acknowledged if n not in jobs], [])
        self.assertEqual({job_status(j) for j in jobs.values()} - {"success", "error"}, set())
        node = fake.nodes.nodes[NODES[0]]
        wanted = {d.logical_id[1] for i in fake.snapshot.instances.values() for d in i.disks}
        self.assertEqual((set(node.volumes), fake.snapshot.leftovers), (wanted, {}))
        up = {i.name for i in fake.snapshot.instances.values() if i.admin_state == "up"}
        self.assertEqual(set(node.domains), up)
        names = {k for k in fake.store._keys if k.startswith("name/instance/")}  # type: ignore[attr-defined]
        self.assertEqual(names, {f"name/instance/{i.name}" for i in fake.snapshot.instances.values()})
        self.assertEqual([i.name for i in fake.snapshot.instances.values() if i.pending is not None], [])

    def test_each_boundary(self) -> None:
        """With one death at each boundary in turn, everything acknowledged ends in success."""
        deaths, died = 1, True
        while died:
            fake, acknowledged, died = self.live(deaths, {})
            self.check(fake, acknowledged)
            for number in acknowledged:
                job = fake.table.get(number)
                assert job is not None
                if job_status(job) != "success":
                    # What follows on a job that was never accepted may fail: what it is about is missing.
                    self.assertLess(len(acknowledged), len(SCRIPT), (deaths, job.ops[0].result))
            fake.stop()
            deaths += 1
        self.assertGreater(deaths, 40)

    # Where a run names this module twice there are two of this case; what it draws depends on neither.
    @settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.differing_executors])
    @given(
        st.integers(1, 60),
        st.dictionaries(
            st.integers(0, len(SCRIPT) - 1),
            st.sampled_from(
                [
                    steps.CreateVolume,
                    steps.DeleteVolume,
                    steps.RunOs,
                    steps.StartDomain,
                    steps.StopDomain,
                    steps.MoveVolume,
                ]
            ),
            max_size=3,
        ),
    )
    def test_with_faults(self, deaths: int, faults: dict[int, type[steps.Step]]) -> None:
        """With failing steps besides, every job ends and nothing is orphaned."""
        fake, acknowledged, _ = self.live(deaths, faults)
        for node in fake.nodes.nodes.values():
            node.faults.clear()
        fake.clock.advance(31)
        jobs = {job.id: job for job in fake.cluster.jobs()}
        self.assertEqual([n for n in acknowledged if n not in jobs], [])
        self.assertEqual({job_status(j) for j in jobs.values()} - {"success", "error"}, set())
        node = fake.nodes.nodes[NODES[0]]
        wanted = {d.logical_id[1] for i in fake.snapshot.instances.values() for d in i.disks}
        self.assertEqual((set(node.volumes), fake.snapshot.leftovers), (wanted, {}))
        fake.stop()
