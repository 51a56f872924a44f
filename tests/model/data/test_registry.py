"""Data sets by name: what opens, and what is said where it does not."""

import numpy as np
import pytest

from moesaic.errors import UserError
from moesaic.model.data.registry import open_dataset
from moesaic.model.data.rendered import RenderedScenes
from moesaic.model.data.scenes import PART_CLASSES, render


def test_scenes_open_by_name_and_splits_share_no_scene():
    train, val = (open_dataset("scenes", None, split, 8, 12, count=20, seed=3) for split in ("train", "val"))
    assert np.array_equal(train.scenes.images, render(20, 8, 12, seed=6).images)
    assert np.array_equal(val.scenes.images, render(20, 8, 12, seed=7).images)
    advanced = []
    RenderedScenes.of_split("val", 20, 8, 12, 3, first=5, advance=advanced.append)
    assert sum(advanced) == 20 and len(advanced) > 1
    assert train.tasks == {"segmentation": 6, "parts": 9, "saliency": 1, "normals": 3, "edges": 1, "depth": 1}
    assert len(train.class_names["parts"]) == len(PART_CLASSES) == 9


def test_what_cannot_be_opened_is_named(tmp_path):
    with pytest.raises(UserError, match="'kitti': choose cityscapes, cityscapes-mtan, folder, imagefolder, nyud"):
        open_dataset("kitti", tmp_path, "train", 8, 8)
    with pytest.raises(UserError, match="split 'test' of nyud: choose train, val"):
        open_dataset("nyud", tmp_path, "test", 8, 8)
    with pytest.raises(UserError, match="scenes have no end"):
        open_dataset("scenes", None, "train", 8, 8)
    for name, file in (
        ("cityscapes", "leftImg8bit_trainvaltest.zip"),
        ("cityscapes-mtan", "cityscapes2.zip"),
        ("nyud", "NYUD_MT.tgz"),
        ("pascal-context", "PASCAL_MT.tgz"),
    ):
        with pytest.raises(
            UserError, match=f"{name} lies in files: .* --data-root, or download {file}.* the directory holds"
        ):
            open_dataset(name, None, "train", 8, 8)
