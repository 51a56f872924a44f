"""Thinning of binary images to lines one pixel wide."""

import numpy as np

# Neighbours as (row, column), counter-clockwise from the right: x1 to x8 in the paper.
_NEIGHBOURS = ((0, 1), (-1, 1), (-1, 0), (-1, -1), (0, -1), (1, -1), (1, 0), (1, 1))
_PLANES = 64  # images that are thinned at once, each as one bit of a pixel's word


def thin(images: np.ndarray) -> np.ndarray:
    """The skeletons of one or more binary images, bool [..., H, W] in and out; connectivity and end points are preserved.

    Algorithm A1 of Guo and Hall, Parallel thinning with two-subiteration algorithms, Communications of the ACM 32(3), 1989, as
    in MATLAB's bwmorph(..., "thin", inf) and scikit-image's thin. A pixel is examined again only after a neighbour was removed,
    so the work grows with the number of removed pixels, not with the width of the widest shape. Up to 64 images are processed
    together, as the bits of a word.
    """
    stack = np.asarray(images, bool).reshape(-1, *images.shape[-2:])
    parts = [_thin_planes(stack[first : first + _PLANES]) for first in range(0, len(stack), _PLANES)]
    return np.concatenate(parts).reshape(images.shape) if parts else np.zeros(images.shape, bool)


def _thin_planes(images: np.ndarray) -> np.ndarray:
    """The skeletons of up to 64 images, bool [images, H, W]."""
    count, height, width = images.shape
    size = next(size for size in (1, 2, 4, 8) if 8 * size >= count)
    packed = np.zeros((height + 2, width + 2, size), np.uint8)
    bits = np.packbits(images, axis=0, bitorder="little")
    packed[1:-1, 1:-1, : len(bits)] = np.moveaxis(bits, 0, -1)
    words = packed.view(f"u{size}").reshape(-1)  # the same memory
    neighbours = np.array([row * (width + 2) + column for row, column in _NEIGHBOURS])
    place = np.zeros(len(words), np.int32)

    def distinct(indices: np.ndarray) -> np.ndarray:
        """Each index once, where its last occurrence was."""
        order = np.arange(len(indices), dtype=np.int32)
        place[indices] = order
        return indices[place[indices] == order]

    waiting = [np.flatnonzero(words)] * 2
    while len(waiting[0]) or len(waiting[1]):
        for half in (0, 1):
            looked_at = waiting[half][words[waiting[half]] != 0]
            gone = words[looked_at] & _removable([words[looked_at + neighbour] for neighbour in neighbours], half)
            words[looked_at] &= ~gone
            beside = (looked_at[gone != 0][:, None] + neighbours).reshape(-1)
            beside = distinct(beside[words[beside] != 0])
            waiting[half], waiting[1 - half] = beside, distinct(np.concatenate([waiting[1 - half], beside]))
    skeletons = np.unpackbits(packed[1:-1, 1:-1], axis=-1, count=count, bitorder="little")
    return np.moveaxis(skeletons, -1, 0).astype(bool)


def _removable(x: list[np.ndarray], half: int) -> np.ndarray:
    """Bits set for the pixels that subiteration `half`, 0 or 1, removes. x: the words of the neighbours x1 to x8."""
    odd, even, following = x[0::2], x[1::2], x[2::2] + x[:1]
    some, crossings = _some_and_several([~o & (e | f) for o, e, f in zip(odd, even, following)])
    one_crossing = some & ~crossings
    before, after = [o | e for o, e in zip(odd, even)], [e | f for e, f in zip(even, following)]
    two_or_more = _some_and_several(before)[1] & _some_and_several(after)[1]
    all_four = np.bitwise_and.reduce(before + after)
    kept = (x[1] | x[2] | ~x[7]) & x[0] if half == 0 else (x[5] | x[6] | ~x[3]) & x[4]
    return one_crossing & two_or_more & ~all_four & ~kept


def _some_and_several(terms: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Two words per element: bits set in at least one term, and bits set in at least two."""
    some, several = terms[0], np.zeros_like(terms[0])
    for term in terms[1:]:
        several = several | (some & term)
        some = some | term
    return some, several
