"""Thinning against scikit-image's."""

import numpy as np
import pytest
from skimage.morphology import thin as reference

from moesaic.model.tasks.thinning import thin


@pytest.mark.parametrize("seed", range(4), ids=lambda s: f"seed{s}")
def test_thins_like_scikit_image(seed):
    rng = np.random.default_rng(seed)
    checked = 0
    for density in (0.0, 0.3, 0.6, 0.9, 1.0):
        image = np.repeat(np.repeat(rng.random((9, 13)) < density, 4, 0), 3, 1) ^ (rng.random((36, 39)) < 0.05)
        assert np.array_equal(thin(image), reference(image))
        checked += 0 < thin(image).sum() < image.sum()
    assert checked > 2


@pytest.mark.parametrize("count", [1, 8, 9, 17, 33, 64, 65, 99])
def test_each_image_of_a_stack_is_thinned_on_its_own(count):
    field = np.random.default_rng(count).normal(size=(3, 4, 5)).repeat(5, 1).repeat(4, 2).mean(0)
    field = field + np.random.default_rng(0).normal(size=field.shape) / 5
    images = field > np.linspace(-2, 2, count)[:, None, None]
    assert np.array_equal(thin(images), [reference(image) for image in images])
    assert np.array_equal(thin(images.reshape(1, count, *field.shape))[0], thin(images))
    assert thin(images[:0]).shape == (0, *field.shape)


def test_the_order_of_the_pixels_in_memory_does_not_matter():
    image = np.zeros((9, 7), bool)
    image[2:7, 1:6] = True
    assert np.array_equal(thin(np.asfortranarray(image)), reference(image)) and reference(image).sum() < 25
