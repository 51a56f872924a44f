"""The whole accelerator in RTL: random programs with all units at once, stops at random moments, errors on the bus."""

from dataclasses import replace

import numpy as np
import pytest

from moesaic.hls.hardware.accelerator_sources import RTL_DIRECTORY as RTL
from moesaic.sim.machines.rtl_executor import RtlExecutor
from moesaic.spec.configuration import load_configuration
from moesaic.spec.executor import MachineFault, Memory, Program
from moesaic.spec.isa import INSTRUCTION_BYTES, Fault, Space, Unit, pack, semaphore
from moesaic.spec.machine import ReferenceMachine
from moesaic.spec.registers import STATUS_DONE, STATUS_STOPPED
from tests.sim.programs import PROGRAM_BYTES, random_program
from tests.sim.stopping import read, run_and_stop

TINY = load_configuration("tiny")
INSTRUCTIONS = 40
MAX_CYCLES = 1_000_000


@pytest.fixture(scope="module", params=[(None, 31), (3, 32)], ids=["fixed-dram-power31", "random-dram-power32"])
def executor(request):
    """One machine for all tests: what a run leaves behind must not harm the next."""
    random_seed, power_up = request.param
    with RtlExecutor(RTL, TINY, random_seed=random_seed, power_up_seed=power_up) as executor:
        yield executor


def case(seed):
    """A random program, its memory, and the frame and counters that it must give."""
    program, memory = random_program(TINY, np.random.default_rng(seed), INSTRUCTIONS)
    expected = Memory(memory.constants.copy(), memory.frame.copy())
    counters = ReferenceMachine(TINY, seed=1).run(program, expected, 0)
    return program, memory, expected.frame, counters


def check(executor, seed):
    """Run a random program and compare the whole frame window and all the counters that the reference machine has."""
    program, memory, frame, counters = case(seed)
    found = executor.run(program, memory, MAX_CYCLES)
    wrong = np.flatnonzero(memory.frame != frame)
    assert wrong.size == 0, f"{wrong.size} bytes of the frame differ, the first at {wrong[0]}"
    assert {name: found[name] for name in counters} == counters
    return found


@pytest.mark.parametrize("seed", range(12), ids=lambda s: f"seed{s}")
def test_random_program(executor, seed):
    counters = check(executor, seed)
    assert counters["cycles"] > max(counters[name] for name in counters if name != "cycles")
    bytes_moved = executor.dram_bytes
    assert bytes_moved["load_read"] + bytes_moved["main_read"] == 16 * counters["read_beats"]
    assert bytes_moved["main_written"] == 16 * counters["write_beats"]


@pytest.mark.parametrize("power_up", range(33, 37), ids=lambda seed: f"power{seed}")
def test_the_first_program_after_power_up(power_up):
    """With the fixed timing, which alone draws nothing; `check` compares all of the frame and the counters."""
    with RtlExecutor(RTL, TINY, power_up_seed=power_up) as executor:
        check(executor, power_up % 12)


def test_the_reference_does_not_depend_on_what_memories_held():
    program, memory, frame, _ = case(0)
    ReferenceMachine(TINY, seed=2).run(program, memory, 0)
    assert np.array_equal(memory.frame, frame)


def test_the_same_program_takes_the_same_cycles():
    cycles = set()
    for power_up in (37, 38):
        with RtlExecutor(RTL, TINY, power_up_seed=power_up) as executor:
            cycles |= {check(executor, seed)["cycles"] for seed in (0, 0)}
    assert len(cycles) == 1


def test_a_run_may_take_max_cycles_and_no_more():
    program, memory, frame, _ = case(2)
    inputs = memory.frame.copy()
    with RtlExecutor(RTL, TINY) as executor:
        cycles = executor.run(program, memory, MAX_CYCLES)["cycles"]
        memory.frame[:] = inputs
        assert executor.run(program, memory, cycles)["cycles"] == cycles
        assert np.array_equal(memory.frame, frame)
        with pytest.raises(MachineFault) as caught:
            executor.run(program, Memory(memory.constants, inputs), cycles - 1)
        assert (caught.value.cause, caught.value.unit) == (Fault.TIMEOUT, "fetch")


@pytest.mark.parametrize("seed", range(20), ids=lambda s: f"seed{s}")
def test_stopped_at_any_moment(executor, seed):
    """A timeout while all units and the bus are at work; nothing that comes later may show that it happened."""
    rng = np.random.default_rng([seed, 77])
    program, memory, _, _ = case(seed % 12)
    inputs = memory.frame.copy()
    limit = int(rng.integers(1, 15_000))
    with pytest.raises(MachineFault) as caught:
        executor.run(program, memory, limit)
    assert (caught.value.cause, caught.value.unit, caught.value.tag) == (Fault.TIMEOUT, "fetch", 0)
    # What was stored before the stop may be there; the inputs are never stored to.
    third = len(inputs) // 3
    assert np.array_equal(memory.frame[:third], inputs[:third])
    check(executor, seed % 12)


@pytest.mark.parametrize("seed", range(12), ids=lambda s: f"seed{s}")
def test_stopped_by_the_host_at_any_moment(executor, seed, tmp_path):
    """CONTROL's stop, twice in a row, while all units and the bus are at work; the next run needs no reset."""
    rng = np.random.default_rng([seed, 79])
    program, memory, _, _ = case(seed)
    inputs = memory.frame.copy()
    for cycles in (int(rng.integers(100)), int(rng.integers(100, 5_000))):
        assert run_and_stop(executor, program, memory, cycles, tmp_path) == STATUS_DONE | STATUS_STOPPED
        assert [read(executor, name) for name in ("FAULT", "FAULT_UNIT", "FAULT_TAG")] == [0, 0, 0]
        third = len(inputs) // 3
        assert np.array_equal(memory.frame[:third], inputs[:third])
    check(executor, seed)


@pytest.mark.parametrize("seed", range(4), ids=lambda s: f"seed{s}")
def test_bus_errors(executor, seed):
    rng = np.random.default_rng([seed, 78])
    program, memory, _, _ = case(seed)
    act_bytes = len(memory.frame) // 3
    weights = len(memory.constants) - PROGRAM_BYTES
    places = {
        "instruction": (Space.CONSTANT, int(rng.integers(program.size)), Fault.AXI_READ, "fetch"),
        "weight": (Space.CONSTANT, PROGRAM_BYTES + int(rng.integers(weights)), Fault.AXI_READ, "load"),
        "input": (Space.FRAME, int(rng.integers(act_bytes)), Fault.AXI_READ, "load"),
        "output": (Space.FRAME, act_bytes + int(rng.integers(act_bytes)), Fault.AXI_WRITE, "store"),
    }
    for name, (space, offset, cause, unit) in places.items():
        executor.error_at = (space, offset)
        try:
            with pytest.raises(MachineFault) as caught:
                executor.run(program, Memory(memory.constants.copy(), memory.frame.copy()), MAX_CYCLES)
        finally:
            executor.error_at = None
        assert (caught.value.cause, caught.value.unit) == (cause, unit), name
        check(executor, seed)


def test_windows_are_not_left(executor):
    """The last bytes of both windows can be used, one beat more cannot; windows differ in size from run to run."""
    one = {"count_1": 1, "count_2": 1, "count_3": 1}
    to_store = {"signal_mask": 1 << semaphore(Unit.LOAD, Unit.STORE)}
    from_load = {"wait_mask": 1 << semaphore(Unit.LOAD, Unit.STORE)}
    for frame_bytes in (16, 4096, 4096 + 16, 3 * 4096 - 16):
        for excess in (0, 16):
            code = (
                pack("load", bytes=frame_bytes, space=Space.FRAME, **one)
                + pack("load", tag=1, bytes=16, dram_offset=192, local_address=64, **one, **to_store)
                + pack(
                    "store", tag=2, bytes=16, local_address=64, dram_offset=frame_bytes - 16 + excess,
                    space=Space.FRAME, **one, **from_load,
                )
                + pack("end")
            )  # fmt: skip
            memory = Memory(np.frombuffer(code, np.uint8).copy(), np.arange(frame_bytes).astype(np.uint8))
            expected = memory.frame.copy()
            program = Program(0, len(code))
            if excess:
                with pytest.raises(MachineFault) as caught:
                    executor.run(program, memory, MAX_CYCLES)
                assert (caught.value.cause, caught.value.unit, caught.value.tag) == (Fault.ADDRESS, "store", 2)
            else:
                reference = Memory(memory.constants, expected)
                ReferenceMachine(TINY).run(program, reference, 0)
                executor.run(program, memory, MAX_CYCLES)
            assert np.array_equal(memory.frame, expected)


def test_a_program_anywhere_in_the_window(executor):
    program, memory, frame, _ = case(5)
    inputs = memory.frame.copy()
    code = memory.constants[: program.size].copy()
    for offset in (64, 4096 - 64, PROGRAM_BYTES - program.size):
        memory.constants[:PROGRAM_BYTES] = 0xFF  # an opcode that does not exist, wherever the program is not
        memory.constants[offset : offset + program.size] = code
        memory.frame[:] = inputs
        executor.run(Program(offset // INSTRUCTION_BYTES * INSTRUCTION_BYTES, program.size), memory, MAX_CYCLES)
        assert np.array_equal(memory.frame, frame)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["odd", "zcu104"])
def test_other_sizes(name):
    odd = replace(
        TINY,
        name="odd",
        tile_rows=3,
        act_ports=1,
        tile_columns=16,
        tile_depth=8,
        norm_lanes=2,
        act_banks=2,
        shared_bytes=0,
        experts=4,
    )
    configuration = odd if name == "odd" else load_configuration(name)
    with RtlExecutor(RTL, configuration, random_seed=4, power_up_seed=39) as executor:
        for seed in range(6):
            program, memory = random_program(configuration, np.random.default_rng(seed), INSTRUCTIONS)
            expected = Memory(memory.constants.copy(), memory.frame.copy())
            counters = ReferenceMachine(configuration, seed=1).run(program, expected, 0)
            found = executor.run(program, memory, MAX_CYCLES)
            assert np.array_equal(memory.frame, expected.frame), f"seed {seed}"
            assert {key: found[key] for key in counters} == counters
