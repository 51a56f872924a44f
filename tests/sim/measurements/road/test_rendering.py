"""Pictures and legends of every task, from the truth of a rendered scene and from a prediction."""

import dataclasses

import numpy as np
import pytest

from moesaic.host.prediction_pictures import picture
from moesaic.model.data.rendered import RenderedScenes
from moesaic.model.tasks.registry import task_kind
from moesaic.sim.measurements.road.inputs import rendered_scenes
from moesaic.sim.measurements.road.rendering import legend, render_row
from moesaic.spec.build import TaskProgram
from moesaic.spec.executor import Program
from moesaic.spec.heads import DENSE_KINDS
from moesaic.spec.predictions import decode


def task_of(kind: str) -> TaskProgram:
    names = RenderedScenes.class_names.get(kind, ())
    channels = task_kind(kind).channels or len(names)
    return TaskProgram(Program(0, 64), 0, (24, 32, channels), channels, kind, 1e-3, 1, class_names=names)


@pytest.mark.parametrize("kind", DENSE_KINDS)
def test_truth_and_prediction_of_a_task_are_drawn_alike(kind: str) -> None:
    (shown,) = rendered_scenes(1, 24, 32)
    truth, task = shown.truth[kind], task_of(kind)
    raw = np.random.default_rng(0).integers(-3000, 3000, task.output_shape).astype(np.int16)
    pictures = render_row(task, [truth, decode(kind, raw, task.output_scale), truth])
    assert all(picture.shape == (24, 32, 3) and picture.dtype == np.uint8 for picture in pictures)
    assert np.array_equal(pictures[0], pictures[2]) and not np.array_equal(pictures[0], pictures[1])
    assert len(np.unique(pictures[0].reshape(-1, 3), axis=0)) > 1


@pytest.mark.parametrize("kind", DENSE_KINDS)
def test_every_kind_has_a_legend(kind: str) -> None:
    text = str(legend("this one", task_of(kind)))
    assert "this one" in text and len(text) > 40
    assert all(name in text for name in RenderedScenes.class_names.get(kind, ()))


def test_classifications_and_features_are_drawn_and_explained() -> None:
    classes = dataclasses.replace(task_of("depth"), kind="classification", pooling="class")
    features = dataclasses.replace(task_of("depth"), kind="features", grid=(2, 3))
    probabilities = np.array([0.25, 0.75], np.float32)
    tokens = np.random.default_rng(0).normal(size=(7, 5)).astype(np.float32)
    (bars,), (components,) = render_row(classes, [probabilities]), render_row(features, [tokens])
    assert np.array_equal(bars, picture("classification", probabilities))
    assert np.array_equal(components, picture("features", tokens, (2, 3)))
    assert "five most probable" in str(legend("it", classes)) and "principal components" in str(legend("it", features))
