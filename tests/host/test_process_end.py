"""However a program that streams comes to its end, it ends, and the machine is idle and its memory given back."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
DEADLINE = 60.0
"""Seconds that no end takes, however busy the machine is; an end that hangs takes far longer."""

# What is registered first is called last: after everything that gives something back.
PROGRAM = """
import atexit, itertools, signal, sys, threading, time
signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job of a shell ignores it
atexit.register(lambda: print("buffers", len(board.buffers), "busy", board.busy, flush=True))
from pathlib import Path
import numpy as np
import moesaic.host.lock, moesaic.host.frame_pipeline, moesaic.host.frame_stream
from moesaic.host.board import BoardExecutor
from moesaic.spec.build import load_build
from moesaic.spec.machine import ReferenceMachine
from tests.host.mock_pynq import Board, make_module

directory, lock_file, interrupts, stop_seconds = sys.argv[1:]
moesaic.host.lock.default_lock_file = lambda: Path(lock_file)
moesaic.host.frame_pipeline._STOP_SECONDS = moesaic.host.frame_stream._STOP_SECONDS = float(stop_seconds)
board = Board(ReferenceMachine(load_build(directory).configuration), interrupts=interrupts == "True")
sys.modules["pynq"] = make_module(board)
BoardExecutor.__init__.__kwdefaults__["timeout_seconds"] = 1000.0
frame = np.zeros((40, 40, 3), np.uint8)
close = moesaic.host.frame_pipeline.Pipeline.close

def told(pipeline):
    print("closing", flush=True)
    close(pipeline)

moesaic.host.frame_pipeline.Pipeline.close = told

def blocked():
    yield frame
    threading.Event().wait()
"""
OPEN = """
accelerator = moesaic.open(directory, "board")
stream = accelerator.stream(itertools.cycle([frame]), "depth")
next(stream)
"""
HANGING = """
def watch():
    while not (board.hangs and board.busy):
        time.sleep(0.001)
    print("waiting", flush=True)

threading.Thread(target=watch, daemon=True).start()
with moesaic.open(directory, "board") as accelerator:
    stream = accelerator.stream(itertools.cycle([frame]), "depth")
    next(stream)
    board.hangs = True
    list(stream)
"""
RUNNING = """
def watch():
    while not (board.hangs and board.busy):
        time.sleep(0.001)
    print("waiting", flush=True)

threading.Thread(target=watch, daemon=True).start()
board.hangs = True
with moesaic.open(directory, "board") as accelerator:
    board.hangs = True
    futures = [accelerator.submit(frame, "depth") for _ in range(9)]
    accelerator.run(frame, "depth")
"""
BLOCKED = """
with moesaic.open(directory, "board") as accelerator:
    stream = accelerator.stream(blocked(), "depth")
    next(stream)
    print("waiting", flush=True)
    list(stream)
"""


@pytest.fixture
def start(board_build, lock_file):
    """Starts PROGRAM and more of it; ends what a test leaves."""
    processes = []

    def start(more: str, interrupts: bool = False, stop_seconds: float = 1.0) -> subprocess.Popen:
        words = [sys.executable, "-c", PROGRAM + more, board_build, lock_file, interrupts, stop_seconds]
        process = subprocess.Popen(
            [str(word) for word in words],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=REPOSITORY,
            env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        )  # fmt: skip
        processes.append(process)
        return process

    yield start
    for process in processes:
        process.kill()
        process.communicate()


def check_end(process: subprocess.Popen, code: int) -> str:
    """Returns what it wrote to stderr."""
    out, err = process.communicate(timeout=DEADLINE)
    assert "buffers 0 busy False" in out.splitlines(), err
    assert process.returncode == code, err
    return err


@pytest.mark.parametrize(
    ("more", "code", "said"),
    [("", 0, ""), ("raise ValueError('mine')", 1, "ValueError: mine\n"), ("sys.exit(3)", 3, "")],
    ids=["end", "uncaught exception", "exit"],
)
def test_a_stream_that_is_left_open(start, more, code, said):
    err = check_end(start(OPEN + more), code)
    assert err.endswith(said) and bool(err) == bool(said)


@pytest.mark.parametrize("interrupts", [False, True], ids=["polling", "interrupt"])
def test_control_c_while_the_machine_hangs(start, interrupts):
    process = start(HANGING, interrupts)
    assert process.stdout.readline() == "waiting\n"
    process.send_signal(signal.SIGINT)
    assert check_end(process, -signal.SIGINT).endswith("KeyboardInterrupt\n")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_a_run_waits_behind_others(start, number):
    process = start(f"from moesaic.command_line import _terminate; signal.signal({number:d}, _terminate)\n" + RUNNING)
    assert process.stdout.readline() == "waiting\n"
    process.send_signal(number)
    check_end(process, 143)


def test_control_c_while_the_camera_delivers_nothing(start):
    process = start(BLOCKED)
    assert process.stdout.readline() == "waiting\n"
    process.send_signal(signal.SIGINT)
    assert check_end(process, -signal.SIGINT).endswith("KeyboardInterrupt\n")


def test_control_c_again_while_the_build_is_closed(start):
    """First the loop is left, then the `with` block, which waits for the frame in the machine no longer and closes the board."""
    process = start(HANGING, stop_seconds=1000.0)
    for line in ("waiting\n", "closing\n"):
        assert process.stdout.readline() == line
        process.send_signal(signal.SIGINT)
    check_end(process, -signal.SIGINT)
