"""The whole road on a tiny network, through the command line: train, export, generate, run on every machine, report."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from moesaic.command_line import EXIT_USER_ERROR, main
from moesaic.hls.compiler.generate import generate
from moesaic.host.image_files import write_picture
from moesaic.sim.machines.rtl_executor import RtlExecutor
from moesaic.sim.machines.simulated_executors import simulated_executors
from moesaic.spec.build import Build, load_build
from moesaic.spec.bundle import Bundle, load_bundle
from moesaic.spec.configuration import load_configuration
from moesaic.spec.machine import ReferenceMachine

RECIPE = """
[model]
image_height = 40
image_width = 40
patch = 8
width = 40
depth = 2
heads = 5
mlp_hidden = 72
experts = 5
top_k = 2
expert_hidden = 24
tasks = [{ name = "segmentation", channels = 6 }, { name = "depth", channels = 1 }, { name = "normals", channels = 3 }]

[training]
steps = 25
batch = 6
learning_rate = 2e-3
warmup = 5
pool = 32
"""
TASKS = ("depth", "normals", "segmentation")


@dataclasses.dataclass(frozen=True)
class Road:
    """Where the stages of one trip lie."""

    root: Path

    @property
    def checkpoint(self) -> Path:
        return self.root / "model.safetensors"

    @property
    def bundle(self) -> Path:
        return self.root / "bundle"

    @property
    def build(self) -> Path:
        return self.root / "build"

    def load(self) -> tuple[Bundle, Build]:
        return load_bundle(self.bundle), load_build(self.build)


def command(*words: object) -> int:
    return main([str(word) for word in words])


@pytest.fixture(scope="session")
def road(tmp_path_factory: pytest.TempPathFactory) -> Road:
    torch.set_num_threads(1)
    road = Road(tmp_path_factory.mktemp("road"))
    (road.root / "small.toml").write_text(RECIPE)
    assert command("train", "--recipe", road.root / "small.toml", "--checkpoint", road.checkpoint) == 0
    assert command("export", "--checkpoint", road.checkpoint, "--output", road.bundle, "--samples", 8) == 0
    assert command("generate", road.bundle, "--config", "tiny", "--output", road.build) == 0
    return road


@pytest.fixture(scope="session")
def observed(road: Road) -> Build:
    """The same network, every layer's result stored in the frame window."""
    return generate(load_bundle(road.bundle), load_configuration("tiny"), observe=True)


def frame_after(build: Build, machine, task: str, image: np.ndarray) -> np.ndarray:
    memory = build.new_memory()
    build.write_image(memory.frame, image)
    machine.run(build.task(task).program, memory, 10_000_000)
    return memory.frame


def test_every_layer_on_the_machine_is_the_golden_vector_of_the_bundle(road: Road, observed: Build) -> None:
    golden = load_bundle(road.bundle).golden
    machine, compared = ReferenceMachine(observed.configuration), 0
    for name, task in observed.tasks.items():
        frame = frame_after(observed, machine, name, golden["image"])
        for layer, place in task.observations.items():
            assert np.array_equal(place.read(frame), golden[f"{name}/{layer}"]), f"{name}/{layer}"
            compared += 1
        assert np.array_equal(observed.read_output(frame, name), golden[f"{name}/output"])
    assert compared >= len(TASKS) * 17


@pytest.mark.parametrize("name", ["emulator", "rtl", "rtl with random DRAM timing"])
def test_whole_memory_images_are_equal_for_every_task_and_layer(road: Road, observed: Build, name: str) -> None:
    """On one machine, tasks alternating; every layer is in the image."""
    image = load_bundle(road.bundle).golden["image"]
    if name in ("emulator", "rtl"):
        machine = simulated_executors(road.build, observed.configuration)[name]()
    else:
        machine = RtlExecutor(road.build / "rtl", observed.configuration, random_seed=5)
    try:
        for task in (*TASKS, *TASKS[:1]):
            expected = frame_after(observed, ReferenceMachine(observed.configuration, seed=1), task, image)
            assert np.array_equal(frame_after(observed, machine, task, image), expected), task
    finally:
        machine.close()


def test_report_of_the_road(road: Road, capsys: pytest.CaptureFixture) -> None:
    output = road.root / "report"
    words = (road.bundle, road.build, "--checkpoint", road.checkpoint, "--output", output)
    assert command("report", *words) == 0
    assert str(output / "report.html") in capsys.readouterr().out
    report = json.loads((output / "report.json").read_text())
    bundle, build = road.load()
    assert set(report["tasks"]) == set(TASKS)
    for name, task in report["tasks"].items():
        assert {key: task[key] for key in ("float", "integer", "metric")} == {
            key: bundle.tasks[name].metrics[key] for key in ("float", "integer", "metric")
        }
        assert 0 < task["rtl"]["utilisation"] <= task["rtl"]["array_busy"] < 1
    rtl = report["executors"]["rtl"]
    assert rtl["frames"] == 2 * 3 * len(TASKS) and rtl["cycles"] > 0 and rtl["mismatched_bytes"] == 0
    assert report["executors"]["emulator"]["mismatched_bytes"] == 0 and "reference" in report["executors"]
    assert report["integer_network"]["mismatched_outputs"] == 0
    assert report["task_switch_extra_cycles"] == 0
    assert report["router_topk_agreement"] == bundle.report["router_topk_agreement"]
    assert report["fingerprint"] == build.fingerprint


def test_the_runtime_gives_the_integers_of_the_simulation(road: Road, tmp_path: Path) -> None:
    from moesaic.host.runtime import open_build

    bundle = load_bundle(road.bundle)
    image = bundle.golden["image"]
    with open_build(road.build, "emulator") as accelerator:
        assert set(accelerator.tasks) == set(TASKS)
        for task in (*TASKS, *TASKS):
            assert np.array_equal(accelerator.run(image, task).raw, bundle.golden[f"{task}/output"])
    write_picture(tmp_path / "photo.png", image)
    assert (
        command("run", road.build, tmp_path / "photo.png", "--output", tmp_path / "out", "--executor", "emulator") == 0
    )
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [f"photo.{task}.png" for task in TASKS]


def test_generating_twice_gives_the_same_bytes(road: Road, tmp_path: Path) -> None:
    assert command("generate", road.bundle, "--output", tmp_path / "again") == 0
    contents = [
        {path.relative_to(directory): path.read_bytes() for path in directory.rglob("*") if path.is_file()}
        for directory in (road.build, tmp_path / "again")
    ]
    assert contents[0] == contents[1]


# --- bad input: one line, exit code 2, nothing half written ------------------------------------------------------------


def refused(capsys: pytest.CaptureFixture, *words: object) -> str:
    capsys.readouterr()
    assert command(*words) == EXIT_USER_ERROR
    error = capsys.readouterr().err
    assert error.startswith("error: ") and error.count("\n") == 1 and "Traceback" not in error
    return error


@pytest.fixture
def bundle_copy(road: Road, tmp_path: Path) -> Path:
    shutil.copytree(road.bundle, tmp_path / "copy")
    return tmp_path / "copy"


def test_a_missing_bundle(capsys: pytest.CaptureFixture, tmp_path: Path) -> None:
    error = refused(capsys, "generate", tmp_path / "none", "--output", tmp_path / "out")
    assert "bundle.json is missing" in error and "moesaic export" in error
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("damage", ["truncated", "one bit", "missing"])
@pytest.mark.parametrize("name", ["tensors.npz", "golden.npz", "model.onnx"])
def test_a_damaged_bundle(capsys: pytest.CaptureFixture, bundle_copy: Path, name: str, damage: str) -> None:
    path = bundle_copy / name
    data = bytearray(path.read_bytes())
    if damage == "truncated":
        path.write_bytes(data[: len(data) // 2])
    elif damage == "one bit":
        data[len(data) // 2] ^= 4
        path.write_bytes(data)
    else:
        path.unlink()
    error = refused(capsys, "generate", bundle_copy, "--output", bundle_copy.parent / "out")
    assert name in error and ("missing" if damage == "missing" else "SHA-256") in error
    assert [path.name for path in bundle_copy.parent.iterdir()] == ["copy"]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        '{"format": "moesaic bundle", "version": 99}',
        '{"format": "moesaic bundle", "version": 1}',
        '{"format": "moesaic bundle", "version": 1, "files": {}}',
    ],
)
def test_a_bundle_without_a_readable_manifest(capsys: pytest.CaptureFixture, bundle_copy: Path, text: str) -> None:
    (bundle_copy / "bundle.json").write_text(text)
    assert "bundle.json" in refused(capsys, "generate", bundle_copy, "--output", bundle_copy.parent / "out")
    assert not (bundle_copy.parent / "out").exists()


def test_a_model_that_does_not_fit(capsys: pytest.CaptureFixture, road: Road, tmp_path: Path) -> None:
    tiny = (Path(__file__).parents[2] / "configs" / "tiny.toml").read_text()
    (tmp_path / "less.toml").write_text(
        tiny.replace("weight_bytes = 131072", "weight_bytes = 8192").replace("shared_bytes = 32768", "shared_bytes = 0")
    )
    error = refused(capsys, "generate", road.bundle, "--config", tmp_path / "less.toml", "--output", tmp_path / "out")
    numbers = [int(word) for word in error.split() if word.isdigit()]
    assert "weight memory" in error and len(numbers) >= 2 and numbers[0] > numbers[1]
    assert not (tmp_path / "out").exists()


def test_a_build_of_another_configuration(capsys: pytest.CaptureFixture, road: Road, tmp_path: Path) -> None:
    """A build whose sources are of another configuration than its programs: both fingerprints are printed."""
    bundle, build = road.load()
    other = dataclasses.replace(build.configuration, name="other", tile_rows=2)
    foreign = generate(bundle, other)
    foreign.files = build.files
    foreign.save(tmp_path / "foreign")
    write_picture(tmp_path / "photo.png", bundle.golden["image"])
    words = (tmp_path / "foreign", tmp_path / "photo.png", "--executor", "emulator", "--output", tmp_path / "out")
    error = refused(capsys, "run", *words)
    assert build.fingerprint in error and other.fingerprint in error
    assert not (tmp_path / "out").exists()


def test_a_report_of_things_that_do_not_belong_together(
    capsys: pytest.CaptureFixture, road: Road, tmp_path: Path
) -> None:
    output = ("--output", tmp_path / "out")
    assert "unknown executor 'fpga'" in refused(
        capsys, "report", road.bundle, road.build, "--executors", "fpga", *output
    )
    assert "checkpoint" in refused(
        capsys, "report", road.bundle, road.build, "--checkpoint", tmp_path / "none", *output
    )
    assert "is no moesaic build" in refused(capsys, "report", road.bundle, road.bundle, *output)
    assert not (tmp_path / "out").exists()


def test_an_unknown_task_and_an_unreadable_picture(capsys: pytest.CaptureFixture, road: Road, tmp_path: Path) -> None:
    write_picture(tmp_path / "photo.png", np.zeros((8, 8, 3), np.uint8))
    error = refused(capsys, "run", road.build, tmp_path / "photo.png", "--tasks", "edges", "--output", tmp_path / "out")
    assert "unknown task 'edges'" in error and ", ".join(TASKS) in error
    (tmp_path / "broken.png").write_bytes((tmp_path / "photo.png").read_bytes()[:30])
    assert "broken.png" in refused(capsys, "run", road.build, tmp_path / "broken.png", "--output", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_outputs_that_cannot_be_written(capsys: pytest.CaptureFixture, road: Road, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    place = tmp_path / "file" / "below"
    for words in (
        ("export", "--checkpoint", road.checkpoint, "--output", place),
        ("generate", road.bundle, "--output", place),
        ("report", road.bundle, road.build, "--output", place),
    ):
        assert f"{place} cannot be written (Not a directory)" in refused(capsys, *words)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_checkpoint_of_another_network(capsys: pytest.CaptureFixture, road: Road, tmp_path: Path) -> None:
    (tmp_path / "wide.toml").write_text(RECIPE.replace("width = 40", "width = 80"))
    words = ("--recipe", tmp_path / "wide.toml", "--checkpoint", road.checkpoint, "--resume")
    assert "width = 40, the recipe has 80" in refused(capsys, "train", *words)
