"""What a recipe trains on and is measured on: rendered scenes, or a data set on disk."""

import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

import numpy as np
import torch

from moesaic.errors import UserError
from moesaic.model.data.augmentation import standard_augmentation
from moesaic.model.data.dataset import Batch, Dataset, open_dataset, require_tasks
from moesaic.model.data.loader import BatchSource
from moesaic.model.data.rendered import RenderedScenes
from moesaic.model.data.scenes import Scenes
from moesaic.model.recipes.recipe import Recipe, TrainingConfiguration
from moesaic.model.training.distributed import Ranks

_READ_AHEAD = 4  # threads that decode images


class Images(Protocol):
    """Images uint8 [B, h, w, 3] and their ground truth: a `Batch` of a data set, or `Scenes`."""

    images: np.ndarray

    @property
    def targets(self) -> dict[str, np.ndarray]: ...

    def __getitem__(self, index: slice) -> "Images": ...

    def __len__(self) -> int: ...


HeldOut = Images | Dataset
"""What a network is measured on: images and targets in memory, or a data set whose samples have the model's size."""


def training_scenes(recipe: Recipe, first: int, count: int) -> Scenes:
    """Scenes `first` to `first + count - 1` of the recipe's training pool."""
    return _scenes(recipe, "train", first, count)


def validation_scenes(recipe: Recipe, count: int) -> Scenes:
    """The first `count` held-out scenes."""
    return _scenes(recipe, "val", 0, count)


def _scenes(recipe: Recipe, split: str, first: int, count: int) -> Scenes:
    size = recipe.model.image_height, recipe.model.image_width
    return RenderedScenes.of_split(split, count, *size, recipe.training.seed, first).scenes


def normalise(images: np.ndarray) -> torch.Tensor:
    """uint8 [B, h, w, 3] to what the model takes, float32 [B, 3, h, w] in -1..1."""
    return torch.from_numpy(np.ascontiguousarray(images)).permute(0, 3, 1, 2).float() / 127.5 - 1


def draw_batch(pool: Scenes, training: TrainingConfiguration, step: int) -> Scenes:
    """The batch of a step: scenes drawn without replacement, mirrored or not, their colours exchanged at random."""
    rng = np.random.default_rng([training.seed, step])
    batch = pool[rng.choice(len(pool), training.batch, replace=False)]
    batch = batch.flipped() if rng.integers(2) else batch
    return dataclasses.replace(batch, images=batch.images[..., rng.permutation(3)])


class Source(Protocol):
    """Batches by step: the same step always gives the same batch, so that a run can stop and go on anywhere."""

    def batches(self, first: int, last: int) -> Iterator[Images]:
        """This rank's part of the batches of steps `first` to `last - 1`."""
        ...


class _ScenePool:
    """Batches from a pool of rendered scenes."""

    def __init__(self, pool: Scenes, training: TrainingConfiguration, ranks: Ranks) -> None:
        self._pool, self._training = pool, training
        share = training.batch // ranks.size
        self._places = slice(ranks.rank * share, (ranks.rank + 1) * share)

    def batches(self, first: int, last: int) -> Iterator[Scenes]:
        for step in range(first, last):
            yield draw_batch(self._pool, self._training, step)[self._places]


class _DatasetBatches:
    """Batches of a data set, decoded ahead of their use."""

    def __init__(self, source: BatchSource) -> None:
        self._source = source

    def batches(self, first: int, last: int) -> Iterator[Batch]:
        return self._source.batches(first, last, workers=_READ_AHEAD)


def open_training(recipe: Recipe, root: Path | None, ranks: Ranks, advance: Callable[[int], None]) -> Source:
    """The batches that the recipe asks for.

    root: where the data set's files are, None for scenes. advance: told the number of scenes rendered since the last time.
    UserError if the data set cannot be read or lacks a task.
    """
    model, training, data = recipe.model, recipe.training, recipe.data
    wanted, size = {task.name: task.channels for task in model.tasks}, (model.image_height, model.image_width)
    if data.name == "scenes":
        scenes = RenderedScenes.of_split("train", training.pool, *size, training.seed, advance=advance)
        require_tasks(scenes, wanted)
        return _ScenePool(scenes.scenes, training, ranks)
    dataset = open_dataset(data.name, root, "train", *size, tasks=wanted, fitted=not data.augment)
    require_tasks(dataset, wanted)
    augmentation = standard_augmentation(data.name, *size) if data.augment else None
    return _DatasetBatches(BatchSource(dataset, training.batch, training.seed, augmentation, ranks.rank, ranks.size))


def open_validation(recipe: Recipe, root: Path | None) -> HeldOut:
    """The held-out samples that the recipe's `validation` asks for, at the model's size; a data set is read when it is used."""
    model, data = recipe.model, recipe.data
    if data.name == "scenes":
        return validation_scenes(recipe, data.validation)
    wanted, size = {task.name: task.channels for task in model.tasks}, (model.image_height, model.image_width)
    dataset = open_dataset(data.name, root, "val", *size, tasks=wanted, count=data.validation or None)
    require_tasks(dataset, wanted)
    return dataset


def first_images(data: HeldOut, count: int) -> np.ndarray:
    """The first `count` images (fewer if there are fewer), uint8 [N, h, w, 3]."""
    if hasattr(data, "images"):
        return data.images[:count]
    return np.stack([data[index].image for index in range(min(count, len(data)))])


def calibration_images(recipe: Recipe, root: Path | None, count: int) -> np.ndarray:
    """The first `count` images of the training set (fewer if it has fewer), uint8 [N, h, w, 3], at the model's size."""
    model, data = recipe.model, recipe.data
    if data.name == "scenes":
        return training_scenes(recipe, 0, count).images
    dataset = open_dataset(data.name, root, "train", model.image_height, model.image_width, tasks=(), count=count)
    return first_images(dataset, count)


def require_divisible(recipe: Recipe, ranks: Ranks) -> None:
    """UserError unless the batch can be drawn, and divided among the ranks and their accumulated parts."""
    training = recipe.training
    if recipe.data.name == "scenes" and training.batch > training.pool:
        sizes = f"batch ({training.batch}) is larger than the pool of scenes ({training.pool})"
        raise UserError(f"{sizes}: enlarge the pool")
    parts = ranks.size * training.accumulate
    if training.batch % parts:
        sizes = f"batch ({training.batch}) is not a multiple of {ranks.size} ranks x {training.accumulate} accumulated"
        raise UserError(f"{sizes} parts: choose another batch or number of processes")
