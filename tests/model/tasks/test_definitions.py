"""Losses and metrics on cases with a known answer."""

import numpy as np
import pytest
import torch

from model.data.scenes import render
from model.tasks.definitions import DEPTH_UNIT, TASKS, find_task
from spec.errors import UserError


def test_mean_iou_by_hand():
    target = np.array([[[0, 0, 1, 1]]])
    prediction = np.zeros((1, 3, 1, 4))
    for x, label in enumerate([0, 1, 1, 1]):
        prediction[0, label, 0, x] = 1
    # class 0: 1 of 2, class 1: 2 of 3, class 2: nowhere, so it does not count
    assert TASKS["segmentation"].measure(prediction, target) == pytest.approx((1 / 2 + 2 / 3) / 2)


def test_depth_error_is_in_metres():
    target = np.full((1, 2, 2), 3.0)
    prediction = np.log(np.array([[[[3.0, 3.0], [5.0, 3.0]]]]) / DEPTH_UNIT)
    assert TASKS["depth"].measure(prediction, target) == pytest.approx(1.0)


def test_angle_ignores_length():
    target = np.zeros((1, 1, 2, 3))
    target[..., 2] = -1
    prediction = np.zeros((1, 3, 1, 2))
    prediction[0, :, 0, 0] = 0, 0, -7
    prediction[0, :, 0, 1] = 0, 0.3, -0.3
    assert TASKS["normals"].measure(prediction, target) == pytest.approx(22.5)


def perfect(name, scenes):
    if name == "segmentation":
        return np.moveaxis(np.eye(6)[scenes.segmentation], -1, 1) * 50
    if name == "depth":
        return np.log(scenes.depth / DEPTH_UNIT)[:, None]
    return np.moveaxis(scenes.normals, -1, 1) * 3


@pytest.mark.parametrize("name", TASKS)
def test_the_truth_has_the_best_loss_and_metric(name):
    scenes, task = render(3, 16, 24, seed=1), TASKS[name]
    prediction, target = perfect(name, scenes).astype(np.float32), task.target(scenes, 16, 24)
    assert prediction.shape[1] == task.channels
    assert task.loss(torch.from_numpy(prediction), torch.from_numpy(target)) == pytest.approx(0, abs=1e-5)
    assert task.measure(prediction, target) == pytest.approx(1 if task.higher_is_better else 0, abs=0.05)
    worse = prediction + np.random.default_rng(0).normal(0, 3 * prediction.std(), prediction.shape).astype(np.float32)
    assert task.loss(torch.from_numpy(worse), torch.from_numpy(target)) > 0.1
    assert (task.measure(worse, target) < 0.9) if task.higher_is_better else (task.measure(worse, target) > 5)


def test_targets_of_coarse_predictions_are_the_pixels_at_their_centres():
    scenes = render(2, 16, 24, seed=1)
    assert np.array_equal(TASKS["depth"].target(scenes, 16, 24), scenes.depth)
    assert np.array_equal(TASKS["depth"].target(scenes, 4, 6), scenes.depth[:, 2::4, 2::4])
    assert TASKS["normals"].target(scenes, 5, 7).shape == (2, 5, 7, 3)


def test_unknown_tasks_and_wrong_channels_are_named():
    with pytest.raises(UserError, match="segmentation, depth, normals"):
        find_task("edges", 1)
    with pytest.raises(UserError, match=r"depth has 2 channels .* 1"):
        find_task("depth", 2)
