"""A batch for each process is the batch of all of them, and the checkpoint says so; divided experts are averaged like others."""

import dataclasses
from pathlib import Path

import pytest
import torch

from moesaic.errors import UserError
from moesaic.model.recipes.recipe import Recipe
from moesaic.model.training import checkpoint
from moesaic.model.training.distributed import Ranks
from moesaic.model.training.local_processes import run_on_ranks
from moesaic.model.training.train import train


def changed(recipe: Recipe, **training: object) -> Recipe:
    return dataclasses.replace(recipe, training=dataclasses.replace(recipe.training, **training))


def train_together(ranks: Ranks, directory: Path, recipe: Recipe) -> None:
    train(changed(recipe, batch=2, batch_per="process"), directory / "each", ranks=ranks, stop_after=3)
    train(changed(recipe, batch=4), directory / "all", ranks=ranks, stop_after=3)
    averaged = changed(recipe, experts_sharded=True, ema_decay=0.7)
    train(averaged, directory / "whole", ranks=ranks)
    train(averaged, directory / "parts", ranks=ranks, stop_after=2)
    train(averaged, directory / "parts", ranks=ranks, resume=True)


def test_two_processes_share_a_batch_of_twice_its_size(small_recipe, tmp_path):
    run_on_ranks(train_together, 2, tmp_path, small_recipe)
    assert (tmp_path / "each").read_bytes() == (tmp_path / "all").read_bytes()
    found = checkpoint.load(tmp_path / "each").recipe.training
    assert (found.batch, found.batch_per) == (4, "update")
    with pytest.raises(UserError, match=r"was trained with training.batch = 4, the recipe has 2"):
        train(changed(small_recipe, batch=2, batch_per="process"), tmp_path / "each", resume=True)
    assert (tmp_path / "parts").read_bytes() == (tmp_path / "whole").read_bytes()
    state = checkpoint.load(tmp_path / "whole")
    experts = [name for name in state.weights if name.endswith("up_weight")]
    assert all(len(state.weights[name]) == small_recipe.model.experts for name in experts)
    assert not any(torch.equal(state.weights[name], state.trained[name]) for name in experts)


def test_one_process_has_the_batch_itself(small_recipe):
    each = changed(small_recipe, batch_per="process")
    assert each.for_processes(1) == small_recipe
    assert each.for_processes(8).training.batch == 8 * small_recipe.training.batch
    assert small_recipe.for_processes(8) is small_recipe
