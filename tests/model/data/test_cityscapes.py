"""Cityscapes from files written here as its packages hold them."""

import json

import numpy as np
import pytest
from PIL import Image

from moesaic.errors import UserError
from moesaic.model.data.cityscapes import CLASSES, MAX_DEPTH, Cityscapes
from moesaic.model.data.registry import open_dataset

HEIGHT, WIDTH = 16, 32
NAMES = ("aachen/aachen_000000_000019", "aachen/aachen_000001_000019", "ulm/ulm_000000_000019")
BASELINE, FOCAL = 0.209313, 2262.52
TRAIN_IDS = {7: "road", 8: "sidewalk", 11: "building", 17: "pole", 21: "vegetation", 23: "sky", 24: "person"}
TRAIN_IDS |= {26: "car", 31: "train", 33: "bicycle"}


def save(path, array):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path)


@pytest.fixture
def root(tmp_path):
    root = tmp_path / "cityscapes"
    for seed, name in enumerate(NAMES):
        rng = np.random.default_rng(seed)
        image = rng.integers(0, 256, (HEIGHT, WIDTH, 3)).astype(np.uint8)
        ids = (np.arange(HEIGHT * WIDTH) % 34).reshape(HEIGHT, WIDTH).astype(np.uint8)
        disparity = rng.integers(257, 30000, (HEIGHT, WIDTH)).astype(np.uint16)
        disparity[0, :3] = 0, 1, 2
        save(root / f"leftImg8bit/train/{name}_leftImg8bit.png", image)
        save(root / f"gtFine/train/{name}_gtFine_labelIds.png", ids)
        save(root / f"disparity/train/{name}_disparity.png", disparity)
        camera = {"extrinsic": {"baseline": BASELINE}, "intrinsic": {"fx": FOCAL, "fy": 2265.3, "u0": 1096.98}}
        path = root / f"camera/train/{name}_camera.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(camera))
    return root


def test_samples_are_sorted_by_city_and_number(root):
    dataset = Cityscapes(root, "train")
    assert dataset.names == [f"train/{name}" for name in NAMES]
    assert np.array_equal(dataset[1].image, Image.open(root / f"leftImg8bit/train/{NAMES[1]}_leftImg8bit.png"))
    assert len(Cityscapes(root, "train", count=2)) == 2


def test_nineteen_classes_count_and_the_others_are_invalid(root):
    dataset = Cityscapes(root, "train")
    assert dataset.tasks == {"segmentation": 19, "depth": 1} and len(CLASSES) == 19
    labels = dataset[0].targets["segmentation"].ravel()
    ids = np.arange(len(labels)) % 34
    for number, name in TRAIN_IDS.items():
        assert set(labels[ids == number]) == {CLASSES.index(name)}
    for number in (0, 1, 4, 9, 10, 14, 15, 16, 18, 29, 30):
        assert set(labels[ids == number]) == {255}
    assert set(labels) == {*range(19), 255}


def test_depth_is_baseline_times_focal_length_by_disparity(root):
    depth = Cityscapes(root, "train")[2].targets["depth"]
    stored = np.asarray(Image.open(root / f"disparity/train/{NAMES[2]}_disparity.png")).astype(np.float64)
    disparity = (stored[1:] - 1) / 256
    metres = BASELINE * FOCAL / disparity
    near = metres <= 80
    assert MAX_DEPTH == 80 and near.any() and not near.all()
    assert np.array_equal(depth[1:], np.where(near, metres, 0).astype(np.float32))
    assert (depth[0, :3] == 0).all()  # nothing, and disparities of 0 and 1/256 pixels, that is 121 km


def test_fitted_samples_shrink_and_keep_their_metres(root):
    sample = open_dataset("cityscapes", root, "train", 8, 16)[0]
    whole = Cityscapes(root, "train")[0]
    assert sample.image.shape == (8, 16, 3)
    assert np.array_equal(sample.targets["depth"], whole.targets["depth"][1::2, 1::2])
    assert np.array_equal(sample.targets["segmentation"], whole.targets["segmentation"][1::2, 1::2])


@pytest.mark.parametrize("package", ["gtFine", "disparity", "camera"])
def test_missing_packages_are_named(root, package):
    (root / package).rename(root / "elsewhere")
    task = "segmentation" if package == "gtFine" else "depth"
    with pytest.raises(UserError, match=rf"{package}.*is missing: download .*{package}_trainvaltest.zip.*cityscapes"):
        Cityscapes(root, "train", [task])
    assert len(Cityscapes(root, "train", ["depth" if package == "gtFine" else "segmentation"])) == 3


def test_depth_is_valid_up_to_its_bound(root):
    farthest = 1 + 256 * BASELINE * FOCAL / MAX_DEPTH
    path = root / f"disparity/train/{NAMES[0]}_disparity.png"
    for value, valid in ((int(farthest) + 1, True), (int(farthest), False)):
        save(path, np.full((HEIGHT, WIDTH), value, np.uint16))
        depth = Cityscapes(root, "train", ["depth"])[0].targets["depth"]
        assert (depth > 0).all() == valid == (depth > 0).any()


def test_missing_splits_are_named(root):
    with pytest.raises(UserError, match=r"leftImg8bit.val is missing: download leftImg8bit_trainvaltest.zip"):
        Cityscapes(root, "val")
    (root / "leftImg8bit/val").mkdir()
    with pytest.raises(UserError, match=r"split val .* is empty"):
        Cityscapes(root, "val")


def test_damaged_files_are_named(root):
    name = f"train/{NAMES[0]}"
    save(root / f"gtFine/{name}_gtFine_labelIds.png", np.full((HEIGHT, WIDTH), 34, np.uint8))
    with pytest.raises(UserError, match="label 34, known are 0 to 33 and 255"):
        Cityscapes(root, "train", ["segmentation"])[0]
    save(root / f"disparity/{name}_disparity.png", np.ones((HEIGHT, WIDTH), np.uint8))
    with pytest.raises(UserError, match="holds uint8, a disparity is uint16"):
        Cityscapes(root, "train", ["depth"])[0]
    (root / f"camera/{name}_camera.json").write_text("{}")
    with pytest.raises(UserError, match=r"camera.json is no camera of Cityscapes"):
        Cityscapes(root, "train", ["depth"])[0]
