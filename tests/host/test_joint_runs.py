"""Several results of one run: the same integers as from runs of their own, in fewer runs, through every way of running."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import numpy as np
import pytest

import moesaic
from moesaic.errors import UserError
from moesaic.hls.compiler.generate import generate
from moesaic.host.result import FrameFault
from moesaic.host.selftest import FAILED, PASSED, Machine, checks_of, run_check
from moesaic.spec.build import load_build
from moesaic.spec.configuration import load_configuration
from moesaic.spec.joint_programs import one_picture, one_task
from moesaic.spec.machine import ReferenceMachine
from tests.hls.networks import SMALL, picture
from tests.host.description import bitstream, description

SETS = [
    one_picture(("normals", "depth")),
    one_picture(("depth", "segmentation", "normals@1x1")),
    one_task("depth", 3),
    one_task("depth", 2),
]
IMAGES = [picture(SMALL, n) for n in range(7)]


class CountedRuns(ReferenceMachine):
    """A machine that counts its runs."""

    runs = 0

    def run(self, program, memory, max_cycles):
        self.runs += 1
        return super().run(program, memory, max_cycles)


@pytest.fixture(scope="module")
def directory(bundle, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("joint") / "build"
    generate(bundle, load_configuration("tiny"), joint=SETS).save(path)
    return path


@pytest.fixture
def machine(directory) -> CountedRuns:
    return CountedRuns(load_configuration("tiny"))


@pytest.fixture
def accelerator(directory, machine):
    with moesaic.open(directory, machine) as opened:
        yield opened


def raw(accelerator, image: np.ndarray, name: str) -> np.ndarray:
    return accelerator.run(image, *name.split("@")).raw


@pytest.mark.parametrize(
    ("names", "runs"),
    [
        (["normals", "depth"], 1),
        (("depth", "normals"), 1),
        (["normals@1x1", "depth", "segmentation"], 1),
        (["depth", "segmentation"], 2),
        (["depth"], 1),
        (["depth", "normals", "depth"], 1),
    ],
    ids=str,
)
def test_tasks_of_an_image(accelerator, machine, names, runs: int) -> None:
    """By their names, in the order asked, from one run if the build has a program for just these."""
    results = accelerator.run(IMAGES[1], names)
    assert machine.runs == runs
    assert list(results) == list(dict.fromkeys(names))
    for name, result in results.items():
        assert np.array_equal(result.raw, raw(accelerator, IMAGES[1], name)), name
        assert result.shared == len(results) // runs
        assert set(result.seconds) == {"prepare", "upload", "compute", "download", "decode"}


@pytest.mark.parametrize(("images", "runs"), [(1, 1), (2, 1), (3, 1), (4, 2), (7, 3), (0, 0)])
def test_images_of_a_task(accelerator, machine, images: int, runs: int) -> None:
    """Three at a time, then two, then one."""
    results = accelerator.run_batch(IMAGES[:images], "depth")
    assert machine.runs == runs
    assert [result.index for result in results] == list(range(images))
    for image, result in zip(IMAGES, results):
        assert np.array_equal(result.image, image)
        assert np.array_equal(result.raw, raw(accelerator, image, "depth"))


def test_images_of_a_pathway_without_a_program_are_run_one_by_one(accelerator, machine) -> None:
    results = accelerator.run_batch(IMAGES[:2], "normals", "1x1")
    assert machine.runs == 2
    assert [result.pathway for result in results] == ["1x1", "1x1"]


def test_a_stream_runs_the_tasks_of_a_frame_together(accelerator, machine) -> None:
    """Frames take turns between a set with a program and one without."""
    sets = [("depth", "normals"), ("depth", "segmentation")]
    results = list(accelerator.stream(IMAGES[:4], sets))
    assert machine.runs == 2 * 1 + 2 * 2
    assert [(result.index, result.task) for result in results] == [(n, task) for n in range(4) for task in sets[n % 2]]
    for result in results:
        assert np.array_equal(result.raw, raw(accelerator, IMAGES[result.index], result.task))


def test_a_stream_of_newest_frames_runs_the_tasks_of_a_frame_together(accelerator, machine) -> None:
    results = list(accelerator.stream(IMAGES[:1], [("depth", "normals")], newest=True))
    assert machine.runs == 1
    assert [(result.index, result.task, result.shared) for result in results] == [(0, "depth", 2), (0, "normals", 2)]


@pytest.mark.parametrize(("batch", "runs"), [(1, 7), (2, 4), (3, 3)])
def test_a_stream_in_batches(accelerator, machine, batch: int, runs: int) -> None:
    """What is left at the end is run alone."""
    results = list(accelerator.stream(iter(IMAGES), "depth", batch=batch))
    assert machine.runs == runs
    assert [result.index for result in results] == list(range(7))
    for result in results:
        assert np.array_equal(result.raw, raw(accelerator, IMAGES[result.index], "depth"))


def test_batches_end_where_the_task_changes(accelerator, machine) -> None:
    tasks = ["depth", "depth", "normals", "depth", "depth", "depth"]
    results = list(accelerator.stream(IMAGES[:6], lambda index: tasks[index], batch=2))
    assert [(result.index, result.task) for result in results] == list(enumerate(tasks))
    assert machine.runs == 1 + 1 + 1 + 1  # 0 and 1, 2, 3 and 4, 5
    for result in results:
        assert np.array_equal(result.raw, raw(accelerator, IMAGES[result.index], result.task))


def test_the_error_of_a_frame_comes_after_the_results_before_it(accelerator) -> None:
    """The beginning of a batch is run although the batch does not get complete."""
    stream = accelerator.stream([*IMAGES[:2], b"no image"], "depth", batch=3)
    assert [next(stream).index, next(stream).index] == [0, 1]
    with pytest.raises(UserError, match="frame 2"):
        next(stream)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((IMAGES[0], []), "a run of 0 tasks; build .* has depth, normals, segmentation"),
        ((IMAGES[0], ["depth", "colour"]), "unknown task 'colour'"),
        ((IMAGES[0], ["depth", 3]), "a task is named by a text, not by int 3"),
        ((IMAGES[0], ["depth", "normals"], "1x1"), "pathway '1x1' of 2 tasks: name each as TASK@PATHWAY"),
    ],
    ids=["none", "unknown", "number", "pathway"],
)
def test_wrong_sets_of_tasks(accelerator, machine, arguments, message: str) -> None:
    with pytest.raises(UserError, match=message):
        accelerator.run(*arguments)
    assert machine.runs == 0


@pytest.mark.parametrize(
    ("batch", "options", "message"),
    [
        (0, {}, "in batches of 0 frames"),
        (2.0, {}, "in batches of 2.0 frames"),
        (
            5,
            {},
            r"no joint program of 5 images of depth \(of so many it has some: 3, 2\); make one with `moesaic generate --batch 5`",
        ),
        (2, {"newest": True}, "newest frames in batches of 2"),
    ],
    ids=["zero", "real", "unknown", "newest"],
)
def test_wrong_batches(accelerator, batch, options, message: str) -> None:
    with pytest.raises(UserError, match=message):
        accelerator.stream(IMAGES, "depth", batch=batch, **options)


def test_a_fault_names_all_that_the_run_was_for(accelerator, machine, monkeypatch) -> None:
    monkeypatch.setattr(accelerator._phases, "_max_cycles", 0)
    broken = dataclasses.replace(accelerator.build.joint[0].program, size=64 * 3)
    monkeypatch.setattr(accelerator.build, "joint", (dataclasses.replace(accelerator.build.joint[0], program=broken),))
    with pytest.raises(FrameFault, match=r"task normals\+depth: the machine stopped"):
        accelerator.run(IMAGES[0], ["normals", "depth"])
    assert accelerator.run(IMAGES[0], "depth").task == "depth"


@pytest.mark.parametrize("executor", ["board", "emulator"])
def test_on_a_board_every_image_is_uploaded_and_every_output_fetched(board, directory, tmp_path, executor: str) -> None:
    """The mock board has memory of its own; the emulator's is the processor's."""
    own = Path(shutil.copytree(directory, tmp_path / "build"))
    (own / "accel.bit").write_bytes(bitstream())
    (own / "accel.hwh").write_text(description())
    with moesaic.open(own, executor) as accelerator:
        expected = [accelerator.run(image, "depth").raw for image in IMAGES[:2]]
        assert [result.shared for result in accelerator.run(IMAGES[0], ["normals", "depth"]).values()] == [2, 2]
        assert np.array_equal(accelerator.run(IMAGES[0], ["normals", "depth"])["depth"].raw, expected[0])
        found = accelerator.run_batch(IMAGES[:2], "depth")
        assert [result.shared for result in found] == [2, 2]
        assert all(np.array_equal(result.raw, raw) for result, raw in zip(found, expected, strict=True))


@pytest.mark.parametrize("label", ["normals+depth", "depth of 3 images"])
def test_selftest_compares_joint_programs_with_runs_of_their_own(directory, machine, label: str) -> None:
    """And names the first byte in which they differ: here the output of another picture is taken for one of the members."""
    build = load_build(directory)
    checks = checks_of(Machine(machine, build, "machine"), list(build.pathways), None)
    assert [name for name in checks if name.startswith("joint")] == [f"joint {joint.label}" for joint in build.joint]
    found = run_check(label, checks[f"joint {label}"])
    assert (found.state, found.figures["against"]) == (PASSED, "runs of their own")
    (joint,) = [joint for joint in build.joint if joint.label == label]
    first, second, *others = joint.members
    moved = dataclasses.replace(second, output_offset=build.image_offset)
    build.joint = (dataclasses.replace(joint, members=(first, moved, *others)),)
    found = run_check(
        label, checks_of(Machine(machine, build, "machine"), list(build.pathways), None)[f"joint {label}"]
    )
    assert found.state == FAILED and f"by {label}, output against a run of its own" in found.detail


def test_selftest_of_chosen_tasks_leaves_joint_programs_of_others_out(directory, machine) -> None:
    checks = checks_of(Machine(machine, load_build(directory), "machine"), ["depth", "normals"], None)
    labels = [name for name in checks if name.startswith("joint")]
    assert labels == ["joint normals+depth", "joint depth of 3 images", "joint depth of 2 images"]
