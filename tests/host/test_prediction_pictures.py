"""Colour pictures of predictions."""

import numpy as np
import pytest

from moesaic.errors import UserError
from moesaic.host.prediction_pictures import (
    CLASS_COLOURS,
    class_colour,
    class_picture,
    depth_picture,
    edges_picture,
    normals_picture,
    picture,
    saliency_picture,
)
from moesaic.spec.heads import DENSE_KINDS
from moesaic.spec.output_description import OutputDescription
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


def test_a_depth_of_nothing_leaves_the_others_their_colours():
    depth = np.array([[1e-9, 0.5, 1.0, 8.0]])
    assert np.array_equal(depth_picture(depth), depth_picture(np.maximum(depth, 0.01)))
    assert np.abs(np.diff(depth_picture(depth)[0].astype(int), axis=0)).sum(-1).min() > 30


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


def test_every_dense_kind_has_a_picture_of_what_it_decodes_to():
    channels = {"depth": 1, "saliency": 1, "edges": 1, "normals": 3}
    for kind in DENSE_KINDS:
        raw = np.random.default_rng(0).integers(-999, 999, (4, 5, channels.get(kind, 7))).astype(np.int16)
        shown = picture(kind, decode(kind, raw, 1e-3))
        assert shown.shape == (4, 5, 3) and shown.dtype == np.uint8 and shown.std() > 0


def test_unknown_kind():
    with pytest.raises(
        UserError, match=r"'pose'.*classification, depth, edges, features, normals, parts, saliency, segmentation"
    ):
        picture("pose", np.zeros((2, 2)))


def test_a_classification_is_drawn_as_bars():
    probabilities = np.array([0.5, 0, 0.25, 0.125, 0.1, 0.025], np.float32)
    shown = picture("classification", probabilities)
    assert shown.shape == (120, 200, 3) and shown.dtype == np.uint8
    for place, (index, length) in enumerate(((0, 100), (2, 50), (3, 25), (4, 20), (5, 5))):
        row = shown[24 * place + 12]
        assert np.array_equal(np.flatnonzero((row == class_colour(index)).all(-1)), np.arange(length))
    assert (
        np.array_equal(class_colour(0), class_colour(255))
        and picture("classification", probabilities[:2]).shape == shown.shape
    )


def test_features_are_drawn_as_their_principal_components():
    rows, columns = 4, 6
    tokens = np.zeros((5 + rows * columns, 8), np.float32)
    tokens[:5] = 1e6  # prefix tokens are not drawn
    tokens[5:, 3] = 3 * np.repeat(np.arange(rows), columns)
    tokens[5:, 6] = -np.tile(np.arange(columns), rows)
    shown = picture("features", tokens, (rows, columns))
    assert shown.shape == (8 * rows, 8 * columns, 3) and shown.dtype == np.uint8
    patches = shown[::8, ::8].astype(int)
    assert (np.diff(patches[..., 0], axis=0) > 0).all() and (np.diff(patches[..., 0], axis=1) == 0).all()
    assert (np.diff(patches[..., 1], axis=1) < 0).all() and (np.diff(patches[..., 1], axis=0) == 0).all()
    assert np.array_equal(shown, picture("features", tokens, (rows, columns)))
    assert picture("features", np.ones((3, 4), np.float32), (1, 2)).shape == (8, 16, 3)


def test_an_output_of_its_own_kind_is_drawn_as_it_says():
    rng = np.random.default_rng(0)
    probabilities = rng.random((4, 5, 3)).astype(np.float32)
    own = OutputDescription(decoding="probabilities")
    assert np.array_equal(picture("own", probabilities, output=own), saliency_picture(probabilities.max(-1)))
    grey = OutputDescription(decoding="probabilities", picture="grey")
    assert np.array_equal(picture("own", probabilities[..., 0], output=grey), edges_picture(probabilities[..., 0]))
    values = np.array([[-3.0, 1.0, 5.0]], np.float32)  # the extremes are the ends of the scale
    shown = picture("own", values, output=OutputDescription(decoding="values"))
    assert np.array_equal(shown, saliency_picture(np.array([[0, 0.5, 1]])))
    assert np.array_equal(
        picture("own", np.array([[2]]), output=OutputDescription(decoding="classes")), class_picture(np.array([[2]]))
    )
