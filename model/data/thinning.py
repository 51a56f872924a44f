"""Thinning of a binary image to lines of one pixel."""

import numpy as np


def thin(image: np.ndarray) -> np.ndarray:
    """The skeleton, bool [H, W], of an image, bool [H, W]: connected as before, ends kept.

    Algorithm A1 of Guo and Hall, Parallel thinning with two-subiteration algorithms, Communications of the ACM 32(3),
    1989; MATLAB's bwmorph(..., "thin") and scikit-image's thin do the same.
    """
    image = image.astype(bool)
    while True:
        before = image
        for first in (True, False):
            image = image & ~_removable(image, first)
        if np.array_equal(image, before):
            return image


def _removable(image: np.ndarray, first: bool) -> np.ndarray:
    """Pixels that one of the two subiterations takes away."""
    around = np.pad(image, 1)
    height, width = image.shape
    # Neighbours counter-clockwise from the right one, as in the paper: x1 right, x3 above, x5 left, x7 below.
    places = ((1, 2), (0, 2), (0, 1), (0, 0), (1, 0), (2, 0), (2, 1), (2, 2))
    x = [around[row : row + height, column : column + width] for row, column in places]
    crossings = sum((~x[i] & (x[i + 1] | x[(i + 2) % 8])).astype(np.uint8) for i in (0, 2, 4, 6))
    odd = sum((x[i] | x[i + 1]).astype(np.uint8) for i in (0, 2, 4, 6))
    even = sum((x[i + 1] | x[(i + 2) % 8]).astype(np.uint8) for i in (0, 2, 4, 6))
    fewest = np.minimum(odd, even)
    side = (x[1] | x[2] | ~x[7]) & x[0] if first else (x[5] | x[6] | ~x[3]) & x[4]
    return (crossings == 1) & (fewest >= 2) & (fewest <= 3) & ~side
