"""Figures on arrays whose value under the cited code is known: its functions were run on these arrays, and gave what stands here.

MTAN: `im2im_pred/utils.py`. LibMTL: `examples/nyu/utils.py`. InvPT: `InvPT/evaluation/`. M3ViT, of ASTMT: `evaluation/eval_sal.py`.
ATRC: `src/data/metrics.py`.
"""

import numpy as np
import pytest

from moesaic.model.tasks.registry import find_task
from moesaic.spec.output_description import OutputDescription

SHAPE = (3, 6, 8)


def arrays():
    """Depth in metres shown and true, normals shown and true, logits and classes, probabilities and what is salient."""
    rng = np.random.default_rng(0)
    metres = rng.uniform(0.5, 9, SHAPE).astype(np.float32)
    shown = (metres * np.exp(0.3 * rng.normal(size=SHAPE))).astype(np.float32)
    metres[rng.random(SHAPE) < 0.2] = 0
    normals = rng.normal(size=(*SHAPE, 3))
    normals /= np.linalg.norm(normals, axis=-1, keepdims=True)
    vectors = normals + 0.4 * rng.normal(size=normals.shape)
    vectors /= np.linalg.norm(vectors, axis=-1, keepdims=True)
    normals[rng.random(SHAPE) < 0.2] = 0
    classes = rng.integers(0, 4, SHAPE)
    logits = rng.normal(size=(3, 4, 6, 8)) + 1.5 * np.moveaxis(np.eye(4)[classes], -1, 1)
    classes[rng.random(SHAPE) < 0.2] = 255
    salient = (rng.random(SHAPE) < 0.3).astype(np.uint8)
    probability = 1 / (1 + np.exp(-(2.0 * salient - 1 + rng.normal(size=SHAPE))))
    return {
        "depth": (shown[:, None], metres),
        "normals": (np.moveaxis(vectors, -1, 1).astype(np.float32), normals.astype(np.float32)),
        "segmentation": (logits.astype(np.float32), classes.astype(np.uint8)),
        "saliency": (np.log(probability / (1 - probability))[:, None], salient),
    }


CITED = {
    "depth": {
        "rmse (m)": 2.190891354139723,  # InvPT
        "absolute error (m)": 1.3485298365877385,  # LibMTL, and MTAN on one batch
        "relative error": 0.26478398656635954,  # LibMTL, InvPT
        "rmse of ln": 0.33404844105380943,  # InvPT
    },
    "normals": {
        "mean angle (degrees)": 27.387463,  # MTAN, LibMTL
        "median angle (degrees)": 25.565107,
        "within 11.25 degrees": 0.10909090909090909,
        "within 22.5 degrees": 0.4636363636363636,
        "within 30 degrees": 0.6363636363636364,
    },
    "segmentation": {
        "mIoU": 0.4751778093883357,  # InvPT, LibMTL, MTAN
        "pixel accuracy": 0.6428571343421936,  # LibMTL, MTAN
        "IoU: wall": 0.47368421052631576,  # InvPT
        "IoU: floor": 0.4864864864864865,
        "IoU: class 2": 0.4,
        "IoU: class 3": 0.5405405405405406,
    },
    "saliency": {
        "maxF": 0.7866197568589325,  # M3ViT
        "max mIoU": 0.6464285714285715,  # M3ViT
        "maxF (pooled)": 0.8560974597930908,  # ATRC
        "maxF (InvPT)": 0.808888852596283,  # InvPT
    },
}


@pytest.mark.parametrize("parts", [(slice(None),), (slice(0, 1), slice(1, 3))], ids=["one batch", "two batches"])
@pytest.mark.parametrize("kind", CITED)
def test_figures_are_those_of_the_cited_code(kind, parts):
    output = OutputDescription("linear") if kind == "depth" else OutputDescription()
    meter = (task := find_task(kind, output=output, class_names=("wall", "floor"))).meter()
    shown, truth = arrays()[kind]
    for part in parts:
        meter.update(shown[part], truth[part])
    found = {task.metric: meter.result(), **meter.further()}
    assert {name: found[name] for name in CITED[kind]} == pytest.approx(CITED[kind], rel=1e-4)


def test_deltas_by_hand():
    truth = np.array([[[1, 1, 1, 1, 0]]], np.float32)
    shown = np.array([[[[1.2, 1.25, 0.65, 1.9, 7]]]])
    meter = find_task("depth", output=OutputDescription("linear")).meter()
    meter.update(shown, truth)
    assert [meter.further()[f"delta{n}"] for n in (1, 2, 3)] == [0.25, 0.75, 1]  # 1.25 is not below 1.25


def test_every_further_figure_has_its_direction():
    higher = {
        name: kind
        for kind in CITED
        for name in find_task(kind).meter().further()
        if find_task(kind).higher(name) != find_task(kind).higher_is_better
    }
    assert higher == dict.fromkeys(("delta1", "delta2", "delta3"), "depth") | dict.fromkeys(
        ("within 11.25 degrees", "within 22.5 degrees", "within 30 degrees"), "normals"
    )
    assert find_task("segmentation").higher("IoU: wall") and not find_task("depth").higher("relative error")


@pytest.mark.parametrize("kind", CITED)
def test_without_a_valid_pixel_there_is_no_figure(kind):
    task = find_task(kind)
    shown, truth = arrays()[kind]
    meter = task.meter()
    meter.update(shown, np.full_like(truth, task.truth.invalid))
    assert np.isnan([meter.result(), *meter.further().values()]).all()


def test_the_tolerance_of_edges_is_an_option_with_seisms_as_the_usual_one():
    truth, shown = (np.zeros((1, 200, 150), np.uint8) for _ in range(2))
    truth[0, 80, 10:-10] = shown[0, 82, 10:-10] = 1  # 2 pixels apart, of a diagonal of 250
    logits = shown[:, None] * 20.0 - 10
    usual, wide = find_task("edges"), find_task("edges", options={"tolerance": 0.011})
    assert usual.measure(logits, truth) == 0 and wide.measure(logits, truth) == 1
    assert (usual.metric_name, wide.metric_name) == ("odsF", "odsF (tolerance 0.011)")
