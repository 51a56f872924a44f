"""Random programs that use every instruction: legal, free of races, and with every result visible in the frame window.

On-chip memories start with unknown contents, so a program first loads all of the activation memory, the weight memory and
the tables and computes all row statistics and queues. Then come random instructions, tied together by semaphores so that
units run as far apart as the data allow. At the end the activation memory is stored whole; what reached other memories
shows through the instructions that used it.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from moesaic.hls.compiler.arena import Span
from moesaic.hls.compiler.assembler import Assembler
from moesaic.spec.arithmetic import SCORE_SHIFT_MAX, SHIFT_MAX, TABLE_ENTRIES
from moesaic.spec.configuration import HardwareConfiguration
from moesaic.spec.executor import Memory, Program
from moesaic.spec.isa import PARAMETER_ENTRY, Destination, LoadDestination, Space
from tests.spec.legal_fields import Limits, limits, may_choose

BLOCKS = 8
PROGRAM_BYTES = 1 << 16
ROWS_MOST = 24
TABLE_BYTES = 2 * TABLE_ENTRIES
QUEUES = Span("queues", 0, 1)


def _round_up(value: int, multiple: int) -> int:
    return -(-value // multiple) * multiple


@dataclass
class ProgramMaker:
    """Grows a program; `finish` returns it with its memory.

    The activation memory (at most its first 64 KiB) is used in 8 blocks, each operand inside one block; so is the weight
    memory, whose last block holds parameters and is never written by results.
    """

    configuration: HardwareConfiguration
    rng: np.random.Generator
    assembler: Assembler = field(init=False)

    def __post_init__(self) -> None:
        c = self.configuration
        self.assembler = Assembler(c, {})
        self.act_bytes = min(c.act_bytes, 1 << 16)
        self.weight_bytes = min(c.weight_bytes, 1 << 16)
        self.act_block = self.act_bytes // BLOCKS
        self.weight_block = self.weight_bytes // BLOCKS
        self.word, self.weight_word = c.act_word_bytes, c.weight_word_bytes
        self.row_entries = min(c.row_entries, 128)
        self.tokens = min(c.queue_tokens, ROWS_MOST)
        # Constant window: program, weights, tables. Frame window: activations in, activations out, scratch.
        self.weights_at = PROGRAM_BYTES
        self.tables_at = self.weights_at + self.weight_bytes
        weights = self.rng.integers(0, 256, self.weight_bytes, np.uint8)
        weights[-self.weight_block :] = self._parameters(self.weight_block // 8)
        tables = self.rng.integers(0, 256, TABLE_BYTES, np.uint8)
        self.constants = np.concatenate([np.zeros(PROGRAM_BYTES, np.uint8), weights, tables])
        self.frame = self.rng.integers(0, 256, 3 * self.act_bytes, np.uint8)

    def _parameters(self, count: int) -> np.ndarray:
        entries = np.zeros(count, PARAMETER_ENTRY)
        entries["bias"] = self.rng.integers(-(1 << 20), 1 << 20, count)
        entries["multiplier"] = self.rng.integers(0, 1 << 16, count)
        entries["shift"] = np.where(
            self.rng.random(count) < 0.8, self.rng.integers(16, 30, count), self.rng.integers(0, SHIFT_MAX + 1, count)
        )
        return entries.view(np.uint8)

    # --- spans of a block, a range of rows and the tables ---

    def _act(self, block: int) -> Span:
        return Span("act", block * self.act_block, (block + 1) * self.act_block)

    def _weight(self, block: int) -> Span:
        return Span("weight", block * self.weight_block, (block + 1) * self.weight_block)

    def _pick(self, most: int = BLOCKS) -> int:
        return int(self.rng.integers(most))

    def _between(self, low: int, high: int) -> int:
        return int(self.rng.integers(low, high + 1))

    def _limits(self, name: str, field: str, **fields: int) -> Limits:
        return limits(name, field, self.configuration, fields)

    def _flag(self, name: str, flag: str, probability: float, **fields: int) -> int:
        """A flag that is set as often as this where the rules allow it."""
        return int(may_choose(name, self.configuration, **fields, **{flag: 1}) and self.rng.random() < probability)

    def _pitch(self, legal: Limits, row_bytes: int, rows: int, room: int) -> int:
        """A pitch that rows of row_bytes fit, sometimes with space between them."""
        multiple = legal.multiple
        least = _round_up(row_bytes, multiple)
        most = max(room // max(rows, 1) // multiple * multiple, least)
        return int(self.rng.choice([least, min(least + multiple, most)]))

    # --- instructions ---

    def load_all(self) -> None:
        one = {"count_1": 1, "count_2": 1, "count_3": 1}
        for block in range(BLOCKS):
            span = self._act(block)
            self.assembler.emit(
                "load", "fill", (Span("frame", span.start, span.end),), (span,), space=Space.FRAME,
                dram_offset=span.start, local_address=span.start, bytes=span.size, destination=LoadDestination.ACT, **one,
            )  # fmt: skip
            span = self._weight(block)
            self.assembler.emit(
                "load", "fill", (), (span,), space=Space.CONSTANT, dram_offset=self.weights_at + span.start,
                local_address=span.start, bytes=span.size, destination=LoadDestination.WEIGHT, **one,
            )  # fmt: skip
        self.assembler.emit(
            "load", "fill", (), (Span("table", 0, TABLE_BYTES),), space=Space.CONSTANT, dram_offset=self.tables_at,
            bytes=TABLE_BYTES, destination=LoadDestination.TABLE, **one,
        )  # fmt: skip
        for base in range(0, self.row_entries, ROWS_MOST):
            rows = min(ROWS_MOST, self.row_entries - base)
            self.matmul(Destination.INT16, rows=rows, row_base=base, track_max=1, row_scale=0)
            self.softmax(rows=rows, row_base=base)
        self.route()

    def store_all(self) -> None:
        for block in range(BLOCKS):
            span = self._act(block)
            out = Span("frame", self.act_bytes + span.start, self.act_bytes + span.end)
            self.assembler.emit(
                "store", "result", (span,), (out,), space=Space.FRAME, dram_offset=out.start, local_address=span.start,
                bytes=span.size, count_1=1, count_2=1, count_3=1,
            )  # fmt: skip

    def _transfer(self, window_room: int, local_room: int, local_overlaps: bool = True) -> dict[str, int]:
        while True:
            size = self._limits("load", "bytes").multiple * int(self.rng.choice([1, 2, 4, 5, 16, 20]))
            counts = [self._between(1, 4) for _ in range(3)]
            fields = {"bytes": size, **{f"count_{i + 1}": counts[i] for i in range(3)}}
            fits = True
            for side, room in (("dram", window_room), ("local", local_room)):
                reach = size
                for level, count in enumerate(counts, 1):
                    apart = side == "local" and not local_overlaps
                    stride = int(self.rng.choice([reach, reach, reach + 16] if apart else [0, size, reach, reach + 16]))
                    fields[f"{side}_stride_{level}"] = stride
                    reach += (count - 1) * stride
                fits = fits and reach <= room
            if fits:
                return fields

    def load(self) -> None:
        destination = LoadDestination(self._pick(3))
        skip = {"skip_if_empty": self._pick(2), "queue": self._pick(self.configuration.experts)}
        reads = (QUEUES,) if skip["skip_if_empty"] else ()
        if destination == LoadDestination.TABLE:
            fields = self._transfer(TABLE_BYTES, TABLE_BYTES, local_overlaps=False)
            local, span = 0, Span("table", 0, TABLE_BYTES)
        elif destination == LoadDestination.WEIGHT:
            unpack = self._pick(2)
            fields = self._transfer(self.weight_block, self.weight_block >> unpack, local_overlaps=False)
            fields = {name: value << (unpack and name.startswith("local")) for name, value in fields.items()}
            fields["unpack"] = unpack
            span = self._weight(self._pick(BLOCKS - 1))
            local = span.start
        else:
            fields = self._transfer(self.act_block, self.act_block, local_overlaps=False)
            span = self._act(self._pick())
            local = span.start
        if self._pick(2):
            space, offset = Space.CONSTANT, self.weights_at
        else:
            space, offset = Space.FRAME, 2 * self.act_bytes
            reads += (Span("frame", offset, 3 * self.act_bytes),)
        self.assembler.emit(
            "load", "load", reads, (span,), space=space, destination=destination, dram_offset=offset,
            local_address=local, **skip, **fields,
        )  # fmt: skip

    def store(self) -> None:
        span, block = self._act(self._pick()), self._act(self._pick())
        offset = 2 * self.act_bytes + block.start
        out = Span("frame", offset, offset + self.act_block)
        fields = self._transfer(self.act_block, self.act_block)
        self.assembler.emit(
            "store", "store", (span,), (out,), space=Space.FRAME, dram_offset=offset, local_address=span.start, **fields
        )

    def matmul(self, destination: Destination | None = None, **fixed: int) -> None:
        c, rng = self.configuration, self.rng
        destination = Destination(self._pick(5)) if destination is None else destination
        f = {
            "destination": int(destination),
            **{
                flag: self._flag("matmul", flag, probability, destination=destination)
                for flag, probability in (("gather", 0.4), ("scatter", 0.4), ("table_enable", 0.5), ("track_max", 0.5))
            },
            "queue": self._pick(c.experts),
            "rows": self._between(0 if rng.random() < 0.1 else 1, ROWS_MOST),
            "columns": self._between(1, 5 * c.tile_columns // 2),
            "depth": self._limits("matmul", "depth").draw(rng, 14 * c.tile_depth),
            "row_scale": int(rng.random() < 0.3),
            "row_base": self._limits("matmul", "row_base").draw(rng, self.row_entries - ROWS_MOST),
            "queue_first": self._between(0, self.tokens // 2) if rng.random() < 0.3 else 0,
            "output_shift": self._between(0, 20),
            "table_index": self._pick(2),
            "score_shift": self._pick(SCORE_SHIFT_MAX + 1),
            **fixed,
        }
        rows = self.tokens if f["gather"] or f["scatter"] else f["rows"]
        tiles = -(-f["columns"] // c.tile_columns)
        a, d = self._act(self._pick()), self._pick()
        offset = self._limits("matmul", "a_address").draw(rng, self.word - 1)
        f["a_address"] = a.start + offset
        f["a_pitch"] = self._pitch(self._limits("matmul", "a_pitch"), offset + f["depth"], rows, self.act_block)
        b, parameters = self._weight(self._pick(BLOCKS - 1)), self._weight(BLOCKS - 1)
        f["b_address"] = b.start
        f["b_stride"] = f["depth"] * c.tile_columns + self.weight_word * self._pick(2)
        block_bytes = _round_up(8 * c.tile_columns, self.weight_word)
        f["param_address"] = parameters.start
        f["param_stride"] = block_bytes * self._pick(2)
        if destination in (Destination.KEYS, Destination.VALUES):
            # Not the block that b is read from: an instruction's own reads and writes are not ordered.
            target = self._weight((b.start // self.weight_block + 1 + self._pick(BLOCKS - 2)) % (BLOCKS - 1))
            long = f["columns"] if destination == Destination.KEYS else rows
            words = -(-long // c.tile_depth)
            f["d_pitch"] = self.weight_word * (words + self._pick(2))
        else:
            block = (a.start // self.act_block + 1 + self._pick(BLOCKS - 1)) % BLOCKS
            target = self._act(block if d is not None else d)
            element = 1 if destination == Destination.INT8 else 2
            legal = self._limits("matmul", "d_pitch", destination=destination)
            f["d_pitch"] = self._pitch(legal, element * tiles * c.tile_columns, rows, self.act_block)
        f["d_address"] = target.start
        if not self._fits(f, rows, tiles):
            return self.matmul(destination, **fixed)
        reads, writes = [a, b, parameters, Span("table", 0, TABLE_BYTES), QUEUES], [target]
        statistics = Span("rows", f["row_base"], f["row_base"] + max(rows, 1))
        (writes if f["track_max"] else reads).append(statistics)
        self.assembler.emit("matmul", destination.name, tuple(reads), tuple(writes), **f)
        return None

    def _fits(self, f: dict[str, int], rows: int, tiles: int) -> bool:
        c = self.configuration
        a_end = f["a_address"] % self.act_block + max(rows - 1, 0) * f["a_pitch"] + f["depth"]
        b_end = (tiles - 1) * f["b_stride"] + f["depth"] * c.tile_columns
        if f["destination"] == Destination.KEYS:
            room, d_end = self.weight_block, -(-rows // c.tile_columns) * f["d_pitch"]
        elif f["destination"] == Destination.VALUES:
            room, d_end = self.weight_block, tiles * f["d_pitch"]
        else:
            room, d_end = self.act_block, rows * f["d_pitch"]
        parameters = tiles * _round_up(8 * c.tile_columns, self.weight_word)
        return (
            a_end <= self.act_block and b_end <= self.weight_block and d_end <= room and parameters <= self.weight_block
        )

    def layer_norm(self) -> None:
        c = self.configuration
        rows = self._between(1, ROWS_MOST)
        columns = self._between(1, min(self.act_block // ROWS_MOST // 2 - 2 * c.tile_columns, 200))
        source, target, parameters = (self._act(int(block)) for block in self.rng.choice(BLOCKS, 3, replace=False))
        self.assembler.emit(
            "layer_norm", "layer_norm", (source, parameters), (target,), rows=rows, columns=columns,
            source_address=source.start,
            source_pitch=self._pitch(self._limits("layer_norm", "source_pitch"), 2 * columns, rows, self.act_block),
            destination_address=target.start,
            destination_pitch=self._pitch(self._limits("layer_norm", "destination_pitch"), columns, rows, self.act_block),
            param_address=parameters.start, shift=self._limits("layer_norm", "shift").draw(self.rng),
        )  # fmt: skip

    def softmax(self, **fixed: int) -> None:
        c = self.configuration
        f = {
            "rows": self._between(1, ROWS_MOST),
            "row_base": self._limits("softmax", "row_base").draw(self.rng, self.row_entries - ROWS_MOST),
            **fixed,
        }
        f["columns"] = self._between(1, min(self.act_block // ROWS_MOST // 2 - 2 * c.tile_columns, 200))
        source, target = (self._act(int(block)) for block in self.rng.choice(BLOCKS, 2, replace=False))
        statistics = Span("rows", f["row_base"], f["row_base"] + f["rows"])
        self.assembler.emit(
            "softmax", "softmax", (source,), (target, statistics), source_address=source.start,
            source_pitch=self._pitch(self._limits("softmax", "source_pitch"), 2 * f["columns"], f["rows"], self.act_block),
            destination_address=target.start,
            destination_pitch=self._pitch(self._limits("softmax", "destination_pitch"), f["columns"], f["rows"], self.act_block),
            **f,
        )  # fmt: skip

    def route(self) -> None:
        columns = self._limits("route", "columns").draw(self.rng)
        source = self._act(self._pick())
        rows = self._between(1, self.tokens)
        self.assembler.emit(
            "route", "route", (source,), (QUEUES,), rows=rows, columns=columns, top_k=self._between(1, columns),
            first=self._between(0, self.tokens - rows),
            source_address=source.start, absent_low=int(self.rng.choice([0, self.rng.integers(1 << 32)])),
            absent_high=int(self.rng.choice([0, self.rng.integers(1 << 32)])),
            source_pitch=self._pitch(self._limits("route", "source_pitch"), 2 * columns, rows, self.act_block),
        )  # fmt: skip

    def random_instruction(self) -> None:
        makers = (
            self.load,
            self.store,
            self.matmul,
            self.matmul,
            self.matmul,
            self.layer_norm,
            self.softmax,
            self.route,
        )
        makers[self._pick(len(makers))]()

    def finish(self) -> tuple[Program, Memory]:
        """The program, at the start of the constant window, and the memory to run it on."""
        code = self.assembler.program()
        self.constants[: len(code)] = np.frombuffer(code, np.uint8)
        return Program(0, len(code)), Memory(self.constants, self.frame)


def random_program(
    configuration: HardwareConfiguration, rng: np.random.Generator, count: int
) -> tuple[Program, Memory]:
    """A program with `count` random instructions between filling the memories and storing them."""
    maker = ProgramMaker(configuration, rng)
    maker.load_all()
    for _ in range(count):
        maker.random_instruction()
    maker.store_all()
    return maker.finish()
