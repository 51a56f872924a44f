"""Usage of the experts against counting by hand."""

import numpy as np
import pytest
import torch

from moesaic.model.network.vit import normalise
from moesaic.model.pathways.pathway import moe_blocks, on_pathways, whole_network
from moesaic.model.pathways.usage import chosen_experts, measure_usage
from moesaic.spec.bundle import Alternative


def routed_by_hand(model, images, task):
    """By block: the tokens that its MoE layer gets, through its routers' linear map, softmax and a stable sort."""
    result = {}

    def see(i, moe, x):
        weight, bias = (part.detach().numpy() for part in moe.router_linear(task))
        logits = x.flatten(0, 1).detach().numpy() @ weight.T + bias
        kept = moe.kept[task].numpy()
        power = np.where(kept, np.exp(logits), 0)
        scores = power / power.sum(1, keepdims=True)
        order = np.argsort(-scores, axis=1, kind="stable")[:, : moe.top_k_of[task]]
        chosen = np.zeros_like(kept, shape=scores.shape)
        np.put_along_axis(chosen, order, True, axis=1)
        result[i] = (scores, chosen)

    for i, moe in moe_blocks(model).items():
        moe.register_forward_pre_hook(lambda moe, arguments, i=i: see(i, moe, arguments[0]))
    with torch.no_grad():
        model(normalise(images, model.configuration.input), task)
    return result


@pytest.mark.parametrize("pruned", [False, True], ids=["all experts", "three experts, one a token"])
def test_counts_and_mass_are_those_of_the_routers(model, pictures, pruned):
    pathways = {"depth": Alternative(1, {1: (0, 2, 5), 3: (1, 3, 4)})} if pruned else whole_network(model)
    with on_pathways(model, pathways):
        usage, chosen = measure_usage(model, pictures), chosen_experts(model, pictures, "depth")
        by_hand = routed_by_hand(model, pictures, "depth")
    for i, (scores, expected) in by_hand.items():
        one = usage["depth"][i]
        assert one.tokens == 8 * 17 == len(expected)
        assert np.array_equal(one.counts, expected.sum(0)) and np.array_equal(chosen[i], expected)
        assert one.counts.sum() == one.tokens * (1 if pruned else 2)
        assert np.allclose(one.mass, (scores * expected).sum(0), rtol=1e-5)
        assert one.share.sum() == pytest.approx(1)
        assert len(set(one.counts.tolist())) > 1
    assert set(usage) == {"segmentation", "depth", "normals"} and set(usage["normals"]) == {1, 3}


def test_batches_add_up(model, pictures):
    many = np.concatenate([pictures] * 9)  # 72 pictures: three batches
    once, nine = measure_usage(model, pictures), measure_usage(model, many)
    for task, blocks in once.items():
        for i, one in blocks.items():
            assert np.array_equal(9 * one.counts, nine[task][i].counts)
            assert np.allclose(9 * one.mass, nine[task][i].mass)


def test_no_hook_stays(model, pictures):
    measure_usage(model, pictures)
    chosen_experts(model, pictures, "depth")
    assert not any(moe._forward_pre_hooks for moe in moe_blocks(model).values())
