"""The checker accepts what is well, and rejects each way in which a history can be wrong."""

from collections.abc import Callable, Sequence
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from twisted.trial.unittest import SynchronousTestCase

from twisted_rapi.testing.lab.checker import RULES, complaints
from twisted_rapi.testing.lab.history import (
    AnyEvent,
    Asked,
    Caused,
    Committed,
    Held,
    History,
    JobSeen,
    Listed,
    Ran,
    Served,
    Stepped,
)

NODES = ("node1", "node2", "node3")


class Cluster:
    """A cluster that does nothing wrong, and tells what it does."""

    def __init__(self) -> None:
        self.events: list[AnyEvent] = []
        self.now, self.revision, self.term, self.master, self.writer = 0.0, 0, 0, "", ""
        self.jobs: dict[int, JobSeen] = {}
        self.elect("node1")

    def _tick(self) -> float:
        self.now += 1.0
        return self.now

    def _commit(self, **what: Any) -> None:
        self.revision += 1
        at = self._tick()
        self.events.append(Committed(at=at, revision=self.revision, writer=self.writer, **what))

    def elect(self, node: str) -> None:
        """Another one is master, and has the address."""
        self.term, self.master, self.writer = self.term + 1, node, f"{node}/{self.term}"
        self._commit(kinds=("election", "seat"), term=self.term, node=node)
        self.events += [Served(node=node, term=self.term)]
        self.events += [Held(at=self._tick(), nodes=()), Held(at=self._tick(), nodes=(node,))]

    def submit(self, node: str, answered: bool = True) -> None:
        """A job is made; perhaps nobody hears of it."""
        number, at = len(self.jobs) + 1, self._tick()
        mark = f"OP_TAGS_SET load-1-0-{number}"
        self.jobs[number] = JobSeen("queued", (mark,))
        self._commit(kinds=("job", "counter"), jobs={number: self.jobs[number]})
        told = {"at": at, "until": self._tick(), "address": node, "method": "PUT", "path": "/2/tags"}
        said: dict[str, Any] = (
            {"outcome": "answered", "status": 200, "job": number} if answered else {"outcome": "silent"}
        )
        self.events.append(Asked(**told, **said, mark=mark))  # type: ignore[arg-type]

    def refuse(self, node: str) -> None:
        """Somebody asks for a job and is told that there is no master."""
        told = {
            "at": self._tick(),
            "until": self._tick(),
            "address": node,
            "method": "PUT",
            "path": "/2/tags",
        }
        refused = Asked(**told, outcome="refused", status=503, mark=f"OP_TAGS_SET load-9-0-{self.now}")  # type: ignore[arg-type]
        self.events.append(refused)

    def read(self, node: str) -> None:
        """Somebody asks who is master."""
        told = {
            "at": self._tick(),
            "until": self._tick(),
            "address": node,
            "method": "GET",
            "path": "/2/info",
        }
        read = Asked(**told, outcome="answered", status=200, idempotent=True, master=self.master)  # type: ignore[arg-type]
        self.events.append(read)

    def step(self, node: str) -> None:
        """An agent does something for the master."""
        self.events.append(Stepped(node=node, term=self.term, step="StartDomain"))

    def machine(self, node: str) -> None:
        """A machine runs there, and nowhere else."""
        self.events.append(Ran(at=self._tick(), instance="web1", nodes=(node,)))

    def finish(self, node: str) -> None:
        """A job ends, and who waited for it is told."""
        for number, job in self.jobs.items():
            if job.status == "queued":
                self.jobs[number] = JobSeen("success", job.marks)
                self._commit(kinds=("job",), jobs={number: self.jobs[number]})
                told = {
                    "at": self._tick(),
                    "until": self._tick(),
                    "address": node,
                    "method": "GET",
                    "path": "/",
                }
                waited = Asked(**told, outcome="answered", status=200, job=number, ended="success")  # type: ignore[arg-type]
                self.events.append(waited)
                return

    def history(self) -> History:
        """All of it, once all jobs have ended."""
        while any(job.status == "queued" for job in self.jobs.values()):
            self.finish("node1")
        return History((*self.events, Listed(jobs=dict(self.jobs))))


DEEDS: Sequence[Callable[[Cluster, str], None]] = (
    Cluster.elect,
    Cluster.submit,
    lambda cluster, node: cluster.submit(node, False),
    Cluster.refuse,
    Cluster.read,
    Cluster.step,
    Cluster.machine,
    Cluster.finish,
)


@st.composite
def sound_histories(draw: st.DrawFn) -> History:
    """What a cluster that does nothing wrong may do; some of everything is in it."""
    cluster = Cluster()
    deeds = st.tuples(st.sampled_from(DEEDS), st.sampled_from(NODES))
    for deed, node in draw(st.lists(deeds, max_size=25)):
        deed(cluster, node)
    cluster.read("node1")
    cluster.elect("node2")
    cluster.elect("node3")
    for deed in DEEDS:
        deed(cluster, "node1")
    cluster.step("node1")
    cluster.submit("node2")
    return cluster.history()


def changed(history: History, kind: type[Any], number: int, **values: Any) -> History:
    """The history with other values for one event of a kind, by its number among them."""
    events = list(history.events)
    places = [n for n, event in enumerate(events) if isinstance(event, kind)]
    place = places[number]
    events[place] = replace(events[place], **values)
    return History(tuple(events))


def _elections(history: History) -> list[Committed]:
    return [c for c in history.of(Committed) if c.term is not None]


def _swapped(history: History, old: AnyEvent, new: AnyEvent) -> History:
    return History(tuple(new if event is old else event for event in history.events))


def _acknowledged(history: History) -> Asked:
    return [a for a in history.of(Asked) if a.mark and a.job is not None][-1]


def _final(history: History, jobs: dict[int, JobSeen]) -> History:
    return changed(history, Listed, -1, jobs=jobs)


def _jobs(history: History) -> dict[int, JobSeen]:
    [listed] = history.of(Listed)
    return dict(listed.jobs)


def term_twice(history: History) -> History:
    """Two masters were elected for one term."""
    *_, before, last = _elections(history)
    return _swapped(history, last, replace(last, term=before.term))


def term_back(history: History) -> History:
    """A term is lower than one before."""
    last = _elections(history)[-1]
    return _swapped(history, last, replace(last, term=0))


def served_by_another(history: History) -> History:
    """Who was not elected took itself for the master."""
    last = list(history.of(Served))[-1]
    return _swapped(history, last, replace(last, node="node9"))


def served_by_two(history: History) -> History:
    """Two took themselves for the master of one term."""
    last = list(history.of(Served))[-1]
    return history.with_more([replace(last, node="node9")])


def written_by_a_former_master(history: History) -> History:
    """A master that was frozen wrote something when it went on."""
    first, *_ = _elections(history)
    [*_, last] = history.of(Committed)
    late = replace(last, revision=last.revision + 1, writer=first.writer, kinds=("instance",), jobs={})
    return history.with_more([late])


def written_by_a_stranger(history: History) -> History:
    """Somebody who was never master wrote a job."""
    [*_, last] = history.of(Committed)
    return _swapped(history, last, replace(last, writer="x", kinds=("job",)))


def answered_by_a_former_master(history: History) -> History:
    """A master that was frozen answered as master when it went on."""
    [*_, last] = (a for a in history.of(Asked) if a.master)
    old = "node1" if last.master != "node1" else "node2"
    return _swapped(history, last, replace(last, master=old, at=1e6, until=1e6 + 1))


def address_on_two(history: History) -> History:
    """The address was not taken from the old master."""
    return changed(history, Held, -1, nodes=("node1", "node3"))


def machine_on_two(history: History) -> History:
    """A machine was started elsewhere while it ran."""
    return changed(history, Ran, -1, nodes=("node1", "node2"))


def step_of_an_old_term(history: History) -> History:
    """An agent obeyed a master that had been deposed."""
    [*_, last] = history.of(Stepped)
    return history.with_more([replace(last, term=last.term - 1)])


def step_of_no_term(history: History) -> History:
    """An agent obeyed somebody who was never elected."""
    [*_, last] = history.of(Stepped)
    return history.with_more([replace(last, term=last.term + 7)])


def job_lost(history: History) -> History:
    """A job that was acknowledged is not there."""
    jobs = _jobs(history)
    number = _acknowledged(history).job
    assert number is not None
    del jobs[number]
    return _final(history, jobs)


def job_twice(history: History) -> History:
    """A request that was made once made two jobs."""
    jobs = _jobs(history)
    return _final(history, {**jobs, 999: JobSeen("success", (_acknowledged(history).mark,))})


def silent_job_twice(history: History) -> History:
    """A request that was not answered made two jobs."""
    [*_, silent] = (a for a in history.of(Asked) if a.mark and a.outcome == "silent")
    return _final(history, {**_jobs(history), 999: JobSeen("success", (silent.mark,))})


def job_of_another(history: History) -> History:
    """A job that was acknowledged is another one."""
    jobs = _jobs(history)
    number = _acknowledged(history).job
    assert number is not None
    return _final(history, {**jobs, number: JobSeen("success", ("OP_TAGS_SET other",))})


def number_twice(history: History) -> History:
    """One number was given out for two jobs."""
    asked = _acknowledged(history)
    return history.with_more([replace(asked, mark="OP_TAGS_SET another")])


def job_without_end(history: History) -> History:
    """A job goes on when all should have ended."""
    jobs = _jobs(history)
    number = _acknowledged(history).job
    assert number is not None
    return _final(history, {**jobs, number: JobSeen("running", jobs[number].marks)})


def job_ended_otherwise(history: History) -> History:
    """What a client was told of a job's end is not how it ended."""
    [*_, waited] = (a for a in history.of(Asked) if a.ended)
    return _swapped(history, waited, replace(waited, ended="error"))


def job_revived(history: History) -> History:
    """A job that had ended ran again."""
    [*_, last] = history.of(Committed)
    [(number, job)] = [
        (n, j) for c in history.of(Committed) for n, j in c.jobs.items() if j.status == "success"
    ][-1:]
    again = replace(last, revision=last.revision + 1, jobs={number: JobSeen("running", job.marks)})
    return history.with_more([again])


def job_removed(history: History) -> History:
    """A job was removed from the store."""
    return changed(history, Committed, -1, gone=(1,))


WRONG: dict[str, Sequence[Callable[[History], History]]] = {
    "one_master_per_term": (term_twice, term_back, served_by_another, served_by_two),
    "only_masters_write": (written_by_a_former_master, written_by_a_stranger),
    "nothing_stale_is_answered": (answered_by_a_former_master,),
    "address_on_one_node": (address_on_two,),
    "no_machine_runs_twice": (machine_on_two,),
    "agents_obey_the_newest": (step_of_an_old_term, step_of_no_term),
    "acknowledged_once": (job_lost, job_twice, silent_job_twice, job_of_another, number_twice),
    "every_job_ends": (job_without_end, job_ended_otherwise, job_revived, job_removed),
}
"""Ways in which a history can be wrong, by the rule that has to say so."""


class CheckerTests(SynchronousTestCase):
    """See the module."""

    @given(sound_histories())
    def test_sound(self, history: History) -> None:
        """What a cluster that does nothing wrong does is no reason to complain."""
        self.assertEqual(complaints(history), [])

    @given(sound_histories(), st.sampled_from([(r, w) for r, every in WRONG.items() for w in every]))
    def test_wrong(self, history: History, way: tuple[str, Callable[[History], History]]) -> None:
        """Whatever else has happened, each thing that must not is complained of by its rule."""
        rule, wrong = way
        said = [text.partition(":")[0] for text in complaints(wrong(history))]
        self.assertIn(rule, said)

    def test_every_way(self) -> None:
        """Each way is tried at least once, and each rule is known to complain."""
        cluster = Cluster()
        for deed in (*DEEDS, Cluster.elect, Cluster.step, Cluster.submit):
            deed(cluster, "node2")
        cluster.elect("node3")
        cluster.read("node1")
        cluster.step("node2")
        for rule, ways in WRONG.items():
            for wrong in ways:
                said = complaints(wrong(cluster.history()))
                self.assertIn(rule, [text.partition(":")[0] for text in said], wrong.__name__)
        self.assertEqual({rule.__name__ for rule in RULES}, set(WRONG))

    @given(sound_histories(), st.data())
    def test_late(self, history: History, data: st.DataObject) -> None:
        """What was seen late, or was not seen at all, proves nothing."""
        late = data.draw(st.floats(0, 50))
        events = [
            replace(event, at=event.at + late) if isinstance(event, Committed) else event
            for event in history.events
        ]
        self.assertEqual(complaints(History(tuple(events))), [])
        unseen = data.draw(st.sampled_from([Committed, Asked, Held, Ran, Stepped, Served, Listed, Caused]))
        kept = [event for event in history.events if not isinstance(event, unseen)]
        self.assertEqual(complaints(History(tuple(kept))), [])

    def test_same_term_again(self) -> None:
        """Who moves a cluster into the store may put its master's name to the term it has taken."""
        moved = [
            Committed(at=1, revision=2, writer="a", kinds=("election", "seat"), term=1, node="rapi-admin"),
            Committed(at=2, revision=3, writer="a", kinds=("election", "node"), term=1, node="node1"),
            Committed(at=3, revision=4, writer="b", kinds=("election", "seat"), term=2, node="node1"),
        ]
        self.assertEqual(complaints(History(tuple(moved))), [])
