"""Which part of an image a network sees, and the way back to the image's own pixels."""

from dataclasses import replace

import numpy as np
import pytest

from moesaic.spec.input_description import InputDescription
from moesaic.spec.placement import Placement, place
from moesaic.spec.resize import fit

CROP, PAD, STRETCH = (InputDescription(resize=resize) for resize in ("crop", "pad", "stretch"))


@pytest.mark.parametrize(
    ("description", "image", "size", "resized", "window", "seen"),
    [
        (InputDescription(), (40, 100), (40, 40), (40, 40), (0, 0), (0, 30, 40, 40)),
        (STRETCH, (40, 100), (32, 32), (32, 32), (0, 0), (0, 0, 40, 100)),
        (CROP, (40, 100), (32, 32), (32, 80), (0, 24), (0, 30, 40, 40)),
        (CROP, (100, 40), (32, 32), (80, 32), (24, 0), (30, 0, 40, 40)),
        (CROP, (40, 100), (32, 64), (32, 80), (0, 8), (0, 10, 40, 80)),
        (InputDescription(resize="crop", crop_ratio=0.875), (375, 500), (224, 224), (256, 341), (16, 58), None),
        (InputDescription(resize="crop", crop_ratio=0.9), (480, 640), (224, 224), (248, 330), (12, 53), None),
        (InputDescription(resize="stretch", crop_ratio=0.875), (375, 500), (224, 224), (256, 256), (16, 16), None),
        (PAD, (40, 100), (50, 50), (20, 50), (-15, 0), (0, 0, 40, 100)),
        (PAD, (100, 40), (50, 50), (50, 20), (0, -15), (0, 0, 100, 40)),
        (InputDescription(resize="pad", pad_side="end"), (40, 100), (50, 50), (20, 50), (0, 0), (0, 0, 40, 100)),
        (PAD, (41, 100), (50, 50), (21, 50), (-14, 0), (0, 0, 41, 100)),
        (PAD, (1, 1000), (32, 32), (1, 32), (-15, 0), (0, 0, 1, 1000)),
    ],
)  # fmt: skip
def test_where_an_image_lies(description, image, size, resized, window, seen):
    found = place(description, image, size)
    assert (found.image, found.resized, found.window, found.size) == (image, resized, window, size)
    if seen is not None:
        assert np.allclose(found.seen, seen)


def test_padding_surrounds_the_image():
    image = np.full((40, 100, 3), 7, np.uint8)
    description = InputDescription(mean=(0.485, 0.456, 0.406), resize="pad")
    seen, placement = fit(image, description, 50, 50)
    assert placement.filled == (15, 0, 20, 50)
    assert (seen[15:35] == 7).all() and (seen[:15] == (124, 116, 104)).all() and (seen[35:] == (124, 116, 104)).all()
    end, placement = fit(image, InputDescription(resize="pad", pad_side="end", pad_colour=(1, 2, 3)), 50, 50)
    assert (end[:20] == 7).all() and (end[20:] == (1, 2, 3)).all() and placement.filled == (0, 0, 20, 50)


@pytest.mark.parametrize("size", [(45, 61), (200, 90), (64, 64), (30, 300)], ids=str)
@pytest.mark.parametrize(
    "description",
    [
        InputDescription(),
        CROP,
        PAD,
        STRETCH,
        InputDescription(resize="crop", crop_ratio=0.8),
        InputDescription(resize="stretch", crop_ratio=0.7),
        InputDescription(resize="pad", pad_side="end"),
    ],
    ids=lambda d: f"{d.resize}-{d.crop_ratio}-{d.pad_side}",
)
def test_a_prediction_comes_back_to_the_pixels_of_the_image(description, size):
    """The network sees two ramps and repeats them, mostly at half its resolution: mapped back they are the image's own."""
    y, x = (np.mgrid[: size[0], : size[1]] + 0.5) / np.array(size)[:, None, None]
    image = np.round(np.stack([255 * y, 255 * x, 0 * x], -1)).astype(np.uint8)
    seen, placement = fit(image, description, 64, 64)
    # At half the resolution, values at the border of the padding would show both.
    prediction = seen if description.resize == "pad" else seen.reshape(32, 2, 32, 2, 3).mean((1, 3))
    found = placement.to_image(prediction)
    assert found.shape == (*size, 3) and found.dtype == np.float32
    top, left, height, width = placement.seen
    inside = np.zeros(size, bool)
    inside[
        int(np.ceil(top - 0.5)) : int(np.ceil(top + height - 0.5)),
        int(np.ceil(left - 0.5)) : int(np.ceil(left + width - 0.5)),
    ] = True
    assert np.array_equal(~found.mask[..., 0], inside)
    # A pixel of the prediction is at most this much of a ramp; at the edges it is the last one's value.
    step = 255 * np.array([height / size[0], width / size[1]]) * 64 / np.array(placement.filled[2:]) / 32
    error = np.abs(found.data - image)[inside].max(0)
    assert (error[:2] <= step + 2).all()
    middle = inside.copy()
    rows, columns = np.flatnonzero(inside.any(1)), np.flatnonzero(inside.any(0))
    margin = 2 * np.ceil(step / 255 * size).astype(int)
    middle[: rows[0] + margin[0]] = middle[rows[-1] + 1 - margin[0] :] = False
    middle[:, : columns[0] + margin[1]] = middle[:, columns[-1] + 1 - margin[1] :] = False
    if middle.any():
        assert np.abs(found.data - image)[middle].max() <= 3


def test_classes_are_those_of_the_nearest_pixel():
    placement = Placement((4, 8), (0, 2, 4, 4), (2, 2), (0, 0), (2, 2))
    found = placement.to_image(np.array([[1, 2], [3, 4]], np.uint8), smooth=False)
    assert found.dtype == np.uint8
    rows = [[1, 1, 2, 2], [1, 1, 2, 2], [3, 3, 4, 4], [3, 3, 4, 4]]
    assert np.array_equal(found.data[:, 2:6], rows) and not found.mask[:, 2:6].any()
    assert found.mask[:, :2].all() and found.mask[:, 6:].all()


def test_a_prediction_of_the_images_size_is_unchanged():
    prediction = np.random.default_rng(0).normal(size=(24, 32)).astype(np.float32)
    placement = place(STRETCH, (24, 32), (24, 32))
    assert (
        np.array_equal(placement.to_image(prediction).data, prediction)
        and not placement.to_image(prediction).mask.any()
    )


@pytest.mark.parametrize("description", [InputDescription(), CROP, PAD, STRETCH], ids=lambda d: d.resize)
def test_points_go_to_the_image_and_back(description):
    """The edges of what the network sees, and a bright pixel, which is found again."""
    image = np.zeros((90, 150, 3), np.uint8)
    image[42:48, 72:81] = 255
    seen, placement = fit(image, replace(description, pad_colour=(0, 0, 0)), 30, 30)
    top, left, height, width = placement.filled
    corners = placement.image_points([[top, left], [top + height, left + width]])
    first = placement.seen[:2]
    assert np.allclose(corners, [first, np.add(first, placement.seen[2:])])
    weights = seen[..., 0].astype(float)
    centre = (
        np.array([(weights.sum(1) @ (np.arange(30) + 0.5)), weights.sum(0) @ (np.arange(30) + 0.5)]) / weights.sum()
    )
    assert np.allclose(placement.image_points(centre), (45, 76.5), atol=0.5)
    points = np.random.default_rng(0).uniform(-10, 200, (4, 5, 2))
    assert np.allclose(placement.network_points(placement.image_points(points)), points)
