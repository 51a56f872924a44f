"""A build's description of its network's input and outputs, honoured by run, stream, whole frames and results."""

import json
from dataclasses import replace

import numpy as np
import pytest

import moesaic
from moesaic.errors import UserError
from moesaic.files import MANIFEST_HASH
from moesaic.hls.compiler.generate import generate
from moesaic.spec.build import MANIFEST, load_build
from moesaic.spec.bundle import load_bundle
from moesaic.spec.configuration import load_configuration
from moesaic.spec.input_description import InputDescription
from moesaic.spec.output_description import OutputDescription
from moesaic.spec.predictions import decode
from moesaic.spec.resize import fit

PAD = InputDescription((0.485, 0.456, 0.406), (0.229, 0.224, 0.225), resize="pad", interpolation="cubic")
OUTPUTS = {"depth": OutputDescription("linear"), "normals": OutputDescription(axes=("right", "up", "viewer"))}


@pytest.fixture(scope="module")
def described_bundle(bundle):
    tasks = {name: replace(task, output=OUTPUTS.get(task.kind, task.output)) for name, task in bundle.tasks.items()}
    return replace(bundle, tasks=tasks, input=PAD)


@pytest.fixture(scope="module")
def described_build(described_bundle, tmp_path_factory):
    directory = tmp_path_factory.mktemp("described") / "build"
    generate(described_bundle, load_configuration("tiny")).save(directory)
    return directory


def test_bundle_and_build_keep_the_description(bundle, build, described_bundle, described_build, tmp_path):
    described_bundle.save(tmp_path / "bundle")
    found = load_bundle(tmp_path / "bundle")
    assert found.input == PAD and found.tasks == described_bundle.tasks and found.sha256 == described_bundle.sha256
    assert bundle.sha256 != found.sha256
    kept = load_build(described_build)
    assert kept.input == PAD
    assert {name: task.output for name, task in kept.tasks.items()} == {n: t.output for n, t in found.tasks.items()}
    assert np.array_equal(kept.constants, build.constants)


def test_the_usual_description_is_left_out(bundle, saved_build, tmp_path):
    """Files of networks that do not use it have the bytes that they had."""
    bundle.save(tmp_path / "bundle")
    for manifest in (tmp_path / "bundle" / "bundle.json", saved_build / MANIFEST):
        stated = json.loads(manifest.read_text())
        assert "input" not in stated and not any("output" in task for task in stated["tasks"].values())
        assert MANIFEST_HASH in stated


@pytest.mark.parametrize("size", [(45, 61), (200, 90), (32, 32)], ids=str)
def test_the_network_sees_what_the_build_says(described_build, size):
    image = np.random.default_rng(sum(size)).integers(0, 256, (*size, 3)).astype(np.uint8)
    build = load_build(described_build)
    expected, placement = fit(image, PAD, build.image_height, build.image_width)
    with moesaic.open(described_build, "emulator") as accelerator:
        results = [accelerator.run(image, task) for task in build.tasks]
        streamed = list(accelerator.stream([image] * len(build.tasks), list(build.tasks)))
        for result, again in zip(results, streamed, strict=True):
            assert np.array_equal(result.image, expected) and np.array_equal(again.image, expected)
            assert result.placement == again.placement == placement
            assert np.array_equal(result.raw, again.raw)
            task = build.tasks[result.task]
            assert np.array_equal(result.decoded, decode(task.kind, result.raw, task.output_scale, output=task.output))
            frame, _ = accelerator.run_whole(image, result.task)
            assert np.array_equal(build.read_output(frame, result.task), result.raw)


def test_a_result_comes_back_to_the_pixels_of_the_image(saved_build, image):
    """The usual network sees the middle: outside of it there is nothing."""
    with moesaic.open(saved_build, "emulator") as accelerator:
        for task in accelerator.tasks:
            result = accelerator.run(image, task)
            assert result.placement.seen == (0, 8, 45, 45)
            found = result.at_image
            assert found.shape[:2] == image.shape[:2]
            mask = found.mask if found.ndim == 2 else found.mask[..., 0]
            assert mask[:, :8].all() and mask[:, 53:].all() and not mask[:, 8:53].any()
            if result.kind == "normals":
                assert np.allclose(np.linalg.norm(found.data[:, 8:53], axis=-1), 1, atol=1e-5)
            if result.kind == "segmentation":
                assert found.dtype == np.uint8 and set(np.unique(found.data)) <= set(np.unique(result.decoded))


@pytest.mark.parametrize(
    ("place", "value", "words"),
    [
        ("input", {"resize": "squash"}, "input.resize is 'squash'"),
        ("output", {"encoding": "odd"}, "output.encoding is 'odd'"),
    ],
)
def test_a_wrong_description_is_named_with_its_file(bundle, tmp_path, monkeypatch, place, value, words):
    bundle.save(tmp_path / "bundle")
    path = tmp_path / "bundle" / "bundle.json"
    stated = json.loads(path.read_text())
    (stated if place == "input" else next(iter(stated["tasks"].values())))[place] = value
    monkeypatch.setattr("moesaic.spec.bundle.read_manifest", lambda *words: stated)
    with pytest.raises(UserError, match=f"bundle.json is malformed: {words}"):
        load_bundle(tmp_path / "bundle")


@pytest.mark.parametrize("kind", ["classification", "features"])
def test_what_is_not_of_pixels_has_no_place_in_the_image(saved_build, image, kind):
    with moesaic.open(saved_build, "emulator") as accelerator:
        result = replace(accelerator.run(image, "depth"), kind=kind)
        with pytest.raises(UserError, match=f"task depth is of kind {kind}: it has no value for every pixel"):
            _ = result.at_image


def test_a_prediction_is_laid_over_the_image(saved_build, image):
    with moesaic.open(saved_build, "emulator") as accelerator:
        for task in accelerator.tasks:
            result = accelerator.run(image, task)
            over = result.overlay(image, 1)
            assert over.dtype == np.uint8 and over.shape == image.shape
            assert np.array_equal(over[:, :8], image[:, :8]) and np.array_equal(over[:, 53:], image[:, 53:])
            colours = {tuple(pixel) for pixel in result.picture.reshape(-1, 3).tolist()}
            assert {tuple(pixel) for pixel in over[:, 8:53].reshape(-1, 3).tolist()} <= colours
            half = result.overlay(moesaic.Image(image[..., ::-1], channels="bgr"))
            assert np.abs(2 * half.astype(int) - over - image)[:, 8:53].max() <= 1
            assert np.array_equal(result.overlay(image, 0), image)
        with pytest.raises(UserError, match="the image is 61x44 pixels, the one that was run 61x45"):
            result.overlay(image[1:])
        with pytest.raises(UserError, match="opacity of 2"):
            result.overlay(image, 2)
