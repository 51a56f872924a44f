"""The ground truth of each task: its shape, its dtype, its unit, and how a pixel without truth is marked.

Targets, all at the image's size [H, W]:

    segmentation  uint8    [H, W]     class, 255 invalid
    parts         uint8    [H, W]     class, 0 background, 255 invalid
    saliency      uint8    [H, W]     0 or 1, 255 invalid
    edges         uint8    [H, W]     0 or 1, 255 invalid
    depth         float32  [H, W]     metres along the optical axis, 0 invalid (cityscapes-mtan: a relative inverse depth)
    normals       float32  [H, W, 3]  unit vectors towards the viewer in camera coordinates (x right, y down, z into the
                                      picture), the zero vector invalid
"""

INVALID_LABEL = 255
"""Marks a pixel without truth in segmentation, parts, saliency and edges."""
INVALID = {"segmentation": INVALID_LABEL, "parts": INVALID_LABEL, "saliency": INVALID_LABEL, "edges": INVALID_LABEL}
INVALID |= {"depth": 0.0, "normals": 0.0}
"""Every task, and what an invalid pixel of its target holds: an integer where the target is uint8, else a float."""
CHANNELS = {"saliency": 1, "edges": 1, "depth": 1, "normals": 3}
"""Output channels of the tasks whose number does not depend on the data set's classes."""
