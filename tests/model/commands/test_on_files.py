"""Evaluation and export of a network for a data set that lies in files."""

import dataclasses
import json

import numpy as np
import pytest

from moesaic.model.commands.evaluate import EvaluateCommand
from moesaic.model.commands.export import ExportCommand
from moesaic.model.data.nyud import CLASSES
from moesaic.model.data.registry import open_dataset
from moesaic.model.recipes.recipe import DataConfiguration, Recipe, TaskConfiguration
from moesaic.model.training.train import train
from moesaic.spec.bundle import load_bundle
from tests.model.calling import call
from tests.model.data import test_nyud


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    path = tmp_path_factory.mktemp("files") / "data"
    test_nyud.write(path, "MTI-Net")
    return path


@pytest.fixture(scope="module")
def checkpoint(recipe, root, tmp_path_factory):
    tasks = (TaskConfiguration("segmentation", 40), TaskConfiguration("edges", 1), TaskConfiguration("depth", 1))
    training = dataclasses.replace(recipe.training, steps=2, batch=2, warmup=1, losses="papers")
    model = dataclasses.replace(recipe.model, tasks=tasks, depth=2)
    path = tmp_path_factory.mktemp("trained") / "nyud.safetensors"
    train(Recipe(model, training, DataConfiguration("nyud", validation=0)), path, data_root=root)
    return path


def test_evaluate_reads_the_recipes_data_set(checkpoint, root, capsys):
    assert call(EvaluateCommand, "--checkpoint", checkpoint, "--data-root", root) == 0
    text = capsys.readouterr().out
    assert "1/1" in text  # the fixture has one held-out image
    for word in ("mIoU", "odsF", "rmse (m)", "agreement"):
        assert word in text


def test_evaluate_writes_figures_and_predictions(checkpoint, root, tmp_path, capsys):
    reference = "training.reference={segmentation = 0.5, edges = 0.5, depth = 1.0}"
    words = ("--float-only", "--set", reference, "--set", "model.tasks.edges.metric.tolerance=0.011")
    words += ("--json", tmp_path / "new" / "figures.json", "--predictions", tmp_path / "predictions")
    assert call(EvaluateCommand, "--checkpoint", checkpoint, "--data-root", root, *words) == 0
    text = capsys.readouterr().out
    assert "odsF (tolerance 0.011)" in text and "IoU of each class" in text and "delta_m of float" in text
    found = json.loads((tmp_path / "new" / "figures.json").read_text())
    assert (found["samples"], found["data"], found["step"]) == (1, "nyud", 2)
    depth, segmentation = found["tasks"]["depth"], found["tasks"]["segmentation"]
    further = {one["metric"]: one for one in depth["further"]}
    assert depth["metric"] == "rmse (m)" and depth["float"] > 0 and "integer" not in depth
    assert not further["relative error"]["higher_is_better"] and further["delta1"]["higher_is_better"]
    of_classes = {one["metric"]: one["float"] for one in segmentation["further"]}
    assert {f"IoU: {name}" for name in CLASSES} < of_classes.keys()
    figures = {name: task["float"] for name, task in found["tasks"].items()}
    expected = ((figures["segmentation"] + figures["edges"] - 1) / 0.5 - (figures["depth"] - 1)) / 3 * 100
    assert found["delta_m"] == {"float": pytest.approx(expected)}
    stated = {task["name"]: task for task in found["recipe"]["model"]["tasks"]}
    assert stated["edges"]["metric"] == {"tolerance": 0.011}
    written = sorted(
        p.relative_to(tmp_path / "predictions").as_posix() for p in (tmp_path / "predictions").rglob("*.*")
    )
    assert [place for place in written if place.startswith("float/depth/")]
    assert any(place.startswith("float/seism/datasets/nyud/nyud_nyud/") for place in written)


def test_the_bundle_has_the_data_sets_classes_and_one_of_its_images(checkpoint, root, tmp_path, without_onnx):
    words = ("--checkpoint", checkpoint, "--data-root", root, "--output", tmp_path / "bundle")
    assert call(ExportCommand, *words) == 0
    bundle = load_bundle(tmp_path / "bundle")
    assert bundle.tasks["segmentation"].class_names == CLASSES and bundle.tasks["edges"].class_names == ()
    held_out = open_dataset("nyud", root, "val", *bundle.golden["image"].shape[:2])
    assert np.array_equal(bundle.golden["image"], held_out[0].image)
    assert all(0 <= task.metrics["integer"] < 20 for task in bundle.tasks.values())
