"""Joint programs of whole networks: csim and RTL against the reference machine on every byte of the frame window."""

import numpy as np
import pytest

from moesaic.hls.compiler.generate import generate
from moesaic.spec.build import Build, load_build
from moesaic.spec.configuration import load_configuration
from moesaic.spec.executor import MAX_CYCLES, Executor
from moesaic.spec.joint_programs import one_picture, one_task
from moesaic.spec.machine import ReferenceMachine
from tests.hls.networks import SMALL, picture, tasks_of
from tests.hls.random_bundle import random_bundle

SETS = {
    "all tasks": one_picture(("normals", "segmentation", "depth")),
    "four images": one_task("normals", 4),
    "two tasks of two images": (("normals", 1), ("depth", 0), ("normals", 0), ("depth", 1)),
}


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory):
    path = tmp_path_factory.mktemp("joint") / "build"
    bundle = random_bundle(SMALL, tasks_of(SMALL), 7)
    generate(bundle, load_configuration("tiny"), observe=True, joint=list(SETS.values())).save(path)
    return path


@pytest.fixture(scope="module")
def build(directory) -> Build:
    return load_build(directory)


@pytest.fixture(scope="module")
def expected(build: Build) -> list[np.ndarray]:
    return [frame_after(build, ReferenceMachine(build.configuration), n) for n in range(len(SETS))]


def frame_after(build: Build, machine: Executor, number: int) -> np.ndarray:
    joint, memory = build.joint[number], build.new_memory()
    for image, offset in enumerate(joint.image_offsets):
        build.write_image(memory.frame, picture(SMALL, image), offset)
    machine.run(joint.program, memory, MAX_CYCLES)
    return memory.frame


@pytest.mark.parametrize("number", range(len(SETS)), ids=SETS)
def test_whole_memory_images_are_equal(build: Build, machine: Executor, expected: list, number: int) -> None:
    assert np.array_equal(frame_after(build, machine, number), expected[number])
