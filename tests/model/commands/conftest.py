"""A checkpoint of a network whose head has no integer form."""

import dataclasses

import pytest
import torch

from moesaic.model.network.vit import M3ViT
from moesaic.model.recipes.recipe import Recipe
from moesaic.model.training import checkpoint


@pytest.fixture
def pup_path(recipe, tmp_path):
    model = dataclasses.replace(recipe.model, head="setr-pup", depth=2, tasks=recipe.model.tasks[:2])
    torch.manual_seed(0)
    weights = M3ViT(model).state_dict()
    for name, value in weights.items():
        if name.endswith("running_mean"):
            value.normal_()  # what a network that is not in evaluation mode would not use
    path = tmp_path / "pup.safetensors"
    checkpoint.save(path, checkpoint.Checkpoint(Recipe(model, recipe.training), recipe.training.steps, weights, {}))
    return path
