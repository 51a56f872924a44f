"""The vector unit on whole instructions: layer norm and softmax against the reference machine, all of the memory compared."""

import cocotb
import numpy as np
import pytest
from cocotb.triggers import RisingEdge

from moesaic.sim.bench_kit.random_values import random_generator
from moesaic.sim.bench_kit.runner import run_module_test
from moesaic.sim.bench_kit.scoreboard import Scoreboard
from moesaic.spec.arithmetic import PROBABILITY_MAX, reciprocal
from moesaic.spec.configuration import HardwareConfiguration, load_configuration
from moesaic.spec.isa import Fault, pack
from moesaic.spec.machine import ReferenceMachine
from tests.sim.act_unit import RIVALS, ActUnit, Outcome, bench_configuration, reference_outcome

ACT_BYTES = 32768
SCALE_CYCLES = 2
"""From an address to its scale."""
INT16 = np.iinfo(np.int16)


class VectorUnit(ActUnit):
    """Adds the row statistics."""

    def __init__(self, dut, configuration, rng):
        super().__init__(dut, configuration, rng)
        self.entries = configuration.row_entries
        for port in ("row_we_i", "row_address_i", "row_maximum_i", "row_multiplier_i", "row_shift_i"):
            getattr(dut, port).value = 0

    async def fill_rows(self, machine: ReferenceMachine) -> None:
        self.dut.row_we_i.value = 1
        for entry in range(self.entries):
            self.dut.row_address_i.value = entry
            self.dut.row_maximum_i.value = int(machine.row_max[entry]) & 0xFFFF
            self.dut.row_multiplier_i.value = int(machine.row_multiplier[entry])
            self.dut.row_shift_i.value = int(machine.row_shift[entry])
            await RisingEdge(self.dut.clk_i)
        self.dut.row_we_i.value = 0

    async def dump_scales(self) -> np.ndarray:
        """(entries, 2): multiplier, shift."""
        scales = []
        for entry in range(self.entries + SCALE_CYCLES):
            self.dut.row_address_i.value = min(entry, self.entries - 1)
            await RisingEdge(self.dut.clk_i)
            if entry >= SCALE_CYCLES:
                scales.append((int(self.dut.row_multiplier_o.value), int(self.dut.row_shift_o.value)))
        return np.array(scales)


def random_rows(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    """int16 rows of every character: full range, near the mean, constant, two extremes, one outlier."""
    rows = rng.integers(INT16.min, INT16.max, shape, endpoint=True)
    for row in rows:
        match rng.integers(6):
            case 0:
                row[:] = row[0]
            case 1:
                row[:] = np.clip(row[0] + rng.integers(-3, 4, len(row)), INT16.min, INT16.max)
            case 2:
                row[:] = rng.choice([INT16.min, INT16.max], len(row))
            case 3:
                row[:] = 0
                row[rng.integers(len(row))] = rng.choice([INT16.min, -1, 1, INT16.max])
            case 4:
                row[:] = row >> rng.integers(4, 13)
    return rows.astype("<i2")


def place(rng: np.random.Generator, machine: ReferenceMachine, address: int, pitch: int, rows: np.ndarray) -> None:
    for r, row in enumerate(rows):
        machine.act[address + r * pitch :][: row.nbytes] = row.view(np.uint8)


def random_matrices(
    rng: np.random.Generator, c: HardwareConfiguration, columns: int, most_rows: int, alignment: int
) -> dict[str, int]:
    """Rows, and aligned places and pitches of a source in the upper half of the memory and a destination in its third quarter."""
    word = c.act_word_bytes
    words = -(-2 * columns // word)
    half, quarter = c.act_bytes // 2, c.act_bytes // 4
    source_pitch = word * (words + int(rng.integers(0, 3)))
    destination_pitch = alignment * (-(-words * c.tile_columns // alignment) + int(rng.integers(0, 4)))
    rows = min(most_rows, half // source_pitch, quarter // destination_pitch)
    rows = int(rng.integers(1, rows, endpoint=True))
    source = half + word * int(rng.integers(0, (half - rows * source_pitch) // word, endpoint=True))
    spare = (quarter - rows * destination_pitch) // alignment
    destination = quarter + alignment * int(rng.integers(0, spare, endpoint=True))
    return {
        "rows": rows, "columns": columns, "source_address": source, "source_pitch": source_pitch,
        "destination_address": destination, "destination_pitch": destination_pitch,
    }  # fmt: skip


def random_layer_norm(rng: np.random.Generator, machine: ReferenceMachine, columns: int) -> dict[str, int]:
    c = machine.configuration
    fields = random_matrices(rng, c, columns, 9, c.tile_columns)
    place(rng, machine, fields["source_address"], fields["source_pitch"], random_rows(rng, (fields["rows"], columns)))
    size = 2 * c.act_word_bytes * -(-columns // c.tile_columns)
    address = c.act_word_bytes * int(rng.integers(0, (c.act_bytes // 4 - size) // c.act_word_bytes, endpoint=True))
    # mostly gains around one and an output scale to match, so that results spread over int8; sometimes anything
    shift = int(rng.integers(8, 20)) if rng.random() < 0.7 else int(rng.choice([0, 1, 30, 31]))
    magnitude = min(INT16.max, 1 << max(shift - 4, 1))
    parameters = rng.integers(-magnitude, magnitude, size // 2, endpoint=True)
    parameters[rng.random(size // 2) < 0.1] = rng.choice([INT16.min, INT16.max, 0])
    machine.act[address : address + size] = parameters.astype("<i2").view(np.uint8)
    return {**fields, "param_address": address, "shift": shift}


def random_softmax(rng: np.random.Generator, machine: ReferenceMachine, columns: int) -> dict[str, int]:
    c = machine.configuration
    fields = random_matrices(rng, c, columns, 40, c.act_word_bytes)
    rows = fields["rows"]
    scores = random_rows(rng, (rows, columns))
    place(rng, machine, fields["source_address"], fields["source_pitch"], scores)
    base = int(rng.choice([0, c.row_entries - rows, rng.integers(0, c.row_entries - rows, endpoint=True)]))
    maximum = scores.max(axis=1).astype(np.int64)
    # a maximum that is not the row's: everything far below it (sum 0), or scores above it
    odd = rng.random(rows)
    maximum = np.where(odd < 0.1, INT16.max, np.where(odd < 0.2, np.maximum(maximum - 500, INT16.min), maximum))
    machine.row_max[base : base + rows] = maximum
    return {**fields, "row_base": base}


INSTRUCTIONS = {"layer_norm": random_layer_norm, "softmax": random_softmax}


async def run_and_compare(
    board: Scoreboard, unit: VectorUnit, machine: ReferenceMachine, name: str, fields: dict[str, int], rivals: int
) -> Outcome:
    """Fill, run on both machines, and compare how it ended and, unless it faulted, all that it could have touched."""
    instruction = pack(name, tag=unit.rng.integers(1 << 32), **fields)
    await unit.fill(machine.act)
    await unit.fill_rows(machine)
    expected = reference_outcome(machine, instruction)
    board.expect([expected])
    outcome = await unit.run(instruction, rivals)
    board.observe(outcome.cause)
    if expected == Fault.NONE:
        act = await unit.dump(machine.configuration.act_bytes)
        wrong = np.flatnonzero(act != machine.act)
        assert not len(wrong), (
            f"{name} {fields}: {len(wrong)} bytes differ, first at {wrong[0]}: {act[wrong[0]]}, expected {machine.act[wrong[0]]}"
        )
        scales = await unit.dump_scales()
        assert np.array_equal(scales, np.stack([machine.row_multiplier, machine.row_shift], axis=1)), f"{name} {fields}"
    else:
        await unit.reset()
    return outcome


async def equal_scores(board: Scoreboard, unit: VectorUnit, machine: ReferenceMachine, columns: int) -> None:
    """One row of equal scores: the largest sum there is for its width, and the multiplier and shift that divide by it."""
    c, entry = machine.configuration, machine.configuration.row_entries - 1
    padded = -(-columns // c.act_word_bytes) * c.act_word_bytes
    machine.act[: 2 * columns] = np.full(columns, -321, "<i2").view(np.uint8)
    machine.row_max[entry] = -321
    fields = {"rows": 1, "columns": columns, "source_address": 0, "source_pitch": 2 * padded, "row_base": entry}
    fields |= {"destination_address": ACT_BYTES // 2, "destination_pitch": padded}
    await run_and_compare(board, unit, machine, "softmax", fields, 0)
    multiplier, bits = reciprocal(np.array(columns * PROBABILITY_MAX))
    board.expect([(int(multiplier), 15 + int(bits))])
    board.observe(tuple((await unit.dump_scales())[entry].tolist()))


def widths(rng: np.random.Generator, c: HardwareConfiguration, largest: int, count: int) -> list[int]:
    tile = c.tile_columns
    corners = [1, tile - 1, tile, tile + 1, 3 * tile, largest]
    return [*corners, *(int(rng.integers(1, 4 * tile)) for _ in range(count - len(corners)))]


@cocotb.test()
async def whole_instructions(dut):
    rng = random_generator()
    machine = ReferenceMachine(bench_configuration(ACT_BYTES), seed=cocotb.RANDOM_SEED)
    unit = VectorUnit(dut, machine.configuration, rng)
    await unit.start()
    runs = [("layer_norm", width) for width in widths(rng, machine.configuration, 1024, 9)]
    runs += [("softmax", width) for width in widths(rng, machine.configuration, 1201, 9)]
    rng.shuffle(runs)
    board = Scoreboard("instructions")
    for name, width in runs:
        fields = INSTRUCTIONS[str(name)](rng, machine, int(width))
        assert (
            await run_and_compare(board, unit, machine, str(name), fields, int(rng.choice(RIVALS)))
        ).cause == Fault.NONE
    await equal_scores(board, unit, machine, 1201)
    board.close()
    assert board.checked == len(runs) + 2


@cocotb.test()
async def faults_and_next_runs(dut):
    """Each fault is named, and after the reset the next instruction is right."""
    rng = random_generator()
    machine = ReferenceMachine(bench_configuration(ACT_BYTES), seed=cocotb.RANDOM_SEED)
    c = machine.configuration
    unit = VectorUnit(dut, c, rng)
    await unit.start()
    beyond = [ACT_BYTES - c.act_word_bytes, ACT_BYTES, 1 << 31, (1 << 32) - c.act_word_bytes]
    cases = [("softmax", {"row_base": c.row_entries - 1, "rows": 2}), ("softmax", {"row_base": 65535, "rows": 1})]
    for name in INSTRUCTIONS:
        keys = ["source_address", "destination_address"] + (["param_address"] if name == "layer_norm" else [])
        cases += [(name, {key: address, "rows": 2}) for key in keys for address in beyond]
        cases += [
            (name, {key: 0xFFFF_FF00 & -c.act_word_bytes, "rows": 3}) for key in ("source_pitch", "destination_pitch")
        ]
        cases += [(name, {"source_pitch": 1 << 31, "rows": 3})]
    cases.append(("layer_norm", {"param_address": ACT_BYTES, "rows": 0}))
    board = Scoreboard("faults, then instructions without rows or with")
    for name, change in cases:
        fields = INSTRUCTIONS[name](rng, machine, 3 * c.tile_columns - 1)
        outcome = await run_and_compare(board, unit, machine, name, {**fields, **change}, 0)
        assert outcome.cause != Fault.NONE, f"{name} {change} is no fault"
        fields = INSTRUCTIONS[name](rng, machine, 2 * c.tile_columns)
        rows = int(rng.choice([0, fields["rows"]]))
        outcome = await run_and_compare(board, unit, machine, name, {**fields, "rows": rows}, 128)
        assert outcome.cause == Fault.NONE
    board.close()
    assert board.checked == 2 * len(cases)


@cocotb.test()
async def what_faults_at_once_asks_for_nothing(dut):
    """Rows that the row statistics do not have: nothing is read, and nothing written."""
    rng = random_generator()
    machine = ReferenceMachine(bench_configuration(ACT_BYTES), seed=cocotb.RANDOM_SEED)
    c = machine.configuration
    unit = VectorUnit(dut, c, rng)
    await unit.start()
    board = Scoreboard("faults")
    for row_base, rows in ((c.row_entries - 19, 20), (65535, 1)):
        fields = {**random_softmax(rng, machine, 9 * c.tile_columns), "row_base": row_base, "rows": rows}
        board.expect([Fault.ADDRESS])
        board.observe((await unit.run(pack("softmax", **fields))).cause)
        await unit.stays_silent(40)
        await unit.reset()
    board.close()


@cocotb.test()
async def a_cycle_of_reset_ends_all(dut):
    """Wherever an instruction is: nothing is asked of the memory any more, and the next one is right."""
    rng = random_generator()
    machine = ReferenceMachine(bench_configuration(ACT_BYTES), seed=cocotb.RANDOM_SEED)
    c = machine.configuration
    unit = VectorUnit(dut, c, rng)
    await unit.start()
    board = Scoreboard("instructions after a reset")
    for name, random in INSTRUCTIONS.items():
        columns = 11 * c.tile_columns
        for wait in sorted(rng.choice(60, 8, replace=False).tolist()):
            fields = random(rng, machine, columns)
            await unit.fill(machine.act)
            for cycles in (wait, wait + 1):
                await unit.interrupt(pack(name, **fields), cycles)
            await run_and_compare(board, unit, machine, name, random(rng, machine, columns), 0)
    board.close()


@cocotb.test()
async def throughput(dut):
    """Alone on the memory, softmax takes ActPorts words per cycle and layer norm NormLanes elements per cycle, row after row."""
    rng = random_generator()
    machine = ReferenceMachine(bench_configuration(ACT_BYTES), seed=cocotb.RANDOM_SEED)
    c = machine.configuration
    unit = VectorUnit(dut, c, rng)
    await unit.start()
    board = Scoreboard("cycles")
    for name, columns, startup in (("softmax", 129, 60), ("layer_norm", 256, 260)):
        fields = INSTRUCTIONS[name](rng, machine, columns)
        rows = {"softmax": 32, "layer_norm": 16}[name]
        words = -(-columns // c.tile_columns)
        fields |= {
            "rows": rows, "source_address": ACT_BYTES // 2, "source_pitch": c.act_word_bytes * words,
            "destination_address": ACT_BYTES // 4, "destination_pitch": c.act_word_bytes * -(-words // 2),
        }  # fmt: skip
        fields |= {"row_base": 0} if name == "softmax" else {}
        outcome = await run_and_compare(board, unit, machine, name, fields, 0)
        steps = -(-words // c.act_ports) if name == "softmax" else words * c.tile_columns // c.norm_lanes
        dut._log.info(f"{name}: {rows} rows of {columns}: {outcome.cycles} cycles, {rows * steps} steps")
        board.expect([True])
        board.observe(outcome.cycles <= rows * steps + startup)
    board.close()


def run(columns: int, lanes: int, ports: int, seed: int, testcase: str, entries: int = 128) -> None:
    sizes = {"TileColumns": columns, "NormLanes": lanes, "ActPorts": ports, "RowEntries": entries}
    run_module_test("vector_bench", __name__, parameters=sizes, plusargs=sizes, seed=seed, testcase=testcase)


SIZES = [(8, 4, 2), (32, 8, 2), (8, 4, 1)]
"""tile_columns, norm_lanes, act_ports."""
RUNS = [(8, 4, 2, 0), (8, 4, 2, 1), (32, 8, 2, 2), (32, 8, 1, 3), (16, 2, 1, 4), (8, 8, 2, 5)]
SLOW = RUNS[3:]


@pytest.mark.parametrize(
    ("columns", "lanes", "ports", "seed"),
    [pytest.param(*run, marks=pytest.mark.slow if run in SLOW else ()) for run in RUNS],
    ids=[f"{c}-{n}-{p}-seed{s}" for c, n, p, s in RUNS],
)
def test_whole_instructions(columns, lanes, ports, seed):
    run(columns, lanes, ports, seed, "whole_instructions")


@pytest.mark.slow
@pytest.mark.parametrize("seed", [6], ids=lambda s: f"seed{s}")
def test_zcu104_size(seed):
    c = load_configuration("zcu104")
    run(c.tile_columns, c.norm_lanes, c.act_ports, seed, "whole_instructions", c.row_entries)


@pytest.mark.parametrize(("columns", "lanes", "ports"), SIZES)
def test_faults(columns, lanes, ports):
    run(columns, lanes, ports, 0, "faults_and_next_runs")


@pytest.mark.parametrize("seed", range(2), ids=lambda s: f"seed{s}")
def test_resets(seed):
    run(8, 4, 2, seed, "a_cycle_of_reset_ends_all")


def test_faults_at_once():
    run(8, 4, 2, 0, "what_faults_at_once_asks_for_nothing")


@pytest.mark.parametrize(("columns", "lanes", "ports"), SIZES)
def test_throughput(columns, lanes, ports):
    run(columns, lanes, ports, 0, "throughput")
