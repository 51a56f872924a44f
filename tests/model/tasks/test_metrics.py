"""Metrics by hand and against brute force; batches, invalid pixels and corners."""

import math

import numpy as np
import pytest

from moesaic.errors import UserError
from moesaic.model.tasks.metrics import AccuracyMeter
from moesaic.model.tasks.registry import find_task
from moesaic.spec.heads import DENSE_KINDS
from moesaic.spec.output_description import DEPTH_UNIT
from moesaic.spec.predictions import decode
from tests.model.tasks.kinds import CHANNELS, INVALID

SEEDS = range(4)
CLASSES = 4


def example(task, seed, count=5, invalid=0.25):
    """Predictions [N, C, 6, 9] that know something of the targets, of which about the share `invalid` is invalid."""
    rng = np.random.default_rng(seed)
    shape = (count, 6, 9)
    channels = CHANNELS.get(task, CLASSES)
    noise = rng.normal(0, 1, (count, channels, 6, 9)).astype(np.float32)
    if task == "normals":
        target = rng.normal(size=(*shape, 3)).astype(np.float32)
        target /= np.linalg.norm(target, axis=-1, keepdims=True)
        shown = np.moveaxis(target, -1, 1) + noise
    elif task == "depth":
        target = rng.uniform(0.5, 9, shape).astype(np.float32)
        shown = np.log(target / DEPTH_UNIT)[:, None] + 0.3 * noise
    elif task in CHANNELS:
        target = (rng.random(shape) < 0.3).astype(np.uint8)
        shown = 2 * target[:, None] - 1 + noise
    else:
        target = rng.integers(0, CLASSES - 1, shape).astype(np.uint8)  # the last class is nowhere in the truth
        shown = 2 * np.moveaxis(np.eye(CLASSES, dtype=np.float32)[target], -1, 1) + noise
    target[rng.random(shape) < invalid] = INVALID[task]
    return shown.astype(np.float32), target


def brute_force(task, predictions, targets):
    """The metric pixel by pixel, from decoded predictions, in plain Python."""
    decoded = [decode(task, np.moveaxis(shown, 0, -1), 1.0) for shown in predictions]
    pairs = [
        [(shown[y, x], truth[y, x]) for y, x in np.ndindex(*truth.shape[:2]) if np.any(truth[y, x] != INVALID[task])]
        for shown, truth in zip(decoded, targets)
    ]
    every = [pair for image in pairs for pair in image]
    if task in ("segmentation", "parts"):
        ious = []
        for c in range(CLASSES):
            union = sum(c in (shown, truth) for shown, truth in every)
            if union:
                ious.append(sum(shown == c and truth == c for shown, truth in every) / union)
        return sum(ious) / len(ious)
    if task == "saliency":
        best = 0
        for threshold in [0.2 + 0.05 * step for step in range(15)]:
            precision = recall = 0
            for image in pairs:
                hits = sum(shown > threshold and truth == 1 for shown, truth in image)
                precision += hits / max(sum(shown > threshold for shown, _ in image), 1) / len(pairs)
                recall += hits / max(sum(truth == 1 for _, truth in image), 1) / len(pairs)
            best = max(best, 2 * precision * recall / max(precision + recall, 1e-12))
        return best
    if task == "depth":
        return math.sqrt(sum((float(shown) - float(truth)) ** 2 for shown, truth in every) / len(every))
    return sum(math.degrees(math.acos(max(-1, min(1, float(s @ t))))) for s, t in every) / len(every)


STREAMING = [name for name in DENSE_KINDS if name != "edges"]


@pytest.mark.parametrize("seed", SEEDS, ids=lambda s: f"seed{s}")
@pytest.mark.parametrize("task", STREAMING)
def test_brute_force(task, seed):
    predictions, targets = example(task, seed)
    assert find_task(task).measure(predictions, targets) == pytest.approx(
        brute_force(task, predictions, targets), rel=1e-5
    )


@pytest.mark.parametrize("task", DENSE_KINDS)
def test_batches_add_up_and_invalid_pixels_do_not_count(task):
    predictions, targets = example(task, 0, count=7)
    whole = find_task(task).measure(predictions, targets)
    meter = find_task(task).meter()
    for first in (0, 1, 4):
        last = {0: 1, 1: 4, 4: 7}[first]
        meter.update(predictions[first:last], targets[first:last])
    assert meter.result() == pytest.approx(whole, rel=1e-12)
    nothing = np.full_like(targets[:2], INVALID[task])
    meter.update(predictions[:2], nothing)
    assert meter.result() == pytest.approx(whole, rel=1e-12)
    invalid = np.broadcast_to(
        (targets == INVALID[task]).reshape(*targets.shape[:3], -1).all(-1)[:, None], predictions.shape
    )
    assert invalid.any()
    if (
        task != "edges"
    ):  # which are thinned: an edge on invalid pixels has a say in where the thin line runs beside them
        assert find_task(task).measure(np.where(invalid, predictions + 3, predictions), targets) == whole


@pytest.mark.parametrize("task", DENSE_KINDS)
def test_without_a_valid_pixel_there_is_no_result(task):
    predictions, targets = example(task, 0, invalid=1.1)
    assert math.isnan(find_task(task).measure(predictions, targets)) and math.isnan(find_task(task).meter().result())


def test_mean_iou_by_hand():
    target = np.array([[[0, 0, 1, 1, 255]]], np.uint8)
    prediction = np.zeros((1, 3, 1, 5))
    for x, label in enumerate([0, 1, 1, 1, 2]):
        prediction[0, label, 0, x] = 1
    # class 0: 1 of 2, class 1: 2 of 3, class 2: only where the truth is unknown, so it does not count
    assert find_task("segmentation").measure(prediction, target) == pytest.approx((1 / 2 + 2 / 3) / 2)


def test_a_class_that_the_model_does_not_have_is_named():
    with pytest.raises(UserError, match="class 6, the model only 0 to 3"):
        find_task("parts").measure(np.zeros((1, 4, 1, 2)), np.array([[[6, 255]]], np.uint8))


def test_depth_error_is_in_metres():
    target = np.full((1, 2, 2), 3.0)
    prediction = np.log(np.array([[[[3.0, 3.0], [5.0, 3.0]]]]) / DEPTH_UNIT)
    assert find_task("depth").measure(prediction, target) == pytest.approx(1.0)
    target[0, 0] = 0  # invalid
    assert find_task("depth").measure(prediction, target) == pytest.approx(math.sqrt(2))


def test_angle_ignores_length():
    target = np.zeros((1, 1, 3, 3))
    target[:, :, :2, 2] = -1
    prediction = np.zeros((1, 3, 1, 3))
    prediction[0, :, 0, 0] = 0, 0, -7
    prediction[0, :, 0, 1] = 0, 0.3, -0.3
    prediction[0, :, 0, 2] = 1, 0, 0
    assert find_task("normals").measure(prediction, target) == pytest.approx(22.5)


def logits(probabilities):
    p = np.array(probabilities)
    return np.log(p / (1 - p))


def test_saliency_averages_precision_and_recall_over_images():
    shown = logits([[[[0.95, 0.95, 0.1, 0.1]]], [[[0.95, 0.1, 0.1, 0.1]]]])
    truth = np.array([[[1, 0, 0, 0]], [[1, 1, 1, 1]]], np.uint8)
    # precision 1/2 and 1, recall 1 and 1/4, at every threshold
    assert find_task("saliency").measure(shown, truth) == pytest.approx(2 * 0.75 * 0.625 / (0.75 + 0.625))


def test_saliency_takes_the_best_threshold():
    shown = logits([[[[0.9, 0.62, 0.58, 0.1]]]])
    assert find_task("saliency").measure(shown, np.array([[[1, 1, 0, 0]]], np.uint8)) == 1
    assert find_task("saliency").measure(shown, np.array([[[1, 0, 1, 0]]], np.uint8)) == pytest.approx(0.8)
    # Below 0.2 and above 0.9 there is no threshold.
    assert find_task("saliency").measure(logits([[[[0.15, 0.1]]]]), np.array([[[1, 0]]], np.uint8)) == 0
    assert find_task("saliency").measure(logits([[[[0.99, 0.95]]]]), np.array([[[1, 0]]], np.uint8)) == pytest.approx(
        2 / 3
    )


def test_an_image_without_a_salient_pixel_lowers_recall():
    shown = logits([[[[0.99, 0.01]]], [[[0.01, 0.01]]]])
    truth = np.array([[[1, 0]], [[0, 0]]], np.uint8)
    assert find_task("saliency").measure(shown, truth) == pytest.approx(0.5)


def test_accuracy_by_hand():
    logits = np.array([[3, 2, 1, 0], [0, 3, 3, 1], [9, 0, 1, 2], [1, 1, 1, 1]], np.float32)
    truth = np.array([0, 2, 1, -1], np.int32)
    assert find_task("classification").measure(logits, truth) == pytest.approx(1 / 3)
    for better, hits in (
        (1, 3),
        (2, 2),
        (3, 2),
        (4, 1),
        (5, 0),
    ):  # so many classes that are nowhere come before all others
        meter = AccuracyMeter()
        for part in (slice(0, 1), slice(1, 4)):
            meter.update(np.pad(logits[part], ((0, 0), (0, better)), constant_values=99), truth[part])
        assert meter.result() == 0 and meter.further() == {"top-5": hits / 3}
    with pytest.raises(UserError, match="the truth has class 4, the model only 0 to 3"):
        AccuracyMeter().update(logits, np.array([4, 0, 0, 0]))
    assert math.isnan(AccuracyMeter().result())


def test_features_are_compared_in_decibels():
    signal = np.full((2, 5, 4), 10.0)
    meter = find_task("features").meter()
    assert math.isnan(meter.result())
    meter.update(signal[:1] + 1, signal[:1])
    meter.update(signal[1:] - 1, signal[1:])
    assert meter.result() == pytest.approx(20)
    assert (
        find_task("features").measure(signal, signal) == math.inf
        and find_task("features").measure(signal, 0 * signal) == -math.inf
    )
