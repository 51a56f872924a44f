"""Training of a classification on folders of images, and what there is nothing to train in."""

import dataclasses

import numpy as np
import pytest
from PIL import Image

from moesaic.errors import UserError
from moesaic.model.evaluation.evaluate import compare
from moesaic.model.finetuning.integer_training import fine_tune_in_integers
from moesaic.model.input_pipeline.held_out import calibration_images, open_validation
from moesaic.model.network.vit import M3ViT
from moesaic.model.quantisation.post_training import DEFAULT_PTQ, integer_network, scales_for
from moesaic.model.recipes.recipe import (
    DataConfiguration,
    ModelConfiguration,
    Recipe,
    TaskConfiguration,
    TrainingConfiguration,
)
from moesaic.model.training.train import train

TASKS = (TaskConfiguration("classification", 2), TaskConfiguration("features"))


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Bright and dark pictures with noise."""
    place, rng = tmp_path_factory.mktemp("pictures"), np.random.default_rng(0)
    for split, count in (("train", 12), ("val", 4)):
        for name, level in (("bright", 190), ("dark", 60)):
            (place / split / name).mkdir(parents=True)
            for n in range(count):
                pixels = rng.integers(level - 50, level + 50, (16, 16, 3)).astype(np.uint8)
                Image.fromarray(pixels).save(place / split / name / f"{n}.png")
    return place


def recipe(tasks=TASKS, **changes) -> Recipe:
    sizes = {"experts": 4, "top_k": 2, "expert_hidden": 16, "gate": "single"} | changes
    model = ModelConfiguration(16, 16, 8, 16, 2, 2, 32, tasks=tasks, **sizes)
    training = TrainingConfiguration(steps=40, batch=6, learning_rate=5e-3, warmup=2)
    return Recipe(model, training, DataConfiguration("imagefolder", validation=0))


def test_it_learns_and_keeps_what_it_learnt_in_integers(root, tmp_path):
    own = recipe()
    model = train(own, tmp_path / "model.safetensors", data_root=root).eval()
    held_out, seen = open_validation(own, root), calibration_images(own, root, 8)
    found = compare(model, integer_network(model, seen), held_out)
    assert found["classification"]["float"] == 1 and found["classification"]["integer"] == 1
    assert found["features"]["integer"] > 20 and held_out.class_names == {"classification": ("bright", "dark")}
    losses = fine_tune_in_integers(model, scales_for(model, seen, DEFAULT_PTQ), own, 2, data_root=root)
    assert len(losses) == 2 and max(losses) < 0.5


def test_features_alone_have_nothing_to_train(root, tmp_path):
    own = recipe(TASKS[1:])
    with pytest.raises(UserError, match="nothing to train in features: features have no ground truth"):
        train(own, tmp_path / "model.safetensors", data_root=root)
    model = M3ViT(own.model)
    scales = scales_for(model.eval(), calibration_images(own, root, 4), DEFAULT_PTQ)
    with pytest.raises(UserError, match="nothing to train"):
        fine_tune_in_integers(model, scales, own, 2, data_root=root)
    with pytest.raises(UserError, match="features features have routers of their own, which nothing trains"):
        train(recipe(gate="multi"), tmp_path / "model.safetensors", data_root=root)


def test_a_data_set_with_other_classes_is_refused(root, tmp_path):
    own = dataclasses.replace(recipe((TaskConfiguration("classification", 3),)))
    with pytest.raises(
        UserError,
        match="the network has 3 classes, imagefolder 2: give a directory with a folder",
    ):
        train(own, tmp_path / "model.safetensors", data_root=root)
