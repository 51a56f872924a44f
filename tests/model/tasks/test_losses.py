"""Losses against the formulas that they stand for, pixel by pixel, and what invalid pixels do to them."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from moesaic.model.tasks.loss_sets import LOSS_SETS
from moesaic.model.tasks.registry import find_task, task_kind
from moesaic.spec.heads import DENSE_KINDS
from moesaic.spec.output_description import DEPTH_UNIT
from tests.model.tasks.kinds import CHANNELS, INVALID

SEEDS = range(3)
CLASSES = 5
EVERY = [(losses, task) for losses in LOSS_SETS for task in DENSE_KINDS if losses in task_kind(task).losses]


def example(task, seed, invalid=0.3):
    """A prediction [2, C, 5, 7] and a target of which about that share is invalid."""
    rng = np.random.default_rng(seed)
    prediction = rng.normal(0, 2, (2, CHANNELS.get(task, CLASSES), 5, 7)).astype(np.float32)
    if task == "normals":
        target = rng.normal(size=(2, 5, 7, 3)).astype(np.float32)
        target /= np.linalg.norm(target, axis=-1, keepdims=True)
    elif task == "depth":
        target = rng.uniform(0.5, 9, (2, 5, 7)).astype(np.float32)
    else:
        target = rng.integers(0, 2 if task in CHANNELS else CLASSES, (2, 5, 7)).astype(np.uint8)
    target[rng.random((2, 5, 7)) < invalid] = INVALID[task]
    return torch.from_numpy(prediction).requires_grad_(), torch.from_numpy(target)


def by_pixel(losses, task, prediction, target):
    """The loss in plain Python, double precision."""
    pixels = []
    for b, y, x in np.ndindex(*target.shape[:3]):
        out = [float(value) for value in prediction[b, :, y, x]]
        truth = target[b, y, x].tolist()
        if task in ("segmentation", "parts"):
            if truth != 255:
                pixels.append(math.log(sum(math.exp(value) for value in out)) - out[truth])
        elif task in ("saliency", "edges"):
            if truth != 255:
                pixels.append((truth, math.log(1 + math.exp(-out[0] if truth else out[0]))))
        elif task == "depth":
            if truth:
                metres = DEPTH_UNIT * math.exp(out[0])
                pixels.append(abs(metres - truth) if losses != "scenes" else abs(math.log(metres / truth)))
        elif any(truth):
            length = math.sqrt(sum(value * value for value in out))
            if losses == "papers":
                pixels.append(sum(abs(o / length - t) for o, t in zip(out, truth)) / 3)
            else:
                pixels.append(1 - sum(o * t for o, t in zip(out, truth)) / length)
    if task in ("saliency", "edges"):
        weight = 0.95 if task == "edges" else sum(1 - truth for truth, _ in pixels) / len(pixels)
        pixels = [(weight if truth else 1 - weight) * entropy for truth, entropy in pixels]
    return sum(pixels) / len(pixels)


@pytest.mark.parametrize("seed", SEEDS, ids=lambda s: f"seed{s}")
@pytest.mark.parametrize(("losses", "task"), EVERY)
def test_losses_by_pixel(losses, task, seed):
    prediction, target = example(task, seed)
    found = find_task(task, losses=losses).loss(prediction, target)
    assert found.item() == pytest.approx(by_pixel(losses, task, prediction.detach(), target), rel=1e-5)


@pytest.mark.parametrize(("losses", "task"), EVERY)
def test_invalid_pixels_have_no_gradient_and_no_influence(losses, task):
    function = find_task(task, losses=losses).loss
    prediction, target = example(task, 0)
    invalid = target == INVALID[task]
    invalid = invalid.all(-1) if task == "normals" else invalid
    assert 0 < invalid.sum() < invalid.numel()
    loss = function(prediction, target)
    loss.backward()
    place = invalid[:, None].expand_as(prediction)
    assert (prediction.grad[place] == 0).all() and (prediction.grad[~place] != 0).any()
    changed = torch.where(place, prediction.detach() + 3, prediction.detach())
    assert torch.equal(function(changed, target), loss.detach())


@pytest.mark.parametrize(("losses", "task"), EVERY)
def test_without_a_valid_pixel_the_loss_and_its_gradient_are_zero(losses, task):
    prediction, target = example(task, 0, invalid=1.1)
    loss = find_task(task, losses=losses).loss(prediction, target)
    loss.backward()
    assert loss.item() == 0 and torch.equal(prediction.grad, torch.zeros_like(prediction))


@pytest.mark.parametrize(("losses", "task"), EVERY)
def test_half_precision_predictions_are_computed_in_float32(losses, task):
    prediction, target = example(task, 1)
    half = prediction.detach().bfloat16()
    function = find_task(task, losses=losses).loss
    assert function(half, target).dtype == torch.float32
    assert torch.equal(function(half, target), function(half.float(), target))


def test_saliency_of_one_class_only():
    """As in the papers' code: the class that is there weighs as much as the share of the one that is not."""
    prediction = torch.randn(1, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    for label in (0, 1):
        target = torch.full((1, 4, 4), label, dtype=torch.uint8)
        assert find_task("saliency", losses="papers").loss(prediction, target) == 0
        assert find_task("edges", losses="papers").loss(prediction, target) > 0


@pytest.mark.parametrize("seed", SEEDS, ids=lambda s: f"seed{s}")
def test_where_every_pixel_is_valid_the_scenes_losses_are_the_plain_means_bit_for_bit(seed):
    def plain(task, prediction, target):
        if task == "segmentation":
            return F.cross_entropy(prediction, target.long())
        if task == "depth":
            return F.l1_loss(prediction[:, 0], torch.log(target / DEPTH_UNIT))
        length = prediction.square().sum(1).add(1e-12).sqrt()
        return 1 - ((prediction * target.permute(0, 3, 1, 2)).sum(1) / length).mean()

    for task in ("segmentation", "depth", "normals"):
        prediction, target = example(task, seed, invalid=0)
        # A size at which the order of the sums matters.
        prediction = prediction.detach().repeat(3, 1, 13, 11).requires_grad_()
        target = target.repeat(3, 13, 11, *([1] if task == "normals" else []))
        old, new = plain(task, prediction, target), find_task(task, losses="scenes").loss(prediction, target)
        assert torch.equal(old, new), task
        (old_gradient,), (new_gradient,) = (torch.autograd.grad(loss, prediction) for loss in (old, new))
        assert torch.equal(old_gradient, new_gradient), task


@pytest.mark.parametrize("losses", LOSS_SETS[:2])
def test_the_loss_of_whole_images_leaves_out_those_without_a_class(losses):
    generator = torch.Generator().manual_seed(0)
    prediction = torch.randn(4, 7, generator=generator).requires_grad_()
    target = torch.tensor([3, -1, 0, -1], dtype=torch.int32)
    function = find_task("classification", losses=losses).loss
    loss = function(prediction, target)
    loss.backward()
    expected = [
        math.log(sum(map(math.exp, prediction[n].tolist()))) - prediction[n, label].item()
        for n, label in ((0, 3), (2, 0))
    ]
    assert loss.item() == pytest.approx(sum(expected) / 2, rel=1e-5)
    assert (prediction.grad[1::2] == 0).all() and (prediction.grad[::2] != 0).all()
    assert function(prediction, torch.full((4,), -1)).item() == 0
