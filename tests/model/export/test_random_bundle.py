"""Networks with random weights: repeatable, in range, loads as asked for, and exported by the command line."""

import dataclasses

import numpy as np
import pytest
import torch

from moesaic.model.evaluation.agreement import top_k_agreement
from moesaic.model.export.bundle_export import build_random_bundle
from moesaic.model.input_pipeline.held_out import training_scenes, validation_scenes
from moesaic.model.network.random_weights import random_model
from moesaic.model.quantisation.golden_vectors import expert_loads, golden_vectors, saturated_shares
from moesaic.model.quantisation.integer import IntegerNetwork
from moesaic.model.recipes.recipe import Recipe

SEEDS = [0, 1, 2]


def seeds(values):
    return pytest.mark.parametrize("seed", values, ids=lambda s: f"seed{s}")


@pytest.fixture(scope="module")
def bundles(recipe):
    return {seed: build_random_bundle("random", recipe, seed) for seed in SEEDS}


@seeds(SEEDS)
def test_every_expert_gets_tokens_and_some_get_more(bundles, seed):
    bundle = bundles[seed]
    spreads = []
    for task, blocks in expert_loads(bundle.tasks, bundle.golden).items():
        assert sorted(blocks) == [1, 3]
        for block, load in blocks.items():
            assert sum(load) == 36 * 2
            assert min(load) >= 4, (task, block, load)
            assert bundle.report["expert_load"][task][str(block)] == load
            spreads.append(np.std(load) / np.mean(load))
    assert 0.2 < np.mean(spreads) < 0.6
    assert len(set(map(str, bundle.report["expert_load"].values()))) == 3  # each task has its own


@seeds(SEEDS)
def test_values_fill_their_ranges(bundles, seed):
    golden = bundles[seed].golden
    assert max(saturated_shares(golden).values()) < 0.06
    for name, value in golden.items():
        values = value.astype(np.float64)
        if name.endswith((".norm1", ".norm2", ".query", ".key", ".value", ".attention", "/norm", ".hidden")):
            assert np.abs(values).max() >= 40, name
            assert values.std() > 8, name
        if name.endswith((".projection", ".output", "/patch_embed")):
            assert 1000 < values.std() < 16_000, name


@seeds(SEEDS)
def test_twelve_blocks_leave_tokens_different_and_attention_local(recipe, seed):
    deep = Recipe(dataclasses.replace(recipe.model, depth=12), recipe.training)
    golden = {name: value.astype(np.float64) for name, value in build_random_bundle("deep", deep, seed).golden.items()}
    before, updates, own = golden["depth/patch_embed"], [], []
    for block in (f"depth/blocks.{i}" for i in range(12)):
        weights = golden[f"{block}.probabilities"] / golden[f"{block}.probabilities"].sum(-1, keepdims=True)
        own.append(36 * np.diagonal(weights, axis1=1, axis2=2).mean())  # 1 if attention were uniform
        keys = np.exp(-(weights * np.log(np.maximum(weights, 1e-9))).sum(-1))  # as many as share the weight evenly
        assert 3 < keys.mean() < 25, block
        for after in (golden[f"{block}.projection"], golden[f"{block}.output"]):
            updates.append((after - before).std())
            before = after
        patches = before[1:]
        assert (patches - patches.mean(0)).std() > 0.8 * patches.std(), block
    assert np.mean(own) > 3
    assert max(updates) < 1.8 * min(updates)


@seeds([0, 3])
def test_integers_route_as_the_float_network_does(recipe, seed):
    image = validation_scenes(recipe, 1).images
    model, bundle = random_model(recipe.model, seed, image), build_random_bundle("random", recipe, seed)
    network = IntegerNetwork(bundle.architecture, bundle.tasks, bundle.tensors)
    assert top_k_agreement(model, network, image) > 0.9
    for name, value in golden_vectors(network, image[0]).items():
        assert np.array_equal(value, bundle.golden[name]), name


def test_the_seed_decides_and_nothing_else(recipe, bundles):
    torch.manual_seed(99)
    again = build_random_bundle("random", recipe, 1)
    assert again.sha256 == bundles[1].sha256
    assert not np.array_equal(bundles[1].tensors["blocks.0.query.weight"], bundles[2].tensors["blocks.0.query.weight"])


def test_sizes_of_one_seed_share_what_is_not_adjusted(recipe):
    models = []
    for height in (40, 64):
        sized = Recipe(dataclasses.replace(recipe.model, image_height=height), recipe.training)
        models.append(dict(random_model(sized.model, 0, validation_scenes(sized, 1).images).named_parameters()))
    for name in ("patch_embedding.weight", "blocks.1.attention.qkv.weight", "blocks.3.mlp.up_weight", "norm.weight"):
        assert torch.equal(*(m[name] for m in models)), name
    assert [len(m["position"]) for m in models] == [36, 57]


def test_long_sequences_leave_scores_out(recipe):
    configuration = dataclasses.replace(recipe.model, image_height=128, image_width=128, depth=2)
    long = Recipe(configuration, recipe.training)
    golden = build_random_bundle("long", long, 0).golden
    assert configuration.tokens == 257
    assert golden["depth/blocks.0.query"].shape == (257, 40)
    assert not any(name.endswith((".scores", ".probabilities")) for name in golden)


def test_calibration_scenes_and_the_golden_image_differ(recipe, bundles):
    golden = bundles[0].golden["image"]
    assert not any(np.array_equal(golden, image) for image in training_scenes(recipe, 0, 57).images)
