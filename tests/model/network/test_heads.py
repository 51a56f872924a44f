"""SETR-PUP: sizes, what it computes, its ONNX, and that a bundle is refused."""

import dataclasses

import numpy as np
import onnxruntime
import pytest
import torch
import torch.nn.functional as F

from moesaic.errors import UserError
from moesaic.model.export.bundle_export import build_bundle, build_random_bundle
from moesaic.model.export.onnx_export import export_onnx
from moesaic.model.network.heads import SetrPupHead
from moesaic.model.network.vit import M3ViT
from moesaic.model.quantisation.post_training import integer_network
from moesaic.model.recipes.recipe import Recipe


@pytest.fixture
def pup(recipe):
    return dataclasses.replace(recipe.model, head="setr-pup", depth=2)


@pytest.mark.parametrize("resolution", [16, 8, 5, 1])
def test_prediction_has_the_resolution_asked_for(resolution):
    head = SetrPupHead(12, 3, (2, 3), resolution, 1, 1e-6).eval()
    assert head(torch.randn(2, 7, 12)).shape == (2, 3, 2 * resolution, 3 * resolution)


def test_at_sixteen_pixels_every_stage_doubles():
    torch.manual_seed(0)
    head, x = SetrPupHead(12, 3, (2, 3), 16, 1, 1e-6).eval(), torch.randn(1, 7, 12)
    for norm in head.batch_norms:
        torch.nn.init.normal_(norm.running_mean)
        torch.nn.init.uniform_(norm.running_var, 0.5, 2)
    y = F.layer_norm(x[:, 1:], (12,), eps=1e-6).transpose(1, 2).reshape(1, 12, 2, 3)
    for i in range(4):
        convolution, norm = head.convolutions[i], head.batch_norms[i]
        y = F.conv2d(y, convolution.weight, convolution.bias, padding=1)
        y = F.relu(F.batch_norm(y, norm.running_mean, norm.running_var))
        y = F.conv2d(y, head.classifier.weight, head.classifier.bias) if i == 3 else y
        y = F.interpolate(y, scale_factor=2, mode="bilinear", align_corners=False)
    assert torch.allclose(head(x), y, atol=1e-6)


def test_heads_have_norms_of_their_own(pup):
    torch.manual_seed(0)
    model, image = M3ViT(pup).eval(), torch.randn(1, 3, 40, 56)
    before = model(image, "depth")
    torch.nn.init.zeros_(model.heads["normals"].norm.weight)
    assert torch.equal(model(image, "depth"), before)
    assert not any(name.startswith("norm.") for name in model.state_dict())


def test_onnx_gives_the_same_prediction(pup):
    torch.manual_seed(0)
    model, image = M3ViT(pup).eval(), torch.randn(1, 3, 40, 56)
    session = onnxruntime.InferenceSession(export_onnx(model, ("depth", "normals")))
    outputs = session.run(["depth", "normals"], {"image": image.numpy()})
    for task, found in zip(("depth", "normals"), outputs):
        assert np.abs(found - model(image, task).detach().numpy()).max() < 1e-4


def test_bundles_are_refused_with_the_remedy(pup, recipe, calibration_images):
    refused = Recipe(pup, recipe.training)
    for attempt in (
        lambda: build_bundle("pup", M3ViT(pup), refused),
        lambda: build_random_bundle("pup", refused, 0),
        lambda: integer_network(M3ViT(pup), calibration_images),
    ):
        with pytest.raises(UserError, match="'setr-pup' has no integer form: the accelerator runs the light head"):
            attempt()
