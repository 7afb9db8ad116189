"""Schedules of failures over whole masters, agents and clients, and that faults in the program are found."""

import gc

from twisted.trial.unittest import SynchronousTestCase

from twisted_rapi.plan.watchdog import WatchdogRules
from twisted_rapi.testing.simulation.faults import (
    CertainCandidate,
    EagerWatchdog,
    ForgetfulStore,
    HastySnapshot,
    UnfencedStore,
)
from twisted_rapi.testing.simulation.schedule import (
    COUNT,
    Schedule,
    first_trouble,
    play,
    schedule,
    shrunk,
    trouble,
)
from twisted_rapi.testing.simulation.simulation import Broken, Program

MOST = 400
"""Schedules after which a fault must have been found."""


class ScheduleTests(SynchronousTestCase):
    """The program as it is."""

    def tearDown(self) -> None:
        """Schedules judge the log themselves; what is left of killed processes may complain later."""
        gc.collect()
        self.flushLoggedErrors()

    def test_all_holds(self) -> None:
        """
        Processes stop and die, clocks differ, ways are cut one way or both and are slow, nodes come and go.

        One master acts at a time, terms rise, nobody writes or has an agent work for an older term after a
        newer one, no machine runs twice; then all that was accepted is there once and ends, and nothing is
        left half made.
        """
        self.assertEqual(first_trouble(range(COUNT)), "")

    def test_back_too_soon(self) -> None:
        """A dead node that answers before the job ends that marks it offline is online in the end, too."""
        actions: Schedule = [
            *(("stop", 2), ("advance", 0.286), ("switch", 1), ("advance", 0.698), ("confirm", 2)),
            *(("advance", 3.556), ("advance", 0.759), ("submit", 2, 1), ("die", 0), ("advance", 0.357)),
        ]
        self.assertEqual(trouble(actions, (0.993, 1.0069, 0.9956)), "")

    def test_same_again(self) -> None:
        """A schedule that is played again goes the same way."""
        rates, actions = schedule(7)
        one, other = play(actions, rates), play(actions, rates)
        self.assertEqual((one.history, one.acknowledged), (other.history, other.acknowledged))
        self.assertEqual(one.everything(), other.everything())

    def test_something_happens(self) -> None:
        """Schedules have several terms and jobs that are accepted, most of which do what they are to."""
        played = [play(actions, rates) for rates, actions in map(schedule, range(20))]
        self.assertGreater(sum(len(one.history) for one in played), 30)
        self.assertGreater(sum(len(one.acknowledged) for one in played), 40)


class FaultTests(SynchronousTestCase):
    """Faults planted in the program."""

    def tearDown(self) -> None:
        """What a program with a fault logs is of no interest."""
        gc.collect()
        self.flushLoggedErrors()

    def check(self, program: Program, word: str, first: int = 0) -> None:
        """It is found, with a schedule that has no trouble without the fault; `first` only saves time."""
        for seed in range(first, first + MOST):
            rates, actions = schedule(seed)
            found = trouble(actions, rates, program)
            if found:
                self.assertIn(word, found)
                self.assertEqual(trouble(actions, rates), "")
                return
        self.fail(f"{program} has no trouble in {MOST} schedules")

    def test_certain(self) -> None:
        """A master that takes its term for granted."""
        self.check(Program(election=CertainCandidate), "several act", 8)

    def test_no_fence(self) -> None:
        """A store that takes the commits of old masters."""
        self.check(Program(store=UnfencedStore), "wrote", 8)

    def test_no_standing(self) -> None:
        """Candidates that go for the seat though they may not."""
        self.check(Program(standing=False), "may not be master")

    def test_no_proof(self) -> None:
        """Machines that are said to have no power, and have it."""
        self.check(Program(honest=False), "runs twice")

    def test_reads_go_back(self) -> None:
        """A new master that shows what it knows before it has heard of all that came before its term."""
        self.check(Program(snapshot=HastySnapshot), "shows revision", 20)

    def test_doubled(self) -> None:
        """A request for a job that is made again though the first one may have been heard."""
        self.check(Program(repeats=True), "a job is there twice", 5)

    def test_eager_watchdog(self) -> None:
        """A watchdog that does not look what jobs are under way, nor how often it has started something."""
        self.check(Program(watching=EagerWatchdog), "a watchdog starts", 5)

    def test_tireless_watchdog(self) -> None:
        """A watchdog that starts the same machine more often than it may."""
        self.check(Program(watchdog=WatchdogRules(wait=3.0, starts=99)), "times within an hour", 5)

    def test_forgetful_watchdog(self) -> None:
        """One whose notes of what it has started are lost."""
        self.check(Program(store=ForgetfulStore), "times within an hour", 5)

    def test_lax_agents(self) -> None:
        """Agents that carry out what old masters ask for, here over a slow way after a planned switch."""
        actions: Schedule = [
            ("advance", 0.129),
            ("cut_node", 0, 1, True, True, 2.81),
            ("submit", 2, 5),
            ("switch", 2),
            ("advance", 0.214),
        ]
        rates = (0.9917, 1.0017, 0.998)
        self.assertIn("after one of", trouble(actions, rates, Program(strict=False)))
        self.assertEqual(trouble(actions, rates), "")

    def test_shrunk(self) -> None:
        """What is told of a fault is a schedule of which nothing can be left out."""
        program = Program(election=CertainCandidate)
        seed = next(s for s in range(MOST) if trouble(*schedule(s)[::-1], program))
        rates, actions = schedule(seed)
        least = shrunk(actions, rates, program)
        self.assertLess(len(least), 10)
        self.assertRaises(Broken, play, least, rates, program)
        for at in range(len(least)):
            self.assertEqual(trouble(least[:at] + least[at + 1 :], rates, program), "")
        self.assertIn(f"schedule {seed}: several act", first_trouble([seed], program))
