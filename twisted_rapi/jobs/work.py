"""Carrying out the work of a stage: steps on nodes, in sequence and in parallel."""

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, DeferredList
from twisted.logger import Logger

from twisted_rapi.errors import (
    HypervisorError,
    JobError,
    NodeError,
    NodeUnreachable,
    OpExecError,
    RapiError,
    StepFailed,
)
from twisted_rapi.model.steps import Outcome
from twisted_rapi.plan.stage import Do, InParallel, InSequence, Work, steps_of
from twisted_rapi.rpc.interface import INodes

Outcomes = list[Outcome | None]


class Worker:
    """
    Carries works out; one for each `twisted_rapi.plan.stage.Perform`.

    :param name_of: a node's name from its uuid, for the errors.
    :ivar error: why the first step failed, if any did.
    """

    _log = Logger()

    def __init__(self, nodes: INodes, patience: float, name_of: Callable[[str], str]) -> None:
        self._nodes, self._patience, self._name_of = nodes, patience, name_of
        self.error: JobError | None = None

    async def carry_out(self, work: Work) -> Outcomes:
        """One outcome a step in the order of `steps_of`; ``None`` for one that failed or was not reached."""
        match work:
            case Do():
                return [await self._step(work)]
            case InSequence():
                return await self._sequence(work)
            case InParallel():
                return await self._parallel(work)

    async def _sequence(self, work: InSequence) -> Outcomes:
        outcomes: Outcomes = []
        failed = False
        for part in work.works:
            if failed:
                outcomes += [None] * sum(1 for _ in steps_of(part))
                continue
            got = await self.carry_out(part)
            outcomes += got
            failed = None in got
        return outcomes

    async def _parallel(self, work: InParallel) -> Outcomes:
        begun = [Deferred.fromCoroutine(self.carry_out(part)) for part in work.works]
        # All of them, whatever happens to one: the locks must not be given back while a step is under way.
        parts: list[tuple[bool, Any]] = await DeferredList(begun, consumeErrors=True)
        outcomes: Outcomes = []
        for well, got in parts:
            if not well:
                error: BaseException = got.value
                raise error
            outcomes += got
        return outcomes

    async def _step(self, do: Do) -> Outcome | None:
        try:
            return await self._nodes.perform(do.node, do.step, self._patience)
        except NodeError as e:
            if self.error is None:
                self.error = self._explained(do, e)
            return None
        except (RapiError, CancelledError):
            raise
        except Exception:  # noqa: BLE001 -- it is in the log, and the job is told
            # A bug on the way to the node: the step counts as failed, so that what was half made is removed.
            self._log.failure("step for {instance} met a bug", instance=do.step.instance)
            if self.error is None:
                self.error = OpExecError(
                    f"Node {self._name_of(do.node)}: internal error, see the master's log"
                )
            return None

    def _explained(self, do: Do, e: NodeError) -> JobError:
        name = self._name_of(do.node)
        if isinstance(e, StepFailed) and e.kind == "hypervisor":
            return HypervisorError(f"Node {name}: {e.text}")
        if isinstance(e, NodeUnreachable):
            step = str(do.step.__struct_config__.tag)
            asked = f"{step} of {do.step.instance}" if do.step.instance else step
            return OpExecError(f"Node {name} did not answer while asked for {asked}: {e}")
        return OpExecError(f"Node {name}: {e}")
