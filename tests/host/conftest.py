"""A generated build of a small network with random weights, a board that holds it, and images."""

import shutil
import sys
from collections.abc import Iterator
from dataclasses import replace
from importlib.metadata import EntryPoint
from pathlib import Path

import numpy as np
import pytest

from moesaic.hls.compiler.generate import generate
from moesaic.host.png import encode_png
from moesaic.spec.build import Build
from moesaic.spec.bundle import Alternative, Bundle
from moesaic.spec.configuration import load_configuration
from moesaic.spec.machine import ReferenceMachine
from tests.hls.networks import SMALL, tasks_of
from tests.hls.random_bundle import random_bundle
from tests.host import pynq_device
from tests.host.description import bitstream, description
from tests.host.mock_pynq import Board, make_module

PYPROJECT = Path(__file__).resolve().parents[2] / "pyproject.toml"


@pytest.fixture(scope="session")
def bundle() -> Bundle:
    """Three tasks; that of normals has an alternative pathway, through one expert."""
    tasks = tasks_of(SMALL)
    fewer = Alternative(1, dict.fromkeys(SMALL.moe_blocks, (2,)), {"metric": "mean angle", "integer": 21.5})
    return random_bundle(SMALL, {**tasks, "normals": replace(tasks["normals"], alternatives={"1x1": fewer})}, seed=1)


@pytest.fixture(scope="session")
def build(bundle) -> Build:
    return generate(bundle, load_configuration("tiny"))


@pytest.fixture(scope="session")
def saved_build(build, tmp_path_factory) -> Path:
    """Directory of the build; not to be changed."""
    directory = tmp_path_factory.mktemp("build") / "small-tiny"
    build.save(directory)
    return directory


@pytest.fixture
def own_build(saved_build, tmp_path) -> Path:
    """A copy of the build that a test may damage."""
    return Path(shutil.copytree(saved_build, tmp_path / "build"))


@pytest.fixture(autouse=True)
def lock_file(tmp_path, monkeypatch) -> Path:
    """Of this test alone: tests run side by side."""
    path = tmp_path / "board.lock"
    monkeypatch.setattr("moesaic.host.lock.default_lock_file", lambda: path)
    return path


@pytest.fixture
def image() -> np.ndarray:
    return np.random.default_rng(7).integers(0, 256, (45, 61, 3)).astype(np.uint8)


@pytest.fixture
def image_file(image, tmp_path) -> Path:
    path = tmp_path / "photograph.png"
    path.write_bytes(encode_png(image))
    return path


@pytest.fixture
def board(build, tmp_path) -> Iterator[Board]:
    """The mock board, in place of the package pynq, or below the real one where that is installed (`make test-host-pynq`)."""
    board = Board(ReferenceMachine(build.configuration))
    with pytest.MonkeyPatch.context() as patch:
        if pynq_device.INSTALLED:
            device = pynq_device.install(board, tmp_path / "system", patch)
            yield board
            device.close()
        else:
            patch.setitem(sys.modules, "pynq", make_module(board))
            yield board


@pytest.fixture
def no_pynq(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "pynq", None)


@pytest.fixture
def board_build(own_build) -> Path:
    """A build with its bitstream."""
    (own_build / "accel.bit").write_bytes(bitstream())
    (own_build / "accel.hwh").write_text(description())
    return own_build


@pytest.fixture
def run_moesaic(monkeypatch, capsys):
    """Run the command line with the commands that pyproject.toml declares; returns (exit code, stdout, stderr)."""
    import tomllib

    from moesaic import command_line

    declared = tomllib.loads(PYPROJECT.read_text())["project"]["entry-points"][command_line.GROUP]
    entries = [EntryPoint(name, value, command_line.GROUP) for name, value in declared.items()]
    monkeypatch.setattr(command_line, "entry_points", lambda group: entries)

    def run(*words: object) -> tuple[int, str, str]:
        code = command_line.main([str(word) for word in words])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run
