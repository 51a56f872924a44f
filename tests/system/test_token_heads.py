"""Classifications and features, whole networks: csim and RTL against the reference machine on every byte of the frame window."""

import dataclasses

import numpy as np
import pytest

from moesaic.hls.compiler.generate import generate
from moesaic.spec.build import Build, load_build
from moesaic.spec.configuration import load_configuration
from moesaic.spec.executor import MAX_CYCLES, Executor
from moesaic.spec.machine import ReferenceMachine
from tests.hls.networks import SMALL, picture, tasks_of, token_tasks_of
from tests.hls.random_bundle import random_bundle

NETWORK = dataclasses.replace(SMALL, prefix_tokens=2)
TASKS = tasks_of(NETWORK) | token_tasks_of(NETWORK)


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory):
    path = tmp_path_factory.mktemp("token_heads") / "build"
    generate(random_bundle(NETWORK, TASKS, 7), load_configuration("tiny"), observe=True).save(path)
    return path


@pytest.fixture(scope="module")
def build(directory) -> Build:
    return load_build(directory)


@pytest.fixture(scope="module")
def expected(build: Build) -> dict[str, np.ndarray]:
    return {task: frame_after(build, ReferenceMachine(build.configuration), task) for task in build.tasks}


def frame_after(build: Build, machine: Executor, task: str) -> np.ndarray:
    memory = build.new_memory()
    build.write_image(memory.frame, picture(NETWORK, 4))
    machine.run(build.tasks[task].program, memory, MAX_CYCLES)
    return memory.frame


@pytest.mark.parametrize("task", TASKS)
def test_whole_memory_images_are_equal(build: Build, machine: Executor, expected: dict, task: str) -> None:
    assert np.array_equal(frame_after(build, machine, task), expected[task])
