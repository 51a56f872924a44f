"""NYUD-v2 (Silberman et al., ECCV 2012) for multi-task learning, as MTI-Net and ATRC distribute it."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from moesaic.errors import UserError
from moesaic.model.data.dataset_files import (
    FileDataset,
    as_depth,
    read_array,
    read_grey,
    read_labels,
    read_names,
    read_normals,
)
from moesaic.model.tasks.targets import INVALID_LABEL

CLASSES = (
    *("wall", "floor", "cabinet", "bed", "chair", "sofa", "table", "door", "window", "bookshelf"),
    *("picture", "counter", "blinds", "desk", "shelves", "curtain", "dresser", "pillow", "mirror", "floor mat"),
    *("clothes", "ceiling", "books", "refrigerator", "television", "paper", "towel", "shower curtain", "box"),
    *("whiteboard", "person", "night stand", "toilet", "sink", "lamp", "bathtub", "bag"),
    *("other structure", "other furniture", "other prop"),
)
"""The 40 classes of Gupta et al. (CVPR 2013), in the order of their numbers in the files, which start at 1."""
_FORMATS = {  # task: directory, and file suffixes in the two distributions
    "segmentation": ("segmentation", (".png",)),
    "depth": ("depth", (".npy",)),
    "normals": ("normals", (".npy", ".png")),
    "edges": ("edge", (".npy", ".png")),
}


class Nyud(FileDataset):
    """795 training and 654 validation images, 560 x 425 or 640 x 480 pixels. The constructor is that of `FileDataset`.

    Augmented in the usual way; M3ViT itself changes no colours, scales by 1, 1.2 or 1.5, and stretches the result to the network's size.
    """

    name = "nyud"
    class_names: Mapping[str, tuple[str, ...]] = {"segmentation": CLASSES}
    available = tuple(_FORMATS)
    download = (
        "download NYUD_MT.tgz of Multi-Task-Learning-PyTorch (MTI-Net) or NYUDv2.tar.gz of ATRC and unpack it so that "
        "{root} holds images/, gt_sets/, segmentation/, depth/, normals/ and edge/"
    )

    def list_names(self, split: str) -> list[str]:
        return read_names(self.find(f"gt_sets/{split}.txt"))

    def image_path(self, name: str) -> Path:
        return self.find(f"images/{name}.jpg", f"images/{name}.png")

    def target_paths(self, name: str, task: str) -> list[Path]:
        directory, suffixes = _FORMATS[task]
        return [self.find(*(f"{directory}/{name}{suffix}" for suffix in suffixes))]

    def read_target(self, name: str, task: str) -> np.ndarray:
        (path,) = self.target_paths(name, task)
        match task:
            case "segmentation":
                labels = read_labels(path, len(CLASSES) + 1)
                return np.where(labels == 0, np.uint8(INVALID_LABEL), labels - np.uint8(labels != INVALID_LABEL))
            case "depth":
                return as_depth(read_array(path))
            case "normals":
                return read_normals(path)
            case _:
                return _read_edges(path)


def _read_edges(path: Path) -> np.ndarray:
    if path.suffix == ".png":
        return (read_grey(path) > 127).astype(np.uint8)
    edges = read_array(path)
    if edges.size and not 0 <= edges.min() <= edges.max() <= 1:
        raise UserError(f"{path} has values from {edges.min()} to {edges.max()}, not 0 to 1: fetch the file again")
    return (edges > 0.5).astype(np.uint8)
