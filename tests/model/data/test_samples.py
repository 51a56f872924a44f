"""What a data set gives: shapes and types that are checked, and batches."""

import numpy as np
import pytest

from moesaic.errors import InternalError, UserError
from moesaic.model.data.rendered import RenderedScenes
from moesaic.model.data.samples import Batch, Sample, require_tasks
from moesaic.model.data.scenes import render

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


def test_wanted_tasks_must_be_there_with_as_many_channels():
    dataset = RenderedScenes(render(1, 8, 12, seed=1))
    require_tasks(dataset, {"depth": 1, "parts": 9})
    with pytest.raises(UserError, match=r"no truth for task 'boxes': choose from segmentation, depth, normals, parts"):
        require_tasks(dataset, {"boxes": 1})
    with pytest.raises(UserError, match=r"segmentation has 40 channels in the recipe, scenes needs 6"):
        require_tasks(dataset, {"segmentation": 40})
