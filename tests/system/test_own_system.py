"""The example of the bare accelerator in a system of one's own: a whole network through its arbiter, every byte equal to the reference."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from moesaic.hls.compiler.generate import generate
from moesaic.spec.configuration import load_configuration
from tests.hls.networks import SMALL, network, picture

EXAMPLE = Path(__file__).parents[2] / "examples" / "own_system" / "simulate.py"


@pytest.fixture(scope="module")
def example():
    specification = importlib.util.spec_from_file_location("own_system_simulate", EXAMPLE)
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def test_a_network_gives_the_bytes_of_the_reference(example):
    build = generate(network(SMALL, seed=3), load_configuration("tiny"))
    simulated, reference = example.simulate(build, "depth", picture(SMALL, seed=3))
    assert np.array_equal(simulated, reference)
    output = build.task("depth").output_offset
    assert not (reference[output : output + 64] == 0xA5).all()


def test_the_command_tells_how_many_bytes_differ(example, tmp_path, monkeypatch, capsys):
    generate(network(SMALL, seed=3), load_configuration("tiny")).save(tmp_path / "build")
    one, other = np.zeros(1600, np.uint8), np.zeros(1600, np.uint8)
    other[:5] = 1
    monkeypatch.setattr(example, "simulate", lambda build, task, image: (one, other))
    assert example.main([str(tmp_path / "build"), "--task", "depth"]) == 1
    assert "5 of 1,600 bytes of the frame window differ" in capsys.readouterr().out
    monkeypatch.setattr(example, "simulate", lambda build, task, image: (one, one))
    assert example.main([str(tmp_path / "build"), "--task", "depth"]) == 0
