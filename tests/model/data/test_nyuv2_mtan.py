"""MTAN's NYUv2 from files written here as the release holds them."""

import numpy as np
import pytest

from moesaic.errors import UserError
from moesaic.model.data.nyuv2_mtan import CLASSES
from moesaic.model.data.registry import augmentation_of, open_dataset
from moesaic.model.data.samples import require_tasks
from moesaic.model.input_pipeline.held_out import wanted_truth
from moesaic.model.recipes.recipe import load_recipe
from tests.model.data.test_cityscapes_mtan import save

HEIGHT, WIDTH = 288, 384


@pytest.fixture
def root(tmp_path):
    for split, count in (("train", 2), ("val", 1)):
        for number in range(count):
            rng = np.random.default_rng(number)
            normals = rng.normal(size=(HEIGHT, WIDTH, 3))
            normals /= np.linalg.norm(normals, axis=-1, keepdims=True)
            normals[:5] = 0
            stored = {
                "image": rng.random((HEIGHT, WIDTH, 3), np.float32),
                "label": rng.integers(-1, 13, (HEIGHT, WIDTH)).astype(np.float32),
                "depth": rng.uniform(0, 10, (HEIGHT, WIDTH, 1)).astype(np.float32),
                "normal": normals.astype(np.float32),
            }
            for directory, array in stored.items():
                save(tmp_path / split / directory / f"{number}.npy", array)
    return tmp_path


def test_a_recipe_reads_what_the_files_hold(root):
    recipe = load_recipe("nyuv2-mtan/m3vit-small")
    wanted = wanted_truth(recipe.model)
    dataset = open_dataset(recipe.data.name, root, "train", HEIGHT, WIDTH, tasks=wanted)
    require_tasks(dataset, wanted)
    assert wanted == {"segmentation": len(CLASSES), "depth": 1, "normals": 3} and len(dataset) == 2
    sample = dataset[1]
    image, label, depth, normal = (np.load(root / "train" / d / "1.npy") for d in ("image", "label", "depth", "normal"))
    assert np.array_equal(sample.image, np.rint(255 * image))
    assert np.array_equal(sample.targets["segmentation"], np.where(label < 0, 255, label))
    assert np.array_equal(sample.targets["depth"], depth[..., 0])
    assert np.allclose(sample.targets["normals"], normal * [1, -1, -1], atol=1e-6)
    assert (sample.targets["normals"][:5] == 0).all()


def test_depth_is_nearer_where_it_looks_larger():
    augmentation = augmentation_of("nyuv2-mtan", HEIGHT, WIDTH)
    assert augmentation.scale == (1.0, 1.5) and not augmentation.inverse_depth


def test_a_missing_folder_says_what_to_download(root):
    (root / "train" / "normal").rename(root / "normals")
    with pytest.raises(UserError, match=r"normal/0.npy is missing: download the pre-processed NYUv2"):
        open_dataset("nyuv2-mtan", root, "train", HEIGHT, WIDTH)
