"""A network of two blocks that never was trained, its routers sharp enough that experts differ in their use."""

import numpy as np
import pytest
import torch

from moesaic.model.network.vit import M3ViT
from moesaic.model.pathways.pathway import moe_blocks
from moesaic.model.recipes.recipe import ModelConfiguration, Recipe, TaskConfiguration, TrainingConfiguration

TASKS = (TaskConfiguration("segmentation", 6), TaskConfiguration("depth", 1), TaskConfiguration("normals", 3))
EXPERTS, TOP_K = 6, 2


@pytest.fixture
def small_recipe() -> Recipe:
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
