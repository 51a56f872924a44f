"""Any images with their ground truth beside them: a folder of images and a folder for each task, with files of the same names."""

from collections.abc import Collection, Mapping
from pathlib import Path

import numpy as np

from moesaic.errors import UserError
from moesaic.files import PICTURE_SUFFIXES, is_hidden
from moesaic.model.data.dataset_files import (
    FileDataset,
    as_depth,
    read_array,
    read_grey,
    read_labels,
    read_names,
    read_normals,
)
from moesaic.model.tasks.registry import TASK_KINDS, task_kind, truth_of

_IMAGES = "images"
_MILLIMETRES = 1000.0


class LabelledFolder(FileDataset):
    """Images SPLIT/images/NAME and ground truth SPLIT/KIND/NAME.png or .npy, where SPLIT is train or val and KIND a kind of task.

    Images may lie in folders of any depth; NAME is the path without its suffix. The classes are those of the recipe's tasks. Of the
    tasks, any kind that is installed can be read: classes, saliency and edges from grey or palette images, depth from 16-bit images in
    millimetres or from arrays in metres, normals from images or arrays (x right, y up, z towards the viewer), a classification from
    SPLIT/classification.txt, whose lines are a number of a class and a NAME, and everything else from arrays in the kind's own
    form. The constructor is that of `FileDataset`; tasks that are a mapping say the number of classes.
    """

    name = "folder"
    available: tuple[str, ...] = ()
    download = (
        "put images into {root}/train/images/ and {root}/val/images/, and the ground truth of a task of kind K into {root}/train/K/ and "
        "{root}/val/K/, in files of the same names"
    )

    def __init__(self, root: Path, split: str, tasks: Collection[str] | None = None, count: int | None = None) -> None:
        self.split = split
        self._classes = dict(tasks) if isinstance(tasks, Mapping) else {}
        known = [kind for kind in TASK_KINDS.names if task_kind(kind).truth is not None]
        self.available = tuple(kind for kind in known if self._place(root, kind).exists())
        self._class_of = self._read_classes(root) if "classification" in (tasks or ()) else {}
        super().__init__(root, split, tasks, count)

    def channels(self, task: str) -> int:
        """UserError for a task with classes unless the constructor's tasks say how many."""
        found = task_kind(task).channels or self._classes.get(task, 0)
        if not found:
            raise UserError(f"{self.name} does not say how many classes {task} has: state its channels in the recipe")
        return found

    def list_names(self, split: str) -> list[str]:
        """Paths of the images below SPLIT/images without their suffixes, sorted."""
        top = self.root / split / _IMAGES
        if not top.is_dir():
            raise UserError(f"{self.name}: {top} is missing: {self.remedy}")
        paths = (p for p in top.rglob("*") if p.suffix.lower() in PICTURE_SUFFIXES and p.is_file())
        relative = sorted(path.relative_to(top) for path in paths if not is_hidden(path.relative_to(top)))
        self._files = {path.with_suffix("").as_posix(): path for path in relative}
        if len(self._files) != len(relative):
            twice = next(path for path in relative if self._files[path.with_suffix("").as_posix()] != path)
            raise UserError(f"{self.name}: {top / twice} shares its name with another image: rename one")
        return list(self._files)

    def image_path(self, name: str) -> Path:
        return self.find(f"{self.split}/{_IMAGES}/{self._files[name].as_posix()}")

    def target_paths(self, name: str, task: str) -> list[Path]:
        if truth_of(task).whole_image:
            return [self.find(f"{self.split}/{task}.txt")]
        suffixes = (".png", ".npy") if self._in_pictures(task) else (".npy",)
        return [self.find(*(f"{self.split}/{task}/{name}{suffix}" for suffix in suffixes))]

    def read_target(self, name: str, task: str) -> np.ndarray:
        (path,) = self.target_paths(name, task)
        truth = truth_of(task)
        if truth.whole_image:
            return np.array(self._class_in(path, name), np.int32)
        if task == "normals":
            return read_normals(path)
        if path.suffix == ".png" and task == "depth":
            return as_depth(read_grey(path).astype(np.float64) / _MILLIMETRES)
        if path.suffix == ".png":
            return read_labels(path, self._values(task))
        target = read_array(path, *truth.values).astype(truth.dtype)
        return as_depth(target) if task == "depth" else target

    def _values(self, task: str) -> int:
        """How many labels a picture of this task can have: its classes, or 0 and 1."""
        return self.tasks[task] if task_kind(task).decoding == "classes" else 2

    @staticmethod
    def _in_pictures(task: str) -> bool:
        return task in ("depth", "normals") or (truth_of(task).dtype is np.uint8 and not truth_of(task).values)

    def _place(self, root: Path, kind: str) -> Path:
        return root / self.split / (f"{kind}.txt" if truth_of(kind).whole_image else kind)

    def _read_classes(self, root: Path) -> dict[str, int]:
        path = self._place(root, "classification")
        found = {}
        for line in read_names(path):
            number, _, name = line.partition(" ")
            if not number.isdecimal() or not name:
                raise UserError(f"{path} has the line {line!r}, not the number of a class and a NAME: correct it")
            found[name] = int(number)
        return found

    def _class_in(self, path: Path, name: str) -> int:
        if name not in self._class_of:
            raise UserError(f"{path} has no class of {name}: add a line with the number of its class and its name")
        return self._class_of[name]
