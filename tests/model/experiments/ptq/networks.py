"""Small networks for comparing ways to integers."""

import numpy as np

from moesaic.model.network.random_weights import random_model
from moesaic.model.network.vit import M3ViT
from moesaic.model.recipes.recipe import ModelConfiguration, TaskConfiguration

EDGE = 32


def pictures(count: int, seed: int) -> np.ndarray:
    """Smooth random pictures, uint8 [count, EDGE, EDGE, 3]."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (count, 4, 4, 3)).repeat(EDGE // 4, 1).repeat(EDGE // 4, 2)
    return (coarse * 0.8 + rng.integers(0, 52, (count, EDGE, EDGE, 3))).astype(np.uint8)


def small_network(experts: int, seed: int = 0, features: bool = False) -> M3ViT:
    """Two tasks and two blocks, the second with so many experts; features end in the first block."""
    tasks = (TaskConfiguration("segmentation", 6), TaskConfiguration("depth", 1))
    chosen, hidden = (2, 24) if experts else (0, 0)
    configuration = ModelConfiguration(
        image_height=EDGE, image_width=EDGE, patch=8, width=32, depth=2, heads=2, mlp_hidden=48, prefix_tokens=2,
        tasks=(*tasks, TaskConfiguration("features", last_block=0)) if features else tasks,
        experts=experts, top_k=chosen, expert_hidden=hidden,
    )  # fmt: skip
    return random_model(configuration, seed, pictures(4, 99))
