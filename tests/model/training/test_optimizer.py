"""Learning rates of the parts of a network, what weight decay is for, and rates that stay for an epoch."""

import dataclasses

import pytest
import torch

from moesaic.model.network.vit import M3ViT
from moesaic.model.recipes.recipe import OPTIMIZERS, TrainingConfiguration
from moesaic.model.training.optimizer import POLY_POWER, build_optimizers, learning_rate, rate_factor

TRAINING = TrainingConfiguration(
    steps=10, batch=1, learning_rate=0.1, warmup=0, muon_learning_rate=0.3, weight_decay=0.5
)


def groups_of(model: M3ViT, **changes) -> dict[str, dict]:
    """By the name of each parameter, the group that it is in."""
    optimizers = build_optimizers(model, dataclasses.replace(TRAINING, **changes))
    of = {id(p): group for optimizer in optimizers for group in optimizer.param_groups for p in group["params"]}
    found = {name: of[id(parameter)] for name, parameter in model.named_parameters()}
    assert len(of) == len(found)
    return found


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_parts_have_rates_of_their_own(model, optimizer):
    rates = {"backbone": 0.5, "experts": 2.0, "routers": 3.0, "heads": 0.0}
    plain = groups_of(model, optimizer=optimizer)
    for name, group in groups_of(model, optimizer=optimizer, rates=rates).items():
        part = "heads" if name.startswith("heads.") else "routers" if ".routers." in name else "backbone"
        if ".mlp.up_" in name or ".mlp.down_" in name:
            part = "experts"
        assert group["peak"] == pytest.approx(rates[part] * plain[name]["peak"]), name
        assert group["weight_decay"] == plain[name]["weight_decay"]


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_rates_of_one_change_nothing(model, optimizer):
    for group in groups_of(model, optimizer=optimizer).values():
        assert group["peak"] in (0.1, 0.3)


@pytest.mark.parametrize(
    ("name", "factor"),
    [
        ("heads.depth.linear.weight", 1),
        ("norm.weight", 1),
        ("blocks.11.mlp.up.weight", 0.75),
        ("blocks.11.mlp.routers.depth.linear.weight", 0.75),
        ("blocks.0.norm1.bias", 0.75**12),
        ("patch_embedding.weight", 0.75**13),
        ("position", 0.75**13),
    ],
)
def test_rates_decay_towards_the_input_as_in_beit(name, factor):
    """`get_num_layer_for_vit` in BEiT's code: the embedding is layer 0, block i layer i + 1, the rest layer depth + 1."""
    assert rate_factor(dataclasses.replace(TRAINING, layer_decay=0.75), name, 12) == pytest.approx(factor)


def test_weight_decay_is_for_matrices_or_for_all(model):
    decayed = {name for name, group in groups_of(model, optimizer="sgd").items() if group["weight_decay"]}
    assert decayed == {n for n, p in model.named_parameters() if n.endswith("weight") and p.ndim > 1}
    assert all(group["weight_decay"] == 0.5 for group in groups_of(model, optimizer="sgd", decayed="all").values())


def test_the_rate_stays_for_an_epoch_as_upstream():
    """`adjust_learning_rate` in utils/common_config.py of M3ViT: once an epoch, (1 - epoch / epochs) to the power 0.9."""
    epochs, of_each = 5, 3
    training = dataclasses.replace(TRAINING, steps=epochs * of_each, schedule="poly", schedule_period=of_each)
    expected = [(1 - epoch / epochs) ** POLY_POWER for epoch in range(epochs) for _ in range(of_each)]
    assert [learning_rate(training, step) for step in range(training.steps)] == pytest.approx(expected)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_part_with_rate_zero_stands_still(model, optimizer):
    training = dataclasses.replace(TRAINING, optimizer=optimizer, rates={"backbone": 0, "experts": 0})
    before = {name: value.clone() for name, value in model.named_parameters()}
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    for one in build_optimizers(model, training):
        one.step()
    changed = {name for name, value in model.named_parameters() if not torch.equal(value, before[name])}
    assert changed == {name for name in before if name.startswith("heads.") or ".routers." in name}
