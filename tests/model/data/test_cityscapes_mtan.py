"""The reduced Cityscapes from files written here as MTAN's release holds them."""

import numpy as np
import pytest

from moesaic.errors import UserError
from moesaic.model.data.augmentation import Augmentation
from moesaic.model.data.cityscapes import Cityscapes
from moesaic.model.data.cityscapes_mtan import CLASSES, CityscapesMtan
from moesaic.model.data.registry import augmentation_of, open_dataset
from moesaic.model.data.samples import require_tasks
from moesaic.model.recipes.recipe import load_recipe

HEIGHT, WIDTH = 128, 256


def save(path, array):
    path.parent.mkdir(parents=True, exist_ok=True)
    np.save(path, array)


def stored(seed):
    """Image [H, W, 3] of 0..1, labels [H, W] with -1, inverse depth [H, W, 1] with 0, as floats."""
    rng = np.random.default_rng(seed)
    disparity = rng.integers(1, 32258, (HEIGHT, WIDTH, 1))
    disparity[:4] = 0
    labels = (np.arange(HEIGHT * WIDTH) % 8 - 1).reshape(HEIGHT, WIDTH)
    return rng.integers(0, 256, (HEIGHT, WIDTH, 3)) / 255, labels.astype(np.float64), disparity / 65535


def write(root):
    for split, count in (("train", 11), ("val", 2)):
        for number in range(count):
            for directory, array in zip(("image", "label_7", "depth"), stored(number)):
                save(root / split / directory / f"{number}.npy", array)


@pytest.fixture
def root(tmp_path):
    write(tmp_path / "cityscapes2")
    return tmp_path / "cityscapes2"


def test_samples_are_in_the_order_of_their_numbers(root):
    dataset = CityscapesMtan(root, "train")
    assert dataset.names == [f"train/{number}" for number in range(11)]
    assert dataset.tasks == {"segmentation": 7, "depth": 1} and len(CLASSES) == 7
    assert len(CityscapesMtan(root, "val")) == 2


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_what_the_files_hold_is_what_a_sample_has(root, dtype):
    image, labels, depth = stored(10)
    save(root / "train/image/10.npy", image.astype(dtype))
    sample = CityscapesMtan(root, "train")[10]
    assert np.array_equal(sample.image, np.rint(255 * image))
    assert np.array_equal(sample.targets["segmentation"], np.where(labels < 0, 255, labels))
    assert np.array_equal(sample.targets["depth"], depth[..., 0].astype(np.float32))
    assert (sample.targets["depth"][:4] == 0).all() and (sample.targets["depth"][4:] > 0).all()


def test_labels_may_be_integers(root):
    save(root / "val/label_7/0.npy", stored(0)[1].astype(np.int64))
    val, train = (CityscapesMtan(root, split, ["segmentation"])[0] for split in ("val", "train"))
    assert np.array_equal(val.targets["segmentation"], train.targets["segmentation"])


def test_an_inverse_depth_grows_with_the_scale(root):
    sample = CityscapesMtan(root, "train")[0]
    assert augmentation_of("cityscapes-mtan", 64, 64).inverse_depth
    twice = Augmentation(HEIGHT, WIDTH, scale=(2.0, 2.0), mirror=False, inverse_depth=True)
    found = twice(sample, np.random.default_rng(0)).targets["depth"]
    assert np.isin(found / 2, sample.targets["depth"]).all() and found.any()


def test_the_recipe_takes_its_classes(root):
    wanted = load_recipe("cityscapes-mtan/m3vit-tiny")
    tasks = {task.name: task.channels for task in wanted.model.tasks}
    require_tasks(open_dataset(wanted.data.name, root, "train", HEIGHT, WIDTH), tasks)


def test_either_layout_names_the_data_of_the_other(root, tmp_path):
    with pytest.raises(UserError, match="holds the reduced Cityscapes of MTAN: take a recipe of data cityscapes-mtan"):
        Cityscapes(root, "train")
    (tmp_path / "whole/leftImg8bit/train").mkdir(parents=True)
    with pytest.raises(UserError, match=r"holds the whole Cityscapes: take a recipe of data cityscapes$"):
        CityscapesMtan(tmp_path / "whole", "train")


def test_what_is_missing_is_named(root, tmp_path):
    with pytest.raises(
        UserError, match=r"is no directory: download cityscapes2.zip .*lorenmt/mtan, and unpack it so that"
    ):
        CityscapesMtan(tmp_path / "none", "train")
    (root / "train/depth/3.npy").unlink()
    with pytest.raises(UserError, match=r"train/depth/3.npy is missing: download cityscapes2.zip"):
        CityscapesMtan(root, "train")
    assert len(CityscapesMtan(root, "train", ["segmentation"])) == 11
    (root / "val").rename(root / "test")
    with pytest.raises(UserError, match=r"val/image is missing: download .*holds train/ and val/"):
        CityscapesMtan(root, "val")


@pytest.mark.parametrize(
    ("directory", "array", "message"),
    [
        ("label_7", np.full((HEIGHT, WIDTH), 7.0), "label 7, known are 0 to 6 and -1"),
        ("label_7", np.full((HEIGHT, WIDTH), 0.5), "label 0.5, known"),
        ("label_7", np.full((HEIGHT, WIDTH), np.nan), "label nan, known"),
        ("image", np.full((HEIGHT, WIDTH, 3), 255.0), "values from 255.0 to 255.0, not 0 to 1"),
        ("image", np.zeros((3, HEIGHT, WIDTH)), r"shape \[3, 128, 256\], not \[H, W, 3\]"),
        ("depth", np.zeros((HEIGHT, WIDTH)), r"shape \[128, 256\], not \[H, W, 1\]"),
        ("depth", np.zeros((HEIGHT, 9, 1)), "depth of train/0 has 9x128 pixels, its image 0.npy has 256x128"),
    ],
    ids=["class", "fraction", "nan", "bytes", "channels first", "flat", "size"],
)
def test_damaged_files_are_named(root, directory, array, message):
    save(root / f"train/{directory}/0.npy", array)
    with pytest.raises(UserError, match=message):
        CityscapesMtan(root, "train")[0]
