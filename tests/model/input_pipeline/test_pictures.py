"""Pictures of a folder, at the network's size."""

import dataclasses

import numpy as np
import pytest
from PIL import Image

from moesaic.errors import UserError
from moesaic.model.input_pipeline.pictures import read_pictures
from moesaic.model.recipes.recipe import ModelConfiguration, TaskConfiguration
from moesaic.spec.input_description import InputDescription
from moesaic.spec.resize import fit

CONFIGURATION = ModelConfiguration(32, 40, 8, 16, 2, 2, 24, 3, 1, 16, (TaskConfiguration("depth", 1),))


def test_pictures_come_as_the_network_sees_them(tmp_path):
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 256, size, np.uint8) for size in ((50, 70, 3), (32, 40, 3), (90, 20, 3))]
    (tmp_path / "more").mkdir()
    for name, image in zip(("b.png", "a.png", "more/c.png"), images):
        Image.fromarray(image).save(tmp_path / name)
    (tmp_path / ".thumbnails").mkdir()
    for name in (".hidden.png", "more/._c.png", ".thumbnails/a.png"):
        (tmp_path / name).write_bytes(b"no picture")
    (tmp_path / "notes.txt").write_text("no picture")
    padded = dataclasses.replace(CONFIGURATION, input=InputDescription(resize="pad"))
    found = read_pictures(tmp_path, padded)
    expected = [fit(images[i], padded.input, 32, 40)[0] for i in (1, 0, 2)]
    assert np.array_equal(found, np.stack(expected))
    assert np.array_equal(read_pictures(tmp_path, padded, 2), found[[0, 1]])


def test_folders_without_pictures_are_refused(tmp_path):
    with pytest.raises(UserError, match="has no pictures: put some there"):
        read_pictures(tmp_path, CONFIGURATION)
    with pytest.raises(UserError, match="is no folder"):
        read_pictures(tmp_path / "missing", CONFIGURATION)
    (tmp_path / "broken.png").write_bytes(b"no picture")
    with pytest.raises(UserError, match=r"broken\.png"):
        read_pictures(tmp_path, CONFIGURATION)
