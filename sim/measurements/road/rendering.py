"""Render a task's predictions and ground truth as pictures with a common colour scale."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from moesaic.host.prediction_pictures import CLASS_COLOURS, depth_picture, picture
from moesaic.pages.document import colour_key, paragraph
from moesaic.pages.markup import Markup
from moesaic.spec.build import TaskProgram
from moesaic.spec.output_description import picture_of

_SHADES = {"saliency": "probability of belonging to the salient object", "edges": "probability of an edge"}


def render_row(task: TaskProgram, decoded: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Pictures for one task, uint8 (h, w, 3) each, RGB; the extremes of the first depth map set the scale of all.

    decoded: predictions or ground truth, each in the form that moesaic.spec.predictions.decode returns.
    """
    if picture_of(task.kind, task.output) == "depth":
        nearest, farthest = float(decoded[0].min()), float(decoded[0].max())
        return [depth_picture(depth, nearest, farthest) for depth in decoded]
    return [picture(task.kind, values, task.grid, task.output) for values in decoded]


def legend(name: str, task: TaskProgram) -> Markup:
    """The meaning of the colours in a task's pictures. name: of the task."""
    way = picture_of(task.kind, task.output)
    if way == "classes":
        classes = task.class_names or [f"class {index}" for index in range(task.channels)]
        colours = (f"rgb{tuple(map(int, colour))}" for colour in CLASS_COLOURS)
        return colour_key(dict(zip(classes, colours)), name)
    meaning = {
        "depth": "near is bright, far is dark, on a logarithmic scale; the extremes of a row's first map are its ends",
        "directions": "red faces right, green faces up, blue faces the viewer",
        "heat": f"{_SHADES.get(task.kind, 'the largest of its channels')}, from dark blue (0) over green to nearly white (1)",
        "grey": f"{_SHADES.get(task.kind, 'the largest of its channels')}, from black (0) to white (1)",
        "classification": "a bar for each of the five most probable classes, as long as its probability",
        "features": "the patches' first three principal components as red, green and blue, each picture on a scale of its own",
    }
    return paragraph(f"{name}: {meaning[way]}", "soft")
