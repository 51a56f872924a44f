"""The batches that a recipe trains on, from rendered scenes or from a data set in files."""

import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

import numpy as np

from moesaic.errors import UserError
from moesaic.model.data.m3vit_augmentation import as_in_m3vit
from moesaic.model.data.registry import augmentation_of, open_dataset
from moesaic.model.data.rendered import RenderedScenes
from moesaic.model.data.samples import Batch, require_tasks
from moesaic.model.data.scenes import Scenes
from moesaic.model.input_pipeline.held_out import wanted_truth
from moesaic.model.input_pipeline.loader import Loader
from moesaic.model.recipes.recipe import Recipe, TrainingConfiguration


class TrainingBatches(Protocol):
    """Batches by step: a step always gets the same batch, so that a run can stop and resume anywhere."""

    def batches(self, first: int, last: int) -> Iterator[Batch]:
        """This rank's part of the batches of steps `first` to `last - 1`."""
        ...


def draw_batch(pool: Scenes, training: TrainingConfiguration, step: int) -> Scenes:
    """The batch of a step: scenes drawn without replacement, mirrored all or none, with one random order of colour channels."""
    rng = np.random.default_rng([training.seed, step])
    batch = pool[rng.choice(len(pool), training.batch, replace=False)]
    batch = batch.flipped() if rng.integers(2) else batch
    return dataclasses.replace(batch, images=batch.images[..., rng.permutation(3)])


class _ScenePool:
    """Batches from a pool of rendered scenes."""

    def __init__(self, pool: Scenes, training: TrainingConfiguration, rank: int, ranks: int) -> None:
        self._pool, self._training = pool, training
        share = training.batch // ranks
        self._places = slice(rank * share, (rank + 1) * share)

    def batches(self, first: int, last: int) -> Iterator[Batch]:
        for step in range(first, last):
            drawn = draw_batch(self._pool, self._training, step)[self._places]
            yield Batch(drawn.images, drawn.targets)


class _ReadAhead:
    """A loader's batches, decoded before they are needed."""

    def __init__(self, loader: Loader, workers: int) -> None:
        self._loader, self._workers = loader, workers

    def batches(self, first: int, last: int) -> Iterator[Batch]:
        return self._loader.batches(first, last, self._workers)


def open_training(
    recipe: Recipe,
    root: Path | None,
    *,
    rank: int = 0,
    ranks: int = 1,
    workers: int = 0,
    advance: Callable[[int], None] = lambda count: None,
) -> TrainingBatches:
    """The recipe's training batches.

    root: the directory that holds the data set's files, None for scenes. rank: which of the `ranks` equal parts of every batch to
    give, from 0. workers: processes that read files ahead, none if 0; the batches do not depend on it. advance: called with the number
    of scenes rendered since the last call.
    UserError if the data set cannot be read or lacks a task, or if files hold fewer samples than one batch.
    """
    model, training = recipe.model, recipe.training
    if recipe.data.name == RenderedScenes.name:
        size = (model.image_height, model.image_width)
        scenes = RenderedScenes.of_split("train", training.pool, *size, training.seed, advance=advance)
        require_tasks(scenes, wanted_truth(model))
        return _ScenePool(scenes.scenes, training, rank, ranks)
    return _ReadAhead(open_loader(recipe, root, rank, ranks), workers)


def open_loader(recipe: Recipe, root: Path | None, rank: int = 0, ranks: int = 1) -> Loader:
    """The loader of the recipe's data set in files, augmented as the recipe says; arguments and errors as of `open_training`."""
    model, training, data = recipe.model, recipe.training, recipe.data
    wanted, size = wanted_truth(model), (model.image_height, model.image_width)
    dataset = open_dataset(
        data.name, root, "train", *size, tasks=wanted, fitted=not data.augment, description=model.input
    )
    require_tasks(dataset, wanted)
    augmentation = augmentation_of(data.name, *size, model.input) if data.augment else None
    if augmentation is not None and data.augmentation == "m3vit":
        augmentation = as_in_m3vit(augmentation, data.name)
    if augmentation is not None and data.largest_class_share < 1:
        augmentation = dataclasses.replace(augmentation, largest_class_share=data.largest_class_share)
    return Loader(dataset, training.batch, training.seed, augmentation, rank, ranks)


def require_divisible(recipe: Recipe, ranks: int) -> None:
    """Raise UserError unless the batch can be drawn and divided equally among `ranks` ranks and their accumulation steps."""
    training = recipe.training
    if recipe.data.name == RenderedScenes.name and training.batch > training.pool:
        sizes = f"batch ({training.batch}) is larger than the pool of scenes ({training.pool})"
        raise UserError(f"{sizes}: enlarge the pool")
    parts = ranks * training.accumulate
    if training.batch % parts:
        sizes = f"batch ({training.batch}) is not a multiple of {ranks} ranks x {training.accumulate} accumulated"
        raise UserError(f"{sizes} parts: choose another batch or number of processes")
