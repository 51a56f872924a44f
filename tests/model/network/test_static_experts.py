"""The experts in shapes that do not depend on routing: the results and gradients of the queues, and no question to the host."""

import dataclasses
from contextlib import nullcontext

import pytest
import torch

from moesaic.model.network.experts import expert_mixture
from moesaic.model.network.moe import MoE
from moesaic.model.network.static_experts import BLOCK, GROUP_ALIGNMENT, queues_of, static_mixture
from moesaic.model.network.vit import M3ViT
from moesaic.model.recipes.recipe import GATE_NOISES, GATES

TOKENS, EXPERTS, MOST, WIDTH, HIDDEN = 300, 4, 2, 16, 24


def choice(kind, generator):
    """Which experts tokens go to: two each, fewer, all the same two, or none."""
    mask = torch.zeros(TOKENS, EXPERTS, dtype=torch.bool)
    if kind == "none":
        return mask
    if kind == "the-same":
        mask[:, 1:3] = True
        return mask
    mask.scatter_(1, torch.rand(TOKENS, EXPERTS, generator=generator).argsort(1)[:, :MOST], True)
    if kind == "fewer":
        mask[:, 3] = False
        mask[::7] = False
    return mask


def by_queues(tokens, scores, chosen, experts, factor):
    expert, token = chosen.T.nonzero(as_tuple=True)
    mask = torch.full((len(token), HIDDEN), factor, dtype=tokens.dtype)
    return expert_mixture(tokens, scores[token, expert], token, chosen.sum(0).tolist(), *experts, mask)


@pytest.mark.parametrize("seed", [0, 1], ids=lambda seed: f"seed{seed}")
@pytest.mark.parametrize("grouped", [False, True], ids=["blocks", "grouped"])
@pytest.mark.parametrize("kind", ["two", "fewer", "the-same", "none"])
def test_result_and_gradients_are_those_of_the_queues(kind, grouped, seed):
    generator = torch.Generator().manual_seed(seed)
    dtype = torch.float32 if grouped else torch.float64  # what the grouped product takes

    def draw(*shape):
        return torch.randn(shape, generator=generator, dtype=dtype).requires_grad_()

    tokens, scores, chosen = draw(TOKENS, WIDTH), draw(TOKENS, EXPERTS), choice(kind, generator)
    experts = (draw(EXPERTS, WIDTH, HIDDEN), draw(EXPERTS, HIDDEN), draw(EXPERTS, HIDDEN, WIDTH), draw(EXPERTS, WIDTH))
    inputs, seen = (tokens, scores, *experts), torch.randn(TOKENS, WIDTH, generator=generator, dtype=dtype)
    results = []
    for form in ("queues", "static"):
        if form == "queues":
            result = by_queues(tokens, scores, chosen, experts, 1.25)
        else:
            dropout = lambda shape: torch.full(shape, 1.25, dtype=dtype)  # noqa: E731
            result = static_mixture(tokens, scores, chosen, MOST, experts, dropout, grouped)
        gradients = torch.autograd.grad((result * seen).sum(), inputs, allow_unused=True)
        results.append([result, *(torch.zeros_like(x) if g is None else g for x, g in zip(inputs, gradients))])
    for found, expected in zip(*results):
        torch.testing.assert_close(
            found, expected, rtol=1e-10 if dtype == torch.float64 else 1e-4, atol=1e-4 if grouped else 1e-10
        )


@pytest.mark.parametrize("block", [GROUP_ALIGNMENT, BLOCK])
@pytest.mark.parametrize("kind", ["two", "fewer", "the-same", "none"])
def test_every_choice_has_one_row_in_its_experts_queue(kind, block):
    generator = torch.Generator().manual_seed(3)
    chosen = choice(kind, generator)
    queues = queues_of(torch.rand(TOKENS, EXPERTS, generator=generator), chosen, MOST, block)
    assert queues.rows % block == 0 and queues.rows == len(queues.token) >= int(queues.ends[-1])
    rows = queues.place[queues.place < queues.rows]
    assert len(rows.unique()) == len(rows) == int(chosen.sum())
    assert len(rows) == int((queues.token < TOKENS).sum()) and bool((queues.token[rows] < TOKENS).all())
    pairs = torch.stack([queues.token[rows], queues.expert_of(rows)], 1)
    assert sorted(map(tuple, pairs.tolist())) == sorted(map(tuple, chosen.nonzero().tolist()))
    assert not queues.weight[queues.place == queues.rows].any()


@pytest.mark.parametrize("gate", GATES)
@pytest.mark.parametrize("gate_noise", GATE_NOISES)
def test_a_training_pass_asks_the_host_for_nothing(small_recipe, gate, gate_noise, monkeypatch):
    """On the device meta, tensors have no values: whoever asks for one, or for a shape that depends on one, fails."""
    monkeypatch.setattr(torch, "autocast", lambda *words, **options: nullcontext())  # which does not know meta
    monkeypatch.setattr(torch, "is_autocast_enabled", lambda device: False)
    configuration = dataclasses.replace(small_recipe.model, gate=gate, gate_noise=gate_noise, expert_dropout=0.1)
    model = M3ViT(configuration).to("meta")
    images = torch.empty(2, 3, 32, 32, device="meta")
    predictions, balance = model.training_forward(images, configuration.task_names, torch.Generator().manual_seed(0))
    (sum(prediction.sum() for prediction in predictions.values()) + balance).backward()
    assert all(p.grad is not None for name, p in model.named_parameters() if ".mlp." in name and "noise" not in name)


def test_the_grouped_product_asks_the_host_for_nothing():
    moe, tokens = (
        MoE(WIDTH, HIDDEN, EXPERTS, MOST, ("a",)).to("meta", torch.bfloat16),
        torch.empty(9, WIDTH, device="meta"),
    )
    experts, tokens = (moe.up_weight, moe.up_bias, moe.down_weight, moe.down_bias), tokens.bfloat16()
    chosen = torch.empty(9, EXPERTS, dtype=torch.bool, device="meta")
    result = static_mixture(tokens, tokens[:, :EXPERTS], chosen, MOST, experts, lambda shape: None, True)
    result.sum().backward()
    assert result.shape == (9, WIDTH) and moe.up_weight.grad is not None
