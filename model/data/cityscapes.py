"""Cityscapes (Cordts et al., CVPR 2016) as distributed on its own site: segmentation, and depth from stereo.

For the reduced release that multi-task papers use, see `moesaic.model.data.cityscapes_mtan`.
"""

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from moesaic.errors import UserError
from moesaic.model.data.augmentation import Augmentation
from moesaic.model.data.dataset_files import FileDataset, as_depth, checked_labels, read_grey
from moesaic.model.tasks.targets import INVALID_LABEL
from moesaic.spec.input_description import InputDescription

CLASSES = (
    *(
        "road",
        "sidewalk",
        "building",
        "wall",
        "fence",
        "pole",
        "traffic light",
        "traffic sign",
        "vegetation",
        "terrain",
    ),
    *("sky", "person", "rider", "car", "truck", "bus", "train", "motorcycle", "bicycle"),
)
"""The 19 classes that the benchmark evaluates."""
_IDS = (7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33)
"""Their numbers in *_labelIds.png. The other numbers up to 33 are invalid here, and so is that of a licence plate, -1, stored
as 255 in 8 bits."""
_ID_END = 34
MAX_DEPTH = 80.0
"""Metres; anything farther away is invalid, as is usual for street scenes since Eigen et al. (NeurIPS 2014). With these cameras
(baseline x focal length = 0.21 m x 2263 pixels) 80 m is a disparity of 6 pixels, where an error of one pixel is 13 m; smaller
disparities are mostly matching noise and would give depths of up to 121 km."""

_FILES = {  # package directory: file name suffix after the sample's name
    "leftImg8bit": "leftImg8bit.png",
    "gtFine": "gtFine_labelIds.png",
    "disparity": "disparity.png",
    "camera": "camera.json",
}
_TASK_FILES = {"segmentation": ("gtFine",), "depth": ("disparity", "camera")}


class Cityscapes(FileDataset):
    """2,975 training and 500 validation images, 2048 x 1024 pixels, named split/city/city_sequence_frame.

    Depth is in metres. The constructor is that of `FileDataset`.
    """

    name = "cityscapes"
    class_names: Mapping[str, tuple[str, ...]] = {"segmentation": CLASSES}
    available = ("segmentation", "depth")
    download = (
        "download leftImg8bit_trainvaltest.zip, gtFine_trainvaltest.zip, disparity_trainvaltest.zip and "
        "camera_trainvaltest.zip from www.cityscapes-dataset.com and unpack them so that {root} holds leftImg8bit/, "
        "gtFine/, disparity/ and camera/"
    )

    @classmethod
    def augmentation(cls, height: int, width: int, description: InputDescription) -> Augmentation:
        """Any scale in the range of the loaders for MTAN's release, which take 1, 1.2 or 1.5."""
        return Augmentation(height, width, scale=(1.0, 1.5), description=description)

    def list_names(self, split: str) -> list[str]:
        top = self.root / "leftImg8bit" / split
        if not top.is_dir():
            if any((self.root / "train" / "image").glob("[!.]*.npy")):
                raise UserError(
                    f"{self.root} holds the reduced Cityscapes of MTAN: take a recipe of data cityscapes-mtan"
                )
            raise UserError(f"{self.name}: {top} is missing: {self.remedy}")
        ending = f"_{_FILES['leftImg8bit']}"
        files = sorted(path.relative_to(top).as_posix() for path in top.glob(f"[!.]*/[!.]*{ending}"))
        return [f"{split}/{file.removesuffix(ending)}" for file in files]

    def image_path(self, name: str) -> Path:
        return self._path(name, "leftImg8bit")

    def target_paths(self, name: str, task: str) -> list[Path]:
        return [self._path(name, package) for package in _TASK_FILES[task]]

    def read_target(self, name: str, task: str) -> np.ndarray:
        paths = self.target_paths(name, task)
        return _read_segmentation(*paths) if task == "segmentation" else _read_depth(*paths)

    def _path(self, name: str, package: str) -> Path:
        return self.find(f"{package}/{name}_{_FILES[package]}")


def _read_segmentation(path: Path) -> np.ndarray:
    classes = np.full(256, INVALID_LABEL, np.uint8)
    classes[list(_IDS)] = np.arange(len(_IDS))
    return classes[checked_labels(read_grey(path), _ID_END, path)]


def _read_depth(path: Path, camera_path: Path) -> np.ndarray:
    """Depth in metres, float32 [H, W]: baseline * focal length / disparity; a stored p > 0 is a disparity of (p - 1) / 256 pixels.

    Invalid above MAX_DEPTH.
    """
    try:
        camera = json.loads(camera_path.read_text(encoding="utf-8"))
        factor = float(camera["extrinsic"]["baseline"]) * float(camera["intrinsic"]["fx"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise UserError(f"{camera_path} is no camera of Cityscapes ({error!r}): fetch the file again") from None
    stored = read_grey(path)
    if stored.dtype != np.uint16:
        raise UserError(f"{path} holds {stored.dtype}, a disparity is uint16: fetch the file again")
    with np.errstate(divide="ignore"):
        metres = np.where(stored > 0, 256 * factor / (stored.astype(np.float64) - 1), 0)
    return as_depth(np.where(metres <= MAX_DEPTH, metres, 0))
