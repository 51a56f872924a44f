"""An application that picks a pathway for each frame: the same integers on every executor, mistakes in one line."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import moesaic
from moesaic.hls.compiler.generate import generate
from moesaic.host.image_files import read_image
from moesaic.host.prediction_pictures import picture
from moesaic.spec.build import Build
from moesaic.spec.bundle import Alternative, Bundle
from moesaic.spec.configuration import load_configuration
from tests.hls.networks import SMALL, tasks_of
from tests.hls.random_bundle import random_bundle


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    tasks = tasks_of(SMALL)
    for name in ("normals", "depth"):
        lean = Alternative(1, {1: (0, 2)}, {"metric": "m", "float": 0.5})
        tasks[name] = replace(tasks[name], alternatives={"lean": lean})
    return random_bundle(SMALL, tasks, 1)


@pytest.fixture(scope="module")
def build(bundle) -> Build:
    return generate(bundle, load_configuration("tiny"))


@pytest.fixture(scope="module")
def saved_build(build, tmp_path_factory) -> Path:
    directory = tmp_path_factory.mktemp("pathways") / "small-tiny"
    build.save(directory)
    return directory


FRAMES = (
    ("normals", "lean"),
    ("depth", None),
    ("normals", None),
    ("depth", "lean"),
    ("segmentation", None),
    ("normals", "lean"),
)


def test_pathways_alternate_frame_by_frame_on_every_executor(saved_build, board_build, board, image):
    results = {}
    for name, directory in (("reference", saved_build), ("emulator", saved_build), ("board", board_build)):
        with moesaic.open(directory, name) as accelerator:
            results[name] = [accelerator.run(image, *frame) for frame in FRAMES]
    for name in ("emulator", "board"):
        for frame, expected, found in zip(FRAMES, results["reference"], results[name], strict=True):
            assert (found.task, found.pathway) == frame
            assert np.array_equal(found.raw, expected.raw)
    assert not np.array_equal(results["board"][0].raw, results["board"][2].raw)
    assert np.array_equal(results["board"][0].raw, results["board"][5].raw)
    assert board.starts == len(FRAMES)


def test_a_task_lists_its_pathways(saved_build):
    with moesaic.open(saved_build, "reference") as accelerator:
        tasks = accelerator.tasks
    assert list(tasks["normals"].alternatives) == ["lean"] and not tasks["segmentation"].alternatives
    lean = tasks["normals"].alternatives["lean"]
    assert lean.macs < tasks["normals"].macs and lean.metrics == {"metric": "m", "float": 0.5}


def test_the_command_takes_a_pathway(run_moesaic, saved_build, image, image_file, tmp_path):
    words = ("run", saved_build, image_file, "--executor", "reference", "--output", tmp_path / "out")
    code, out, _ = run_moesaic(*words, "--tasks", "normals@lean")
    assert code == 0 and "normals@lean: " in out
    with moesaic.open(saved_build, "reference") as accelerator:
        result = accelerator.run(image, "normals", "lean")
    written = read_image(tmp_path / "out" / "photograph.normals@lean.png")
    assert np.array_equal(written, picture(result.kind, result.decoded))


def test_a_pathway_that_a_task_lacks_is_refused_before_anything_is_written(
    run_moesaic, saved_build, image_file, tmp_path
):
    words = ("run", saved_build, image_file, "--executor", "reference", "--output", tmp_path / "out")
    code, _, error = run_moesaic(*words, "--tasks", "segmentation@lean")
    assert code == 2 and error.count("\n") == 1
    assert "unknown pathway 'lean' of task segmentation" in error and "no alternative" in error
    code, _, error = run_moesaic(*words, "--tasks", "normals@fast")
    assert code == 2 and "the alternatives lean" in error
    assert not (tmp_path / "out").exists()
