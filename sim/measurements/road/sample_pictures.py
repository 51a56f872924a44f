"""The pictures that a report shows by default: real photographs, which come with scikit-image, and a rendered scene."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from moesaic.errors import UserError
from moesaic.host.image_files import read_image
from moesaic.host.resize import fit
from moesaic.installation import how_to_install
from moesaic.model.data.scenes import render
from moesaic.sim.measurements.road.streams import Picture

_PHOTOGRAPHS = {
    "astronaut": "photograph of Eileen Collins, by NASA (public domain)",
    "coffee": "photograph by Rachel Michetti (public domain)",
}
_SCENE_SEED = 1_000_003
"""Of a sequence of scenes that recipes with small seeds neither train nor measure on."""


def photographs(height: int, width: int) -> list[Picture]:
    """Two photographs, cropped around the centre and resized. UserError without scikit-image."""
    try:
        from skimage import data
    except ImportError:
        raise UserError(
            "scikit-image is missing: its photographs are the demo's pictures; get it with: "
            f"{how_to_install('scikit-image')}"
        ) from None
    return [Picture(name, origin, fit(getattr(data, name)(), height, width)) for name, origin in _PHOTOGRAPHS.items()]


def rendered_scenes(count: int, height: int, width: int) -> list[Picture]:
    """Scenes that no network was trained on, with exact ground truth."""
    scenes = render(count, height, width, _SCENE_SEED)
    return [
        Picture(
            f"scene {index}",
            "rendered, never seen in training",
            scenes.images[index],
            {task: truth[index] for task, truth in scenes.targets.items()},
        )
        for index in range(count)
    ]


def read_pictures(paths: Sequence[Path], height: int, width: int) -> list[Picture]:
    """Pictures from files, cropped and resized; files with equal names are numbered. No directory gets into a report."""
    stems = [path.stem for path in paths]
    names = [
        stem if stems.count(stem) == 1 else f"{stem} ({1 + stems[:index].count(stem)})"
        for index, stem in enumerate(stems)
    ]
    return [Picture(name, path.name, fit(read_image(path), height, width)) for name, path in zip(names, paths)]
