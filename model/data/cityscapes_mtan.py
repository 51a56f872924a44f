"""Cityscapes as distributed by MTAN (Liu et al., CVPR 2019) and used by M³ViT and many others: small images, 7 classes, inverse depth.

The layout is the one read by `data/cityscapes.py` in github.com/VITA-Group/M3ViT and by the loaders for github.com/lorenmt/mtan.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from moesaic.errors import UserError
from moesaic.model.data.dataset_files import FileDataset, as_depth, read_array
from moesaic.model.tasks.targets import INVALID_LABEL

CLASSES = ("flat", "construction", "object", "nature", "sky", "human", "vehicle")
"""The 7 groups of the 19 classes, in the order of Cityscapes and of MTAN's table 1; the release itself does not name them."""
_DIRECTORIES = {"segmentation": "label_7", "depth": "depth"}


class CityscapesMtan(FileDataset):
    """2,975 training and 500 validation images, 256 x 128 pixels (or 512 x 256), named split/number.

    depth is the stored value, a relative inverse depth without a unit (16-bit disparity / 65535), not metres, so that results
    compare with the papers'. The constructor is that of `FileDataset`.
    """

    name = "cityscapes-mtan"
    class_names: Mapping[str, tuple[str, ...]] = {"segmentation": CLASSES}
    available = ("segmentation", "depth")
    download = (
        "download cityscapes2.zip (128x256 pixels), linked as pre-processed CityScapes from github.com/lorenmt/mtan, and unpack "
        "it so that {root} holds train/ and val/, each with image/, label_7/ and depth/"
    )

    def list_names(self, split: str) -> list[str]:
        top = self.root / split / "image"
        if not top.is_dir():
            if (self.root / "leftImg8bit").is_dir():
                raise UserError(f"{self.root} holds the whole Cityscapes: take a recipe of data cityscapes")
            raise UserError(f"{self.name}: {top} is missing: {self.remedy}")
        numbers = sorted(int(path.stem) for path in top.glob("*.npy") if path.stem.isdecimal())
        return [f"{split}/{number}" for number in numbers]

    def image_path(self, name: str) -> Path:
        return self._path(name, "image")

    def open_image(self, path: Path) -> np.ndarray:
        colours = read_array(path, 3)
        if not (colours.size and 0 <= colours.min() <= colours.max() <= 1):
            found = f"values from {colours.min()} to {colours.max()}" if colours.size else "no values"
            raise UserError(f"{path} has {found}, not 0 to 1: it is not the data set's file")
        return np.rint(255 * colours).astype(np.uint8)

    def target_paths(self, name: str, task: str) -> list[Path]:
        return [self._path(name, _DIRECTORIES[task])]

    def read_target(self, name: str, task: str) -> np.ndarray:
        (path,) = self.target_paths(name, task)
        return _read_labels(path) if task == "segmentation" else as_depth(read_array(path, 1)[..., 0])

    def _path(self, name: str, directory: str) -> Path:
        split, number = name.split("/")
        return self.find(f"{split}/{directory}/{number}.npy")


def _read_labels(path: Path) -> np.ndarray:
    stored = read_array(path)
    wrong = stored[~np.isin(stored, np.arange(-1, len(CLASSES)))]
    if wrong.size:
        known = f"0 to {len(CLASSES) - 1} and -1"
        raise UserError(f"{path} has label {wrong[0]:g}, known are {known}: it is not the data set's file")
    return np.where(stored < 0, INVALID_LABEL, stored).astype(np.uint8)
