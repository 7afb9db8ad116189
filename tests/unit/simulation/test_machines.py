"""What becomes of machines that are lost, and a machine of states over the same world."""

import gc
from contextlib import redirect_stdout
from io import StringIO
from typing import Any

from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test
from twisted.trial.unittest import SynchronousTestCase

from twisted_rapi.model.fate import NodeFateRecord
from twisted_rapi.testing.cluster import NODES
from twisted_rapi.testing.simulation.asking import KINDS
from twisted_rapi.testing.simulation.daemon import WATCHDOG
from twisted_rapi.testing.simulation.faults import CertainCandidate, EagerWatchdog
from twisted_rapi.testing.simulation.schedule import Schedule
from twisted_rapi.testing.simulation.simulation import Broken, Program, Simulation

GUEST: Schedule = [("advance", 1.0), ("submit", 2, 6), ("advance", 2.0)]
"""A guest runs on the third node, which is not the master's."""


def running(simulation: Simulation) -> list[str]:
    """The nodes where the guest really runs."""
    return [uuid[-1] for uuid in NODES for domain in simulation.fakes.nodes[uuid].domains.values()]


class LostMachineTests(SynchronousTestCase):
    """A machine that nobody sees any more."""

    def tearDown(self) -> None:
        """What is left of killed processes may complain later."""
        gc.collect()
        self.flushLoggedErrors()

    def simulation(self, program: Program | None = None) -> Simulation:
        """A guest runs on the third node."""
        simulation = Simulation(program or Program())
        for name, *arguments in GUEST:
            getattr(simulation, name)(*arguments)
        self.assertEqual(running(simulation), ["3"])
        return simulation

    def fates(self, simulation: Simulation) -> list[str]:
        """What the store says of nodes that are not well."""
        return [r.fate for r in simulation.everything().values() if isinstance(r, NodeFateRecord)]

    def test_lost(self) -> None:
        """It is suspected, its power is taken, and only then its guest runs elsewhere; it comes back."""
        simulation = self.simulation()
        simulation.lose(2)
        fates: list[str] = []
        while running(simulation) == ["3"]:
            simulation.advance(0.5)
            fates += self.fates(simulation)
        self.assertEqual(fates[0], "suspect")
        self.assertEqual(running(simulation), [])
        simulation.advance(60.0)
        self.assertEqual((self.fates(simulation), len(running(simulation))), (["fenced"], 1))
        there = running(simulation)
        self.assertNotEqual(there, ["3"])
        simulation.settle()
        self.assertEqual((self.fates(simulation), running(simulation)), ([], there))

    def test_only_silent(self) -> None:
        """While its own daemon is seen in the store nothing is done to its guests."""
        simulation = self.simulation()
        simulation.node(2, False, 0.0)
        simulation.advance(120.0)
        self.assertEqual((self.fates(simulation), running(simulation)), (["suspect"], ["3"]))

    def test_confirmed(self) -> None:
        """Where a person takes the power from it and says so, its guest starts elsewhere, once."""
        simulation = self.simulation()
        simulation.lose(2)
        simulation.confirm(2)
        simulation.kill(0)
        simulation.advance(60.0)
        self.assertEqual(len(running(simulation)), 1)
        simulation.settle()
        self.assertEqual(len(running(simulation)), 1)

    def test_said_only(self) -> None:
        """The world is judged as it is: a machine said to be dead that is not has its guest run twice."""
        simulation = self.simulation(Program(honest=False))
        simulation.lose(2)
        error = self.assertRaises(Broken, simulation.advance, 60.0)
        self.assertEqual(str(error), "an instance runs twice")

    def moved_by_hand(self, simulation: Simulation) -> None:
        """Somebody has the guest run on the second node, and tells nobody."""
        third, second = (simulation.hosts[NODES[number]] for number in (2, 1))
        second.node.domains.update(third.node.domains)
        third.node.domains.clear()
        for host in (second, third):
            host.tell()

    def test_elsewhere(self) -> None:
        """A guest that runs on another node than it should is not started."""
        simulation = self.simulation()
        self.moved_by_hand(simulation)
        simulation.advance(60.0)
        self.assertEqual((running(simulation), simulation.watchdogs.starts.total()), (["2"], 0))

    def test_elsewhere_is_found(self) -> None:
        """That one is started there is found."""
        simulation = self.simulation(Program(watching=EagerWatchdog))
        self.moved_by_hand(simulation)
        error = self.assertRaises(Broken, simulation.advance, 60.0)
        self.assertIn("a watchdog starts vm0.example.com, which runs on 2", str(error))

    def test_ended(self) -> None:
        """A guest that ends by itself is started again, three times, whoever is master."""
        simulation = self.simulation()
        for number in range(5):
            if number == 2:
                simulation.switch(1)
            simulation.crash(0)
            simulation.advance(10.0)
        self.assertEqual((running(simulation), simulation.watchdogs.starts.total()), ([], WATCHDOG.starts))


NUMBER = st.integers(0, 2)
BEFALL = ("stop", "go_on", "kill", "restart", "switch", "lose", "die", "confirm")


class Machines(RuleBasedStateMachine):
    """The simulated cluster, one thing after another, as far as it makes a difference."""

    program = Program()

    def __init__(self) -> None:
        super().__init__()
        self.simulation = Simulation(self.program)
        self.simulation.advance(1.0)

    @rule(seconds=st.sampled_from((0.01, 0.3, 1.0, 4.0, 12.0)))
    def advance(self, seconds: float) -> None:
        """Time passes."""
        self.simulation.advance(seconds)

    @rule(kind=st.integers(0, KINDS - 1), which=st.integers(0, 8))
    def submit(self, kind: int, which: int) -> None:
        """A client asks for a job."""
        self.simulation.submit(kind, which)

    @rule(
        name=st.sampled_from(BEFALL),
        n=NUMBER,
    )
    def befall(self, name: str, n: int) -> None:
        """Something happens to a machine, or is asked of the master about it."""
        getattr(self.simulation, name)(n)

    @rule(n=NUMBER, up=st.booleans(), slow=st.sampled_from((0.0, 0.5, 4.0)))
    def node(self, n: int, up: bool, slow: float) -> None:
        """A node's agent goes, comes back, is slow."""
        self.simulation.node(n, up, slow)

    @rule(n=NUMBER, able=st.booleans())
    def able(self, n: int, able: bool) -> None:
        """A node may be master, or may not."""
        self.simulation.able(n, able)

    @rule(n=NUMBER, there=st.booleans(), back=st.booleans(), delay=st.sampled_from((0.0, 0.5, 2.5)))
    def cut(self, n: int, there: bool, back: bool, delay: float) -> None:
        """The way from a candidate to the store changes."""
        self.simulation.cut(n, there, back, delay)

    @rule(n=NUMBER, node=NUMBER, there=st.booleans(), back=st.booleans())
    def cut_node(self, n: int, node: int, there: bool, back: bool) -> None:
        """The way from a candidate to a node changes."""
        self.simulation.cut_node(n, node, there, back, 0.0)

    @invariant()
    def holds(self) -> None:
        """What must hold at any moment does."""
        self.simulation.look()

    def teardown(self) -> None:
        """Once nothing fails any more all becomes well."""
        self.simulation.settle()


class CertainMachines(Machines):
    """One whose masters take their terms for granted."""

    program = Program(election=CertainCandidate)


class StateMachineTests(SynchronousTestCase):
    """Whatever may happen, in orders that hypothesis looks for."""

    def tearDown(self) -> None:
        """What is left of killed processes may complain later."""
        gc.collect()
        self.flushLoggedErrors()

    def play(self, machines: type[Machines], examples: int, **more: Any) -> None:
        """Few but long ones."""
        few = settings(max_examples=examples, stateful_step_count=40, deadline=None, derandomize=True, **more)
        run_state_machine_as_test(machines, settings=few)

    def test_all_holds(self) -> None:
        """All holds meanwhile, and in the end all is well."""
        self.play(Machines, 10)

    def test_finds(self) -> None:
        """What does not hold is found."""
        with redirect_stdout(StringIO()):
            # As it is found: the shortest of its kind is of no interest.
            found = {"phases": (Phase.generate,)}
            self.assertRaises(Broken, self.play, CertainMachines, 100, **found)
