"""Fetch, the queues of the units and the semaphores between them, without the units: which instruction may start next.

A unit executes one instruction at a time; `overlap` is ignored, because it changes when something happens, never what.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np

from moesaic.spec.configuration import HardwareConfiguration
from moesaic.spec.executor import MachineFault, Program
from moesaic.spec.isa import (
    BY_NAME,
    END,
    INSTRUCTION_BYTES,
    SEMAPHORE_MAX,
    SEMAPHORES,
    Fault,
    Unit,
    decode,
    semaphore,
)
from moesaic.spec.legality import Fields, violation


class Issued(NamedTuple):
    """An instruction of a program. index: its place in the program, from 0. fields: its own and those of the header."""

    index: int
    name: str
    unit: Unit
    fields: Fields


def read_program(program: Program, constants: np.ndarray, configuration: HardwareConfiguration) -> Iterator[Issued]:
    """The instructions of a program in order, up to its `end`. constants: the constant window, uint8 (bytes,).

    MachineFault of fetch: ADDRESS if program or window ends before `end`, BAD_INSTRUCTION for an illegal instruction.
    """
    last = min(program.offset + program.size, len(constants))
    for index in range(last):
        start = program.offset + index * INSTRUCTION_BYTES
        if start + INSTRUCTION_BYTES > last:
            break
        decoded = decode(constants[start : start + INSTRUCTION_BYTES].tobytes())
        if decoded is None:
            raise MachineFault(
                Fault.BAD_INSTRUCTION, "fetch", 0, f"instruction {index}: unknown opcode {constants[start]}"
            )
        name, fields = decoded
        if name == END.name:
            return
        wrong = violation(name, fields, configuration)
        if wrong is not None:
            raise MachineFault(Fault.BAD_INSTRUCTION, "fetch", 0, f"instruction {index}: {wrong}")
        yield Issued(index, name, BY_NAME[name].unit, fields)
    raise MachineFault(Fault.ADDRESS, "fetch", 0)


class Issue:
    """State of queues and semaphores at some point in a run.

    program: its instructions in order. depth: instructions that each unit's queue holds; None for no limit.
    """

    def __init__(self, program: Iterable[Issued], depth: int | None) -> None:
        self._coming = iter(program)
        self._held = next(self._coming, None)
        self._depth = depth
        self._queues: dict[Unit, deque[Issued]] = {unit: deque() for unit in Unit}
        self._count = [0] * SEMAPHORES

    def fill(self) -> None:
        """Let fetch proceed until the queue for the instruction that it holds is full or the program has ended."""
        while self._held is not None:
            queue = self._queues[self._held.unit]
            if self._depth is not None and len(queue) >= self._depth:
                return
            queue.append(self._held)
            self._held = next(self._coming, None)

    def ready(self, unit: Unit) -> bool:
        """Whether a unit's queue holds an instruction and all semaphores that the first one waits for are above zero."""
        queue = self._queues[unit]
        return bool(queue) and not self._missing(queue[0])

    def start(self, unit: Unit) -> Issued:
        """Take the first instruction of a ready unit from its queue and decrement the semaphores that it waited for."""
        instruction = self._queues[unit].popleft()
        for number in _numbers(instruction.fields["wait_mask"]):
            self._count[number] -= 1
        return instruction

    def complete(self, instruction: Issued) -> None:
        """Give an instruction's signals. MachineFault with SEMAPHORE_OVERFLOW if a semaphore passes its largest count."""
        for number in _numbers(instruction.fields["signal_mask"]):
            self._count[number] += 1
            if self._count[number] > SEMAPHORE_MAX:
                raise MachineFault(Fault.SEMAPHORE_OVERFLOW, instruction.unit.name.lower(), instruction.fields["tag"])

    def require_finished(self) -> None:
        """MachineFault with TIMEOUT, saying what each unit waits for, if an instruction is left. Call it once no unit is ready."""
        if self._held is not None or any(self._queues.values()):
            raise MachineFault(Fault.TIMEOUT, "fetch", 0, self.waits())

    def waits(self) -> str:
        """What fetch and each unit that holds an instruction wait for, in words; empty if nothing waits."""
        parts = []
        for unit, queue in self._queues.items():
            if queue and (missing := self._missing(queue[0])):
                first = queue[0]
                which = f"instruction {first.index}, tag {first.fields['tag']}"
                parts.append(waits_for_signals(unit, missing_signals(missing), which))
        if self._held is not None:
            parts.append(waits_for_room(self._held.unit))
        return "; ".join(parts)

    def unclaimed(self) -> list[tuple[Unit, Unit, int]]:
        """(producer, consumer, count) of each semaphore that is above zero."""
        return [
            (producer, consumer, count)
            for producer in Unit
            for consumer in Unit
            if (count := self._count[semaphore(producer, consumer)])
        ]

    def _missing(self, instruction: Issued) -> int:
        """Mask of the semaphores at 0 that an instruction waits for."""
        return sum(1 << n for n in _numbers(instruction.fields["wait_mask"]) if self._count[n] == 0)


def missing_signals(mask: int) -> list[str]:
    """Names of the units that signal the semaphores of a mask."""
    return [Unit(number // len(Unit)).name.lower() for number in _numbers(mask)]


def waits_for_signals(unit: Unit, producers: Iterable[str], which: str) -> str:
    """A clause for the text of a fault: matmul (instruction 7, tag 3) waits for a signal from load."""
    return f"{unit.name.lower()} ({which}) waits for a signal from {' and '.join(producers)}"


def waits_for_room(unit: Unit) -> str:
    """A clause for the text of a fault: fetch waits for room in the queue of load."""
    return f"fetch waits for room in the queue of {unit.name.lower()}"


def _numbers(mask: int) -> list[int]:
    return [number for number in range(SEMAPHORES) if mask >> number & 1]
