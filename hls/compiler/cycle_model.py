"""When each instruction of a program runs: a model of the machine's timing, instruction by instruction, without data.

Units take their instructions in order, as soon as the queue, the semaphores and the previous instruction allow. Because an
instruction only ever waits for earlier instructions of the program, one pass in program order finds all times. The durations of
single instructions are formulas with constants that were measured on the RTL (moesaic.hls.compiler.cycle_constants). The one exception
is an instruction of the vector unit, which a later product that is drained into the same banks holds up. All times are in cycles.
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
from moesaic.spec.configuration import ULTRA_BANKS, HardwareConfiguration
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
BURSTS_UNDER_WAY, BURST_BYTES = 16, 256
"""Bursts that a port has under way in DRAM, and what load and store ask for in one."""
_NORM_ROWS = 4
"""Rows that a layer norm has in flight."""
_RIVALS, _BUSY = 2, 0.9
"""Products beside which a vector instruction runs: those just before it. The most that they use of the banks."""
_NORM_WORD = 2
"""Cycles from one word that a layer norm reads to the next, at least."""


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


class _Accesses(NamedTuple):
    """Words that a product reads and writes, by the part of the activation memory, and the cycles in which it does."""

    cycles: float
    reads: dict[int, float]
    writes: dict[int, float]


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
        self.load_rate = min(BEAT_BYTES * configuration.load_ports, constants.load_share * bytes_per_cycle)
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
        rivals: deque[_Accesses] = deque(maxlen=_RIVALS)
        # The last instruction of the vector unit, and since when that is at work without a break.
        vector, vector_since = -1, 0.0
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
                    rivals.append(self._accesses(f, rows, last - first))
                    if vector >= 0 and first < done[Unit.VECTOR] and last > vector_since:
                        held = self._held(rivals[-1], executions[vector].entry)
                        held *= (last - max(first, vector_since)) / (last - first)
                        _prolong(executions, vector, held, semaphores)
                        done[Unit.VECTOR] += held
                finish = last + self._matmul_tail(f, rows) if rows else take + k.product_empty
                finish = max(finish, done[unit] + k.product_spacing)
            elif unit == Unit.LOAD:
                skipped = f.get("skip_if_empty") and queues.is_empty(f["queue"])
                size = 0 if skipped else _transfer_bytes(f)
                finish = max(take + k.load_skipped, done[unit] + k.load_skipped_spacing)
                if size:
                    first = max(take + k.load_start + self.latency, data_free + k.load_spacing)
                    bursts = _bursts(f) * self._burst_cycles() / c.load_ports
                    data_free = finish = last = first + max(size / self._load_rate(f), bursts)
                finish += k.load_end
            elif unit == Unit.STORE:
                size = _transfer_bytes(f)
                bursts = _bursts(f) * self._burst_cycles()
                finish = take + self.latency + max(size / self.store_rate, bursts) + k.store_overhead
            else:
                if entry.name == "route":
                    queues.route(f)
                finish = take + self._duration(entry.name, f, rivals, done[Unit.MATMUL] > take)
                if unit == Unit.VECTOR:
                    if take > done[unit] + k.turnaround:
                        vector_since = take
                    vector = len(executions)
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

    def _groups(self, count: float) -> float:
        """Groups of rows, one row per port of the activation memory, in `count` rows."""
        return -(-count // self.configuration.act_ports)

    def _first_word(self, f: dict[str, int], rows: float) -> float:
        """Cycles until the first word of each row of a tile is there; rows of a queue are looked up one by one."""
        count = min(rows, self.configuration.tile_rows)
        return math.ceil(count) if f.get("gather") else math.ceil(self._groups(count) * self._fetch_conflict(f))

    def _matmul_front(self, f: dict[str, int], rows: float, take: float, front_free: float) -> tuple[float, float]:
        """When the first step starts and the last ends. Operands are fetched while the array still works on the previous product."""
        if not rows:
            return take, take
        gather = self.constants.product_gather if f.get("gather") else 0
        ready = take + self.constants.product_start + self._first_word(f, rows) + gather
        first = max(ready, front_free)
        return first, first + self._work(f, rows) + max(self._first_tile(f, rows) - (first - ready), 0)

    def _first_tile(self, f: dict[str, int], rows: float) -> float:
        """Cycles by which the first column tile waits for its operands, if none of them were fetched beside another product.

        Where the fetch of a row tile takes longer than all its column tiles, `_work` has counted that.
        """
        c, count = self.configuration, min(rows, self.configuration.tile_rows)
        words = -(-(f["a_address"] % c.act_word_bytes + f["depth"]) // c.act_word_bytes)
        group = self._groups(count) * self._fetch_conflict(f)
        tiles = -(-f["columns"] // c.tile_columns) * max(
            f["depth"] // c.tile_depth, self._drain(f, count, c.tile_columns)
        )
        waits = (words - 1) * max(group - c.act_word_bytes / c.tile_depth, 0)
        return max(waits - max(words * group - tiles, 0), 0)

    def _work(self, f: dict[str, int], rows: float) -> float:
        """Cycles that the array spends on a product: its steps, or its tiles' drain or operand fetch where that takes longer."""
        c = self.configuration
        steps, column_tiles = f["depth"] // c.tile_depth, -(-f["columns"] // c.tile_columns)
        words = -(-(f["a_address"] % c.act_word_bytes + f["depth"]) // c.act_word_bytes)
        conflict = self._fetch_conflict(f)
        residual = f["destination"] == Destination.RESIDUAL and self._region(f["a_address"]) == self._region(
            f["d_address"]
        )
        shared = f["b_address"] >= c.weight_bytes and f["a_address"] < c.shared_bytes
        # The share of the banks that a word of the weights occupies in each step.
        occupied = c.weight_word_bytes / (c.act_word_bytes * c.act_banks) if shared else 0.0

        def row_tile(count: float) -> float:
            array = column_tiles * max(steps, self._drain(f, count, c.tile_columns))
            fetch = self._groups(count) * words * conflict
            if residual:
                fetch = max(fetch, count * (words + column_tiles) / self._banks(f["a_address"]))
            return array + fetch if occupied == 1 else max(array, fetch / (1 - occupied))

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

    def _accesses(self, f: dict[str, int], rows: float, cycles: float) -> _Accesses:
        c = self.configuration
        words = -(-(f["a_address"] % c.act_word_bytes + f["depth"]) // c.act_word_bytes)
        results = rows * -(-f["columns"] // c.tile_columns)
        target = self._region(f["d_address"])
        reads = {self._region(f["a_address"]): rows * words}
        if f["destination"] == Destination.RESIDUAL:
            reads[target] = reads.get(target, 0.0) + results
        to_weight = f["destination"] in (Destination.KEYS, Destination.VALUES)
        return _Accesses(cycles, reads, {} if to_weight else {target: results})

    def _busy(self, rivals: Sequence[tuple[float, dict[int, float]]], address: int) -> float:
        """Share of the cycles in which products use a bank of the part that an address lies in. rivals: cycles, words by part."""
        cycles = sum(each for each, _ in rivals)
        words = sum(moved.get(self._region(address), 0.0) for _, moved in rivals)
        return min(words / (cycles * self._banks(address)), _BUSY) if cycles else 0.0

    def _held(self, product: _Accesses, vector: Entry) -> float:
        """Cycles in which a product leaves an instruction of the vector unit no bank to write to: all of its drain, or none."""
        target = vector.fields["destination_address"]
        written = product.writes.get(self._region(target), 0.0) / self._banks(target)
        return written if written >= _BUSY * product.cycles else 0.0

    def _drain(self, f: dict[str, int], count: float, columns: int) -> float:
        """Cycles in which `count` rows of a tile with so many columns are requantised and written."""
        if f.get("scatter"):
            return count
        if f["destination"] == Destination.KEYS:
            return self._groups(count) * -(-min(f["columns"], columns) // self.configuration.tile_depth)
        if f["destination"] == Destination.VALUES:
            return self._groups(count)
        return self._groups(count) * self._conflict(f["d_address"], f["d_pitch"])

    def _fetch_conflict(self, f: dict[str, int]) -> float:
        """Cycles per group in which operands are fetched. Of a queue, any two tokens may be neighbours."""
        if not f.get("gather") or self.configuration.act_ports == 1:
            return self._conflict(f["a_address"], f["a_pitch"])
        banks = self._banks(f["a_address"])
        return 1 + math.gcd(f["a_pitch"] // self.configuration.act_word_bytes, banks) / banks

    def _conflict(self, address: int, pitch: int) -> int:
        """Cycles in which the ports move a word each of neighbouring rows: as many as ports if those lie in the same bank."""
        c = self.configuration
        return c.act_ports if pitch // c.act_word_bytes % self._banks(address) == 0 else 1

    def _region(self, address: int) -> int:
        """Which part of the activation memory an address lies in, each of which has banks of its own."""
        c = self.configuration
        return 0 if address < c.shared_bytes else 1 if address < c.act_bytes - c.act_ultra_bytes else 2

    def _banks(self, address: int) -> int:
        return ULTRA_BANKS if self._region(address) == 2 else self.configuration.act_banks

    def _matmul_tail(self, f: dict[str, int], rows: float) -> float:
        c, k = self.configuration, self.constants
        rest = rows % c.tile_rows or min(rows, c.tile_rows)
        more = k.product_scatter if f.get("scatter") else k.product_keys if f["destination"] == Destination.KEYS else 0
        drain = math.ceil(self._drain(f, rest, (f["columns"] - 1) % c.tile_columns + 1))
        return k.product_end + c.tile_depth + drain + more

    # --- other instructions ---------------------------------------------------------------------------------------

    def _load_rate(self, f: dict[str, int]) -> float:
        c = self.configuration
        if f["destination"] == LoadDestination.WEIGHT:
            return min(self.load_rate, c.weight_word_bytes >> f.get("unpack", 0))  # one word a cycle
        if f["destination"] == LoadDestination.ACT:
            return min(self.load_rate, c.act_word_bytes / self.constants.load_act_word)
        return BEAT_BYTES / self.constants.load_table_beat

    def _burst_cycles(self) -> float:
        """Least cycles of a port per burst: so many are under way at once, and each takes the latency."""
        return (self.latency + self.constants.burst) / BURSTS_UNDER_WAY

    def _duration(self, name: str, f: dict[str, int], rivals: Sequence[_Accesses], beside: bool) -> float:
        """Cycles of an instruction of the vector unit or of route. beside: products run at its start."""
        c, k = self.configuration, self.constants
        if name == "softmax":
            row = -(-f["columns"] // (c.tile_columns * c.act_ports)) * (c.act_ports if c.act_banks == 1 else 1)
            # A write that lost its bank finds it free in the next cycle, unless the products use all banks at once.
            target = f["destination_address"]
            busy = self._busy([(each.cycles, each.writes) for each in rivals], target)
            wait = f["rows"] * row * (busy if self._banks(target) > c.act_ports else busy / (1 - busy))
            # Where softmax is the slower one, it waits for no more than the writes of a product.
            most = max((sum(each.writes.values()) for each in rivals), default=0.0) / self._banks(target)
            return f["rows"] * row + min(wait, most) + k.softmax_overhead
        if name == "layer_norm":
            words, steps = -(-f["columns"] // c.tile_columns), c.tile_columns // c.norm_lanes
            busy = self._busy([(each.cycles, each.reads) for each in rivals], f["source_address"]) if beside else 0.0
            read = words * (max(steps, _NORM_WORD) + busy / (1 - busy))
            cycles_per_row = max(read, (read + words * steps + k.norm_row_latency) / _NORM_ROWS)
            return f["rows"] * cycles_per_row + words * steps + k.norm_overhead
        return f["rows"] * max(f["columns"] + 1, k.route_row) + k.route_column * f["columns"] + k.route_overhead


class _Queues:
    """Token counts of the expert queues while a program runs.

    Without given counts, the number of queues that have tokens is the number expected if tokens chose at random; these queues share
    the tokens evenly, and which queues they are rotates.
    """

    def __init__(self, counts: Sequence[Sequence[int]] | None) -> None:
        self._given = None if counts is None else iter(counts)
        self._counts: list[float] = []
        self._before: list[float] = []  # from tokens that had other queues to choose from
        self._choice: tuple[list[int], int] = [], 0
        self._tokens, self._first, self._used = 0, 0, 0

    def route(self, f: dict[str, int]) -> None:
        if self._given is not None:
            if not f.get("append"):
                self._counts = [float(count) for count in next(self._given)]
            return
        absent = f.get("absent_low", 0) | f.get("absent_high", 0) << 32
        queues = [queue for queue in range(f["columns"]) if not absent >> queue & 1]
        chosen = min(f["top_k"], len(queues))
        if not f.get("append"):
            self._before = [0.0] * f["columns"]
        if not f.get("append") or (queues, chosen) != self._choice:
            if f.get("append"):
                self._before = self._counts
            self._tokens, self._first, self._choice = 0, self._first + self._used, (queues, chosen)
        self._tokens += f["rows"]
        self._used = round(len(queues) * (1 - (1 - chosen / len(queues)) ** self._tokens))
        self._counts = self._before.copy()
        for n in range(self._used):
            self._counts[queues[(self._first + n) % len(queues)]] += self._tokens * chosen / self._used

    def is_empty(self, queue: int) -> bool:
        return self._counts[queue] == 0

    def rows(self, f: dict[str, int]) -> float:
        if not (f.get("gather") or f.get("scatter")):
            return f["rows"]
        return min(max(self._counts[f["queue"]] - f["queue_first"], 0), f["rows"])


def _prolong(
    executions: list[ExecutionEstimate], place: int, cycles: float, semaphores: list[deque[tuple[float, Unit]]]
) -> None:
    """Let an instruction complete later, for those that have not waited for it yet."""
    before = executions[place]
    after = before._replace(done=before.done + cycles)
    executions[place] = after
    for number in _bits(before.entry.signal_mask):
        signals = semaphores[number]
        for index, signal in enumerate(signals):
            if signal == (before.done, before.unit):
                signals[index] = after.done, after.unit


def _bursts(f: dict[str, int]) -> int:
    return -(-f["bytes"] // BURST_BYTES) * f["count_1"] * f["count_2"] * f["count_3"]


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
