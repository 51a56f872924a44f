"""The data sets that are installed: those of the project and those of other packages, found by their entry points."""

from collections.abc import Mapping
from pathlib import Path

from moesaic.errors import UserError
from moesaic.extensions import Extensions
from moesaic.model.data.augmentation import Augmentation
from moesaic.model.data.geometry import Fitted
from moesaic.model.data.rendered import RenderedScenes
from moesaic.model.data.samples import Dataset
from moesaic.model.data.source import DataSource
from moesaic.spec.input_description import MINUS_ONE_TO_ONE, InputDescription

DATASETS = Extensions("moesaic.datasets", DataSource, "data set", "name")
SPLITS = ("train", "val")


def open_dataset(
    name: str,
    root: Path | None,
    split: str,
    height: int,
    width: int,
    *,
    tasks: Mapping[str, int] | None = None,
    count: int | None = None,
    seed: int = 0,
    fitted: bool = True,
    description: InputDescription = MINUS_ONE_TO_ONE,
) -> Dataset:
    """The data set called `name`, one of DATASETS.

    root: the directory that holds its files; None for "scenes", which are rendered. split: "train" or "val". tasks: kind to channels
    of the ground truth to read, all by default. count: keep only the first `count` samples; required for scenes, which are
    endless. seed: selects the scenes. fitted: give every sample height x width pixels (see `geometry.fit`, which
    `description` is for); otherwise samples keep their own sizes, for an augmentation that scales and crops. Scenes are always
    rendered at height x width.
    UserError if the name, split or a task is unknown or files are missing; it says what to download and where to put it.
    """
    source = DATASETS.load(name)
    if split not in SPLITS:
        raise UserError(f"unknown split {split!r} of {name}: choose {', '.join(SPLITS)}")
    dataset = source.open(root, split, (height, width), tasks, count, seed)
    if isinstance(dataset, RenderedScenes):
        return dataset
    return Fitted(dataset, height, width, description) if fitted else dataset


def class_names(name: str) -> Mapping[str, tuple[str, ...]]:
    """The class names of each task that has classes, as far as they are known without the data set's files.

    UserError for an unknown data set.
    """
    return DATASETS.load(name).class_names


def augmentation_of(
    name: str, height: int, width: int, description: InputDescription = MINUS_ONE_TO_ONE
) -> Augmentation:
    """The augmentation for training a network with this input on the data set called `name`, to height x width pixels."""
    return DATASETS.load(name).augmentation(height, width, description)
