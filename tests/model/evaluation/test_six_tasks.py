"""A network with all six tasks: measured on a data set, exported, read back, lowered and run."""

import dataclasses
import io

import numpy as np
import onnxruntime
import pytest
import torch
from rich.console import Console

import moesaic
from moesaic.errors import UserError
from moesaic.hls.compiler.generate import generate
from moesaic.model.data.registry import open_dataset
from moesaic.model.data.scenes import PART_CLASSES, SEGMENTATION_CLASSES
from moesaic.model.evaluation.evaluate import (
    compare,
    evaluate,
    float_predictor,
    measure_float,
    measure_integer,
    predict,
)
from moesaic.model.export.bundle_export import build_bundle
from moesaic.model.export.onnx_export import export_onnx
from moesaic.model.network.vit import M3ViT, normalise
from moesaic.model.quantisation.integer import IntegerNetwork
from moesaic.model.quantisation.post_training import integer_network
from moesaic.model.recipes.recipe import ModelConfiguration, Recipe, TaskConfiguration, TrainingConfiguration
from moesaic.model.tasks.registry import find_task
from moesaic.spec.bundle import load_bundle
from moesaic.spec.configuration import load_configuration
from moesaic.spec.predictions import decode

CHANNELS = {"segmentation": 6, "parts": 9, "saliency": 1, "normals": 3, "edges": 1, "depth": 1}
SIZE = (24, 32)
CONFIGURATION = ModelConfiguration(
    image_height=SIZE[0],
    image_width=SIZE[1],
    patch=8,
    width=32,
    depth=2,
    heads=2,
    mlp_hidden=64,
    experts=4,
    top_k=2,
    expert_hidden=32,
    tasks=tuple(TaskConfiguration(name, channels) for name, channels in CHANNELS.items()),
)
RECIPE = Recipe(CONFIGURATION, TrainingConfiguration(steps=2, batch=2, learning_rate=1e-3, warmup=1, pool=4))


@pytest.fixture(scope="module")
def model() -> M3ViT:
    torch.manual_seed(0)
    return M3ViT(CONFIGURATION).eval()


@pytest.fixture(scope="module")
def held_out():
    return open_dataset("scenes", None, "val", *SIZE, count=5)


@pytest.fixture(scope="module")
def network(model, held_out) -> IntegerNetwork:
    return integer_network(model, held_out.scenes.images)


@pytest.fixture(scope="module")
def bundle_path(model, tmp_path_factory):
    """Its ONNX files hold the names of their tasks only: seven exports take long, and one has a test of its own."""
    path = tmp_path_factory.mktemp("six") / "six"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("moesaic.model.export.onnx_export.export_onnx", lambda model, tasks: " ".join(tasks).encode())
        build_bundle("six", model, RECIPE, validation=3, calibration=4).save(path)
    return path


def test_a_data_set_is_measured_as_its_samples_in_memory_are(model, network, held_out, monkeypatch):
    whole = measure_float(model, held_out)
    assert set(whole) == set(CHANNELS) and all(np.isfinite(list(whole.values())))
    for task, value in whole.items():
        target = find_task(task).target(held_out.scenes, (1, CHANNELS[task], *SIZE))
        assert value == find_task(task).measure(predict(model, held_out.scenes.images, task), target)
    monkeypatch.setattr("moesaic.model.evaluation.evaluate._BATCH", 2)
    assert measure_float(model, held_out) == pytest.approx(whole, rel=1e-6)
    assert measure_integer(network, CONFIGURATION, held_out) == pytest.approx(
        {task: find_task(task).measure(network.predict(held_out.scenes.images, task), target)
         for task, target in held_out.scenes.targets.items()}, rel=1e-9
    )  # fmt: skip


def test_rows_have_metric_float_and_integer_and_progress_is_shown(model, network, held_out):
    shown = io.StringIO()
    rows = compare(model, network, held_out, console=Console(file=shown, force_terminal=True))
    assert "evaluating" in shown.getvalue() and "5/5" in shown.getvalue()
    assert {task: row["metric"] for task, row in rows.items()} == {
        "segmentation": "mIoU",
        "parts": "mIoU",
        "saliency": "maxF",
        "normals": "mean angle (degrees)",
        "edges": "odsF",
        "depth": "rmse (m)",
    }
    assert {task for task, row in rows.items() if not row["higher_is_better"]} == {"normals", "depth"}
    assert {task: row["float"] for task, row in rows.items()} == measure_float(model, held_out)
    assert {task: row["integer"] for task, row in rows.items()} == measure_integer(network, CONFIGURATION, held_out)
    without = compare(model, None, held_out)
    assert all("integer" not in without[task] and without[task]["float"] == rows[task]["float"] for task in rows)


def test_a_data_set_that_does_not_suit_the_model_is_refused(model, held_out):
    configuration = dataclasses.replace(CONFIGURATION, tasks=(TaskConfiguration("parts", 7),))
    predictors = {"float": float_predictor(model)}
    with pytest.raises(UserError, match="parts has 7 channels in the recipe, scenes needs 9"):
        evaluate(predictors, configuration, held_out)
    with pytest.raises(UserError, match="images are 24x40, the model takes 24x32"):
        evaluate(predictors, CONFIGURATION, open_dataset("scenes", None, "val", 24, 40, count=1))


def test_the_bundle_reads_back_with_every_kind(bundle_path):
    bundle = load_bundle(bundle_path)
    assert {name: (task.kind, task.channels) for name, task in bundle.tasks.items()} == {
        name: (name, channels) for name, channels in CHANNELS.items()
    }
    assert bundle.tasks["segmentation"].class_names == SEGMENTATION_CLASSES
    assert bundle.tasks["parts"].class_names == PART_CLASSES and bundle.tasks["edges"].class_names == ()
    assert bundle.tasks["edges"].metrics["metric"] == "odsF" and 0 < bundle.tasks["saliency"].metrics["integer"] < 1
    assert bundle.extra_files == {
        "model.onnx": " ".join(CHANNELS).encode(),
        **{f"model.{task}.onnx": task.encode() for task in CHANNELS},
    }
    integers = IntegerNetwork(bundle.architecture, bundle.tasks, bundle.tensors)
    for task in CHANNELS:
        (output,) = integers.run(bundle.golden["image"][None], task)
        assert np.array_equal(output, bundle.golden[f"{task}/output"])


def test_onnx_has_an_output_per_task(model, held_out):
    tasks = ("saliency", "edges", "parts")
    session = onnxruntime.InferenceSession(export_onnx(model, tasks))
    image = normalise(held_out.scenes.images[:1], CONFIGURATION.input)
    for task, output in zip(tasks, session.run(list(tasks), {"image": image.numpy()})):
        expected = model(image, task).detach().numpy()
        assert output.shape == (1, CHANNELS[task], *SIZE) and np.abs(output - expected).max() < 1e-4


def test_host_and_training_read_the_same_predictions(bundle_path, tmp_path):
    """From the bundle to a build, on the reference machine: the integers, and what they mean, of every task."""
    bundle = load_bundle(bundle_path)
    generate(bundle, load_configuration("tiny")).save(tmp_path / "build")
    image = bundle.golden["image"]
    network = IntegerNetwork(bundle.architecture, bundle.tasks, bundle.tensors)
    with moesaic.open(tmp_path / "build", "reference") as accelerator:
        for task in CHANNELS:
            result = accelerator.run(image, task)
            assert result.kind == task
            assert np.array_equal(result.raw, bundle.golden[f"{task}/output"])
            values = np.moveaxis(network.predict(image[None], task)[0], 0, -1)
            assert np.array_equal(result.decoded, decode(task, values, 1.0)), task
