"""What holds of the cluster's use cases, whatever store is below them."""

from typing import TYPE_CHECKING, Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.trial.unittest import TestCase
from zope.interface.verify import verifyObject

from twisted_rapi.cluster.interface import ICluster
from twisted_rapi.errors import BadRequest, ServiceUnavailable
from twisted_rapi.model.opcodes import Opcode, from_wire
from twisted_rapi.model.records import FINAL, JobRecord, job_status

if TYPE_CHECKING:
    _Base = TestCase
else:
    _Base = object


def tag(name: str, **more: Any) -> Opcode:
    """An opcode that tags the cluster."""
    return from_wire({"OP_ID": "OP_TAGS_SET", "kind": "cluster", "tags": [name], **more})


class ClusterContract(_Base):
    """Mixed into a test case that makes `cluster`, of nodes that answer, and can end its term."""

    cluster: Any

    def end_term(self) -> Any:
        """End it; may answer a Deferred."""
        raise NotImplementedError

    async def ended(self, number: int) -> JobRecord:
        """The job, once it has ended."""
        while True:
            job: JobRecord | None = await self.cluster.wait(
                number, lambda job: job_status(job) not in FINAL, 10.0
            )
            assert job is not None
            if job_status(job) in FINAL:
                return job

    async def test_interface(self) -> None:
        """It offers what it should."""
        verifyObject(ICluster, self.cluster)

    async def test_submit(self) -> None:
        """A job that is answered is known at once, runs by itself, and what it did can be read."""
        number = await self.cluster.submit([tag("a"), tag("b")], "request")
        job = await self.cluster.job(number)
        self.assertEqual((job.id, job.request_id, len(job.ops)), (number, "request", 2))
        self.assertIn(number, [j.id for j in self.cluster.jobs()])
        self.assertEqual(job_status(await self.ended(number)), "success")
        self.assertEqual(self.cluster.snapshot.cluster.tags, ("a", "b"))

    async def test_ids(self) -> None:
        """Ids rise in the order of submission, also of jobs submitted at once."""
        begun = [Deferred.fromCoroutine(self.cluster.submit([tag(f"t{n}")])) for n in range(5)]
        numbers = [await d for d in begun]
        self.assertEqual(numbers, sorted(set(numbers)))
        for number in numbers:
            await self.ended(number)

    async def test_refused(self) -> None:
        """What cannot be meant is refused, and no job is made."""
        for ops in ([], [tag("a", depends=[[-1, []]])]):
            with self.assertRaises(BadRequest):
                await self.cluster.submit(ops)
        self.assertEqual(list(self.cluster.jobs()), [])

    async def test_unknown(self) -> None:
        """An unknown job is nothing, and cannot be waited for or cancelled."""
        self.assertIsNone(await self.cluster.job(99))
        self.assertIsNone(await self.cluster.wait(99, lambda _: True, 10.0))
        self.assertEqual((await self.cluster.cancel(99))[0], False)

    async def test_wait(self) -> None:
        """A wait ends when the job is no longer as described, at once if it is not now."""
        number = await self.cluster.submit([tag("a")])
        job = await self.cluster.wait(number, lambda _: False, 10.0)
        self.assertEqual(job.id, number)
        await self.ended(number)

    async def test_wait_cancelled(self) -> None:
        """A wait that is given up leaves the job alone."""
        first = await self.cluster.submit([tag("a")])
        await self.ended(first)
        number = await self.cluster.submit([tag("b", depends=[[first, ["success"]]])])
        waiting = Deferred.fromCoroutine(self.cluster.wait(number, lambda _: True, 10.0))
        waiting.cancel()
        waiting.addErrback(lambda f: f.trap(CancelledError))
        await waiting
        self.assertEqual(job_status(await self.ended(number)), "success")

    async def test_submit_cancelled(self) -> None:
        """A client that goes away does not take the job with it."""
        asked = Deferred.fromCoroutine(self.cluster.submit([tag("a")]))
        asked.cancel()
        asked.addErrback(lambda f: f.trap(CancelledError))
        await asked
        number = await self.cluster.submit([tag("b")])
        await self.ended(number)
        self.assertEqual(self.cluster.snapshot.cluster.tags, ("a", "b"))

    async def test_cancel_ended(self) -> None:
        """A job that has ended cannot be cancelled."""
        number = await self.cluster.submit([tag("a")])
        await self.ended(number)
        self.assertEqual((await self.cluster.cancel(number))[0], False)
        self.assertEqual(job_status(await self.cluster.job(number)), "success")

    async def test_term_ends(self) -> None:
        """After the term nothing can be waited for or cancelled: who asks is told to ask again."""
        number = await self.cluster.submit([tag("a")])
        await self.ended(number)
        await self.end_term()
        with self.assertRaises(ServiceUnavailable):
            await self.cluster.cancel(number)
