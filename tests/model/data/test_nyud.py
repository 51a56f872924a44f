"""NYUD-v2 from the files of both distributions, written here in their formats."""

import numpy as np
import pytest
from PIL import Image

from moesaic.errors import UserError
from moesaic.model.data.nyud import CLASSES, Nyud
from moesaic.model.data.registry import open_dataset
from moesaic.model.data.samples import Batch

HEIGHT, WIDTH = 17, 22
NAMES = {"train": ["0003", "0001"], "val": ["0002"]}


def truth(seed):
    """An image and what the files hold: labels 0 (nothing) to 40, metres, vectors x right, y up, z to the viewer, lines."""
    rng = np.random.default_rng(seed)
    image = np.repeat(np.repeat(rng.integers(0, 256, (3, 4, 3)), 8, 0), 8, 1)[:HEIGHT, :WIDTH].astype(np.uint8)
    labels = rng.integers(0, 41, (HEIGHT, WIDTH)).astype(np.uint8)
    labels[0, :2] = 0, 40
    depth = rng.uniform(0.7, 9.9, (HEIGHT, WIDTH)).astype(np.float32)
    depth[1, 1] = 0
    vectors = rng.normal(size=(HEIGHT, WIDTH, 3)).astype(np.float32)
    vectors[..., 2] = np.abs(vectors[..., 2]) + 0.1
    vectors /= np.linalg.norm(vectors, axis=-1, keepdims=True)
    vectors[2, 3] = 0
    return image, labels, depth, vectors, rng.integers(0, 2, (HEIGHT, WIDTH)).astype(np.uint8)


def write(root, layout):
    for directory in ("images", "segmentation", "depth", "normals", "edge", "gt_sets"):
        (root / directory).mkdir(parents=True)
    for split, names in NAMES.items():
        (root / "gt_sets" / f"{split}.txt").write_text("\n".join(names) + "\n")
        for name in names:
            image, labels, depth, vectors, edges = truth(int(name))
            Image.fromarray(labels).save(root / "segmentation" / f"{name}.png")
            np.save(root / "depth" / f"{name}.npy", depth)
            if layout == "MTI-Net":
                Image.fromarray(image).save(root / "images" / f"{name}.jpg", quality=95, subsampling=0)
                np.save(root / "normals" / f"{name}.npy", vectors)
                np.save(root / "edge" / f"{name}.npy", edges.astype(np.float32))
            else:
                Image.fromarray(image).save(root / "images" / f"{name}.png")
                coded = np.rint((vectors + 1) * 127.5).astype(np.uint8)
                Image.fromarray(coded).save(root / "normals" / f"{name}.png")
                Image.fromarray(edges * np.uint8(255)).save(root / "edge" / f"{name}.png")


@pytest.fixture(params=["MTI-Net", "ATRC"])
def root(request, tmp_path):
    write(tmp_path / "NYUD_MT", request.param)
    return tmp_path / "NYUD_MT"


def test_every_file_becomes_the_truth_of_its_task(root):
    dataset = Nyud(root, "train")
    assert len(dataset) == 2 and dataset.tasks == {"segmentation": 40, "depth": 1, "normals": 3, "edges": 1}
    assert len(CLASSES) == len(set(CLASSES)) == 40 and CLASSES[0] == "wall" and CLASSES[39] == "other prop"
    for index, name in enumerate(NAMES["train"]):
        image, labels, depth, vectors, edges = truth(int(name))
        sample = dataset[index]
        assert sample.name == name
        assert np.abs(sample.image.astype(int) - image).max() <= (0 if (root / f"images/{name}.png").exists() else 40)
        assert np.array_equal(sample.targets["segmentation"], np.where(labels == 0, 255, labels - 1.0))
        assert sample.targets["segmentation"][0, 1] == 39
        assert np.array_equal(sample.targets["depth"], depth) and sample.targets["depth"][1, 1] == 0
        assert np.array_equal(sample.targets["edges"], edges)
        normals = sample.targets["normals"]
        valid = np.ones((HEIGHT, WIDTH), bool)
        valid[2, 3] = False
        assert np.abs(normals - vectors * [1, -1, -1])[valid].max() < 0.01
        assert np.abs(np.linalg.norm(normals, axis=-1)[valid] - 1).max() < 1e-6
        assert np.array_equal(normals[2, 3], [0, 0, 0])


def test_fitted_samples_make_a_batch(root):
    dataset = open_dataset("nyud", root, "train", 32, 24)
    batch = Batch.of([dataset[0], dataset[1]])
    assert batch.images.shape == (2, 32, 24, 3)
    top, left = (32 - HEIGHT) // 2 + (32 - HEIGHT) % 2, (24 - WIDTH) // 2
    inside = batch.targets["segmentation"][:, top : top + HEIGHT, left : left + WIDTH]
    assert np.array_equal(inside[0], Nyud(root, "train")[0].targets["segmentation"])
    assert (batch.targets["segmentation"] != 255).sum() == (inside != 255).sum()
    assert (batch.targets["depth"] > 0).sum() == 2 * HEIGHT * WIDTH - 2


def test_only_wanted_tasks_need_their_files(root):
    for file in (root / "edge").iterdir():
        file.unlink()
    dataset = open_dataset("nyud", root, "val", 16, 16, tasks=["depth", "segmentation"], count=1)
    assert dataset.tasks == {"segmentation": 40, "depth": 1} and set(dataset[0].targets) == set(dataset.tasks)
    with pytest.raises(UserError, match=r"edge.0002.npy or .png is missing: download NYUD_MT.tgz .* images/"):
        Nyud(root, "val")
    with pytest.raises(UserError, match="no truth for task 'parts': choose segmentation, depth"):
        Nyud(root, "val", ["parts"])


def test_missing_directories_say_what_to_download_and_where_to_put_it(tmp_path):
    with pytest.raises(UserError, match=r"nowhere is no directory: download NYUD_MT.tgz .*nowhere holds images/"):
        Nyud(tmp_path / "nowhere", "train")
    with pytest.raises(UserError, match=r"gt_sets.val.txt is missing: download"):
        Nyud(tmp_path, "val")


def damage_size(root):
    np.save(root / "depth" / "0002.npy", np.ones((HEIGHT + 1, WIDTH), np.float32))


def damage_shape(root):
    np.save(root / "depth" / "0002.npy", np.ones((HEIGHT, WIDTH, 2), np.float32))


def damage_label(root):
    Image.fromarray(np.full((HEIGHT, WIDTH), 41, np.uint8)).save(root / "segmentation" / "0002.png")


def damage_channels(root):
    Image.fromarray(np.zeros((HEIGHT, WIDTH, 3), np.uint8)).save(root / "segmentation" / "0002.png")


def damage_dtype(root):
    np.save(root / "depth" / "0002.npy", np.full((HEIGHT, WIDTH), "far"))


def damage_objects(root):
    np.save(root / "depth" / "0002.npy", np.full((HEIGHT, WIDTH), None), allow_pickle=True)


def damage_content(root):
    (root / "segmentation" / "0002.png").write_bytes(b"not a picture")


def damage_header(root):
    path = root / "depth" / "0002.npy"
    path.write_bytes(path.read_bytes().replace(b"}", b" "))


@pytest.mark.parametrize("length", [0, 3, 40, 100, 200, 1000])
def test_files_that_end_early_are_named(root, length):
    for file in ("images/0002", "depth/0002", "segmentation/0002", "normals/0002", "edge/0002"):
        (path,) = root.glob(f"{file}.*")
        whole = path.read_bytes()
        path.write_bytes(whole[: min(length, len(whole) // 2)])
        with pytest.raises(UserError, match=rf"{path.name} cannot be read") as error:
            Nyud(root, "val")[0]
        assert "\n" not in str(error.value)
        path.write_bytes(whole)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (damage_size, r"depth of 0002 has 22x18 pixels, its image 0002\.\w+ has 22x17"),
        (damage_shape, r"shape \[17, 22, 2\], not \[H, W\]"),
        (damage_label, r"label 41, known are 0 to 40 and 255"),
        (damage_channels, r"has 3 channels, labels have 1"),
        (damage_dtype, r"holds <U3, not numbers"),
        (damage_objects, r"cannot be read"),
        (damage_header, r"0002\.npy cannot be read"),
        (damage_content, r"0002\.png cannot be read"),
    ],
    ids=lambda value: value.__name__ if callable(value) else "",
)
def test_damaged_files_are_named_with_both_numbers(root, damage, message):
    damage(root)
    with pytest.raises(UserError, match=message) as error:
        Nyud(root, "val")[0]
    assert "\n" not in str(error.value)
