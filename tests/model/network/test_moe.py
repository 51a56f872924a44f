"""Routing and the two forms of the mixture."""

import numpy as np
import pytest
import torch

from moesaic.model.network.balance import balance_loss, expert_load
from moesaic.model.network.moe import MoE, top_k_mask


@pytest.mark.parametrize("seed", range(3), ids=lambda s: f"seed{s}")
@pytest.mark.parametrize("top_k", [1, 2, 5, 8])
def test_mask_is_the_stable_top_k(seed, top_k):
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randint(-2, 3, (200, 8), generator=generator).float()  # many ties
    order = np.argsort(-logits.numpy(), axis=1, kind="stable")[:, :top_k]
    expected = np.zeros((200, 8), bool)
    np.put_along_axis(expected, order, True, axis=1)
    assert np.array_equal(top_k_mask(logits, top_k).numpy(), expected)


def test_equal_logits_go_to_the_lowest_experts():
    mask = top_k_mask(torch.zeros(3, 6), 2)
    assert np.array_equal(mask.numpy(), np.tile([True, True, False, False, False, False], (3, 1)))


def layer(gate="multi", width=12, hidden=9, experts=6, top_k=2, tasks=("a", "b"), seed=0, **options):
    torch.manual_seed(seed)
    moe = MoE(width, hidden, experts, top_k, tasks, gate=gate, task_embedding=7, **options)
    for parameter in moe.parameters():
        if parameter.ndim == 1 or not parameter.any():
            torch.nn.init.normal_(parameter)
    return moe


def test_scores_are_the_softmax_over_all_experts_not_renormalised():
    moe, x = layer(), torch.randn(50, 12)
    scores, chosen, balance = moe.route("a", x)
    probabilities = torch.softmax(moe.logits("a", x), -1)
    assert torch.equal(scores[chosen], probabilities[chosen])
    assert np.array_equal((scores > 0).numpy(), chosen.numpy())
    assert scores.sum(-1).max() < 1
    assert balance == 0


def test_experts_outside_the_pathway_have_no_weight_in_the_softmax():
    moe, x = layer(), torch.randn(50, 12)
    moe.kept["a"] = torch.tensor([False, True, True, False, True, True])
    scores, chosen, _ = moe.route("a", x)
    expected = torch.softmax(moe.logits("a", x)[:, [1, 2, 4, 5]], -1)
    assert not chosen[:, [0, 3]].any()
    assert torch.allclose(scores[chosen], expected[chosen[:, [1, 2, 4, 5]]])
    assert moe.route("b", x)[1][:, [0, 3]].any()


@pytest.mark.parametrize("degenerate", [False, True], ids=["mixed", "one_expert_gets_all"])
def test_both_forms_agree_with_each_other_and_with_the_definition(degenerate):
    torch.manual_seed(1)
    moe, x = MoE(12, 9, 5, 2, ("a", "b")), torch.randn(2, 7, 12)
    torch.nn.init.normal_(moe.up_bias)
    torch.nn.init.normal_(moe.down_bias)
    if degenerate:
        torch.nn.init.zeros_(moe.routers["a"].linear.weight)  # ties everywhere: experts 0 and 1, the others get nothing
    chosen_only, _ = moe(x, ("a",))
    moe.all_experts = True
    every, _ = moe(x, ("a",))
    assert torch.allclose(chosen_only, every, atol=1e-6)
    expected = torch.zeros(14, 12)
    scores, chosen, _ = moe.route("a", x.flatten(0, 1))
    for n, e in chosen.nonzero().tolist():
        hidden = torch.nn.functional.gelu(x.flatten(0, 1)[n] @ moe.up_weight[e] + moe.up_bias[e])
        expected[n] += scores[n, e] * (hidden @ moe.down_weight[e] + moe.down_bias[e])
    assert torch.allclose(chosen_only.flatten(0, 1), expected, atol=1e-6)


def test_a_batch_of_two_tasks_is_routed_by_the_router_of_each():
    torch.manual_seed(2)
    moe, x = MoE(12, 9, 5, 2, ("a", "b")), torch.randn(2, 7, 12)
    both, _ = moe(x.repeat(2, 1, 1), ("a", "b"))
    assert torch.allclose(both, torch.cat([moe(x, ("a",))[0], moe(x, ("b",))[0]]), atol=1e-6)
    assert not torch.allclose(both[:2], both[2:], atol=1e-3)


def loss_of(logits, std, top_k):
    return balance_loss(torch.softmax(logits, -1).sum(0), expert_load(logits, logits, std, top_k_mask(logits, top_k)))


def test_balance_loss_rewards_an_even_share():
    experts, top_k, std = 4, 1, 0.25
    even = 8.0 * torch.eye(experts).repeat(25, 1)
    skewed = torch.zeros(100, experts)
    skewed[:, 0] = 8
    assert loss_of(even, std, top_k) < 1e-6
    # one of four with everything: mean 1/4, variance 3/16, squared variation 3
    assert loss_of(skewed, std, top_k) == pytest.approx(3, rel=0.02)


@pytest.mark.parametrize("gate_noise", ["fixed", "learned"])  # "none" has no gradient where one expert has all tokens
def test_balance_loss_moves_tokens_to_idle_experts(gate_noise):
    torch.manual_seed(3)
    moe, x = MoE(8, 4, 4, 1, ("a",), gate_noise=gate_noise), torch.randn(256, 8).abs()
    with torch.no_grad():
        moe.routers["a"].linear.weight[2] += 0.3
    before = moe.route("a", x)[1].float().mean(0).max()
    optimizer = torch.optim.SGD(moe.routers.parameters(), lr=0.3)
    for step in range(100):
        optimizer.zero_grad()
        moe.route("a", x, torch.Generator().manual_seed(step))[2].backward()
        optimizer.step()
    assert before > 0.9
    assert moe.route("a", x)[1].float().mean(0).max() < 0.6
