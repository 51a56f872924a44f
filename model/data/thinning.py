"""Thinning of binary images to lines of one pixel."""

import numpy as np

# Neighbours counter-clockwise from the right one, as (row, column): x1 to x8 in the paper.
_NEIGHBOURS = ((0, 1), (-1, 1), (-1, 0), (-1, -1), (0, -1), (1, -1), (1, 0), (1, 1))


def _removable() -> np.ndarray:
    """bool [2, 256]: whether the first, the second subiteration removes a pixel with these neighbours (bit i is x_{i+1})."""
    x = (np.arange(256)[:, None] >> np.arange(8) & 1).astype(bool)
    odd, even, following = x[:, 0::2], x[:, 1::2], np.roll(x[:, 0::2], -1, axis=1)
    one_crossing = (~odd & (even | following)).sum(1) == 1
    fewest = np.minimum((odd | even).sum(1), (even | following).sum(1))
    goes = one_crossing & (fewest >= 2) & (fewest <= 3)
    first = ~((x[:, 1] | x[:, 2] | ~x[:, 7]) & x[:, 0])
    second = ~((x[:, 5] | x[:, 6] | ~x[:, 3]) & x[:, 4])
    return np.stack([goes & first, goes & second])


_REMOVABLE = _removable()


def thin(images: np.ndarray) -> np.ndarray:
    """The skeletons, bool [..., H, W], of images, bool [..., H, W], each on its own: connected as before, ends kept.

    Algorithm A1 of Guo and Hall, Parallel thinning with two-subiteration algorithms, Communications of the ACM 32(3),
    1989; MATLAB's bwmorph(..., "thin", inf) and scikit-image's thin do the same. A pixel is looked at again only when a
    neighbour has gone, so that the work grows with the pixels removed, not with the width of the widest shape.
    """
    padded = np.pad(
        np.asarray(images, bool).astype(np.uint8, order="C"), [(0, 0)] * (images.ndim - 2) + [(1, 1), (1, 1)]
    )
    pixels, stride = padded.reshape(-1), padded.shape[-1]
    neighbours = np.array([row * stride + column for row, column in _NEIGHBOURS])
    place = np.zeros(len(pixels), np.int32)

    def distinct(indices: np.ndarray) -> np.ndarray:
        """Each index once: of equal ones that whose place in the list was written last."""
        order = np.arange(len(indices), dtype=np.int32)
        place[indices] = order
        return indices[place[indices] == order]

    waiting = [np.flatnonzero(pixels)] * 2
    while len(waiting[0]) or len(waiting[1]):
        for half in (0, 1):
            looked_at = waiting[half][pixels[waiting[half]] == 1]
            code = np.zeros(len(looked_at), np.uint8)
            for bit, neighbour in enumerate(neighbours):
                code |= pixels[looked_at + neighbour] << bit
            gone = looked_at[_REMOVABLE[half][code]]
            pixels[gone] = 0
            beside = (gone[:, None] + neighbours).reshape(-1)
            beside = distinct(beside[pixels[beside] == 1])
            waiting[half], waiting[1 - half] = beside, distinct(np.concatenate([waiting[1 - half], beside]))
    return padded[..., 1:-1, 1:-1].astype(bool)
