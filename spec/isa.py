"""The instruction set of the machine: the one table from which the C++ headers, the SystemVerilog package and docs/isa.md are made.

An instruction is 64 bytes: sixteen little-endian 32-bit words. Each instruction belongs to one unit. A unit executes its
instructions in order and completes each before it starts the next, unless the next one's `overlap` bit lets it start early. Nothing
but semaphores orders the instructions of different units. An instruction starts once every semaphore in its `wait_mask` is above
zero (all of them are then decremented together); once all its writes are visible to other units, it increments every semaphore in
its `signal_mask`. A unit waits only for semaphores whose consumer it is and signals only those whose producer it is. Semaphores
start each run at 0 and count to 255; a signal beyond that stops the run with SEMAPHORE_OVERFLOW.

Fetch reads the program in order and puts each instruction into the queue of its unit, which holds `instruction_queue` instructions
(a field of the configuration). When a queue is full, fetch waits, and every later instruction waits with it, whatever its unit. The
depth of the queues therefore decides whether a program can end: where an instruction waits for a signal from a later one, fetch
must be able to reach the later one, so no more than `instruction_queue` instructions of any unit that cannot start yet may precede
it. Hardware holds a few more than the configuration says, so a program that ends on the reference machine also ends on hardware;
the converse does not hold. `moesaic check-program` runs a program on queues of exactly that depth. A run in which no unit can
proceed ends with TIMEOUT.

An instruction is legal if its opcode is one of those below, its masks name only semaphores of its unit, and its fields obey the
limits and rules given with it. Fetch refuses any other instruction when it reaches it: the run stops with BAD_INSTRUCTION in unit
`fetch` with tag 0, while earlier instructions may still be executing. Units check nothing but addresses: an instruction that leaves
its memory or its window stops the run with ADDRESS in its unit, with its tag. Addresses of rows that an instruction does not have are
no faults; but layer_norm reads its parameters and softmax needs row_base to be inside of the row statistics, or at their end, even for
no rows. Bits that belong to no field are ignored.

The first fault ends the run; the registers FAULT, FAULT_UNIT and FAULT_TAG name it. Within a unit it is that of the first instruction,
in program order, that has one. Where instructions of several units have faults, or fetch meets an illegal instruction while others
execute, timing decides which comes first: any of them may be named, unless a semaphore keeps it back until after another. (In one cycle,
the lowest unit number comes first.) Timing also decides whether a semaphore passes 255 before its consumer takes from it. In all other
respects, whether a run ends with a fault does not depend on timing; TIMEOUT depends on MAX_CYCLES.

An instruction reads and writes in no defined order. Its results are undefined where its writes overlap each other, or what it reads,
unless its description allows that. Also undefined is what two instructions that no semaphore orders do to the same bytes, and what a
program reads without having written it: at its start, memories, row statistics and queues hold what the run before it has left. At
power-up the queues are empty, next_token is 0, and all else is random.

On-chip addresses are byte addresses. `R`, `C` and `L` below are the configuration's tile_rows, tile_columns and tile_depth; `act`
is the activation memory (words of 2 * C bytes) and `weight` the weight memory (words of C * L bytes). Weight addresses from the
configuration's weight_bytes upwards reach the lowest shared_bytes bytes of `act`.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from functools import cache

import numpy as np

from moesaic.spec.arithmetic import NORM_SHIFT_MAX, NORM_WIDTH_MAX, TABLE_ENTRIES
from moesaic.spec.dram_timing import BEAT_BYTES
from moesaic.spec.field_rules import AtLeast, AtMost, Check, Choice, MultipleOf, Rule, Size, Term

INSTRUCTION_BYTES = 64


class Unit(enum.IntEnum):
    """The units that execute instructions; the value is the unit's index in semaphore numbers."""

    LOAD = 0
    STORE = 1
    MATMUL = 2
    VECTOR = 3
    ROUTE = 4


UNIT_NAMES = tuple(unit.name.lower() for unit in Unit)

FETCH = len(Unit)
"""Number that stands for fetch and control among the units, in the FAULT_UNIT register and in timelines."""

FAULT_UNIT_NAMES = (*UNIT_NAMES, "fetch")
"""Names of the units, indexed by the number that the FAULT_UNIT register shows."""

SEMAPHORES = len(Unit) ** 2

SEMAPHORE_MAX = 255
"""Largest count of a semaphore; counts start at 0, and a signal beyond this is a fault of the signalling unit."""

OPERAND_BYTES = 4096
"""Bytes of one row of `a` that matmul's operand buffer holds, from the start of the act word in which the row begins."""


PARAMETER_ENTRY = np.dtype([("bias", "<i4"), ("multiplier", "<u2"), ("shift", "u1"), ("zero", "u1")])
"""One channel's entry in a matmul parameter block, 8 bytes."""

PARAMETER_SHIFT_MAX = 63
"""Largest shift that an entry can hold: the two bits above it in its byte are ignored."""

PARAMETER_BLOCKS = 64
"""Parameter blocks that matmul keeps while it executes: a product with at most so many column tiles reads each block once."""


def semaphore(producer: Unit, consumer: Unit) -> int:
    """Number of the counting semaphore that `producer` signals and `consumer` waits for."""
    return int(producer) * len(Unit) + int(consumer)


@cache
def waits_of(unit: Unit) -> int:
    """Mask of the semaphores that instructions of `unit` may wait for: those whose consumer it is."""
    return sum(1 << semaphore(producer, unit) for producer in Unit)


@cache
def signals_of(unit: Unit) -> int:
    """Mask of the semaphores that instructions of `unit` may signal: those whose producer it is."""
    return sum(1 << semaphore(unit, consumer) for consumer in Unit)


class LoadDestination(enum.IntEnum):
    """The on-chip memory that a load writes."""

    ACT = 0
    WEIGHT = 1
    TABLE = 2


class Space(enum.IntEnum):
    """DRAM windows: constants (programs and weights, read only) and frame (images in, results out)."""

    CONSTANT = 0
    FRAME = 1


class Destination(enum.IntEnum):
    """Where and how matmul writes its results."""

    INT8 = 0
    INT16 = 1
    RESIDUAL = 2
    KEYS = 3
    VALUES = 4


class Fault(enum.IntEnum):
    """Why a run stopped, as the FAULT register shows it."""

    NONE = 0
    BAD_INSTRUCTION = 1
    ADDRESS = 2
    AXI_READ = 3
    AXI_WRITE = 4
    TIMEOUT = 5
    SEMAPHORE_OVERFLOW = 6


@dataclass(frozen=True)
class Field:
    """Bits [low, low + width) of 32-bit word `word`, an unsigned value, and the limits that every legal value keeps.

    greatest: None if whatever fits the bits is allowed. multiple: a power of two in every configuration, or None.
    """

    name: str
    word: int
    low: int
    width: int
    doc: str
    least: int = 0
    greatest: Size | None = None
    multiple: Size | None = None

    @property
    def rules(self) -> tuple[Rule, ...]:
        """The limits as rules."""
        found: list[Check] = []
        if self.least:
            found.append(AtLeast(self.name, self.least))
        if self.greatest is not None:
            found.append(AtMost((Term(self.name),), self.greatest))
        if self.multiple is not None:
            found.append(MultipleOf(self.name, self.multiple))
        return tuple(map(Rule, found))


@dataclass(frozen=True)
class Instruction:
    """One row of the table. `doc` gives the meaning as a loop nest; `relations` are the rules between its fields."""

    name: str
    opcode: int
    doc: str
    fields: tuple[Field, ...]
    relations: tuple[Rule, ...]

    @property
    def rules(self) -> tuple[Rule, ...]:
        """Everything that makes the instruction legal, apart from its opcode and its semaphores."""
        return (*(rule for field in self.fields for rule in field.rules), *self.relations)


@dataclass(frozen=True)
class UnitInstruction(Instruction):
    """An instruction that fetch hands to a unit: every one except `end`."""

    unit: Unit


C, L = Size(1, ("tile_columns",)), Size(1, ("tile_depth",))
ACT_WORD, WEIGHT_WORD = 2 * C, C * L
BEAT = Size(BEAT_BYTES)
EXPERTS, QUEUE_TOKENS = Size(1, ("experts",)), Size(1, ("queue_tokens",))


def _one_of(field: str, *members: enum.IntEnum) -> Choice:
    return Choice(field, tuple(map(int, members)), tuple(member.name.lower() for member in members))


def _flag(field: str) -> Choice:
    return Choice(field, (1,))


def _greatest(members: type[enum.IntEnum]) -> Size:
    return Size(max(members))


def _values(members: type[enum.IntEnum]) -> str:
    return ", ".join(f"{int(member)} {member.name.lower()}" for member in members)


HEADER = (
    Field("opcode", 0, 0, 8, "which instruction this is"),
    Field("wait_mask", 1, 0, SEMAPHORES, "semaphores to wait for and decrement; number producer * 5 + consumer"),
    Field(
        "overlap",
        1,
        31,
        1,
        "may start while the previous instruction of its unit still executes (two at a time, completed in order): a promise that"
        " it reads nothing that the previous one writes; if it is a load, also that it writes nothing that the previous one writes;"
        " if it is a matmul, that it writes nothing by an address of `act` that the previous one writes by one of `weight`",
    ),
    Field("signal_mask", 2, 0, SEMAPHORES, "semaphores to increment at completion"),
    Field("tag", 3, 0, 32, "the layer that the instruction belongs to; shown in faults and traces, without effect"),
)

_TRANSFER = (
    Field("space", 0, 8, 1, f"DRAM window: {_values(Space)}"),
    Field("dram_offset", 4, 0, 32, "byte offset in the window", multiple=BEAT),
    Field("local_address", 5, 0, 32, "byte address on chip", multiple=BEAT),
    Field("bytes", 6, 0, 32, "bytes of one contiguous run", least=BEAT_BYTES, multiple=BEAT),
    Field("count_1", 7, 0, 16, "runs in the inner loop", least=1),
    Field("count_2", 7, 16, 16, "iterations of the middle loop", least=1),
    Field("count_3", 8, 0, 16, "iterations of the outer loop", least=1),
    Field("dram_stride_1", 9, 0, 32, "bytes between runs in DRAM", multiple=BEAT),
    Field("local_stride_1", 10, 0, 32, "bytes between runs on chip", multiple=BEAT),
    Field("dram_stride_2", 11, 0, 32, "bytes between iterations of the middle loop in DRAM", multiple=BEAT),
    Field("local_stride_2", 12, 0, 32, "bytes between iterations of the middle loop on chip", multiple=BEAT),
    Field("dram_stride_3", 13, 0, 32, "bytes between iterations of the outer loop in DRAM", multiple=BEAT),
    Field("local_stride_3", 14, 0, 32, "bytes between iterations of the outer loop on chip", multiple=BEAT),
)

_TRANSFER_LOOP = """
    for i3 in range(count_3):
        for i2 in range(count_2):
            for i1 in range(count_1):
                dram = dram_offset + i3 * dram_stride_3 + i2 * dram_stride_2 + i1 * dram_stride_1
                local = local_address + i3 * local_stride_3 + i2 * local_stride_2 + i1 * local_stride_1
"""

END = Instruction("end", 0, "Wait until every earlier instruction has completed; then the run is done.", (), ())
"""Ends the program; executed by fetch itself."""

UNIT_INSTRUCTIONS = (
    UnitInstruction(
        "load",
        1,
        """Copy from DRAM to an on-chip memory.

    if skip_if_empty and queue_count[queue] == 0: do nothing"""
        + _TRANSFER_LOOP
        + f"""                data = window[space][dram : dram + bytes]
                if unpack: data = unpack_int4(data)
                memory[destination][local : local + len(data)] = data

Runs must not overlap on chip.
`unpack` makes two int8 of each byte, the 4-bit two's complement integer of its low half and then that of its high half: `bytes` and the
strides of DRAM count bytes in DRAM, the addresses and strides on chip count bytes on chip, and there a run is 2 * `bytes` long.
Table t occupies bytes [{TABLE_ENTRIES} * t, {TABLE_ENTRIES} * (t + 1)) of the table memory.
""",
        (
            *_TRANSFER,
            Field("destination", 0, 9, 2, _values(LoadDestination), greatest=_greatest(LoadDestination)),
            Field("skip_if_empty", 0, 11, 1, "do nothing if the expert's queue is empty"),
            Field("unpack", 0, 12, 1, "bytes in DRAM hold two 4-bit integers each, which become int8"),
            Field("queue", 8, 16, 8, "expert whose queue skip_if_empty checks"),
        ),
        (
            Rule(AtMost((Term("queue"),), EXPERTS - 1), (_flag("skip_if_empty"),)),
            Rule(_one_of("destination", LoadDestination.WEIGHT), (_flag("unpack"),)),
            *(
                Rule(MultipleOf(field, 2 * BEAT), (_flag("unpack"),))
                for field in ("local_address", "local_stride_1", "local_stride_2", "local_stride_3")
            ),
        ),
        Unit.LOAD,
    ),
    UnitInstruction(
        "store",
        2,
        "Copy from the activation memory to DRAM.\n"
        + _TRANSFER_LOOP
        + "                window[space][dram : dram + bytes] = act[local : local + bytes]\n",
        _TRANSFER,
        (Rule(_one_of("space", Space.FRAME)),),
        Unit.STORE,
    ),
    UnitInstruction(
        "matmul",
        3,
        """Matrix product, requantised, on the unified compute unit.

    M = min(rows, max(queue_count[queue] - queue_first, 0)) if gather or scatter else rows
    for r in range(M):
        token, score = queue_entry[queue][queue_first + r] if gather or scatter else (r, none)
        a = act int8 at a_address + (token if gather else r) * a_pitch, depth elements
        for j in range(ceil(columns / C)):                       # column tiles
            for c in range(min(C, columns - j * C)):
                b[k] = weight int8 at b_address + j * b_stride + (k // L) * C * L + c * L + k % L
                sum = sum over k < depth of a[k] * b[k]
                if row_scale:
                    v = requantise(sum, row_multiplier[row_base + r], max(row_shift[row_base + r] - output_shift, 0))
                else:
                    bias, multiplier, shift = parameters at param_address + j * param_stride + c * 8
                    v = requantise(sum + bias, multiplier, shift % 64)
                if table_enable: v = table[table_index][clip(v, -512, 511) + 512]
                write v as `destination` says, with n = j * C + c:
                    int8:     act int8  at d_address + r * d_pitch + n     = saturate8(v)
                    int16:    act int16 at d_address + r * d_pitch + 2 * n = saturate16(v)
                    residual: act int16 at d_address + (token if scatter else r) * d_pitch + 2 * n:
                              saturate16(old + (weighed if scatter else saturate16(v))), where
                              weighed = saturate16(round_shift(saturate16(v) * score, 16 - score_shift))
                    keys:     weight int8 at d_address + (r // C) * d_pitch + (n // L) * C * L + (r % C) * L + n % L
                    values:   weight int8 at d_address + j * d_pitch + (r // L) * C * L + c * L + r % L
        if track_max: row_max[row_base + r] = max over n of saturate16(v)

A parameter block holds C entries of 8 bytes in the weight memory: bias int32, multiplier uint16, shift uint8 and a byte that is ignored.
Every value of them is allowed. Of a shift the low six bits count; one of 44 to 63 makes every result 0.
A residual is the only operand that may lie where the result goes.
`keys` lays the result out as the b operand of a product that sums over its columns (Q.K^T), `values` for one that sums over its rows (P.V).
""",
        (
            Field("destination", 0, 8, 3, _values(Destination), greatest=_greatest(Destination)),
            Field("row_scale", 0, 11, 1, "scale each row by the reciprocal that softmax left, instead of each column"),
            Field("table_enable", 0, 12, 1, "pass the result through a table (GELU)"),
            Field("track_max", 0, 13, 1, "record each row's maximum for softmax"),
            Field("gather", 0, 14, 1, "rows of a are the queue's tokens"),
            Field("scatter", 0, 15, 1, "rows of the result go to the queue's tokens, weighted by their scores"),
            Field("table_index", 0, 16, 1, "which table"),
            Field(
                "score_shift", 0, 17, 3, "with scatter, results are in units of 2**score_shift of the residual stream"
            ),
            Field("rows", 4, 0, 16, "M; with gather or scatter, the most queue entries to take"),
            Field("columns", 4, 16, 16, "N", least=1),
            Field("depth", 5, 0, 16, "K", least=1, multiple=L),
            Field("queue", 5, 16, 8, "expert queue for gather and scatter"),
            Field("output_shift", 5, 24, 8, "subtracted from the row's shift if row_scale is set"),
            Field("a_address", 6, 0, 32, "start of a, in act", multiple=L),
            Field("a_pitch", 7, 0, 32, "bytes between rows", multiple=ACT_WORD),
            Field("b_address", 8, 0, 32, "start of b, in weight", multiple=WEIGHT_WORD),
            Field("b_stride", 9, 0, 32, "bytes between column tiles", multiple=WEIGHT_WORD),
            Field("param_address", 10, 0, 32, "first parameter block, in weight", multiple=WEIGHT_WORD),
            Field(
                "param_stride", 11, 0, 32, "bytes between parameter blocks; 0 repeats one block", multiple=WEIGHT_WORD
            ),
            Field("d_address", 12, 0, 32, "start of the result, in act; in weight for keys and values"),
            Field("d_pitch", 13, 0, 32, "bytes between rows (act) or tiles (weight)"),
            Field("row_base", 14, 0, 16, "first entry of the row statistics", multiple=Size(2)),
            Field("queue_first", 14, 16, 16, "first entry of the expert queue"),
        ),
        (
            Rule(AtMost((Term("a_address", ACT_WORD), Term("depth")), Size(OPERAND_BYTES))),
            Rule(_one_of("destination", Destination.INT8, Destination.RESIDUAL), (_flag("gather"),)),
            Rule(_one_of("destination", Destination.RESIDUAL), (_flag("scatter"),)),
            Rule(_one_of("destination", Destination.INT8), (_flag("table_enable"),)),
            Rule(_one_of("destination", Destination.INT16), (_flag("track_max"),)),
            Rule(AtMost((Term("queue"),), EXPERTS - 1), (_flag("gather"), _flag("scatter"))),
            *(
                Rule(MultipleOf(field, size), (_one_of("destination", *destinations),))
                for destinations, size in (
                    ((Destination.INT8,), C),
                    ((Destination.INT16, Destination.RESIDUAL), ACT_WORD),
                    ((Destination.KEYS, Destination.VALUES), WEIGHT_WORD),
                )
                for field in ("d_address", "d_pitch")
            ),
        ),
        Unit.MATMUL,
    ),
    UnitInstruction(
        "layer_norm",
        4,
        """Layer norm of int16 rows to int8, see moesaic.spec.arithmetic.layer_norm.

    for r in range(rows):
        x = act int16 at source_address + r * source_pitch, columns elements
        y = layer_norm(x, gamma, beta, shift)
        act int8 at destination_address + r * destination_pitch = y, then zeros up to a multiple of C elements

Parameters in act, for each group of C columns: 2 * C bytes of gamma (int16), then 2 * C bytes of beta (int16).
A row's results may take the place of its source, from the same address on.
""",
        (
            Field("rows", 4, 0, 16, "rows"),
            Field("columns", 4, 16, 16, "width", least=1, greatest=Size(NORM_WIDTH_MAX)),
            Field("source_address", 5, 0, 32, "in act", multiple=ACT_WORD),
            Field("source_pitch", 6, 0, 32, "bytes between rows", multiple=ACT_WORD),
            Field("destination_address", 7, 0, 32, "in act", multiple=C),
            Field("destination_pitch", 8, 0, 32, "bytes between rows", multiple=C),
            Field("param_address", 9, 0, 32, "in act", multiple=ACT_WORD),
            Field("shift", 10, 0, 8, "right shift of the results", greatest=Size(NORM_SHIFT_MAX)),
        ),
        (),
        Unit.VECTOR,
    ),
    UnitInstruction(
        "softmax",
        5,
        """Single-pass softmax: the maxima were tracked while the scores were written, and P.V is divided by the sum later.

    for r in range(rows):
        s = act int16 at source_address + r * source_pitch, columns elements
        p, multiplier, shift = softmax_rows(s, row_max[row_base + r])           # see moesaic.spec.arithmetic
        act int8 at destination_address + r * destination_pitch = p, then zeros up to a multiple of C elements
        row_multiplier[row_base + r], row_shift[row_base + r] = multiplier, shift

A row's results may take the place of its source, from the same address on.
""",
        (
            Field("rows", 4, 0, 16, "rows"),
            Field("columns", 4, 16, 16, "number of keys", least=1),
            Field("source_address", 5, 0, 32, "in act", multiple=ACT_WORD),
            Field("source_pitch", 6, 0, 32, "bytes between rows", multiple=ACT_WORD),
            Field("destination_address", 7, 0, 32, "in act", multiple=ACT_WORD),
            Field("destination_pitch", 8, 0, 32, "bytes between rows", multiple=ACT_WORD),
            Field("row_base", 9, 0, 16, "first entry of the row statistics"),
        ),
        (),
        Unit.VECTOR,
    ),
    UnitInstruction(
        "route",
        6,
        """Router softmax and top-k: fill the expert queues, see moesaic.spec.arithmetic.route_token.

    if append and first < next_token: fault with ADDRESS
    if not append: queue_count[all] = 0
    for r in range(rows):
        l = act int16 at source_address + r * source_pitch, columns elements
        absent = [(absent_high << 32 | absent_low) >> e & 1 for e in range(columns)]
        selected, scores = route_token(l, top_k, absent)
        for e in range(columns):
            if selected[e]:
                queue_entry[e][queue_count[e]] = (first + r, scores[e])
                queue_count[e] += 1
    next_token = first + rows

An absent expert neither takes part in the softmax nor is it chosen; if all are absent, no queue gets an entry.
An instruction that appends takes tokens above those of all instructions since the last one that did not: a queue has a token at most
once, so that no product scatters two rows to one place, and no queue overflows. One that faults for this leaves queues and
next_token as they are, for the runs that follow.
""",
        (
            Field("append", 0, 8, 1, "keep the entries that the queues hold"),
            Field("rows", 4, 0, 16, "tokens"),
            Field("columns", 4, 16, 16, "experts", least=1, greatest=EXPERTS),
            Field("source_address", 5, 0, 32, "in act", multiple=ACT_WORD),
            Field("source_pitch", 6, 0, 32, "bytes between rows", multiple=ACT_WORD),
            Field("top_k", 7, 0, 8, "experts per token; all that are present if above their number", least=1),
            Field("first", 7, 16, 16, "token number of row 0"),
            Field(
                "absent_low",
                8,
                0,
                32,
                "bit e: expert e is absent, no token can choose it; bits from columns on say nothing",
            ),
            Field("absent_high", 9, 0, 32, "bit e: expert 32 + e is absent"),
        ),
        (Rule(AtMost((Term("first"), Term("rows")), QUEUE_TOKENS)),),
        Unit.ROUTE,
    ),
)

INSTRUCTIONS: tuple[Instruction, ...] = (END, *UNIT_INSTRUCTIONS)
BY_NAME = {instruction.name: instruction for instruction in UNIT_INSTRUCTIONS}
"""Instructions of units by name: all except `end`."""
BY_OPCODE = {instruction.opcode: instruction for instruction in INSTRUCTIONS}


def layout_text() -> str:
    """Everything that decides how programs are encoded, one line per instruction; a configuration's fingerprint covers it."""
    rows = []
    for i in INSTRUCTIONS:
        unit = int(i.unit) if isinstance(i, UnitInstruction) else None
        rows.append(str((i.name, i.opcode, unit, [(f.name, f.word, f.low, f.width) for f in HEADER + i.fields])))
    return "\n".join(rows)


def pack(name: str, **values: int) -> bytes:
    """The 64 bytes of one instruction, legal or not; programs are made with moesaic.spec.legality.encode, which checks.

    Fields left out are 0. KeyError for an unknown instruction, ValueError for an unknown field or a value that does not fit its
    bits.
    """
    instruction = END if name == END.name else BY_NAME[name]
    fields = {field.name: field for field in HEADER + instruction.fields}
    words = np.zeros(INSTRUCTION_BYTES // 4, np.uint64)
    for key, value in {"opcode": instruction.opcode, **values}.items():
        if key not in fields:
            raise ValueError(f"{name} has no field {key}; it has {', '.join(fields)}")
        field = fields[key]
        if not 0 <= int(value) < 1 << field.width:
            raise ValueError(f"{name}.{key} = {value} does not fit {field.width} bits")
        words[field.word] |= np.uint64(int(value) << field.low)
    return words.astype("<u4").tobytes()


def decode(code: bytes) -> tuple[str, dict[str, int]] | None:
    """The name and the fields, header included, of a 64-byte instruction; None if its opcode is unknown."""
    words = np.frombuffer(code, "<u4")
    instruction = BY_OPCODE.get(int(words[0]) & 0xFF)
    if instruction is None:
        return None
    fields = HEADER + instruction.fields
    return instruction.name, {f.name: (int(words[f.word]) >> f.low) & ((1 << f.width) - 1) for f in fields}
