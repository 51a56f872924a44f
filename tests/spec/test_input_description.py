"""What a network's input is: the arithmetic of pixels, plain types and back, and every wrong entry named."""

import numpy as np
import pytest

from moesaic.errors import UserError
from moesaic.spec.input_description import MINUS_ONE_TO_ONE, InputDescription

IMAGENET = InputDescription((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


@pytest.mark.parametrize("description", [MINUS_ONE_TO_ONE, IMAGENET], ids=["usual", "imagenet"])
@pytest.mark.parametrize("origin", [0, 128])
def test_a_pixel_is_normalised(description, origin):
    pixels = np.arange(256.0)[:, None] + np.zeros(3)
    scale, offset = description.affine(origin)
    expected = (pixels / 255 - description.mean) / description.deviation
    assert np.allclose((pixels - origin) * scale + offset, expected, atol=1e-12)
    found = description.normalised(pixels.astype(np.uint8))
    assert found.dtype == np.float32 and np.allclose(found, expected, atol=1e-6)


def test_the_usual_input_is_minus_one_to_one():
    assert np.array_equal(MINUS_ONE_TO_ONE.normalised(np.array([[0, 255, 255]], np.uint8)), [[-1, 1, 1]])
    assert MINUS_ONE_TO_ONE.to_dict() == {} and InputDescription.from_dict({}) == MINUS_ONE_TO_ONE
    assert MINUS_ONE_TO_ONE.formula == "pixel / 127.5 - 1"


def test_padding_is_nearest_to_zero_after_normalisation_unless_stated():
    assert MINUS_ONE_TO_ONE.padding == (128, 128, 128)
    assert IMAGENET.padding == (124, 116, 104)
    assert np.abs(IMAGENET.normalised(np.array(IMAGENET.padding))).max() < 0.5 / 255 / 0.22
    assert InputDescription(mean=(0, 0, 0)).padding == (0, 0, 0)
    assert InputDescription(pad_colour=(1, 2, 3)).padding == (1, 2, 3)


def test_plain_types_are_read_back():
    description = InputDescription((0, 0, 0), (1, 1, 0.5), "pad", 1.0, "end", (114, 114, 114), "cubic")
    stated = description.to_dict()
    assert stated == {
        "mean": [0, 0, 0],
        "deviation": [1, 1, 0.5],
        "resize": "pad",
        "pad_side": "end",
        "pad_colour": [114, 114, 114],
        "interpolation": "cubic",
    }
    assert InputDescription.from_dict(stated) == description


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"mean": [0.5, 0.5]}, r"input.mean is \(0.5, 0.5\), it needs 3 numbers"),
        ({"mean": "0.5"}, "input.mean is '0.5', it needs 3 numbers"),
        ({"mean": [0.5, 0.5, float("nan")]}, "input.mean"),
        ({"deviation": [1, 0, 1]}, r"input.deviation is \(1, 0, 1\), each must be above 0"),
        ({"resize": "squash"}, "input.resize is 'squash': choose auto, crop, pad, stretch"),
        ({"resize": ["pad"]}, "input.resize is"),
        ({"resize": "crop", "crop_ratio": 0}, "input.crop_ratio is 0, it must be above 0 and at most 1"),
        ({"crop_ratio": 0.875}, "input.crop_ratio is 0.875: set input.resize to crop or stretch, not auto"),
        ({"pad_colour": [0, 0, 256]}, "input.pad_colour is .* integers from 0 to 255"),
        ({"pad_side": "left"}, "input.pad_side is 'left': choose both, end"),
        ({"interpolation": "lanczos"}, "input.interpolation is 'lanczos': choose linear, cubic"),
        ({"std": [1, 1, 1]}, "input has an unknown entry 'std': choose mean, deviation"),
        ([0.5], r"input is \[0.5\], not a table"),
    ],
    ids=str,
)
def test_a_wrong_entry_is_named(values, words):
    with pytest.raises(UserError, match=words):
        InputDescription.from_dict(values)
