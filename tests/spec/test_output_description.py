"""What a network's outputs are: depth in every encoding, normals in every axes, and every wrong entry named."""

import itertools
import math
import re

import numpy as np
import pytest

from moesaic.errors import UserError
from moesaic.spec.heads import KINDS
from moesaic.spec.output_description import (
    DECODINGS,
    LEAST_DEPTH,
    PICTURES,
    USUAL_OUTPUT,
    OutputDescription,
    decoding_of,
    output_problem,
    picture_of,
)
from moesaic.spec.predictions import decode

PAIRS = (("right", "left"), ("down", "up"), ("away", "viewer"))
EVERY_AXES = [
    tuple(axes[i] for i in order) for axes in itertools.product(*PAIRS) for order in itertools.permutations(range(3))
]


@pytest.mark.parametrize(
    ("description", "metres"),
    [
        (OutputDescription(), [4.0, 4 * math.e, 4 / math.e]),
        (OutputDescription(unit=1.0), [1.0, math.e, 1 / math.e]),
        (OutputDescription("linear"), [LEAST_DEPTH, 1.0, LEAST_DEPTH]),
        (OutputDescription("linear", 0.001), [LEAST_DEPTH, 0.001, LEAST_DEPTH]),
    ],
    ids=["usual", "ln metres", "metres", "millimetres"],
)
def test_depth_is_decoded(description, metres):
    raw = np.array([[[0], [500], [-500]]], np.int16)
    assert np.allclose(decode("depth", raw, 1 / 500, output=description), [metres])


@pytest.mark.parametrize("axes", EVERY_AXES, ids="-".join)
def test_normals_are_turned_to_our_axes(axes):
    """A vector written down in the source's axes is the same direction in ours, for all 48 choices."""
    ours = {
        "right": (1, 0, 0),
        "left": (-1, 0, 0),
        "down": (0, 1, 0),
        "up": (0, -1, 0),
        "away": (0, 0, 1),
        "viewer": (0, 0, -1),
    }
    values = np.array([[[3, -5, 7], [1, 0, 0], [0, 0, 0]]])
    expected = values @ np.array([ours[direction] for direction in axes])
    length = np.maximum(np.linalg.norm(expected, axis=-1, keepdims=True), 1)
    expected = expected / length
    expected[0, 2] = ours["viewer"]
    assert np.allclose(decode("normals", values, 1.0, output=OutputDescription(axes=axes)), expected)


def test_plain_types_are_read_back():
    assert USUAL_OUTPUT.to_dict() == {} and OutputDescription.from_dict({}) == USUAL_OUTPUT
    description = OutputDescription("linear", 0.5, ("right", "up", "viewer"))
    assert description.to_dict() == {"encoding": "linear", "unit": 0.5, "axes": ["right", "up", "viewer"]}
    assert OutputDescription.from_dict(description.to_dict()) == description


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"encoding": "inverse"}, "output.encoding is 'inverse': choose log, linear"),
        ({"unit": -1}, "output.unit is -1, it must be a number of metres"),
        ({"unit": "mm"}, "output.unit is 'mm'"),
        ({"axes": ["right", "up"]}, "output.axes is .* name each of right or left, down or up, away or viewer once"),
        ({"axes": ["right", "up", "down"]}, "output.axes"),
        ({"axes": ["right", "up", "behind"]}, "output.axes"),
        (
            {"decoding": "boxes"},
            "output.decoding is 'boxes': choose classes, probabilities, metres, directions, values",
        ),
        ({"picture": "red"}, "output.picture is 'red': choose classes, heat, grey, depth, directions"),
        ({"metres": 1}, "output has an unknown entry 'metres': choose encoding, unit, axes"),
        ("metres", "output is 'metres', not a table"),
    ],
    ids=str,
)
def test_a_wrong_entry_is_named(values, words):
    with pytest.raises(UserError, match=words):
        OutputDescription.from_dict(values)


def test_a_kind_of_its_own_is_decoded_as_its_output_says():
    raw = np.array([[[3, -4, 0], [-1, 5, 5]]], np.int16)
    same = {"classes": "segmentation", "metres": "depth", "directions": "normals"}
    for decoding, kind in same.items():
        assert np.array_equal(
            decode("own", raw, 0.5, output=OutputDescription(decoding=decoding)), decode(kind, raw, 0.5)
        )
    values = decode("own", raw, 0.5, output=OutputDescription(decoding="values"))
    assert values.dtype == np.float32 and np.array_equal(values, raw / 2)
    assert decode("own", raw[..., :1], 0.5, output=OutputDescription(decoding="values")).shape == (1, 2)
    shown = decode("own", raw, 0.5, output=OutputDescription(decoding="probabilities"))
    for channel in range(3):
        assert np.array_equal(shown[..., channel], decode("saliency", raw[..., channel : channel + 1], 0.5))


def test_decodings_and_pictures_suit_each_other_and_the_channels():
    for decoding in DECODINGS:
        drawn = [
            picture
            for picture in PICTURES
            if not output_problem("own", 3, OutputDescription(decoding=decoding, picture=picture))
        ]
        assert all(decoding in PICTURES[picture] for picture in drawn)
        assert bool(drawn) == (decoding != "metres")
        assert picture_of("own", OutputDescription(decoding=decoding)) in PICTURES
    for kind in KINDS:
        assert output_problem(kind, {"normals": 3}.get(kind, 1), USUAL_OUTPUT) == ""
    assert (
        picture_of("edges", USUAL_OUTPUT) == "grey" and picture_of("edges", OutputDescription(picture="heat")) == "heat"
    )
    assert decoding_of("features", USUAL_OUTPUT) == picture_of("features", USUAL_OUTPUT) == "features"


@pytest.mark.parametrize(
    ("kind", "channels", "output", "words"),
    [
        ("own", 1, {}, "kind 'own' is none of segmentation, .*, features, and its output states no decoding"),
        ("own", 2, {"decoding": "metres"}, "kind own has 2 channels, as metres it needs 1"),
        ("normals", 2, {}, "kind normals has 2 channels, as directions it needs 3"),
        ("depth", 1, {"decoding": "values"}, "output.decoding is 'values', kind depth is always decoded to metres"),
        (
            "own",
            3,
            {"decoding": "values", "picture": "depth"},
            "output.picture is 'depth', which draws metres, not values",
        ),
    ],
    ids=str,
)
def test_what_does_not_suit_is_named(kind, channels, output, words):
    assert re.fullmatch(words, output_problem(kind, channels, OutputDescription(**output)))
