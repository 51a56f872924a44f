"""What every data set gives: images with the ground truth of one or more tasks, and how an invalid pixel is marked.

Targets, all at the image's size:

    segmentation  uint8    class, 255 invalid
    parts         uint8    class, 0 background, 255 invalid
    saliency      uint8    0 or 1, 255 invalid
    edges         uint8    0 or 1, 255 invalid
    depth         float32  metres along the optical axis, 0 invalid (cityscapes-mtan: a relative inverse depth)
    normals       float32  [.., 3], unit vectors towards the viewer in camera coordinates (x right, y down, z into the
                           picture), the zero vector invalid
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np

from moesaic.errors import InternalError, UserError

INVALID_LABEL = 255
"""Marks a pixel without truth in segmentation, parts, saliency and edges."""
INVALID = {"segmentation": INVALID_LABEL, "parts": INVALID_LABEL, "saliency": INVALID_LABEL, "edges": INVALID_LABEL}
INVALID |= {"depth": 0.0, "normals": 0.0}
"""Every task and what an invalid pixel of its target holds."""
CHANNELS = {"saliency": 1, "edges": 1, "depth": 1, "normals": 3}
"""Output channels of the tasks whose number does not depend on the data set's classes."""

DATASETS = ("scenes", "nyud", "pascal-context", "cityscapes", "cityscapes-mtan")
SPLITS = ("train", "val")


@dataclass(frozen=True)
class Sample:
    """One image, uint8 [H, W, 3] in RGB order, and its targets, [H, W] or [H, W, 3] (normals), by task.

    name: what the data set calls the image, for messages.
    """

    image: np.ndarray
    targets: dict[str, np.ndarray]
    name: str = ""

    def __post_init__(self) -> None:
        _check(self.image, self.targets, self.image.shape[:2], self.name)


@dataclass
class Batch:
    """B images of one size, uint8 [B, H, W, 3], and their targets, [B, H, W] or [B, H, W, 3] (normals), by task."""

    images: np.ndarray
    targets: dict[str, np.ndarray] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _check(self.images, self.targets, self.images.shape[:3], "batch")

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: np.ndarray | slice) -> "Batch":
        return Batch(self.images[index], {task: target[index] for task, target in self.targets.items()})

    @classmethod
    def of(cls, samples: Sequence[Sample]) -> "Batch":
        """The batch of one or more samples, all of one size and with the same tasks."""
        first = samples[0]
        for sample in samples:
            if sample.image.shape != first.image.shape or sample.targets.keys() != first.targets.keys():
                raise InternalError(
                    f"{sample.name!r} does not fit in a batch with {first.name!r}: {_describe(samples)}"
                )
        targets = {task: np.stack([sample.targets[task] for sample in samples]) for task in first.targets}
        return cls(np.stack([sample.image for sample in samples]), targets)


class Dataset(Protocol):
    """A sequence of samples, always the same one at the same index.

    tasks: output channels of every task that it has truth for. class_names: names of the classes of the tasks that have
    classes (segmentation, parts), as many as channels.
    """

    name: str
    tasks: Mapping[str, int]
    class_names: Mapping[str, tuple[str, ...]]

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Sample: ...


def require_tasks(dataset: Dataset, wanted: Mapping[str, int]) -> None:
    """UserError unless the data set has truth for all the wanted tasks, with as many channels."""
    for task, channels in wanted.items():
        if task not in dataset.tasks:
            raise UserError(f"{dataset.name} has no truth for task {task!r}: choose from {', '.join(dataset.tasks)}")
        if dataset.tasks[task] != channels:
            have = dataset.tasks[task]
            raise UserError(
                f"task {task} has {channels} channels in the recipe, {dataset.name} needs {have}: correct it"
            )


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
) -> Dataset:
    """The data set called `name`, one of DATASETS.

    root: where its files are; None for "scenes", which are rendered. split: "train" or "val". tasks: those whose truth
    is to be read from files, all by default. count: the first so many samples only; scenes, which have no end, need it.
    seed: of the scenes. fitted: every sample has height x width pixels (see `geometry.fit`); otherwise it has its own
    size, as an augmentation that scales and crops wants it.
    UserError says what is wrong, what to download and where to put it.
    """
    reader = _reader(name)
    if split not in SPLITS:
        raise UserError(f"unknown split {split!r} of {name}: choose {', '.join(SPLITS)}")
    if name == "scenes":
        if count is None:
            raise UserError("scenes have no end: give the number to render")
        return reader.of_split(split, count, height, width, seed)
    if root is None:
        remedy = reader.download.format(root="the directory")
        raise UserError(f"{name} lies in files: give the directory that holds them as --data-root, or {remedy}")
    from moesaic.model.data.geometry import Fitted

    dataset = reader(root, split, tasks, count)
    return Fitted(dataset, height, width) if fitted else dataset


def class_names(name: str) -> Mapping[str, tuple[str, ...]]:
    """The names of the classes of a data set's tasks that have classes, without its files. UserError for an unknown one."""
    return _reader(name).class_names


def _reader(name: str) -> type:
    if name not in DATASETS:
        raise UserError(f"unknown data set {name!r}: choose {', '.join(DATASETS)}")
    from moesaic.model.data.cityscapes import Cityscapes
    from moesaic.model.data.cityscapes_mtan import CityscapesMtan
    from moesaic.model.data.nyud import Nyud
    from moesaic.model.data.pascal_context import PascalContext
    from moesaic.model.data.rendered import RenderedScenes

    readers = (RenderedScenes, Nyud, PascalContext, Cityscapes, CityscapesMtan)
    return {reader.name: reader for reader in readers}[name]


def _check(images: np.ndarray, targets: dict[str, np.ndarray], size: tuple[int, ...], name: str) -> None:
    if images.dtype != np.uint8 or images.shape != (*size, 3):
        raise InternalError(f"{name}: image is {images.dtype} {images.shape}, not uint8 {(*size, 3)}")
    for task, target in targets.items():
        shape = (*size, 3) if task == "normals" else size
        dtype = np.float32 if isinstance(INVALID[task], float) else np.uint8
        if target.dtype != dtype or target.shape != shape:
            raise InternalError(f"{name}: {task} is {target.dtype} {target.shape}, not {np.dtype(dtype)} {shape}")


def _describe(samples: Sequence[Sample]) -> str:
    return ", ".join(sorted({f"{sample.image.shape} {sorted(sample.targets)}" for sample in samples}))
