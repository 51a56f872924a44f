"""The hand-written backward pass of the experts against autograd's, with empty queues, dropout and unequal top-k."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from moesaic.model.network.experts import expert_mixture
from moesaic.model.network.moe import MoE


def seeds(values):
    return pytest.mark.parametrize("seed", values, ids=lambda s: f"seed{s}")


def plain(tokens, weights, token, lengths, up_weight, up_bias, down_weight, down_bias, mask):
    result, start = torch.zeros_like(tokens), 0
    for e, length in enumerate(lengths):
        rows = slice(start, start + length)
        hidden = F.gelu(tokens[token[rows]] @ up_weight[e] + up_bias[e])
        hidden = hidden if mask is None else hidden * mask[rows]
        result = result.index_add(0, token[rows], (hidden @ down_weight[e] + down_bias[e]) * weights[rows, None])
        start += length
    return result


@seeds([0, 1, 2])
@pytest.mark.parametrize("dropped", [False, True])
@pytest.mark.parametrize("lengths", [(5, 3, 7, 1), (0, 8, 0, 8), (8, 8, 8, 8), (0, 0, 0, 0), (16, 0, 0, 0)], ids=str)
def test_result_and_gradients_are_those_of_the_definition(seed, dropped, lengths):
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape):
        return torch.randn(shape, generator=generator, dtype=torch.float64).requires_grad_()

    rows = sum(lengths)
    token = torch.cat([torch.randperm(16, generator=generator)[:n].sort().values for n in lengths])
    mask = (torch.rand(rows, 6, generator=generator) < 0.5).double() * 2 if dropped else None
    inputs = [draw(16, 5), draw(rows), draw(4, 5, 6), draw(4, 6), draw(4, 6, 5), draw(4, 5)]
    results = []
    for form in (expert_mixture, plain):
        result = form(inputs[0], inputs[1], token, list(lengths), *inputs[2:], mask)
        seen = torch.randn(result.shape, generator=torch.Generator().manual_seed(9), dtype=torch.float64)
        gradients = torch.autograd.grad((result * seen).sum(), inputs, allow_unused=True)
        results.append([result, *(torch.zeros_like(x) if g is None else g for x, g in zip(inputs, gradients))])
    for found, expected in zip(*results):
        assert torch.allclose(found, expected, atol=1e-10)


@seeds([0, 1])
def test_tasks_may_have_different_top_k(seed):
    torch.manual_seed(seed)
    moe, x = MoE(12, 9, 5, 2, ("a", "b")), torch.randn(4, 7, 12)
    moe.top_k_of["b"] = 4
    both = moe(x, ("a", "b"))[0]
    assert torch.allclose(both[2:], moe(x[2:], ("b",))[0], atol=1e-6)
    assert np.array_equal(moe.route("b", x[2:].flatten(0, 1))[1].sum(1), np.full(14, 4))
    moe.all_experts = True
    assert torch.allclose(both, moe(x, ("a", "b"))[0], atol=1e-5)


def test_dropout_is_of_hidden_units_in_training_only_and_keeps_the_mean():
    torch.manual_seed(0)
    moe, x = MoE(12, 400, 4, 4, ("a",), expert_dropout=0.25), torch.randn(1, 50, 12)
    plain_result = moe(x, ("a",))[0]
    assert torch.equal(plain_result, moe(x, ("a",))[0])
    drawn = [moe(x, ("a",), torch.Generator().manual_seed(s))[0] for s in (0, 0, 1)]
    assert torch.equal(drawn[0], drawn[1]) and not torch.equal(drawn[0], drawn[2])
    mask = moe._dropout((1000, 400), torch.Generator().manual_seed(0), x)
    assert mask.unique().tolist() == pytest.approx([0, 4 / 3])
    assert mask.mean().item() == pytest.approx(1, abs=0.01)
    moe.expert_dropout = 0.0
    without = moe(x, ("a",), torch.Generator().manual_seed(0))[0]
    assert (without - plain_result).norm() < (drawn[0] - plain_result).norm()


@pytest.mark.parametrize("dtype", [torch.bfloat16])
def test_mixed_precision_runs_the_experts_in_it_and_the_router_in_single(dtype):
    torch.manual_seed(0)
    moe, x = MoE(16, 32, 4, 2, ("a",)), torch.randn(2, 9, 16, requires_grad=True)
    exact = moe(x, ("a",))[0]
    with torch.autocast("cpu", dtype):
        result, _ = moe(x, ("a",), None)
        scores, _, _ = moe.route("a", x.flatten(0, 1))
    assert result.dtype == dtype and scores.dtype == torch.float32
    assert (result - exact).abs().max() < 0.05 * exact.abs().max()
    result.float().sum().backward()
    assert moe.up_weight.grad.dtype == torch.float32 and moe.up_weight.grad.any() and x.grad.any()
