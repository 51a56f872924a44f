"""`compile` and `predict` of a converted model against csim, and the graph that hls4ml shows."""

from __future__ import annotations

import numpy as np
import pytest

from moesaic.errors import UserError
from moesaic.hls.compiler.generate import generate
from moesaic.hls.vendor.hls4ml_backend.image_batches import to_pixels
from moesaic.sim.machines.csim import CsimExecutor
from moesaic.spec.build import load_build
from moesaic.spec.configuration import load_configuration
from moesaic.spec.input_description import InputDescription

TINY = load_configuration("tiny")


@pytest.fixture(scope="module")
def csim(bundle):
    """A function: the raw int16 result of a task for a picture, uint8 (height, width, 3), by csim."""
    build, executor = generate(bundle, TINY), CsimExecutor(TINY)

    def run(picture: np.ndarray, name: str) -> np.ndarray:
        memory = build.new_memory()
        build.write_image(memory.frame, picture)
        executor.run(build.task(name).program, memory, 0)
        return build.read_output(memory.frame, name)

    return run


def pictures(seed: int, count: int = 2) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, 32, 48, 3), dtype=np.uint8)


def as_onnx_takes(images: np.ndarray) -> np.ndarray:
    return (images.transpose(0, 3, 1, 2) / 127.5 - 1).astype(np.float32)


def assert_equal(output: np.ndarray, raw: list[np.ndarray], scale: float) -> None:
    """output: (N, channels, height, width) of predict. raw: (height, width, channels) of csim for each image."""
    expected = np.stack(raw).transpose(0, 3, 1, 2)
    assert output.dtype == np.float32 and output.shape == expected.shape
    assert np.array_equal(output, (expected * float(scale)).astype(np.float32))
    assert np.array_equal(np.rint(output / scale).astype(np.int16), expected)


@pytest.mark.parametrize("seed", range(2), ids=lambda seed: f"seed{seed}")
def test_every_task_is_bit_exact_with_csim(convert, csim, bundle, seed):
    model, images = convert(), pictures(seed)
    model.compile()
    assert model.outputs == ["segmentation", "depth", "normals"]
    for task, output in zip(model.outputs, model.predict(as_onnx_takes(images)), strict=True):
        assert_equal(output, [csim(image, task) for image in images], bundle.tasks[task].output_scale)


def test_golden_vectors(convert, bundle):
    model = convert()
    model.compile()
    for task, output in zip(model.outputs, model.predict(bundle.golden["image"])):
        assert_equal(output[None], [bundle.golden[f"{task}/output"]], bundle.tasks[task].output_scale)


def test_file_of_one_task(convert, csim, bundle):
    model, images = convert("model.depth.onnx"), pictures(3)
    model.compile()
    assert_equal(
        model.predict(as_onnx_takes(images)), [csim(i, "depth") for i in images], bundle.tasks["depth"].output_scale
    )


def test_tasks_in_another_order(convert, csim, bundle):
    model, images = convert(task=["normals", "segmentation@small"]), pictures(8)
    model.compile()
    for name, output in zip(("normals", "segmentation@small"), model.predict(images), strict=True):
        scale = bundle.tasks[name.split("@")[0]].output_scale
        assert_equal(output, [csim(image, name) for image in images], scale)


@pytest.mark.parametrize("task", ["depth", "depth@small"])
def test_chosen_task_and_pathway(convert, csim, bundle, task):
    model, images = convert(task=task), pictures(4)
    model.compile()
    assert model.outputs == ["depth"]
    assert_equal(model.predict(images), [csim(i, task) for i in images], bundle.tasks["depth"].output_scale)


def test_the_pathways_differ(csim):
    assert not np.array_equal(csim(pictures(4)[0], "depth"), csim(pictures(4)[0], "depth@small"))


def test_images_in_every_form_are_the_same_pixels():
    images = pictures(5)
    images[0].reshape(-1)[:256] = np.arange(256)
    normalised = as_onnx_takes(images)
    forms = [images, images.transpose(0, 3, 1, 2), normalised, normalised.astype(np.float64)]
    forms.append(np.nextafter(normalised, np.float32(2)))
    for form in forms:
        assert np.array_equal(to_pixels(form, 32, 48), images)
        assert np.array_equal(to_pixels(form[0], 32, 48), images[:1])
    assert to_pixels(images[:0], 32, 48).shape == (0, 32, 48, 3)


def test_images_are_normalised_as_the_bundle_says():
    description = InputDescription((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    images = pictures(5)
    images[0].reshape(-1)[:256] = np.arange(256)
    for dtype in (np.float32, np.float64):
        normalised = ((images / 255 - description.mean) / description.deviation).astype(dtype).transpose(0, 3, 1, 2)
        assert np.array_equal(to_pixels(normalised, 32, 48, description), images)
    with pytest.raises(
        UserError, match=r"the network takes -2.1179 to 2.64; give \(pixel / 255 - \[0.485, 0.456, 0.406\]\)"
    ):
        to_pixels(np.full((1, 3, 32, 48), 3.0), 32, 48, description)


@pytest.mark.parametrize(
    ("x", "words"),
    [
        (np.zeros((1, 3, 32, 32), np.float32), ("(1, 3, 32, 32)", "(N, 3, 32, 48)")),
        (np.zeros((32, 48, 3), np.float32), ("(32, 48, 3)", "(N, 3, 32, 48)")),
        (np.full((1, 3, 32, 48), 200.0), ("200 to 200", "-1 to 1")),
        (np.full((1, 3, 32, 48), np.nan), ("nan", "-1 to 1")),
        (np.zeros((1, 3, 32, 48), np.int64), ("int64", "uint8")),
        ([0], ("list", "numpy")),
    ],
    ids=["size", "channels", "not normalised", "nan", "type", "list"],
)
def test_other_images_are_refused(x, words):
    with pytest.raises(UserError) as error:
        to_pixels(x, 32, 48)
    assert all(word in str(error.value) for word in words) and "\n" not in str(error.value)


def test_float64_gives_float64(convert, bundle):
    model = convert("model.depth.onnx")
    model.compile()
    x = as_onnx_takes(pictures(6))
    wide, narrow = model.predict(x.astype(np.float64)), model.predict(x)
    assert wide.dtype == np.float64 and np.array_equal(wide.astype(np.float32), narrow)


def test_predict_before_compile(convert):
    with pytest.raises(UserError, match=r"not compiled.*compile\(\)"):
        convert("model.depth.onnx").predict(pictures(0))


def test_the_graph_is_that_of_the_onnx(convert):
    model = convert()
    assert model.config.config["InputShapes"] == {"image": [3, 32, 48]}
    assert list(model.config.config["OutputShapes"].values()) == [[5, 32, 48], [1, 32, 48], [3, 32, 48]]
    kinds = {layer.class_name for layer in model.get_layers()}
    assert {"Input", "Constant", "MatMul", "Softmax", "LayerNormalization", "ScatterElements"} <= kinds


def test_what_is_written_is_the_build(convert, bundle, tmp_path):
    convert().write()
    build = load_build(tmp_path / "project" / "build")
    assert (build.bundle_sha256, build.configuration) == (bundle.sha256, TINY)


def test_another_configuration(convert, csim, bundle):
    """The integers are those of the network, whatever the size of the hardware."""
    model, images = convert("model.depth.onnx", configuration="zcu104", board="zcu104"), pictures(7, 1)
    model.compile()
    assert model.config.get_config_value("Part") == "xczu7ev-ffvc1156-2-e"
    assert_equal(model.predict(images), [csim(images[0], "depth")], bundle.tasks["depth"].output_scale)
