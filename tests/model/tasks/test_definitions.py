"""Tasks as a whole: their targets, their names, and that the truth itself has the best loss and metric."""

import numpy as np
import pytest
import torch

from moesaic.errors import UserError
from moesaic.model.data.samples import Batch
from moesaic.model.data.scenes import render
from moesaic.model.tasks.loss_sets import LOSS_SETS
from moesaic.model.tasks.losses import class_cross_entropy, depth_l1, normals_cosine
from moesaic.model.tasks.registry import TASK_KINDS, find_task, task_kind
from moesaic.spec.heads import DENSE_KINDS, KINDS
from moesaic.spec.output_description import DEPTH_UNIT, USUAL_OUTPUT, decoding_of, picture_of, usual_picture
from tests.model.tasks.kinds import CHANNELS

CLASSES = 9


def perfect(name, target):
    """The prediction [N, C, h, w], float32, that says exactly what the truth does."""
    if name in ("segmentation", "parts"):
        shown = np.moveaxis(np.eye(CLASSES)[target], -1, 1) * 50
    elif name in ("saliency", "edges"):
        shown = target[:, None] * 100.0 - 50
    elif name == "depth":
        shown = np.log(target / DEPTH_UNIT)[:, None]
    else:
        shown = np.moveaxis(target, -1, 1) * 3
    return shown.astype(np.float32)


def test_bundles_data_and_tasks_have_the_same_names():
    assert set(TASK_KINDS.names) == set(KINDS) and CHANNELS == {"depth": 1, "edges": 1, "normals": 3, "saliency": 1}
    for name in KINDS:
        kind = task_kind(name)
        assert set(kind.losses) == (
            set() if name == "features" else set(LOSS_SETS[:2]) | ({"mtan"} & kind.losses.keys())
        )
        assert decoding_of(name, USUAL_OUTPUT) == kind.decoding and kind.bundle_output(USUAL_OUTPUT) == USUAL_OUTPUT
        if name in DENSE_KINDS:
            assert picture_of(name, USUAL_OUTPUT) == (kind.picture or usual_picture(kind.decoding))


@pytest.mark.parametrize("losses", LOSS_SETS[:2])
@pytest.mark.parametrize("name", DENSE_KINDS)
def test_the_truth_has_the_best_loss_and_metric(name, losses):
    scenes, task = render(3, 24, 32, seed=1), find_task(name, CHANNELS.get(name, CLASSES), losses)
    target = task.target(scenes, (3, task.channels, 24, 32))
    prediction = perfect(name, target)
    assert prediction.shape[1] == task.channels
    assert task.loss(torch.from_numpy(prediction), torch.from_numpy(target)) == pytest.approx(0, abs=1e-5)
    assert task.measure(prediction, target) == pytest.approx(1 if task.higher_is_better else 0, abs=0.05)
    noise = np.random.default_rng(0).normal(0, 3 * prediction.std(), prediction.shape).astype(np.float32)
    worse = prediction + noise
    assert task.loss(torch.from_numpy(worse), torch.from_numpy(target)) > 0.1
    assert (task.measure(worse, target) < 0.9) if task.higher_is_better else (task.measure(worse, target) > 5)


def test_targets_of_coarse_predictions_are_the_pixels_at_their_centres():
    scenes = render(2, 16, 24, seed=1)
    assert np.array_equal(find_task("depth").target(scenes, (2, 1, 16, 24)), scenes.depth)
    assert np.array_equal(find_task("depth").target(scenes, (2, 1, 4, 6)), scenes.depth[:, 2::4, 2::4])
    assert find_task("normals").target(scenes, (2, 3, 5, 7)).shape == (2, 5, 7, 3)


def test_unknown_names_and_wrong_channels_are_named():
    with pytest.raises(UserError, match="'pose': choose classification, depth, edges, features, normals, parts"):
        find_task("pose", 1)
    with pytest.raises(UserError, match=r"depth has 2 channels .* 1"):
        find_task("depth", 2)
    with pytest.raises(UserError, match=r"parts has 1 channels .* 2 to 255"):
        find_task("parts", 1)
    with pytest.raises(UserError, match="'paper': choose scenes or papers or mtan"):
        find_task("depth", 1, "paper")


def test_a_recipe_chooses_the_papers_losses():
    mtan = [find_task(name, CHANNELS.get(name, 7), "mtan") for name in ("segmentation", "depth", "normals")]
    assert [task.chosen.function for task in mtan] == [class_cross_entropy, depth_l1, normals_cosine]
    assert all(task.weight == 1 for task in mtan)
    with pytest.raises(
        UserError, match="edges has no loss in the set 'mtan': choose another set; it has scenes, papers"
    ):
        find_task("edges", 1, "mtan").loss(torch.zeros(1, 1, 2, 2), torch.zeros(1, 2, 2))
    weights = {"segmentation": 1, "parts": 2, "saliency": 5, "edges": 50, "depth": 1, "normals": 10}
    assert {name: find_task(name, CHANNELS.get(name, 7), "papers").weight for name in DENSE_KINDS} == weights
    for name in ("segmentation", "depth", "normals"):
        assert find_task(name, CHANNELS.get(name, 7)).weight == 1


def test_a_classification_takes_the_class_of_the_image_and_may_have_any_number():
    task, batch = (
        find_task("classification", 1000),
        Batch(np.zeros((3, 8, 8, 3), np.uint8), {"classification": CLASS_OF}),
    )
    prediction = np.eye(1000, dtype=np.float32)[CLASS_OF] * 20
    assert np.array_equal(task.target(batch, prediction.shape), CLASS_OF)
    assert task.loss(torch.from_numpy(prediction), torch.from_numpy(CLASS_OF)).item() < 1e-4
    assert task.measure(prediction, CLASS_OF) == 1 and task.in_short == ("top-5",)


CLASS_OF = np.array([7, 999, 0], np.int32)
