"""What the agent asks of the parts it does not share with the master."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from zope.interface import Interface

from twisted_rapi.model.seen import OsSeen
from twisted_rapi.model.steps import RunAllocator, RunHooks, RunOs


class IHookRunner(Interface):
    """The scripts of this node that are run before and after operations (behaviour.md §9)."""

    async def folders() -> tuple[str, ...]:
        """Paths and phases that have scripts, such as ``instance-start-pre``, sorted."""

    async def run(step: RunHooks) -> tuple[tuple[str, bool, str], ...]:
        """
        Run the scripts of a path and phase one after the other, whatever becomes of each.

        Answers name, success and output of each, in byte order of the names.  None outlives the agent.

        :raises StepFailed: kind ``os``: scripts cannot be run here at all.
        """

    def observe(changed: Callable[[], None]) -> Callable[[], None]:
        """
        Call `changed` when `folders` may have changed, as far as that is noticed.

        Answers how to end that.
        """


class IOsRunner(Interface):
    """The OS definitions of this node (behaviour.md §8)."""

    async def discover() -> tuple[OsSeen, ...]:
        """All definitions of the search path, those that cannot be used included, by name."""

    async def verify(os: str, osparams: Mapping[str, Any]) -> None:
        """
        Have the definition check parameters.

        :param os: the definition's name, with ``+variant`` where one is chosen.
        :raises StepFailed: kind ``os``: there is no such definition, or it does not take the parameters.
        """

    async def run(step: RunOs, paths: Sequence[str]) -> None:
        """
        Run one of the definition's scripts for an instance.

        :param paths: where the instance's disks are, in their order.
        :raises StepFailed: kind ``os``: with the last lines the script printed.
        """


class IAllocators(Interface):
    """The allocator scripts of this node (behaviour.md §7)."""

    async def run(step: RunAllocator) -> str:
        """
        What the script of this name printed on its standard output.

        :raises StepFailed: kind ``allocator``: there is no such script, it exited with another status than 0
            (the text has the last lines it printed), or took too long.
        """
