"""What every data set provides: samples (an image with the ground truth of one or more tasks) and batches of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from moesaic.errors import InternalError, UserError
from moesaic.model.tasks.registry import truth_of
from moesaic.spec.heads import CLASSIFICATION


@dataclass(frozen=True)
class Sample:
    """One image, uint8 [H, W, 3] in RGB order, and its targets by task: [H, W], [H, W, 3] (normals) or [] (classification).

    `moesaic.model.tasks.targets` defines the targets' dtypes and units. name: the data set's name for the image, for messages.
    InternalError for any other shape or dtype.
    """

    image: np.ndarray
    targets: dict[str, np.ndarray]
    name: str = ""

    def __post_init__(self) -> None:
        _check(self.image, self.targets, self.image.shape[:2], self.name)


@dataclass
class Batch:
    """B images of one size, uint8 [B, H, W, 3] in RGB order, and their targets by task, each with a leading dimension B.

    `moesaic.model.tasks.targets` defines the targets' dtypes and units. InternalError for any other shape or dtype.
    """

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
        """The batch of one or more samples; InternalError unless all have the same size and the same tasks."""
        first = samples[0]
        for sample in samples:
            if sample.image.shape != first.image.shape or sample.targets.keys() != first.targets.keys():
                raise InternalError(
                    f"{sample.name!r} does not fit in a batch with {first.name!r}: {_describe(samples)}"
                )
        targets = {task: np.stack([sample.targets[task] for sample in samples]) for task in first.targets}
        return cls(np.stack([sample.image for sample in samples]), targets)


class Dataset(Protocol):
    """A sequence of samples; an index always gives the same sample.

    tasks: number of output channels of each task that has ground truth. class_names: for each task with classes (segmentation,
    parts, classification), their names, one per channel.
    """

    @property
    def name(self) -> str: ...

    @property
    def tasks(self) -> Mapping[str, int]: ...

    @property
    def class_names(self) -> Mapping[str, tuple[str, ...]]: ...

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Sample: ...


def require_tasks(dataset: Dataset, wanted: Mapping[str, int]) -> None:
    """Raise UserError unless the data set has ground truth for every task in `wanted`, with that number of channels."""
    for task, channels in wanted.items():
        if task not in dataset.tasks:
            raise UserError(f"{dataset.name} has no truth for task {task!r}: choose from {', '.join(dataset.tasks)}")
        if dataset.tasks[task] != channels:
            have = dataset.tasks[task]
            if task == CLASSIFICATION:
                raise UserError(
                    f"the network has {channels} classes, {dataset.name} {have}: give a directory with a folder for each class, or leave"
                    " it out and state --pictures FOLDER, to quantise without labels"
                )
            raise UserError(
                f"task {task} has {channels} channels in the recipe, {dataset.name} needs {have}: correct it"
            )


def _check(images: np.ndarray, targets: dict[str, np.ndarray], size: tuple[int, ...], name: str) -> None:
    if images.dtype != np.uint8 or images.shape != (*size, 3):
        raise InternalError(f"{name}: image is {images.dtype} {images.shape}, not uint8 {(*size, 3)}")
    for task, target in targets.items():
        truth = truth_of(task)
        shape, dtype = (size[:-2] if truth.whole_image else (*size, *truth.values)), truth.dtype
        if target.dtype != dtype or target.shape != shape:
            raise InternalError(f"{name}: {task} is {target.dtype} {target.shape}, not {np.dtype(dtype)} {shape}")


def _describe(samples: Sequence[Sample]) -> str:
    return ", ".join(sorted({f"{sample.image.shape} {sorted(sample.targets)}" for sample in samples}))
