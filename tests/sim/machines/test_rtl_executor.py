"""The RTL executor, with a stand-in for the accelerator: runs, faults, errors, a dead simulator, and what it leaves."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from moesaic.errors import InternalError, UserError
from moesaic.hls.hardware.accelerator_sources import RTL_DIRECTORY as RTL
from moesaic.sim.machines.ddr4 import DDR4
from moesaic.sim.machines.rtl_executor import RtlExecutor, Window
from moesaic.sim.machines.source_closure import source_closure
from moesaic.spec.configuration import load_configuration
from moesaic.spec.executor import MachineFault, Memory, Program
from moesaic.spec.isa import Fault, Space
from tests.sim.fst import read_fst

CONFIGURATION = load_configuration("tiny")
PROGRAM = Program(offset=64, size=64)
NEVER_ENDS = Program(offset=64, size=128)
KILLS_THE_SIMULATOR = Program(offset=64, size=192)
NO_INTERRUPT = Program(offset=64, size=256)


@pytest.fixture(scope="module")
def rtl_directory(tmp_path_factory):
    directory = tmp_path_factory.mktemp("rtl")
    shutil.copy(Path(__file__).parent / "designs" / "stand_in" / "moesaic_accelerator.sv", directory)
    for path in source_closure("moesaic_control", [RTL]):
        shutil.copy(path, directory)
    return directory


def random_memory(seed):
    rng = np.random.default_rng(seed)
    return Memory(rng.integers(0, 256, 4096 + 64, np.uint8), rng.integers(0, 256, 512, np.uint8))


def expected_frame(memory):
    frame = memory.frame.copy()
    source = memory.constants[64:128].reshape(4, 16)
    frame[:64] = (source ^ source[0]).ravel()
    return frame


def check_run(executor, seed):
    memory = random_memory(seed)
    constants, frame = memory.constants.copy(), expected_frame(memory)
    counters = executor.run(PROGRAM, memory, 10_000)
    assert np.array_equal(memory.frame, frame)
    assert np.array_equal(memory.constants, constants)
    assert (counters["read_beats"], counters["write_beats"]) == (5, 4)
    assert executor.dram_bytes == {"load_read": 64, "main_read": 16, "main_written": 64}
    return counters["cycles"]


def test_runs_share_one_simulation_and_take_the_same_cycles(rtl_directory):
    with RtlExecutor(rtl_directory, CONFIGURATION) as executor:
        assert executor.fingerprint == CONFIGURATION.fingerprint
        cycles = {check_run(executor, seed) for seed in range(4)}
    # Three latencies of 60 cycles, 4 + 1 + 4 beats, and a few cycles of handshakes: the copier overlaps nothing.
    assert len(cycles) == 1
    assert 3 * 60 + 9 <= cycles.pop() <= 3 * 60 + 9 + 12


def test_only_a_model_of_ddr4_needs_a_board_with_the_part(rtl_directory):
    boardless = replace(CONFIGURATION, part="XCZU15EG")
    with RtlExecutor(rtl_directory, boardless) as executor:
        check_run(executor, 0)
    with pytest.raises(UserError, match="no board has the part XCZU15EG"):
        RtlExecutor(rtl_directory, boardless, dram=next(iter(DDR4)))


@pytest.mark.parametrize("seed", range(2), ids=lambda s: f"seed{s}")
def test_random_latency_changes_cycles_and_no_data(rtl_directory, seed):
    with RtlExecutor(rtl_directory, CONFIGURATION, random_seed=seed) as executor:
        assert len({check_run(executor, run) for run in range(4)}) > 1


@pytest.mark.parametrize(
    ("error_at", "cause", "unit", "tag"),
    [((Space.CONSTANT, 70), Fault.AXI_READ, "load", 17), ((Space.FRAME, 63), Fault.AXI_WRITE, "store", 18)],
    ids=["read", "write"],
)
def test_injected_errors_are_faults_and_the_next_run_is_right(rtl_directory, error_at, cause, unit, tag):
    with RtlExecutor(rtl_directory, CONFIGURATION) as executor:
        executor.error_at = error_at
        with pytest.raises(MachineFault) as caught:
            executor.run(PROGRAM, random_memory(0), 10_000)
        assert (caught.value.cause, caught.value.unit, caught.value.tag) == (cause, unit, tag)
        executor.error_at = None
        check_run(executor, 1)


def test_frame_window_that_is_too_small_is_never_overrun(rtl_directory):
    with RtlExecutor(rtl_directory, CONFIGURATION) as executor:
        memory = random_memory(0)
        memory.frame = memory.frame[:48].copy()
        with pytest.raises(MachineFault, match="AXI_WRITE"):
            executor.run(PROGRAM, memory, 10_000)
        check_run(executor, 1)


def test_program_without_end_times_out_and_the_next_run_is_right(rtl_directory):
    with RtlExecutor(rtl_directory, CONFIGURATION) as executor:
        with pytest.raises(MachineFault, match="TIMEOUT"):
            executor.run(NEVER_ENDS, random_memory(0), 1000)
        check_run(executor, 1)


def test_dead_simulator_is_reported_with_its_log(rtl_directory):
    executor = RtlExecutor(rtl_directory, CONFIGURATION)
    with pytest.raises(InternalError, match=r"(?s)simulator died .*valid_held_until_ready"):
        executor.run(KILLS_THE_SIMULATOR, random_memory(0), 10_000)
    with pytest.raises(InternalError, match="executor is closed"):
        executor.run(PROGRAM, random_memory(0), 10_000)
    executor.close()


def test_lost_interrupt_is_an_error(rtl_directory):
    with (
        RtlExecutor(rtl_directory, CONFIGURATION) as executor,
        pytest.raises(InternalError, match="no interrupt within 201000 cycles"),
    ):
        executor.run(NO_INTERRUPT, random_memory(0), 1000)


def test_close_removes_the_files_and_ends_the_process(rtl_directory):
    executor = RtlExecutor(rtl_directory, CONFIGURATION)
    directory, process = Path(executor._directory.name), executor._process
    executor.close()
    executor.close()
    assert process.poll() == 0
    assert not directory.exists()


def test_waveforms_of_chosen_cycles(rtl_directory, tmp_path):
    with RtlExecutor(rtl_directory, CONFIGURATION, waveforms=True) as executor:
        for seed, (first, last) in enumerate([(0, 20), (100, 150)]):
            executor.window = Window(tmp_path / f"{first}.fst", first, last)
            check_run(executor, seed)
            waveform = read_fst(executor.window.path)
            # The clock rises at the start of a cycle and falls in its middle: a cycle is a nanosecond.
            assert (waveform.start, waveform.end, waveform.scale) == (first * 1000, last * 1000 + 500, -12)
            assert "testbench.u_accelerator.m_axi_load_i" in waveform.signals
        executor.window = Window(tmp_path / "beyond.fst", 100, 10**9)
        cycles = check_run(executor, 2)
        assert cycles <= read_fst(executor.window.path).end // 1000 <= cycles + 50
        executor.window = Window(tmp_path / "late.fst", 100_000, 100_001)
        check_run(executor, 3)
        executor.window = None
        check_run(executor, 4)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["0.fst", "100.fst", "beyond.fst"]


def test_a_window_needs_a_simulator_with_waveforms(rtl_directory, tmp_path):
    with RtlExecutor(rtl_directory, CONFIGURATION) as executor:
        executor.window = Window(tmp_path / "w.fst", 0, 1)
        with pytest.raises(InternalError, match="waveforms=True"):
            executor.run(PROGRAM, random_memory(0), 10_000)


def test_missing_rtl_is_named(tmp_path):
    with pytest.raises(
        UserError,
        match=f"no SystemVerilog module 'moesaic_accelerator': moesaic_accelerator.sv is in none of {tmp_path}",
    ):
        RtlExecutor(tmp_path, CONFIGURATION)
