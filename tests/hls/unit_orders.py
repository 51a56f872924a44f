"""Runs a program with its units in any order that the semaphores allow, fair or not, and in program order."""

from __future__ import annotations

from collections import deque

import numpy as np

from moesaic.spec.executor import Memory
from moesaic.spec.isa import BY_NAME, INSTRUCTION_BYTES, SEMAPHORE_MAX, SEMAPHORES, Unit, decode
from moesaic.spec.machine import Fields, ReferenceMachine

Instructions = list[tuple[str, Fields]]


def instructions(code: bytes) -> Instructions:
    """The decoded program without its `end`."""
    decoded = [decode(code[at : at + INSTRUCTION_BYTES]) for at in range(0, len(code), INSTRUCTION_BYTES)]
    assert decoded[-1][0] == "end"
    return decoded[:-1]


def run_in_program_order(machine: ReferenceMachine, program: Instructions, memory: Memory) -> None:
    """Every instruction after the one before it; semaphores do not matter."""
    machine._counters = dict.fromkeys(("matmul_array", "read_beats", "write_beats"), 0)
    for name, fields in program:
        getattr(machine, name)(fields, memory)


def run_in_any_order(
    machine: ReferenceMachine, program: Instructions, memory: Memory, seed: int, depth: int | None = None
) -> None:
    """Units race: at each step a random one of those that could go on does, and a favourite one runs ahead as far as it can.

    depth: instructions that may wait per unit, as the hardware's queues bound it; None for any number.
    AssertionError if no unit can go on before the end, or a semaphore passes its largest value.
    """
    machine._counters = dict.fromkeys(("matmul_array", "read_beats", "write_beats"), 0)
    rng = np.random.default_rng(seed)
    rank = rng.permutation(len(Unit))
    semaphores = np.zeros(SEMAPHORES, np.int64)
    waiting: dict[Unit, deque[tuple[str, Fields]]] = {unit: deque() for unit in Unit}
    coming = deque(program)
    while True:
        while coming and (depth is None or len(waiting[BY_NAME[coming[0][0]].unit]) < depth):
            waiting[BY_NAME[coming[0][0]].unit].append(coming.popleft())
        ready = [
            unit for unit, queue in waiting.items() if queue and np.all(semaphores[_bits(queue[0][1]["wait_mask"])] > 0)
        ]
        if not ready:
            break
        unit = min(ready, key=lambda u: rank[u]) if rng.random() < 0.8 else ready[rng.integers(len(ready))]
        name, fields = waiting[unit].popleft()
        semaphores[_bits(fields["wait_mask"])] -= 1
        getattr(machine, name)(fields, memory)
        semaphores[_bits(fields["signal_mask"])] += 1
        assert semaphores.max() <= SEMAPHORE_MAX
        if rng.random() < 0.02:
            rank = rng.permutation(len(Unit))
    assert not coming and not any(waiting.values()), "deadlock"
    assert not semaphores.any(), "a signal that nobody waited for"


def _bits(mask: int) -> list[int]:
    return [index for index in range(SEMAPHORES) if mask >> index & 1]


def state(machine: ReferenceMachine, memory: Memory) -> np.ndarray:
    """Everything that a program can change, as one uint8 array."""
    parts = (
        memory.frame, machine.act, machine.weight, machine.table, machine.row_max, machine.row_multiplier, machine.row_shift,
        machine.queue_count, machine.queue_token, machine.queue_score,
    )  # fmt: skip
    return np.concatenate([np.ascontiguousarray(part).view(np.uint8).reshape(-1) for part in parts])
