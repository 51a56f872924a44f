"""Images prepared and outputs decoded in C++, against spec: integers equal, floats within one unit in the last place."""

from dataclasses import replace

import numpy as np
import pytest

from moesaic.hls.compiler.generate import generate
from moesaic.spec.build import load_build
from moesaic.spec.configuration import load_configuration
from moesaic.spec.input_description import InputDescription
from moesaic.spec.output_description import DECODINGS, OutputDescription, output_problem
from moesaic.spec.predictions import decode, top_classes
from moesaic.spec.resize import fit
from tests.hls.networks import REGISTERS, SMALL, tasks_of, token_tasks_of
from tests.hls.random_bundle import random_bundle
from tests.host.cpp.conftest import CppError

INPUTS = {
    "auto": {},
    "crop": {"resize": "crop"},
    "crop-0.875-cubic": {"resize": "crop", "crop_ratio": 0.875, "interpolation": "cubic"},
    "stretch-cubic": {"resize": "stretch", "interpolation": "cubic"},
    "stretch-0.9": {"resize": "stretch", "crop_ratio": 0.9},
    "pad": {"resize": "pad"},
    "pad-end-colour": {"resize": "pad", "pad_side": "end", "pad_colour": (1, 200, 3)},
    "pad-cubic-mean": {
        "resize": "pad",
        "interpolation": "cubic",
        "mean": (0.485, 0.456, 0.406),
        "deviation": (0.2, 0.3, 1),
    },
}
SIZES = [(45, 61), (32, 32), (32, 50), (61, 32), (1, 1), (1, 700), (333, 2), (480, 640), (33, 31), (16, 16)]


@pytest.fixture
def changed_build(own_build):
    """Returns a function that saves a copy of the build with other descriptions and gives its directory."""

    def change(**values):
        build = load_build(own_build)
        for name, value in values.items():
            setattr(build, name, value)
        build.save(own_build)
        return own_build

    return change


def pictures(seed: int, sizes):
    """Noise, and a smooth picture with hard edges, whose cubic interpolation overshoots."""
    rng = np.random.default_rng(seed)
    for height, width in sizes:
        yield rng.integers(0, 256, (height, width, 3)).astype(np.uint8)
        rows, columns = np.mgrid[:height, :width]
        yield np.stack([255 * (rows // 3 % 2), 255 * (columns // 5 % 2), (rows * 7 + columns * 3) % 256], -1).astype(
            np.uint8
        )


def check_prepared(driver, folder, build, image, **layout):
    answer = driver("prepare", folder.path / "prepared", folder.image(image, **layout)).split()
    expected, placement = fit(image, build.input, build.image_height, build.image_width)
    found = folder.bytes("prepared").reshape(expected.shape)
    assert np.array_equal(found, expected), (image.shape, np.argwhere(found != expected)[:3])
    assert [int(word) for word in answer[:8]] == [*placement.source, *placement.resized, *placement.window]
    assert [float(word) for word in answer[8:]] == list(placement.seen)
    return expected


@pytest.mark.parametrize("name", INPUTS)
def test_what_the_network_sees(driver, folder, changed_build, name):
    directory = changed_build(input=InputDescription(**INPUTS[name]))
    build = load_build(directory)
    driver("load", directory)
    for image in pictures(5, SIZES):
        check_prepared(driver, folder, build, image)


def test_the_largest_pictures(driver, folder, changed_build):
    """Long thin pictures, where the sums are largest."""
    for number, entries in enumerate([{}, {"resize": "pad"}, {"resize": "stretch", "interpolation": "cubic"}]):
        directory = changed_build(input=InputDescription(**entries))
        build = load_build(directory)
        driver("load", directory)
        for image in pictures(number, [(3, 16_384), (16_384, 2)]):
            check_prepared(driver, folder, build, image)


@pytest.mark.parametrize("order", ["rgb", "bgr"])
@pytest.mark.parametrize("row_bytes", [0, 3 * 61, 192, 400])
def test_layouts_of_the_callers_image(driver, folder, changed_build, order, row_bytes):
    directory = changed_build(input=InputDescription(resize="pad", pad_colour=(9, 8, 7)))
    driver("load", directory)
    (image, _) = pictures(6, [(45, 61)])
    check_prepared(driver, folder, load_build(directory), image, row_bytes=row_bytes, order=order)


def test_unfit_images_are_refused(driver, folder, saved_build):
    driver("load", saved_build)
    folder.image(np.zeros((4, 4, 3), np.uint8))
    path = folder.path / "image.rgb"
    for words, message in [
        ("0 4 0 rgb", "the image has 4x0 pixels; a side may have 1 to 16384, shrink it first"),
        ("4 16385 0 rgb", "the image has 16385x4 pixels; a side may have 1 to 16384"),
        ("4 4 11 rgb", "rows of 11 bytes, 4 pixels take 12"),
    ]:
        with pytest.raises(CppError, match=message):
            driver("prepare", folder.path / "out", path, words)


@pytest.mark.parametrize("architecture", [SMALL, REGISTERS], ids=["whole-lines", "padded-patches"])
def test_the_image_in_the_frame_window(driver, folder, tmp_path, architecture):
    generate(random_bundle(architecture, tasks_of(architecture), 1), load_configuration("tiny")).save(tmp_path / "b")
    build = load_build(tmp_path / "b")
    image = np.random.default_rng(2).integers(0, 256, (build.image_height, build.image_width, 3)).astype(np.uint8)
    frame = np.full(build.frame_bytes, 0xA5, np.uint8)
    build.write_image(frame, image)
    image.tofile(folder.path / "pixels")
    driver("load", tmp_path / "b")
    driver("place", folder.path / "placed", folder.path / "pixels")
    assert np.array_equal(folder.bytes("placed"), frame[build.image_offset :][: build.image_bytes])
    image[1:].tofile(folder.path / "pixels")
    with pytest.raises(CppError, match=r"image of \d+ bytes, build .* needs \d+ "):
        driver("place", folder.path / "placed", folder.path / "pixels")


def check_decoded(driver, folder, build, name, raw):
    task = build.task(name)
    raw.astype("<i2").tofile(folder.path / "raw")
    dtype, *shape = driver("decode", folder.path / "decoded", name, folder.path / "raw").split()
    expected = decode(task.kind, raw, task.output_scale, task.pooling, task.output)
    found = folder.bytes("decoded", np.dtype(dtype).type).reshape([int(side) for side in shape])
    assert (found.dtype, found.shape) == (expected.dtype, expected.shape)
    if dtype == "uint8":
        assert np.array_equal(found, expected)
    else:
        np.testing.assert_array_max_ulp(found, expected, 1)
    return expected


def raws(task, seed: int):
    """Outputs of a task: noise at full scale and near zero, the extremes, and ties."""
    rng = np.random.default_rng(seed)
    shape = (*task.output_shape[:2], task.channels)
    yield rng.integers(-32768, 32768, shape).astype(np.int16)
    yield rng.integers(-3, 4, shape).astype(np.int16)
    yield rng.normal(0, 3000, shape).clip(-32768, 32767).astype(np.int16)
    for value in (0, -32768, 32767):
        yield np.full(shape, value, np.int16)


OUTPUTS = {
    "usual": OutputDescription(),
    "linear": OutputDescription("linear", 0.25),
    "log-metres": OutputDescription("log", 10),
    "axes": OutputDescription(axes=("up", "viewer", "left")),
}


@pytest.mark.parametrize("output", OUTPUTS)
@pytest.mark.parametrize("kind", ["segmentation", "parts", "depth", "normals", "saliency", "edges"])
def test_dense_outputs(driver, folder, changed_build, build, kind, output):
    channels = {"segmentation": 5, "parts": 300, "normals": 3}.get(kind, 1)
    height, width, _ = build.tasks["normals"].output_shape
    task = replace(build.tasks["normals"], kind=kind, channels=channels, output_shape=(height, width, channels), alternatives={},
                   output_scale=1e-3, output=OUTPUTS[output], output_offset=0)  # fmt: skip
    room = max(build.frame_bytes, 2 * height * width * channels)
    directory = changed_build(tasks={kind: task}, frame_bytes=room)
    driver("load", directory)
    for raw in raws(task, 8):
        check_decoded(driver, folder, load_build(directory), kind, raw)


@pytest.mark.parametrize("decoding", DECODINGS)
@pytest.mark.parametrize("channels", [1, 3])
def test_outputs_of_a_kind_of_their_own(driver, folder, changed_build, build, decoding, channels):
    height, width, _ = build.tasks["normals"].output_shape
    output = OutputDescription(decoding=decoding)
    task = replace(build.tasks["normals"], kind="keypoints", channels=channels, output_shape=(height, width, channels), alternatives={},
                   output_scale=1e-3, output=output, output_offset=0)  # fmt: skip
    directory = changed_build(tasks={"keypoints": task})
    if problem := output_problem("keypoints", channels, output):
        with pytest.raises(CppError, match=problem.partition(",")[0]):
            driver("load", directory)
        return
    driver("load", directory)
    for raw in raws(task, 10):
        check_decoded(driver, folder, load_build(directory), "keypoints", raw)


def test_token_outputs(driver, folder, tmp_path):
    generate(random_bundle(REGISTERS, token_tasks_of(REGISTERS), 2), load_configuration("tiny")).save(tmp_path / "b")
    build = load_build(tmp_path / "b")
    driver("load", tmp_path / "b")
    assert {task.pooling for task in build.tasks.values()} >= {"class", "mean", "class+mean", "class+distillation"}
    for name, task in build.tasks.items():
        for raw in raws(task, 9):
            expected = check_decoded(driver, folder, build, name, raw)
            if task.kind == "classification":
                found = driver("top", name, folder.path / "raw", 4)
                assert found == "".join(
                    f"{score.index} {score.label};" for score in top_classes(expected, task.class_names, 4)
                )
    with pytest.raises(
        CppError, match="task features is of kind features: only a classification has most probable classes"
    ):
        driver("top", "features", folder.path / "raw", 4)


def test_an_output_of_another_size_is_refused(driver, folder, saved_build):
    driver("load", saved_build)
    np.zeros(7, np.int16).tofile(folder.path / "raw")
    with pytest.raises(CppError, match="task depth: an output of 7 values where 1024 belong"):
        driver("decode", folder.path / "decoded", "depth", folder.path / "raw")
