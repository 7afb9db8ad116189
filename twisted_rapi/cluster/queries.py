"""Answering queries: row by row, in slices, from memory; from the store where archived jobs are asked for."""

from collections.abc import AsyncIterator, Sequence

from twisted_rapi.cluster.answers import Answers, encode
from twisted_rapi.cluster.interface import ICluster
from twisted_rapi.model.query import wanted
from twisted_rapi.model.records import JobRecord
from twisted_rapi.plan.query import Query
from twisted_rapi.plan.view import View

BATCH = 32  # rows


async def rows_of(query: Query, answers: Answers, cluster: ICluster) -> Sequence[bytes]:
    """
    The encoded rows of a query's answer, some together; each is right as of its own moment.

    :raises FilterError: the filter compares a value with one of another type.
    :raises StoreError: archived jobs cannot be read.
    """
    if query.resource.name == "job":
        return await _jobs(query, answers, cluster)
    look = answers.wide_view if query.resource.name == "instance" else answers.view
    slices, view = answers.slices(), look(locks=cluster.locks)
    ids, texts = query.ids(view), []
    for begin in range(0, len(ids), BATCH):
        if await slices.pause():
            view = look(locks=cluster.locks)
        found = [row for id_ in ids[begin : begin + BATCH] if (row := query.row(view, id_)) is not None]
        if found:
            texts.append(encode(found)[1:-1])
    return texts


async def _jobs(query: Query, answers: Answers, cluster: ICluster) -> Sequence[bytes]:
    slices, view = answers.slices(), answers.view()
    ids = wanted(query.filter, "id")
    if ids is not None and all(isinstance(n, int) and not isinstance(n, bool) for n in ids):
        found = [await cluster.job(n) for n in ids]
        return _encoded(query, view, [job for job in found if job is not None])
    rows: dict[int, bytes] = {}
    async for jobs in _pages(query, cluster):
        for job in jobs:
            await slices.pause()
            for row in _encoded(query, view, [job]):
                rows[job.id] = row
    return [rows[job_id] for job_id in sorted(rows)]


async def _pages(query: Query, cluster: ICluster) -> AsyncIterator[Sequence[JobRecord]]:
    """Archived jobs if the query is about that, then the others: one archived meanwhile is not missed."""
    yield list(cluster.jobs())
    after: str | None = "" if query.mentions("archived") else None
    while after is not None:
        jobs, after = await cluster.archive(after)
        yield jobs


def _encoded(query: Query, view: View, jobs: Sequence[JobRecord]) -> list[bytes]:
    rows = (query.row_of(view, job) for job in jobs)
    return [encode(row) for row in rows if row is not None]
