"""The gates of the controls: experts that do not depend on the token, the rest as in a gate that learns, and nothing exported."""

import dataclasses

import numpy as np
import pytest
import torch

from moesaic.errors import UserError
from moesaic.model.export.onnx_export import export_onnx
from moesaic.model.network.moe import MoE
from moesaic.model.network.vit import M3ViT
from moesaic.model.pathways.pathway import on_pathways
from moesaic.model.quantisation.post_training import integer_network
from moesaic.model.recipes.recipe import CONTROL_GATES
from moesaic.spec.bundle import Alternative

TASKS, T, E, K = ("a", "b"), 7, 6, 2


def controls(function):
    return pytest.mark.parametrize("gate", CONTROL_GATES)(function)


def layer(gate, seed=0):
    torch.manual_seed(seed)
    return MoE(12, 9, E, K, TASKS, gate=gate, positions=T)


def generator(seed):
    return torch.Generator().manual_seed(seed)


@controls
def test_the_logits_weigh_the_chosen_experts_and_no_other(gate):
    moe, x = layer(gate), torch.randn(4 * T, 12)
    for noise in (None, generator(0)):
        scores, chosen, balance = moe.route("a", x, noise)
        assert (chosen.sum(1) == K).all() and balance == 0
        logits = moe.logits("a", x).masked_fill(~chosen, -torch.inf)
        assert torch.equal(scores, logits.softmax(-1)) and torch.equal(scores > 0, chosen)


def test_positions_choose_the_same_experts_for_any_image_and_others_for_another_task():
    moe = layer("position")
    choices = [moe.route("a", torch.randn(4 * T, 12), noise)[1] for noise in (None, generator(0), generator(1))]
    assert torch.equal(choices[0], choices[1]) and torch.equal(choices[0], choices[2])
    images = choices[0].view(4, T, E)
    assert (images == images[0]).all() and not torch.equal(images[0, 0], images[0, 1])
    assert not torch.equal(choices[0], moe.route("b", torch.randn(4 * T, 12))[1])
    assert torch.equal(layer("position").route("a", torch.randn(4 * T, 12))[1], choices[0])
    assert not torch.equal(layer("position", seed=1).route("a", torch.randn(4 * T, 12))[1], choices[0])


def test_random_choice_ignores_the_token_is_even_and_repeats_outside_training():
    moe, x = layer("random"), torch.randn(3000, 12)
    first, second = (moe.route("a", x, generator(seed))[1] for seed in (0, 1))
    assert torch.equal(first, moe.route("a", torch.randn(3000, 12), generator(0))[1])
    assert (first & second).sum() / first.sum() == pytest.approx(K / E, abs=0.03)
    assert first.float().mean(0).allclose(torch.full((E,), K / E), atol=0.03)
    assert torch.equal(moe.route("a", x)[1], moe.route("a", x)[1])


@controls
def test_other_weights_are_those_of_a_gate_that_learns(gate):
    learning, control = layer("multi").state_dict(), layer(gate).state_dict()
    assert all(torch.equal(value, control[name]) for name, value in learning.items())
    assert {name.rpartition(".")[2] for name in control.keys() - learning.keys()} <= {"order"}


@controls
def test_every_router_weight_learns(gate):
    moe = layer(gate)
    y, balance = moe(torch.randn(4, T, 12), TASKS, generator(0))
    (y.square().sum() + balance).backward()
    assert all(parameter.grad is not None and parameter.grad.any() for parameter in moe.parameters())


@controls
def test_pathways_bound_the_choice(gate, recipe):
    torch.manual_seed(0)
    model = M3ViT(dataclasses.replace(recipe.model, gate=gate))
    block = recipe.model.architecture.moe_blocks[0]
    moe, task = model.blocks[block].mlp, recipe.model.task_names[0]
    narrow: dict[int, tuple[int, ...]] = dict.fromkeys(recipe.model.architecture.moe_blocks, (0, 2))
    with on_pathways(model, {task: Alternative(1, narrow)}):
        scores, chosen, _ = moe.route(task, torch.randn(2 * recipe.model.tokens, recipe.model.width))
    assert (chosen.sum(1) == 1).all() and chosen.any(0).nonzero().flatten().tolist() == [0, 2]
    assert torch.equal(scores[chosen], torch.ones(len(chosen)))


@controls
def test_nothing_is_exported(gate, recipe):
    model = M3ViT(dataclasses.replace(recipe.model, gate=gate)).eval()
    assert not model.configuration.has_integer_form
    for export in (
        lambda: export_onnx(model, model.configuration.task_names),
        lambda: integer_network(model, np.zeros((0, 0, 0, 3), np.uint8)),
    ):
        with pytest.raises(UserError, match=f"the gate '{gate}' is a control for experiments and cannot be exported"):
            export()


def test_a_dense_network_has_no_gate_to_refuse(recipe):
    dense = dataclasses.replace(recipe.model, gate="random", experts=0, top_k=0, expert_hidden=0)
    assert dense.has_integer_form
