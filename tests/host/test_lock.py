"""One process at a time on the board."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import moesaic
from moesaic.errors import UserError
from moesaic.host.lock import DeviceLock
from tests.host.description import bitstream

REPOSITORY = Path(__file__).resolve().parents[2]
HOLD = (
    "import sys, time\nfrom pathlib import Path\nfrom moesaic.host.lock import DeviceLock\n"
    "lock = DeviceLock(Path(sys.argv[1]))\nprint('held', flush=True)\ntime.sleep(60)\n"
)


@pytest.fixture
def holder(lock_file):
    """Another process that has the board."""
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    words = [sys.executable, "-c", HOLD, str(lock_file)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_another_process_has_the_board(board_build, board, holder, image):
    with pytest.raises(UserError, match=f"in use by process {holder.pid}"):
        moesaic.open(board_build, "board")
    assert board.downloads == 0, "the other process's bitstream must stay"
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    with moesaic.open(board_build, "board") as accelerator:
        accelerator.run(image, "depth")


def test_a_second_opening_in_one_process(board_build, board, image):
    with moesaic.open(board_build, "board") as accelerator:
        with pytest.raises(UserError, match=f"in use by process {os.getpid()}"):
            moesaic.open(board_build, "board")
        accelerator.run(image, "depth")
    with moesaic.open(board_build, "board"):
        pass


@pytest.mark.parametrize("what", ["fingerprint", "download", "close forgotten"])
def test_the_board_is_given_back(board_build, board, build, what):
    """Also when opening fails, or when nobody closes."""
    if what == "download":
        (board_build / "accel.bit").write_bytes(b"")
        with pytest.raises(UserError, match="cannot be loaded"):
            moesaic.open(board_build, "board")
        (board_build / "accel.bit").write_bytes(bitstream())
    elif what == "fingerprint":
        board.machine.fingerprint = "0123456789abcdef"
        with pytest.raises(UserError, match="0123456789abcdef"):
            moesaic.open(board_build, "board")
        board.machine.fingerprint = build.fingerprint
    else:
        accelerator = moesaic.open(board_build, "board")
        accelerator.run(np.zeros((8, 8, 3), np.uint8), "depth")
        del accelerator
    assert board.buffers == []
    with moesaic.open(board_build, "board"):
        pass


def test_a_lock_file_that_cannot_be_opened(tmp_path):
    with pytest.raises(UserError, match="cannot be opened"):
        DeviceLock(tmp_path / "nowhere" / "lock")
