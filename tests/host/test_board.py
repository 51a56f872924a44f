"""The real board executor against the mock board."""

import asyncio

import numpy as np
import pytest

from moesaic.errors import InternalError, UserError
from moesaic.host.board import BoardExecutor
from moesaic.host.lock import DeviceLock
from moesaic.host.pynq_interface import board_missing
from moesaic.spec.configuration import load_configuration
from moesaic.spec.executor import MachineFault, Memory, Program
from moesaic.spec.isa import Fault, LoadDestination, Space, pack
from moesaic.spec.machine import ReferenceMachine
from moesaic.spec.registers import BY_NAME, COUNTERS, STATUS_BUSY
from tests.host.description import description
from tests.host.mock_pynq import CYCLES_PER_INSTRUCTION

LIMIT = 1_000_000


@pytest.fixture
def executor(board, board_build):
    executor = BoardExecutor(board_build / "accel.bit", timeout_seconds=5.0)
    yield executor
    executor.close()
    assert board.buffers == []


def memory_with(build, image_seed: int) -> Memory:
    memory = build.new_memory()
    shape = (build.image_height, build.image_width, 3)
    build.write_image(memory.frame, np.random.default_rng(image_seed).integers(0, 256, shape).astype(np.uint8))
    return memory


def assert_next_run_is_right(executor, build) -> None:
    check_task(executor, build, "depth", image_seed=99)


def check_task(executor, build, task: str, image_seed: int) -> None:
    """The whole frame window and the counters are those of the reference machine."""
    expected, found = memory_with(build, image_seed), memory_with(build, image_seed)
    counters = ReferenceMachine(build.configuration, seed=5).run(build.tasks[task].program, expected, LIMIT)
    measured = executor.run(build.tasks[task].program, found, LIMIT)
    assert np.array_equal(found.frame, expected.frame)
    assert set(measured) == {name for name, _ in COUNTERS}
    assert {name: measured[name] for name in counters} == counters
    assert measured["cycles"] == CYCLES_PER_INSTRUCTION * counters["instructions"]


def hand_made(*instructions: bytes) -> tuple[Program, Memory]:
    code = b"".join(instructions)
    constants = np.zeros(4096, np.uint8)
    constants[64 : 64 + len(code)] = np.frombuffer(code, np.uint8)
    return Program(64, len(code)), Memory(constants, np.arange(4096).astype(np.uint8))


def transfer(name: str, **values: int) -> bytes:
    return pack(name, **{"bytes": 256, "count_1": 1, "count_2": 1, "count_3": 1, "space": Space.FRAME, **values})


def test_every_task_gives_the_integers_of_the_reference(executor, build, board):
    for image_seed, task in enumerate([*build.tasks, *build.tasks]):
        check_task(executor, build, task, image_seed)
    assert board.starts == 2 * len(build.tasks)
    assert board.downloads == 1


def test_fingerprint_is_read_from_the_registers(executor, build):
    assert executor.fingerprint == build.fingerprint


def test_constants_are_loaded_once_if_they_cannot_change(executor, build, board):
    memory = build.new_memory()
    memory.constants.flags.writeable = False
    for _ in range(3):
        executor.run(build.tasks["depth"].program, memory, LIMIT)
    constants = next(buffer for buffer in board.flushed if buffer.size > memory.constants.size)
    assert constants.flushes == 1


def test_constants_that_can_change_are_loaded_again(executor):
    program, memory = hand_made(
        transfer("load", destination=LoadDestination.ACT, space=Space.CONSTANT, dram_offset=2048, signal_mask=1 << 1),
        transfer("store", wait_mask=1 << 1),
        pack("end"),
    )
    for value in (1, 2):
        memory.constants[2048:2304] = value
        executor.run(program, memory, LIMIT)
        assert np.array_equal(memory.frame[:256], np.full(256, value, np.uint8))


def test_windows_of_another_size_are_allocated_anew(executor, build):
    for _ in range(2):
        program, memory = hand_made(pack("end"))
        executor.run(program, memory, LIMIT)
        check_task(executor, build, "depth", 3)


FAULTS = {
    "bad opcode": ((bytes([200]) + bytes(63),), Fault.BAD_INSTRUCTION, "fetch", 0),
    "program without end": ((transfer("load", tag=3),), Fault.ADDRESS, "fetch", 0),
    "load outside": ((transfer("load", dram_offset=8192, tag=7), pack("end")), Fault.ADDRESS, "load", 7),
    "store outside": ((transfer("store", dram_offset=3856, tag=8), pack("end")), Fault.ADDRESS, "store", 8),
    "never signalled": ((transfer("load", wait_mask=1 << 10, tag=9), pack("end")), Fault.TIMEOUT, "fetch", 0),
    "bad destination": ((transfer("load", destination=3, tag=2), pack("end")), Fault.BAD_INSTRUCTION, "fetch", 0),
}


@pytest.mark.parametrize("name", FAULTS)
def test_fault_is_raised_with_its_cause_and_the_next_run_is_right(executor, build, name):
    code, cause, unit, tag = FAULTS[name]
    program, memory = hand_made(*code)
    with pytest.raises(MachineFault) as caught:
        executor.run(program, memory, LIMIT)
    assert (caught.value.cause, caught.value.unit, caught.value.tag) == (cause, unit, tag)
    assert_next_run_is_right(executor, build)


def test_cycle_limit_reaches_the_machine(executor, build):
    with pytest.raises(MachineFault, match="TIMEOUT"):
        executor.run(build.tasks["depth"].program, build.new_memory(), max_cycles=CYCLES_PER_INSTRUCTION)
    assert_next_run_is_right(executor, build)


@pytest.mark.parametrize("interrupts", [False, True], ids=["polling", "interrupt"])
def test_machine_that_never_answers_is_reloaded(board, board_build, build, interrupts):
    board.interrupts = interrupts
    executor = BoardExecutor(board_build / "accel.bit", timeout_seconds=0.05)
    board.hangs = True
    with pytest.raises(MachineFault, match="TIMEOUT"):
        executor.run(build.tasks["depth"].program, build.new_memory(), LIMIT)
    assert board.stops == 1 and board.downloads == 2 and not board.busy
    executor._timeout_seconds = 60.0
    assert_next_run_is_right(executor, build)
    executor.close()


@pytest.mark.parametrize("interrupts", [False, True], ids=["polling", "interrupt"])
def test_run_that_takes_too_long_is_stopped_and_nothing_is_reloaded(board, board_build, build, interrupts):
    board.interrupts, board.polls = interrupts, 1_000_000
    executor = BoardExecutor(board_build / "accel.bit", timeout_seconds=0.05)
    board.pass_time = lambda: None  # nothing ends the run but the driver
    for _ in range(3):
        with pytest.raises(MachineFault, match="TIMEOUT"):
            executor.run(build.tasks["depth"].program, build.new_memory(), LIMIT)
        assert not board.busy
    assert board.stops == 3 and board.downloads == 1
    del board.pass_time
    board.polls, executor._timeout_seconds = 3, 60.0
    assert_next_run_is_right(executor, build)
    executor.close()


def test_bitstream_that_does_not_know_the_stop_is_reloaded(board, board_build, build):
    board.ignores_stop, board.polls = True, 1_000_000
    executor = BoardExecutor(board_build / "accel.bit", timeout_seconds=0.05)
    with pytest.raises(MachineFault, match="TIMEOUT"):
        executor.run(build.tasks["depth"].program, build.new_memory(), LIMIT)
    assert board.stops == 1 and board.downloads == 2 and not board.busy
    board.polls, executor._timeout_seconds = 3, 60.0
    assert_next_run_is_right(executor, build)
    executor.close()


def test_machine_that_can_neither_answer_nor_be_reloaded_keeps_its_memory(board, board_build, build, lock_file):
    """The error tells of both; what the machine may still write to is not freed, also by close()."""
    executor = BoardExecutor(board_build / "accel.bit", timeout_seconds=0.05)
    for error in (RuntimeError("Root permissions required."), OSError("Device or resource busy")):
        board.hangs, board.reload_error = True, error
        with pytest.raises(UserError, match=f"TIMEOUT.*accel.bit could not be loaded again.*{error}"):
            executor.run(build.tasks["depth"].program, build.new_memory(), LIMIT)
        kept = list(board.buffers)
        with pytest.raises(UserError, match="could not be loaded again"):
            executor.run(build.tasks["depth"].program, build.new_memory(), LIMIT)
        assert board.busy and board.buffers == kept and len(kept) >= 2
        board.reload_error, executor._timeout_seconds = None, 60.0
        assert_next_run_is_right(executor, build)
        executor._timeout_seconds = 0.05
    board.hangs, board.reload_error, starts = True, error, board.starts
    with pytest.raises(UserError, match="TIMEOUT"):
        executor.run(build.tasks["depth"].program, build.new_memory(), LIMIT)
    kept = list(board.buffers)
    executor.close()  # what is wrong has been said
    assert board.busy and board.buffers == kept and board.starts == starts + 1
    DeviceLock(lock_file).release()


def test_reload_that_fails_in_close_is_told(board, board_build, build):
    executor = BoardExecutor(board_build / "accel.bit")
    executor.upload(build.new_memory())
    board.busy = board.hangs = True
    board._set("STATUS", STATUS_BUSY)
    board.reload_error = OSError("Device or resource busy")
    with pytest.raises(UserError, match=r"^bitstream .*could not be loaded again"):
        executor.close()
    assert len(board.buffers) == 2
    executor.close()


@pytest.mark.parametrize("end", [KeyboardInterrupt, SystemExit])
def test_control_c_in_close_stops_the_machine_at_once(board, board_build, build, monkeypatch, end):
    """Also the impatient user, who presses it while a machine that hangs is given its moment."""

    def press(seconds: float) -> None:
        raise end

    executor = BoardExecutor(board_build / "accel.bit")
    executor.upload(build.new_memory())
    board.busy = board.hangs = True
    board._set("STATUS", STATUS_BUSY)
    monkeypatch.setattr("moesaic.host.board.time.sleep", press)
    with pytest.raises(end):
        executor.close()
    assert not board.busy and board.buffers == []


def test_interrupted_user_leaves_the_machine_idle(executor, build, board):
    def press_control_c() -> None:
        if board.busy:
            board.on_poll = None
            raise KeyboardInterrupt

    board.on_poll, board.polls = press_control_c, 100
    with pytest.raises(KeyboardInterrupt):
        executor.run(build.tasks["depth"].program, build.new_memory(), LIMIT)
    assert not board.busy and board.stops == 1 and board.downloads == 1
    board.polls = 3
    assert_next_run_is_right(executor, build)


def test_close_stops_a_run(board, board_build, build):
    """Such as one whose thread is still in it when the process ends."""
    executor = BoardExecutor(board_build / "accel.bit")
    executor.upload(build.new_memory())
    board.polls = 1_000_000
    board._start()
    executor.close()
    assert board.stops == 1 and board.downloads == 1 and not board.busy and board.buffers == []


@pytest.mark.parametrize("available", [0, 1], ids=lambda n: f"{n}-buffers")
def test_allocation_failure_names_the_window_and_frees_the_rest(executor, build, board, available):
    board.allocations_left = available
    size = (build.constants.size, build.frame_bytes)[available]
    with pytest.raises(UserError, match=f"the {('constant', 'frame')[available]} window: {size} bytes") as caught:
        executor.run(build.tasks["depth"].program, build.new_memory(), LIMIT)
    assert "cma=" in str(caught.value) and board.starts == 0
    board.allocations_left = None
    assert_next_run_is_right(executor, build)


@pytest.mark.parametrize("edge", [True, False], ids=["edge", "level"])
def test_every_run_sleeps_until_its_interrupt(board, board_build, build, edge):
    """Also behind a controller that latches levels, as block designs before had: it wakes each wait but the first at once."""
    board.interrupts, board.polls = True, 1_000_000  # polling alone would take very long
    executor = BoardExecutor(board_build / "accel.bit", timeout_seconds=60)
    board.controller.edge = edge
    for image_seed in range(4):
        reads = board.status_reads
        check_task(executor, build, "depth", image_seed)
        assert board.status_reads - reads <= 4
    assert board.waits == (4 if edge else 1 + 2 * 3)
    executor.close()


def test_an_interrupt_left_over_from_a_stopped_run(board, board_build, build):
    """The controller has latched the end of a run that nobody waited for; the next run sleeps all the same."""
    board.interrupts, board.polls = True, 1_000_000
    executor = BoardExecutor(board_build / "accel.bit", timeout_seconds=0.05)
    board.pass_time = lambda: None
    with pytest.raises(MachineFault, match="TIMEOUT"):
        executor.run(build.tasks["depth"].program, build.new_memory(), LIMIT)
    assert board.controller.latched
    del board.pass_time
    executor._timeout_seconds = 60.0
    reads = board.status_reads
    assert_next_run_is_right(executor, build)
    assert board.status_reads - reads <= 4
    executor.close()


def test_an_interrupt_that_comes_a_moment_late_is_not_lost(board, board_build, build, monkeypatch):
    """The run ends between the end of a wait and the look at STATUS; the next run sleeps all the same."""
    monkeypatch.setattr("moesaic.host.board._INTERRUPT_SECONDS", 0.05)
    board.interrupts, board.polls = True, 2
    executor = BoardExecutor(board_build / "accel.bit", timeout_seconds=60)
    board.pass_time = lambda: None
    check_task(executor, build, "depth", 1)
    del board.pass_time
    board.polls = 1_000_000
    reads = board.status_reads
    check_task(executor, build, "depth", 2)
    assert board.status_reads - reads <= 4
    executor.close()


def test_lost_interrupt_falls_back_to_polling(board, board_build, build):
    board.interrupts = board.lose_interrupts = True
    executor = BoardExecutor(board_build / "accel.bit", timeout_seconds=2.0)
    for image_seed in range(3):
        check_task(executor, build, "depth", image_seed)
    assert board.waits == 1
    executor.close()


def test_polls_inside_a_running_event_loop(board, board_build, build):
    """And uses the interrupt outside of it, though the board was opened inside."""
    board.interrupts = True

    async def notebook_cell() -> BoardExecutor:
        executor = BoardExecutor(board_build / "accel.bit", timeout_seconds=1)
        check_task(executor, build, "depth", 1)
        return executor

    executor = asyncio.run(notebook_cell())
    assert board.waits == 0
    check_task(executor, build, "depth", 2)
    assert board.waits == 1
    executor.close()


def test_replaced_bitstream_is_noticed(executor, build, board):
    board.machine = ReferenceMachine(load_configuration("zcu104"))
    board.download()
    with pytest.raises(UserError) as caught:
        executor.run(build.tasks["depth"].program, build.new_memory(), LIMIT)
    assert build.fingerprint in str(caught.value) and board.machine.fingerprint in str(caught.value)
    assert board.starts == 0


def test_fault_code_that_does_not_exist(executor, board):
    def corrupt() -> None:
        if not board.busy:
            board.registers[BY_NAME["FAULT"].offset] = 77

    board.on_poll = corrupt
    program, memory = hand_made(*FAULTS["load outside"][0])
    with pytest.raises(InternalError, match="fault 77 of unit 0"):
        executor.run(program, memory, LIMIT)


def test_bitstream_that_cannot_be_loaded(board, tmp_path):
    (tmp_path / "accel.hwh").write_text(description())
    with pytest.raises(UserError, match="cannot be loaded"):
        BoardExecutor(tmp_path / "accel.bit")


def test_close_frees_the_memory_and_stops_the_machine(board, board_build, build):
    executor = BoardExecutor(board_build / "accel.bit")
    check_task(executor, build, "depth", 1)
    assert len(board.buffers) == 2
    executor.close()
    executor.close()
    assert board.buffers == []
    with pytest.raises(InternalError, match="closed"):
        executor.run(build.tasks["depth"].program, build.new_memory(), LIMIT)


def test_without_pynq(no_pynq, board_build):
    assert board_missing() == "the package pynq is not installed"
    with pytest.raises(UserError, match=r"pynq is missing.*or use the emulator"):
        BoardExecutor(board_build / "accel.bit")
