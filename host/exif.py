"""The orientation that a camera writes into an image file's EXIF, and the image as a viewer turns it."""

from __future__ import annotations

import struct

import numpy as np

ORIENTATION = 0x0112
"""The tag's number."""
_HEADER = b"Exif\0\0"


def orientation_of(exif: bytes) -> int:
    """The orientation, 1 to 8, that an EXIF block states; 1, upright, if there is none or the block is damaged."""
    block = exif.removeprefix(_HEADER)
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(block[:4])
    if order is None:
        return 1
    try:
        (start,) = struct.unpack_from(f"{order}I", block, 4)
        (entries,) = struct.unpack_from(f"{order}H", block, start)
        for index in range(entries):
            tag, kind, count, value = struct.unpack_from(f"{order}HHIH", block, start + 2 + 12 * index)
            if (tag, kind, count) == (ORIENTATION, 3, 1):
                return value if 1 <= value <= 8 else 1
    except struct.error:
        pass
    return 1


def upright(image: np.ndarray, orientation: int) -> np.ndarray:
    """A view of an image (height, width, ...) turned and mirrored as its orientation, 1 to 8, says."""
    if orientation in (2, 3):
        image = image[:, ::-1]
    if orientation in (3, 4):
        image = image[::-1]
    if orientation in (5, 6, 7, 8):
        image = image.swapaxes(0, 1)
    if orientation in (6, 7):
        image = image[:, ::-1]
    if orientation in (7, 8):
        image = image[::-1]
    return image
