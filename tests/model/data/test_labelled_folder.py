"""Images with their ground truth beside them, from files written here."""

import numpy as np
import pytest
from PIL import Image

from moesaic.errors import UserError
from moesaic.model.data.labelled_folder import LabelledFolder
from moesaic.model.data.registry import open_dataset

SIZE = (12, 20)
CHANNELS = {"segmentation": 3, "saliency": 1, "depth": 1, "normals": 3, "classification": 4}


def truths(seed):
    """What the files of a sample hold, by kind."""
    rng = np.random.default_rng(seed)
    return {
        "segmentation": np.where(rng.random(SIZE) < 0.1, 255, rng.integers(0, 3, SIZE)).astype(np.uint8),
        "saliency": rng.integers(0, 2, SIZE).astype(np.uint8),
        "depth": rng.integers(0, 5000, SIZE).astype(np.uint16),
        "normals": rng.normal(size=(*SIZE, 3)),
    }


@pytest.fixture
def root(tmp_path):
    for split in ("train", "val"):
        for number, name in enumerate(("b", "sub/a")):
            path = tmp_path / split / "images" / f"{name}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.full((*SIZE, 3), 9 * number, np.uint8)).save(path)
            for kind, array in truths(number).items():
                path = tmp_path / split / kind / f"{name}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                if kind == "normals":
                    np.save(path.with_suffix(".npy"), array)
                else:
                    Image.fromarray(array).save(path)
        (tmp_path / split / "classification.txt").write_text("3 b\n0 sub/a\n")
    return tmp_path


def test_every_kind_is_read_in_its_own_terms(root):
    dataset = LabelledFolder(root, "train", CHANNELS)
    assert dataset.names == ["b", "sub/a"] and dataset.tasks == dict(sorted(CHANNELS.items()))
    for number, sample in enumerate(dataset):
        stored, found = truths(number), sample.targets
        assert (sample.image == 9 * number).all()
        assert np.array_equal(found["segmentation"], stored["segmentation"])
        assert np.array_equal(found["saliency"], stored["saliency"])
        assert np.array_equal(found["depth"], (stored["depth"] / 1000).astype(np.float32))
        unit = stored["normals"] / np.linalg.norm(stored["normals"], axis=-1, keepdims=True) * [1, -1, -1]
        long = np.linalg.norm(stored["normals"], axis=-1) > 0.6
        assert np.allclose(found["normals"][long], unit[long], atol=1e-6)
        assert found["classification"] == (3, 0)[number]


def test_arrays_are_taken_as_well(root):
    metres = np.linspace(0.1, 9, 240).reshape(SIZE)
    (root / "train/depth/b.png").unlink()
    np.save(root / "train/depth/b.npy", metres)
    sample = open_dataset("folder", root, "train", *SIZE, tasks={"depth": 1})[0]
    assert np.array_equal(sample.targets["depth"], metres.astype(np.float32))


def test_without_tasks_images_are_enough(root):
    assert len(LabelledFolder(root, "val", {}, 1)) == 1


@pytest.mark.parametrize(
    ("change", "tasks", "words"),
    [
        (lambda root: None, {"edges": 1}, "folder has no truth for task 'edges': choose classification, depth"),
        (lambda root: None, {"segmentation": 2}, "b.png has label 2, known are 0 to 1 and 255"),
        (lambda root: None, ["segmentation"], "does not say how many classes segmentation has: state its channels in the recipe"),
        (lambda root: (root / "train/depth/b.png").unlink(), {"depth": 1}, r"train/depth/b.png or .npy is missing: put images"),
        (lambda root: (root / "train/classification.txt").write_text("3 b\n"), {"classification": 4}, "has no class of sub/a"),
        (lambda root: (root / "train/classification.txt").write_text("cat b\n"), {"classification": 4}, "has the line 'cat b'"),
        (
            lambda root: Image.new("RGB", SIZE[::-1]).save(root / "train/images/b.jpg"),
            {"depth": 1},
            "shares its name with another image",
        ),
        (lambda root: (root / "train/images").rename(root / "pictures"), {}, "images is missing: put images into"),
    ],
    ids=range(8),
)  # fmt: skip
def test_what_is_wrong_is_named(root, change, tasks, words):
    change(root)
    with pytest.raises(UserError, match=words):
        dataset = LabelledFolder(root, "train", tasks)
        for sample in dataset:
            assert sample.targets
