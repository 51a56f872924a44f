"""The images on which a recipe's network is evaluated, and those on which its quantisation is calibrated."""

from pathlib import Path

import numpy as np

from moesaic.model.data.registry import open_dataset
from moesaic.model.data.rendered import RenderedScenes
from moesaic.model.data.samples import Dataset, require_tasks
from moesaic.model.data.scenes import Scenes
from moesaic.model.input_pipeline.pictures import Unlabelled, read_pictures
from moesaic.model.recipes.recipe import ModelConfiguration, Recipe


def training_scenes(recipe: Recipe, first: int, count: int) -> Scenes:
    """Scenes `first` to `first + count - 1` of the recipe's training split, at the model's size."""
    return _scenes(recipe, "train", first, count)


def validation_scenes(recipe: Recipe, count: int) -> Scenes:
    """The first `count` scenes of the recipe's held-out split, at the model's size."""
    return _scenes(recipe, "val", 0, count)


def _scenes(recipe: Recipe, split: str, first: int, count: int) -> Scenes:
    size = recipe.model.image_height, recipe.model.image_width
    return RenderedScenes.of_split(split, count, *size, recipe.training.seed, first).scenes


def wanted_truth(model: ModelConfiguration) -> dict[str, int]:
    """The channels of every kind of task for which a model needs ground truth."""
    return {task.kind: task.channels for task in model.tasks_with_truth}


def open_validation(recipe: Recipe, root: Path | None, pictures: Path | None = None) -> Dataset:
    """The held-out samples selected by the recipe's `validation`, at the model's size; files are read when a sample is accessed.

    root: the directory that holds the data set's files, None for scenes. pictures: a folder to take them from instead if there is no
    root for a data set in files, see `read_pictures`; they have no ground truth. UserError if the data set cannot be read or lacks a task.
    """
    model, data = recipe.model, recipe.data
    if pictures is not None and _lacks_files(recipe, root):
        return Unlabelled(read_pictures(pictures, model, data.validation or None))
    if data.name == RenderedScenes.name:
        return RenderedScenes(validation_scenes(recipe, data.validation))
    wanted, size = wanted_truth(model), (model.image_height, model.image_width)
    count = data.validation or None
    dataset = open_dataset(data.name, root, "val", *size, tasks=wanted, count=count, description=model.input)
    require_tasks(dataset, wanted)
    return dataset


def validation_title(recipe: Recipe, root: Path | None, pictures: Path | None) -> str:
    """What figures on the data of `open_validation` are called."""
    calibrating = pictures is not None and _lacks_files(recipe, root)
    return f"accuracy on {'the calibration pictures' if calibrating else 'held-out images'}"


def _lacks_files(recipe: Recipe, root: Path | None) -> bool:
    return recipe.data.name != RenderedScenes.name and root is None


def first_images(dataset: Dataset, count: int) -> np.ndarray:
    """The first `count` images of a data set whose samples have one size, uint8 [N, h, w, 3]; fewer if it has fewer."""
    return np.stack([dataset[index].image for index in range(min(count, len(dataset)))])


def calibration_images(recipe: Recipe, root: Path | None, count: int, pictures: Path | None = None) -> np.ndarray:
    """The first `count` images of the training set at the model's size, uint8 [N, h, w, 3]; fewer if it has fewer.

    root: the directory that holds the data set's files, None for scenes. pictures: a folder to take them from instead, see
    `read_pictures`. UserError if they cannot be read.
    """
    model, data = recipe.model, recipe.data
    if pictures is not None:
        return read_pictures(pictures, model, count)
    if data.name == RenderedScenes.name:
        return training_scenes(recipe, 0, count).images
    size = model.image_height, model.image_width
    dataset = open_dataset(data.name, root, "train", *size, tasks={}, count=count, description=model.input)
    return first_images(dataset, count)
