"""Weights and pictures that no training leaves: what is constant or zero quantises, what is too large or no number is named."""

import dataclasses

import numpy as np
import pytest
import torch

from moesaic.errors import UserError
from moesaic.model.data.scenes import render
from moesaic.model.network.vit import M3ViT
from moesaic.model.quantisation.fake_quantised import FakeQuantised
from moesaic.model.quantisation.post_training import calibrated, integer_network
from moesaic.model.quantisation.settings import PtqSettings
from moesaic.model.recipes.recipe import ModelConfiguration, TaskConfiguration
from moesaic.model.training import checkpoint

CONFIGURATION = ModelConfiguration(32, 40, 8, 16, 2, 2, 24, 3, 1, 16, (TaskConfiguration("depth", 1),))
IMAGES = render(4, 32, 40, seed=0).images


def network(fill=None, parts=("",), times=1.0):
    torch.manual_seed(0)
    model = M3ViT(CONFIGURATION).eval()
    with torch.no_grad():
        for name, value in model.named_parameters():
            if any(part in name for part in parts):
                value.mul_(times)
                if fill is not None:
                    value.fill_(fill)
    return model


def assert_quantises(model, images=IMAGES, **settings):
    """The integer network is the one that training in integers sees, and gives numbers."""
    with np.errstate(divide="raise", over="raise", invalid="raise"):
        rounded, scales = calibrated(model, images, PtqSettings(**settings))
        integer = integer_network(rounded, images, scales=scales)
        found = integer.predict(images[:1], "depth")
        with torch.no_grad():
            trained = FakeQuantised(rounded, scales)(torch.from_numpy(images[:1]), "depth").numpy()
    assert np.isfinite(found).all() and np.array_equal(found, trained)


PARTS = sorted({".".join(p for p in name.split(".") if not p.isdigit()) for name, _ in network().named_parameters()})
SETTINGS = [{}, {"method": "percentile", "percentile": 99.0}, {"expert_bits": 4}, {"clip_weights": True}]


@pytest.mark.parametrize("value", [0.0, 1.0, -3.0])
@pytest.mark.parametrize("part", PARTS)
def test_a_constant_tensor_in_every_layer_quantises(part, value):
    model = network()
    with torch.no_grad():
        for name, weights in model.named_parameters():
            if ".".join(p for p in name.split(".") if not p.isdigit()) == part:
                weights.fill_(value)
    assert_quantises(model)


@pytest.mark.parametrize("settings", SETTINGS, ids=lambda s: "+".join(s) or "default")
def test_constant_networks_and_pictures_quantise(settings):
    assert_quantises(network(fill=0.0), **settings)
    assert_quantises(network(fill=1.0), **settings)
    assert_quantises(network(fill=0.0, parts=("norm",)), **settings)
    assert_quantises(network(fill=0.0, parts=("position", "class_token")), np.full_like(IMAGES, 128), **settings)
    assert_quantises(network(), np.zeros_like(IMAGES), **settings)


@pytest.mark.parametrize("value", [0.1, 5.1, -300.0])
def test_norms_with_a_channel_that_is_always_the_same_quantise(value):
    model = network()
    with torch.no_grad():
        for block in model.blocks:
            for norm in (block.norm1, block.norm2):
                norm.weight[3], norm.bias[3] = 0.0, value
    assert_quantises(model)


@pytest.mark.parametrize("times", [1e-30, 1e-8, 1e3])
def test_tensors_of_unusual_size_quantise(times):
    for part in ("qkv.bias", "projection", "mlp", "heads", "patch_embedding", "position", "routers"):
        assert_quantises(network(parts=(part,), times=times))


def test_what_is_too_large_for_integers_is_named():
    with pytest.raises(
        UserError, match=r"layer blocks.0.scores has no integers, a product of query and key is .* units"
    ):
        integer_network(network(parts=("qkv.weight",), times=1e8), IMAGES)
    with pytest.raises(
        UserError, match=r"layer blocks.1.router.depth has no integers, a weight is .* 32768 is too much"
    ):
        integer_network(network(parts=("routers",), times=1e8), IMAGES)
    with pytest.raises(UserError, match=r"blocks.0.* is not finite on the calibration images, though every weight is"):
        integer_network(network(parts=("norm1", "qkv"), times=1e30), IMAGES)


@pytest.mark.parametrize("value", [float("nan"), float("-inf")])
def test_checkpoints_with_weights_that_are_no_numbers_are_neither_written_nor_read(
    tmp_path, recipe, value, monkeypatch
):
    recipe = dataclasses.replace(recipe, model=CONFIGURATION)
    model, path = network(), tmp_path / "model.safetensors"
    checkpoint.save(path, checkpoint.Checkpoint(recipe, 1, model.state_dict(), {}))
    good = path.read_bytes()
    with torch.no_grad():
        model.blocks[1].mlp.up_weight[1, 2, 3] = value
    state = checkpoint.Checkpoint(recipe, 2, model.state_dict(), {})
    words = r"weight blocks.1.mlp.up_weight has 1 of 768 values that are not finite"
    with pytest.raises(UserError, match=words):
        checkpoint.save(path, state)
    assert path.read_bytes() == good
    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "require_finite", lambda *_: None)
        checkpoint.save(path, state)
    with pytest.raises(UserError, match=f"checkpoint {path}: {words}; take an earlier one or train again"):
        checkpoint.load(path)
