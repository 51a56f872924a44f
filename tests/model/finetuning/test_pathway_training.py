"""Fine-tuning with restricted routers."""

import dataclasses

import pytest
import torch

from moesaic.errors import UserError
from moesaic.model.finetuning import pathway_training
from moesaic.model.finetuning.pathway_training import fine_tune_on_pathways
from moesaic.model.network.vit import normalise
from moesaic.model.pathways.pathway import moe_blocks, whole_network
from moesaic.spec.bundle import Alternative
from tests.model.routing import current_pathways


def test_fine_tuning_takes_the_pathways_in_turn_and_ends_with_the_whole_network(model, small_recipe, monkeypatch):
    tasks = small_recipe.model.task_names
    pathways = [
        {task: Alternative(2, {1: (0, 1, 2), 3: (1, 3)}) for task in tasks},
        {task: Alternative(1, {1: (n,), 3: (5 - n,)}) for n, task in enumerate(tasks)},
    ]
    seen, rates, step = [], [], pathway_training.training_step

    def watched(model, optimizers, recipe, batch, number, **shared):
        seen.append(current_pathways(model))
        result = step(model, optimizers, recipe, batch, number, **shared)
        rates.append(optimizers[1].param_groups[0]["lr"])
        return result

    monkeypatch.setattr(pathway_training, "training_step", watched)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    fine_tune_on_pathways(model, small_recipe, pathways, 5)
    assert seen == [pathways[n % 2] for n in range(5)] and current_pathways(model) == whole_network(model)
    assert not model.training
    assert max(rates) == pytest.approx(0.1 * small_recipe.training.learning_rate) and rates[-1] < rates[0]
    changed = {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])}
    assert "blocks.1.mlp.up_weight" in changed and "heads.depth.linear.weight" in changed


def test_fine_tuning_leaves_the_experts_that_are_not_kept(model, small_recipe, pictures):
    """They get no gradient; weight decay, which would shrink them, is off here."""
    recipe = dataclasses.replace(small_recipe, training=dataclasses.replace(small_recipe.training, weight_decay=0.0))
    pathways = [{task: Alternative(1, {1: (2,), 3: (4,)}) for task in recipe.model.task_names}]
    before = {i: moe.up_weight.detach().clone() for i, moe in moe_blocks(model).items()}
    fine_tune_on_pathways(model, recipe, pathways, 4)
    for i, kept in ((1, 2), (3, 4)):
        changed = [not torch.equal(a, b) for a, b in zip(before[i], moe_blocks(model)[i].up_weight)]
        assert changed == [e == kept for e in range(6)]
    assert model(normalise(pictures, model.configuration.input), "depth").isfinite().all()


def test_fine_tuning_that_diverges_is_said(model, small_recipe):
    training = dataclasses.replace(small_recipe.training, learning_rate=1e30, muon_learning_rate=1e30)
    with pytest.raises(UserError, match="fine-tuning diverged at step"):
        fine_tune_on_pathways(model, dataclasses.replace(small_recipe, training=training), [whole_network(model)], 20)
