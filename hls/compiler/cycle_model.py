"""When every instruction of a program runs: a model of the machine's timing, instruction by instruction, without data.

Units take their instructions in order, as soon as queue, semaphores and the previous instruction allow. Because semaphores only
ever wait for earlier instructions of the program, one pass in program order finds all times. The durations of single
instructions are formulas with constants measured on the RTL (tests/system/test_full_size.py compares); all times are cycles.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

from moesaic.hls.compiler.assembler import Entry
from moesaic.spec.configuration import HardwareConfiguration
from moesaic.spec.dram import BEAT_BYTES, BYTES_PER_CYCLE, LATENCY
from moesaic.spec.isa import (
    BY_NAME,
    INSTRUCTION_BYTES,
    PARAMETER_BLOCKS,
    SEMAPHORES,
    Destination,
    LoadDestination,
    Unit,
)

_OPERANDS, _TAIL = 14, 20
"""Cycles from the start of a product to its first step, and from its last step to its completion, without its rows' way
through the ports of the activation memory."""
_FIRST_DATA, _LOAD, _TABLE_LOAD = 26, 45, 250
"""Cycles from the start of a load to its data beside the latency of DRAM, between the data of two loads, and what a table takes in
addition."""
_TWO_AT_A_TIME = (Unit.MATMUL, Unit.LOAD)
"""Units that take an instruction while the one before it is in execution, if it allows that."""
"""Column tiles whose parameters the drain keeps for later row tiles."""
_SOFTMAX_RIVALS, _NORM_RIVALS = 1.28, 1.05
"""What the other clients of the activation memory cost softmax, which reads most of it, and layer norm."""


class Slice(NamedTuple):
    """One executed instruction: when its unit took it, and when it was done.

    size: bytes that it read from or wrote to DRAM. steps: cycles in which the array multiplied. waits: cycles in which the array was
    idle, and why: the unit whose signal came last, `start` (of an instruction), `drain` or `fetch`.
    """

    entry: Entry
    unit: Unit
    taken: float
    done: float
    size: int = 0
    steps: float = 0.0
    waits: tuple[tuple[str, float], ...] = ()


@dataclass
class Timing:
    """cycles: from start to done. slices: every instruction in program order."""

    cycles: float
    slices: list[Slice]


class TimingModel:
    """Times programs of one configuration.

    bytes_per_cycle, latency: of DRAM, as moesaic.sim.machines.rtl_executor.RtlExecutor has them.
    """

    def __init__(
        self, configuration: HardwareConfiguration, bytes_per_cycle: float = BYTES_PER_CYCLE, latency: int = LATENCY
    ) -> None:
        self.configuration, self.latency = configuration, latency
        self.load_rate = min(BEAT_BYTES * configuration.load_ports, bytes_per_cycle)
        self.store_rate = min(BEAT_BYTES, bytes_per_cycle)

    def run(self, entries: list[Entry], counts: Sequence[Sequence[int]] | None = None) -> Timing:
        """Times of a program. counts: tokens per expert queue, for each route instruction that does not append; default even."""
        c = self.configuration
        semaphores: list[deque[tuple[float, Unit]]] = [deque() for _ in range(SEMAPHORES)]
        taken: list[deque[float]] = [deque([0.0] * (c.instruction_queue + 1)) for _ in Unit]
        done = [0.0] * len(Unit)
        before = [0.0] * len(Unit)  # completion of the last but one
        front_free, data_free = 0.0, 0.0
        dispatched = self.latency + 30.0
        slices: list[Slice] = []
        queues = _Queues(counts)
        for entry in entries:
            f, unit = entry.fields, BY_NAME[entry.name].unit
            dispatched = max(dispatched + INSTRUCTION_BYTES / BEAT_BYTES, taken[unit].popleft())
            ready, waited_for = dispatched + 2, "fetch"
            for number in _bits(entry.wait_mask):
                signal, producer = semaphores[number].popleft()
                if signal + 1 > ready:
                    ready, waited_for = signal + 1, producer.name.lower()
            free = before[unit] if f.get("overlap") and unit in _TWO_AT_A_TIME else done[unit]
            take = max(ready, free + 1, taken[unit][-1] + 1)
            size, steps, waits = 0, 0.0, ()
            if unit == Unit.MATMUL:
                rows = queues.rows(f)
                first, end = self._matmul_front(f, rows, take, front_free)
                idle = first - front_free
                if rows:
                    waiting = (
                        max(min(take - front_free, idle), 0.0) if waited_for != "fetch" or ready > front_free else 0.0
                    )
                    steps = self._steps(f, rows)
                    waits = (waited_for, waiting), ("start", idle - waiting), ("drain", end - first - steps)
                    front_free = end
                finish = max(end + self._matmul_tail(f, rows) if rows else take + 4, done[unit] + 2)
            elif unit == Unit.LOAD:
                skipped = f.get("skip_if_empty") and queues.is_empty(f["queue"])
                size = 0 if skipped else _transfer_bytes(f)
                begin = max(take + _FIRST_DATA + self.latency, data_free + _LOAD)
                finish = begin + size / self._load_rate(f) if size else max(take + 3, done[unit] + 1)
                if size and f["destination"] == LoadDestination.TABLE:
                    finish += _TABLE_LOAD
                data_free = finish if size else data_free
                finish += 6
            elif unit == Unit.STORE:
                size = _transfer_bytes(f)
                finish = take + size / self.store_rate + 50
            else:
                if entry.name == "route":
                    queues.route(f)
                finish = take + self._duration(entry.name, f)
            before[unit], done[unit] = done[unit], finish
            taken[unit].append(take)
            slices.append(Slice(entry, unit, take, finish, size, steps, waits))
            for number in _bits(entry.signal_mask):
                semaphores[number].append((finish, unit))
        return Timing(max(*done, dispatched) + 10, slices)

    # --- matmul ---------------------------------------------------------------------------------------------------

    def _row_tiles(self, rows: float) -> float:
        r = self.configuration.tile_rows
        return -(-rows // r) if rows == int(rows) else max(rows / r + (r - 1) / (2 * r), 1.0)

    def _steps(self, f: dict[str, int], rows: float) -> float:
        c = self.configuration
        return self._row_tiles(rows) * -(-f["columns"] // c.tile_columns) * (f["depth"] // c.tile_depth)

    def _groups(self, rows: float) -> int:
        """Cycles in which a word of each row of a tile goes through the ports of the activation memory."""
        c = self.configuration
        return math.ceil(min(rows, c.tile_rows) / c.act_ports)

    def _matmul_front(self, f: dict[str, int], rows: float, take: float, front_free: float) -> tuple[float, float]:
        """First step and end of the last one. Operands are fetched while the array still works on the product before."""
        if not rows:
            return take, take
        first = max(take + _OPERANDS + self._groups(rows) + (7 if f.get("gather") else 0), front_free)
        return first, first + self._work(f, rows)

    def _work(self, f: dict[str, int], rows: float) -> float:
        """Cycles of the array for a product: steps, or the drain or the operands of its tiles where they take longer."""
        c = self.configuration
        steps, column_tiles = f["depth"] // c.tile_depth, -(-f["columns"] // c.tile_columns)
        words = -(-(f["a_address"] % c.act_word_bytes + f["depth"]) // c.act_word_bytes)
        if self._same_bank(f["a_pitch"]):
            words *= c.act_ports
        shared = f["b_address"] >= c.weight_bytes and f["a_address"] < c.shared_bytes

        def row_tile(count: float) -> float:
            groups = -(-count // c.act_ports)
            drain = groups
            if f.get("scatter"):
                drain = count
            elif f["destination"] == Destination.KEYS:
                drain *= min(-(-f["columns"] // c.tile_depth), c.tile_columns // c.tile_depth)
            elif f["destination"] == Destination.RESIDUAL and self._same_bank(f["d_pitch"]):
                drain *= c.act_ports
            array = column_tiles * max(steps, drain)
            # Weights in the shared memory take its banks' read ports, so operands that lie there too come while the array waits.
            return array + groups * words if shared else max(array, groups * words)

        full, rest = divmod(rows, c.tile_rows)
        if rows == int(rows):
            work = full * row_tile(c.tile_rows) + (row_tile(rest) if rest else 0)
        else:
            work = self._row_tiles(rows) * row_tile(c.tile_rows)
        if f.get("row_scale"):
            return work
        blocks = 8 // c.tile_depth
        if f.get("param_stride") == 0:
            return work + blocks
        return work + blocks * column_tiles * (1 if column_tiles <= PARAMETER_BLOCKS else self._row_tiles(rows))

    def _same_bank(self, pitch: int) -> bool:
        """Whether neighbouring rows of this pitch start in the same bank."""
        c = self.configuration
        return c.act_ports > 1 and pitch % (c.act_word_bytes * c.act_banks) == 0

    def _matmul_tail(self, f: dict[str, int], rows: float) -> float:
        rest = rows % self.configuration.tile_rows or rows
        return (
            _TAIL + self._groups(rest) + (6 if f.get("scatter") else 15 if f["destination"] == Destination.KEYS else 0)
        )

    # --- the others -----------------------------------------------------------------------------------------------

    def _load_rate(self, f: dict[str, int]) -> float:
        if f["destination"] == LoadDestination.WEIGHT:
            return self.load_rate
        return min(self.load_rate, 32.0) if f["destination"] == LoadDestination.ACT else BEAT_BYTES

    def _duration(self, name: str, f: dict[str, int]) -> float:
        c = self.configuration
        if name == "softmax":
            return _SOFTMAX_RIVALS * f["rows"] * -(-f["columns"] // (c.tile_columns * c.act_ports)) + 22
        if name == "layer_norm":
            row = -(-f["columns"] // c.tile_columns) * c.tile_columns // c.norm_lanes
            return _NORM_RIVALS * f["rows"] * max(row, (2 * row + 38) / 4) + row + 53
        return f["rows"] * max(f["columns"] + 1, 7.3) + 1.5 * f["columns"] + 22


class _Queues:
    """Token counts of the expert queues as a program runs.

    Without given counts as many queues have tokens as are to be expected of tokens that choose at random, and share them evenly;
    which ones goes round.
    """

    def __init__(self, counts: Sequence[Sequence[int]] | None) -> None:
        self._given = None if counts is None else iter(counts)
        self._counts: list[float] = []
        self._tokens, self._first, self._used = 0, 0, 0

    def route(self, f: dict[str, int]) -> None:
        if self._given is not None:
            if not f.get("append"):
                self._counts = [float(count) for count in next(self._given)]
            return
        queues = f["columns"]
        chosen = min(f["top_k"], queues)
        if not f.get("append"):
            self._tokens, self._first = 0, (self._first + self._used) % queues
        self._tokens += f["rows"]
        self._used = round(queues * (1 - (1 - chosen / queues) ** self._tokens))
        self._counts = [0.0] * queues
        for n in range(self._used):
            self._counts[(self._first + n) % queues] = self._tokens * chosen / self._used

    def is_empty(self, queue: int) -> bool:
        return self._counts[queue] == 0

    def rows(self, f: dict[str, int]) -> float:
        if not (f.get("gather") or f.get("scatter")):
            return f["rows"]
        return min(max(self._counts[f["queue"]] - f["queue_first"], 0), f["rows"])


def _transfer_bytes(f: dict[str, int]) -> int:
    return f["bytes"] * f["count_1"] * f["count_2"] * f["count_3"]


@cache
def _bits(mask: int) -> list[int]:
    bits = []
    while mask:
        low = mask & -mask
        bits.append(low.bit_length() - 1)
        mask ^= low
    return bits
