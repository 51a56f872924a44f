"""One layer as a program of its own: its loads, its products and its stores, all overlapped.

Rows of the left operand come in blocks, columns in groups. What is loaded is multiplied with all of the other operand that is on chip
already, in one product. The loads are in the order in which the array waits least, and as few as that allows; results are stored once
the array no longer waits for loads, in pieces that leave little to store behind the last product. Each instruction less counts: at the
start of a run, the program itself and the operands share the memory's rate. Where an operand does not fit on chip, its blocks or
groups take turns in as many places as there are.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

from moesaic.errors import UserError
from moesaic.hls.compiler.arena import Span, round_up
from moesaic.hls.compiler.assembler import Assembler
from moesaic.hls.compiler.cycle_constants import CycleConstants
from moesaic.hls.compiler.cycle_model import BURST_BYTES, BURSTS_UNDER_WAY, CycleModel
from moesaic.hls.compiler.weight_layout import Linear, linear_tile_bytes, pack_linear, parameter_bytes
from moesaic.sim.measurements.peers.layers import Layer, Operands, bordered, our_scale
from moesaic.sim.measurements.peers.load_order import Load, OperandParts, improved_order, soonest_order
from moesaic.sim.measurements.peers.store_pieces import Cut, last_cuts
from moesaic.spec.configuration import HardwareConfiguration
from moesaic.spec.dram_timing import BEAT_BYTES, BYTES_PER_CYCLE, LATENCY
from moesaic.spec.executor import WINDOW_ALIGNMENT, Memory, Program
from moesaic.spec.isa import Destination, LoadDestination, Space

_GROUP_COLUMNS = 32
"""Columns of a group."""
_STORED_GROUPS = 2
"""Least groups of columns that are stored together if more are to come, as bursts of 64 bytes or more for each row of the result."""


@dataclass(frozen=True, eq=False)
class LayerProgram:
    """A program with its memory. The results of its passes lie one behind the other from byte `result_at` of the frame window on."""

    layer: Layer
    program: Program
    code: bytes
    memory: Memory
    result_at: int
    passes: int

    def results(self, frame: np.ndarray) -> np.ndarray:
        """The results in a frame window after a run, int8 (passes, rows, columns)."""
        shape = (self.passes, self.layer.rows, self.layer.columns)
        return frame[self.result_at : self.result_at + math.prod(shape)].view(np.int8).reshape(shape)


def layer_program(
    layer: Layer, values: Operands, configuration: HardwareConfiguration, passes: int = 1
) -> LayerProgram:
    """The program of a layer.

    passes: how often the layer is computed, each time with all loads and stores. In places of their own where the memories hold two,
    so that a pass is loaded while the one before it is multiplied, as layers of a network are.

    Raises:
        UserError: the layer does not fit the configuration, or its sizes are not multiples of what the machine needs.
    """
    c = configuration
    unfit = (
        layer.columns % (_STORED_GROUPS * _GROUP_COLUMNS)
        or _GROUP_COLUMNS % c.tile_columns
        or layer.depth % max(16, c.tile_depth)
    )
    if unfit or layer.channels % 16:
        raise UserError(
            f"{layer.name}: {layer.columns} columns over a depth of {layer.depth} on tiles of {c.tile_columns} x {c.tile_depth};"
            f" columns have to be a multiple of {_STORED_GROUPS * _GROUP_COLUMNS}, depth and channels of 16"
        )
    multiplier, shift = our_scale()
    linear = Linear(
        values.weights.reshape(layer.columns, layer.depth),
        values.bias,
        np.full(layer.columns, multiplier, np.uint16),
        np.full(layer.columns, shift, np.uint8),
    )
    weights = pack_linear(c, linear)
    inputs = bordered(values.inputs) if layer.picture else values.inputs
    result_at = round_up(inputs.size, WINDOW_ALIGNMENT)
    maker = _Maker(layer, c, result_at)
    for number in range(passes):
        maker.emit_pass(number, _loads(layer, c))
    code = maker.assembler.program()
    code_at = round_up(weights.size, WINDOW_ALIGNMENT)
    constants = np.zeros(round_up(code_at + len(code), WINDOW_ALIGNMENT), np.uint8)
    constants[: weights.size] = weights
    constants[code_at : code_at + len(code)] = np.frombuffer(code, np.uint8)
    frame = np.zeros(round_up(result_at + passes * layer.rows * layer.columns, WINDOW_ALIGNMENT), np.uint8)
    frame[: inputs.size] = inputs.reshape(-1).view(np.uint8)
    return LayerProgram(layer, Program(code_at, len(code)), code, Memory(constants, frame), result_at, passes)


@cache
def _loads(layer: Layer, configuration: HardwareConfiguration) -> list[Load]:
    """The loads of a pass. Raises UserError if neither operand fits whole."""
    parts = _Maker(layer, configuration).operand_parts()
    found = []
    for rows_late in (False, True):
        order = soonest_order(parts, rows_late)
        if order is None:
            raise UserError(
                f"{layer.name} does not fit {configuration.name}: {parts.group_places * _GROUP_COLUMNS} of {layer.columns} columns and"
                f" {parts.block_places * configuration.tile_rows} of {layer.rows} rows at a time, one of them has to fit whole; choose a"
                " larger configuration"
            )
        found.append(improved_order(order, parts, lambda loads: _cost(layer, configuration, loads)))
    return min(found, key=lambda loads: _cost(layer, configuration, loads))


def _cost(layer: Layer, configuration: HardwareConfiguration, loads: Sequence[Load]) -> tuple[float, int]:
    """Cycles of a pass with these loads, by the cycle model, and its instructions, of which fewer are better."""
    maker = _Maker(layer, configuration)
    maker.emit_pass(0, loads)
    entries = maker.assembler.entries
    return CycleModel(configuration).run(entries).cycles, len(entries)


class _Maker:
    """Emits the instructions of one layer. Weights lie at the start of the constant window, inputs at that of the frame window."""

    def __init__(self, layer: Layer, configuration: HardwareConfiguration, result_at: int = 0) -> None:
        self.layer, self.configuration, self.result_at = layer, configuration, result_at
        self.assembler = Assembler(configuration, {})
        c = configuration
        self.block = c.tile_rows
        self.blocks = -(-layer.rows // self.block)
        self.groups = layer.columns // _GROUP_COLUMNS
        # Of the array, for a block times a group.
        self.steps = layer.depth // c.tile_depth * (_GROUP_COLUMNS // c.tile_columns)
        # Neighbouring rows start in different banks.
        words = -(-layer.depth // c.act_word_bytes)
        self.pitch = (words + (words % c.act_banks == 0)) * c.act_word_bytes
        self.tile = linear_tile_bytes(c, layer.depth)
        self.group_bytes = _GROUP_COLUMNS // c.tile_columns * self.tile
        self.group_places = min(self.groups, c.weight_bytes // self.group_bytes)
        row_bytes = self.pitch + layer.columns
        self.block_places = min(self.blocks, c.act_bytes // (row_bytes * self.block))
        self.a_bytes, self.d_bytes = (self.block_places * self.block * each for each in (self.pitch, layer.columns))
        self.b_bytes = self.group_places * self.group_bytes
        self.copies = 1 + (2 * (self.a_bytes + self.d_bytes) <= c.act_bytes and 2 * self.b_bytes <= c.weight_bytes)
        # Results lie above the shared memory, whose banks are its own, if there is room.
        self.d_base = max(self.copies * self.a_bytes, c.shared_bytes)
        if self.d_base + self.copies * self.d_bytes > c.act_bytes:
            self.d_base = self.copies * self.a_bytes
        self.number = 0
        if not self.group_places or not self.block_places:
            raise UserError(
                f"{layer.name} does not fit {c.name}: {self.group_bytes:,} bytes of weights and {row_bytes * self.block:,} of"
                f" activations for one part, of {c.weight_bytes:,} and {c.act_bytes:,}; choose a larger configuration"
            )

    def operand_parts(self) -> OperandParts:
        """What the order of the loads depends on."""
        c, size = self.configuration, self.block * self.layer.depth
        rates = [BYTES_PER_CYCLE, min(BYTES_PER_CYCLE, c.act_word_bytes / CycleConstants().load_act_word)]
        return OperandParts(
            tuple(size / rates[not self._is_wide(block, block + 1)] for block in range(self.blocks)),
            self.block_places,
            self.groups,
            self.group_bytes / BYTES_PER_CYCLE,
            self.group_places,
            self.steps,
        )

    def emit_pass(self, number: int, loads: Sequence[Load]) -> None:
        """Emit the whole layer, for the time `number`."""
        self.number = number
        groups = blocks = stored = 0
        waiting = 0.0  # cycles of the last store
        for place, load in enumerate(loads):
            first, left = (0, groups) if load.columns else (blocks, 0)
            if load.columns:
                self._load_groups(groups, load.count)
                groups += load.count
            else:
                self._load_blocks(blocks, load.count)
                blocks += load.count
            if first == blocks or left == groups:
                continue
            # While both rows and columns are missing, the array waits for loads, so no store takes the memory from them.
            all_rows = load.columns and blocks == self.blocks
            due = groups == self.groups or (all_rows and groups - stored >= _STORED_GROUPS)
            left_stored = stored if load.columns else 0
            cuts = [Cut(left, groups, [blocks - first])]
            if place == len(loads) - 1:
                cuts = last_cuts(blocks - first, left, groups, left_stored, self.steps, waiting, self._store_cycles)
            for cut in cuts:
                at = first
                for count in cut.pieces:
                    self._multiply(at, at + count, cut.left, cut.right)
                    if due:
                        self._store(at, at + count, left_stored, cut.right)
                        waiting = self._store_cycles(count, cut.right - left_stored)
                    at += count
                left_stored = cut.right
            if due and groups < self.groups:
                stored = groups

    def _store_cycles(self, blocks: int, groups: int) -> float:
        """Of a store of so many blocks of rows and groups of columns, beside no loads."""
        constants, size = CycleConstants(), groups * _GROUP_COLUMNS
        burst = (LATENCY + constants.burst) / BURSTS_UNDER_WAY
        row = max(size / BEAT_BYTES, -(-size // BURST_BYTES) * burst)
        return LATENCY + constants.store_overhead + blocks * self.block * row

    # --- places on chip -------------------------------------------------------------------------------------------

    def _rows(self, first: int, end: int) -> int:
        return min(end * self.block, self.layer.rows) - first * self.block

    def _a(self, block: int) -> int:
        copy = self.number % self.copies * self.a_bytes
        return copy + block % self.block_places * self.block * self.pitch

    def _d(self, block: int) -> int:
        copy = self.d_base + self.number % self.copies * self.d_bytes
        return copy + block % self.block_places * self.block * self.layer.columns

    def _b(self, group: int) -> int:
        return self.number % self.copies * self.b_bytes + group % self.group_places * self.group_bytes

    # --- instructions ---------------------------------------------------------------------------------------------

    def _load_groups(self, first: int, count: int) -> None:
        at, size = self._b(first), count * self.group_bytes
        self.assembler.emit(
            "load", "weights", (), (Span("weight", at, at + size),), space=Space.CONSTANT, destination=LoadDestination.WEIGHT,
            dram_offset=first * self.group_bytes, local_address=at, bytes=size, count_1=1, count_2=1, count_3=1,
        )  # fmt: skip

    def _load_blocks(self, block: int, blocks: int) -> None:
        first, rows, at = block * self.block, self._rows(block, block + blocks), self._a(block)
        wide = self._is_wide(block, block + blocks)
        depth = self.layer.depth
        if not self.layer.picture:
            if self.pitch == depth:
                self._load_rows(at, 1, wide, dram=first * depth, size=rows * depth, stride=depth)
            else:
                self._load_rows(at, rows, wide, dram=first * depth, size=depth, stride=depth)
            return
        side, channels = self.layer.picture, self.layer.channels
        line = (side + 2) * channels
        done = 0
        while done < rows:
            y, x = divmod(first + done, side)
            count = min(rows - done, side - x)
            self._load_rows(
                at + done * self.pitch, count, wide, dram=y * line + x * channels, size=3 * channels, stride=channels, lines=3,
                line=line,
            )  # fmt: skip
            done += count

    def _is_wide(self, first: int, end: int) -> bool:
        """Whether blocks first..end of rows lie in the shared memory, where a load to weight addresses writes all banks in a cycle."""
        return self._a(first) + (end - first) * self.block * self.pitch <= self.configuration.shared_bytes

    def _load_rows(
        self, at: int, rows: int, wide: bool, *, dram: int, size: int, stride: int, lines: int = 1, line: int = 0
    ) -> None:
        """Rows of `lines` runs of `size` bytes each, which lie `line` bytes apart, from rows `stride` bytes apart."""
        span = Span("act", at, at + (rows - 1) * self.pitch + lines * size)
        self.assembler.emit(
            "load", "rows", (), (span,), space=Space.FRAME, destination=LoadDestination.WEIGHT if wide else LoadDestination.ACT,
            dram_offset=dram, local_address=at + wide * self.configuration.weight_bytes, bytes=size, count_1=lines,
            dram_stride_1=line, local_stride_1=size, count_2=rows, dram_stride_2=stride, local_stride_2=self.pitch, count_3=1,
        )  # fmt: skip

    def _results(self, first: int, end: int, left: int, right: int) -> tuple[Span, ...]:
        """What a part of the result takes on chip. Rows interleave between groups of columns, so each of these is a space of its own."""
        at = self._d(first)
        return tuple(
            Span(f"group {n}", at, at + self._rows(first, end) * self.layer.columns) for n in range(left, right)
        )

    def _multiply(self, first: int, end: int, left: int, right: int) -> None:
        """Multiply blocks first..end of rows with groups left..right of columns."""
        c, rows, a, b = self.configuration, self._rows(first, end), self._a(first), self._b(left)
        operands = (Span("act", a, a + rows * self.pitch), Span("weight", b, b + (right - left) * self.group_bytes))
        self.assembler.emit(
            "matmul", "product", operands, self._results(first, end, left, right), destination=Destination.INT8, rows=rows,
            columns=(right - left) * _GROUP_COLUMNS, depth=self.layer.depth, a_address=a, a_pitch=self.pitch,
            b_address=b + parameter_bytes(c), b_stride=self.tile, param_address=b, param_stride=self.tile,
            d_address=self._d(first) + left * _GROUP_COLUMNS, d_pitch=self.layer.columns,
        )  # fmt: skip

    def _store(self, first: int, end: int, left: int, right: int) -> None:
        """Store the results of blocks first..end of rows in groups left..right of columns."""
        rows, columns, pitch = self._rows(first, end), (right - left) * _GROUP_COLUMNS, self.layer.columns
        place = self.number * self.layer.rows + first * self.block
        dram = self.result_at + place * pitch + left * _GROUP_COLUMNS
        self.assembler.emit(
            "store", "result", self._results(first, end, left, right),
            (Span("frame", dram, dram + (rows - 1) * pitch + columns),), space=Space.FRAME, dram_offset=dram,
            local_address=self._d(first) + left * _GROUP_COLUMNS, bytes=columns, count_1=rows, dram_stride_1=pitch,
            local_stride_1=pitch, count_2=1, count_3=1,
        )  # fmt: skip
