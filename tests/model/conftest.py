"""Small models: one after a short training, one that was never trained, and a recipe in a file of its own."""

from pathlib import Path

import numpy as np
import pytest
import torch

from moesaic.model.input_pipeline.held_out import training_scenes
from moesaic.model.network.vit import M3ViT
from moesaic.model.pathways.pathway import moe_blocks
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
    """Sizes that are multiples of nothing in particular."""
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


EXPERTS, TOP_K = 6, 2


@pytest.fixture
def small_recipe() -> Recipe:
    """Of four blocks with six experts in every second one."""
    model = ModelConfiguration(
        image_height=32,
        image_width=32,
        patch=8,
        width=32,
        depth=4,
        heads=4,
        mlp_hidden=48,
        experts=EXPERTS,
        top_k=TOP_K,
        expert_hidden=24,
        tasks=TASKS,
    )
    return Recipe(model, TrainingConfiguration(steps=6, batch=4, learning_rate=2e-3, warmup=2, pool=8))


@pytest.fixture
def model(small_recipe: Recipe) -> M3ViT:
    """Never trained, its routers sharp enough that experts differ in their use."""
    torch.manual_seed(0)
    model = M3ViT(small_recipe.model).eval()
    with torch.no_grad():
        for moe in moe_blocks(model).values():
            for task in small_recipe.model.task_names:
                moe.router_of(task).linear.weight.mul_(6)
    return model


@pytest.fixture(scope="session")
def pictures() -> np.ndarray:
    """Eight pictures of coloured noise on ramps, uint8 [8, 32, 32, 3]."""
    rng = np.random.default_rng(5)
    ramp = np.linspace(0, 200, 32)[None, :, None, None] * rng.random((8, 1, 1, 3))
    return (ramp + rng.integers(0, 56, (8, 32, 32, 3))).astype(np.uint8)


OWN_RECIPE = """
[model]
image_height = 16
image_width = 16
patch = 8
width = 16
depth = 2
heads = 2
mlp_hidden = 32
experts = 4
top_k = 2
expert_hidden = 16
tasks = [{ name = "segmentation", channels = 6 }, { name = "depth", channels = 1 }]

[training]
steps = 1
batch = 2
learning_rate = 1e-3
warmup = 0
pool = 2
"""


@pytest.fixture
def own_recipe(tmp_path):
    path = tmp_path / "own.toml"
    path.write_text(OWN_RECIPE)
    return path
