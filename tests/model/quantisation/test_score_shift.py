"""Experts whose results exceed the residual stream's range before their scores weigh them do not widen it."""

import dataclasses

import numpy as np
import pytest
import torch

from moesaic.model.network.upcycling import initialise
from moesaic.model.network.vit import M3ViT
from moesaic.model.pathways.pathway import whole_network
from moesaic.model.quantisation.post_training import scales_for
from moesaic.model.quantisation.quantise import quantise
from moesaic.model.quantisation.settings import PtqSettings
from moesaic.spec.arithmetic import SCORE_SHIFT_MAX


@pytest.fixture
def dense(recipe):
    torch.manual_seed(5)
    small = dataclasses.replace(recipe.model, image_height=16, image_width=16, depth=2, mlp_hidden=48)
    model = M3ViT(dataclasses.replace(small, experts=0, top_k=0, expert_hidden=0)).eval()
    with torch.no_grad():  # the second block makes what is largest in the stream
        model.blocks[1].mlp.down.weight *= 60
    return model


def upcycled(dense, experts):
    sizes = dataclasses.replace(dense.configuration, experts=experts, top_k=1, expert_hidden=48)
    torch.manual_seed(0)
    model = M3ViT(sizes).eval()
    initialise(model, dense.state_dict())
    return model


@pytest.mark.parametrize("method", ["mse", "percentile"])
@pytest.mark.parametrize("experts", [4, 8, 16])
def test_upcycling_leaves_the_streams_unit_and_shifts_the_scores(dense, experts, method):
    images = np.random.default_rng(0).integers(0, 256, (24, 16, 16, 3), np.uint8)
    settings = PtqSettings(method=method, percentile=100.0)
    before = scales_for(dense, images, settings)
    model = upcycled(dense, experts)
    after = scales_for(model, images, settings)
    assert after.stream == pytest.approx(before.stream, rel=0.3)
    assert [block.score_shift for block in before.blocks] == [0, 0]
    assert after.blocks[0].score_shift == 0
    assert 1 <= after.blocks[1].score_shift <= np.log2(experts) + 1 <= SCORE_SHIFT_MAX
    _, tensors = quantise(model, after, whole_network(model))
    assert tensors["blocks.1.score_shift"] == after.blocks[1].score_shift
    assert "blocks.0.score_shift" not in tensors
