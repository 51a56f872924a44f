"""Absence of deadlock: the hypotheses of the argument in moesaic.hls.compiler.assembler, and a model of the machine to check it.

The argument. (1) An instruction waits only for signals of instructions that come before it in the program. (2) Of each semaphore, the
signals and the waits, each in program order, pair off: the n-th wait comes after the n-th signal. (3) A semaphore joins two
different units. (4) A semaphore never passes SEMAPHORE_MAX, or the machine faults. Then the earliest instruction that has not been
completed can always start: everything before it is complete, so all its signals were given; each of them was taken by an earlier wait, or
is there; and it is the first in its unit's queue, because units take theirs in program order.

The machine of the model: fetch hands out instructions in program order and waits while the queue of the next one's unit is full; a unit
starts the first of its queue when its semaphores are there, taking them, may start a second one with `overlap` before the first is
complete, and completes in order; an instruction that was started completes at some time. This is what issue_proof, semaphores_proof and
fifo_proof show of the RTL, and unit_state_proof of a unit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from moesaic.spec.isa import SEMAPHORE_MAX, SEMAPHORES, Unit, semaphore, signals_of, waits_of

UNITS = len(Unit)


@dataclass(frozen=True)
class Step:
    """What of an instruction decides whether a program deadlocks. unit: number of its unit. waits, signals: masks of semaphores."""

    unit: int
    waits: int = 0
    signals: int = 0
    overlap: bool = False


def semaphores(mask: int) -> list[int]:
    """The numbers in a mask."""
    return [number for number in range(SEMAPHORES) if mask >> number & 1]


def broken_hypotheses(program: Sequence[Step]) -> list[str]:
    """What of hypotheses (1) to (3) a program breaks, in words; empty if it keeps all."""
    found, given, taken = [], [0] * SEMAPHORES, [0] * SEMAPHORES
    for index, step in enumerate(program):
        if step.waits & ~waits_of(Unit(step.unit)):
            found.append(f"instruction {index} waits for a semaphore of another unit")
        if step.signals & ~signals_of(Unit(step.unit)):
            found.append(f"instruction {index} signals a semaphore of another unit")
        own = 1 << semaphore(Unit(step.unit), Unit(step.unit))
        if (step.waits | step.signals) & own:
            found.append(f"instruction {index} has a semaphore of its unit with itself")
        for number in semaphores(step.waits):
            taken[number] += 1
            if taken[number] > given[number]:
                found.append(
                    f"instruction {index} waits for signal {taken[number]} of semaphore {number}, which comes later"
                )
        for number in semaphores(step.signals):
            given[number] += 1
    return found


def largest_counts(program: Sequence[Step], depth: int) -> dict[int, int]:
    """The largest count that each semaphore can reach in any order that queues and semaphores allow: hypothesis (4).

    depth: instructions that may wait for a unit, all registers in front of it included. A signal can come before a wait unless the wait's
    instruction has to start before the signal's completes. That is decided by the precedences of the machine: order within a unit,
    signal before its wait, and fetch, which hands out an instruction only when the one `depth` places before it in its
    unit's queue has started. Counts are over-estimated, never under: nothing else orders the two.
    """
    starts_before = _must_start_before_completion(program, depth)
    largest: dict[int, int] = {}
    for number in range(SEMAPHORES):
        signals = [index for index, step in enumerate(program) if step.signals >> number & 1]
        waits = [index for index, step in enumerate(program) if step.waits >> number & 1]
        if not signals:
            continue
        most = taken = 0
        for given, signal in enumerate(signals, 1):
            # The waits that have started for sure when this signal comes: those that precede it are the first ones.
            while taken < len(waits) and starts_before[signal] >> waits[taken] & 1:
                taken += 1
            most = max(most, given - taken)
        largest[number] = most
    return largest


def _must_start_before_completion(program: Sequence[Step], depth: int) -> list[int]:
    """Per instruction a mask of the instructions that have started, in every order, before it completes."""
    before_start: list[int] = []  # of each instruction: those started before it starts
    signalled: dict[int, list[int]] = {number: [] for number in range(SEMAPHORES)}
    taken = [0] * SEMAPHORES
    of_unit: dict[int, list[int]] = {}
    fetched = 0  # those that have started before fetch hands out the next instruction
    result = []
    for index, step in enumerate(program):
        mine = of_unit.setdefault(step.unit, [])
        if len(mine) >= depth:
            first_out = mine[len(mine) - depth]
            fetched |= before_start[first_out] | 1 << first_out
        mask = fetched
        if mine:
            # Units start in order, and hold two at most: the one before the last has completed.
            mask |= before_start[mine[-1]] | 1 << mine[-1]
        for number in semaphores(step.waits):
            producer = signalled[number][taken[number]]
            taken[number] += 1
            mask |= before_start[producer] | 1 << producer
        before_start.append(mask)
        result.append(mask | 1 << index)
        mine.append(index)
        for number in semaphores(step.signals):
            signalled[number].append(index)
    return result


def overflowing(program: Sequence[Step], depth: int) -> list[str]:
    """The semaphores that may pass SEMAPHORE_MAX, in words."""
    return [
        f"semaphore {number} may count to {count}, beyond {SEMAPHORE_MAX}"
        for number, count in largest_counts(program, depth).items()
        if count > SEMAPHORE_MAX
    ]


@dataclass(frozen=True)
class Exploration:
    """All runs of a program. states: how many were seen. deadlocks: those of them in which nothing can happen though
    not all instructions are complete. counts: the largest count of each semaphore."""

    states: int
    deadlocks: int
    counts: tuple[int, ...]


def explore(program: Sequence[Step], depth: int) -> Exploration:
    """Every run of a program on the machine of the model, by breadth: exact, for short programs.

    depth: places of each unit's queue.
    """
    order = [[index for index, step in enumerate(program) if step.unit == unit] for unit in range(UNITS)]
    # fetched; per unit: started, completed. Counts of semaphores follow from these.
    first = (0, (0,) * UNITS, (0,) * UNITS)
    seen, front, deadlocks = {first}, [first], 0
    most = [0] * SEMAPHORES
    while front:
        state = front.pop()
        fetched, started, completed = state
        count = [0] * SEMAPHORES
        for unit in range(UNITS):
            for index in order[unit][: completed[unit]]:
                for number in semaphores(program[index].signals):
                    count[number] += 1
            for index in order[unit][: started[unit]]:
                for number in semaphores(program[index].waits):
                    count[number] -= 1
        most = [max(pair) for pair in zip(most, count)]
        following = []
        if fetched < len(program):
            unit = program[fetched].unit
            held = sum(program[index].unit == unit for index in range(fetched)) - started[unit]
            if held < depth:
                following.append((fetched + 1, started, completed))
        for unit in range(UNITS):
            executing = started[unit] - completed[unit]
            if started[unit] < len(order[unit]):
                index = order[unit][started[unit]]
                free = executing == 0 or (executing == 1 and program[index].overlap)
                if index < fetched and free and all(count[number] for number in semaphores(program[index].waits)):
                    following.append((fetched, _up(started, unit), completed))
            if executing:
                following.append((fetched, started, _up(completed, unit)))
        if not following and sum(completed) < len(program):
            deadlocks += 1
        for new in following:
            if new not in seen:
                seen.add(new)
                front.append(new)
    return Exploration(len(seen), deadlocks, tuple(most))


def _up(counts: tuple[int, ...], unit: int) -> tuple[int, ...]:
    return (*counts[:unit], counts[unit] + 1, *counts[unit + 1 :])
