"""Whether a program's semaphores enforce every order that matters: is its result the same when units run as far apart as they can?

Two instructions conflict if one writes what the other reads or writes. A semaphore must order conflicting instructions of two
units, or the result depends on which comes first. Here units race: each order drawn lets a favourite unit run ahead as far as
semaphores and queues allow, and its result must be that of program order. Each instruction executes whole and at once, so
`overlap`, the promise that two successive instructions of one unit do not conflict, is not tested.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from moesaic.spec.executor import MachineFault, Memory
from moesaic.spec.isa import Unit
from moesaic.spec.issue import Issue, Issued
from moesaic.spec.machine import ReferenceMachine

_FAVOUR = 0.8
"""Probability that the unit that is ahead goes on where another one could."""
_CHANGE = 0.02
"""Probability, per instruction, that another unit becomes the favourite."""


def adversarial_order(program: Sequence[Issued], depth: int | None, seed: int) -> list[int]:
    """Indices of the instructions in an order that semaphores and queues of `depth` instructions (None: unlimited) allow.

    seed: decides which of those orders. MachineFault with TIMEOUT if the program cannot end, with SEMAPHORE_OVERFLOW if a semaphore
    passes its largest count.
    """
    rng = np.random.default_rng(seed)
    rank = rng.permutation(len(Unit))
    issue, order = Issue(program, depth), []
    while True:
        issue.fill()
        ready = [unit for unit in Unit if issue.ready(unit)]
        if not ready:
            issue.require_finished()
            return order
        ahead = min(ready, key=lambda unit: rank[unit])
        unit = ahead if rng.random() < _FAVOUR else ready[rng.integers(len(ready))]
        instruction = issue.start(unit)
        issue.complete(instruction)
        order.append(instruction.index)
        if rng.random() < _CHANGE:
            rank = rng.permutation(len(Unit))


def unclaimed_signals(program: Sequence[Issued]) -> list[tuple[Unit, Unit, int]]:
    """(producer, consumer, count) of the semaphores that a program leaves above zero: signals that no instruction waits for.

    MachineFault with SEMAPHORE_OVERFLOW if a semaphore passes its largest count.
    """
    issue = Issue(program, None)
    issue.fill()
    while ready := [unit for unit in Unit if issue.ready(unit)]:
        issue.complete(issue.start(ready[0]))
    return issue.unclaimed()


def execute_in_order(
    machine: ReferenceMachine, program: Sequence[Issued], order: Iterable[int], memory: Memory
) -> np.ndarray:
    """Execute instructions in this order, whatever their semaphores say. MachineFault with ADDRESS.

    Returns the frame window followed by everything on chip that a program can change, uint8 (bytes,).
    """
    for index in order:
        machine.execute(program[index], memory)
    return np.concatenate([memory.frame, machine.state()])


@dataclass(frozen=True)
class Race:
    """`late` must wait for `early`, which precedes it in the program, but no semaphore makes it wait."""

    early: Issued
    late: Issued


def find_race(program: Sequence[Issued], order: Sequence[int], outcome: Callable[[Iterable[int]], np.ndarray]) -> Race:
    """Two instructions that `order` executes the wrong way round. Its outcome must differ from that of program order.

    outcome: what the memories hold, uint8 (bytes,), after all instructions were executed in a given order, always from the same
    start; it may raise MachineFault. It is called about 2 * log2(instructions) times.
    """
    expected = outcome(range(len(program)))

    def differs(candidate: list[int]) -> bool:
        try:
            return not np.array_equal(outcome(candidate), expected)
        except MachineFault:
            return True

    def completed(first: list[int]) -> list[int]:
        """`first`, then the others in program order: semaphores allow that too."""
        executed = set(first)
        return first + [index for index in range(len(program)) if index not in executed]

    # With none of `order` ahead of program order the outcome is right, with all of it wrong: find the length at which it turns.
    ahead = _turn(len(order), lambda count: differs(completed(list(order[:count]))))
    late, sound = order[ahead - 1], list(order[: ahead - 1])
    overtaken = [index for index in range(late) if index not in set(sound)]
    # With `late` before everything it overtakes there the outcome is wrong, with `late` behind all of it right.
    behind = _turn(len(overtaken), lambda count: not differs(completed([*sound, *overtaken[:count], late])))
    return Race(program[overtaken[behind - 1]], program[late])


def _turn(last: int, turned: Callable[[int], bool]) -> int:
    """A number n up to `last` for which `turned` holds and not for n - 1. Assumed without asking: not for 0, but for `last`."""
    before, after = 0, last
    while after - before > 1:
        middle = (before + after) // 2
        if turned(middle):
            after = middle
        else:
            before = middle
    return after
