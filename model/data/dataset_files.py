"""Data sets stored in files: which files must exist, and readers whose errors say what is wrong."""

from abc import abstractmethod
from collections.abc import Callable, Collection
from pathlib import Path
from typing import TypeVar

import numpy as np

from moesaic.errors import UserError
from moesaic.model.data.samples import Sample
from moesaic.model.data.source import DataSource
from moesaic.model.tasks.registry import task_kind
from moesaic.model.tasks.targets import INVALID_LABEL, METRES

T = TypeVar("T")

_SHORTEST_NORMAL = 0.5  # length; these should be unit vectors, and anything shorter marks a pixel without ground truth


class FileDataset(DataSource):
    """One split of a data set in the directory `root`.

    split: "train" or "val". tasks: those whose ground truth to read; all available ones by default. count: keep only the first
    `count` samples. The constructor raises UserError if the data set lacks a task, or if a file that the tasks need is missing;
    reading a sample raises UserError if a file is damaged or does not fit.
    """

    available: tuple[str, ...]
    """The tasks for which the data set has ground truth."""
    download: str
    """What to download and where to put it, phrased to end an error message; {root} stands for the directory."""

    @classmethod
    def open(
        cls,
        root: Path | None,
        split: str,
        size: tuple[int, int],
        tasks: Collection[str] | None,
        count: int | None,
        seed: int,
    ) -> "FileDataset":
        if root is None:
            remedy = cls.download.format(root="the directory")
            raise UserError(f"{cls.name} lies in files: give the directory that holds them as --data-root, or {remedy}")
        return cls(root, split, tasks, count)

    def __init__(self, root: Path, split: str, tasks: Collection[str] | None = None, count: int | None = None) -> None:
        self.root = root
        wanted = self.available if tasks is None else tasks
        for task in wanted:
            if task not in self.available:
                raise UserError(f"{self.name} has no truth for task {task!r}: choose {', '.join(self.available)}")
        self.tasks = {task: self.channels(task) for task in self.available if task in wanted}
        if not root.is_dir():
            raise UserError(f"{self.name}: {root} is no directory: {self.remedy}")
        self.names = self.list_names(split)[:count]
        if not self.names:
            raise UserError(f"{self.name}: split {split} in {root} is empty: {self.remedy}")
        for sample in self.names:
            self.check_files(sample)

    @property
    def remedy(self) -> str:
        """`download` for this directory, to end an error message."""
        return self.download.format(root=self.root)

    def channels(self, task: str) -> int:
        """A task's number of output channels: one per class for a task with classes."""
        return task_kind(task).channels or len(self.class_names[task])

    @abstractmethod
    def list_names(self, split: str) -> list[str]:
        """The names of the split's samples, in order; UserError when the list cannot be read."""

    @abstractmethod
    def image_path(self, name: str) -> Path:
        """The file with a sample's image; UserError when it is missing."""

    def open_image(self, path: Path) -> np.ndarray:
        """The image in the file at `path`: RGB, uint8 [H, W, 3]; UserError when it cannot be read."""
        return read_image(path)

    @abstractmethod
    def target_paths(self, name: str, task: str) -> list[Path]:
        """The files with a sample's ground truth for a task; UserError when one is missing."""

    @abstractmethod
    def read_target(self, name: str, task: str) -> np.ndarray:
        """A sample's ground truth for a task at the stored size, [H, W], [H, W, 3] (normals) or [] (classification).

        dtype and unit are those of `moesaic.model.tasks.targets`. UserError when a file is damaged or has values out of range.
        """

    def check_files(self, name: str) -> None:
        """Raise UserError if a sample's image, or a file with its ground truth for a wanted task, is missing."""
        self.image_path(name)
        for task in self.tasks:
            self.target_paths(name, task)

    def find(self, *candidates: str) -> Path:
        """The first of the candidate paths, relative to the directory, that is a file; UserError when none is."""
        for candidate in candidates:
            if (self.root / candidate).is_file():
                return self.root / candidate
        wanted = f"{self.root / candidates[0]}" + "".join(f" or {Path(other).suffix}" for other in candidates[1:])
        raise UserError(f"{self.name}: {wanted} is missing: {self.remedy}")

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> Sample:
        name = self.names[index]
        path = self.image_path(name)
        image = self.open_image(path)
        targets = {}
        for task in self.tasks:
            targets[task] = target = self.read_target(name, task)
            if target.ndim and target.shape[:2] != image.shape[:2]:
                sizes = f"{_pixels(target)} pixels, its image {path.name} has {_pixels(image)}"
                raise UserError(f"{self.name}: {task} of {name} has {sizes}: {self.remedy}")
        return Sample(image, targets, name)


def read_names(path: Path) -> list[str]:
    """The stripped, non-empty lines of a text file that lists samples. UserError when it cannot be read."""
    return [line.strip() for line in _read(path, lambda: path.read_text(encoding="utf-8")).splitlines() if line.strip()]


def read_image(path: Path) -> np.ndarray:
    """An image file as RGB, uint8 [H, W, 3]. UserError when it cannot be read."""
    return _open_image(path, "RGB")


def read_grey(path: Path) -> np.ndarray:
    """An image with one number per pixel, a grey value or palette index: uint8 or uint16 [H, W]; bilevel images give 0 and 255.

    UserError when the file cannot be read, has several channels or another type.
    """
    array = _open_image(path, None)
    if array.ndim != 2:
        raise UserError(f"{path} has {array.shape[2]} channels, labels have 1: it is not the data set's file")
    if array.dtype == bool:
        return array.astype(np.uint8) * np.uint8(255)
    if array.dtype == np.int32 and array.min() >= 0 and array.max() < 2**16:  # how Pillow opens some 16-bit files
        return array.astype(np.uint16)
    if array.dtype not in (np.uint8, np.uint16):
        raise UserError(f"{path} holds {array.dtype}, not uint8 or uint16: it is not the data set's file")
    return array


def read_labels(path: Path, classes: int) -> np.ndarray:
    """A label image, uint8 [H, W]: classes 0 to `classes` - 1, or INVALID_LABEL. UserError for any other value."""
    return checked_labels(read_grey(path), classes, path)


def checked_labels(labels: np.ndarray, classes: int, path: Path) -> np.ndarray:
    """The labels [H, W] as uint8; UserError, which names `path`, if one is neither a class below `classes` nor INVALID_LABEL."""
    wrong = labels[(labels >= classes) & (labels != INVALID_LABEL)]
    if wrong.size:
        known = f"0 to {classes - 1} and {INVALID_LABEL}"
        raise UserError(f"{path} has label {wrong.max()}, known are {known}: it is not the data set's file")
    return labels.astype(np.uint8)


def read_array(path: Path, *values: int) -> np.ndarray:
    """The numbers in a .npy file, [H, W, *values], in their stored dtype.

    UserError when the file cannot be read, has another shape or holds no real numbers.
    """
    array = _read(path, lambda: np.load(path, allow_pickle=False))
    wanted = f"[{', '.join(['H', 'W', *map(str, values)])}]"
    if array.ndim < 2 or array.shape[2:] != values:
        raise UserError(f"{path} has shape {list(array.shape)}, not {wanted}: it is not the data set's file")
    if array.dtype.kind not in "fiub":
        raise UserError(f"{path} holds {array.dtype}, not numbers: it is not the data set's file")
    return array


def read_matlab(path: Path, variable: str) -> np.ndarray:
    """A variable from a MATLAB version 5 file, with the shape and dtype that scipy gives it. UserError when it cannot be read."""
    from scipy.io import loadmat
    from scipy.io.matlab import MatReadError

    def load() -> dict:
        try:
            return loadmat(path)
        except (IndexError, MatReadError) as error:
            raise ValueError(error) from None

    content = _read(path, load)
    if variable not in content:
        found = ", ".join(sorted(name for name in content if not name.startswith("__"))) or "nothing"
        raise UserError(f"{path} has no variable {variable!r}, but {found}: it is not the data set's file")
    return content[variable]


def as_depth(metres: np.ndarray) -> np.ndarray:
    """Depth [H, W] as float32, in the unit given; values that are not finite and positive become 0, which marks them invalid."""
    with np.errstate(invalid="ignore"):
        return np.where(np.isfinite(metres) & (metres > 0), metres, METRES.invalid).astype(np.float32)


def as_normals(vectors: np.ndarray) -> np.ndarray:
    """Unit normals in our axes (x right, y down, z into the picture), float32 [H, W, 3].

    vectors: [H, W, 3], of roughly unit length, with x to the right, y up and z towards the viewer; those much shorter become the
    zero vector, which marks them invalid.
    """
    vectors = np.nan_to_num(vectors.astype(np.float32)) * np.array([1, -1, -1], np.float32)
    length = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return np.where(length >= _SHORTEST_NORMAL, vectors / np.maximum(length, _SHORTEST_NORMAL), np.float32(0))


def read_normals(path: Path) -> np.ndarray:
    """Unit normals in our axes, float32 [H, W, 3], see `as_normals`; UserError when the file cannot be read.

    path: a .npy file with components in -1..1, or an image in which 0..255 stands for -1..1.
    """
    vectors = read_array(path, 3) if path.suffix == ".npy" else read_image(path) / np.float32(127.5) - 1
    return as_normals(vectors)


def _pixels(array: np.ndarray) -> str:
    return f"{array.shape[1]}x{array.shape[0]}"


def _open_image(path: Path, mode: str | None) -> np.ndarray:
    try:
        from PIL import Image
    except ImportError:
        raise UserError(f"{path} needs Pillow to be read: install it with: pip install 'moesaic[model]'") from None

    def decode() -> np.ndarray:
        with Image.open(path) as image:
            return np.asarray(image if mode is None else image.convert(mode))

    return _read(path, decode)


def _read(path: Path, read: Callable[[], T]) -> T:
    try:
        return read()
    except FileNotFoundError:
        raise UserError(f"{path} is missing: put the whole data set there") from None
    except UserError:
        raise
    except (
        Exception
    ) as error:  # numpy, Pillow and scipy let through what a damaged file makes of their lists and numbers
        raise UserError(f"{path} cannot be read ({str(error) or type(error).__name__}): fetch the file again") from None
