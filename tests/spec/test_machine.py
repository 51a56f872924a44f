"""The reference machine against the loop nests of the instruction set, written out in plain Python integers."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from math import floor

import numpy as np
import pytest

from moesaic.spec.configuration import load_configuration
from moesaic.spec.executor import MachineFault, Memory, Program
from moesaic.spec.isa import PARAMETER_ENTRY, Destination, Fault, Unit, pack, semaphore
from moesaic.spec.machine import ReferenceMachine

TINY = load_configuration("tiny")
ODD = replace(TINY, name="odd", tile_rows=3, act_ports=1, tile_columns=16, tile_depth=8, norm_lanes=2)


def run(machine: ReferenceMachine, *code: bytes) -> dict[str, int]:
    program = b"".join(code) + pack("end")
    memory = Memory(np.frombuffer(program, np.uint8).copy(), np.zeros(64, np.uint8))
    return machine.run(Program(0, len(program)), memory, 0)


def clip(value: int, bits: int) -> int:
    return max(-(1 << (bits - 1)), min((1 << (bits - 1)) - 1, value))


def round_shift(value: int, shift: int) -> int:
    return floor(Fraction(value, 1 << shift) + Fraction(1, 2))


class PlainMatmul:
    """The loop nest of matmul, one integer at a time, on copies of the machine's memories."""

    def __init__(self, machine: ReferenceMachine, f: dict[str, int]) -> None:
        self.machine, self.f, self.c = machine, f, machine.configuration
        self.act, self.weight = bytearray(machine.act.tobytes()), bytearray(machine.weight.tobytes())
        self.table, self.row_max = machine.table.tobytes(), machine.row_max.tolist()
        by_queue = f["gather"] or f["scatter"]
        rows, first = f["rows"], f["queue_first"]
        if by_queue:
            rows = min(rows, max(int(machine.queue_count[f["queue"]]) - first, 0))
        for r in range(rows):
            token = int(machine.queue_token[f["queue"], first + r]) if by_queue else r
            score = int(machine.queue_score[f["queue"], first + r]) if by_queue else 0
            self._row(r, token, score)

    @staticmethod
    def _read(memory: bytearray | bytes, address: int, size: int, signed: bool = True) -> int:
        return int.from_bytes(memory[address : address + size], "little", signed=signed)

    @staticmethod
    def _write(memory: bytearray, address: int, size: int, value: int) -> None:
        memory[address : address + size] = value.to_bytes(size, "little", signed=True)

    def _row(self, r: int, token: int, score: int) -> None:
        f, columns = self.f, self.c.tile_columns
        a = [
            self._read(self.act, f["a_address"] + (token if f["gather"] else r) * f["a_pitch"] + k, 1)
            for k in range(f["depth"])
        ]
        maximum = -32768
        for n in range(f["columns"]):
            value = self._result(a, r, n // columns, n % columns)
            maximum = max(maximum, clip(value, 16))
            self._store(value, r, token, score, n)
        if f["track_max"]:
            self.row_max[f["row_base"] + r] = maximum

    def _result(self, a: list[int], r: int, j: int, c: int) -> int:
        f, columns, lanes = self.f, self.c.tile_columns, self.c.tile_depth
        total = 0
        for k in range(f["depth"]):
            b = f["b_address"] + j * f["b_stride"] + (k // lanes) * columns * lanes + c * lanes + k % lanes
            total += a[k] * self._read(self.weight, b, 1)
        if f["row_scale"]:
            multiplier = int(self.machine.row_multiplier[f["row_base"] + r])
            shift = max(int(self.machine.row_shift[f["row_base"] + r]) - f["output_shift"], 0)
        else:
            entry = f["param_address"] + j * f["param_stride"] + c * 8
            total += self._read(self.weight, entry, 4)
            multiplier = self._read(self.weight, entry + 4, 2, signed=False)
            shift = self._read(self.weight, entry + 6, 1, signed=False)
        value = round_shift(clip(total, 27) * multiplier, shift % 64)
        if f["table_enable"]:
            value = self._read(self.table, 1024 * f["table_index"] + clip(value, 10) + 512, 1)
        return value

    def _store(self, value: int, r: int, token: int, score: int, n: int) -> None:
        f, columns, lanes = self.f, self.c.tile_columns, self.c.tile_depth
        j, c, word = n // columns, n % columns, columns * lanes
        if f["destination"] == Destination.INT8:
            self._write(self.act, f["d_address"] + r * f["d_pitch"] + n, 1, clip(value, 8))
        elif f["destination"] == Destination.INT16:
            self._write(self.act, f["d_address"] + r * f["d_pitch"] + 2 * n, 2, clip(value, 16))
        elif f["destination"] == Destination.RESIDUAL:
            address = f["d_address"] + (token if f["scatter"] else r) * f["d_pitch"] + 2 * n
            update = clip(value, 16)
            if f["scatter"]:
                update = clip(round_shift(update * score, 16 - f["score_shift"]), 16)
            self._write(self.act, address, 2, clip(self._read(self.act, address, 2) + update, 16))
        elif f["destination"] == Destination.KEYS:
            offset = (r // columns) * f["d_pitch"] + (n // lanes) * word + (r % columns) * lanes + n % lanes
            self._write(self.weight, f["d_address"] + offset, 1, clip(value, 8))
        else:
            offset = j * f["d_pitch"] + (r // lanes) * word + c * lanes + r % lanes
            self._write(self.weight, f["d_address"] + offset, 1, clip(value, 8))


VARIANTS = {
    "int8": {"destination": 0},
    "int8 through a table": {"destination": 0, "table_enable": 1, "table_index": 1},
    "int8 gathered": {"destination": 0, "gather": 1},
    "int16 with maxima": {"destination": 1, "track_max": 1},
    "int16 scaled by row": {"destination": 1, "row_scale": 1, "output_shift": 9},
    "residual": {"destination": 2},
    "residual scattered": {"destination": 2, "scatter": 1},
    "residual gathered and scattered": {"destination": 2, "gather": 1, "scatter": 1},
    "keys": {"destination": 3},
    "values": {"destination": 4},
}


@pytest.mark.parametrize("seed", range(3), ids=lambda seed: f"seed{seed}")
@pytest.mark.parametrize("configuration", [TINY, ODD], ids=lambda configuration: configuration.name)
@pytest.mark.parametrize("variant", VARIANTS)
def test_matmul_is_its_loop_nest(variant, configuration, seed):
    rng = np.random.default_rng(seed)
    machine = ReferenceMachine(configuration, seed=seed)
    columns, depth = configuration.tile_columns, configuration.tile_depth
    f = {
        "rows": int(rng.integers(1, 9)), "columns": int(rng.integers(1, 2 * columns + 3)),
        "depth": depth * int(rng.integers(1, 6)), "queue": 2, "queue_first": int(rng.integers(0, 4)),
        "row_base": 2 * int(rng.integers(0, 8)),
        "a_address": 256 + depth, "a_pitch": 128, "b_address": 0, "b_stride": 64 * columns, "param_address": 16384,
        "param_stride": 8 * columns, "d_address": 32768, "d_pitch": 256 if VARIANTS[variant]["destination"] < 3 else 4096,
        "gather": 0, "scatter": 0, "row_scale": 0, "table_enable": 0, "table_index": 0, "track_max": 0, "output_shift": 0,
        "score_shift": int(rng.integers(8)),
        **VARIANTS[variant],
    }  # fmt: skip
    blocks = np.zeros(3 * columns, PARAMETER_ENTRY)
    blocks["bias"] = rng.integers(-(1 << 28), 1 << 28, blocks.size)
    blocks["multiplier"] = rng.integers(0, 1 << 16, blocks.size)
    blocks["shift"] = np.where(
        rng.random(blocks.size) < 0.8, rng.integers(0, 48, blocks.size), rng.integers(0, 256, blocks.size)
    )
    machine.weight[16384 : 16384 + blocks.nbytes] = blocks.view(np.uint8)
    tokens = rng.permutation(9)[: int(rng.integers(0, 6))]
    machine.queue_count[2] = len(tokens)
    machine.queue_token[2, : len(tokens)] = tokens
    machine.queue_score[2, : len(tokens)] = rng.choice([0, 1, 30000, 65535], len(tokens))
    plain = PlainMatmul(machine, f)
    run(machine, pack("matmul", **f))
    assert machine.act.tobytes() == bytes(plain.act)
    assert machine.weight.tobytes() == bytes(plain.weight)
    assert machine.row_max.tolist() == plain.row_max


def test_route_fills_queues_in_token_order():
    machine = ReferenceMachine(TINY)
    logits = np.array([[3, 9, 9, 1], [9, 3, 3, 3], [0, 0, 0, 0]], "<i2")
    for r, row in enumerate(logits):
        machine.act[32 * r : 32 * r + 8] = row.view(np.uint8)
    run(machine, pack("route", rows=3, columns=4, source_address=0, source_pitch=32, top_k=2))
    queues = [machine.queue_token[e, : machine.queue_count[e]].tolist() for e in range(4)]
    assert queues == [[1, 2], [0, 1, 2], [0], []]
    assert not machine.queue_count[4:].any()
    assert machine.queue_score[2, 0] == machine.queue_score[1, 0] > 16384


def test_softmax_pads_with_zeros_and_leaves_the_reciprocal_of_the_sum():
    machine = ReferenceMachine(TINY)
    machine.row_max[5] = 100
    machine.act[:6] = np.array([100, 100 - 256, 200], "<i2").view(np.uint8)
    run(machine, pack("softmax", rows=1, columns=3, destination_address=64, destination_pitch=16, row_base=5))
    assert machine.act[64:72].tolist() == [127, 64, 127, 0, 0, 0, 0, 0]
    assert machine.row_multiplier[5] / 2.0 ** machine.row_shift[5] == pytest.approx(1 / 318, rel=2.0**-15)


# --- program order, semaphores, queues --------------------------------------------------------------------------------

LOAD_TO_MATMUL = 1 << semaphore(Unit.LOAD, Unit.MATMUL)
MATMUL_TO_LOAD = 1 << semaphore(Unit.MATMUL, Unit.LOAD)
SMALL_LOAD = {"bytes": 16, "count_1": 1, "count_2": 1, "count_3": 1}
EMPTY_MATMUL = {"rows": 0, "columns": 1, "depth": 8}


def test_counters():
    product = pack("matmul", rows=5, columns=9, depth=8, d_pitch=16)
    assert run(ReferenceMachine(TINY), product, pack("load", **{**SMALL_LOAD, "bytes": 48})) == {
        "instructions": 3,
        "matmul_array": 2 * 2 * 2,
        "read_beats": 3 * 4 + 3,
        "write_beats": 0,
    }


def test_a_consumer_that_comes_first_waits():
    order = []
    machine = ReferenceMachine(TINY, observe=lambda name, fields, _: order.append((name, fields["tag"])))
    run(
        machine,
        pack("matmul", tag=1, wait_mask=LOAD_TO_MATMUL, **EMPTY_MATMUL),
        pack("load", tag=2, signal_mask=LOAD_TO_MATMUL, **SMALL_LOAD),
    )
    assert order == [("load", 2), ("matmul", 1)]


@pytest.mark.parametrize(("ahead", "ends"), [(TINY.instruction_queue, True), (TINY.instruction_queue + 1, False)])
def test_a_queue_full_of_waiting_instructions_stops_fetch(ahead, ends):
    """Loads that wait for a product after them in the program: it is reached only if they all fit their queue."""
    loads = [pack("load", wait_mask=MATMUL_TO_LOAD if i == 0 else 0, **SMALL_LOAD) for i in range(ahead)]
    code = [*loads, pack("matmul", signal_mask=MATMUL_TO_LOAD, **EMPTY_MATMUL)]
    if ends:
        assert run(ReferenceMachine(TINY), *code)["instructions"] == ahead + 2
        return
    with pytest.raises(MachineFault) as caught:
        run(ReferenceMachine(TINY), *code)
    assert (caught.value.cause, caught.value.unit) == (Fault.TIMEOUT, "fetch")


@pytest.mark.parametrize(("signals", "ends"), [(255, True), (256, False)])
def test_a_semaphore_counts_to_255(signals, ends):
    code = [pack("load", tag=i, signal_mask=LOAD_TO_MATMUL, **SMALL_LOAD) for i in range(signals)]
    if ends:
        assert run(ReferenceMachine(TINY), *code)["instructions"] == 256
        return
    with pytest.raises(MachineFault) as caught:
        run(ReferenceMachine(TINY), *code)
    assert (caught.value.cause, caught.value.unit, caught.value.tag) == (Fault.SEMAPHORE_OVERFLOW, "load", 255)


@pytest.mark.parametrize(
    "fields", [{"wait_mask": LOAD_TO_MATMUL}, {"signal_mask": MATMUL_TO_LOAD}], ids=["wait", "signal"]
)
def test_a_foreign_semaphore_is_refused(fields):
    with pytest.raises(MachineFault) as caught:
        run(ReferenceMachine(TINY), pack("load", tag=9, **fields, **SMALL_LOAD))
    assert (caught.value.cause, caught.value.unit, caught.value.tag) == (Fault.BAD_INSTRUCTION, "fetch", 0)


@pytest.mark.parametrize(
    "memory",
    ["act", "weight", "table", "row_max", "row_multiplier", "row_shift", "queue_count", "queue_token", "queue_score"],
)
def test_the_state_has_every_entry_of_a_memory(memory):
    machine = ReferenceMachine(TINY)
    before = machine.state()
    entries = getattr(machine, memory).reshape(-1)
    for place in (0, len(entries) - 1):
        entries[place] ^= 1
        assert not np.array_equal(machine.state(), before)
        entries[place] ^= 1
    assert np.array_equal(machine.state(), before)


def test_the_state_has_the_next_token():
    machine = ReferenceMachine(TINY)
    before = machine.state()
    machine.next_token ^= 1
    assert np.count_nonzero(machine.state() != before) == 1
