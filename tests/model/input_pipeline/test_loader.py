"""Batches are a function of the seed and the step, whatever the number of processes and workers."""

import multiprocessing
import os
import signal

import numpy as np
import pytest

from moesaic.errors import UserError
from moesaic.model.data.registry import augmentation_of
from moesaic.model.data.rendered import RenderedScenes
from moesaic.model.data.samples import Batch
from moesaic.model.data.scenes import render
from moesaic.model.input_pipeline.loader import Loader


@pytest.fixture(scope="module")
def dataset():
    return RenderedScenes(render(10, 16, 24, seed=8))


def source(dataset, batch=4, seed=0, **options):
    return Loader(dataset, batch, seed, augmentation_of("scenes", 16, 24), **options)


def same(one, other):
    return np.array_equal(one.images, other.images) and all(
        np.array_equal(target, other.targets[task]) for task, target in one.targets.items()
    )


def test_batches_depend_on_seed_and_step_alone(dataset):
    forwards = [source(dataset).batch(step) for step in range(12)]
    late = source(dataset)
    for step in reversed(range(12)):
        assert same(late.batch(step), forwards[step])
    assert len({batch.images.tobytes() for batch in forwards}) == 12
    assert not any(same(source(dataset, seed=1).batch(step), forwards[step]) for step in range(12))


@pytest.mark.parametrize("batch", [1, 3, 4, 10])
def test_every_epoch_has_each_sample_once(dataset, batch):
    drawn = np.concatenate([source(dataset, batch).indices(step) for step in range(60 // batch)])
    epochs = drawn.reshape(-1, 10)
    assert len(epochs) >= 6 and (np.sort(epochs, 1) == np.arange(10)).all()
    assert len({tuple(epoch) for epoch in epochs}) == len(epochs)


@pytest.mark.parametrize("ranks", [2, 4])
def test_ranks_have_the_parts_of_one_batch(dataset, ranks):
    for step in range(5):
        parts = [source(dataset, rank=rank, ranks=ranks).batch(step) for rank in range(ranks)]
        whole = source(dataset).batch(step)
        images = np.concatenate([part.images for part in parts])
        targets = {task: np.concatenate([part.targets[task] for part in parts]) for task in whole.targets}
        assert same(Batch(images, targets), whole)


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_workers_change_nothing(dataset, workers):
    for first, last in ((5, 12), (3, 3)):
        batches = list(source(dataset).batches(first, last, workers))
        assert len(batches) == last - first
        assert all(same(batch, source(dataset).batch(first + i)) for i, batch in enumerate(batches))


def test_batches_of_workers_are_ordinary_arrays_in_shared_memory(dataset):
    (batch,) = source(dataset).batches(0, 1, workers=1)
    batch.images[:] = 0
    assert batch.images.flags.writeable and not batch.images.flags.owndata
    assert {task: target.dtype for task, target in batch.targets.items()} == {
        task: target.dtype for task, target in source(dataset).batch(0).targets.items()
    }


def fail(sample, rng):
    raise UserError("broken file")


def die(sample, rng):
    os.kill(os.getpid(), signal.SIGKILL)


def test_leaving_early_and_failing_samples_end_the_workers(dataset):
    batches = source(dataset).batches(0, 100, workers=2)
    next(batches)
    batches.close()
    assert not [process for process in multiprocessing.active_children() if process.is_alive()]
    with pytest.raises(UserError, match=r"^broken file$"):
        next(Loader(dataset, 2, 0, fail).batches(0, 3, workers=2))


def test_workers_that_die_or_cannot_start_are_told_of(dataset):
    with pytest.raises(UserError, match=r"one of 1 worker processes died .*: take fewer"):
        next(Loader(dataset, 2, 0, die).batches(0, 3, workers=1))
    with pytest.raises(UserError, match=r"cannot be handed to other processes .*: take --workers 0"):
        next(Loader(dataset, 2, 0, lambda sample, rng: sample).batches(0, 3, workers=1))


def test_without_augmentation_the_samples_are_the_data_sets(dataset):
    plain = Loader(dataset, 4, 0)
    indices = plain.indices(3)
    assert np.array_equal(plain.batch(3).images, dataset.scenes.images[indices])
    assert np.array_equal(plain.batch(3).targets["depth"], dataset.scenes.depth[indices])


def test_batches_that_cannot_be_drawn_are_refused(dataset):
    with pytest.raises(UserError, match=r"batch \(11\) is larger than scenes \(10 samples\)"):
        source(dataset, 11)
    with pytest.raises(UserError, match=r"batch \(4\) is not a multiple .* \(3\)"):
        source(dataset, rank=0, ranks=3)
