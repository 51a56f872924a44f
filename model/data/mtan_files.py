"""The files of MTAN's releases (Liu et al., CVPR 2019): numbered arrays in a folder for images and one for each task.

The layout is the one read by `im2im_pred/create_dataset.py` in github.com/lorenmt/mtan, `examples/nyu/create_dataset.py` in
github.com/median-research-group/LibMTL and `data/cityscapes.py` in github.com/VITA-Group/M3ViT.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

import numpy as np

from moesaic.errors import UserError
from moesaic.model.data.augmentation import Augmentation
from moesaic.model.data.dataset_files import FileDataset, as_depth, as_normals, read_array
from moesaic.model.tasks.targets import INVALID_LABEL
from moesaic.spec.input_description import InputDescription


class MtanFiles(FileDataset):
    """SPLIT/image/N.npy and SPLIT/DIRECTORY/N.npy for every task. directories: by kind of task.

    Images are 0..1; labels are classes from 0 and -1 where invalid; depth is kept as stored; normals are x right, y up, z towards the
    viewer. Samples are named split/number. The constructor is that of `FileDataset`.
    """

    directories: ClassVar[Mapping[str, str]]

    @classmethod
    def augmentation(cls, height: int, width: int, description: InputDescription) -> Augmentation:
        """Any scale in the range of the loaders for these releases, which take 1, 1.2 or 1.5."""
        return Augmentation(height, width, scale=(1.0, 1.5), description=description)

    def list_names(self, split: str) -> list[str]:
        top = self.root / split / "image"
        if not top.is_dir():
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
        return [self._path(name, self.directories[task])]

    def read_target(self, name: str, task: str) -> np.ndarray:
        (path,) = self.target_paths(name, task)
        if task == "segmentation":
            return _read_labels(path, len(self.class_names[task]))
        return as_normals(read_array(path, 3)) if task == "normals" else as_depth(read_array(path, 1)[..., 0])

    def _path(self, name: str, directory: str) -> Path:
        split, number = name.split("/")
        return self.find(f"{split}/{directory}/{number}.npy")


def _read_labels(path: Path, classes: int) -> np.ndarray:
    stored = read_array(path)
    wrong = stored[~np.isin(stored, np.arange(-1, classes))]
    if wrong.size:
        raise UserError(
            f"{path} has label {wrong[0]:g}, known are 0 to {classes - 1} and -1: it is not the data set's file"
        )
    return np.where(stored < 0, INVALID_LABEL, stored).astype(np.uint8)
