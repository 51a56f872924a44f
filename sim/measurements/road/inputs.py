"""Inputs for a run: photographs that come with scikit-image, rendered scenes with ground truth, and image files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from moesaic.errors import UserError
from moesaic.host.image_files import read_image
from moesaic.installation import how_to_install
from moesaic.model.data.scenes import render
from moesaic.spec.input_description import MINUS_ONE_TO_ONE, InputDescription
from moesaic.spec.resize import fit

_PHOTOGRAPHS = {
    "astronaut": "photograph of Eileen Collins, by NASA (public domain)",
    "coffee": "photograph by Rachel Michetti (public domain)",
}
_SCENE_SEED = 1_000_003
"""Seed of a sequence of scenes on which recipes with small seeds neither train nor measure."""


@dataclass(frozen=True)
class Sample:
    """An input of a network.

    image: uint8 (height, width, 3), RGB, of the network's image size. origin: where the image comes from, in words. truth: task name
    to ground truth, if known: (height, width), class indices or 0 and 1 in uint8, or depth in metres in float32; unit normals,
    float32 (height, width, 3).
    """

    name: str
    origin: str
    image: np.ndarray
    truth: dict[str, np.ndarray] = field(default_factory=dict)


def photographs(height: int, width: int, description: InputDescription = MINUS_ONE_TO_ONE) -> list[Sample]:
    """Two photographs as a network of height x width pixels sees them. Raises UserError without scikit-image."""
    try:
        from skimage import data
    except ImportError:
        raise UserError(
            "scikit-image is missing: its photographs are the demo's samples; get it with: "
            f"{how_to_install('scikit-image')}"
        ) from None
    return [
        Sample(name, origin, fit(getattr(data, name)(), description, height, width)[0])
        for name, origin in _PHOTOGRAPHS.items()
    ]


def rendered_scenes(count: int, height: int, width: int) -> list[Sample]:
    """The first `count` scenes of a sequence on which no network was trained, with exact ground truth."""
    scenes = render(count, height, width, _SCENE_SEED)
    return [
        Sample(
            f"scene {index}",
            "rendered, never seen in training",
            scenes.images[index],
            {task: truth[index] for task, truth in scenes.targets.items()},
        )
        for index in range(count)
    ]


def read_samples(
    paths: Sequence[Path], height: int, width: int, description: InputDescription = MINUS_ONE_TO_ONE
) -> list[Sample]:
    """Pictures from image files as a network of height x width pixels sees them.

    Samples are named after their files, without extension, and numbered if names are equal; no directory appears in a report.

    Raises UserError if a file cannot be read as an image.
    """
    stems = [path.stem for path in paths]
    names = [
        stem if stems.count(stem) == 1 else f"{stem} ({1 + stems[:index].count(stem)})"
        for index, stem in enumerate(stems)
    ]
    seen = [fit(read_image(path), description, height, width)[0] for path in paths]
    return [Sample(name, path.name, image) for name, path, image in zip(names, paths, seen)]
