"""Colour pictures of predictions."""

import numpy as np
import pytest

from host.pictures import CLASS_COLOURS, depth_picture, normals_picture, picture, segmentation_picture
from spec.errors import UserError


def test_classes_have_different_colours():
    assert CLASS_COLOURS.shape == (256, 3) and CLASS_COLOURS.dtype == np.uint8
    first = CLASS_COLOURS[:24].astype(int)
    distance = np.abs(first[:, None] - first[None]).sum(axis=-1) + 999 * np.eye(24, dtype=int)
    assert distance[:12, :12].min() > 90 and distance.min() > 40
    classes = np.array([[0, 3], [255, 1]], np.uint8)
    assert np.array_equal(segmentation_picture(classes)[1, 0], CLASS_COLOURS[255])


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


def test_unknown_kind():
    with pytest.raises(UserError, match=r"'pose'.*depth, normals, segmentation"):
        picture("pose", np.zeros((2, 2)))
