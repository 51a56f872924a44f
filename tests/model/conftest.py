"""A small recipe whose sizes are multiples of nothing in particular, and that model after a short training."""

from pathlib import Path

import pytest
import torch

from moesaic.model.input_pipeline.held_out import training_scenes
from moesaic.model.network.vit import M3ViT
from moesaic.model.quantisation.integer import IntegerNetwork
from moesaic.model.quantisation.post_training import integer_network
from moesaic.model.recipes.recipe import ModelConfiguration, Recipe, TaskConfiguration, TrainingConfiguration
from moesaic.model.training import checkpoint
from moesaic.model.training.train import train

TASKS = (TaskConfiguration("segmentation", 6), TaskConfiguration("depth", 1), TaskConfiguration("normals", 3))


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def recipe() -> Recipe:
    model = ModelConfiguration(
        image_height=40,
        image_width=56,
        patch=8,
        width=40,
        depth=4,
        heads=5,
        mlp_hidden=72,
        experts=5,
        top_k=2,
        expert_hidden=24,
        tasks=TASKS,
    )
    return Recipe(model, TrainingConfiguration(steps=160, batch=6, learning_rate=2e-3, warmup=10, pool=96))


@pytest.fixture(scope="session")
def checkpoint_path(recipe: Recipe, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("trained") / "model.safetensors"
    train(recipe, path)
    return path


@pytest.fixture
def trained(checkpoint_path: Path) -> M3ViT:
    return checkpoint.load(checkpoint_path).build_model().eval()


@pytest.fixture(scope="session")
def calibration_images(recipe: Recipe):
    return training_scenes(recipe, 0, 32).images


@pytest.fixture
def network(trained: M3ViT, calibration_images) -> IntegerNetwork:
    return integer_network(trained, calibration_images)
