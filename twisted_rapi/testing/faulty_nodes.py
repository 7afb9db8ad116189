"""Nodes in memory of which some steps fail, or which die of them."""

from collections.abc import Callable, Iterable
from typing import Literal

from twisted_rapi.errors import NodeUnreachable, StepFailed
from twisted_rapi.model.steps import Outcome, Step
from twisted_rapi.testing.nodes import FakeNodes

Fault = Literal["fails", "fails late", "dies", "dies late"]
"""A step fails or its node dies, before or after the step was carried out."""


class FaultyNodes(FakeNodes):
    """
    `FakeNodes` with faults.

    :param fault_of: asked before each step what happens to it.
    :param done: called after each that was carried out and told.
    """

    def __init__(
        self, uuids: Iterable[str], fault_of: Callable[[Step], Fault | None], done: Callable[[], None]
    ) -> None:
        super().__init__(uuids)
        self._fault_of, self._done = fault_of, done

    async def perform(self, node: str, step: Step, patience: float = 0.0, offline: bool = False) -> Outcome:
        """Carry it out, unless a fault is planted here."""
        fault = self._fault_of(step)
        found = self.nodes[node]
        if fault == "dies":
            found.down = True
        if found.down:
            raise NodeUnreachable("it is down")
        if fault == "fails":
            raise StepFailed("a planted fault")
        outcome = found.carry_out(step)
        if fault == "fails late":
            raise StepFailed("a planted fault")
        if fault == "dies late":
            found.down = True
            raise NodeUnreachable("it is down")
        self._done()
        return outcome


def by_node(placed: Iterable[tuple[str, Iterable[str]]]) -> dict[str, set[str]]:
    """Instances' uuids by node, from the nodes of each."""
    found: dict[str, set[str]] = {}
    for instance, nodes in placed:
        for node in nodes:
            found.setdefault(node, set()).add(instance)
    return found
