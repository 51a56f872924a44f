"""Photographs in folders: classes, order, targets through every change, and what is said where files are missing."""

import numpy as np
import pytest
from PIL import Image

from moesaic.errors import UserError
from moesaic.model.data.image_folder import ImageFolder
from moesaic.model.data.registry import augmentation_of, class_names, open_dataset
from moesaic.model.data.samples import Batch
from moesaic.model.input_pipeline.loader import Loader

FILES = ("cat/b.png", "cat/a.png", "dog/c.jpg", "dog/more/d.png", "eel/e.PNG", "cat/notes.txt")


@pytest.fixture
def root(tmp_path):
    for split, files in (("train", FILES), ("val", ("eel/z.png", "cat/y.png"))):
        for n, name in enumerate(files):
            path = tmp_path / split / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if path.suffix == ".txt":
                path.write_text("no image")
            else:
                Image.fromarray(np.full((10, 14 + n, 3), 40 * n, np.uint8)).save(path)
    return tmp_path


def test_folders_are_classes_and_the_first_images_are_of_every_class(root):
    data = ImageFolder(root, "train")
    assert data.class_names == {"classification": ("cat", "dog", "eel")} and data.tasks == {"classification": 3}
    names = ["train/cat/a.png", "train/dog/c.jpg", "train/eel/e.PNG", "train/cat/b.png", "train/dog/more/d.png"]
    assert data.names == names and ImageFolder(root, "train", count=2).names == names[:2]
    targets = [data[n].targets["classification"] for n in range(5)]
    assert [int(t) for t in targets] == [0, 1, 2, 0, 1] and all(t.dtype == np.int32 and t.shape == () for t in targets)
    assert data[0].image.shape == (10, 15, 3) and data[0].image[0, 0, 0] == 40
    val = ImageFolder(root, "val")
    assert [(name, int(val[n].targets["classification"])) for n, name in enumerate(val.names)] == [
        ("val/cat/y.png", 0),
        ("val/eel/z.png", 2),
    ]


def test_the_class_of_an_image_survives_every_change(root):
    fitted = open_dataset("imagefolder", root, "train", 8, 8)
    assert fitted.class_names == {"classification": ("cat", "dog", "eel")}
    batch = Batch.of([fitted[n] for n in range(5)])
    assert batch.images.shape == (5, 8, 8, 3) and batch.targets["classification"].tolist() == [0, 1, 2, 0, 1]
    assert batch[1:3].targets["classification"].tolist() == [1, 2]
    loader = Loader(ImageFolder(root, "train"), 5, 0, augmentation_of("pascal-context", 8, 8))
    assert sorted(loader.batch(0).targets["classification"].tolist()) == [0, 0, 1, 1, 2]


def test_without_the_task_images_need_no_class(root):
    Image.fromarray(np.zeros((9, 9, 3), np.uint8)).save(root / "train" / "loose.png")
    data = ImageFolder(root, "train", ())
    assert len(data) == 6 and "train/loose.png" in data.names[:4] and data[0].targets == {}
    with pytest.raises(UserError, match=r"loose\.png is in no folder that .*train has: put images into"):
        ImageFolder(root, "train")
    assert class_names("imagefolder") == {}


def test_what_is_missing_is_named(root, tmp_path):
    (root / "val" / "yak").mkdir()
    Image.fromarray(np.zeros((9, 9, 3), np.uint8)).save(root / "val" / "yak" / "x.png")
    with pytest.raises(UserError, match=r"yak/x\.png is in no folder that"):
        ImageFolder(root, "val")
    with pytest.raises(UserError, match="imagefolder has no truth for task 'depth': choose classification"):
        ImageFolder(root, "train", ("depth",))
    with pytest.raises(UserError, match=r"train has no folder of a class: put images into .*/train/CLASS/"):
        ImageFolder(tmp_path / "nowhere", "train")
    with pytest.raises(UserError, match=r"nowhere is no directory: put images into"):
        ImageFolder(tmp_path / "nowhere", "train", ())
    with pytest.raises(UserError, match="imagefolder lies in files: give the directory"):
        open_dataset("imagefolder", None, "train", 8, 8)


def test_hidden_files_and_folders_are_no_samples(root):
    """What file managers and Macs leave beside photographs."""
    before = ImageFolder(root, "train")
    for name in ("cat/._a.png", "cat/.hidden.png", "dog/.thumbnails/c.png", ".cache/x.png"):
        (root / "train" / name).parent.mkdir(exist_ok=True)
        (root / "train" / name).write_bytes(b"no picture")
    found = ImageFolder(root, "train")
    assert found.names == before.names and found.class_names == before.class_names
