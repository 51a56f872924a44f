"""The ground truth of each task: shape, dtype, unit, and the mark of a pixel without ground truth.

All targets but a classification's have the image's size [H, W]:

    segmentation  uint8    [H, W]     class, 255 invalid
    parts         uint8    [H, W]     class, 0 background, 255 invalid
    saliency      uint8    [H, W]     0 or 1, 255 invalid
    edges         uint8    [H, W]     0 or 1, 255 invalid
    depth         float32  [H, W]     metres along the optical axis, 0 invalid (cityscapes-mtan: a relative inverse depth)
    normals       float32  [H, W, 3]  unit vectors towards the viewer in camera coordinates (x right, y down, z into the
                                      picture), the zero vector invalid
    classification  int32  []         class of the whole image, -1 invalid; of a batch [B]

Features have no ground truth. Tasks of other packages say theirs as a `Truth`.
"""

from dataclasses import dataclass

import numpy as np

INVALID_LABEL = 255
"""Marks a pixel without ground truth in segmentation, parts, saliency and edges."""
INVALID_CLASS = -1
"""Marks an image without ground truth in classification."""


@dataclass(frozen=True)
class Truth:
    """What a kind's ground truth is. dtype: of the array. invalid: marks a pixel (or an image) without ground truth, in all its values.

    values: shape of a pixel's value, () for one number. whole_image: one value for the image instead of one for every pixel.
    """

    dtype: type[np.generic]
    invalid: float
    values: tuple[int, ...] = ()
    whole_image: bool = False

    def valid(self, target: np.ndarray) -> np.ndarray:
        """Which pixels of [..., H, W, *values] have ground truth, bool [..., H, W]; of whole images, which images."""
        known = target != self.invalid
        return known.any(tuple(range(known.ndim - len(self.values), known.ndim))) if self.values else known


LABELS = Truth(np.uint8, INVALID_LABEL)
"""Classes, or 0 and 1."""
METRES = Truth(np.float32, 0.0)
DIRECTIONS = Truth(np.float32, 0.0, (3,))
IMAGE_CLASS = Truth(np.int32, INVALID_CLASS, whole_image=True)
