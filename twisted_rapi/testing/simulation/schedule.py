"""
Schedules: what happens to a simulated cluster, as plain data that can be printed and played again.

A schedule is a list of actions; an action is the name of a method of `Simulation` and its arguments.
"""

import gc
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from random import Random
from typing import Any

from twisted.logger import ILogObserver, LogEvent, globalLogPublisher
from zope.interface import provider

from twisted_rapi.errors import RapiError
from twisted_rapi.testing.simulation.asking import KINDS
from twisted_rapi.testing.simulation.simulation import Broken, Program, Simulation

Action = tuple[Any, ...]
Schedule = list[Action]

COUNT = int(os.environ.get("RAPI_SCHEDULES", "2000"))
"""How many schedules are tried; any further ones begin where these end."""

LENGTH = (5, 40)
"""How many actions a schedule has at least and at most, the time between them aside."""

RATES = (0.99, 1.01)


def _way(chance: Random) -> Action:
    """A state of a way: both directions, and the delay."""
    return chance.choice(
        [
            *((True, True, 0.0),) * 2,
            *((False, False, 0.0), (False, True, 0.0), (True, False, 0.0)),
            (True, True, round(chance.uniform(0.0, 3.0), 2)),
        ]
    )


def _number(chance: Random) -> int:
    return chance.randrange(3)


_KINDS: tuple[tuple[int, Callable[[Random], Action]], ...] = (
    (8, lambda c: ("submit", c.randrange(KINDS), c.randrange(9))),
    (4, lambda c: ("submit", 2, c.randrange(9))),
    (4, lambda c: ("cut", _number(c), *_way(c))),
    (3, lambda c: ("cut_node", _number(c), _number(c), *_way(c))),
    (3, lambda c: ("stop", _number(c))),
    (3, lambda c: ("go_on", _number(c))),
    (2, lambda c: ("kill", _number(c))),
    (3, lambda c: ("restart", _number(c))),
    (2, lambda c: ("switch", _number(c))),
    (3, lambda c: ("node", _number(c), c.random() < 0.7, c.choice([0.0, 0.0, 0.5, 4.0]))),
    (1, lambda c: ("die", _number(c))),
    (2, lambda c: ("lose", _number(c))),
    (1, lambda c: ("confirm", _number(c))),
    (2, lambda c: ("crash", _number(c))),
    (1, lambda c: ("advance", round(c.uniform(5.0, 15.0), 3))),
    (1, lambda c: ("able", _number(c), c.random() < 0.6)),
)
"""How often an action comes, and what it is."""


def _begun(node: int, which: int) -> Schedule:
    """A guest is made, and runs."""
    return [("submit", 2, 3 * node + which), ("advance", 2.0)]


def _lost(c: Random) -> Schedule:
    """A machine with a guest is lost for long enough for something to be done about it."""
    node = _number(c)
    return [*_begun(node, _number(c)), ("lose", node), ("advance", round(c.uniform(8.0, 14.0), 3))]


def _unlucky(c: Random) -> Schedule:
    """A guest ends again and again, under several masters."""
    which = _number(c)
    ends: Schedule = [("crash", which), ("advance", round(c.uniform(3.5, 5.0), 3))]
    return [*_begun(_number(c), which), *ends * 2, ("switch", _number(c)), *ends * 3]


def _behind(c: Random) -> Schedule:
    """A candidate hears from the store again a moment before it is its turn."""
    number, moment = _number(c), ("advance", round(c.uniform(0.0, 0.5), 3))
    others = [n for n in range(3) if n != number]
    aside: Schedule = [("cut", number, False, False, 0.0), ("submit", 1, c.randrange(9)), ("advance", 4.0)]
    return [
        *aside,
        *(("stop", n) for n in others),
        ("advance", 2.6),
        ("cut", number, True, True, 0.0),
        moment,
    ]


_STORIES: tuple[Callable[[Random], Schedule], ...] = (_lost, _unlucky, _behind)
_TOLD = 0.3
"""What seldom comes about by chance; one of them comes in so many of the schedules, first in half of them."""


def schedule(seed: int) -> tuple[tuple[float, ...], Schedule]:
    """The rates of the clocks, and what happens, in the schedule of this number."""
    chance = Random(seed)
    rates = tuple(round(chance.uniform(*RATES), 4) for _ in range(3))
    makers = [maker for _, maker in _KINDS]
    weights = [weight for weight, _ in _KINDS]
    actions: Schedule = [("advance", 1.0)]
    for maker in chance.choices(makers, weights, k=chance.randint(*LENGTH)):
        actions.append(maker(chance))
        if chance.random() < 0.7:
            actions.append(("advance", round(chance.choice([0.01, 0.3, 1.0, 4.0]) * chance.random(), 3)))
    if chance.random() < _TOLD:
        at = chance.choice([1, chance.randint(1, len(actions))])
        actions[at:at] = chance.choice(_STORIES)(chance)
    return rates, actions


def play(actions: Iterable[Action], rates: tuple[float, ...], program: Program | None = None) -> Simulation:
    """
    Have all of it happen, then wait until all is well.

    :raises Broken: something that must hold does not.
    """
    with _bugs() as bugs:
        simulation = Simulation(program or Program(), rates)
        for name, *arguments in actions:
            getattr(simulation, name)(*arguments)
            simulation.look()
        simulation.settle()
    if bugs:
        raise Broken(f"bugs in the log: {bugs}")
    return simulation


@contextmanager
def _bugs() -> Iterator[list[str]]:
    """What is logged as failure meanwhile, the foreseen aside."""
    found: list[str] = []

    @provider(ILogObserver)
    def note(event: LogEvent) -> None:
        failure = event.get("log_failure")
        if failure is not None and not isinstance(failure.value, RapiError):
            found.append(f"{event.get('log_format')}: {failure.value!r}")

    # Processes that were killed in earlier schedules wait for ever; when they are collected some complain.
    collecting = gc.isenabled()
    gc.disable()
    globalLogPublisher.addObserver(note)
    try:
        yield found
    finally:
        globalLogPublisher.removeObserver(note)
        if collecting:
            gc.enable()


def trouble(actions: Iterable[Action], rates: tuple[float, ...], program: Program | None = None) -> str:
    """What does not hold in a schedule; "" when all does."""
    try:
        play(actions, rates, program)
    except Broken as e:
        return str(e)
    return ""


def shrunk(actions: Schedule, rates: tuple[float, ...], program: Program | None = None) -> Schedule:
    """A part of a schedule with trouble that has trouble, too, without which nothing can be left out."""
    size = max(1, len(actions) // 2)
    while True:
        at = 0
        while at < len(actions):
            fewer = actions[:at] + actions[at + size :]
            if trouble(fewer, rates, program):
                actions = fewer
            else:
                at += size
        if size == 1:
            return actions
        size //= 2


def first_trouble(seeds: Iterable[int], program: Program | None = None) -> str:
    """What does not hold in the first of these schedules that has trouble, and how to play it again."""
    for seed in seeds:
        rates, actions = schedule(seed)
        if trouble(actions, rates, program):
            least = shrunk(actions, rates, program)
            told = "\n".join(f"    {action}," for action in least)
            return f"schedule {seed}: {trouble(least, rates, program)}\nplay([\n{told}\n], {rates})"
    return ""
