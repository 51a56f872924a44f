"""Predictions as files: at the image's own pixels, in the forms that are promised, and where SEISM looks for them."""

import numpy as np
import pytest
from PIL import Image

from moesaic.errors import UserError
from moesaic.model.data.geometry import Fitted
from moesaic.model.data.samples import Sample
from moesaic.model.evaluation.prediction_files import PredictionFiles
from moesaic.model.recipes.recipe import ModelConfiguration, TaskConfiguration
from moesaic.spec.input_description import InputDescription

SIZE = (16, 24)
TASKS = {"segmentation": 3, "edges": 1, "depth": 1, "normals": 3}


def configuration(*tasks):
    tasks = tasks or tuple(TaskConfiguration(name, channels) for name, channels in TASKS.items())
    return ModelConfiguration(*SIZE, 8, 16, 1, 2, 16, 0, 0, 0, tasks)


class Images:
    """One image of each size."""

    name, tasks, class_names = "nyud", {}, {}

    def __init__(self, *sizes):
        self.sizes = sizes

    def __len__(self):
        return len(self.sizes)

    def __getitem__(self, index):
        return Sample(np.zeros((*self.sizes[index], 3), np.uint8), {}, f"room/{index}")


def predictions():
    """Of the left half class 2, 4 m away and an edge; of the right half class 1, 8 m away and none."""
    left = np.arange(SIZE[1]) < SIZE[1] // 2
    left = np.broadcast_to(left, SIZE).astype(np.float32)
    return {
        "segmentation": np.stack([0 * left, 1 - left, left])[None],
        "edges": (8 * left - 4)[None, None],
        "depth": np.log(2 - left)[None, None],
        "normals": np.stack([0 * left, 0 * left, 0 * left - 3])[None],
    }


def test_files_at_the_images_own_pixels(tmp_path):
    data = Fitted(Images((32, 48), (16, 12)), *SIZE)
    keep = PredictionFiles(tmp_path / "p", configuration(), data, "nyud_mine")
    for task, prediction in predictions().items():
        for first in (0, 1):
            keep("float", task, first, prediction)
    top = tmp_path / "p" / "float"
    classes = np.asarray(Image.open(top / "segmentation" / "room" / "0.png"))
    assert classes.shape == (32, 48) and (classes[:, :24] == 2).all() and (classes[:, 24:] == 1).all()
    edges = np.asarray(Image.open(top / "edges" / "room" / "0.png"))
    assert (
        edges.dtype == np.uint8
        and edges[3, 3] == round(255 / (1 + np.exp(-4)))
        and edges[3, -3] == round(255 / (1 + np.exp(4)))
    )
    depth, normals = (np.load(top / task / "room" / "0.npy") for task in ("depth", "normals"))
    assert depth.shape == (32, 48) and depth[0, 0] == pytest.approx(4) and depth[0, -1] == pytest.approx(8)
    assert normals.shape == (32, 48, 3) and (normals == (0, 0, -1)).all()
    small = np.asarray(
        Image.open(top / "segmentation" / "room" / "1.png")
    )  # lay in the middle, with padding on both sides
    assert small.shape == (16, 12) and (small[:, :6] == 2).all() and (small[:, 6:] == 1).all()
    seism = top / "seism"
    assert (seism / "datasets/nyud/nyud_mine/room/0.png").read_bytes() == (top / "edges/room/0.png").read_bytes()
    thresholds = (seism / "parameters/nyud_mine.txt").read_text().splitlines()
    assert (thresholds[0], thresholds[-1], len(thresholds)) == ("0.01", "0.99", 99)
    with pytest.raises(UserError, match="p is not empty: name another directory for the predictions"):
        PredictionFiles(tmp_path / "p", configuration(), data, "again")


def test_what_the_network_did_not_see_is_marked(tmp_path):
    data = Fitted(Images((16, 48)), *SIZE, InputDescription(resize="crop"))
    keep = PredictionFiles(tmp_path, configuration(), data, "x")
    for task, prediction in predictions().items():
        keep("integer", task, 0, prediction)
    seen = np.zeros((16, 48), bool)
    seen[:, 12:36] = True
    classes = np.asarray(Image.open(tmp_path / "integer/segmentation/room/0.png"))
    assert np.array_equal(classes != 255, seen) and (classes[:, 12:24] == 2).all()
    assert np.array_equal(np.isfinite(np.load(tmp_path / "integer/depth/room/0.npy")), seen)


def test_classifications_and_features_are_arrays(tmp_path):
    own = configuration(TaskConfiguration("classification", 3), TaskConfiguration("features"))
    keep = PredictionFiles(tmp_path, own, Images(SIZE), "x")
    keep("float", "classification", 0, np.log([[1.0, 2.0, 1.0]]))
    tokens = np.random.default_rng(0).normal(size=(1, 7, 16)).astype(np.float32)
    keep("float", "features", 0, tokens)
    assert np.allclose(np.load(tmp_path / "float/classification/room/0.npy"), [0.25, 0.5, 0.25])
    assert np.array_equal(np.load(tmp_path / "float/features/room/0.npy"), tokens[0])
