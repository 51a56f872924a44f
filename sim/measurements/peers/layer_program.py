"""One layer as a program of its own: its loads, its products and its stores, all overlapped.

Rows of the left operand come in blocks, columns in groups. A block or a group is loaded, and then multiplied with all of the other
operand that is on chip already; a part of the result is stored as soon as it is complete. What is loaded next is what brings the
array most work for its bytes. Where an operand does not fit on chip, its blocks or groups take turns in as many places as there are.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import numpy as np

from moesaic.errors import UserError
from moesaic.hls.compiler.arena import Span, round_up
from moesaic.hls.compiler.assembler import Assembler
from moesaic.hls.compiler.cycle_constants import CycleConstants
from moesaic.hls.compiler.cycle_model import CycleModel
from moesaic.hls.compiler.weight_layout import Linear, linear_tile_bytes, pack_linear, parameter_bytes
from moesaic.sim.measurements.peers.layers import Layer, Operands, bordered, our_scale
from moesaic.spec.configuration import HardwareConfiguration
from moesaic.spec.dram_timing import BYTES_PER_CYCLE
from moesaic.spec.executor import WINDOW_ALIGNMENT, Memory, Program
from moesaic.spec.isa import Destination, LoadDestination, Space

_GROUP_COLUMNS = 32
"""Columns of a group."""
_STORED_GROUPS = 2
"""Groups of columns that are stored together, as a burst of 64 bytes for each row of the result."""
_PIECE_BLOCKS, _LEAST_BLOCKS = 4, 2
"""Blocks of rows that one product has at most, so that its store runs beside the next one, and those of the last."""


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
    makers = [_Maker(layer, c, result_at) for _ in range(2)]
    for maker, rows_late in zip(makers, (False, True)):
        for number in range(passes):
            maker.emit_pass(number, rows_late)
    model = CycleModel(c)
    code = min((each.assembler for each in makers), key=lambda each: model.run(each.entries).cycles).program()
    code_at = round_up(weights.size, WINDOW_ALIGNMENT)
    constants = np.zeros(round_up(code_at + len(code), WINDOW_ALIGNMENT), np.uint8)
    constants[: weights.size] = weights
    constants[code_at : code_at + len(code)] = np.frombuffer(code, np.uint8)
    frame = np.zeros(round_up(result_at + passes * layer.rows * layer.columns, WINDOW_ALIGNMENT), np.uint8)
    frame[: inputs.size] = inputs.reshape(-1).view(np.uint8)
    return LayerProgram(layer, Program(code_at, len(code)), code, Memory(constants, frame), result_at, passes)


class _Maker:
    """Emits the instructions of one layer. Weights lie at the start of the constant window, inputs at that of the frame window."""

    def __init__(self, layer: Layer, configuration: HardwareConfiguration, result_at: int) -> None:
        self.layer, self.configuration, self.result_at = layer, configuration, result_at
        self.assembler = Assembler(configuration, {})
        c = configuration
        self.block = c.tile_rows
        self.blocks = -(-layer.rows // self.block)
        self.groups = layer.columns // _GROUP_COLUMNS
        # An odd number of words from row to row spreads rows over all banks.
        words = -(-layer.depth // c.act_word_bytes)
        self.pitch = (words + 1 - words % 2) * c.act_word_bytes
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

    def emit_pass(self, number: int, rows_late: bool) -> None:
        """Emit the whole layer, for the time `number`.

        rows_late: of two equally good orders of loads, take that with more groups of columns first.
        """
        self.number = number
        groups = blocks = 0
        for columns_next in self._order(rows_late):
            if not columns_next:
                self._load_block(blocks)
                blocks += 1
                if groups:
                    self._multiply(blocks - 1, blocks, 0, groups)
                if groups >= _STORED_GROUPS:
                    self._store(blocks - 1, blocks, 0, groups - groups % _STORED_GROUPS)
                continue
            self._load_group(groups)
            groups += 1
            stored = groups % _STORED_GROUPS == 0
            waits = (
                groups == self.groups - 1 and blocks == self.blocks
            )  # the last two go together, or stores would fall behind
            together = _STORED_GROUPS if groups == self.groups and blocks == self.blocks else 1
            first = blocks if waits else 0
            while first < blocks:
                end = min(first + max(min(_PIECE_BLOCKS, -(-(blocks - first) // 2)), _LEAST_BLOCKS), blocks)
                self._multiply(first, end, groups - together, groups)
                if stored:
                    self._store(first, end, groups - _STORED_GROUPS, groups)
                first = end

    def _order(self, rows_late: bool) -> list[bool]:
        """What is loaded next, from the first load to the last: a block of rows (False) or a group of columns (True).

        The array ends when the last load has ended and it has done what was left then, for every load: the order is the one whose worst
        load, in this sense, is best.
        """
        c, constants = self.configuration, CycleConstants()
        words = self.layer.depth // c.act_word_bytes
        rows = (
            max(words * constants.load_act_word, self.layer.depth / BYTES_PER_CYCLE) * self.block
            + constants.load_spacing
        )
        columns = self.group_bytes / BYTES_PER_CYCLE + constants.load_spacing
        steps = self.layer.depth // c.tile_depth * (_GROUP_COLUMNS // c.tile_columns)
        best: dict[tuple[int, int], tuple[float, list[bool]]] = {(0, 0): (0.0, [])}
        for blocks, groups in itertools.product(range(self.blocks + 1), range(self.groups + 1)):
            arrival = rows * blocks + columns * groups
            ways = []
            for columns_next, a, b in ((False, blocks - 1, groups), (True, blocks, groups - 1)):
                waits_for, all_of = (a, self.blocks) if columns_next else (b, self.groups)
                fits = groups <= self.group_places if columns_next else blocks <= self.block_places
                if (a, b) in best and (fits or waits_for == all_of):
                    lost, order = best[a, b]
                    ways.append((max(lost, arrival - steps * a * b), [*order, columns_next]))
            if ways:
                best[blocks, groups] = min(ways, key=lambda way: (way[0], rows_late != way[1][-1]))
        if (self.blocks, self.groups) not in best:
            raise UserError(
                f"{self.layer.name} does not fit {c.name}: {self.group_places * _GROUP_COLUMNS} of {self.layer.columns} columns and"
                f" {self.block_places * self.block} of {self.layer.rows} rows at a time, one of them has to fit whole; choose a"
                " larger configuration"
            )
        return best[self.blocks, self.groups][1]

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

    def _load_group(self, group: int) -> None:
        at = self._b(group)
        self.assembler.emit(
            "load", "weights", (), (Span("weight", at, at + self.group_bytes),), space=Space.CONSTANT,
            destination=LoadDestination.WEIGHT, dram_offset=group * self.group_bytes, local_address=at, bytes=self.group_bytes,
            count_1=1, count_2=1, count_3=1,
        )  # fmt: skip

    def _load_block(self, block: int) -> None:
        first, rows, at = block * self.block, self._rows(block, block + 1), self._a(block)
        if not self.layer.picture:
            self._load_rows(at, rows, dram=first * self.layer.depth, size=self.layer.depth, stride=self.layer.depth)
            return
        side, channels = self.layer.picture, self.layer.channels
        line = (side + 2) * channels
        done = 0
        while done < rows:
            y, x = divmod(first + done, side)
            count = min(rows - done, side - x)
            self._load_rows(
                at + done * self.pitch, count, dram=y * line + x * channels, size=3 * channels, stride=channels, lines=3,
                line=line,
            )  # fmt: skip
            done += count

    def _load_rows(
        self, at: int, rows: int, *, dram: int, size: int, stride: int, lines: int = 1, line: int = 0
    ) -> None:
        """Rows of `lines` runs of `size` bytes each, which lie `line` bytes apart, from rows `stride` bytes apart."""
        self.assembler.emit(
            "load", "rows", (), (Span("act", at, at + rows * self.pitch),), space=Space.FRAME, destination=LoadDestination.ACT,
            dram_offset=dram, local_address=at, bytes=size, count_1=lines, dram_stride_1=line, local_stride_1=size, count_2=rows,
            dram_stride_2=stride, local_stride_2=self.pitch, count_3=1,
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
