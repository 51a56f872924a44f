"""The route unit on whole instructions against the reference machine: every count and every queue entry."""

import cocotb
import numpy as np
import pytest
from cocotb.triggers import ClockCycles, RisingEdge

from moesaic.sim.bench_kit.packing import unpack
from moesaic.sim.bench_kit.random_values import random_generator
from moesaic.sim.bench_kit.runner import run_module_test
from moesaic.sim.bench_kit.scoreboard import Scoreboard
from moesaic.spec.configuration import load_configuration
from moesaic.spec.isa import Fault, pack
from moesaic.spec.machine import ReferenceMachine
from tests.sim.act_unit import RIVALS, ActUnit, Outcome, bench_configuration, reference_outcome

ACT_BYTES = 16384
QUEUE_CYCLES = 3
"""From an address to its entry."""
AFTER_A_FAULT = 500
"""Cycles until the reset, in which a unit that goes on would push."""
INT16 = np.iinfo(np.int16)


class RouteUnit(ActUnit):
    """Adds the expert queues."""

    requests = ("rd_valid", "push_valid")

    def __init__(self, dut, configuration, rng):
        super().__init__(dut, configuration, rng)
        self.experts = configuration.experts
        dut.queue_rst_ni.value = 0
        dut.rd_expert_i.value = 0
        dut.rd_index_i.value = 0

    async def start(self) -> None:
        await super().start()
        self.dut.queue_rst_ni.value = 1

    def counts(self) -> list[int]:
        return unpack(int(self.dut.count_o.value), 17, self.experts, signed=False)

    async def queues(self) -> list[list[tuple[int, int]]]:
        """Per expert the (token, score) entries."""
        addresses = [(e, i) for e, count in enumerate(self.counts()) for i in range(count)]
        queues = [[] for _ in range(self.experts)]
        for position, (expert, index) in enumerate([*addresses, *[(0, 0)] * QUEUE_CYCLES]):
            self.dut.rd_expert_i.value = expert
            self.dut.rd_index_i.value = index
            await RisingEdge(self.dut.clk_i)
            if position >= QUEUE_CYCLES:
                entry = (int(self.dut.rd_token_o.value), int(self.dut.rd_score_o.value))
                queues[addresses[position - QUEUE_CYCLES][0]].append(entry)
        return queues


def reference_queues(machine: ReferenceMachine) -> list[list[tuple[int, int]]]:
    return [
        list(zip(machine.queue_token[e, :count].tolist(), machine.queue_score[e, :count].tolist()))
        for e, count in enumerate(machine.queue_count)
    ]


def random_logits(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    """int16: close races, ties, one favourite for all tokens, extremes, full range."""
    match rng.integers(6):
        case 0:
            logits = rng.integers(-4, 5, shape)
        case 1:
            logits = np.full(shape, rng.integers(INT16.min, INT16.max, endpoint=True))
        case 2:
            logits = rng.integers(-300, 300, shape)
            logits[:, rng.integers(shape[1])] = 30_000
        case 3:
            logits = rng.choice([INT16.min, INT16.max], shape)
        case 4:
            logits = rng.integers(-1500, 1500, shape)
        case _:
            logits = rng.integers(INT16.min, INT16.max, shape, endpoint=True)
    return logits.astype("<i2")


def random_route(rng: np.random.Generator, machine: ReferenceMachine, columns: int) -> dict[str, int]:
    c = machine.configuration
    word = c.act_word_bytes
    pitch = word * (-(-2 * columns // word) + int(rng.integers(0, 3)))
    most = min(c.queue_tokens, c.act_bytes // pitch)
    rows = int(rng.choice([1, most, rng.integers(1, most, endpoint=True)]))
    source = word * int(rng.integers(0, (c.act_bytes - rows * pitch) // word, endpoint=True))
    for r, row in enumerate(random_logits(rng, (rows, columns))):
        machine.act[source + r * pitch :][: row.nbytes] = row.view(np.uint8)
    top_k = int(rng.choice([1, 2, 4, columns, 255]))
    first = int(rng.choice([0, c.queue_tokens - rows, rng.integers(0, c.queue_tokens - rows, endpoint=True)]))
    return {
        "rows": rows, "columns": columns, "source_address": source, "source_pitch": pitch, "top_k": top_k, "first": first,
        **random_absent(rng, columns),
    }  # fmt: skip


def random_absent(rng: np.random.Generator, columns: int) -> dict[str, int]:
    """Fields that say which experts are absent: none, some, all but one, all; with anything beyond the columns."""
    everyone = (1 << columns) - 1
    some = int(rng.integers(0, 1 << 63, dtype=np.uint64)) & everyone
    mask = [0, some, everyone & ~(1 << int(rng.integers(columns))), everyone][
        int(rng.choice(4, p=[0.3, 0.4, 0.2, 0.1]))
    ]
    mask |= int(rng.integers(0, 1 << 63, dtype=np.uint64)) << columns & (1 << 64) - 1
    return {"absent_low": mask & 0xFFFF_FFFF, "absent_high": mask >> 32}


async def run_and_compare(
    board: Scoreboard, unit: RouteUnit, machine: ReferenceMachine, fields: dict[str, int], rivals: int
) -> Outcome:
    """Run on both machines; compare how it ended and, unless it faulted, every count and every entry."""
    instruction = pack("route", **fields)
    await unit.fill(machine.act)
    expected = reference_outcome(machine, instruction)
    board.expect([expected])
    outcome = await unit.run(instruction, rivals)
    board.observe(outcome.cause)
    if expected == Fault.NONE:
        board.expect([machine.queue_count.tolist(), reference_queues(machine)])
        board.observe(unit.counts())
        board.observe(await unit.queues())
    else:
        counts = unit.counts()
        await ClockCycles(unit.dut.clk_i, AFTER_A_FAULT)
        assert unit.counts() == counts, "a token was pushed after the fault"
        await unit.reset()
    return outcome


@cocotb.test()
async def whole_instructions(dut):
    rng = random_generator()
    machine = ReferenceMachine(bench_configuration(ACT_BYTES), seed=cocotb.RANDOM_SEED)
    experts = machine.configuration.experts
    unit = RouteUnit(dut, machine.configuration, rng)
    await unit.start()
    assert unit.counts() == [0] * experts
    board = Scoreboard("instructions")
    for columns in [1, 2, experts - 1, experts, experts, *(int(rng.integers(1, experts + 1)) for _ in range(9))]:
        fields = random_route(rng, machine, columns)
        outcome = await run_and_compare(board, unit, machine, fields, int(rng.choice(RIVALS)))
        assert outcome.cause == Fault.NONE
    for first in (0, 10, 40):  # pieces of one routing, as a program with few rows at a time has them
        fields = {
            **random_route(rng, machine, experts),
            "rows": int(rng.integers(1, 11)),
            "first": first,
            "append": first > 0,
        }
        assert (await run_and_compare(board, unit, machine, fields, int(rng.choice(RIVALS)))).cause == Fault.NONE
    # Every way in which the first experts can be absent, with ties at the least logit that there is.
    least = {**random_route(rng, machine, min(experts, 3)), "top_k": 2, "absent_high": 0}
    machine.act[:] = np.frombuffer(np.full(ACT_BYTES // 2, INT16.min, "<i2").tobytes(), np.uint8)
    for mask in range(1 << least["columns"]):
        assert (await run_and_compare(board, unit, machine, {**least, "absent_low": mask}, 0)).cause == Fault.NONE
    await unit.reset()
    assert unit.counts() == machine.queue_count.tolist(), "the queues must outlive the reset between two runs"
    await run_and_compare(board, unit, machine, {**random_route(rng, machine, 1), "rows": 0}, 0)
    assert unit.counts() == [0] * experts
    board.close()


@cocotb.test()
async def faults_and_next_runs(dut):
    rng = random_generator()
    machine = ReferenceMachine(bench_configuration(ACT_BYTES), seed=cocotb.RANDOM_SEED)
    c = machine.configuration
    unit = RouteUnit(dut, c, rng)
    await unit.start()
    board = Scoreboard("faults, then runs")
    for change in (
        {"source_address": ACT_BYTES - c.act_word_bytes, "rows": 20, "first": 0}, {"source_address": ACT_BYTES},
        {"source_pitch": 1 << 31, "rows": 3, "first": 0},
        {"source_address": ACT_BYTES - 10 * 64, "source_pitch": 128, "rows": 20, "first": 0, "top_k": 255, "absent_low": 0},
    ):  # fmt: skip
        fields = {**random_route(rng, machine, c.experts), **change}
        outcome = await run_and_compare(board, unit, machine, fields, 0)
        assert outcome.cause != Fault.NONE, f"{change} is no fault"
        fields = random_route(rng, machine, c.experts)
        assert (await run_and_compare(board, unit, machine, fields, 128)).cause == Fault.NONE
    # every expert takes every token: the queues are full to the last entry, and no token comes twice
    full = {"columns": c.experts, "source_address": 0, "source_pitch": 2 * 64, "top_k": c.experts, "first": 0}
    last = c.queue_tokens - 1
    for rows, first, append, fault in (
        (last, 0, 0, False),
        (1, last, 1, False),
        (1, last, 1, True),
        (5, 7, 0, False),
        (1, 11, 1, True),
        (0, 11, 1, True),  # known over the reset after a fault
        (0, 12, 1, False),
        (2, 3, 1, True),
        (1, 11, 1, True),  # the refused one's tokens are not the last
        (9, 14, 1, False),
        (c.queue_tokens, 0, 1, True),
        (8, 20, 1, True),
        (c.queue_tokens, 0, 0, False),
    ):
        fields = {**full, "rows": rows, "first": first, "append": append}
        outcome = await run_and_compare(board, unit, machine, fields, 0)
        assert (outcome.cause == Fault.ADDRESS) == fault, fields
        assert unit.counts() == machine.queue_count.tolist(), "what is refused must leave the queues alone"
    board.close()


@cocotb.test()
async def a_cycle_of_reset_ends_all(dut):
    """In every cycle of a token, and before the first one: nothing is asked of a memory any more, and the next instruction is right."""
    rng = random_generator()
    machine = ReferenceMachine(bench_configuration(ACT_BYTES), seed=cocotb.RANDOM_SEED)
    c = machine.configuration
    unit = RouteUnit(dut, c, rng)
    await unit.start()
    board = Scoreboard("instructions after a reset")
    machine.act[:] = random_logits(rng, (1, ACT_BYTES // 2)).view(np.uint8)
    await unit.fill(machine.act)
    fields = {"columns": c.experts, "source_pitch": 4 * c.act_word_bytes, "top_k": 2}
    for wait in range(3 * c.experts + 2):
        await unit.interrupt(pack("route", **fields, rows=20, source_address=0), wait)
        address = c.act_word_bytes * int(rng.integers(ACT_BYTES // 2 // c.act_word_bytes))
        instruction = pack("route", **fields, rows=3, source_address=address)
        board.expect([reference_outcome(machine, instruction), machine.queue_count.tolist(), reference_queues(machine)])
        board.observe((await unit.run(instruction)).cause)
        board.observe(unit.counts())
        board.observe(await unit.queues())
    board.close()


@cocotb.test()
async def what_comes_with_a_reset_is_not_taken(dut):
    """An instruction that is offered in the cycle of a reset leaves the last token of the queues as it is."""
    rng = random_generator()
    machine = ReferenceMachine(bench_configuration(ACT_BYTES), seed=cocotb.RANDOM_SEED)
    unit = RouteUnit(dut, machine.configuration, rng)
    await unit.start()
    board = Scoreboard("instructions")
    fields = {**random_route(rng, machine, machine.configuration.experts), "rows": 2, "first": 0}
    await run_and_compare(board, unit, machine, fields, 0)
    dut.rst_ni.value = 0
    dut.instr_i.value = int.from_bytes(pack("route", **{**fields, "first": 9, "append": 1}), "little")
    dut.instr_valid_i.value = 1
    await ClockCycles(dut.clk_i, 1)
    dut.instr_valid_i.value, dut.rst_ni.value = 0, 1
    await unit.stays_silent(8)
    outcome = await run_and_compare(board, unit, machine, {**fields, "first": 2, "append": 1}, 0)
    assert outcome.cause == Fault.NONE
    board.close()


@cocotb.test()
async def throughput(dut):
    """Successive tokens overlap: one expert per cycle, and one cycle more per token."""
    rng = random_generator()
    machine = ReferenceMachine(bench_configuration(ACT_BYTES), seed=cocotb.RANDOM_SEED)
    c = machine.configuration
    unit = RouteUnit(dut, c, rng)
    await unit.start()
    rows = 60
    fields = {"rows": rows, "columns": c.experts, "source_address": 0, "source_pitch": 4 * c.act_word_bytes, "top_k": 4}
    board = Scoreboard("cycles")
    outcome = await run_and_compare(board, unit, machine, fields, 0)
    dut._log.info(f"route: {rows} tokens, {c.experts} experts: {outcome.cycles} cycles")
    board.expect([True])
    board.observe(outcome.cycles <= rows * (c.experts + 1) + c.experts + 44)
    board.close()


def run(columns: int, experts: int, seed: int, testcase: str, queue_tokens: int = 128) -> None:
    sizes = {"TileColumns": columns, "Experts": experts, "QueueTokens": queue_tokens}
    run_module_test("route_bench", __name__, parameters=sizes, plusargs=sizes, seed=seed, testcase=testcase)


RUNS = [(8, 16, 0), (8, 16, 1), (32, 16, 2), (8, 64, 3), (16, 2, 4)]


@pytest.mark.parametrize(
    ("columns", "experts", "seed"),
    [pytest.param(*run, marks=pytest.mark.slow if run[1] == 64 else ()) for run in RUNS],
    ids=[f"{c}-{e}-seed{s}" for c, e, s in RUNS],
)
def test_whole_instructions(columns, experts, seed):
    run(columns, experts, seed, "whole_instructions")


@pytest.mark.parametrize("seed", [5], ids=lambda s: f"seed{s}")
def test_zcu104_size(seed):
    c = load_configuration("zcu104")
    run(c.tile_columns, c.experts, seed, "whole_instructions", c.queue_tokens)


@pytest.mark.parametrize(("columns", "experts"), [(8, 16), (32, 16)], ids=str)
def test_faults(columns, experts):
    run(columns, experts, 0, "faults_and_next_runs")


@pytest.mark.parametrize("testcase", ["a_cycle_of_reset_ends_all", "what_comes_with_a_reset_is_not_taken"])
def test_resets(testcase):
    run(8, 16, 0, testcase)


@pytest.mark.parametrize(("columns", "experts"), [(8, 16), (32, 32)], ids=str)
def test_throughput(columns, experts):
    run(columns, experts, 0, "throughput")
