"""Decoding raw outputs."""

import numpy as np
import pytest

from moesaic.errors import UserError
from moesaic.spec.output_description import DEPTH_UNIT
from moesaic.spec.predictions import decode, real_output, top_classes


def test_segmentation_takes_the_largest_and_the_lowest_of_equals():
    raw = np.array([[[1, 5, 3], [-9, -9, -10], [7, 7, 7], [-32768, -32768, 32767]]], np.int16)
    classes = decode("segmentation", raw, 0.5)
    assert classes.dtype == np.uint8
    assert np.array_equal(classes, [[1, 0, 0, 2]])


def test_depth_is_an_exponential_in_metres():
    raw = np.array([[[0], [1000], [-1000]]], np.int16)
    depth = decode("depth", raw, np.log(2) / 1000)
    assert depth.dtype == np.float32 and depth.shape == (1, 3)
    assert np.allclose(depth, [[DEPTH_UNIT, 2 * DEPTH_UNIT, DEPTH_UNIT / 2]])


def test_normals_have_length_one_and_zero_faces_the_viewer():
    raw = np.random.default_rng(0).integers(-32768, 32768, (6, 7, 3)).astype(np.int16)
    raw[0, 0] = 0
    raw[0, 1] = (0, -5, 0)
    normals = decode("normals", raw, 1e-3)
    assert normals.dtype == np.float32
    assert np.allclose(np.linalg.norm(normals, axis=-1), 1)
    assert np.array_equal(normals[0, :2], [[0, 0, -1], [0, -1, 0]])


def test_parts_are_classes_too():
    raw = np.random.default_rng(0).integers(-9, 9, (5, 6, 7)).astype(np.int16)
    assert np.array_equal(decode("parts", raw, 0.1), decode("segmentation", raw, 0.1))


@pytest.mark.parametrize("kind", ["edges", "saliency"])
def test_probabilities_are_sigmoids(kind):
    raw = np.array([[[0], [1000], [-1000], [32767], [-32768]]], np.int16)
    shown = decode(kind, raw, np.log(3) / 1000)
    assert shown.dtype == np.float32 and shown.shape == (1, 5)
    assert np.allclose(shown, [[0.5, 0.75, 0.25, 1, 0]]) and shown[0, 0] == 0.5
    with np.errstate(over="raise", divide="raise", invalid="raise"):
        assert np.array_equal(decode(kind, raw[:, -2:], 1.0), [[1, 0]])
    rising = decode(kind, np.arange(-32768, 32768, dtype=np.int32)[None, :, None], 1e-3)[0]
    assert (np.diff(rising) >= 0).all() and rising.min() >= 0 and rising.max() <= 1


def test_unknown_kind():
    with pytest.raises(
        UserError, match=r"'pose'.*classification, depth, edges, features, normals, parts, saliency, segmentation"
    ):
        decode("pose", np.zeros((1, 1, 1), np.int16), 1.0)


def test_a_classification_becomes_probabilities_of_the_pooled_logits():
    raw = np.array([[[10, 20, -30000], [30, 20, -30000], [20, 26, 30000], [-32768, 32767, 0]]], np.int16)
    scale = np.log(2) / 10
    for pooling, rows in (("class", raw[:, :1]), ("class+distillation", raw[:, :2]), ("mean", raw[:, :2])):
        found = decode("classification", rows, scale, pooling)
        wanted = np.exp2(rows[0].astype(float).mean(0) / 10)
        assert found.dtype == np.float32 and np.allclose(found, wanted / wanted.sum())
    found = decode("classification", raw[:, [0, 2, 2]], scale, "class+mean")
    wanted = np.exp2([30 / 10, 46 / 10, 0])
    assert np.allclose(found, wanted / wanted.sum())
    with np.errstate(over="raise", divide="raise", invalid="raise"):
        assert np.array_equal(decode("classification", raw[:, 3:], 1.0, "class"), [0, 1, 0])


def test_the_most_probable_classes_have_names_or_numbers():
    probabilities = np.array([0.1, 0.4, 0.1, 0.3, 0.05, 0.05], np.float32)
    found = top_classes(probabilities, ("ant", "bee", "cat"))
    assert [(one.index, one.label) for one in found] == [
        (1, "bee"),
        (3, "class 3"),
        (0, "ant"),
        (2, "cat"),
        (4, "class 4"),
    ]
    assert found[0].probability == pytest.approx(0.4) and len(top_classes(probabilities[:2], ())) == 2


def test_features_are_real_values_of_all_tokens():
    raw = np.arange(-6, 6).reshape(1, 4, 3).astype(np.int16)
    found = decode("features", raw, 0.5)
    assert found.dtype == np.float32 and np.array_equal(found, raw[0] / 2)


def test_real_outputs_have_the_shapes_of_the_float_network():
    raw = np.random.default_rng(0).integers(-999, 999, (2, 1, 4, 3)).astype(np.int16)
    assert np.array_equal(real_output("depth", raw, 0.5), raw.transpose(0, 3, 1, 2) * 0.5)
    assert np.array_equal(real_output("features", raw, 0.5), raw[:, 0] * 0.5)
    assert np.array_equal(real_output("classification", raw, 0.5, "mean"), raw[:, 0].astype(int).sum(1) / 4 * 0.5)
