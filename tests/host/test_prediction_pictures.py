"""Colour pictures of predictions."""

import numpy as np
import pytest

from moesaic.errors import UserError
from moesaic.host.prediction_pictures import (
    CLASS_COLOURS,
    class_picture,
    depth_picture,
    edges_picture,
    normals_picture,
    picture,
    saliency_picture,
)
from moesaic.spec.bundle import KINDS
from moesaic.spec.predictions import decode


def test_classes_have_different_colours():
    assert CLASS_COLOURS.shape == (256, 3) and CLASS_COLOURS.dtype == np.uint8
    first = CLASS_COLOURS[:24].astype(int)
    distance = np.abs(first[:, None] - first[None]).sum(axis=-1) + 999 * np.eye(24, dtype=int)
    assert distance[:12, :12].min() > 90 and distance.min() > 40
    classes = np.array([[0, 3], [255, 1]], np.uint8)
    assert np.array_equal(class_picture(classes)[1, 0], CLASS_COLOURS[255])


def test_depth_darkens_with_distance():
    depth = np.geomspace(0.5, 20, 64).astype(np.float32).reshape(1, 64)
    brightness = depth_picture(depth).astype(int).sum(axis=-1)[0]
    assert (np.diff(brightness) <= 0).all() and brightness[0] - brightness[-1] > 300


def test_depth_on_a_given_scale():
    depth = np.array([[1.0, 2.0, 4.0]])
    shown = depth_picture(depth, nearest=1, farthest=4)
    assert np.array_equal(depth_picture(depth[:, 1:2], nearest=1, farthest=4)[0, 0], shown[0, 1])
    assert np.array_equal(depth_picture(depth, nearest=2, farthest=3)[0, 0], shown[0, 0])


def test_constant_depth_has_a_picture():
    assert depth_picture(np.full((2, 2), 3.0)).shape == (2, 2, 3)


def test_normals_have_the_usual_colours():
    normals = np.array([[[0, 0, -1], [1, 0, 0], [0, -1, 0]]], np.float32)
    assert np.array_equal(normals_picture(normals)[0], [[128, 128, 255], [255, 128, 128], [128, 255, 128]])


def test_edges_are_white_on_black():
    edges = np.array([[0.0, 0.5, 1.0]], np.float32)
    assert np.array_equal(edges_picture(edges)[0, :, 0], [0, 128, 255])
    assert np.array_equal(edges_picture(np.array([[0, 1]], np.uint8)), [[[0] * 3, [255] * 3]])


def test_saliency_brightens():
    shown = saliency_picture(np.linspace(0, 1, 64, dtype=np.float32)[None])
    assert shown.shape == (1, 64, 3) and shown.dtype == np.uint8
    brightness = shown[0].astype(float) @ [0.3, 0.6, 0.1]
    assert (np.diff(brightness) > 0).all() and brightness[0] < 30 and brightness[-1] > 230


def test_every_kind_of_a_bundle_has_a_picture_of_what_it_decodes_to():
    channels = {"depth": 1, "saliency": 1, "edges": 1, "normals": 3}
    for kind in KINDS:
        raw = np.random.default_rng(0).integers(-999, 999, (4, 5, channels.get(kind, 7))).astype(np.int16)
        shown = picture(kind, decode(kind, raw, 1e-3))
        assert shown.shape == (4, 5, 3) and shown.dtype == np.uint8 and shown.std() > 0


def test_unknown_kind():
    with pytest.raises(UserError, match=r"'pose'.*depth, edges, normals, parts, saliency, segmentation"):
        picture("pose", np.zeros((2, 2)))
