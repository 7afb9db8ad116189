"""Carrying out what looks at many things bit by bit."""

from collections.abc import Awaitable, Callable, Generator, Iterable
from typing import Any, TypeVar

import attrs

from twisted_rapi.jobs.slices import Slices
from twisted_rapi.model.records import JobRecord
from twisted_rapi.plan.stage import ArchivedAfter, ArchivedJob, Asked
from twisted_rapi.plan.view import View

_Result = TypeVar("_Result")


@attrs.frozen(kw_only=True)
class Gatherer:
    """
    Gives work that is done bit by bit what it asks for (`twisted_rapi.plan.stage.Gather`).

    :ivar look: the cluster as of now.
    :ivar job: an archived job by its id; `page`: some of them, after a key.
    """

    slices: Slices
    look: Callable[[], View]
    job: Callable[[int], Awaitable[JobRecord | None]]
    page: Callable[[str], Awaitable[tuple[Iterable[JobRecord], str | None]]]

    async def carry_out(self, work: Generator[Asked, Any, _Result], view: View) -> _Result:
        """
        What the work comes to.

        :param view: as of now.
        :raises StoreError: archived jobs cannot be read.
        """
        try:
            asked = next(work)
            while True:
                match asked:
                    case ArchivedJob(id=job_id):
                        answer: Any = await self.job(job_id)
                    case ArchivedAfter(after=after):
                        answer = await self.page(after)
                    case None:
                        if await self.slices.pause():
                            view = self.look()
                        answer = view
                asked = work.send(answer)
        except StopIteration as e:
            result: _Result = e.value
            return result
        finally:
            work.close()
