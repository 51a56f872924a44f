"""The data sets by name, and how to open them."""

from collections.abc import Collection, Mapping
from pathlib import Path

from moesaic.errors import UserError
from moesaic.model.data.cityscapes import Cityscapes
from moesaic.model.data.cityscapes_mtan import CityscapesMtan
from moesaic.model.data.dataset_files import FileDataset
from moesaic.model.data.geometry import Fitted
from moesaic.model.data.image_folder import ImageFolder
from moesaic.model.data.nyud import Nyud
from moesaic.model.data.pascal_context import PascalContext
from moesaic.model.data.rendered import RenderedScenes
from moesaic.model.data.samples import Dataset
from moesaic.spec.input_description import MINUS_ONE_TO_ONE, InputDescription

_READERS: dict[str, type[FileDataset]] = {
    reader.name: reader for reader in (Nyud, PascalContext, Cityscapes, CityscapesMtan, ImageFolder)
}
DATASETS = (RenderedScenes.name, *_READERS)
SPLITS = ("train", "val")


def open_dataset(
    name: str,
    root: Path | None,
    split: str,
    height: int,
    width: int,
    *,
    tasks: Collection[str] | None = None,
    count: int | None = None,
    seed: int = 0,
    fitted: bool = True,
    description: InputDescription = MINUS_ONE_TO_ONE,
) -> Dataset:
    """The data set called `name`, one of DATASETS.

    root: the directory that holds its files; None for "scenes", which are rendered. split: "train" or "val". tasks: those whose
    ground truth to read from files, all by default. count: keep only the first `count` samples; required for scenes, which are
    endless. seed: selects the scenes. fitted: give every sample height x width pixels (see `geometry.fit`, which
    `description` is for); otherwise samples keep their own sizes, for an augmentation that scales and crops. Scenes are always
    rendered at height x width.
    UserError if the name, split or a task is unknown or files are missing; it says what to download and where to put it.
    """
    _require_known(name)
    if split not in SPLITS:
        raise UserError(f"unknown split {split!r} of {name}: choose {', '.join(SPLITS)}")
    if name == RenderedScenes.name:
        if count is None:
            raise UserError("scenes have no end: give the number to render")
        return RenderedScenes.of_split(split, count, height, width, seed)
    reader = _READERS[name]
    if root is None:
        remedy = reader.download.format(root="the directory")
        raise UserError(f"{name} lies in files: give the directory that holds them as --data-root, or {remedy}")
    dataset = reader(root, split, tasks, count)
    return Fitted(dataset, height, width, description) if fitted else dataset


def class_names(name: str) -> Mapping[str, tuple[str, ...]]:
    """The class names of each task that has classes, as far as they are known without the data set's files.

    UserError for an unknown data set.
    """
    _require_known(name)
    return (RenderedScenes if name == RenderedScenes.name else _READERS[name]).class_names


def _require_known(name: str) -> None:
    if name not in DATASETS:
        raise UserError(f"unknown data set {name!r}: choose {', '.join(DATASETS)}")
