"""When each instruction of a program runs: a model of the machine's timing, instruction by instruction, without data.

Units take their instructions in order, as soon as the queue, the semaphores and the previous instruction allow. Because an
instruction only ever waits for earlier instructions of the program, one pass in program order finds all times. The durations of
single instructions are formulas with constants that were measured on the RTL (moesaic.hls.compiler.cycle_constants). All times are
in cycles.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

from moesaic.hls.compiler.assembler import Entry
from moesaic.hls.compiler.cycle_constants import CycleConstants
from moesaic.spec.configuration import HardwareConfiguration
from moesaic.spec.dram_timing import BEAT_BYTES, BYTES_PER_CYCLE, LATENCY
from moesaic.spec.isa import (
    BY_NAME,
    INSTRUCTION_BYTES,
    PARAMETER_BLOCKS,
    PARAMETER_ENTRY,
    SEMAPHORES,
    Destination,
    LoadDestination,
    Unit,
)

_TWO_AT_A_TIME = (Unit.MATMUL, Unit.LOAD)
"""Units that can take an instruction while the previous one is still executing, if its `overlap` field allows it."""
_NORM_ROWS = 4
"""Rows that a layer norm has in flight."""


class ExecutionEstimate(NamedTuple):
    """One executed instruction.

    accepted: when fetch handed it to its unit's queue.
    taken: when its unit took it.
    done: when it completed.
    first, last: when the array's steps for a product, or the data of a load, began and ended; 0 for other instructions.
    size: bytes read from or written to DRAM.
    steps: cycles in which the array multiplied.
    waits: (cause, cycles) in which the array was idle; a cause is the unit whose signal came last, `start` (of an instruction),
        `drain` or `fetch`.
    """

    entry: Entry
    unit: Unit
    accepted: float
    taken: float
    done: float
    first: float = 0.0
    last: float = 0.0
    size: int = 0
    steps: float = 0.0
    waits: tuple[tuple[str, float], ...] = ()


@dataclass
class ProgramEstimate:
    """The timing of a program. cycles: from start to done. executions: every instruction, in program order."""

    cycles: float
    executions: list[ExecutionEstimate]


class CycleModel:
    """Times programs of one configuration.

    bytes_per_cycle: throughput of all DRAM ports together.
    latency: cycles from a read address to its first beat.
    """

    def __init__(
        self,
        configuration: HardwareConfiguration,
        bytes_per_cycle: float = BYTES_PER_CYCLE,
        latency: int = LATENCY,
        constants: CycleConstants = CycleConstants(),  # noqa: B008 - frozen
    ) -> None:
        self.configuration, self.latency, self.constants = configuration, latency, constants
        self.load_rate = min(BEAT_BYTES * configuration.load_ports, bytes_per_cycle)
        self.store_rate = min(BEAT_BYTES, bytes_per_cycle)

    def run(self, entries: list[Entry], counts: Sequence[Sequence[int]] | None = None) -> ProgramEstimate:
        """The timing of a program.

        counts: tokens per expert queue, for each route instruction that does not append; by default the tokens are shared evenly.
        """
        c, k = self.configuration, self.constants
        semaphores: list[deque[tuple[float, Unit]]] = [deque() for _ in range(SEMAPHORES)]
        taken: list[deque[float]] = [deque([0.0] * (c.instruction_queue + 1)) for _ in Unit]
        done = [0.0] * len(Unit)
        before = [0.0] * len(Unit)  # completion of the last instruction but one
        front_free, data_free = 0.0, 0.0
        dispatched = self.latency + k.fetch_start
        executions: list[ExecutionEstimate] = []
        queues = _Queues(counts)
        for entry in entries:
            f, unit = entry.fields, BY_NAME[entry.name].unit
            dispatched = max(dispatched + INSTRUCTION_BYTES / BEAT_BYTES, taken[unit].popleft())
            ready, waited_for = dispatched + k.hand_over, "fetch"
            for number in _bits(entry.wait_mask):
                signal, producer = semaphores[number].popleft()
                if signal + k.signal > ready:
                    ready, waited_for = signal + k.signal, producer.name.lower()
            free = before[unit] if f.get("overlap") and unit in _TWO_AT_A_TIME else done[unit]
            take = max(ready, free + k.turnaround, taken[unit][-1] + k.turnaround)
            first, last, size, steps, waits = 0.0, 0.0, 0, 0.0, ()
            if unit == Unit.MATMUL:
                rows = queues.rows(f)
                first, last = self._matmul_front(f, rows, take, front_free)
                idle = first - front_free
                if rows:
                    waiting = (
                        max(min(take - front_free, idle), 0.0) if waited_for != "fetch" or ready > front_free else 0.0
                    )
                    steps = self._steps(f, rows)
                    waits = (waited_for, waiting), ("start", idle - waiting), ("drain", last - first - steps)
                    front_free = last
                finish = last + self._matmul_tail(f, rows) if rows else take + k.product_empty
                finish = max(finish, done[unit] + k.product_spacing)
            elif unit == Unit.LOAD:
                skipped = f.get("skip_if_empty") and queues.is_empty(f["queue"])
                size = 0 if skipped else _transfer_bytes(f)
                finish = max(take + k.load_skipped, done[unit] + k.load_skipped_spacing)
                if size:
                    first = max(take + k.load_start + self.latency, data_free + k.load_spacing)
                    finish = last = first + size / self._load_rate(f)
                    if f["destination"] == LoadDestination.TABLE:
                        finish += k.load_table
                    data_free = finish
                finish += k.load_end
            elif unit == Unit.STORE:
                size = _transfer_bytes(f)
                finish = take + size / self.store_rate + k.store_overhead
            else:
                if entry.name == "route":
                    queues.route(f)
                finish = take + self._duration(entry.name, f)
            before[unit], done[unit] = done[unit], finish
            taken[unit].append(take)
            executions.append(ExecutionEstimate(entry, unit, dispatched, take, finish, first, last, size, steps, waits))
            for number in _bits(entry.signal_mask):
                semaphores[number].append((finish, unit))
        return ProgramEstimate(max(*done, dispatched) + k.run_end, executions)

    # --- matmul ---------------------------------------------------------------------------------------------------

    def _row_tiles(self, rows: float) -> float:
        r = self.configuration.tile_rows
        return -(-rows // r) if rows == int(rows) else max(rows / r + (r - 1) / (2 * r), 1.0)

    def _steps(self, f: dict[str, int], rows: float) -> float:
        c = self.configuration
        return self._row_tiles(rows) * -(-f["columns"] // c.tile_columns) * (f["depth"] // c.tile_depth)

    def _groups(self, rows: float) -> int:
        """Cycles in which one word of each row of a tile passes the ports of the activation memory."""
        c = self.configuration
        return math.ceil(min(rows, c.tile_rows) / c.act_ports)

    def _matmul_front(self, f: dict[str, int], rows: float, take: float, front_free: float) -> tuple[float, float]:
        """When the first step starts and the last ends. Operands are fetched while the array still works on the previous product."""
        if not rows:
            return take, take
        gather = self.constants.product_gather if f.get("gather") else 0
        first = max(take + self.constants.product_start + self._groups(rows) + gather, front_free)
        return first, first + self._work(f, rows)

    def _work(self, f: dict[str, int], rows: float) -> float:
        """Cycles that the array spends on a product: its steps, or its tiles' drain or operand fetch where that takes longer."""
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
            # Weights in the shared memory occupy its read ports, so the array waits while operands from there are fetched.
            return array + groups * words if shared else max(array, groups * words)

        full, rest = divmod(rows, c.tile_rows)
        if rows == int(rows):
            work = full * row_tile(c.tile_rows) + (row_tile(rest) if rest else 0)
        else:
            work = self._row_tiles(rows) * row_tile(c.tile_rows)
        if f.get("row_scale"):
            return work
        parameter_words = PARAMETER_ENTRY.itemsize // c.tile_depth
        if f.get("param_stride") == 0:
            return work + parameter_words
        return work + parameter_words * column_tiles * (
            1 if column_tiles <= PARAMETER_BLOCKS else self._row_tiles(rows)
        )

    def _same_bank(self, pitch: int) -> bool:
        """Whether neighbouring rows at this pitch start in the same bank."""
        c = self.configuration
        return c.act_ports > 1 and pitch % (c.act_word_bytes * c.act_banks) == 0

    def _matmul_tail(self, f: dict[str, int], rows: float) -> float:
        k = self.constants
        rest = rows % self.configuration.tile_rows or rows
        more = k.product_scatter if f.get("scatter") else k.product_keys if f["destination"] == Destination.KEYS else 0
        return k.product_end + self._groups(rest) + more

    # --- other instructions ---------------------------------------------------------------------------------------

    def _load_rate(self, f: dict[str, int]) -> float:
        if f["destination"] == LoadDestination.WEIGHT:
            return self.load_rate
        if f["destination"] == LoadDestination.ACT:
            return min(self.load_rate, self.constants.load_act_rate)
        return BEAT_BYTES

    def _duration(self, name: str, f: dict[str, int]) -> float:
        c, k = self.configuration, self.constants
        if name == "softmax":
            row = -(-f["columns"] // (c.tile_columns * c.act_ports))
            return k.softmax_rivals * f["rows"] * row + k.softmax_overhead
        if name == "layer_norm":
            row = -(-f["columns"] // c.tile_columns) * c.tile_columns // c.norm_lanes
            cycles_per_row = max(row, (2 * row + k.norm_row_latency) / _NORM_ROWS)
            return k.norm_rivals * f["rows"] * cycles_per_row + row + k.norm_overhead
        return f["rows"] * max(f["columns"] + 1, k.route_row) + k.route_column * f["columns"] + k.route_overhead


class _Queues:
    """Token counts of the expert queues while a program runs.

    Without given counts, the number of queues that have tokens is the number expected if tokens chose at random; these queues share
    the tokens evenly, and which queues they are rotates.
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
