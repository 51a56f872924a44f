"""Sampled budgets: what is drawn, what it rests on, and that it can be taken up again."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from rich.console import Console

from moesaic.errors import UserError
from moesaic.model.input_pipeline.held_out import training_scenes
from moesaic.model.input_pipeline.training_batches import draw_batch
from moesaic.model.network.vit import M3ViT, normalise
from moesaic.model.pathways.pathway import moe_blocks, whole_network
from moesaic.model.pathways.sampling import BudgetSampler
from moesaic.model.pathways.usage import measure_usage
from moesaic.model.recipes.recipe import Recipe
from moesaic.model.training.distributed import Ranks
from moesaic.model.training.local_processes import run_on_ranks
from moesaic.model.training.train import Run, train, training_step
from tests.model.routing import current_pathways
from tests.model.training.processes import load, save

TASKS = ("segmentation", "depth", "normals")


def run_step(model, sampler, pictures, step):
    """One step's forward pass; returns the budgets it had."""
    with sampler.step(step):
        drawn = {task: (one.pathway, one.top_k) for task, one in current_pathways(model).items()}
        model.training_forward(
            normalise(pictures, model.configuration.input), TASKS, torch.Generator().manual_seed(step)
        )
    return drawn


def test_every_size_is_drawn_and_the_whole_network_half_of_the_time(model, pictures):
    sampler = BudgetSampler(model, 2, seed=3)
    drawn = [run_step(model, sampler, pictures[:1], step) for step in range(150)]
    assert all(budget[0][1] == tuple(range(6)) for budget in drawn[0].values())  # nothing is known yet
    sizes = [(len(blocks[1]), top_k) for budgets in drawn[1:] for blocks, top_k in budgets.values()]
    assert {size for size, _ in sizes} == {2, 3, 4, 5, 6} and {top_k for _, top_k in sizes} == {1, 2}
    assert 0.4 < np.mean([size == (6, 2) for size in sizes]) < 0.7
    assert all(len(blocks[1]) == len(blocks[3]) for budgets in drawn for blocks, _ in budgets.values())
    assert any(len({top_k for _, top_k in budgets.values()}) > 1 for budgets in drawn)


def test_the_whole_network_is_back_after_a_step_also_after_a_failed_one(model, pictures):
    sampler = BudgetSampler(model, 1, seed=0)
    for step in range(6):
        run_step(model, sampler, pictures[:1], step)
        assert current_pathways(model) == whole_network(model)
    with pytest.raises(ZeroDivisionError), sampler.step(7):
        raise ZeroDivisionError
    assert current_pathways(model) == whole_network(model)
    assert not any(moe._forward_pre_hooks for moe in moe_blocks(model).values())


def test_the_estimate_becomes_the_usage_of_the_whole_network(model, pictures, monkeypatch):
    monkeypatch.setattr("moesaic.model.pathways.sampling._STRIDE", 1)
    monkeypatch.setattr("moesaic.model.pathways.sampling._FULL", 1.0)
    sampler = BudgetSampler(model, 1)
    run_step(model, sampler, pictures, 0)
    usage, estimate = measure_usage(model, pictures), sampler.tensors()["usage"]
    for t, task in enumerate(TASKS):
        assert np.allclose(estimate[t, 0], usage[task][1].mass / usage[task][1].tokens, rtol=1e-5)


def test_with_one_router_for_all_every_task_is_estimated(small_recipe, pictures, monkeypatch):
    monkeypatch.setattr("moesaic.model.pathways.sampling._FULL", 1.0)
    single = M3ViT(dataclasses.replace(small_recipe.model, gate="single"))
    sampler = BudgetSampler(single, 1)
    run_step(single, sampler, pictures[:2], 0)
    estimate = sampler.tensors()["usage"]
    assert estimate[0].any() and torch.equal(estimate[0], estimate[1]) and torch.equal(estimate[0], estimate[2])


def test_the_kept_are_the_heaviest_of_the_estimate(model, pictures):
    sampler = BudgetSampler(model, 1, seed=1)
    for step in range(20):
        before = sampler.tensors()["usage"]
        for t, (blocks, _) in enumerate(run_step(model, sampler, pictures[:2], step).values()):
            for n, kept in enumerate(blocks.values()):
                dropped = [e for e in range(6) if e not in kept]
                assert not dropped or before[t, n, list(kept)].min() >= before[t, n, dropped].max()


@pytest.mark.parametrize("seed", [0, 5], ids=lambda seed: f"seed{seed}")
def test_a_restored_sampler_draws_the_same(model, pictures, seed):
    first, second = BudgetSampler(model, 1, seed), BudgetSampler(model, 1, seed)
    for step in range(5):
        run_step(model, first, pictures[:1], step)
    second.restore(first.tensors())
    assert [run_step(model, first, pictures[:1], step) for step in range(5, 12)] == [
        run_step(model, second, pictures[:1], step) for step in range(5, 12)
    ]
    assert torch.equal(first.tensors()["usage"], second.tensors()["usage"])


def test_gradients_are_finite_under_every_budget(model, pictures):
    sampler = BudgetSampler(model, 1, seed=2)
    for step in range(12):
        model.zero_grad()
        with sampler.step(step):
            predictions, balance = model.training_forward(
                normalise(pictures[:2], model.configuration.input), TASKS, torch.Generator().manual_seed(step)
            )
            (sum(p.square().mean() for p in predictions.values()) + balance).backward()
        assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters()), step


def test_training_with_sampled_budgets_goes_on_bit_for_bit(small_recipe, tmp_path):
    training = dataclasses.replace(small_recipe.training, least_experts=1, steps=8, warmup=1)
    recipe = Recipe(small_recipe.model, training)
    quiet = Console(quiet=True)
    whole = train(recipe, tmp_path / "whole.safetensors", console=quiet)
    train(recipe, tmp_path / "parts.safetensors", stop_after=5, console=quiet)
    parts = train(recipe, tmp_path / "parts.safetensors", resume=True, console=quiet)
    for name, value in whole.state_dict().items():
        assert torch.equal(value, parts.state_dict()[name]), name
    assert (tmp_path / "whole.safetensors").read_bytes() == (tmp_path / "parts.safetensors").read_bytes()
    without = train(
        Recipe(small_recipe.model, dataclasses.replace(training, least_experts=0)), tmp_path / "plain", console=quiet
    )
    assert any(not torch.equal(value, without.state_dict()[name]) for name, value in whole.state_dict().items())


def test_warmup_steps_have_the_whole_network(model, pictures):
    sampler = BudgetSampler(model, 1, seed=2, warmup=10)
    for step in range(10):
        drawn = run_step(model, sampler, pictures[:1], step)
        assert all(blocks == whole_network(model)["depth"].pathway for blocks, _ in drawn.values())


def test_what_does_not_suit_the_model_is_refused(model):
    with pytest.raises(UserError, match=r"least_experts \(7\) must be from 1 to the number of experts \(6\)"):
        BudgetSampler(model, 7)
    with pytest.raises(UserError, match=r"usage is \(3, 1, 6\), its recipe says \(3, 2, 6\)"):
        BudgetSampler(model, 1).restore({"usage": torch.zeros(3, 1, 6)})
    with pytest.raises(UserError, match="usage is missing"):
        BudgetSampler(model, 1).restore({})


def sampled_steps(ranks: Ranks, directory: Path, recipe: Recipe) -> None:
    """What a rank drew in some steps, and its estimate afterwards."""
    run, pool = Run.start(recipe, ranks), training_scenes(recipe, 0, 8)
    kept = []
    for step in range(10):
        batch = draw_batch(pool, recipe.training, step)[2 * ranks.rank : 2 * ranks.rank + 2]
        with run.sampler.step(step):
            kept += [moe.kept[task].clone() for moe in moe_blocks(run.model).values() for task in TASKS]
            training_step(run.model, run.optimizers, recipe, batch, step, distributed=run.distributed)
    save(directory, "sampled", ranks, {"kept": torch.stack(kept)} | run.sampler.tensors())


@pytest.mark.parametrize("sharded", [False, True], ids=["whole experts", "divided experts"])
def test_all_ranks_draw_the_same(small_recipe, tmp_path, sharded):
    changes = {"least_experts": 1, "warmup": 0, "experts_sharded": sharded}
    recipe = Recipe(small_recipe.model, dataclasses.replace(small_recipe.training, **changes))
    run_on_ranks(sampled_steps, 2, tmp_path, recipe)
    first, second = (load(tmp_path, "sampled", rank) for rank in range(2))
    assert not first["kept"].all() and torch.equal(first["kept"], second["kept"])
    assert torch.equal(first["usage"], second["usage"])
