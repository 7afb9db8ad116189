"""A fencer without programs: machines that are on or off."""

import attrs
from zope.interface import implementer

from twisted_rapi.agent.interface import IFencer
from twisted_rapi.errors import StepFailed
from twisted_rapi.model.steps import FenceNode


@implementer(IFencer)
@attrs.define(eq=False)
class FakeFencer:
    """
    `IFencer` over machines in memory.

    :ivar on: names of the nodes that have power.
    :ivar trouble: by name, why one cannot be switched off.
    :ivar asked: the steps that came.
    """

    on: set[str] = attrs.field(factory=set)
    trouble: dict[str, str] = attrs.field(factory=dict)
    asked: list[FenceNode] = attrs.field(factory=list)

    async def fence(self, step: FenceNode) -> str:
        """See `IFencer.fence`."""
        self.asked.append(step)
        if step.name in self.trouble and step.name in self.on:
            raise StepFailed(self.trouble[step.name], "fencing")
        self.on.discard(step.name)
        return f"{step.name} is off"
