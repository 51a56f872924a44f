"""What the colours of a picture mean, for the page, as JSON values."""

from __future__ import annotations

import numpy as np

from moesaic.host.prediction_pictures import (
    CLASS_COLOURS,
    DEPTH_STOPS,
    NEAREST_SHOWN,
    SALIENCY_STOPS,
    class_colour,
)
from moesaic.host.result import Result
from moesaic.spec.heads import CLASSIFICATION, FEATURES
from moesaic.spec.output_description import picture_of

_LISTED = 10
"""Classes that a legend names: all of a task that has no more, otherwise those with the most pixels."""


def legend(result: Result, class_names: tuple[str, ...]) -> dict:
    """The legend of a result: "entries" with "text" and perhaps "colour" and "share" (0 to 1); or "ramp", colours from left to right,
    with "marks", texts spread evenly below it. class_names: of the task, as far as they are known.
    """
    way = picture_of(result.kind, result.output)
    if way == "classes":
        return {"entries": _classes(result.decoded, class_names)}
    if way == "depth":
        low, high = (max(float(end), NEAREST_SHOWN) for end in (result.decoded.min(), result.decoded.max()))
        marks = [low * (high / low) ** share for share in (0, 0.5, 1)]  # the scale is logarithmic
        return {"ramp": [_css(stop) for stop in DEPTH_STOPS], "marks": [f"{metres:.2f} m" for metres in marks]}
    if way == "directions":
        faces = (("right", (255, 128, 128)), ("up", (128, 255, 128)), ("towards the camera", (128, 128, 255)))
        return {"entries": [{"colour": _css(np.array(colour)), "text": text} for text, colour in faces]}
    if way == CLASSIFICATION:
        return {
            "entries": [
                {"colour": _css(class_colour(best.index)), "text": best.label, "share": best.probability}
                for best in result.top()
            ]
        }
    if way == FEATURES:
        rows, columns = result.grid
        return {"entries": [{"text": f"first three principal components of {rows} × {columns} patches"}]}
    stops = [(0, 0, 0), (255, 255, 255)] if way == "grey" else SALIENCY_STOPS
    marks = ["0 %", "50 %", "100 %"]
    if result.decoding == "values":
        shown = result.decoded.max(-1) if result.decoded.ndim == 3 else result.decoded
        low, high = float(shown.min()), float(shown.max())
        marks = [f"{low + (high - low) * share:.3g}" for share in (0, 0.5, 1)]
    return {"ramp": [_css(np.array(stop)) for stop in stops], "marks": marks}


def _classes(classes: np.ndarray, names: tuple[str, ...]) -> list[dict]:
    """In order of their indices, so that they keep their places from frame to frame."""
    counts = np.bincount(classes.reshape(-1), minlength=len(names))
    largest_first = np.argsort(-counts, kind="stable")[:_LISTED]
    listed = sorted(int(index) for index in largest_first if counts[index] or len(counts) <= _LISTED)
    return [
        {
            "colour": _css(CLASS_COLOURS[index]),
            "text": names[index] if index < len(names) else f"class {index}",
            "share": float(counts[index] / classes.size),
        }
        for index in listed
    ]


def _css(colour: np.ndarray) -> str:
    return "#" + bytes(colour.astype(np.uint8).tolist()).hex()
