"""Backbones by name in a recipe: sizes, what overrides them, and what is refused."""

import pytest
import torch

from moesaic.errors import UserError
from moesaic.model.network.moe import MoE
from moesaic.model.network.vit import M3ViT
from moesaic.model.recipes.backbones import BACKBONES
from moesaic.model.recipes.recipe import Recipe

TRAINING = {"steps": 1, "batch": 1, "learning_rate": 1e-3, "warmup": 0, "pool": 1}


def configuration(**entries):
    tasks = [{"name": "depth", "channels": 1}]
    model = {"image_height": 32, "image_width": 64, "tasks": tasks, **entries}
    return Recipe.from_dict({"model": model, "training": {**TRAINING, "select": "depth"}}).model


@pytest.mark.parametrize(
    ("name", "width", "heads", "top_k", "expert_hidden"),
    [("tiny", 192, 3, 2, 384), ("small", 384, 12, 4, 384), ("small-deit", 384, 6, 4, 384), ("base", 768, 12, 4, 768)],
)
def test_sizes_are_the_published_ones(name, width, heads, top_k, expert_hidden):
    c = configuration(backbone=name)
    assert (c.width, c.heads, c.depth, c.patch, c.mlp_hidden) == (width, heads, 12, 16, 4 * width)
    assert (c.experts, c.top_k, c.expert_hidden) == (16, top_k, expert_hidden)
    assert top_k * expert_hidden == c.mlp_hidden  # as much arithmetic as the dense network


@pytest.mark.parametrize("name", BACKBONES)
@pytest.mark.parametrize("experts", [None, 0], ids=["moe", "dense"])
def test_every_second_block_has_experts_or_none_has(name, experts):
    c = configuration(backbone=name, **({} if experts is None else {"experts": experts}))
    with torch.device("meta"):
        model = M3ViT(c)
    assert [isinstance(block.mlp, MoE) for block in model.blocks] == [False, experts is None] * 6
    assert c.architecture.moe_blocks == (() if experts == 0 else (1, 3, 5, 7, 9, 11))


def test_stated_sizes_go_before_the_backbones():
    c = configuration(backbone="small", heads=6, depth=4, top_k=2, expert_hidden=768)
    assert (c.width, c.heads, c.depth, c.top_k, c.expert_hidden) == (384, 6, 4, 2, 768)


@pytest.mark.parametrize(
    ("entries", "words"),
    [
        ({"backbone": "huge"}, "backbone 'huge' is unknown: choose tiny, small, small-deit, base"),
        ({"backbone": "small", "heads": 7}, r"width \(384\) is not a positive multiple of 7"),
        ({"backbone": "small", "experts": 0, "top_k": 2}, r"without experts \(experts = 0\) has top_k \(2\)"),
        ({"backbone": "small", "expert_hidden": 0}, r"expert_hidden \(0\) of 16 experts"),
        ({"backbone": "small", "gate": "both"}, "gate .'both'. is unknown: choose multi, single, task-conditioned"),
        ({"backbone": "small", "gate_noise": "some"}, "choose fixed, learned, none"),
        ({"backbone": "small", "expert_dropout": 1}, r"expert_dropout \(1\)"),
        ({"backbone": "small", "head": "pup"}, "choose light, setr-pup"),
    ],
)
def test_what_does_not_fit_is_named(entries, words):
    with pytest.raises(UserError, match=words):
        configuration(**entries)
