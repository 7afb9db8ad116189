"""
What must hold of everything that happened in a lab; pure.

Each rule answers complaints, in words.  A rule complains only of what the events prove: an event that was
seen late, or not at all, is no reason to complain (`twisted_rapi.testing.lab.history` says what is certain).
"""

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator

from twisted_rapi.testing.lab.history import (
    FINAL,
    Asked,
    Committed,
    Held,
    History,
    JobSeen,
    Listed,
    Ran,
    Served,
    Stepped,
)

Rule = Callable[[History], Iterator[str]]

NO_MASTERS = frozenset({"election", "seat", "moved", "candidate", "switch", "distribution"})
"""Kinds of keys that are written by who is not, or not yet, master."""


def one_master_per_term(history: History) -> Iterator[str]:
    """Terms rise, each has one master, and nobody serves one that is not its own."""
    masters: dict[int, str] = {}
    last, writer = 0, ""
    for commit in _in_order(history):
        if commit.term is None:
            continue
        # Who moves a cluster into the store puts another name to the term that is its own anyway.
        again = commit.term == last and commit.writer == writer
        if commit.term <= last and not again:
            yield f"term {commit.term} of {commit.node} came after term {last}"
            continue
        last, writer = commit.term, commit.writer
        masters[last] = commit.node
    served: dict[int, str] = {}
    for claim in history.of(Served):
        if claim.term in served:
            yield f"term {claim.term} was served by {served[claim.term]} and by {claim.node}"
        served[claim.term] = claim.node
        if masters and masters.get(claim.term) != claim.node:
            yield f"{claim.node} served term {claim.term}, which was {masters.get(claim.term, 'nobody')}'s"


def only_masters_write(history: History) -> Iterator[str]:
    """What a term's master does not write nobody does, once the term has begun."""
    writer, term = "", 0
    for commit in _in_order(history):
        if commit.term is not None:
            writer, term = commit.writer, commit.term
        kinds = set(commit.kinds) - NO_MASTERS
        if term and kinds and commit.writer != writer:
            what = ", ".join(sorted(kinds))
            yield f"{commit.writer} wrote {what} in term {term}, {writer}'s, at revision {commit.revision}"


def nothing_stale_is_answered(history: History) -> Iterator[str]:
    """No answer shows a master whose term was over when the question was asked."""
    begun = [(commit.at, commit.node) for commit in _in_order(history) if commit.term is not None]
    times = sorted(at for at, _ in begun)
    for asked in history.of(Asked):
        if asked.outcome != "answered" or not asked.master:
            continue
        # All that was seen before the question had been made then; what was made later is not known to be.
        newest = bisect_left(times, asked.at) - 1
        if newest >= 0 and asked.master not in {node for _, node in begun[newest:]}:
            yield f"asked at {asked.at:.3f}, {asked.address} showed {asked.master}, deposed before"


def address_on_one_node(history: History) -> Iterator[str]:
    """No two nodes have the floating address at once."""
    for held in history.of(Held):
        if len(held.nodes) > 1:
            yield f"at {held.at:.3f} the address was on {' and '.join(held.nodes)}"


def no_machine_runs_twice(history: History) -> Iterator[str]:
    """No machine runs on two nodes at once."""
    for ran in history.of(Ran):
        if len(ran.nodes) > 1:
            yield f"at {ran.at:.3f} {ran.instance} ran on {' and '.join(ran.nodes)}"


def agents_obey_the_newest(history: History) -> Iterator[str]:
    """No agent begins a step of an older term after one of a newer, or of a term that nobody had."""
    highest: defaultdict[str, int] = defaultdict(int)
    terms = {commit.term for commit in history.of(Committed)} - {None}
    for step in history.of(Stepped):
        if step.term < highest[step.node]:
            yield f"{step.node} did {step.step} for term {step.term} after term {highest[step.node]}"
        if terms and step.term not in terms:
            yield f"{step.node} did {step.step} for term {step.term}, which never began"
        highest[step.node] = max(highest[step.node], step.term)


def acknowledged_once(history: History) -> Iterator[str]:
    """Every job that was acknowledged is there, once, as what was asked for; no other one is there twice."""
    jobs = _listed(history)
    if jobs is None:
        return
    given = Counter(a.job for a in _acknowledged(history))
    yield from (f"job {job} was given out {n} times" for job, n in given.items() if n > 1)
    for asked in _acknowledged(history):
        if asked.job not in jobs:
            yield f"job {asked.job} was acknowledged and is gone"
        elif asked.mark not in jobs[asked.job].marks:
            yield f"job {asked.job} is not {asked.mark}"
    made = Counter(mark for job in jobs.values() for mark in job.marks)
    wanted = {a.mark for a in history.of(Asked) if a.mark}
    yield from (f"{mark} was made {made[mark]} times" for mark in sorted(wanted) if made[mark] > 1)


def every_job_ends(history: History) -> Iterator[str]:
    """Every job has ended at the end, and what has ended stays as it ended."""
    jobs = _listed(history) or {}
    yield from (f"job {n} is still {job.status}" for n, job in jobs.items() if job.status not in FINAL)
    ends: dict[int, str] = {}
    for commit in _in_order(history):
        yield from (f"job {n} was removed at revision {commit.revision}" for n in commit.gone)
        for number, job in commit.jobs.items():
            if ends.get(number, job.status) != job.status:
                yield f"job {number} was {ends[number]} and became {job.status}"
            if job.status in FINAL:
                ends[number] = job.status
    for number, job in jobs.items():
        if ends.get(number, job.status) != job.status:
            yield f"job {number} was {ends[number]} and is {job.status}"
    yield from _told_otherwise(history, jobs)


def _told_otherwise(history: History, jobs: dict[int, JobSeen]) -> Iterator[str]:
    for asked in history.of(Asked):
        if asked.ended and asked.job in jobs and jobs[asked.job].status != asked.ended:
            yield f"job {asked.job} was shown as {asked.ended} and is {jobs[asked.job].status}"


RULES: tuple[Rule, ...] = (
    one_master_per_term,
    only_masters_write,
    nothing_stale_is_answered,
    address_on_one_node,
    no_machine_runs_twice,
    agents_obey_the_newest,
    acknowledged_once,
    every_job_ends,
)


def complaints(history: History) -> list[str]:
    """What is wrong, rule by rule; nothing where all is well."""
    return [f"{rule.__name__}: {text}" for rule in RULES for text in rule(history)]


def _in_order(history: History) -> list[Committed]:
    return sorted(history.of(Committed), key=lambda commit: commit.revision)


def _acknowledged(history: History) -> Iterator[Asked]:
    return (a for a in history.of(Asked) if a.outcome == "answered" and a.mark and a.job is not None)


def _listed(history: History) -> dict[int, JobSeen] | None:
    """The jobs at the end, if they were asked for."""
    found = None
    for listed in history.of(Listed):
        found = listed.jobs
    return found
