"""Any pictures of a folder, as a network sees them: to calibrate on, and to learn from without labels."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from moesaic.errors import UserError
from moesaic.files import PICTURE_SUFFIXES, is_hidden
from moesaic.model.data.dataset_files import read_image
from moesaic.model.data.samples import Sample
from moesaic.model.recipes.recipe import ModelConfiguration
from moesaic.spec.resize import fit


class Unlabelled:
    """Images uint8 [N, height, width, 3] as a data set without ground truth (`moesaic.model.data.samples.Dataset`)."""

    name = "pictures"

    def __init__(self, images: np.ndarray) -> None:
        self._images = images
        self.tasks: Mapping[str, int] = {}
        self.class_names: Mapping[str, tuple[str, ...]] = {}

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, index: int) -> Sample:
        return Sample(self._images[index], {}, f"picture {index}")


def read_pictures(folder: Path, configuration: ModelConfiguration, count: int | None = None) -> np.ndarray:
    """Pictures in a folder and those below it, in the order of their paths, uint8 [N, height, width, 3] at the network's size.

    count: take at most so many, evenly spaced over all. Hidden files are left out. UserError if there is none, or one cannot be read.
    """
    if not folder.is_dir():
        raise UserError(f"{folder} is no folder: give one with pictures ({', '.join(PICTURE_SUFFIXES)})")
    paths = sorted(
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in PICTURE_SUFFIXES and path.is_file() and not is_hidden(path.relative_to(folder))
    )
    if not paths:
        raise UserError(f"{folder} has no pictures: put some there ({', '.join(PICTURE_SUFFIXES)})")
    if count is not None and count < len(paths):
        paths = [paths[i * len(paths) // count] for i in range(count)]
    size = configuration.image_height, configuration.image_width
    return np.stack([fit(read_image(path), configuration.input, *size)[0] for path in paths])
