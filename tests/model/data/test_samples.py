"""What a data set gives: shapes and types that are checked, batches, and opening by name."""

import numpy as np
import pytest

from moesaic.errors import InternalError, UserError
from moesaic.model.data.registry import DATASETS, class_names, open_dataset
from moesaic.model.data.rendered import RenderedScenes
from moesaic.model.data.samples import Batch, Sample, require_tasks
from moesaic.model.data.scenes import PART_CLASSES, render
from moesaic.model.recipes.recipe import load_recipe, recipe_names
from moesaic.model.tasks.targets import CHANNELS

IMAGE = np.zeros((4, 6, 3), np.uint8)


@pytest.mark.parametrize(
    ("task", "target"),
    [
        ("segmentation", np.zeros((4, 6), np.int64)),
        ("parts", np.zeros((4, 6, 1), np.uint8)),
        ("saliency", np.zeros((4, 6), np.float32)),
        ("edges", np.zeros((6, 4), np.uint8)),
        ("depth", np.zeros((4, 6), np.float64)),
        ("normals", np.zeros((3, 4, 6), np.float32)),
    ],
)
def test_targets_of_a_wrong_shape_or_type_are_refused(task, target):
    with pytest.raises(InternalError, match=task):
        Sample(IMAGE, {task: target})


def test_images_are_bytes():
    with pytest.raises(InternalError, match="float32"):
        Sample(IMAGE.astype(np.float32), {})


def test_batches_stack_samples_of_one_size_and_the_same_tasks():
    samples = [RenderedScenes(render(3, 8, 12, seed=1))[index] for index in range(3)]
    batch = Batch.of(samples)
    assert len(batch) == 3 and batch.targets["normals"].shape == (3, 8, 12, 3)
    assert np.array_equal(batch[1:].images[0], samples[1].image) and len(batch[1:].targets["edges"]) == 2
    with pytest.raises(InternalError, match=r"\(4, 6, 3\)"):
        Batch.of([samples[0], Sample(IMAGE, {})])


def test_scenes_open_by_name_and_splits_share_no_scene():
    train, val = (open_dataset("scenes", None, split, 8, 12, count=20, seed=3) for split in ("train", "val"))
    assert np.array_equal(train.scenes.images, render(20, 8, 12, seed=6).images)
    assert np.array_equal(val.scenes.images, render(20, 8, 12, seed=7).images)
    advanced = []
    RenderedScenes.of_split("val", 20, 8, 12, 3, first=5, advance=advanced.append)
    assert sum(advanced) == 20 and len(advanced) > 1
    assert train.tasks == {"segmentation": 6, "parts": 9, "saliency": 1, "normals": 3, "edges": 1, "depth": 1}
    assert len(train.class_names["parts"]) == len(PART_CLASSES) == 9


def test_what_cannot_be_opened_is_named(tmp_path):
    with pytest.raises(UserError, match="'kitti': choose scenes, nyud, pascal-context, cityscapes"):
        open_dataset("kitti", tmp_path, "train", 8, 8)
    with pytest.raises(UserError, match="split 'test' of nyud: choose train, val"):
        open_dataset("nyud", tmp_path, "test", 8, 8)
    with pytest.raises(UserError, match="scenes have no end"):
        open_dataset("scenes", None, "train", 8, 8)
    for name, file in (
        ("cityscapes", "leftImg8bit_trainvaltest.zip"),
        ("cityscapes-mtan", "cityscapes2.zip"),
        ("nyud", "NYUD_MT.tgz"),
        ("pascal-context", "PASCAL_MT.tgz"),
    ):
        with pytest.raises(
            UserError, match=f"{name} lies in files: .* --data-root, or download {file}.* the directory holds"
        ):
            open_dataset(name, None, "train", 8, 8)


def test_wanted_tasks_must_be_there_with_as_many_channels():
    dataset = RenderedScenes(render(1, 8, 12, seed=1))
    require_tasks(dataset, {"depth": 1, "parts": 9})
    with pytest.raises(UserError, match=r"no truth for task 'boxes': choose from segmentation, parts"):
        require_tasks(dataset, {"boxes": 1})
    with pytest.raises(UserError, match=r"segmentation has 40 channels in the recipe, scenes needs 6"):
        require_tasks(dataset, {"segmentation": 40})


def test_the_recipes_tasks_have_the_channels_of_their_data_sets():
    seen = set()
    for name in recipe_names():
        recipe = load_recipe(name)
        seen.add(recipe.data.name)
        channels = {task: len(names) for task, names in class_names(recipe.data.name).items()} | CHANNELS
        assert all(task.channels == channels[task.name] for task in recipe.model.tasks), name
    assert seen == set(DATASETS)


def test_recipes_with_edges_validate_on_few_images():
    """The metric of edges takes seconds an image."""
    counts = {}
    for name in recipe_names():
        recipe = load_recipe(name)
        if "edges" in recipe.model.task_names and recipe.training.validate_every:
            counts[name] = recipe.data.validation
    assert {"nyud/mtl-small-four-tasks", "pascal-context/m3vit-base", "pascal-context/stl-small-edges"} <= counts.keys()
    assert all(1 <= count <= 128 for count in counts.values()), counts
