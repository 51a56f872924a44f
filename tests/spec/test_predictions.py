"""Decoding raw outputs."""

import numpy as np
import pytest

from moesaic.errors import UserError
from moesaic.spec.output_description import DEPTH_UNIT
from moesaic.spec.predictions import decode


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
    with pytest.raises(UserError, match=r"'pose'.*depth, edges, normals, parts, saliency, segmentation"):
        decode("pose", np.zeros((1, 1, 1), np.int16), 1.0)
