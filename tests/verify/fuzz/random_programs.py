"""Programs for the machine made from bytes: legal ones, whose results are defined, and ones that break a rule of the instruction table.

The fields of an instruction follow its rules and small memories; what no rule forbids may happen, such as leaving a memory, which is a
fault. Semaphores order instructions that touch the same bytes as the compiler's assembler does it, or are random.
"""

from __future__ import annotations

import enum
from collections import Counter
from dataclasses import dataclass, field, replace
from functools import cache

from moesaic.hls.compiler.assembler import Assembler, Entry
from moesaic.spec.configuration import HardwareConfiguration, load_configuration
from moesaic.spec.isa import BY_NAME, END, HEADER, Destination, Space, pack, signals_of, waits_of
from moesaic.spec.legality import Fields, violation
from tests.spec.legal_fields import SMALLEST, fields_of, limits
from tests.verify.fuzz.choices import Choices
from tests.verify.fuzz.framing import Framing
from tests.verify.fuzz.touched_bytes import Places, touched_bytes

FRAME_BYTES = 1024
DATA_BYTES = 2048
"""Bytes of the constant window from which programs load; the program lies behind them."""
MOST_INSTRUCTIONS = 8
_TRIES = 4
_TINY = load_configuration("tiny")
CONFIGURATIONS = {
    "small": replace(
        _TINY, name="small", act_bytes=4096, act_ultra_bytes=1024, shared_bytes=1024, weight_bytes=2048, row_entries=16,
        queue_tokens=16, experts=4, instruction_queue=2,
    ),
    "wide": replace(
        _TINY, name="wide", tile_rows=3, tile_columns=16, tile_depth=8, norm_lanes=2, act_ports=1, load_ports=1,
        act_bytes=4096, act_banks=2, act_ultra_bytes=0, shared_bytes=0, weight_bytes=4096, row_entries=8, queue_tokens=8,
        experts=2, instruction_queue=4,
    ),
}  # fmt: skip
"""Machines whose memories are so small that random places meet each other and the ends."""


class Order(enum.Enum):
    """Who makes the semaphores: the assembler, so that every machine has one result, or chance, for machines without a clock."""

    ASSEMBLER = "assembler"
    RANDOM = "random"


@dataclass
class RandomProgram:
    """A program. code: with `end`, unless it is cut short. listing: (name, fields) of its legal instructions, for people."""

    configuration: HardwareConfiguration
    code: bytes
    listing: list[tuple[str, Fields]] = field(default_factory=list)


def random_program(
    choices: Choices, configuration: HardwareConfiguration, order: Order, illegal: bool, framing: Framing | None = None
) -> RandomProgram:
    """A program of 1 to MOST_INSTRUCTIONS instructions, and those of a framing around it.

    Every result of a legal one is defined, whatever it leaves where. With `illegal`, something is wrong with it: an instruction with a
    field, a bit or a semaphore that is not allowed, no `end`, or more signals than a semaphore counts.
    """
    return _Maker(choices, configuration, order, framing).make(illegal)


class _Maker:
    def __init__(
        self, choices: Choices, configuration: HardwareConfiguration, order: Order, framing: Framing | None
    ) -> None:
        self.choices, self.c, self.order, self.framing = choices, configuration, order, framing
        self.places = Places.of(configuration, framing.frame_bytes if framing else FRAME_BYTES)
        self.assembler = Assembler(configuration, {})
        self.wild = 8 if choices.rarely(5) else 160  # of how many places one may be anywhere
        self.given: Counter[int] = (
            Counter()
        )  # signals that no earlier instruction has waited for, by the bit of their semaphore

    def make(self, illegal: bool) -> RandomProgram:
        ch = self.choices
        count = 1 + ch.below(MOST_INSTRUCTIONS)
        for name, fields in self.framing.before() if self.framing else ():
            self._emit(name, {**smallest(name), **fields})
        for _ in range(count):
            self._add()
        for name, fields in self.framing.after() if self.framing else ():
            self._emit(name, {**smallest(name), **fields})
        entries = self.assembler.entries
        listing = [(e.name, {**e.fields, **self._masks(e)}) for e in entries]
        code = [pack(name, **fields) for name, fields in listing]
        end = pack(END.name)
        if illegal:
            position = ch.below(len(code) + 1)
            match ch.below(64):
                case 0 | 2 | 3 | 4:
                    code, end = code[:position], b""
                case 1 if entries:
                    name, fields = ch.one_of(listing)
                    masks = {"wait_mask": 0, "signal_mask": ch.one_of(_bits(signals_of(BY_NAME[name].unit)))}
                    code = [pack(name, **{**fields, **masks})] * 257
                case _:
                    code.insert(position, self._illegal())
        return RandomProgram(self.c, b"".join(code) + end, listing)

    def _masks(self, entry: Entry) -> Fields:
        """Of the next instruction. Random ones wait for signals of earlier instructions, and rarely for one that may never come."""
        if self.order == Order.ASSEMBLER:
            return {"wait_mask": entry.wait_mask, "signal_mask": entry.signal_mask}
        unit, ch, given = BY_NAME[entry.name].unit, self.choices, self.given
        owed = _bits(waits_of(unit)) if ch.rarely(32) else [bit for bit in _bits(waits_of(unit)) if given[bit] > 0]
        wait = sum(bit for bit in owed if ch.below(2))
        signal = ch.one_of([0, *_bits(signals_of(unit))]) | ch.one_of([0, *_bits(signals_of(unit))])
        given.subtract(_bits(wait))
        given.update(_bits(signal))
        return {"wait_mask": wait, "signal_mask": signal}

    def _illegal(self) -> bytes:
        """An instruction that fetch refuses: legal fields of which one is replaced, or bits of the code; an unknown opcode at worst."""
        ch = self.choices
        for _ in range(_TRIES):
            name = ch.one_of(list(BY_NAME))
            fields = {**self._fields(name), "opcode": BY_NAME[name].opcode}
            changed = ch.one_of([*HEADER, *BY_NAME[name].fields])
            fields[changed.name] = (
                ch.below(1 << changed.width)
                if ch.below(2)
                else fields.get(changed.name, 0) ^ 1 << ch.below(changed.width)
            )
            opcode = fields.pop("opcode")
            if violation(name, fields, self.c) is not None:
                code = bytearray(pack(name, **fields))
                code[0] = opcode
                return bytes(code)
        return bytes([7 + ch.below(249)]) + bytes(63)

    # --- legal instructions ---

    def _add(self) -> None:
        """One whose result is defined; none if chance finds none."""
        ch = self.choices
        name = ch.one_of(["load", "store", "matmul", "matmul", "matmul", "layer_norm", "softmax", "route"])
        for _ in range(_TRIES):
            fields = self._fields(name)
            if violation(name, fields, self.c) is not None:
                continue
            if self._emit(name, fields):
                return

    def _emit(self, name: str, fields: Fields) -> bool:
        """Append a legal instruction, unless its result is not defined."""
        touched = touched_bytes(name, fields, self.c, self.places)
        if touched.defined:
            spans = (self.places.spans(touched.reads), self.places.spans(touched.writes))
            self.assembler.emit(name, f"layer {len(self.assembler.entries)}", *spans, **fields)
        return touched.defined

    def _fields(self, name: str) -> Fields:
        """Fields that are likely to be legal: everything that one rule says of one field, and most of what it says of several."""
        return getattr(self, f"_{name}")()

    def _address(self, multiple: int, size: int, room: int = 0, bits: int = 32) -> int:
        """A multiple inside of a memory of `size` bytes, such that `room` bytes are left; sometimes anywhere or beyond the end."""
        ch = self.choices
        if ch.rarely(self.wild):
            return multiple * ch.one_of([size // multiple, (1 << bits) // multiple - 1, ch.below(size // multiple + 1)])
        return multiple * ch.below(max((size - room) // multiple, 0) + 1)

    def _pitch(self, multiple: int, row: int) -> int:
        """A pitch that keeps rows of so many bytes apart, mostly."""
        ch = self.choices
        if ch.rarely(self.wild):
            return multiple * ch.one_of([0, 1, (1 << 31) // multiple, (1 << 32) // multiple - 1])
        return -(-row // multiple) * multiple + multiple * ch.one_of([0, 0, 1, 2])

    def _multiple(self, name: str, field: str, **fields: int) -> int:
        return _multiple_of(name, field, self.c, tuple(fields.items()))

    def _transfer(self, local_size: int, unpack: int = 0) -> Fields:
        """Three loops whose runs mostly keep apart on chip."""
        ch = self.choices
        size = 16 * (1 + ch.below(6))
        counts = [1 + ch.below(3) for _ in range(3)]
        fields: Fields = {"bytes": size, **{f"count_{i}": n for i, n in enumerate(counts, 1)}}
        for side, run in (("dram", size), ("local", size << unpack)):
            reach = run
            for level, count in enumerate(counts, 1):
                apart = [reach, reach, reach + 16 * (1 + unpack)]
                stride = ch.one_of(apart if side == "local" or ch.below(2) else [0, 16, size])
                if ch.rarely(self.wild):
                    stride = 16 * (1 + unpack) * ch.one_of([0, 1, 1 << 26])
                fields[f"{side}_stride_{level}"] = stride % (1 << 32)
                reach += (count - 1) * stride
            fields["local_address" if side == "local" else "dram_offset"] = reach
        fields["local_address"] = self._address(16 << unpack, local_size, fields["local_address"])
        return fields

    def _load(self) -> Fields:
        ch, c = self.choices, self.c
        destination, unpack = ch.below(3), 0
        if destination == 1:
            unpack = ch.below(2)
        size = (c.act_bytes, c.weight_window_bytes, c.table_bytes)[destination]
        f = self._transfer(size, unpack)
        space = ch.below(2)
        f["dram_offset"] = self._address(16, DATA_BYTES if space == Space.CONSTANT else FRAME_BYTES, f["dram_offset"])
        return {
            **f, "destination": destination, "unpack": unpack, "space": space, "skip_if_empty": ch.below(2),
            "queue": ch.below(c.experts),
        }  # fmt: skip

    def _store(self) -> Fields:
        f = self._transfer(self.c.act_bytes)
        return {**f, "dram_offset": self._address(16, FRAME_BYTES, f["dram_offset"]), "space": int(Space.FRAME)}

    def _rows(self) -> int:
        return self.choices.one_of([1, self.c.tile_rows, 0, self.c.tile_rows + 1, 2, 3, 2 * self.c.tile_rows + 1])

    def _matmul(self) -> Fields:
        ch, c = self.choices, self.c
        destination = Destination(ch.below(5))
        gather = int(destination in (Destination.INT8, Destination.RESIDUAL) and ch.below(2))
        scatter = int(destination == Destination.RESIDUAL and ch.below(2))
        rows, columns, depth = self._rows(), 1 + ch.below(3 * c.tile_columns), c.tile_depth * (1 + ch.below(6))
        tiles = -(-columns // c.tile_columns)
        targets = c.queue_tokens if scatter else max(rows, 1)
        a_multiple, pitch_multiple = self._multiple("matmul", "a_address"), self._multiple("matmul", "a_pitch")
        word = c.weight_word_bytes
        a_pitch = self._pitch(pitch_multiple, depth)
        b_stride = self._pitch(word, depth * c.tile_columns)
        param_stride = ch.one_of([0, c.parameter_block_bytes, c.parameter_block_bytes + word])
        f = {"destination": int(destination)}
        d_multiple = self._multiple("matmul", "d_address", **f)
        if destination in (Destination.KEYS, Destination.VALUES):
            keys = destination == Destination.KEYS
            inner = columns if keys else max(rows, 1)
            d_pitch = self._pitch(d_multiple, -(-inner // c.tile_depth) * word)
            d_size, d_room = c.weight_window_bytes, (-(-max(rows, 1) // c.tile_columns) if keys else tiles) * d_pitch
        else:
            d_pitch = self._pitch(d_multiple, columns * (1 if destination == Destination.INT8 else 2))
            d_size, d_room = c.act_bytes, targets * d_pitch
        return {
            **f, "gather": gather, "scatter": scatter, "rows": rows, "columns": columns, "depth": depth,
            "row_scale": int(ch.rarely(3)), "table_enable": int(destination == Destination.INT8 and ch.below(2)),
            "track_max": int(destination == Destination.INT16 and ch.below(2)), "table_index": ch.below(2),
            "score_shift": ch.below(8), "queue": ch.below(c.experts), "output_shift": ch.one_of([0, 8, 20, 47, 255]),
            "a_pitch": a_pitch, "a_address": self._address(a_multiple, c.act_bytes, max(rows, 1) * a_pitch),
            "b_stride": b_stride, "b_address": self._address(word, c.weight_window_bytes, tiles * b_stride),
            "param_stride": param_stride,
            "param_address": self._address(word, c.weight_window_bytes, tiles * param_stride + c.parameter_block_bytes),
            "d_pitch": d_pitch, "d_address": self._address(d_multiple, d_size, d_room),
            "row_base": self._address(2, c.row_entries, rows, bits=16), "queue_first": ch.one_of([0, 0, 1, 5]),
        }  # fmt: skip

    def _vector(self, name: str) -> Fields:
        ch, c = self.choices, self.c
        rows, columns = self._rows(), 1 + ch.below(4 * c.tile_columns)
        source_pitch = self._pitch(self._multiple(name, "source_pitch"), 2 * columns)
        source = self._address(self._multiple(name, "source_address"), c.act_bytes, max(rows, 1) * source_pitch)
        in_place = ch.below(2)
        padded = -(-columns // c.tile_columns) * c.tile_columns
        pitch = source_pitch if in_place else self._pitch(self._multiple(name, "destination_pitch"), padded)
        destination = self._address(self._multiple(name, "destination_address"), c.act_bytes, max(rows, 1) * pitch)
        return {
            "rows": rows, "columns": columns, "source_address": source, "source_pitch": source_pitch,
            "destination_address": source if in_place else destination, "destination_pitch": pitch,
        }  # fmt: skip

    def _layer_norm(self) -> Fields:
        f = self._vector("layer_norm")
        multiple = self._multiple("layer_norm", "param_address")
        return {
            **f,
            "param_address": self._address(multiple, self.c.act_bytes, 4 * f["columns"]),
            "shift": self.choices.below(32),
        }

    def _softmax(self) -> Fields:
        f = self._vector("softmax")
        return {**f, "row_base": self._address(1, self.c.row_entries, f["rows"], bits=16)}

    def _route(self) -> Fields:
        ch, c = self.choices, self.c
        columns, rows = 1 + ch.below(c.experts), ch.below(c.queue_tokens // 2 + 1)
        append = ch.below(2)
        first = c.queue_tokens - rows if append and not ch.rarely(8) else ch.below(c.queue_tokens // 2)
        pitch = self._pitch(self._multiple("route", "source_pitch"), 2 * columns)
        return {
            "append": append, "rows": rows, "columns": columns, "first": first, "top_k": 1 + ch.below(columns + 1),
            "source_pitch": pitch,
            "source_address": self._address(self._multiple("route", "source_address"), c.act_bytes, rows * pitch),
            "absent_low": ch.one_of([0, ch.below(1 << 16), (1 << 32) - 1]), "absent_high": ch.below(2),
        }  # fmt: skip


@cache
def _multiple_of(
    name: str, field: str, configuration: HardwareConfiguration, fields: tuple[tuple[str, int], ...]
) -> int:
    return limits(name, field, configuration, dict(fields)).multiple


@cache
def _bits(mask: int) -> tuple[int, ...]:
    return tuple(1 << number for number in range(mask.bit_length()) if mask >> number & 1)


def smallest(name: str) -> Fields:
    """The least that is legal, with every field named."""
    return {**dict.fromkeys(fields_of(name), 0), **SMALLEST[name]}
