"""Answering queries: row by row, in slices, from memory; from the store where archived jobs are asked for."""

from collections.abc import Sequence

from twisted_rapi.cluster.answers import Answers, encode
from twisted_rapi.cluster.interface import ICluster
from twisted_rapi.errors import BadRequest
from twisted_rapi.jobs.gathering import Gatherer
from twisted_rapi.plan.query import Query, Row, ordered, rows
from twisted_rapi.plan.view import View

MOST_BYTES = 64 * 1024 * 1024  # of an answer's rows


async def rows_of(
    query: Query, answers: Answers, cluster: ICluster, most: int = MOST_BYTES
) -> Sequence[bytes]:
    """
    The encoded rows of a query's answer; each is right as of its own moment.

    :raises FilterError: the filter compares a value with one of another type.
    :raises BadRequest: they would have more than `most` bytes.
    :raises StoreError: archived jobs cannot be read.
    """
    of_jobs = query.resource.name == "job"
    wide = answers.wide_view if query.resource.name == "instance" else answers.view

    def look() -> View:
        return wide(locks=cluster.locks, jobs={job.id: job for job in cluster.jobs()} if of_jobs else {})

    texts: dict[int, bytes] = {}
    size = 0

    def add(place: int, row: Row) -> None:
        nonlocal size
        text = texts[place] = encode(row)
        size += len(text)
        if size > most:
            raise BadRequest(f"The answer would have more than {most} bytes: please ask for less at once")

    gatherer = Gatherer(slices=answers.slices(), look=look, job=cluster.job, page=cluster.archive)
    view = look()
    await gatherer.carry_out(rows(query, view, add), view)
    return ordered(query, texts)
