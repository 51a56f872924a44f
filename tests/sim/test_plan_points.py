"""What random programs do not bring about in the RTL: the rows of tests/verify/coverage/plan.toml that name a test of this file."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from moesaic.hls.compiler.arena import Span
from moesaic.hls.hardware.accelerator_sources import RTL_DIRECTORY
from moesaic.sim.machines.rtl_executor import RtlExecutor
from moesaic.spec.configuration import load_configuration
from moesaic.spec.executor import MachineFault, Memory, Program
from moesaic.spec.isa import (
    INSTRUCTION_BYTES,
    SEMAPHORE_MAX,
    Destination,
    Fault,
    LoadDestination,
    Space,
    Unit,
    decode,
    pack,
    semaphore,
    signals_of,
)
from moesaic.spec.machine import ReferenceMachine
from tests.sim.any_value import compare_fields, compare_registers
from tests.sim.programs import BLOCKS, QUEUES, ProgramMaker
from tests.sim.stopping import read
from tests.spec.legal_fields import SMALLEST

TINY = load_configuration("tiny")
MAX_CYCLES = 2_000_000
FRAME_BYTES = 4096
ONCE = {"count_1": 1, "count_2": 1, "count_3": 1}
END = pack("end")
SHORT = {
    Unit.LOAD: ("load", {"bytes": 16, **ONCE}),
    Unit.STORE: ("store", {"bytes": 16, "space": int(Space.FRAME), **ONCE}),
    Unit.MATMUL: ("matmul", {"rows": 1, "columns": 1, "depth": 8}),
    Unit.VECTOR: ("layer_norm", {"rows": 1, "columns": 1}),
    Unit.ROUTE: ("route", {"rows": 1, "columns": 2, "top_k": 1}),
}
"""An instruction of each unit that is soon done."""
LONG = {
    Unit.MATMUL: ("matmul", {"rows": 65535, "columns": 64, "depth": 64}),
    Unit.VECTOR: ("layer_norm", {"rows": 65535, "columns": 1}),
}
"""One that takes far longer than everything else here; every row is the same one."""


def short(unit: Unit, **fields: int) -> bytes:
    name, own = SHORT[unit]
    return pack(name, **{**own, "tag": 5, **fields})


def tagged(code: bytes, tag: int) -> bytes:
    """The same instructions, each with this tag."""
    instructions = []
    for at in range(0, len(code), INSTRUCTION_BYTES):
        decoded = decode(code[at : at + INSTRUCTION_BYTES])
        assert decoded is not None
        name, fields = decoded
        instructions.append(pack(name, **{**{k: v for k, v in fields.items() if k != "opcode"}, "tag": tag}))
    return b"".join(instructions)


def long_beside(unit: Unit) -> bytes:
    """A long instruction of another unit."""
    name, own = LONG[Unit.VECTOR if unit == Unit.MATMUL else Unit.MATMUL]
    return pack(name, **own)


@pytest.fixture(scope="module", params=[81], ids=lambda seed: f"power{seed}")
def executor(request: pytest.FixtureRequest) -> Iterator[RtlExecutor]:
    with RtlExecutor(RTL_DIRECTORY, TINY, power_up_seed=request.param) as executor:
        yield executor


def run(executor: RtlExecutor, code: bytes) -> dict[str, int]:
    """The counters of a program; instructions without its end."""
    memory = Memory(np.frombuffer(code, np.uint8).copy(), np.zeros(FRAME_BYTES, np.uint8))
    counters = executor.run(Program(0, len(code)), memory, MAX_CYCLES)
    return {**counters, "instructions": counters["instructions"] - 1}


def faulted(executor: RtlExecutor, code: bytes) -> tuple[Fault, str, int]:
    """Cause, unit and tag of the fault that ends a program; the program after it is right."""
    with pytest.raises(MachineFault) as caught:
        run(executor, code)
    assert run(executor, short(Unit.LOAD) + END)["instructions"] == 1
    return caught.value.cause, caught.value.unit, caught.value.tag


@pytest.mark.parametrize("producer", Unit, ids=lambda unit: unit.name.lower())
def test_semaphores_at_zero(executor: RtlExecutor, producer: Unit) -> None:
    """Every other unit waits for a signal that is not there yet; the producer, later, for its own."""
    transfer = {"bytes": FRAME_BYTES, "space": int(Space.FRAME)}
    work = transfer if producer in (Unit.LOAD, Unit.STORE) else {"rows": 120}
    code = short(producer, signal_mask=signals_of(producer), **work)
    code += b"".join(short(consumer, wait_mask=1 << semaphore(producer, consumer)) for consumer in Unit)
    counters = run(executor, code + END)
    assert counters["instructions"] == 1 + len(Unit)
    assert all(counters[f"{unit.name.lower()}_semaphore_stall"] for unit in Unit if unit != producer)


@pytest.mark.parametrize("unit", Unit, ids=lambda unit: unit.name.lower())
def test_a_unit_that_waits_for_itself(executor: RtlExecutor, unit: Unit) -> None:
    """It is at rest when its own signal would have to come: the run takes too long."""
    code = short(unit, wait_mask=1 << semaphore(unit, unit)) + END
    memory = Memory(np.frombuffer(code, np.uint8).copy(), np.zeros(FRAME_BYTES, np.uint8))
    with pytest.raises(MachineFault) as caught:
        executor.run(Program(0, len(code)), memory, 1_000)
    assert caught.value.cause == Fault.TIMEOUT


@pytest.mark.parametrize("producer", Unit, ids=lambda unit: unit.name.lower())
def test_semaphores_at_most(executor: RtlExecutor, producer: Unit) -> None:
    """All semaphores of a unit reach their most, and can be taken from there; one signal more is a fault."""
    signal = short(producer, signal_mask=signals_of(producer))
    take = b"".join(short(consumer, wait_mask=1 << semaphore(producer, consumer)) for consumer in Unit)
    assert run(executor, signal * SEMAPHORE_MAX + take + END)["instructions"] == SEMAPHORE_MAX + len(Unit)
    assert faulted(executor, signal * (SEMAPHORE_MAX + 1) + END) == (
        Fault.SEMAPHORE_OVERFLOW, producer.name.lower(), 5,
    )  # fmt: skip


@pytest.mark.parametrize("unit", Unit, ids=lambda unit: unit.name.lower())
def test_full_instruction_queues(executor: RtlExecutor, unit: Unit) -> None:
    """More instructions wait than the queue holds, and fetch with them; then all of them run."""
    other = Unit.STORE if unit == Unit.LOAD else Unit.LOAD
    slow = short(other, signal_mask=1 << semaphore(other, unit), bytes=FRAME_BYTES)
    waiting = TINY.instruction_queue + 8
    if other == Unit.LOAD:
        slow = short(other, signal_mask=1 << semaphore(other, unit), space=int(Space.FRAME), bytes=FRAME_BYTES)
    code = slow + short(unit, wait_mask=1 << semaphore(other, unit)) + short(unit) * (waiting - 1) + END
    assert run(executor, code)["instructions"] == 1 + waiting


def test_expert_queues(executor: RtlExecutor) -> None:
    """Equal rows of logits send every token to one expert: as many as a queue holds, and a token again; then as many again."""
    fill = short(Unit.ROUTE, rows=TINY.queue_tokens)
    assert run(executor, fill + END)["instructions"] == 1
    assert faulted(executor, fill + short(Unit.ROUTE, append=1, tag=6) + END) == (Fault.ADDRESS, "route", 6)
    assert run(executor, fill + END)["instructions"] == 1


@dataclass(frozen=True)
class Wrong:
    """An instruction that faults. error_at: where the bus answers with an error."""

    unit: str
    cause: Fault
    code: bytes
    error_at: tuple[Space, int] | None = None


_HUGE = 0xFFFF_FFF0
_FRAME = int(Space.FRAME)
WRONG = {
    "load address": Wrong("load", Fault.ADDRESS, short(Unit.LOAD, dram_offset=_HUGE)),
    "load read": Wrong("load", Fault.AXI_READ, short(Unit.LOAD, space=_FRAME, dram_offset=64), (Space.FRAME, 64)),
    "store address": Wrong("store", Fault.ADDRESS, short(Unit.STORE, dram_offset=_HUGE)),
    "store write": Wrong("store", Fault.AXI_WRITE, short(Unit.STORE, dram_offset=64), (Space.FRAME, 64)),
    "matmul address": Wrong("matmul", Fault.ADDRESS, short(Unit.MATMUL, a_address=TINY.act_bytes)),
    "vector address": Wrong("vector", Fault.ADDRESS, short(Unit.VECTOR, destination_address=TINY.act_bytes)),
    "route address": Wrong("route", Fault.ADDRESS, short(Unit.ROUTE, source_address=TINY.act_bytes)),
    **{
        f"{unit.name.lower()} semaphore": Wrong(
            unit.name.lower(), Fault.SEMAPHORE_OVERFLOW, short(unit, signal_mask=signals_of(unit)) * (SEMAPHORE_MAX + 1)
        )
        for unit in Unit
    },
}


TAGS = (0x5A0F_C396, 0xA5F0_3C69)
"""Each bit set in one of them."""


@pytest.mark.parametrize("beside", [False, True], ids=["alone", "beside-others"])
@pytest.mark.parametrize("name", WRONG)
def test_faults(executor: RtlExecutor, name: str, beside: bool) -> None:
    """Each unit that meets the cause, with all other units at rest or one of them at work."""
    wrong, tag = WRONG[name], TAGS[beside]
    code = (long_beside(Unit[wrong.unit.upper()]) if beside else b"") + tagged(wrong.code, tag) + END
    executor.error_at = wrong.error_at
    try:
        with pytest.raises(MachineFault) as caught:
            run(executor, code)
    finally:
        executor.error_at = None
    assert (caught.value.cause, caught.value.unit, caught.value.tag) == (wrong.cause, wrong.unit, tag)
    assert run(executor, short(Unit.LOAD) + END)["instructions"] == 1


@pytest.mark.parametrize("beside", [False, True], ids=["alone", "beside-others"])
@pytest.mark.parametrize(
    "cause", [Fault.BAD_INSTRUCTION, Fault.ADDRESS, Fault.AXI_READ], ids=lambda cause: cause.name.lower()
)
def test_faults_of_fetch(executor: RtlExecutor, cause: Fault, beside: bool) -> None:
    """An opcode that there is not, no end before the program's, an error on the bus: at once, or after a long instruction has begun."""
    before = long_beside(Unit.LOAD) if beside else b""
    code = {
        Fault.BAD_INSTRUCTION: before + b"\x63" + bytes(63) + END,
        Fault.ADDRESS: before,
        Fault.AXI_READ: before + END,
    }[cause]
    executor.error_at = (Space.CONSTANT, len(before)) if cause == Fault.AXI_READ else None
    constants = np.frombuffer(code or END, np.uint8).copy()
    memory = Memory(constants, np.zeros(FRAME_BYTES, np.uint8))
    try:
        with pytest.raises(MachineFault) as caught:
            executor.run(Program(0, len(code)), memory, MAX_CYCLES)
    finally:
        executor.error_at = None
    assert (caught.value.cause, caught.value.unit) == (cause, "fetch")
    assert run(executor, short(Unit.LOAD) + END)["instructions"] == 1


OVERLAPPING = {
    "younger load": (
        short(Unit.LOAD, space=_FRAME, bytes=FRAME_BYTES, tag=1) + short(Unit.LOAD, dram_offset=_HUGE, overlap=1, tag=2), None, 2,
    ),
    "older load": (
        short(Unit.LOAD, space=_FRAME, bytes=FRAME_BYTES, tag=1) + short(Unit.LOAD, overlap=1, tag=2),
        (Space.FRAME, FRAME_BYTES - 16), 1,
    ),
    "younger matmul": (
        short(Unit.MATMUL, rows=64, columns=64, depth=64, tag=1)
        + short(Unit.MATMUL, a_address=TINY.act_bytes, overlap=1, tag=2), None, 2,
    ),
    "older matmul": (
        short(Unit.MATMUL, rows=4, columns=64, depth=64, d_address=TINY.act_bytes - 32, tag=1)
        + short(Unit.MATMUL, rows=64, columns=64, overlap=1, tag=2), None, 1,
    ),
}  # fmt: skip
"""Code, where the bus answers with an error, tag of the instruction that is to blame."""


@pytest.mark.parametrize("name", OVERLAPPING)
def test_faults_of_overlapping_instructions(executor: RtlExecutor, name: str) -> None:
    code, error_at, tag = OVERLAPPING[name]
    executor.error_at = error_at
    try:
        with pytest.raises(MachineFault) as caught:
            run(executor, code + END)
    finally:
        executor.error_at = None
    assert (caught.value.unit, caught.value.tag) == (name.split()[1], tag)


@pytest.mark.parametrize("seed", range(2), ids=lambda seed: f"seed{seed}")
def test_a_product_without_rows_waits_for_the_one_before(executor: RtlExecutor, seed: int) -> None:
    """It has nothing to do, but is not done before: what is done first is taken for the one before, whose results others wait for."""
    loaded, multiplied = 1 << semaphore(Unit.LOAD, Unit.MATMUL), 1 << semaphore(Unit.MATMUL, Unit.STORE)
    result, rows = 8192, 60
    code = (
        short(Unit.LOAD, dram_offset=1024, bytes=4096)
        + short(Unit.LOAD, dram_offset=1024, bytes=4096, destination=int(LoadDestination.WEIGHT), signal_mask=loaded)
        + short(
            Unit.MATMUL, rows=rows, columns=16, depth=64, a_pitch=64, b_stride=512, param_address=2048, param_stride=64,
            d_address=result, d_pitch=16, wait_mask=loaded, signal_mask=multiplied,
        )
        + short(Unit.MATMUL, rows=0, overlap=1)
        + short(Unit.STORE, bytes=16 * rows, local_address=result, wait_mask=multiplied)
        + END
    )  # fmt: skip
    constants = np.random.default_rng([seed, 93]).integers(0, 256, 1024 + 4096, np.uint8)
    constants[: len(code)] = np.frombuffer(code, np.uint8)
    memory = Memory(constants, np.zeros(FRAME_BYTES, np.uint8))
    expected = Memory(constants.copy(), memory.frame.copy())
    ReferenceMachine(TINY, seed=1).run(Program(0, len(code)), expected, 0)
    executor.run(Program(0, len(code)), memory, MAX_CYCLES)
    assert expected.frame.any() and np.array_equal(memory.frame, expected.frame)


ROUNDS = 12


def crowded(seed: int) -> tuple[Program, Memory]:
    """A program in which all units work at once on all banks of the activation memory, each in blocks of its own."""
    maker = ProgramMaker(TINY, np.random.default_rng([seed, 91]))
    maker.load_all()
    block, weight, rng = maker.act_block, maker.weight_block, maker.rng
    act = [Span("act", block * index, block * (index + 1)) for index in range(BLOCKS)]
    weights = [Span("weight", weight * index, weight * (index + 1)) for index in range(BLOCKS)]
    for number in range(ROUNDS):
        destination = Destination(number % len(Destination))
        to_weight = destination in (Destination.KEYS, Destination.VALUES)
        scatter = int(destination == Destination.RESIDUAL and number % 2)
        columns = int(rng.integers(9, 33))
        maker.assembler.emit(
            "matmul", "product", (act[0], weights[0], weights[-1], *([QUEUES] if scatter else [])),
            (weights[1] if to_weight else act[1],), destination=int(destination), scatter=scatter,
            rows=24, columns=columns, depth=8, a_address=act[0].start, a_pitch=16, b_address=weights[0].start, b_stride=64,
            param_address=weights[-1].start, param_stride=64, d_address=weights[1].start if to_weight else act[1].start,
            d_pitch=256 if to_weight else 2 * 40, queue=int(rng.integers(TINY.experts)), score_shift=0,
        )  # fmt: skip
        rows = Span("rows", 64, 88)
        if number % 2:
            maker.assembler.emit(
                "softmax", "probabilities", (act[4],), (act[5], rows), rows=24, columns=int(rng.integers(8, 64)), row_base=64,
                source_address=act[4].start, source_pitch=128, destination_address=act[5].start, destination_pitch=64,
            )  # fmt: skip
        else:
            maker.assembler.emit(
                "layer_norm", "norm", (act[2],), (act[3],), rows=24, columns=int(rng.integers(8, 64)), source_address=act[2].start,
                source_pitch=128, destination_address=act[3].start, destination_pitch=64, param_address=act[2].start, shift=17,
            )  # fmt: skip
        if number % 3 == 0:
            maker.assembler.emit(
                "route", "route", (act[6],), (QUEUES,), rows=24, columns=8, top_k=3, source_address=act[6].start, source_pitch=16,
            )  # fmt: skip
        target = (weights[3], int(LoadDestination.WEIGHT)) if number % 2 else (act[7], int(LoadDestination.ACT))
        maker.assembler.emit(
            "load", "load", (Span("frame", 2 * maker.act_bytes, 2 * maker.act_bytes + 2048),), (target[0],), space=Space.FRAME,
            destination=target[1], dram_offset=2 * maker.act_bytes, local_address=target[0].start, bytes=2048, **ONCE,
        )  # fmt: skip
        offset = 2 * maker.act_bytes + block
        maker.assembler.emit(
            "store", "store", (act[6],), (Span("frame", offset + 4096, offset + 6144),), space=Space.FRAME, dram_offset=offset + 4096,
            local_address=act[6].start, bytes=2048, **ONCE,
        )  # fmt: skip
    maker.store_all()
    return maker.finish()


@pytest.mark.parametrize("seed", range(4), ids=lambda seed: f"seed{seed}")
def test_conflicts(executor: RtlExecutor, seed: int) -> None:
    program, memory = crowded(seed)
    expected = Memory(memory.constants.copy(), memory.frame.copy())
    ReferenceMachine(TINY, seed=1).run(program, expected, 0)
    executor.run(program, memory, MAX_CYCLES)
    wrong = np.flatnonzero(memory.frame != expected.frame)
    assert wrong.size == 0, f"{wrong.size} bytes of the frame differ, the first at {wrong[0]}"


@pytest.mark.parametrize("seed", [1, 2], ids=lambda seed: f"seed{seed}")
def test_registers_of_any_value(executor: RtlExecutor, tmp_path: Path, seed: int) -> None:
    compare_registers(executor, tmp_path, seed)


@pytest.mark.parametrize("name", SMALLEST)
@pytest.mark.parametrize("seed", [94], ids=lambda seed: f"seed{seed}")
def test_fields_of_any_value(executor: RtlExecutor, name: str, seed: int) -> None:
    compare_fields(executor, TINY, name, seed)


def test_after_a_reset(executor: RtlExecutor) -> None:
    """The outer reset leaves nothing of a run that faulted."""
    with pytest.raises(MachineFault):
        run(executor, short(Unit.ROUTE, source_address=TINY.act_bytes) + END)
    executor.reset()
    assert (read(executor, "STATUS"), read(executor, "FAULT")) == (0, 0)
    fill = short(Unit.ROUTE, rows=TINY.queue_tokens)
    assert run(executor, fill + END)["instructions"] == 1
