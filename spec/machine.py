"""The reference machine: what every instruction means, in numpy. It defines what is correct.

Fetch fills queues of `instruction_queue` instructions in program order, and the units take turns, each running as far as its
semaphores allow. Hardware has room for a few more instructions, so a program that ends here also ends there. On-chip memories are
byte arrays and start with a seeded pattern, because hardware promises nothing about their initial contents.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from moesaic.spec.arithmetic import (
    TABLE_ENTRIES,
    TABLE_INDEX_BITS,
    layer_norm,
    matmul_exact,
    requantise,
    route_token,
    saturate,
    softmax_rows,
    weigh_by_score,
)
from moesaic.spec.configuration import HardwareConfiguration
from moesaic.spec.dram_timing import BEAT_BYTES
from moesaic.spec.executor import Counters, MachineFault, Memory, Program
from moesaic.spec.int4 import unpack_int4
from moesaic.spec.isa import (
    INSTRUCTION_BYTES,
    PARAMETER_ENTRY,
    PARAMETER_SHIFT_MAX,
    Destination,
    Fault,
    Space,
    Unit,
)
from moesaic.spec.issue import Issue, Issued, read_program
from moesaic.spec.legality import Fields

_COUNTERS = ("instructions", "matmul_array", "read_beats", "write_beats")


class _Stop(Exception):
    """Raised inside an instruction; execute() adds the unit and the tag."""

    def __init__(self, cause: Fault) -> None:
        super().__init__(cause.name)
        self.cause = cause


class ReferenceMachine:
    """An executor (moesaic.spec.executor.Executor) in numpy.

    Args:
        configuration: sizes of the machine.
        observe: if given, called as observe(name, fields, machine) after each instruction; tests read the on-chip memories there.
        seed: for the contents of the memories at power-up.

    Attributes:
        act: activation memory, uint8 (act_bytes,).
        weight: what weight addresses reach, uint8 (weight_bytes + shared_bytes,); its last shared_bytes are the first of `act`.
        table: GELU tables, uint8 (tables * 1,024,).
        row_max: tracked row maxima, int64 (row_entries,), values of int16.
        row_multiplier, row_shift: what softmax leaves for dividing by a row's sum, int64 (row_entries,), 0..65,535 and 15..47.
        queue_count: entries in each expert's queue, int64 (experts,). queue_token, queue_score: the entries, int64 (experts,
            queue_tokens), token numbers and scores in units of 2**-16. next_token: above the token of every entry.

    The methods load, store, matmul, layer_norm, softmax and route execute the instructions of those names, see moesaic.spec.isa.

    It counts `instructions`, `matmul_array` and `write_beats` exactly as hardware does; its `read_beats` are what load and fetch
    need, while hardware also fetches ahead.
    """

    def __init__(
        self,
        configuration: HardwareConfiguration,
        observe: Callable[[str, Fields, ReferenceMachine], None] | None = None,
        seed: int = 0,
    ) -> None:
        self.configuration = configuration
        self.fingerprint = configuration.fingerprint
        self.observe = observe
        noise = np.random.default_rng(seed)
        on_chip = noise.integers(0, 256, configuration.weight_bytes + configuration.act_bytes, np.uint8)
        self.act = on_chip[configuration.weight_bytes :]
        self.weight = on_chip[: configuration.weight_window_bytes]
        self.table = noise.integers(0, 256, configuration.table_bytes, np.uint8)
        self.row_max = noise.integers(-(1 << 15), 1 << 15, configuration.row_entries)
        self.row_multiplier = noise.integers(0, 1 << 16, configuration.row_entries)
        self.row_shift = noise.integers(15, 48, configuration.row_entries)
        self.queue_count = np.zeros(configuration.experts, np.int64)
        self.queue_token = np.zeros((configuration.experts, configuration.queue_tokens), np.int64)
        self.queue_score = np.zeros((configuration.experts, configuration.queue_tokens), np.int64)
        self.next_token = 0
        self._counters: Counters = dict.fromkeys(_COUNTERS, 0)
        self._meanings = {
            "load": self.load,
            "store": self.store,
            "matmul": self.matmul,
            "layer_norm": self.layer_norm,
            "softmax": self.softmax,
            "route": self.route,
        }

    def close(self) -> None:
        """Nothing to free."""

    def run(self, program: Program, memory: Memory, max_cycles: int) -> Counters:
        """See moesaic.spec.executor.Executor. There is no clock: TIMEOUT comes once no unit can proceed, max_cycles is ignored."""
        self._counters = dict.fromkeys(_COUNTERS, 0)
        issue = Issue(read_program(program, memory.constants, self.configuration), self.configuration.instruction_queue)
        progress = True
        while progress:
            progress = False
            issue.fill()
            for unit in Unit:
                while issue.ready(unit):
                    progress = True
                    instruction = issue.start(unit)
                    self.execute(instruction, memory)
                    issue.complete(instruction)
                    if self.observe is not None:
                        self.observe(instruction.name, instruction.fields, self)
        issue.require_finished()
        self._counters["instructions"] += 1
        self._counters["read_beats"] += self._counters["instructions"] * (INSTRUCTION_BYTES // BEAT_BYTES)
        return self._counters

    def execute(self, instruction: Issued, memory: Memory) -> None:
        """Execute one legal instruction now, whatever its semaphores say. Raises MachineFault with ADDRESS."""
        try:
            self._meanings[instruction.name](instruction.fields, memory)
        except _Stop as stop:
            raise MachineFault(stop.cause, instruction.unit.name.lower(), instruction.fields["tag"]) from None
        self._counters["instructions"] += 1

    def state(self) -> np.ndarray:
        """The contents of everything on chip that a program can change, uint8 (bytes,)."""
        parts = (
            self.act, self.weight, self.table, self.row_max, self.row_multiplier, self.row_shift,
            self.queue_count, self.queue_token, self.queue_score, np.array(self.next_token),
        )  # fmt: skip
        return np.concatenate([np.ascontiguousarray(part).view(np.uint8).reshape(-1) for part in parts])

    @staticmethod
    def _span(memory: np.ndarray, address: int, size: int) -> np.ndarray:
        """A view of `size` bytes, or an address fault."""
        if address + size > len(memory):
            raise _Stop(Fault.ADDRESS)
        return memory[address : address + size]

    def _rows(self, address: int, pitch: int, rows: int, count: int, dtype: str) -> np.ndarray:
        """A view of `rows` rows of `count` elements in the activation memory, or an address fault."""
        if rows == 0:
            return np.empty((0, count), dtype)
        size = np.dtype(dtype).itemsize * count
        self._span(self.act, address, (rows - 1) * pitch + size)
        elements = self.act[address : address + size].view(dtype)
        return np.lib.stride_tricks.as_strided(elements, (rows, count), (pitch, np.dtype(dtype).itemsize))

    # --- load and store -------------------------------------------------------------------------------------------

    def _transfers(self, f: Fields):
        for i3 in range(f["count_3"]):
            for i2 in range(f["count_2"]):
                for i1 in range(f["count_1"]):
                    yield (
                        f["dram_offset"] + i3 * f["dram_stride_3"] + i2 * f["dram_stride_2"] + i1 * f["dram_stride_1"],
                        f["local_address"]
                        + i3 * f["local_stride_3"]
                        + i2 * f["local_stride_2"]
                        + i1 * f["local_stride_1"],
                    )

    def load(self, f: Fields, memory: Memory) -> None:
        if f["skip_if_empty"] and self.queue_count[f["queue"]] == 0:
            return
        window = memory.constants if f["space"] == Space.CONSTANT else memory.frame
        target = (self.act, self.weight, self.table)[f["destination"]]
        for dram, local in self._transfers(f):
            source = self._span(window, dram, f["bytes"])
            data = unpack_int4(source[None], 2 * len(source)).view(np.uint8)[0] if f["unpack"] else source
            self._span(target, local, len(data))[:] = data
            self._counters["read_beats"] += f["bytes"] // BEAT_BYTES

    def store(self, f: Fields, memory: Memory) -> None:
        for dram, local in self._transfers(f):
            target = self._span(memory.frame, dram, f["bytes"])
            target[:] = self._span(self.act, local, f["bytes"])
            self._counters["write_beats"] += f["bytes"] // BEAT_BYTES

    # --- matmul ---------------------------------------------------------------------------------------------------

    def matmul(self, f: Fields, memory: Memory) -> None:
        c = self.configuration
        by_queue = f["gather"] or f["scatter"]
        rows = f["rows"]
        if by_queue:
            rows = min(rows, max(int(self.queue_count[f["queue"]]) - f["queue_first"], 0))
        if rows == 0:
            return
        entries = slice(f["queue_first"], f["queue_first"] + rows)
        tokens = self.queue_token[f["queue"], entries] if by_queue else np.arange(rows)
        depth, columns = f["depth"], f["columns"]
        a = self._rows(f["a_address"], f["a_pitch"], int(tokens.max()) + 1 if f["gather"] else rows, depth, "i1")
        if f["gather"]:
            a = a[tokens]
        tiles = -(-columns // c.tile_columns)
        self._counters["matmul_array"] += -(-rows // c.tile_rows) * tiles * (depth // c.tile_depth)
        row_maximum = np.full(rows, -(1 << 15), np.int64)
        for j in range(tiles):
            valid = min(c.tile_columns, columns - j * c.tile_columns)
            words = self._span(self.weight, f["b_address"] + j * f["b_stride"], depth * c.tile_columns).view(np.int8)
            b = (
                words.reshape(depth // c.tile_depth, c.tile_columns, c.tile_depth)
                .transpose(1, 0, 2)
                .reshape(c.tile_columns, depth)
            )
            value = self._requantise(f, matmul_exact(a, b[:valid]), rows, j, valid)
            if f["table_enable"]:
                index = saturate(value, TABLE_INDEX_BITS) + TABLE_ENTRIES // 2
                value = self.table.view(np.int8)[f["table_index"] * TABLE_ENTRIES + index].astype(np.int64)
            row_maximum = np.maximum(row_maximum, saturate(value, 16).max(axis=1))
            self._write_tile(f, value, tokens, j)
        if f["track_max"]:
            self._row_statistics(self.row_max, f["row_base"], rows)[:] = row_maximum

    def _row_statistics(self, memory: np.ndarray, base: int, rows: int) -> np.ndarray:
        if base + rows > len(memory):
            raise _Stop(Fault.ADDRESS)
        return memory[base : base + rows]

    def _requantise(self, f: Fields, total: np.ndarray, rows: int, j: int, valid: int) -> np.ndarray:
        if f["row_scale"]:
            multiplier = self._row_statistics(self.row_multiplier, f["row_base"], rows)
            shift = np.maximum(self._row_statistics(self.row_shift, f["row_base"], rows) - f["output_shift"], 0)
            return requantise(total, multiplier[:, None], shift[:, None])
        block = self._span(
            self.weight, f["param_address"] + j * f["param_stride"], self.configuration.parameter_block_bytes
        )
        entries = block.view(PARAMETER_ENTRY)[:valid]
        return requantise(
            total + entries["bias"].astype(np.int64),
            entries["multiplier"].astype(np.int64),
            entries["shift"].astype(np.int64) & PARAMETER_SHIFT_MAX,
        )

    def _write_tile(self, f: Fields, value: np.ndarray, tokens: np.ndarray, j: int) -> None:
        c = self.configuration
        rows, valid = value.shape
        columns = np.arange(valid)
        destination = f["destination"]
        if destination in (Destination.KEYS, Destination.VALUES):
            r = np.arange(rows)[:, None]
            if destination == Destination.KEYS:
                n = j * c.tile_columns + columns
                address = (
                    f["d_address"]
                    + (r // c.tile_columns) * f["d_pitch"]
                    + (n // c.tile_depth) * c.weight_word_bytes
                    + (r % c.tile_columns) * c.tile_depth
                    + n % c.tile_depth
                )
            else:
                address = (
                    f["d_address"]
                    + j * f["d_pitch"]
                    + (r // c.tile_depth) * c.weight_word_bytes
                    + columns * c.tile_depth
                    + r % c.tile_depth
                )
            self._span(self.weight, int(address.max()), 1)
            self.weight[address] = saturate(value, 8).astype(np.int8).view(np.uint8)
            return
        target_rows = tokens if f["scatter"] else np.arange(rows)
        size, dtype = (1, "i1") if destination == Destination.INT8 else (2, "<i2")
        start = f["d_address"] + size * j * c.tile_columns
        target = self._rows(start, f["d_pitch"], int(target_rows.max()) + 1, valid, dtype)
        if destination == Destination.INT8:
            target[target_rows] = saturate(value, 8)
            return
        update = saturate(value, 16)
        if destination == Destination.RESIDUAL:
            if f["scatter"]:
                scores = self.queue_score[f["queue"], f["queue_first"] : f["queue_first"] + rows]
                update = weigh_by_score(update, scores[:, None], f["score_shift"])
            update = saturate(target[target_rows].astype(np.int64) + update, 16)
        target[target_rows] = update

    # --- vector ---------------------------------------------------------------------------------------------------

    def _write_padded(self, f: Fields, result: np.ndarray) -> None:
        """Write int8 rows, each followed by zeros up to a multiple of tile_columns."""
        rows, count = result.shape
        padded = -(-count // self.configuration.tile_columns) * self.configuration.tile_columns
        target = self._rows(f["destination_address"], f["destination_pitch"], rows, padded, "i1")
        target[:, :count] = result
        target[:, count:] = 0

    def layer_norm(self, f: Fields, memory: Memory) -> None:
        c, width = self.configuration, f["columns"]
        groups = -(-width // c.tile_columns)
        parameters = self._rows(f["param_address"], 0, 1, groups * 2 * c.tile_columns, "<i2").reshape(
            groups, 2, c.tile_columns
        )
        gamma, beta = (parameters[:, which].reshape(-1)[:width].astype(np.int64) for which in (0, 1))
        x = self._rows(f["source_address"], f["source_pitch"], f["rows"], width, "<i2")
        self._write_padded(f, layer_norm(x, gamma, beta, f["shift"]))

    def softmax(self, f: Fields, memory: Memory) -> None:
        rows, base = f["rows"], f["row_base"]
        maximum = self._row_statistics(self.row_max, base, rows)
        scores = self._rows(f["source_address"], f["source_pitch"], rows, f["columns"], "<i2")
        probability, multiplier, shift = softmax_rows(scores, maximum)
        self._write_padded(f, probability)
        self._row_statistics(self.row_multiplier, base, rows)[:] = multiplier
        self._row_statistics(self.row_shift, base, rows)[:] = shift

    # --- route ----------------------------------------------------------------------------------------------------

    def route(self, f: Fields, memory: Memory) -> None:
        if f["append"] and f["first"] < self.next_token:
            raise _Stop(Fault.ADDRESS)
        logits = self._rows(f["source_address"], f["source_pitch"], f["rows"], f["columns"], "<i2")
        absent = f["absent_high"] << 32 | f["absent_low"]
        selected, scores = route_token(
            logits, f["top_k"], np.array([absent >> e & 1 for e in range(f["columns"])], bool)
        )
        if not f["append"]:
            self.queue_count[:] = 0
        self.next_token = f["first"] + f["rows"]
        for e in range(f["columns"]):
            tokens = np.flatnonzero(selected[:, e])
            entries = slice(self.queue_count[e], self.queue_count[e] + len(tokens))
            self.queue_token[e, entries] = f["first"] + tokens
            self.queue_score[e, entries] = scores[tokens, e]
            self.queue_count[e] = entries.stop
