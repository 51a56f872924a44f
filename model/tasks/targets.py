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

Features have no ground truth.
"""

INVALID_LABEL = 255
"""Marks a pixel without ground truth in segmentation, parts, saliency and edges."""
INVALID = {"segmentation": INVALID_LABEL, "parts": INVALID_LABEL, "saliency": INVALID_LABEL, "edges": INVALID_LABEL}
INVALID |= {"depth": 0.0, "normals": 0.0}
"""Value of an invalid pixel in each dense task's target: an integer where the target is uint8, a float where it is float32."""
INVALID_CLASS = -1
"""Marks an image without ground truth in classification."""
CHANNELS = {"saliency": 1, "edges": 1, "depth": 1, "normals": 3}
"""Output channels of the tasks for which this number does not depend on the data set's classes."""
