"""Resizing against exact fractions."""

from fractions import Fraction
from math import floor

import numpy as np
import pytest
from PIL import Image

from moesaic.spec.compiled_resize import compiled_resize
from moesaic.spec.filter_taps import triangle_taps
from moesaic.spec.input_description import MINUS_ONE_TO_ONE
from moesaic.spec.resize import LARGEST_SIDE, _exact_type, fit, resize


@pytest.fixture(params=["compiled", "numpy"], autouse=True)
def way(request, monkeypatch) -> str:
    """Each test runs on both implementations: they give the same integers."""
    if request.param == "numpy":
        monkeypatch.setattr("moesaic.spec.resize.compiled_resize", lambda: None)
    elif compiled_resize() is None:
        pytest.skip("no compiler")
    return request.param


def axis_weights(source: int, target: int) -> list[list[Fraction]]:
    reach = max(Fraction(1), Fraction(source, target))
    rows = []
    for i in range(target):
        centre = Fraction(2 * i + 1, 2) * source / target
        row = [max(Fraction(0), 1 - abs(Fraction(2 * j + 1, 2) - centre) / reach) for j in range(source)]
        rows.append([weight / sum(row) for weight in row])
    return rows


def resize_exactly(image: np.ndarray, height: int, width: int) -> np.ndarray:
    vertical, horizontal = axis_weights(image.shape[0], height), axis_weights(image.shape[1], width)
    result = np.zeros((height, width, image.shape[2]), np.uint8)
    for y, x, c in np.ndindex(result.shape):
        total = sum(
            v * h * int(image[i, j, c])
            for i, v in enumerate(vertical[y])
            if v
            for j, h in enumerate(horizontal[x])
            if h
        )
        result[y, x, c] = floor(total + Fraction(1, 2))
    return result


@pytest.mark.parametrize("source", [(1, 1), (5, 7), (13, 4), (8, 8)], ids=str)
@pytest.mark.parametrize("target", [(1, 1), (3, 5), (8, 8), (11, 6)], ids=str)
def test_equals_exact_fractions(source, target):
    rng = np.random.default_rng(source[0] + 100 * target[0])
    image = rng.integers(0, 256, (*source, 3)).astype(np.uint8)
    image[rng.random(source) < 0.2] = 255
    assert np.array_equal(resize(image, *target), resize_exactly(image, *target))


@pytest.mark.parametrize("size", [(8, 8), (31, 57), (480, 640)], ids=str)
@pytest.mark.parametrize("value", [0, 1, 254, 255])
def test_one_colour_stays(size, value):
    image = np.full((37, 41, 3), value, np.uint8)
    assert np.array_equal(resize(image, *size), np.full((*size, 3), value, np.uint8))


@pytest.mark.parametrize(
    ("source", "target"),
    [
        ((50, 70), (32, 45)),
        ((31, 47), (62, 94)),
        ((200, 301), (128, 85)),
        ((33, 64), (33, 20)),
        ((1, 9), (8, 8)),
        ((425, 560), (480, 640)),
    ],
    ids=str,
)
def test_cubic_is_pillows(source, target):
    image = np.random.default_rng(7).integers(0, 256, (*source, 3)).astype(np.uint8)
    expected = np.asarray(Image.fromarray(image).resize(target[::-1], Image.Resampling.BICUBIC))
    assert np.array_equal(resize(image, *target, "cubic"), expected)


@pytest.mark.parametrize("interpolation", ["linear", "cubic"])
def test_a_part_is_cut_out_of_the_whole(interpolation):
    image = np.random.default_rng(8).integers(0, 256, (50, 70, 3)).astype(np.uint8)
    whole = resize(image, 33, 91, interpolation)
    part = resize(image, 33, 91, interpolation, slice(5, 20), slice(30, 31))
    assert np.array_equal(part, whole[5:20, 30:31])


def test_right_size_is_unchanged():
    image = np.random.default_rng(0).integers(0, 256, (9, 8, 3)).astype(np.uint8)
    assert np.array_equal(resize(image, 9, 8), image)


def test_mirrored_image_gives_the_mirrored_result():
    image = np.random.default_rng(1).integers(0, 256, (50, 33, 3)).astype(np.uint8)
    assert np.array_equal(resize(image[:, ::-1], 16, 24), resize(image, 16, 24)[:, ::-1])
    assert np.array_equal(resize(image[::-1], 16, 24), resize(image, 16, 24)[::-1])


@pytest.mark.parametrize("dtype", [np.float64, np.int64], ids=lambda dtype: dtype.__name__)
@pytest.mark.parametrize("size", [(301, 405), (40, 1900)], ids=str)
def test_every_type_of_sums_gives_the_same(monkeypatch, size, dtype, way):
    """Floating point is taken only where it is exact; where it is not, integers are."""
    image = np.random.default_rng(5).integers(0, 256, (*size, 3)).astype(np.uint8)
    image[: size[0] // 2] = 255
    found = resize(image, 64, 96)
    monkeypatch.setattr("moesaic.spec.resize._exact_type", lambda largest: dtype)
    assert np.array_equal(found, resize(image, 64, 96))


def test_types_are_chosen_by_what_they_hold():
    assert [_exact_type(n) for n in ((1 << 24) - 1, 1 << 24, (1 << 53) - 1, 1 << 53)] == [
        np.float32, np.float64, np.float64, np.int64,
    ]  # fmt: skip


def test_sums_of_the_largest_images_fit_64_bits():
    largest = max(int(triangle_taps(LARGEST_SIDE - 1, target).totals.max()) for target in (8, 16, 64, 640))
    assert 255 * largest**2 + largest**2 < 1 << 63


def test_without_a_compiler_numpy_does_it(monkeypatch, caplog):
    monkeypatch.setenv("PATH", "")
    caplog.set_level("INFO", "moesaic")
    compiled_resize.cache_clear()
    assert compiled_resize() is None
    assert "numpy resizes images" in caplog.text and "apt-get install g++" in caplog.text
    compiled_resize.cache_clear()


@pytest.mark.parametrize("interpolation", ["linear", "cubic"])
def test_views_are_resized_as_their_copies(interpolation):
    """Parts of images, BGR turned to RGB, channels first, mirrored: whatever the strides."""
    whole = np.random.default_rng(9).integers(0, 256, (60, 80, 3)).astype(np.uint8)
    planes = np.ascontiguousarray(whole.transpose(2, 0, 1))
    views = (
        whole[5:45, 7:60],
        whole[..., ::-1],
        planes.transpose(1, 2, 0),
        whole[::-1],
        whole[:, ::-1],
        whole[::2, ::2],
    )
    for view in views:
        assert np.array_equal(resize(view, 21, 33, interpolation), resize(view.copy(), 21, 33, interpolation))


@pytest.mark.parametrize("channels", [1, 2, 4])
@pytest.mark.parametrize("interpolation", ["linear", "cubic"])
def test_any_number_of_channels(channels, interpolation):
    image = np.random.default_rng(10).integers(0, 256, (40, 50, 3)).astype(np.uint8)
    expected = resize(image, 23, 61, interpolation)
    image, expected = (np.concatenate([a, a], axis=2)[..., :channels] for a in (image, expected))
    assert np.array_equal(resize(np.ascontiguousarray(image), 23, 61, interpolation), expected)


def seen(image, height, width, description=MINUS_ONE_TO_ONE):
    return fit(image, description, height, width)[0]


def test_fit_crops_around_the_centre():
    image = np.zeros((40, 100, 3), np.uint8)
    image[:, 30:70] = 255
    assert np.all(seen(image, 40, 40) == 255) and np.all(seen(image.swapaxes(0, 1), 40, 40) == 255)
    assert seen(np.zeros((1, 300, 3), np.uint8), 8, 8).shape == (8, 8, 3)


def test_fit_does_not_stretch():
    """A disc stays as high as it is wide."""
    y, x = np.mgrid[:120, :200]
    disc = (((y - 60) ** 2 + (x - 100) ** 2 < 30**2) * 255).astype(np.uint8)
    small = seen(np.repeat(disc[..., None], 3, axis=2), 40, 40)[..., 0] > 127
    assert small.any(axis=0).sum() == small.any(axis=1).sum() == 20


def test_fit_leaves_an_image_of_the_right_size():
    image = np.random.default_rng(3).integers(0, 256, (16, 24, 3)).astype(np.uint8)
    assert np.array_equal(seen(image, 16, 24), image)
