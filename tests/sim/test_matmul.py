"""The matmul unit, whole instructions, alone and overlapping, against the reference machine: all memories compared."""

from __future__ import annotations

import cocotb
import numpy as np
import pytest

from moesaic.sim.bench_kit import clocking
from moesaic.sim.bench_kit.random_values import random_generator
from moesaic.sim.bench_kit.runner import run_module_test
from moesaic.sim.bench_kit.scoreboard import Scoreboard
from moesaic.spec.arithmetic import SCORE_SHIFT_MAX, SHIFT_MAX
from moesaic.spec.configuration import HardwareConfiguration
from moesaic.spec.isa import OPERAND_BYTES, PARAMETER_ENTRY, Destination, Fault, pack
from moesaic.spec.machine import ReferenceMachine
from tests.sim.matmul_unit import (
    SHAPES,
    MatmulUnit,
    bench_parameters,
    configuration_of,
    reference_outcome,
    running_parameters,
)

PORTS = ("*_i", "*_ni", "*_o")
TOKENS = 24
STALLS = (0, 0, 40, 128, 220)
FAULTS = (
    "a_address", "a_pitch", "b_address", "b_stride", "param_address", "d_address", "d_pitch", "row_base", "a_wrap", "d_wrap",
)  # fmt: skip


def round_up(value: int, multiple: int) -> int:
    return -(-value // multiple) * multiple


def random_machine(configuration: HardwareConfiguration, rng: np.random.Generator) -> ReferenceMachine:
    """Random memories in which extreme operands are frequent, and queues of 0 to TOKENS tokens."""
    machine = ReferenceMachine(configuration, seed=int(rng.integers(1 << 32)))
    for memory in (machine.act, machine.weight):
        blocks = memory.reshape(-1, 256)
        for value in (0x80, 0x7F, 0x81):
            blocks[rng.random(len(blocks)) < 0.12] = value
    for expert in range(configuration.experts):
        count = (0, 1, TOKENS, int(rng.integers(2, TOKENS)))[expert % 4]
        machine.queue_count[expert] = count
        machine.queue_token[expert, :count] = np.sort(rng.choice(TOKENS, count, replace=False))
        machine.queue_score[expert, :count] = rng.choice([0, 1, 0xFFFF, *rng.integers(0, 1 << 16, 5)], count)
    return machine


def random_parameters(rng: np.random.Generator, entries: int) -> np.ndarray:
    """Parameter entries as bytes; the products reach all of an output's range, saturation included."""
    block = np.zeros(entries, PARAMETER_ENTRY)
    block["bias"] = rng.integers(-(1 << 20), 1 << 20, entries)
    extreme = rng.random(entries) < 0.1
    block["bias"][extreme] = rng.choice([-(1 << 31), (1 << 31) - 1, 1 << 26, -(1 << 26) - 1, 0], int(extreme.sum()))
    block["multiplier"] = rng.choice([0, 1, 0x8000, 0xFFFF, *rng.integers(1 << 15, 1 << 16, 12)], entries)
    block["shift"] = rng.choice([0, 1, SHIFT_MAX, 42, 43, 44, *range(18, 32), *range(18, 32)], entries)
    return block.view(np.uint8).reshape(-1)


def random_fields(c: HardwareConfiguration, rng: np.random.Generator, most_rows: int) -> dict[str, int]:
    """Legal fields. act: operands in the lower half, results in the upper. weight: parameters, then b, then results."""
    columns_tile, depth_tile, word = c.tile_columns, c.tile_depth, c.weight_word_bytes
    destination = int(rng.choice(list(Destination)))
    f = {"destination": destination, "tag": 1}
    f["rows"] = int(rng.choice([0, 1, c.tile_rows, int(rng.integers(1, most_rows + 1))], p=[0.04, 0.1, 0.1, 0.76]))
    f["columns"] = int(rng.choice([1, columns_tile, int(rng.integers(1, 3 * columns_tile + 4))], p=[0.1, 0.2, 0.7]))
    f["depth"] = depth_tile * int(rng.choice([1, 2, int(rng.integers(1, 25))], p=[0.1, 0.1, 0.8]))
    f["queue"] = int(rng.integers(c.experts))
    f["queue_first"] = int(rng.choice([0, 1, TOKENS // 2, TOKENS, 0xFFFF], p=[0.5, 0.2, 0.2, 0.05, 0.05]))
    f["table_index"] = int(rng.integers(2))
    if destination in (Destination.INT8, Destination.RESIDUAL):
        f["gather"] = int(rng.random() < 0.3)
    if destination == Destination.RESIDUAL:
        f["scatter"] = int(rng.random() < 0.5)
        f["score_shift"] = int(rng.integers(SCORE_SHIFT_MAX + 1))
    if destination == Destination.INT8:
        f["table_enable"] = int(rng.random() < 0.4)
    if destination == Destination.INT16:
        f["track_max"] = int(rng.random() < 0.6)
    f["row_scale"] = int(rng.random() < 0.3)
    f["output_shift"] = int(rng.choice([0, 8, 20, 40, 255]))
    f["row_base"] = 2 * int(rng.integers(0, (c.row_entries - TOKENS - most_rows) // 2))
    rows = max(f["rows"], TOKENS)
    tiles = -(-f["columns"] // columns_tile)

    offset = depth_tile * int(rng.integers(c.act_word_bytes // depth_tile))
    f["a_pitch"] = round_up(offset + f["depth"], c.act_word_bytes) + c.act_word_bytes * int(rng.integers(3))
    f["a_address"] = offset + c.act_word_bytes * int(
        rng.integers((c.act_bytes // 2 - rows * f["a_pitch"]) // c.act_word_bytes)
    )

    first_b, first_d = c.weight_bytes // 8, c.weight_bytes * 5 // 8
    blocks = first_b // (8 * columns_tile)
    f["param_stride"] = int(rng.integers(2)) * 8 * columns_tile
    f["param_address"] = 8 * columns_tile * int(rng.integers(blocks - tiles))
    f["b_stride"] = f["depth"] * columns_tile + word * int(rng.integers(3))
    f["b_address"] = first_b + word * int(rng.integers((first_d - first_b - tiles * f["b_stride"]) // word))

    if destination == Destination.KEYS:
        f["d_pitch"] = (-(-f["columns"] // depth_tile) + int(rng.integers(2))) * word
        used = -(-rows // columns_tile) * f["d_pitch"]
        f["d_address"] = first_d + word * int(rng.integers((c.weight_bytes - first_d - used) // word))
    elif destination == Destination.VALUES:
        f["d_pitch"] = (-(-rows // depth_tile) + int(rng.integers(2))) * word
        f["d_address"] = first_d + word * int(rng.integers((c.weight_bytes - first_d - tiles * f["d_pitch"]) // word))
    else:
        unit = columns_tile if destination == Destination.INT8 else c.act_word_bytes
        f["d_pitch"] = (tiles + int(rng.integers(3))) * unit
        f["d_address"] = c.act_bytes // 2 + unit * int(rng.integers((c.act_bytes // 2 - rows * f["d_pitch"]) // unit))
    return f


def broken(f: dict[str, int], fault: str, c: HardwareConfiguration) -> dict[str, int]:
    """The fields with one of them leading out of a memory."""
    word, rows = c.weight_word_bytes, max(f["rows"], 2)
    f = {**f, "rows": rows, "gather": 0, "scatter": 0, "queue_first": 0}
    wrapped = {**f, "queue": 0, "row_scale": 0, "table_enable": 0, "track_max": 0}
    # The one token of queue 0 times the largest pitch is beyond any memory, and more than its multiplier takes: it must not come back to 0.
    wrapping = (1 << 32) - c.act_word_bytes
    inside = (c.act_word_bytes + 8) * c.act_word_bytes
    if fault == "a_wrap":
        return {
            **wrapped, "destination": 0, "gather": 1, "a_address": inside, "a_pitch": wrapping,
            "d_address": c.act_bytes // 2, "d_pitch": c.act_word_bytes * 4,
        }  # fmt: skip
    if fault == "d_wrap":
        return {**wrapped, "destination": 2, "scatter": 1, "d_address": inside, "d_pitch": wrapping}
    if fault == "row_base":
        return {**f, "row_scale": 1, "rows": rows | 1, "row_base": c.row_entries - rows // 2 * 2}
    to_weight = f["destination"] in (Destination.KEYS, Destination.VALUES)
    change = {
        "a_address": {"a_address": c.act_bytes - (rows - 1) * f["a_pitch"]},
        "a_pitch": {"a_pitch": 0xFFFF_FFFF // c.act_word_bytes * c.act_word_bytes},
        "b_address": {"b_address": c.weight_bytes - f["depth"] * c.tile_columns + word},
        "b_stride": {"columns": c.tile_columns + 1, "b_stride": (1 << 32) - word},
        "param_address": {"row_scale": 0, "param_address": c.weight_bytes},
        "d_address": {"d_address": c.weight_bytes if to_weight else c.act_bytes},
        "d_pitch": {
            "rows": c.tile_columns + 1, "columns": c.tile_columns + 1, "d_pitch": (1 << 32) - (word if to_weight else c.act_word_bytes)
        },
    }  # fmt: skip
    return {**f, **change[fault]}


async def compare(unit: MatmulUnit, machine: ReferenceMachine, sequence: list[dict[str, int]]) -> None:
    """All memories that the instructions can have changed."""
    for name, memory in (("act", machine.act), ("weight", machine.weight)):
        different = np.flatnonzero(await unit.dump(name) != memory)
        assert len(different) == 0, f"{name} differs in {len(different)} bytes from {different[:8]} on after {sequence}"
    for fields in sequence:
        if fields.get("track_max"):
            rows = range(fields["row_base"], fields["row_base"] + fields["rows"])
            assert np.array_equal(await unit.dump_maxima(rows), machine.row_max[rows.start : rows.stop]), (
                f"row maxima after {sequence}"
            )


@cocotb.test()
async def random_instructions(dut):
    configuration = configuration_of(running_parameters())
    count, most_rows = int(cocotb.plusargs["count"]), int(cocotb.plusargs["most_rows"])
    rng = random_generator()
    machine = random_machine(configuration, rng)
    entries = configuration.weight_bytes // 64
    machine.weight[: 8 * entries] = random_parameters(rng, entries)
    unit = MatmulUnit(dut, configuration)
    await unit.start()
    await unit.fill(machine)
    board = Scoreboard("causes and steps of the array")
    clocking.watch_progress(dut, lambda: board.checked, 200_000)
    seen = set()
    while board.checked < count or seen != set(Destination):
        fields = random_fields(configuration, rng, most_rows)
        stalls = int(rng.choice(STALLS))
        if board.checked == 0:  # short tiles and slow writes: every queue of the drain fills up
            columns = 3 * configuration.tile_columns
            fields |= {"destination": Destination.INT8, "rows": most_rows, "columns": columns, "param_address": 0}
            fields |= {"depth": 2 * configuration.tile_depth, "b_stride": 2 * configuration.weight_word_bytes}
            fields |= {"d_address": configuration.act_bytes // 2, "d_pitch": columns}
            fields |= {"gather": 0, "scatter": 0, "track_max": 0}
            stalls = 240
        sequence = [fields]
        while rng.random() < 0.7 and board.checked:
            # Often on the results of the one before, which only residuals read.
            sequence.append({**random_fields(configuration, rng, most_rows), "overlap": int(rng.random() < 0.85)})
            before, after = sequence[-2:]
            if before["destination"] == after["destination"] == Destination.RESIDUAL and rng.random() < 0.8:
                after |= {"d_address": before["d_address"], "d_pitch": before["d_pitch"]}
                after["columns"] = min(before["columns"], after["columns"])
        codes = [pack("matmul", **fields) for fields in sequence]
        expected, completed, steps = reference_outcome(machine, codes)
        assert expected == Fault.NONE, (sequence, expected)
        board.expect([(Fault.NONE, completed, steps)])
        outcome = await unit.run(codes, stalls)
        board.observe((outcome.cause, len(outcome.done), outcome.array))
        await compare(unit, machine, sequence)
        seen.update(fields["destination"] for fields in sequence)
    board.close()
    assert board.checked >= count > 0


@cocotb.test()
async def large_products(dut):
    """Rows as long as the operand buffer, so that the fetch of the next row tile has to wait for room, and more column tiles
    than blocks of parameters are held, so that every row tile reads them again."""
    configuration = configuration_of(running_parameters())
    rng = random_generator()
    machine = random_machine(configuration, rng)
    machine.weight[: configuration.weight_bytes // 8] = random_parameters(rng, configuration.weight_bytes // 64)
    unit = MatmulUnit(dut, configuration)
    await unit.start()
    await unit.fill(machine)
    board = Scoreboard("causes and steps of the array")
    deep = {
        "destination": Destination.INT16, "rows": 3 * configuration.tile_rows + 1, "columns": 3 * configuration.tile_columns,
        "a_address": configuration.tile_depth, "a_pitch": OPERAND_BYTES, "b_address": configuration.weight_bytes // 2,
        "param_stride": 8 * configuration.tile_columns, "d_address": configuration.act_bytes // 2,
        "d_pitch": 4 * configuration.act_word_bytes,
    }  # fmt: skip
    wide = {**deep, "depth": 2 * configuration.tile_depth, "b_stride": configuration.weight_word_bytes, "overlap": 1}
    offsets = (0, configuration.tile_depth, OPERAND_BYTES * 3 // 8)
    sequences = [[{**deep, "depth": OPERAND_BYTES - offset - configuration.tile_depth}] for offset in offsets]
    for tiles in (64, 65, 129):
        columns = {"columns": tiles * configuration.tile_columns - 1, "d_pitch": tiles * configuration.act_word_bytes}
        sequences.append([{**wide, **columns}, wide, {**wide, **columns, "param_address": 1024}])
    for sequence in sequences:
        codes = [pack("matmul", **fields) for fields in sequence]
        expected, _, steps = reference_outcome(machine, codes)
        assert expected == Fault.NONE
        board.expect([(expected, steps)])
        outcome = await unit.run(codes)
        board.observe((outcome.cause, outcome.array))
        await compare(unit, machine, sequence)
    board.close()


@cocotb.test()
async def faults(dut):
    configuration = configuration_of(running_parameters())
    rng = random_generator(1)
    unit = MatmulUnit(dut, configuration)
    await unit.start()
    board = Scoreboard("faults")
    for index, fault in enumerate(FAULTS):
        machine = random_machine(configuration, rng)
        machine.queue_count[:] = [1, 0, 0, 0]
        machine.queue_token[0, 0] = configuration.act_word_bytes
        await unit.clear_queues()
        await unit.push(0, configuration.act_word_bytes, 0xFFFF)
        fields = broken(random_fields(configuration, rng, 8), fault, configuration)
        # The faulty instruction is alone, the younger, or the older of two in flight; the one that overlaps it is random.
        other = {**random_fields(configuration, rng, 8), "gather": 0, "scatter": 0}
        sequence = [[fields], [other, {**fields, "overlap": 1}], [fields, {**other, "overlap": 1}]][
            int(rng.integers(3))
        ]
        codes = [pack("matmul", **each) for each in sequence]
        expected, completed, _ = reference_outcome(machine, codes)
        assert expected != Fault.NONE, f"{fault} is no fault: {fields}"
        board.expect([(fault, expected, completed)])
        outcome = await unit.run(codes, STALLS[index % len(STALLS)])
        board.observe((fault, outcome.cause, len(outcome.done)))
        await unit.stays_silent(200)
        await unit.reset()
    board.close()
    assert board.checked == len(FAULTS)
    # and the unit works after the last reset
    machine = random_machine(configuration, rng)
    await unit.clear_queues()
    machine.weight[: configuration.weight_bytes // 8] = random_parameters(rng, configuration.weight_bytes // 64)
    await unit.fill(machine)
    fields = {**random_fields(configuration, rng, 8), "rows": 5, "gather": 0, "scatter": 0}
    codes = [pack("matmul", **fields)]
    assert (await unit.run(codes)).cause == reference_outcome(machine, codes)[0] == Fault.NONE
    await compare(unit, machine, [fields])


@cocotb.test()
async def a_reset_ends_all(dut):
    """While keys are written, several times for each row: the writes of the next instruction are all there."""
    configuration = configuration_of(running_parameters())
    rng = random_generator()
    machine = random_machine(configuration, rng)
    machine.weight[: configuration.weight_bytes // 8] = random_parameters(rng, configuration.weight_bytes // 64)
    unit = MatmulUnit(dut, configuration)
    await unit.start()
    await unit.fill(machine)
    fields = random_fields(configuration, rng, 8)
    while fields["destination"] != Destination.KEYS or fields["rows"] < configuration.tile_rows:
        fields = random_fields(configuration, rng, 8)
    # Two products of different operands, with the same places for their results.
    codes = [
        pack(
            "matmul", **{**fields, "columns": configuration.tile_columns, "a_address": configuration.act_word_bytes * n}
        )
        for n in range(2)
    ]
    assert reference_outcome(machine, codes[:1])[0] == Fault.NONE
    board = Scoreboard("instructions after a reset")
    cycles = (await unit.run(codes[:1])).done[0]
    for wait in range(cycles - 18, cycles):
        await unit.interrupt(codes[wait % 2], wait)
        before, code = codes[wait % 2], codes[(wait + 1) % 2]
        board.expect([reference_outcome(machine, [before, code])[0]])
        board.observe((await unit.run([code])).cause)
        different = np.flatnonzero(await unit.dump("weight") != machine.weight)
        assert len(different) == 0, f"{len(different)} bytes differ from {different[:8]} on, reset in cycle {wait}"
    board.close()


# Cycles for the layers of a vision transformer of width 384 with heads of 32: 129 tokens, 32 of them for an expert, or, the last
# but one, 1,201 tokens. limits: cycles allowed beyond the steps' share of one instruction, alone and in a sequence of overlapping
# ones; the reads of the parameters of 12 column tiles are 12 of them. share: cycles per step that the drain (scores: 6 cycles for
# 4 steps) or the operands (weighted values: 18 for 17) allow.
LAYERS = {
    "linear": ({"destination": 0, "rows": 129, "columns": 384, "depth": 384, "a_pitch": 384, "d_pitch": 384}, 1, (64, 14)),
    "gathered": (
        {"destination": 0, "gather": 1, "table_enable": 1, "rows": 32, "columns": 384, "depth": 384, "a_pitch": 384, "d_pitch": 384},
        1, (72, 14),
    ),
    "scattered": (
        {"destination": 2, "scatter": 1, "rows": 32, "columns": 384, "depth": 384, "a_pitch": 384, "d_pitch": 832}, 1, (64, 14)
    ),
    "residual": ({"destination": 2, "rows": 129, "columns": 384, "depth": 384, "a_pitch": 384, "d_pitch": 832}, 1, (64, 14)),
    "keys": ({"destination": 3, "rows": 129, "columns": 32, "depth": 384, "a_pitch": 384, "d_pitch": 1024}, 1, (72, 4)),
    "values": ({"destination": 4, "rows": 129, "columns": 32, "depth": 384, "a_pitch": 384, "d_pitch": 4352}, 1, (60, 4)),
    "scores": (
        {"destination": 1, "track_max": 1, "rows": 129, "columns": 129, "depth": 32, "a_pitch": 384, "d_pitch": 320}, 6 / 4, (60, 4)
    ),
    "wide scores": (
        {"destination": 1, "track_max": 1, "rows": 129, "columns": 129, "depth": 64, "a_pitch": 384, "d_pitch": 320}, 1, (60, 4)
    ),
    "weighted values": (
        {"destination": 0, "row_scale": 1, "rows": 129, "columns": 32, "depth": 136, "a_pitch": 192, "d_pitch": 384}, 18 / 17, (60, 4)
    ),
    "many weighted values": (
        {"destination": 0, "row_scale": 1, "rows": 48, "columns": 32, "depth": 1208, "a_pitch": 1216, "d_pitch": 384}, 1, (60, 4)
    ),
    "router": ({"destination": 1, "rows": 129, "columns": 16, "depth": 384, "a_pitch": 384, "d_pitch": 64}, 1, (60, 4)),
}  # fmt: skip
LAYER_D = {"act": 65536, "weight": 196608}
LAYER_PARAMETERS = 229376
LARGE = (196608, 262144)  # bytes of act and weight: all tests of the large array share one build
SEQUENCE = 3


@cocotb.test()
async def throughput(dut):
    configuration = configuration_of(running_parameters())
    machine = random_machine(configuration, random_generator())
    machine.weight[LAYER_PARAMETERS:] = random_parameters(
        random_generator(1), (configuration.weight_bytes - LAYER_PARAMETERS) // 8
    )
    machine.queue_count[0] = 32
    machine.queue_token[0, :32] = np.sort(random_generator(2).choice(129, 32, replace=False))
    unit = MatmulUnit(dut, configuration)
    await unit.start()
    await unit.fill(machine)
    slow = []
    for name, (layer, share, limits) in LAYERS.items():
        to_weight = layer["destination"] in (Destination.KEYS, Destination.VALUES)
        word, tile = configuration.weight_word_bytes, configuration.tile_columns
        fields = {
            **layer, "b_stride": layer["depth"] * tile, "param_address": LAYER_PARAMETERS, "param_stride": ("scores" not in name) * word,
            "d_address": LAYER_D["weight" if to_weight else "act"],
        }  # fmt: skip
        codes = [pack("matmul", **fields, overlap=int(index > 0)) for index in range(SEQUENCE)]
        for used in (codes[:1], codes):
            expected, _, steps = reference_outcome(machine, used)
            outcome = await unit.run(used)
            assert expected == outcome.cause == Fault.NONE and outcome.array == steps
            cycles = (outcome.done[-1] - outcome.done[0]) / (SEQUENCE - 1) if len(used) > 1 else outcome.done[0]
            beyond = cycles - share * steps / len(used)
            text = (
                f"{name}, {len(used)} at once: {cycles:g} cycles for {steps / len(used):g} steps, {beyond:.1f} more than their share; "
                f"stalls: {outcome.operand_stall} for operands, {outcome.drain_stall} for the drain"
            )
            dut._log.info(text)
            if beyond > limits[len(used) > 1]:
                slow.append(text)
    assert not slow, slow
    await compare(unit, machine, [])


@pytest.mark.slow
def test_throughput():
    parameters = bench_parameters("zcu104", *LARGE)
    run_module_test(
        "matmul_bench", __name__, parameters=parameters, plusargs=parameters, testcase="throughput", public=PORTS
    )


@pytest.mark.parametrize(
    "shape, count, most_rows",
    [
        ("tiny", 30, 14),
        ("single", 20, 14),
        ("odd", 20, 11),
        pytest.param("row", 20, 6, marks=pytest.mark.slow),
        pytest.param("pair", 20, 7, marks=pytest.mark.slow),
        ("zcu104", 10, 30),
    ],
)
@pytest.mark.parametrize("seed", range(2), ids=lambda s: f"seed{s}")
def test_random_instructions(shape, count, most_rows, seed):
    parameters = bench_parameters(shape, *(LARGE if shape == "zcu104" else ()))
    plusargs = {**parameters, "count": count, "most_rows": most_rows}
    run_module_test(
        "matmul_bench", __name__, parameters=parameters, plusargs=plusargs, seed=seed, testcase="random_instructions",
        public=PORTS,
    )  # fmt: skip


@pytest.mark.slow
def test_large_products():
    parameters = bench_parameters("tiny", 131072, 131072)
    run_module_test(
        "matmul_bench", __name__, parameters=parameters, plusargs=parameters, testcase="large_products", public=PORTS
    )


@pytest.mark.parametrize("shape", ["tiny", "single", "odd"])
@pytest.mark.parametrize("seed", range(2), ids=lambda s: f"seed{s}")
def test_faults(shape, seed):
    parameters = bench_parameters(shape)
    run_module_test(
        "matmul_bench", __name__, parameters=parameters, plusargs=parameters, seed=seed, testcase="faults", public=PORTS
    )


def test_resets():
    parameters = bench_parameters("tiny")
    run_module_test(
        "matmul_bench", __name__, parameters=parameters, plusargs=parameters, testcase="a_reset_ends_all", public=PORTS
    )  # fmt: skip


def test_every_shape_is_tested():
    assert set(SHAPES) == {"tiny", "single", "odd", "row", "pair", "zcu104"}
