"""The demo on a network of one task: what it writes, and which checkpoints it goes on with."""

from __future__ import annotations

import dataclasses
import io
import json
from pathlib import Path

import pytest
import torch
from rich.console import Console

from moesaic.errors import InternalError
from moesaic.model.recipes.recipe import ModelConfiguration, Recipe, TaskConfiguration, TrainingConfiguration
from moesaic.model.training import checkpoint
from moesaic.sim.measurements.road.demo import Demo
from moesaic.sim.measurements.road.inputs import photographs, rendered_scenes
from moesaic.spec.build import Build
from moesaic.spec.configuration import load_configuration

pytestmark = pytest.mark.usefixtures("without_onnx")

RECIPE = Recipe(
    ModelConfiguration(
        image_height=16, image_width=24, patch=8, width=16, depth=2, heads=2, mlp_hidden=24, experts=3, top_k=1, expert_hidden=16,
        tasks=(TaskConfiguration("depth", 1),),
    ),
    TrainingConfiguration(steps=6, batch=4, learning_rate=1e-3, warmup=2, pool=8),
)  # fmt: skip


def demo(directory: Path, recipe: Recipe = RECIPE) -> tuple[Demo, io.StringIO]:
    torch.set_num_threads(1)
    text = io.StringIO()
    samples = photographs(16, 24) + rendered_scenes(1, 16, 24)
    console = Console(file=text, width=100)
    return Demo(
        directory, recipe, load_configuration("tiny"), samples, console, validation=4, executors=("emulator",)
    ), text


def test_a_second_demo_trains_again_only_what_is_not_there(tmp_path: Path) -> None:
    first, text = demo(tmp_path)
    report = first.run()
    assert json.loads((tmp_path / "report.json").read_text()) == report
    assert (tmp_path / "report.html").is_file() and text.getvalue().rstrip().endswith("report.html and report.json")
    assert report["executors"]["emulator"] | {"simulation_seconds": 0} == {
        "frames": 3, "simulation_seconds": 0, "mismatched_bytes": 0, "compared_bytes": report["executors"]["emulator"]["compared_bytes"],
    }  # fmt: skip

    weights = (tmp_path / "model.safetensors").read_bytes()
    second, text = demo(tmp_path)
    again = second.run()
    assert "goes on from" in text.getvalue() and (tmp_path / "model.safetensors").read_bytes() == weights
    assert again["tasks"]["depth"]["integer"] == report["tasks"]["depth"]["integer"]

    other = dataclasses.replace(RECIPE, training=dataclasses.replace(RECIPE.training, steps=7))
    third, text = demo(tmp_path, other)
    third.run()
    assert "goes on from" not in text.getvalue()
    assert checkpoint.load(tmp_path / "model.safetensors").recipe == other


def test_a_difference_fails_the_demo_after_the_report_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The fault: weights that change between the integer network's bundle and the machine's build."""
    save = Build.save

    def altered(build: Build, directory: Path) -> None:
        build.constants[4096:4160] ^= 0x40
        save(build, directory)

    monkeypatch.setattr(Build, "save", altered)
    with pytest.raises(InternalError, match=r"integer network: \d+ outputs differ from the reference machine"):
        demo(tmp_path)[0].run()
    assert json.loads((tmp_path / "report.json").read_text())["integer_network"]["mismatched_outputs"] > 0
