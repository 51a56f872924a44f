"""What a network's outputs are: depth in every encoding, normals in every axes, and every wrong entry named."""

import itertools
import math

import numpy as np
import pytest

from moesaic.errors import UserError
from moesaic.spec.output_description import LEAST_DEPTH, USUAL_OUTPUT, OutputDescription
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
        ({"metres": 1}, "output has an unknown entry 'metres': choose encoding, unit, axes"),
        ("metres", "output is 'metres', not a table"),
    ],
    ids=str,
)
def test_a_wrong_entry_is_named(values, words):
    with pytest.raises(UserError, match=words):
        OutputDescription.from_dict(values)
