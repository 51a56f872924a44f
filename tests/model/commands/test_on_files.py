"""Evaluation and export of a network for a data set that lies in files."""

import dataclasses

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


def test_the_bundle_has_the_data_sets_classes_and_one_of_its_images(checkpoint, root, tmp_path, without_onnx):
    words = ("--checkpoint", checkpoint, "--data-root", root, "--output", tmp_path / "bundle")
    assert call(ExportCommand, *words) == 0
    bundle = load_bundle(tmp_path / "bundle")
    assert bundle.tasks["segmentation"].class_names == CLASSES and bundle.tasks["edges"].class_names == ()
    held_out = open_dataset("nyud", root, "val", *bundle.golden["image"].shape[:2])
    assert np.array_equal(bundle.golden["image"], held_out[0].image)
    assert all(0 <= task.metrics["integer"] < 20 for task in bundle.tasks.values())
