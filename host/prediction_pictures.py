"""Draws predictions as RGB pictures, uint8 (height, width, 3)."""

from __future__ import annotations

import numpy as np

from moesaic.errors import UserError
from moesaic.spec.heads import CLASSIFICATION, FEATURES, KINDS
from moesaic.spec.output_description import USUAL_OUTPUT, OutputDescription, picture_of
from moesaic.spec.predictions import top_classes

_BAR_PITCH, _BAR_GAP, _BAR_LENGTH, _GROUND = 24, 6, 200, 24
_PATCH_PIXELS = 8
_TAIL = 0.02  # share of the patches at each end of a component that saturate
DEPTH_STOPS = np.array(
    [[253, 231, 76], [247, 150, 60], [214, 74, 92], [136, 34, 122], [58, 16, 100], [12, 8, 38]], np.float64
)


SALIENCY_STOPS = np.array(
    [[12, 16, 48], [40, 60, 150], [20, 150, 160], [120, 200, 90], [245, 210, 60], [255, 250, 220]], np.float64
)


def _class_colours() -> np.ndarray:
    """256 colours: dark grey, then hues one golden angle apart; the brightness changes every eight colours."""
    hue = (np.arange(256) * 137.508 % 360) / 60
    band = np.arange(256) // 8 % 3
    value, saturation = np.array([240, 165, 205])[band], np.array([0.75, 0.85, 0.4])[band]
    sector = (np.array([5, 3, 1])[None, :] + hue[:, None]) % 6
    share = np.clip(np.minimum(sector, 4 - sector), 0, 1)
    colours = np.round(value[:, None] * (1 - saturation[:, None] * share)).astype(np.uint8)
    colours[0] = 48
    return colours


CLASS_COLOURS = _class_colours()
"""RGB of each class index, uint8 (256, 3)."""


def class_picture(classes: np.ndarray) -> np.ndarray:
    """Draw each class in its colour. classes: integers 0 to 255, (height, width)."""
    return CLASS_COLOURS[classes]


NEAREST_SHOWN = 0.01
"""Metres. A network that outputs metres may output 0 or less somewhere, which would take up the whole scale of colours."""


def depth_picture(depth: np.ndarray, nearest: float | None = None, farthest: float | None = None) -> np.ndarray:
    """Draw depth on a logarithmic scale, near bright and far dark.

    depth: metres, (height, width); what is nearer than NEAREST_SHOWN is drawn as if it were there. nearest, farthest: the metres at
    the ends of the scale, by default the extremes of this map; pass them to draw several maps on one scale.
    """
    depth = np.maximum(depth, NEAREST_SHOWN)
    low = np.log(max(depth.min() if nearest is None else nearest, NEAREST_SHOWN))
    high = np.log(max(depth.max() if farthest is None else farthest, NEAREST_SHOWN))
    return _ramp(np.clip((np.log(depth) - low) / max(high - low, 1e-9), 0, 1), DEPTH_STOPS)


def _ramp(position: np.ndarray, colours: np.ndarray) -> np.ndarray:
    """Colours between equally spaced stops: a position of 0 is the first stop, 1 the last."""
    place, stops = position * (len(colours) - 1), np.arange(len(colours))
    channels = [np.interp(place, stops, colours[:, channel]) for channel in range(3)]
    return np.round(np.stack(channels, axis=-1)).astype(np.uint8)


def normals_picture(normals: np.ndarray) -> np.ndarray:
    """Draw surface normals in the usual colours: red faces right, green faces up, blue faces the viewer.

    normals: unit vectors (height, width, 3), x to the right, y down, z into the picture.
    """
    shown = normals * np.array([1, -1, -1])
    return np.round(np.clip(shown * 127.5 + 127.5, 0, 255)).astype(np.uint8)


def saliency_picture(saliency: np.ndarray) -> np.ndarray:
    """Draw a heat map: dark blue at 0, green at one half, nearly white at 1. saliency: probabilities 0 to 1, (height, width)."""
    return _ramp(np.asarray(saliency, np.float64), SALIENCY_STOPS)


def edges_picture(edges: np.ndarray) -> np.ndarray:
    """Draw edges white on black. edges: probabilities 0 to 1, (height, width)."""
    grey = np.round(255 * np.asarray(edges, np.float64)).astype(np.uint8)
    return np.repeat(grey[..., None], 3, axis=-1)


def class_colour(index: int) -> np.ndarray:
    """The colour of a class of whole images, uint8 (3,); classes 255 apart share one."""
    return CLASS_COLOURS[1 + index % 255]


def classification_picture(probabilities: np.ndarray) -> np.ndarray:
    """Draw a bar for each of the five most probable classes, the first on top, as long as its probability. probabilities: (classes,)."""
    shown = np.full((5 * _BAR_PITCH, _BAR_LENGTH, 3), _GROUND, np.uint8)
    for place, best in enumerate(top_classes(probabilities, ())):
        top = place * _BAR_PITCH + _BAR_GAP // 2
        shown[top : top + _BAR_PITCH - _BAR_GAP, : round(best.probability * _BAR_LENGTH)] = class_colour(best.index)
    return shown


def features_picture(tokens: np.ndarray, grid: tuple[int, int]) -> np.ndarray:
    """Draw the first three principal components of the patches' features as red, green and blue, 8 x 8 pixels per patch.

    tokens: (tokens, channels), the patches' last. grid: rows and columns of patches.
    """
    rows, columns = grid
    patches = tokens[len(tokens) - rows * columns :].astype(np.float64)
    centred = patches - patches.mean(0)
    axes = np.linalg.svd(centred, full_matrices=False)[2][:3]
    axes *= np.where(axes[np.arange(len(axes)), np.abs(axes).argmax(1)] < 0, -1, 1)[
        :, None
    ]  # a component's sign is arbitrary
    parts = np.zeros((len(patches), 3))
    parts[:, : len(axes)] = centred @ axes.T
    low, high = np.quantile(parts, (_TAIL, 1 - _TAIL), axis=0)
    shades = np.clip((parts - low) / np.maximum(high - low, 1e-9), 0, 1)
    shown = np.round(255 * shades).astype(np.uint8).reshape(rows, columns, 3)
    return shown.repeat(_PATCH_PIXELS, 0).repeat(_PATCH_PIXELS, 1)


_PICTURES = {
    "classes": class_picture,
    "heat": saliency_picture,
    "grey": edges_picture,
    "depth": depth_picture,
    "directions": normals_picture,
    CLASSIFICATION: classification_picture,
}


def picture(
    kind: str, decoded: np.ndarray, grid: tuple[int, int] = (0, 0), output: OutputDescription = USUAL_OUTPUT
) -> np.ndarray:
    """Draw a prediction as uint8 (height, width, 3).

    kind, output: of the task, see moesaic.spec.bundle.Task. decoded: see moesaic.spec.predictions.decode for shape, dtype and unit.
    Of several channels in shades, each pixel shows its largest; values that are no probabilities have their extremes at the ends of the
    scale. grid: rows and columns of patches, of features. UserError for an unknown kind whose output does not say how it is drawn.
    """
    if kind == FEATURES:
        return features_picture(decoded, grid)
    if kind not in KINDS and not output.decoding:
        raise UserError(f"a task of kind {kind!r} has no picture; known kinds: {', '.join(sorted(KINDS))}")
    way = picture_of(kind, output)
    return _PICTURES[way](_shade(decoded, output) if way in ("heat", "grey") else decoded)


def _shade(decoded: np.ndarray, output: OutputDescription) -> np.ndarray:
    """The largest channel of every pixel, (height, width), values 0 to 1."""
    shade = decoded.max(-1) if decoded.ndim == 3 else decoded
    if output.decoding != "values":
        return shade
    low, high = float(shade.min()), float(shade.max())
    return (shade - low) / max(high - low, 1e-9)
