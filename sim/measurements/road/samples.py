"""Inputs for a run: real photographs, which come with scikit-image, rendered scenes with ground truth, and files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from moesaic.errors import UserError
from moesaic.host.image_files import read_image
from moesaic.host.resize import fit
from moesaic.installation import how_to_install
from moesaic.model.data.scenes import render

_PHOTOGRAPHS = {
    "astronaut": "photograph of Eileen Collins, by NASA (public domain)",
    "coffee": "photograph by Rachel Michetti (public domain)",
}
_SCENE_SEED = 1_000_003
"""Of a sequence of scenes that recipes with small seeds neither train nor measure on."""


@dataclass(frozen=True)
class Sample:
    """An input of a network.

    image: uint8 (height, width, 3), RGB, of the build's size. origin: where it comes from, in words. truth: task name to ground
    truth where it is known: class indices, 0 or 1, depth in metres, each (height, width), or unit normals (height, width, 3).
    """

    name: str
    origin: str
    image: np.ndarray
    truth: dict[str, np.ndarray] = field(default_factory=dict)


def photographs(height: int, width: int) -> list[Sample]:
    """Two photographs, cropped around the centre and resized. UserError without scikit-image."""
    try:
        from skimage import data
    except ImportError:
        raise UserError(
            "scikit-image is missing: its photographs are the demo's samples; get it with: "
            f"{how_to_install('scikit-image')}"
        ) from None
    return [Sample(name, origin, fit(getattr(data, name)(), height, width)) for name, origin in _PHOTOGRAPHS.items()]


def rendered_scenes(count: int, height: int, width: int) -> list[Sample]:
    """Scenes that no network was trained on, with exact ground truth."""
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


def read_samples(paths: Sequence[Path], height: int, width: int) -> list[Sample]:
    """Pictures from files, cropped and resized; files with equal names are numbered. No directory gets into a report."""
    stems = [path.stem for path in paths]
    names = [
        stem if stems.count(stem) == 1 else f"{stem} ({1 + stems[:index].count(stem)})"
        for index, stem in enumerate(stems)
    ]
    return [Sample(name, path.name, fit(read_image(path), height, width)) for name, path in zip(names, paths)]
