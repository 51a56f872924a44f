"""A task and a data set of another package go all the way: the example is installed and trained, and its heat maps come out of the RTL."""

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from moesaic.host.runtime import open_build
from moesaic.spec.bundle import load_bundle
from moesaic.spec.predictions import decode

EXAMPLE = Path(__file__).parents[2] / "examples" / "keypoints"
SIDE = 64


def draw(rng):
    """A picture of a red and a green square on grey noise, uint8 [H, W, 3], and the rows and columns of their centres, red first."""
    image = rng.integers(90, 110, (SIDE, SIDE, 3)).astype(np.uint8)
    points = rng.integers(10, SIDE - 10, (2, 2))
    points[:, 1] = [rng.integers(8, 24), rng.integers(40, 56)]
    for colour, (row, column) in zip(((230, 20, 20), (20, 230, 20)), points):
        image[row - 5 : row + 6, column - 5 : column + 6] = colour
    return image, points


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A directory with the data set in `data`, and the example's package installed in `installed`."""
    path = tmp_path_factory.mktemp("keypoints")
    rng = np.random.default_rng(0)
    for split, count in (("train", 48), ("val", 8)):
        (path / "data" / split).mkdir(parents=True)
        for number in range(count):
            image, points = draw(rng)
            Image.fromarray(image).save(path / "data" / split / f"{number:03}.png")
            np.savetxt(path / "data" / split / f"{number:03}.csv", points, delimiter=",")
    package = shutil.copytree(EXAMPLE, path / "package")
    words = ("install", "--quiet", "--no-index", "--no-deps", "--no-build-isolation", "--target", path / "installed")
    subprocess.run([sys.executable, "-m", "pip", *words, package], check=True)
    return path


def moesaic(place, *words):
    """Run the command where the package is installed; returns what it prints."""
    environment = {**os.environ, "PYTHONPATH": str(place / "installed"), "OMP_NUM_THREADS": "1", "COLUMNS": "160"}
    command = [sys.executable, "-m", "moesaic", *map(str, words)]
    done = subprocess.run(command, cwd=place, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


@pytest.fixture(scope="module")
def build(place):
    """The build of a network trained on the example's recipe, on the configuration tiny."""
    trained = ("--checkpoint", "model.safetensors", "--data-root", "data")
    moesaic(place, "train", "--recipe", EXAMPLE / "recipe.toml", *trained)
    moesaic(place, "export", *trained, "--output", "bundle")
    moesaic(place, "generate", "bundle", "--output", "build")
    return place / "build"


def test_the_example_is_short():
    for name in ("keypoints.py", "pairs.py"):
        assert len((EXAMPLE / name).read_text().splitlines()) < 40


def test_training_learns_the_task(place, build):
    text = moesaic(place, "evaluate", "--checkpoint", "model.safetensors", "--data-root", "data")
    (line,) = [line for line in text.splitlines() if line.startswith("keypoints")]
    assert "peak distance (pixels) ↓" in line
    found, integer = (float(word) for word in line.split()[-3:-1])
    assert found < 4 and integer < 4  # a guess is about 20 off


def test_the_bundle_says_how_the_task_is_decoded_and_drawn(place, build):
    task = load_bundle(place / "bundle").tasks["keypoints"]
    assert (task.kind, task.channels, task.output.decoding, task.output.picture) == (
        "keypoints",
        2,
        "values",
        "heat",
    )
    stated = json.loads((build / "build.json").read_text())["tasks"]["keypoints"]
    assert stated["output"] == {"decoding": "values", "picture": "heat"}


def test_the_runtime_needs_no_package_to_decode_and_draw(build):
    assert importlib.util.find_spec("keypoints") is None
    image, points = draw(np.random.default_rng(9))
    with open_build(build, executor="emulator") as accelerator:
        result = accelerator.run(image, "keypoints")
    task = accelerator.tasks["keypoints"]
    assert result.decoded.shape == (SIDE, SIDE, 2) and result.decoded.dtype == np.float32
    assert np.array_equal(result.decoded, (result.raw * task.output_scale).astype(np.float32))
    assert result.picture.shape == (SIDE, SIDE, 3) and result.at_image.shape == (SIDE, SIDE, 2)
    peaks = [np.unravel_index(result.decoded[..., i].argmax(), (SIDE, SIDE)) for i in range(2)]
    assert np.linalg.norm(np.subtract(peaks, points), axis=1).max() < 8


def test_the_rtl_gives_the_same_integers(place, build):
    image, _ = draw(np.random.default_rng(10))
    Image.fromarray(image).save(place / "one.png")
    for executor in ("emulator", "rtl"):
        moesaic(place, "run", build, "one.png", "--executor", executor, "--raw", "--output", executor)
    raw = [np.load(place / executor / "one.keypoints.raw.npy") for executor in ("emulator", "rtl")]
    assert raw[0].shape == (SIDE, SIDE, 2) and np.array_equal(*raw) and raw[0].std() > 0
    shown = np.load(place / "rtl" / "one.keypoints.npy")
    task = load_bundle(place / "bundle").tasks["keypoints"]
    assert np.array_equal(shown, decode("keypoints", raw[1], task.output_scale, output=task.output))


def test_without_the_package_a_checkpoint_says_what_is_missing(place, build):
    words = [sys.executable, "-m", "moesaic", "evaluate", "--checkpoint", "model.safetensors", "--data-root", "data"]
    done = subprocess.run(words, cwd=place, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("error: unknown task 'keypoints': choose classification, depth, edges")
    assert "or install the package that brings it" in done.stderr
