"""Weights for another normalisation and another grid: the same function of the same picture."""

import dataclasses

import numpy as np
import torch
import torch.nn.functional as F

from moesaic.model.network.adaptation import adapted
from moesaic.model.network.upcycling import initialise
from moesaic.model.network.vit import M3ViT, normalise
from moesaic.spec.input_description import InputDescription
from moesaic.spec.output_description import OutputDescription

IMAGENET = InputDescription((0.485, 0.456, 0.406), (0.229, 0.224, 0.225), resize="stretch")


def test_another_normalisation_is_multiplied_into_the_patch_embedding(trained):
    c = trained.configuration
    other = M3ViT(dataclasses.replace(c, input=IMAGENET)).eval()
    assert initialise(other, adapted(trained.state_dict(), c, other.configuration)) == []
    pixels = np.random.default_rng(0).integers(0, 256, (2, c.image_height, c.image_width, 3)).astype(np.uint8)
    assert not torch.allclose(normalise(pixels, IMAGENET), normalise(pixels, c.input), atol=0.1)
    for task in c.task_names:
        expected, found = trained(normalise(pixels, c.input), task), other(normalise(pixels, IMAGENET), task)
        assert (found - expected).abs().max() < 1e-4 * expected.abs().max()
    back = adapted(other.state_dict(), other.configuration, c)
    assert all((back[name] - value).abs().max() < 1e-5 for name, value in trained.state_dict().items())


def test_as_many_patches_in_another_grid_are_interpolated(trained):
    c = trained.configuration
    rows, columns = c.grid
    wanted = dataclasses.replace(c, image_height=columns * c.patch, image_width=rows * c.patch)
    found = adapted(trained.state_dict(), c, wanted)["position"]
    own = trained.position.detach()
    image = own[1:].reshape(1, rows, columns, -1).permute(0, 3, 1, 2)
    expected = F.interpolate(image, size=(columns, rows), mode="bicubic", align_corners=False)
    assert torch.equal(found[0], own[0]) and torch.equal(found[1:], expected[0].permute(1, 2, 0).reshape(-1, c.width))
    assert torch.equal(adapted(trained.state_dict(), c, c)["position"], own)


def test_a_head_that_means_something_else_is_left_out(trained):
    c = trained.configuration
    tasks = tuple(
        dataclasses.replace(task, output=OutputDescription("linear")) if task.name == "depth" else task
        for task in c.tasks
    )
    found = adapted(trained.state_dict(), c, dataclasses.replace(c, tasks=tasks))
    assert trained.state_dict().keys() - found.keys() == {"heads.depth.linear.weight", "heads.depth.linear.bias"}
