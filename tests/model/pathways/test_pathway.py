"""Restricting a model's routers, and training on with that."""

import dataclasses

import pytest
import torch

from moesaic.errors import UserError
from moesaic.model.finetuning.on_pathways import fine_tune
from moesaic.model.network.vit import normalise
from moesaic.model.pathways import pruning
from moesaic.model.pathways.alternatives import current_pathways
from moesaic.model.pathways.pathway import (
    apply_pathway,
    current_pathway,
    current_top_k,
    full_pathway,
    moe_blocks,
    open_pathway,
)
from moesaic.spec.bundle import Alternative


def test_tokens_go_to_the_best_of_those_kept(model, pictures):
    apply_pathway(model, {"depth": {1: (1, 4), 3: (0, 2, 5)}})
    assert current_pathway(model)["depth"] == {1: (1, 4), 3: (0, 2, 5)}
    moe, x = moe_blocks(model)[3], torch.randn(40, 32, generator=torch.Generator().manual_seed(0))
    scores, chosen, _ = moe.route("depth", x)
    logits = moe.logits("depth", x)[:, [0, 2, 5]]
    assert torch.equal(chosen[:, [0, 2, 5]].float().argmin(1), logits.argmin(1))  # all but the least of three
    assert torch.allclose(scores[chosen], torch.softmax(logits, -1)[chosen[:, [0, 2, 5]]])
    assert current_pathway(model)["normals"] == full_pathway(model)["normals"]


@pytest.mark.parametrize(("asked", "found"), [(None, 1), (1, 1), (3, 1)])
def test_the_top_k_is_never_above_what_a_block_keeps(model, asked, found):
    apply_pathway(model, {"depth": {1: (0, 1, 2), 3: (4,)}}, asked)
    assert [moe.top_k_of["depth"] for moe in moe_blocks(model).values()] == [found, found]
    assert current_top_k(model, "normals") == 2
    open_pathway(model)
    assert current_top_k(model, "depth") == 2 and current_pathway(model) == full_pathway(model)


def test_a_block_without_an_expert_is_refused(model):
    with pytest.raises(UserError, match="pathway of task depth has a block with 0 experts"):
        apply_pathway(model, {"depth": {1: (0,), 3: ()}})


def test_fine_tuning_takes_the_pathways_in_turn_and_ends_with_the_first(model, small_recipe, monkeypatch):
    tasks = small_recipe.model.task_names
    pathways = [
        {task: Alternative(2, {1: (0, 1, 2), 3: (1, 3)}) for task in tasks},
        {task: Alternative(1, {1: (n,), 3: (5 - n,)}) for n, task in enumerate(tasks)},
    ]
    seen, rates, step = [], [], pruning.training_step

    def watched(model, optimizers, recipe, batch, number, **shared):
        seen.append(current_pathways(model))
        result = step(model, optimizers, recipe, batch, number, **shared)
        rates.append(optimizers[1].param_groups[0]["lr"])
        return result

    monkeypatch.setattr(pruning, "training_step", watched)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    fine_tune(model, small_recipe, pathways, 5)
    assert seen == [pathways[n % 2] for n in range(5)] and current_pathways(model) == pathways[0]
    assert not model.training
    assert max(rates) == pytest.approx(0.1 * small_recipe.training.learning_rate) and rates[-1] < rates[0]
    changed = {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])}
    assert "blocks.1.mlp.up_weight" in changed and "heads.depth.linear.weight" in changed


def test_fine_tuning_leaves_the_experts_that_are_not_kept(model, small_recipe, pictures):
    """They get no gradient; weight decay, which would shrink them, is off here."""
    recipe = dataclasses.replace(small_recipe, training=dataclasses.replace(small_recipe.training, weight_decay=0.0))
    pathways = [{task: Alternative(1, {1: (2,), 3: (4,)}) for task in recipe.model.task_names}]
    before = {i: moe.up_weight.detach().clone() for i, moe in moe_blocks(model).items()}
    fine_tune(model, recipe, pathways, 4)
    for i, kept in ((1, 2), (3, 4)):
        changed = [not torch.equal(a, b) for a, b in zip(before[i], moe_blocks(model)[i].up_weight)]
        assert changed == [e == kept for e in range(6)]
    assert model(normalise(pictures), "depth").isfinite().all()


def test_fine_tuning_that_diverges_is_said(model, small_recipe):
    training = dataclasses.replace(small_recipe.training, learning_rate=1e30, muon_learning_rate=1e30)
    whole = {task: Alternative(2, blocks) for task, blocks in full_pathway(model).items()}
    with pytest.raises(UserError, match="fine-tuning diverged at step"):
        fine_tune(model, dataclasses.replace(small_recipe, training=training), [whole], 20)
