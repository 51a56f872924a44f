"""Thinning against scikit-image's."""

import numpy as np
import pytest
from skimage.morphology import thin as reference

from model.data.thinning import thin


@pytest.mark.parametrize("seed", range(4), ids=lambda s: f"seed{s}")
def test_thins_like_scikit_image(seed):
    rng = np.random.default_rng(seed)
    checked = 0
    for density in (0.0, 0.3, 0.6, 0.9, 1.0):
        image = np.repeat(np.repeat(rng.random((9, 13)) < density, 4, 0), 3, 1) ^ (rng.random((36, 39)) < 0.05)
        assert np.array_equal(thin(image), reference(image))
        checked += 0 < thin(image).sum() < image.sum()
    assert checked > 2


def test_the_order_of_the_pixels_in_memory_does_not_matter():
    image = np.zeros((9, 7), bool)
    image[2:7, 1:6] = True
    assert np.array_equal(thin(np.asfortranarray(image)), reference(image)) and reference(image).sum() < 25
