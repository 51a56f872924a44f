"""The real driver on simulated hardware, register by register: csim and RTL behind the same mock of PYNQ, pictures equal."""

import itertools
import sys

import numpy as np
import pytest

import moesaic
from moesaic.errors import UserError
from moesaic.sim.machines.csim import CsimExecutor
from moesaic.sim.machines.rtl_executor import RtlExecutor
from moesaic.spec.configuration import load_configuration
from moesaic.spec.executor import MachineFault
from moesaic.spec.isa import Fault
from moesaic.spec.registers import COUNTERS
from tests.host.mock_pynq import Board, make_module
from tests.host.rtl_board import RtlBoard

TASKS = ("depth", "segmentation", "normals", "segmentation")


@pytest.fixture
def rtl_board(build, saved_build, tmp_path, monkeypatch):
    (tmp_path / "dram").mkdir()
    board = RtlBoard(
        configuration=build.configuration,
        rtl_directory=saved_build / "rtl",
        directory=tmp_path / "dram",
        interrupts=True,
    )
    monkeypatch.setitem(sys.modules, "pynq", make_module(board))
    yield board
    board.end()


@pytest.fixture
def csim_board(build, monkeypatch):
    machine = CsimExecutor(build.configuration)
    board = Board(machine)
    monkeypatch.setitem(sys.modules, "pynq", make_module(board))
    yield board
    machine.close()


def pictures(count: int) -> list[np.ndarray]:
    rng = np.random.default_rng(11)
    return [rng.integers(0, 256, (33 + 5 * i, 64 - 3 * i, 3)).astype(np.uint8) for i in range(count)]


def check_stream(directory, frames, board) -> list:
    """A stream with alternating tasks gives what single runs of the reference machine give."""
    with moesaic.open(directory, "board") as accelerator:
        found = list(accelerator.stream(iter(frames), TASKS))
    with moesaic.open(directory, "reference") as reference:
        for result, frame in zip(found, frames, strict=True):
            expected = reference.run(frame, result.task)
            assert np.array_equal(result.raw, expected.raw)
            assert np.array_equal(result.picture, expected.picture)
            assert {name: result.counters[name] for name in expected.counters} == expected.counters
    assert board.buffers == [] and not board.busy and board.starts == len(frames)
    return found


def check_next_run(accelerator, directory) -> None:
    image = pictures(1)[0]
    with moesaic.open(directory, "reference") as reference:
        expected, _ = reference.run_whole(image, "depth")
        found, _ = accelerator.run_whole(image, "depth")
        assert np.array_equal(found, expected)


@pytest.mark.parametrize("kind", ["csim", "rtl"])
def test_an_executor_of_the_simulation_in_place_of_the_board(saved_build, build, kind):
    """What an application calls, and what it gets, is what it is on a board; only the power rails are missing."""
    executor = (
        CsimExecutor(build.configuration) if kind == "csim" else RtlExecutor(saved_build / "rtl", build.configuration)
    )
    frames = pictures(len(TASKS))
    with moesaic.open(saved_build, executor) as accelerator, moesaic.open(saved_build, "reference") as reference:
        assert accelerator.executor_name == type(executor).__name__
        assert accelerator.tasks == reference.tasks and accelerator.fingerprint == reference.fingerprint
        results = [*accelerator.stream(iter(frames), TASKS), accelerator.run(frames[0], "normals", "1x1")]
        expected = [*reference.stream(iter(frames), TASKS), reference.run(frames[0], "normals", "1x1")]
        for found, wanted in zip(results, expected, strict=True):
            assert (found.index, found.task, found.pathway) == (wanted.index, wanted.task, wanted.pathway)
            assert np.array_equal(found.raw, wanted.raw) and np.array_equal(found.picture, wanted.picture)
            assert {name: found.counters[name] for name in wanted.counters} == wanted.counters
            assert ("cycles" in found.counters) == (kind == "rtl")
        whole, _ = accelerator.run_whole(frames[0], "depth")
        assert np.array_equal(whole, reference.run_whole(frames[0], "depth")[0])
        with pytest.raises(UserError, match="has no power rails"):
            accelerator.power()


def test_stream_on_csim(csim_board, board_build):
    check_stream(board_build, pictures(8), csim_board)


@pytest.mark.parametrize("interrupts", [True, False], ids=["interrupt", "polling"])
def test_stream_on_rtl(rtl_board, board_build, interrupts):
    rtl_board.interrupts = interrupts
    found = check_stream(board_build, pictures(6), rtl_board)
    assert (rtl_board.waits > 0) == interrupts
    cycles: dict[str, set[int]] = {}
    for result in found:
        assert set(result.counters) == {name for name, _ in COUNTERS}
        cycles.setdefault(result.task, set()).add(result.counters["cycles"])
    assert all(len(of_task) <= 2 and min(of_task) > 1000 for of_task in cycles.values())


@pytest.mark.parametrize("space", ["constant", "frame"])
def test_axi_error_in_a_stream_on_rtl(rtl_board, board_build, build, space):
    """DRAM answers SLVERR in the middle of a stream: the cause is named, everything is released, the next run is right."""
    with moesaic.open(board_build, "board") as accelerator:
        stream = accelerator.stream(itertools.cycle(pictures(2)), "depth")
        next(stream)
        if space == "constant":
            start = next(start for start, memory in rtl_board.dram.items() if len(memory) > build.constants.size)
            address = start + -start % 4096 + build.tasks["depth"].program.offset
        else:
            start = max(rtl_board.dram)
            address = start + -start % 4096 + build.image_offset
        rtl_board.machine.set_error(address)
        with pytest.raises(MachineFault) as caught:
            list(stream)
        assert caught.value.cause == Fault.AXI_READ
        rtl_board.machine.set_error(None)
        check_next_run(accelerator, board_build)
    assert rtl_board.buffers == []


def test_cycle_limit_on_rtl(rtl_board, board_build):
    with (
        moesaic.open(board_build, "board", max_cycles=500) as accelerator,
        pytest.raises(MachineFault, match="TIMEOUT"),
    ):
        accelerator.run(pictures(1)[0], "depth")
    with moesaic.open(board_build, "board") as accelerator:
        check_next_run(accelerator, board_build)


def test_control_c_while_the_rtl_runs(rtl_board, board_build):
    """The key is pressed between two polls; the machine ends its run before its memory is used again."""
    rtl_board.interrupts = False

    def press() -> None:
        if rtl_board.busy:
            rtl_board.on_poll = None
            raise KeyboardInterrupt

    with moesaic.open(board_build, "board") as accelerator:
        rtl_board.on_poll = press
        with pytest.raises(KeyboardInterrupt):
            accelerator.run(pictures(1)[0], "normals")
        assert not rtl_board.busy and rtl_board.downloads == 1, "stopped, not loaded again"
        check_next_run(accelerator, board_build)
    assert rtl_board.buffers == []


def test_interrupt_that_never_comes_on_rtl(rtl_board, board_build, monkeypatch):
    monkeypatch.setattr("moesaic.host.board._INTERRUPT_SECONDS", 0.2)
    rtl_board.lose_interrupts = True
    with moesaic.open(board_build, "board") as accelerator:
        for _ in range(2):
            check_next_run(accelerator, board_build)
    assert rtl_board.waits == 1, "after a lost interrupt STATUS is polled"


def test_time_that_stands_still_is_a_hang(rtl_board, board_build, monkeypatch):
    """No cycle passes any more: the host gives up after its own time, loads the bitstream again, and goes on."""
    rtl_board.interrupts = False
    monkeypatch.setitem(moesaic.host.board.BoardExecutor.__init__.__kwdefaults__, "timeout_seconds", 0.2)
    with moesaic.open(board_build, "board") as accelerator:
        rtl_board.hangs = True
        with pytest.raises(MachineFault, match="TIMEOUT"):
            accelerator.run(pictures(1)[0], "depth")
        assert rtl_board.downloads == 2
        rtl_board.hangs = False
        accelerator._session.executor._timeout_seconds = 60.0  # the simulation may take its time again
        check_next_run(accelerator, board_build)


def test_rtl_of_another_configuration(rtl_board, board_build, build):
    from moesaic.hls.compiler.generate import generate
    from tests.hls.networks import SMALL, network

    other = generate(network(SMALL, seed=1), load_configuration("zcu104"))
    other.save(board_build)
    with pytest.raises(UserError) as caught:
        moesaic.open(board_build, "board")
    assert build.fingerprint in str(caught.value) and other.fingerprint in str(caught.value)
    assert rtl_board.starts == 0 and rtl_board.buffers == []
